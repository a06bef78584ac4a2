"""The CPU: Kernels become native functions, by emission, LLVM and linking; object files are kept on disk."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar

from covector._engine import _native
from covector._engine.backends.base import IR, Backend, Job, Keep, Loaded, Pass, Target
from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.contents import total_cost
from covector._engine.backends.cpu.emit import emit
from covector._engine.backends.cpu.library import Library
from covector._engine.base.errors import noting
from covector._engine.base.locks import COMPILING
from covector._engine.compile.pipeline import TO_KERNEL
from covector._engine.core.foreign import routine_symbols
from covector._engine.ir.kernel import Kernel
from covector._engine.ir.program import Program
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray, bind_dims

# Emitted code is straight-line SSA but for the locals, which live in memory until `sroa` puts them into registers.
LLVM_PASSES: tuple[str, ...] = ("sroa",)


def passes_for(text: str, quick: bool) -> tuple[str, ...]:
    """The LLVM passes that find something to do in a module; in a quick one all would pass it by."""
    return LLVM_PASSES if " = alloca " in text and not quick else ()


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
    """Hand the routines of OpenBLAS, and of LAPACK in it, to the native core."""
    blas = import_module("scipy_openblas32")
    library = ctypes.CDLL(f"{blas.get_lib_dir()}/{_library_name(blas)}")
    names = [f"cblas_{letter}{kind}" for kind in ("gemm", "gemv") for letter in "sdcz"]
    routines = {name: _address(getattr(library, f"scipy_{name}")) for name in names}
    for name in _native.lapack_names():
        routines[name] = _address(getattr(library, f"scipy_{name}_"))
    routines["openblas_set_num_threads"] = _address(library.scipy_openblas_set_num_threads)
    _native.set_blas(routines)


def _library_name(blas: object) -> str:
    return blas.get_library(fullname=True)  # type: ignore[attr-defined]


@functools.cache
def _library(processor: link.Processor, keep: Keep) -> Library:
    """The functions that Programs share."""
    return Library(processor, symbols(), keep)


@functools.cache
def processor(vector_bits: int = 0) -> link.Processor:
    """What code is made for: this machine, with vectors of so many bits (0: the widest that it does well)."""
    host = link.host()
    return replace(host, vector_bytes=vector_bits // 8) if vector_bits else host


class Code:
    """A Kernel as a native function in memory, which lives as long as this does."""

    def __init__(self, kernel: Kernel, job: Job, keep: Keep):
        self.processor = made_for = processor(job.target.vector_bits)
        module = emit(kernel, job.target, made_for)
        self.text = text = module.text()
        self.quick = quick = module.quick
        self.passes = passes = passes_for(text, quick)
        key = f"{made_for}\n{passes} {quick}\n{text}"
        data = keep(key, lambda: link.emit_object(text, made_for, passes, quick=quick))
        functions = _library(made_for, keep).resolve(module.wanted)
        # The functions that it calls back, by number: the machine code is linked to this tuple.
        self.table = tuple([noting(s.function, s.who.name, s.source) for s in module.callbacks])
        table = {"cv_callbacks": id(self.table)} if self.table else {}
        self.foreign = tuple(module.foreign.values())
        table |= {name: f.native.address for name, f in module.foreign.items()}
        # What has to live as long as the machine code does, and whether that leaves it: then no other thread runs it.
        self.keepalive = (self.table, self.foreign)
        self.calls_out = bool(self.table or self.foreign)
        self.loaded = link.load(data, symbols() | routine_symbols() | functions | table)
        self.address = self.loaded.address("entry")
        self.arena_bytes = kernel.arena if isinstance(kernel.arena, int) else 0

    def assembly(self) -> str:
        """The assembly, to read."""
        return link.emit_assembly(self.text, self.processor, self.passes, quick=self.quick)


class CpuLoaded(Loaded):
    """A Kernel as a native function that runs on Arrays."""

    def __init__(self, kernel: Kernel, program: Program, job: Job, keep: Keep):
        self.code, self._kernel = Code(kernel, job, keep), kernel
        self.cost_ns = total_cost(kernel, job.target.costs)
        inputs = [v.aval for v in (*program.inputs, *program.constant_vars)]
        outputs = program.out_avals
        self.symbolic = not all(dims.is_constant(a.shape) for a in (*inputs, *outputs))
        self._in_avals, self._out_avals = inputs, outputs
        self._native = _native.Executable(
            self.code.address,
            [(dtypes.CODES[a.dtype], _placeholder(a)) for a in inputs],
            [(dtypes.CODES[a.dtype], _placeholder(a), a.weak_type) for a in outputs],
            arena_bytes=self.code.arena_bytes,
            cost_ns=max(int(self.cost_ns), 1),
            keepalive=(self.code.loaded, self.code.keepalive)
            if self.code.calls_out
            else self.code.loaded,
            aliases=kernel.aliases,
            calls_back=self.code.calls_out,
        )
        self.native = None if self.symbolic else self._native
        # What the estimate of the cost is for: symbolic dimensions at their least.
        self._least_elements = sum(max(dims.least(a.size), 1) for a in (*inputs, *outputs))

    def __call__(self, operands: Sequence[Any], donate: Sequence[int]) -> list[Any]:
        if not self.symbolic:
            return self._native.execute(operands, donate)
        values = bind_dims(self._in_avals, [a.shape for a in operands])
        shapes = [tuple(int(dims.substitute(d, values)) for d in a.shape) for a in self._out_avals]
        sizes = [int(values[name]) for name in self._kernel.dims]
        elements = sum(a.size for a in operands) + sum(math.prod(s) for s in shapes)
        cost = int(self.cost_ns * elements / max(self._least_elements, 1))
        return self._native.execute_symbolic(operands, sizes, shapes, donate, max(cost, 1))

    def elementwise(self) -> tuple[int, Any] | None:
        code = self.code
        return None if code.arena_bytes or code.calls_out else (code.address, code.loaded)

    def texts(self) -> Mapping[str, Callable[[], str]]:
        return {"llvm": lambda: self.code.text, "asm": self.code.assembly}


def _placeholder(aval: ShapedArray) -> tuple[int | None, ...]:
    """The shape for the native core, which is told the real one with each call if some dimensions are symbolic."""
    return tuple(d if isinstance(d, int) else None for d in aval.shape)


class CpuBackend(Backend):
    """This machine's processor, all of its cores."""

    name: ClassVar[str] = "cpu"
    passes: ClassVar[tuple[Pass, ...]] = TO_KERNEL

    def target(self, vector_bits: int = 0) -> Target:
        bits = 8 * processor(vector_bits).vector_bytes
        return Target(self.name, bits, _native.num_threads())

    def load(self, ir: IR, program: Program, job: Job, keep: Keep) -> Loaded:
        assert isinstance(ir, Kernel)
        return CpuLoaded(ir, program, job, keep)


BACKEND = CpuBackend()
