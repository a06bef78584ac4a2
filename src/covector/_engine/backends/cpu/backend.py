"""The CPU: Kernels become native functions, by emission, LLVM and linking; object files are kept on disk."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from covector._engine import _native
from covector._engine.backends.base import (
    Backend,
    Job,
    Keep,
    Key,
    Loaded,
    Pass,
    Source,
    Target,
    unknown,
)
from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.library import Library
from covector._engine.backends.cpu.plan import Plan
from covector._engine.base.locks import COMPILING, import_late
from covector._engine.base.record import replace
from covector._engine.base.single import single
from covector._engine.core.foreign import routine_symbols
from covector._engine.ir.program import Program
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray, bind_dims

if TYPE_CHECKING:
    from covector._engine.backends.cpu.emitted import Emitted


@functools.cache
def symbols() -> dict[str, int]:
    """The addresses of what emitted code calls."""
    memory = ctypes.CDLL(None)
    table = {
        name: _address(getattr(memory, name))
        for name in ("memcpy", "memset", "memmove", "fmodf", "fmod")
    }
    return table | dict(_native.symbols())


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


@functools.cache
def _load_blas() -> None:
    """Hand the routines of OpenBLAS, and of LAPACK in it, to the native core.

    Its package takes 20 ms to import, and few Programs need it.
    """
    blas = import_late("scipy_openblas32")
    library = ctypes.CDLL(f"{blas.get_lib_dir()}/{_library_name(blas)}")
    names = [f"cblas_{letter}{kind}" for kind in ("gemm", "gemv") for letter in "sdcz"]
    routines = {name: _address(getattr(library, f"scipy_{name}")) for name in names}
    for name in _native.lapack_names():
        routines[name] = _address(getattr(library, f"scipy_{name}_"))
    routines["openblas_set_num_threads"] = _address(library.scipy_openblas_set_num_threads)
    _native.set_blas(routines)


def _library_name(blas: object) -> str:
    return blas.get_library(fullname=True)  # type: ignore[attr-defined]


@single
def _library(processor: link.Processor, keep: Keep) -> Library:
    """The functions that Programs share."""
    return Library(processor, symbols(), keep)


@functools.cache
def processor(vector_bits: int = 0) -> link.Processor:
    """What code is made for: this machine, with vectors of so many bits (0: the widest that it does well)."""
    host = link.host()
    return replace(host, vector_bytes=vector_bits // 8) if vector_bits else host


class Code:
    """A Kernel as a native function in memory, which lives as long as this does.

    Where there is a key, what it takes to run is found on the disk, and no Kernel is made: of fifty Programs in a new
    process, passes and emission took two thirds of the time.
    """

    def __init__(self, source: Source, job: Job, keep: Keep, key: Key = unknown):
        self._source, self._job = source, job
        self._emitted: Emitted | None = None
        self.processor = made_for = processor(job.target.vector_bits)
        plan = None
        if (content := key()) is not None:
            plan = Plan.unpack(keep(f"plan\n{made_for}\n{content}", self._packed))
        self.plan = plan = plan or self.emitted.plan
        data = keep(f"object\n{plan.key}", lambda: self.emitted.object())
        if plan.routines:
            with COMPILING:
                _load_blas()
        functions = _library(made_for, keep).resolve(plan.wanted)
        # What has to live as long as the machine code does, and whether that leaves it: then no other thread runs it.
        self.calls_out = not plan.kept
        self.keepalive: tuple[object, ...] = ()
        table: dict[str, int] = {}
        if self.calls_out:
            # The functions that it calls back, by number: the machine code is linked to this tuple.
            called, foreign = (
                self.emitted.called_back(),
                tuple(self.emitted.module.foreign.values()),
            )
            table = {"cv_callbacks": id(called)} if called else {}
            table |= {name: f.native.address for name, f in self.emitted.module.foreign.items()}
            self.keepalive = (called, foreign)
        self.loaded = link.load(data, symbols() | routine_symbols() | functions | table)
        self.address, self.size = self.loaded.address("entry"), len(data)
        self._emitted = None  # its text is made again if somebody reads it

    @property
    def emitted(self) -> Emitted:
        """The module and all that is known with it; the compiler is imported for it."""
        made = self._emitted
        if made is None:
            module = import_late("covector._engine.backends.cpu.emitted")
            made = self._emitted = module.Emitted(self._source(), self._job, self.processor)
        return made

    def _packed(self) -> bytes:
        return self.emitted.plan.pack()


class CpuLoaded(Loaded):
    """A Kernel as a native function that runs on Arrays."""

    def __init__(self, source: Source, program: Program, job: Job, keep: Keep, key: Key = unknown):
        self.code = Code(source, job, keep, key)
        plan, self.code_bytes = self.code.plan, self.code.size
        self.cost_ns = plan.cost_ns
        inputs = [v.aval for v in (*program.inputs, *program.constant_vars)]
        outputs = program.out_avals
        self.symbolic = not all(dims.is_constant(a.shape) for a in (*inputs, *outputs))
        self._in_avals, self._out_avals = inputs, outputs
        self._native = _native.Executable(
            self.code.address,
            [(dtypes.CODES[a.dtype], _placeholder(a)) for a in inputs],
            [(dtypes.CODES[a.dtype], _placeholder(a), a.weak_type) for a in outputs],
            arena_bytes=plan.arena_bytes,
            cost_ns=max(int(self.cost_ns), 1),
            keepalive=(self.code.loaded, self.code.keepalive)
            if self.code.calls_out
            else self.code.loaded,
            aliases=plan.aliases,
            calls_back=self.code.calls_out,
            repeats=plan.repeats,
        )
        self.native = None if self.symbolic else self._native
        # What the estimate of the cost is for: symbolic dimensions at their least.
        self._least_elements = sum(max(dims.least(a.size), 1) for a in (*inputs, *outputs))

    def __call__(self, operands: Sequence[Any], donate: Sequence[int]) -> list[Any]:
        if not self.symbolic:
            return self._native.execute(operands, donate)
        values = bind_dims(self._in_avals, [a.shape for a in operands])
        shapes = [tuple(int(dims.substitute(d, values)) for d in a.shape) for a in self._out_avals]
        sizes = [int(values[name]) for name in self.code.plan.dims]
        elements = sum(a.size for a in operands) + sum(math.prod(s) for s in shapes)
        cost = int(self.cost_ns * elements / max(self._least_elements, 1))
        return self._native.execute_symbolic(operands, sizes, shapes, donate, max(cost, 1))

    def elementwise(self) -> tuple[int, Any] | None:
        code = self.code
        return None if code.plan.arena_bytes or code.calls_out else (code.address, code.loaded)

    def texts(self) -> Mapping[str, Callable[[], str]]:
        emitted = self.code.emitted
        return {"llvm": lambda: emitted.text, "asm": emitted.assembly}


def _placeholder(aval: ShapedArray) -> tuple[int | None, ...]:
    """The shape for the native core, which is told the real one with each call if some dimensions are symbolic."""
    return tuple(d if isinstance(d, int) else None for d in aval.shape)


class CpuBackend(Backend):
    """This machine's processor, all of its cores."""

    name: ClassVar[str] = "cpu"

    @property
    def passes(self) -> tuple[Pass, ...]:
        return import_late("covector._engine.compile.pipeline").TO_KERNEL

    def target(self, vector_bits: int = 0, keep: Keep | None = None) -> Target:
        link.host(keep)
        bits = 8 * processor(vector_bits).vector_bytes
        return Target(self.name, bits, _native.num_threads())

    def load(
        self, source: Source, program: Program, job: Job, keep: Keep, key: Key = unknown
    ) -> Loaded:
        return CpuLoaded(source, program, job, keep, key)


BACKEND = CpuBackend()
