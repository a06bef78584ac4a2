"""A library of native functions for the tests, and the module with its switches put back."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import covector._engine._native as native_module

NARROW_FLOATS = "4_e2m1fn 6_e2m3fn 6_e3m2fn 8_e3m4 8_e4m3 8_e4m3b11fnuz 8_e4m3fn 8_e4m3fnuz 8_e5m2 8_e5m2fnuz 8_e8m0fnu"
DTYPES = [
    *map(np.dtype, ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]),
    *map(np.dtype, ["uint64", "float16", ml_dtypes.bfloat16, "float32", "float64"]),
    *map(np.dtype, ["complex64", "complex128"]),
    *[np.dtype(getattr(ml_dtypes, f"{kind}int{bits}")) for kind in ("", "u") for bits in (1, 2, 4)],
    *[np.dtype(getattr(ml_dtypes, f"float{name}")) for name in NARROW_FLOATS.split()],
]
OPERATORS = [
    "add",
    "subtract",
    "multiply",
    "true_divide",
    "floor_divide",
    "remainder",
    "power",
    "matmul",
    "divmod",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "negative",
    "positive",
    "absolute",
    "invert",
]


@pytest.fixture(scope="session")
def dtypes() -> list[np.dtype]:
    return DTYPES


@pytest.fixture
def native():
    """The module; whatever a test switches is switched back, and queued work is awaited."""
    native_module.register_dtypes(DTYPES)
    hooks = dict.fromkeys(["flatten", "tracer", "getitem", "iter", "contains", "repr", "format"])
    operators = native_module.set_operators(dict.fromkeys(OPERATORS))
    saved_hooks = native_module.set_hooks(**hooks)
    saved_async = native_module.set_async(True)
    saved_fast = native_module.set_fast_paths(True)
    saved_vectors = native_module.set_vectors(64)
    saved_threshold = native_module.set_inline_threshold_ns(50_000)
    yield native_module
    native_module.synchronize()
    native_module.set_inline_threshold_ns(saved_threshold)
    native_module.set_fast_paths(saved_fast)
    native_module.set_vectors(saved_vectors)
    native_module.set_async(saved_async)
    native_module.set_hooks(**saved_hooks)
    native_module.set_operators(operators)


@pytest.fixture
def each_vectors() -> Iterator[Callable[[], Iterator[int]]]:
    """The loop over the lengths of vectors that the processor has, each in use in its turn."""
    before = native_module.set_vectors(64)
    longest = native_module.vector_bytes()

    def each() -> Iterator[int]:
        for size in (64, 32, 16):
            if size <= longest:
                native_module.set_vectors(size)
                yield size

    yield each
    native_module.set_vectors(before)


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions of kernels.c."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    source = Path(__file__).with_name("kernels.c")
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True
    )
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def address(lib: ctypes.CDLL) -> Callable[[str], int]:
    """The address of a function of kernels.c, by name."""

    def find(name: str) -> int:
        found = ctypes.cast(getattr(lib, name), ctypes.c_void_p).value
        assert found is not None
        return found

    return find


@pytest.fixture
def make(native: ModuleType, lib: ctypes.CDLL, address: Callable[[str], int]):
    """An Executable of a function of kernels.c; one float32[4] in and out unless told."""
    vector = [(11, (4,))], [(11, (4,), False)]

    def build(name: str, inputs=vector[0], outputs=vector[1], **options):
        return native.Executable(address(name), inputs, outputs, keepalive=lib, **options)

    return build


class Gate:
    """Programs that wait until a test lets them go on: what is pending meanwhile is so on any machine."""

    def __init__(self, make: Callable[..., Any], lib: ctypes.CDLL) -> None:
        self._open = ctypes.c_int32.in_dll(lib, "gate_open")
        # So long that the worker alone runs it: a thread that waits has to hear what opens the gate.
        self.program = make("add_one_after_the_gate", cost_ns=10**9)
        self.shut()

    def shut(self) -> None:
        self._open.value = 0

    def open(self) -> None:
        self._open.value = 1


@pytest.fixture
def gate(make: Callable[..., Any], lib: ctypes.CDLL) -> Iterator[Gate]:
    """A gate that is shut, and is open again when the test ends."""
    found = Gate(make, lib)
    yield found
    found.open()


@pytest.fixture
def four(native: ModuleType):
    """A fresh float32[4] array: 0, 1, 2, 3."""
    return lambda: native.array_from(np.arange(4, dtype=np.float32))
