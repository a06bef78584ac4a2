"""The loops in C, as a framework: `loops.c`, compiled for this machine by the system's compiler."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parent / "loops.c"
OPTIONS = ("-O3", "-march=native", "-shared", "-fPIC")


@cache
def library() -> ctypes.CDLL:
    """The compiled functions; ImportError if there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise ImportError("there is no C compiler")
    target = Path(tempfile.mkdtemp(prefix="benchmarks-")) / "loops.so"
    subprocess.run([compiler, *OPTIONS, str(SOURCE), "-o", str(target), "-lm"], check=True)
    return ctypes.CDLL(str(target))


def version() -> str:
    """The first line that the compiler says about itself."""
    library()
    text = subprocess.run(["cc", "--version"], check=True, capture_output=True, text=True).stdout
    return text.splitlines()[0]


def call(
    name: str, inputs: list[np.ndarray], out: np.ndarray, count: int
) -> Callable[[], np.ndarray]:
    """A call of one of the functions on these arrays, and a number of steps or elements."""
    function = getattr(library(), name)
    arrays = [*inputs, out]
    pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in arrays]

    def run() -> np.ndarray:
        function(*pointers, count)
        return arrays[-1]

    return run
