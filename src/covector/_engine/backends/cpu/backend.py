"""From a Kernel to a native function: emission, LLVM, linking, with the object file cached on disk."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from importlib import import_module

from covector._engine import _native
from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.bodies import total_cost
from covector._engine.backends.cpu.emit import emit
from covector._engine.backends.cpu.library import Library, Make
from covector._engine.base.config import config
from covector._engine.base.locks import COMPILING
from covector._engine.ir.kernel import Kernel

# Emitted code is straight-line SSA but for the locals, which live in memory until `sroa` puts them into registers.
PASSES: tuple[str, ...] = ("sroa",)


@dataclass(frozen=True, slots=True)
class Code:
    """A Kernel as a function in memory.  It lives as long as `loaded`."""

    address: int
    arena_bytes: int
    cost_ns: float
    text: str
    loaded: link.Loaded


@functools.cache
def target() -> link.Target:
    """The machine that code is made for, with the flags that change it."""
    host = link.host()
    return host if config.vector_bits == 0 else link.Target(
        host.triple, host.cpu, host.features, config.vector_bits // 8, host.fma, host.half
    )  # fmt: skip


@functools.cache
def symbols() -> dict[str, int]:
    """The addresses of what emitted code calls."""
    with COMPILING:
        _load_blas()
    memory = ctypes.CDLL(None)
    table = {
        name: _address(getattr(memory, name))
        for name in ("memcpy", "memset", "memmove", "fmodf", "fmod")
    }
    return table | dict(_native.symbols())


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def _load_blas() -> None:
    """Hand OpenBLAS's routines to the native core."""
    blas = import_module("scipy_openblas32")
    library = ctypes.CDLL(f"{blas.get_lib_dir()}/{_library_name(blas)}")
    names = [f"cblas_{letter}{kind}" for kind in ("gemm", "gemv") for letter in "sdcz"]
    routines = {name: _address(getattr(library, f"scipy_{name}")) for name in names}
    routines["openblas_set_num_threads"] = _address(library.scipy_openblas_set_num_threads)
    _native.set_blas(routines)


def _library_name(blas: object) -> str:
    return blas.get_library(fullname=True)  # type: ignore[attr-defined]


@functools.cache
def _library(cached: Make) -> Library:
    """The functions that Programs share."""
    return Library(target(), symbols(), cached)


def compile_kernel(kernel: Kernel, cached: Make) -> Code:
    """The native function of a Kernel; `cached(key, make)` looks an object file up or makes it."""
    module = emit(kernel, target())
    text = module.text()
    data = cached(f"{target()}\n{PASSES}\n{text}", lambda: link.emit_object(text, target(), PASSES))
    functions = _library(cached).resolve(module.wanted)
    loaded = link.load(data, symbols() | functions)
    arena = kernel.arena if isinstance(kernel.arena, int) else 0
    return Code(loaded.address("entry"), arena, total_cost(kernel), text, loaded)


def assembly(text: str) -> str:
    """The assembly of a module, to read."""
    return link.emit_assembly(text, target(), PASSES)
