"""Operations that change no value: what the compiler must not look across, and names for values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from covector._engine.base.record import record
from covector._engine.core.inside import Widening
from covector._engine.core.primitive import (
    Index,
    Linear,
    MadeBy,
    Mapped,
    Primitive,
    Scalar,
    View,
    is_zero,
)
from covector._engine.ir.program import Atom, Eqn, Var
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["Named", "OptimizationBarrier"]


@record
class OptimizationBarrier(Primitive):
    """The operands.  What is computed from the results comes after all operands, and is shared with nothing before."""

    name: ClassVar[str] = "optimization_barrier"
    multiple: ClassVar[bool] = True
    passes_on: ClassVar[bool] = True

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return avals

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        return xs

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        outs = self(*primals)
        pushed = iter(self(*[t for t in tangents if not is_zero(t)]))
        return outs, tuple([t if is_zero(t) else next(pushed) for t in tangents])

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        backs = iter(self(*[c for c in ct if not is_zero(c)]))
        found = [c if is_zero(c) else next(backs) for c in ct]
        return [b if isinstance(x, Linear) else None for x, b in zip(args, found, strict=True)]

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(*args), tuple(dims)

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]]:
        return self, used, used

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        forms = [how.wide(a) for a in eqn.inputs]
        more = tuple([a for a in forms if a is not None])
        outputs = tuple([Var(a.aval) for a in more])
        how.record(Eqn(self, (*eqn.inputs, *more), (*eqn.outputs, *outputs), eqn.source))
        rest = iter(outputs)
        return [None if a is None else next(rest) for a in forms]


@record
class Named(Mapped):
    """The operand, which policies of `checkpoint` know by this label."""

    label: str
    name: ClassVar[str] = "name"
    same_memory: ClassVar[bool] = True

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return x

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return self(*primals), tangents[0]

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (ct,)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(*args), dims[0]

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Atom:
        return eqn.inputs[0]

    def element_operands(self, count: int) -> Sequence[int]:
        return (0,)

    def element(self, index: Index, *xs: View) -> Scalar:
        return xs[0](index)

    def work(self, operands: int) -> float:
        return 0.0
