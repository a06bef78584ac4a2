"""A C compiler for the tests of functions of users'."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ctypes.CDLL]:
    """Compile C source text to a library, and load it."""

    def compile_(source: str, *flags: str) -> ctypes.CDLL:
        if COMPILER is None:
            pytest.skip("there is no C compiler")
        folder: Path = tmp_path_factory.mktemp("c")
        (folder / "f.c").write_text(source)
        command = [COMPILER, "-O1", "-shared", "-fPIC", *flags, "-o", "f.so", "f.c"]
        subprocess.run(command, cwd=folder, check=True)
        return ctypes.CDLL(str(folder / "f.so"))

    return compile_
