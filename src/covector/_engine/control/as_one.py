"""Loops with a condition for all elements of a batch that run as one: they end together, or run for the longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.derived import Layout, batch_body
from covector._engine.control.masked import each_its_own
from covector._engine.core.trace import evaluate, typeof
from covector._engine.ir.program import Program, Var, replace_inputs
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.programs import Mask, batch_program, derived, stage_closed
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim


@record(eq=False)
class AsOne:
    """A loop for all elements of a batch."""

    condition: Program
    body: Program
    constants: tuple[Any, ...]
    layout: Layout
    mapped: Mask  # which carried values have a batch axis: it is in front

    @property
    def axes(self) -> list[int | None]:
        """The batch axes of the results."""
        return [0 if mine else None for mine in self.mapped]

    def operands(self, args: Sequence[Any], axes: Sequence[int | None], size: Dim) -> list[Any]:
        """What the loop takes, of these operands of the one that is batched."""
        k = self.layout.consts - len(self.constants)
        carry = [
            prims.batch_to_front(x, d, size) if mine else x
            for x, d, mine in zip(args[k:], axes[k:], self.mapped, strict=True)
        ]
        return [*args[:k], *self.constants, *carry]


@derived
def as_one(
    body: Program,
    condition: Program,
    layout: Layout,
    dims: tuple[int | None, ...],
    how: Batching,
) -> AsOne | None:
    """The loop for all elements, if their conditions are one."""
    size, axis_name = how.size, how.axis_name
    found = batch_body(body, layout, dims, size, axis_name)
    mapped = tuple([d is not None for d in found.live.carry])
    given = layout.operands(dims)
    axes = (*given.consts, *[0 if mine else None for mine in mapped])
    test = batch_program(condition, axes, size, axis_name)
    if test.dims[0] is not None:
        return None
    k = layout.consts
    inputs = test.program.inputs
    extra = [Var(typeof(c)) for c in found.constants]
    n = len(condition.inputs)
    whole = replace_inputs(test.program, [*inputs[:k], *extra, *inputs[n:], *inputs[k:n]])
    own = found.layout.operands(found.program.inputs)
    more = [Var(typeof(c)) for c in test.constants]
    wider = replace_inputs(found.program, [*own.consts, *more, *own.carry])
    constants = (*found.constants, *test.constants)
    return AsOne(whole, wider, constants, Layout(k + len(constants), layout.carry), mapped)


@derived
def for_the_longest(
    body: Program,
    condition: Program,
    layout: Layout,
    dims: tuple[int | None, ...],
    how: Batching,
    together: bool,
) -> AsOne:
    """The loop for all elements that runs until no condition holds; those whose does not hold keep their values.

    `together`: also these answer what the others ask.
    """
    given, n = layout.operands(dims), layout.carry
    axes = (*given.consts, *[0] * n)
    tested = batch_program(condition, axes, how.size, how.axis_name, (True,))
    stays = Program(body.inputs, (), body.inputs[layout.consts :], name="done")

    def holds(*xs: Any) -> list[Any]:
        return [prims.Any_((0,))(evaluate(tested.program, [*xs, *tested.constants])[0])]

    def step(*xs: Any) -> Sequence[Any]:
        (still,) = evaluate(tested.program, [*xs, *tested.constants])
        index = prims.convert(still, dtypes.int32)
        return each_its_own([stays, body], index, xs, axes, how, together)[0]

    avals = [
        a if d is None else a.with_shape((*a.shape[:d], how.size, *a.shape[d:]))
        for a, d in zip(body.in_avals, axes, strict=True)
    ]
    whole, first = stage_closed(holds, avals, condition.name)
    wider, second = stage_closed(step, avals, body.name)
    k, stop = layout.consts, len(avals)
    extra = [Var(typeof(c)) for c in first], [Var(typeof(c)) for c in second]
    tests, steps = whole.inputs, wider.inputs
    condition = replace_inputs(whole, [*tests[:k], *tests[stop:], *extra[1], *tests[k:stop]])
    body = replace_inputs(wider, [*steps[:k], *extra[0], *steps[stop:], *steps[k:stop]])
    constants = (*first, *second)
    return AsOne(condition, body, constants, Layout(k + len(constants), n), (True,) * n)
