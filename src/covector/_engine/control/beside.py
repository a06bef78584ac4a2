"""Loops of a batch that go step by step as one, where loops in them end at other times: but back each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.call import Call
from covector._engine.control.flat import Lanes, alone, has_large_loop, linearized_flat
from covector._engine.control.masked import Changing
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.batch import place_axis
from covector._engine.transforms.programs import Mask, derived, stage_closed
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


@record
class Beside(Call):
    """What `program` gives, which is `loop` for each element of a batch.

    The results, and the operands in the mask, have an axis in front.  Backwards each is one loop with those in it: by
    `program` a loop inside would keep its large arrays in each step of the one around it.
    """

    loop: Changing
    size: Dim
    mapped: Mask
    name: ClassVar[str] = "beside"

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        kept = self.loop.bytes_kept_inside()
        avals = [_element(typeof(x), m) for x, m in zip(primals, self.mapped, strict=True)]
        lanes = Lanes(alone(self.loop, avals), (self.size,), self.mapped)
        flat = linearized_flat(self, lanes, primals, tangents, kept) if kept else None
        return flat or super().linearize(primals, tangents)


def ends_apart(one: Program, batched: Program) -> bool:
    """Whether large loops in a body end at other times for each element of a batch."""
    return has_large_loop(one) and not has_large_loop(batched)


def beside(
    loop: Changing, args: Sequence[Any], axes: Sequence[int | None], size: Dim
) -> tuple[Any, Any]:
    """The results of a loop for each element of a batch."""
    mapped = tuple([d is not None for d in axes])
    xs = [x if d is None else prims.move_axis(x, d, 0) for x, d in zip(args, axes, strict=True)]
    program, constants = _batched(loop.programs()[-1], loop, tuple(map(typeof, xs)), mapped, size)
    n = len(program.outputs)
    if constants:
        return Call(program)(*xs, *constants), [0] * n
    return Beside(program, loop, size, mapped)(*xs), [0] * n


@derived
def _batched(
    _: Program, loop: Changing, avals: tuple[ShapedArray, ...], mapped: Mask, size: Dim
) -> tuple[Program, tuple[Any, ...]]:
    axes = [0 if mine else None for mine in mapped]

    def run(*xs: Any) -> list[Any]:
        outs, found = loop.batch_together(xs, axes, size)
        return [place_axis(x, d, 0, size) for x, d in zip(outs, found, strict=True)]

    return stage_closed(run, avals, f"batched_{loop.name}")


def _element(aval: ShapedArray, mapped: bool) -> ShapedArray:
    return aval.with_shape(aval.shape[1:]) if mapped else aval
