"""The dtypes that JAX gives for pairs of operands are those of tests/surface/golden/promotion_sweep.txt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SURFACE = Path(__file__).resolve().parent.parent / "surface"


def test_the_table_is_that_of_jax(tmp_path: Path) -> None:
    """To write it anew: COVECTOR_GOLDENS=write."""
    golden = SURFACE / "golden" / "promotion_sweep.txt"
    out = golden if os.environ.get("COVECTOR_GOLDENS") == "write" else tmp_path / "sweep.txt"
    command = [sys.executable, str(SURFACE / "promotion_sweep.py"), "jax", str(out)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == golden.read_text()
