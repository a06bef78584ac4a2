"""Time calls of the native core: nanoseconds a call of jit, of eager functions, of an executable.

The programs do next to nothing, so this is the price of getting there: `python -m
benchmarks.native_calls`. It needs a C compiler.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import covector._engine._native as native

SOURCE = """
#include <stdint.h>
int32_t add_one(void* const* b, const int64_t* d, void* arena) {
    *(float*)b[1] = *(float*)b[0] + 1;
    return 0;
}
int32_t sum_of_twenty(void* const* b, const int64_t* d, void* arena) {
    float sum = 0;
    for (int i = 0; i < 20; ++i) sum += *(float*)b[i];
    *(float*)b[20] = sum;
    return 0;
}
int32_t eager_add(void* const* b, const int64_t* d, void* arena) {
    for (int64_t i = 0; i < d[0]; ++i)
        ((float*)b[2])[i] = ((float*)b[0])[i] + (float)*(int32_t*)b[1];
    return 0;
}
"""

INT32, FLOAT32 = 3, 11
DTYPES = [
    *(np.dtype(name) for name in ("bool", "int8", "int16", "int32", "int64")),
    *(np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64", "float16")),
    np.dtype(ml_dtypes.bfloat16),
    *(np.dtype(name) for name in ("float32", "float64", "complex64", "complex128")),
]


def nanoseconds(function: Callable[..., object], *args: object, calls: int = 100_000) -> float:
    """Return the best of several averages, loop included."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            function(*args)
        times.append((time.perf_counter() - start) / calls)
    return min(times) * 1e9


def bypass(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Fail: nothing here should leave the native path."""
    raise AssertionError(f"not on the native path: {args} {kwargs}")


def compiled(executable: native.Executable, count: int) -> native.JitFunction:
    """Return a jit function whose only Program takes all of `count` leaves."""
    entry = native.Entry(executable, range(count), [], ("leaf", 0))
    return native.JitFunction(bypass, native.Calls(lambda args, kwargs: entry, bypass))


def build(folder: str) -> ctypes.CDLL:
    """Compile the functions above."""
    source, library = Path(folder) / "calls.c", Path(folder) / "calls.so"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


def rows(lib: ctypes.CDLL) -> list[tuple[str, float]]:
    """Measure everything; each row is a name and nanoseconds."""

    def address(name: str) -> int:
        found = ctypes.cast(getattr(lib, name), ctypes.c_void_p).value
        assert found is not None
        return found

    scalar, result = (FLOAT32, ()), (FLOAT32, (), False)
    one = native.Executable(address("add_one"), [scalar], [result], keepalive=lib)
    twenty = native.Executable(address("sum_of_twenty"), [scalar] * 20, [result], keepalive=lib)
    add = native.Ufunc(
        "add", bypass, lambda types: (address("eager_add"), FLOAT32, False, 0.1, lib), 2
    )
    jit_one, jit_twenty, jit_dict = compiled(one, 1), compiled(twenty, 20), compiled(twenty, 20)
    x, numpy_scalar = native.scalar(1.0, FLOAT32), np.float32(1)
    many = [native.scalar(float(i), FLOAT32) for i in range(20)]
    params = {f"layer{i}": value for i, value in enumerate(many)}
    vector = native.array_from(np.ones(1, np.float32))
    column = native.array_from(np.ones((3, 1, 4), np.float32))
    saved = native.set_operators({"add": add})
    try:
        return [
            ("len([]), for comparison", nanoseconds(len, [])),
            ("jit, one scalar Array", nanoseconds(jit_one, x)),
            ("jit, one Python float", nanoseconds(jit_one, 1.0)),
            ("jit, one NumPy scalar", nanoseconds(jit_one, numpy_scalar)),
            ("jit, 20 arguments", nanoseconds(jit_twenty, *many)),
            ("jit, a dict of 20", nanoseconds(jit_dict, params)),
            ("ufunc, scalar Array and 1", nanoseconds(add, x, 1)),
            ("x + 1, one element", nanoseconds(lambda: vector + 1)),
            ("ufunc, shape (3, 1, 4) and 1", nanoseconds(add, column, 1)),
            ("Executable.execute, one array", nanoseconds(one.execute, [x])),
        ]
    finally:
        native.set_operators(saved)


def main() -> None:
    """Print the table."""
    native.register_dtypes(DTYPES)
    with tempfile.TemporaryDirectory() as folder:
        for name, value in rows(build(folder)):
            print(f"{name:32} {value:8.0f} ns")


if __name__ == "__main__":
    main()
