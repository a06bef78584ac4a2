"""NumPy as a backend that takes whole Programs: slow, and what every other one is compared with.

COVECTOR_BACKEND=reference runs everything on it, `jit` and eager calls alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

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
from covector._engine.backends.reference.primitives import evaluate_reference
from covector._engine.compile.pipeline import AS_TRACED
from covector._engine.ir.program import Atom, Literal, Program, Var, with_dims
from covector._engine.types import dims
from covector._engine.types.avals import bind_dims


class ReferenceLoaded(Loaded):
    """A Program whose equations run one after the other."""

    def __init__(self, program: Program):
        self.program = program
        self._symbolic = not all(dims.is_constant(v.aval.shape) for v in program.inputs)

    def __call__(self, operands: Sequence[Any], donate: Sequence[int]) -> list[Any]:
        program = self.program
        if self._symbolic:
            values = bind_dims(program.in_avals, [x.shape for x in operands])
            program = with_dims(program, values)
        known: dict[Var, Any] = dict(zip(program.inputs, operands, strict=True))

        def value(a: Atom) -> Any:
            return a.value if isinstance(a, Literal) else known[a]

        for eqn in program.eqns:
            out = evaluate_reference(eqn.primitive, [value(a) for a in eqn.inputs])
            results = out if eqn.primitive.multiple else (out,)
            known.update(zip(eqn.outputs, results, strict=True))
        made = [
            _native.array_from(np.array(value(a), a.aval.dtype), weak_type=a.aval.weak_type)
            for a in program.outputs
        ]
        for i in donate:
            operands[i].delete()
        return made


class ReferenceBackend(Backend):
    """NumPy on one thread, an element at a time as far as Programs can tell."""

    name: ClassVar[str] = "reference"

    @property
    def passes(self) -> tuple[Pass, ...]:
        return AS_TRACED

    def target(self, vector_bits: int = 0, keep: Keep | None = None) -> Target:
        return Target(self.name, vector_bits or 64)

    def load(
        self, source: Source, program: Program, job: Job, keep: Keep, key: Key = unknown
    ) -> Loaded:
        ir = source()
        assert isinstance(ir, Program)
        return ReferenceLoaded(ir)


BACKEND = ReferenceBackend()
