"""Loops and branches on numbers that keep 64 bits: beside what they compute in 32 bits they carry it in 64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress

from covector._engine.base.record import record
from covector._engine.control.derived import Layout, Operands, Results, as_body, either
from covector._engine.core.inside import Widening
from covector._engine.core.primitive import Primitive
from covector._engine.ir.program import Atom, Eqn, Program, Var
from covector._engine.transforms.programs import Mask, derived
from covector._engine.transforms.widen import wide_program


@record(eq=False)
class WideBody:
    """A body that also takes inputs in 64 bits, those in a mask, and gives results in these."""

    program: Program
    layout: Layout
    takes: Operands[bool]
    gives: Results[bool]


@derived
def wide_body(body: Program, layout: Layout, numbers: Mask) -> WideBody:
    """The body for operands of which those in the mask are there in 64 bits."""
    given = layout.operands(numbers)
    asked = tuple([a.wide() is not None for a in body.out_avals])
    carry, ys = given.carry, (False,) * (len(body.outputs) - layout.carry)
    while True:
        takes = Operands(given.consts, carry, given.xs)
        found = wide_program(body, takes.flat, asked, (*carry, *ys))
        gives = layout.results(found.gives)
        if gives.carry == carry:
            break
        carry = either(carry, gives.carry)
    program, wide = as_body(found.program, body, layout, takes)
    return WideBody(program, wide, takes, gives)


def widened_loop(
    eqn: Eqn,
    how: Widening,
    body: Program,
    layout: Layout,
    make: Callable[[WideBody], Primitive],
) -> list[Atom | None]:
    """Record the equation of the loop that `make` gives for a body with more in 64 bits; its results in these."""
    found = wide_body(body, layout, tuple([how.wide(a) is not None for a in eqn.inputs]))
    inputs, outputs = layout.operands(eqn.inputs), layout.results(eqn.outputs)
    more = [
        [how.widened(a, eqn.source) for a in compress(part, mask)]
        for part, mask in (
            (inputs.consts, found.takes.consts),
            (inputs.carry, found.takes.carry),
            (inputs.xs, found.takes.xs),
        )
    ]
    forms = layout.results([
        Var(wide) if mine and (wide := v.aval.wide()) is not None else None
        for v, mine in zip(eqn.outputs, found.gives.flat, strict=True)
    ])  # fmt: skip
    carry, ys = [[v for v in part if v is not None] for part in (forms.carry, forms.ys)]
    operands = *inputs.consts, *more[0], *inputs.carry, *more[1], *inputs.xs, *more[2]
    results = *outputs.carry, *carry, *outputs.ys, *ys
    how.record(Eqn(make(found), operands, results, eqn.source))
    return list(forms.flat)
