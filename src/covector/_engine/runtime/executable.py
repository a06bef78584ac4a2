"""Executables: compiled Programs, with their stages kept for reading."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from covector._engine import primitives
from covector._engine.backends import registry
from covector._engine.backends.base import IR, Backend, Job
from covector._engine.base.collection import NO_COLLECTION
from covector._engine.base.config import config
from covector._engine.base.depth import deep, going_through
from covector._engine.base.explained import explain, is_asked
from covector._engine.base.locks import import_late
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.ir.content import content
from covector._engine.ir.kernel import (
    Fold,
    If,
    Kernel,
    Loop,
    Routine,
    Statement,
    children,
    expressions,
    nodes,
)
from covector._engine.ir.program import Program
from covector._engine.ir.scalar import Expr
from covector._engine.runtime import cache
from covector._engine.runtime.watch import look_at as look_at, watched
from covector._engine.types import dims


def job_of(backend: Backend, donated: Sequence[int] = ()) -> Job:
    """What the flags ask of a compilation for a backend."""
    target = backend.target(config.vector_bits, cache.cached)
    return Job(target, tuple(donated), config.fuse, explain)


def _key(program: Program, job: Job) -> str | None:
    """What is equal in another process, and for no other code; None if there is no such thing, or no use for it."""
    if not config.cache or config.shows_passes:
        return None
    digest = digest_of(program)
    if digest is None:
        return None
    target = job.target
    asked = (job.donated, job.fuse, target.name, target.vector_bits, target.threads)
    return f"{digest.hex()} {asked} {config.code_key()}"


def digest_of(program: Program) -> bytes | None:
    """The digest of a Program; None if part of it, such as a function, is of this process alone."""
    return content(program, _named_primitives())


@functools.cache
def _named_primitives() -> Mapping[int, str]:
    """The primitives that are values in a module, by identity."""
    found = [(id(p), name) for name, p in vars(primitives).items() if isinstance(p, Primitive)]
    return dict(found)


def _run_passes(program: Program, backend: Backend, job: Job) -> dict[str, IR]:
    """What each pass of a backend gives; the compiler is imported for it."""
    pipeline = import_late("covector._engine.compile.pipeline")
    return pipeline.run_passes(program, backend.passes, job)


def _last(stages: dict[str, IR]) -> IR:
    """What the last pass gave."""
    return stages[next(reversed(stages))]


@record
class MemoryStats:
    """Bytes that a compiled function takes: names and meanings as in JAX, where the last ones are of a host apart."""

    argument_size_in_bytes: int
    output_size_in_bytes: int
    temp_size_in_bytes: int
    alias_size_in_bytes: int  # of results that reuse donated arguments
    generated_code_size_in_bytes: int
    host_argument_size_in_bytes: int = 0
    host_output_size_in_bytes: int = 0
    host_temp_size_in_bytes: int = 0
    host_alias_size_in_bytes: int = 0

    @property
    def peak_memory_in_bytes(self) -> int:
        """The most that is in use at once: arguments, results that reuse none of them, and scratch memory."""
        own = self.output_size_in_bytes - self.alias_size_in_bytes
        return self.argument_size_in_bytes + own + self.temp_size_in_bytes


class Executable:
    """A compiled Program: call it with Arrays, get a list of Arrays."""

    def __init__(self, program: Program, donated: Sequence[int] = (), backend: str | None = None):
        start = time.perf_counter()
        for eqn in program.eqns:
            for v in eqn.outputs:
                v.aval.check_size(f"a result of {eqn.primitive.name}")
        chosen = registry.backend(config.backend if backend is None else backend)
        job = job_of(chosen, donated)
        self.program, self.donated = program, job.donated
        # Of code that is found on the disk, the passes run when somebody asks.
        self._stages = stages = functools.cache(
            partial(going_through, program.depth, _run_passes, program, chosen, job)
        )
        with NO_COLLECTION:
            key = partial(_key, program, job)
            given = lambda: _last(stages()), program, job, cache.cached, key
            self.loaded = going_through(program.depth, chosen.load, *given)
        self.native = self.loaded.native
        self.out_avals = program.out_avals
        self.seconds = time.perf_counter() - start
        if is_asked("compile"):
            print(
                f"[compile] {program.name}: {len(program.eqns)} equations in {self.seconds * 1e3:.1f} ms",
                file=sys.stderr,
            )

    @property
    def stages(self) -> dict[str, IR]:
        """What each pass gave, by name."""
        return self._stages()

    @property
    def ir(self) -> IR:
        """What was loaded."""
        return _last(self.stages)

    @property
    def kernel(self) -> Kernel:
        """What was loaded, of a backend that takes Kernels."""
        assert isinstance(self.ir, Kernel), "this backend takes Programs"
        return self.ir

    def __call__(self, arrays: Sequence[Any], donate: Sequence[int] = ()) -> list[Any]:
        """Run it on Arrays, the constants not included; those donated are deleted."""
        operands = [*arrays, *self.program.constants]
        if config.watched:  # nothing is donated: what follows may run once more
            return watched(self.program.close(), operands, lambda: self.loaded(operands, ()))
        return self.loaded(operands, donate)

    def as_text(self, stage: str | None = None) -> str:
        """One of the stages as text: program, kernels, llvm, asm, as far as the backend has them.

        Without a name, what was loaded.
        """
        programs = [ir for ir in self.stages.values() if isinstance(ir, Program)]
        texts = {"program": lambda: str(programs[-1])}
        if isinstance(self.ir, Kernel):
            texts["kernels"] = lambda: str(self.ir)
        texts |= self.loaded.texts()
        if stage is None:
            return str(self.ir)
        if stage not in texts:
            raise ValueError(f"there is no stage {stage!r}; the stages are {', '.join(texts)}")
        return texts[stage]()

    def cost_analysis(self) -> dict[str, float]:
        """Estimates: bytes read and written (each buffer once), nanoseconds; of Kernels the operations too."""
        sizes = self.memory_analysis()
        moved = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
        found = {"bytes accessed": float(moved), "nanoseconds": self.loaded.cost_ns}
        return (
            {"flops": _operations(self.ir, {}), **found} if isinstance(self.ir, Kernel) else found
        )

    def memory_analysis(self) -> MemoryStats:
        """Bytes of arguments, results, scratch memory, and of results that reuse donated arguments."""
        program, ir = self.program, self.ir
        inputs = [v.aval for v in (*program.inputs, *program.constant_vars)]
        outputs = [dims.least(a.size) * a.dtype.itemsize for a in program.out_avals]
        planned = ir if isinstance(ir, Kernel) else None
        return MemoryStats(
            sum(dims.least(a.size) * a.dtype.itemsize for a in inputs),
            sum(outputs),
            dims.least(planned.arena) if planned else 0,
            sum(outputs[o] for o, _ in planned.aliases) if planned else 0,
            self.loaded.code_bytes,
        )


@deep
def _operations(kernel: Kernel, counted: dict[Kernel, float]) -> float:
    """Scalar operations: loops counted in, of two branches the longer one, of loops with a condition one step.

    `counted` are those of functions.
    """

    def count(body: Sequence[Statement]) -> float:
        seen = set[Expr]()
        return sum([one(s, seen) for s in body])

    def one(s: Statement, seen: set[Expr]) -> float:
        own = float(sum([_COSTS.get(e.op, 1) for e in nodes(expressions(s), seen)]))
        match s:
            case Fold():
                return own + 1
            case Loop(extent=extent, body=body):
                return own + max(dims.least(extent), 1) * count(body)
            case If(body=body, orelse=orelse):
                return own + max(count(body), count(orelse))
            case Routine(name=name, parameters=parameters):
                if name in kernel.functions:
                    inner = kernel.functions[name]
                    if inner not in counted:
                        counted[inner] = _operations(inner, counted)
                    return own + counted[inner]
                return own + 2.0 * max(dims.least(dims.product(parameters[2:5])), 1)
            case _:
                return own + count(children(s))

    return count(kernel.body)


# What a value costs that is not one operation.
_COSTS = {"const": 0, "local": 0, "load": 0, "fma": 2}
