"""How a loop with a condition becomes statements: its carry in locals, or in buffers that take turns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np

from covector._engine.control.carry import advance, held_or_kept, in_locals, settle
from covector._engine.ir.builder import Builder, Kept, Place, load
from covector._engine.ir.program import Program
from covector._engine.types.avals import ShapedArray

TRUTH = ShapedArray((), np.dtype(np.bool_))


def on_locals(
    b: Builder,
    condition: Program,
    body: Program,
    consts: Sequence[Place],
    carry: Sequence[Place],
    gives: Sequence[Place],
) -> None:
    """Condition and body written out element by element; what is carried is in locals."""
    types = body.in_avals[len(consts) :]
    settle(b, locals_of(b, condition, body, consts, carry), gives, types)


def locals_of(
    b: Builder, condition: Program, body: Program, consts: Sequence[Kept], carry: Sequence[Kept]
) -> list[Kept]:
    """The loop; the locals that hold its results, and where those lie that are changed in place."""
    types = body.in_avals[len(consts) :]
    held = held_or_kept(b, carry, types, [b.fit.is_tiny(a) for a in types])
    with b.while_() as holds:
        (tested,) = b.written_out(condition, [*consts, *held])
        (test,) = in_locals(tested).values()
        holds(test)  # type: ignore[arg-type]
        advance(b, held, b.written_out(body, [*consts, *held]))
    return held


def on_buffers(
    b: Builder,
    condition: Program,
    body: Program,
    consts: Sequence[Place],
    carry: Sequence[Place],
    gives: Sequence[Place],
) -> None:
    """The carry in two buffers that take turns."""
    taken = body.inputs[len(consts) :]
    changes = [v is not new for v, new in zip(taken, body.outputs, strict=True)]
    pairs = [
        (b.temp_like(v.aval, "carry"), b.temp_like(v.aval, "next")) if changed else (place, place)
        for place, v, changed in zip(carry, taken, changes, strict=True)
    ]
    for (now, _), place, v in zip(pairs, carry, taken, strict=True):
        b.copy(now, place, v.aval)
    holds_at = b.temp_like(TRUTH, "holds")
    inputs = [*consts, *[now for now, _ in pairs]]
    with b.while_() as holds:
        b.program(condition, inputs, [holds_at])
        holds(load(holds_at.buffer, 0))
        b.program(body, inputs, [following for _, following in pairs])
        for (now, following), v in compress(zip(pairs, taken, strict=True), changes):
            b.swap(now, following, v.aval)
    for out, (now, _), v in zip(gives, pairs, taken, strict=True):
        b.copy(out, now, v.aval)
