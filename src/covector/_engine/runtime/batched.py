"""Compiled calls in the batch of an eager `vmap`, and calls of the innermost level, whichever kind that is.

The rules stay in Python and run once for each Program, types, and batch axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from covector._engine import _native
from covector._engine.ir.program import Program
from covector._engine.runtime.linearized import Lift, are_numbers, as_array, computing, linear_entry
from covector._engine.transforms.programs import Mask, batch_program
from covector._engine.transforms.widen import meets_64_bits


def level_entry(
    program: Program,
    leaves: Sequence[Any],
    constants: Sequence[Any],
    out_spec: tuple[Any, ...],
    lift: Lift,
    committed: bool = False,
) -> Any:
    """How a call is run with operands of the innermost level; None if it must go by the rules.

    The Program takes the leaves and then the constants.  With `committed` results are, whatever the operands are.
    """
    marks, lifted = _native.marks(leaves)
    numbers, level = are_numbers(leaves), _native.level()
    way = partial(lift, committed=committed) if lifted else None
    if isinstance(level, _native.Batch):
        return batched_entry(
            program, marks, level.size, numbers, constants, out_spec, way, committed
        )
    live = tuple([mark is not None for mark in marks])
    return linear_entry(program, live, numbers, constants, out_spec, lift, way, committed)


def batched_entry(
    program: Program,
    axes: tuple[int | None, ...],
    size: int,
    numbers: Mask,
    constants: Sequence[Any],
    out_spec: tuple[Any, ...],
    lift: Lift | None,
    committed: bool,
) -> Any:
    """How a call is run whose operands have these batch axes; None if it must go by the rules.

    With `lift` there are values of levels further out.
    """
    if any(eqn.effects or eqn.primitive.axis_names for eqn in program.eqns):
        return None
    if any(eqn.primitive.asks_axis for inside in program.within() for eqn in inside.eqns):
        return None
    if lift is not None and any(numbers) and meets_64_bits(program):
        return None  # further out they would be arrays of 32 bits
    found = batch_program(program, (*axes, *[None] * len(constants)), size)
    if found.program.effects:  # of users' rules: checks raise where these run
        return None
    mask = (*numbers, *[False] * (len(found.program.inputs) - len(axes)))
    known = computing(found.program, len(axes), lift, mask)
    if known is None:
        return None
    trailing = [as_array(c) for c in (*constants, *found.constants)]
    kept = list(range(len(axes)))
    return _native.Entry(known, kept, trailing, out_spec, axes=found.dims, committed=committed)
