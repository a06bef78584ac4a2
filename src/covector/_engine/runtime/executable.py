"""Executables: compiled Programs, with their stages kept for reading."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from covector._engine import _native
from covector._engine.backends.cpu import backend
from covector._engine.base.config import config
from covector._engine.compile.pipeline import run_passes
from covector._engine.ir.kernel import Kernel, Loop, Routine, expressions, walk
from covector._engine.ir.program import Program
from covector._engine.runtime import cache
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class Executable:
    """A compiled Program: call it with Arrays, get a list of Arrays."""

    def __init__(self, program: Program, donated: Sequence[int] = ()):
        start = time.perf_counter()
        self.program = program
        for eqn in program.eqns:
            for v in eqn.outputs:
                v.aval.check_size(f"a result of {eqn.primitive.name}")
        self.stages = run_passes(program, donated)
        kernel = self.stages["memory"]
        assert isinstance(kernel, Kernel)
        self.kernel = kernel
        self.donated = tuple(donated)
        self.code = backend.compile_kernel(kernel, cache.cached)
        inputs = [v.aval for v in (*program.inputs, *program.constant_vars)]
        self.in_avals, self.out_avals = inputs, program.out_avals
        self.symbolic = not all(dims.is_constant(a.shape) for a in (*inputs, *self.out_avals))
        self.native = _native.Executable(
            self.code.address,
            [(dtypes.CODES[a.dtype], _placeholder(a)) for a in inputs],
            [(dtypes.CODES[a.dtype], _placeholder(a), a.weak_type) for a in self.out_avals],
            arena_bytes=self.code.arena_bytes,
            cost_ns=max(int(self.code.cost_ns), 1),
            keepalive=self.code.loaded,
            aliases=kernel.aliases,
        )
        # What the estimate of the cost is for: symbolic dimensions at their least.
        self.least_elements = sum(max(_low(a.size), 1) for a in (*inputs, *self.out_avals))
        self.seconds = time.perf_counter() - start
        if "compile" in config.explain.split(","):
            print(
                f"[compile] {program.name}: {len(program.eqns)} equations in {self.seconds * 1e3:.1f} ms",
                file=sys.stderr,
            )

    def __call__(self, arrays: Sequence[Any], donate: Sequence[int] = ()) -> list[Any]:
        """Run it on Arrays, the constants not included; those donated are deleted."""
        operands = [*arrays, *self.program.constants]
        if not self.symbolic:
            return self.native.execute(operands, donate)
        values = bind_dims(self.in_avals, [a.shape for a in operands])
        shapes = [tuple(int(dims.substitute(d, values)) for d in a.shape) for a in self.out_avals]
        sizes = [int(values[name]) for name in self.kernel.dims]
        elements = sum(a.size for a in operands) + sum(math.prod(s) for s in shapes)
        cost = int(self.code.cost_ns * elements / max(self.least_elements, 1))
        return self.native.execute_symbolic(operands, sizes, shapes, donate, max(cost, 1))

    def as_text(self, stage: str = "kernels") -> str:
        """One of the stages as text: program, kernels, llvm, asm."""
        match stage:
            case "program":
                return str(self.stages["invariants"])
            case "kernels":
                return str(self.kernel)
            case "llvm":
                return self.code.text
            case "asm":
                return backend.assembly(self.code.text)
            case _:
                raise ValueError(
                    f"there is no stage {stage!r}; the stages are program, kernels, llvm, asm"
                )

    def cost_analysis(self) -> dict[str, float]:
        """Estimates: operations, bytes read and written (each buffer once), nanoseconds."""
        kernel = self.kernel
        read = sum(_low(b.bytes) for b in kernel.inputs)
        written = sum(_low(b.bytes) for b in kernel.outputs)
        return {
            "flops": _operations(kernel),
            "bytes accessed": float(read + written),
            "nanoseconds": self.code.cost_ns,
        }

    def memory_analysis(self) -> dict[str, int]:
        """Bytes of arguments, results, scratch memory, and of results that reuse donated arguments."""
        kernel = self.kernel
        return {
            "argument_size_in_bytes": sum(_low(b.bytes) for b in kernel.inputs),
            "output_size_in_bytes": sum(_low(b.bytes) for b in kernel.outputs),
            "temp_size_in_bytes": _low(kernel.arena),
            "alias_size_in_bytes": sum(_low(kernel.outputs[o].bytes) for o, _ in kernel.aliases),
        }


def _placeholder(aval: ShapedArray) -> tuple[int | None, ...]:
    """The shape for the native core, which is told the real one with each call if some dimensions are symbolic."""
    return tuple(d if isinstance(d, int) else None for d in aval.shape)


def _low(d: Dim) -> int:
    low, _ = dims.bounds(d)
    return low or 0


def _operations(kernel: Kernel) -> float:
    """Scalar operations, loops counted in."""

    def count(body: Sequence[Any]) -> float:
        total = 0.0
        for s in body:
            own = float(sum(e.op not in ("const", "local", "load") for e in expressions(s)))
            if isinstance(s, Loop):
                own += max(_low(s.extent), 1) * count(s.body)
            elif isinstance(s, Routine):
                own += 2.0 * max(_low(dims.product(s.parameters[2:5])), 1)
            total += own
        return total

    assert next(walk(kernel.body), None) is not None or not kernel.body
    return count(kernel.body)


def bind_dims(avals: Sequence[ShapedArray], shapes: Sequence[Sequence[int]]) -> dict[str, Dim]:
    """The values of the symbolic dimensions, from the operands' shapes; ValueError if they contradict each other."""
    values: dict[str, Dim] = {}
    for aval, shape in zip(avals, shapes, strict=True):
        for d, n in zip(aval.shape, shape, strict=True):
            if isinstance(d, int):
                continue
            name = str(d)
            if (
                len(d.terms) == 1
                and d.terms[0][1] == 1
                and len(d.terms[0][0]) == 1
                and d.terms[0][0][0].op == "symbol"
            ):
                known = values.setdefault(name, n)
                if known != n:
                    raise ValueError(
                        f"the dimension {name} is {known} in one operand and {n} in another"
                    )
    for aval, shape in zip(avals, shapes, strict=True):
        for d, n in zip(aval.shape, shape, strict=True):
            if dims.substitute(d, values) != n:
                raise ValueError(
                    f"the dimension {d} of {aval.text()} is {dims.substitute(d, values)}, but the operand has {n}"
                )
    return values
