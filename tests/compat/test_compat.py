"""Each program run twice, with the real JAX and with Covector in its place: the results are the same."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
PROGRAMS = sorted(p.stem for p in (HERE / "programs").glob("of_*.py"))
CASES = [
    (program, name)
    for program in PROGRAMS
    for name in re.findall(
        r"^@case\(.*\)\ndef (\w+)", (HERE / "programs" / f"{program}.py").read_text(), re.M
    )
]
WAYS: dict[str, list[str]] = {"jax": [], "covector": ["-m", "covector.as_jax"]}


@cache
def ran(program: str, way: str) -> dict[str, Any]:
    """What the cases of a program gave.

    Nothing compiled is kept on disk, so that compile times are those of a first run; the bytecode of modules is, as
    in an installed package: without it the first case of a program took 0.2 s more, to compile our compiler's modules.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.pickle"
        command = [sys.executable, *WAYS[way], str(HERE / "run.py"), program, str(path)]
        environment = {**os.environ, "COVECTOR_CACHE": "0"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        begin = partial(subprocess.run, command, env=environment, capture_output=True, text=True)
        try:
            done = begin(timeout=200)
        except subprocess.TimeoutExpired:
            # JAX 0.12 hangs at times on two cores, without using them (of_diffrax: one time in two or three).
            done = begin(timeout=600)
        assert done.returncode == 0, done.stderr
        return pickle.loads(path.read_bytes())  # type: ignore[no-any-return]


@pytest.mark.parametrize(("program", "name"), CASES)
def test_the_same_results(program: str, name: str, record_property: Any) -> None:
    theirs, ours = (ran(program, way)[name] for way in WAYS)
    assert "error" not in theirs, f"with JAX: {theirs['error']}"
    assert "error" not in ours, f"with Covector: {ours['error']}"
    record_property("case", f"{program.removeprefix('of_')} {name}")
    for label in ("first", "again"):
        record_property(label, [1e3 * theirs[label], 1e3 * ours[label]])
    assert len(theirs["out"]) == len(ours["out"])
    for wanted, found in zip(theirs["out"], ours["out"], strict=True):
        check(np.asarray(found), np.asarray(wanted), theirs["rtol"], theirs["atol"])


def check(found: np.ndarray, wanted: np.ndarray, rtol: float, atol: float) -> None:
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype.kind in "fc":
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(found, wanted)
