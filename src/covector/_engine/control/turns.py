"""How a scan becomes statements: its carry in locals, in buffers that take turns, or point by point."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import compress
from typing import Any, Protocol

from covector._engine.control.carry import advance, hold, in_locals, settle, source_of
from covector._engine.control.derived import Layout, Operands, Results, Turns
from covector._engine.ir.builder import Builder, Fit, Index, Kept, Operand, Place, Points, Result
from covector._engine.ir.program import Program
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class Stepped(Protocol):
    """A loop with a known number of steps, as far as its statements go."""

    @property
    def body(self) -> Program: ...

    @property
    def layout(self) -> Layout: ...

    def turns(self, b: Builder, fit: Fit | None) -> list[Turns]: ...

    def turn(self, turns: Turns, t: Dim) -> tuple[Program, list[Dim]]: ...


def on_locals(
    b: Builder,
    scan: Stepped,
    takes: Operands[Operand],
    gives: Results[Result],
    loops: Sequence[Turns],
) -> None:
    """The body written out element by element; what is carried is in locals."""
    held: list[Kept] = []
    for x, out in zip(takes.carry, gives.carry, strict=True):
        if b.fit.is_tiny(x.aval):
            held.append(hold(b, source_of(x), x.aval))
        else:
            b.copy(out.place, x)  # it is changed where the result lies
            held.append(out.place)
    consts = [x.place for x in takes.consts]
    for turns in loops:
        t = b.variable("t", turns.count)
        body, positions = scan.turn(turns, t)
        with b.loop(t, turns.count):
            slices = _slices(scan, takes.xs, positions)
            values = scan.layout.results(b.written_out(body, [*consts, *held, *slices]))
            for place, elements in zip(_stacks(scan, gives.ys, positions), values.ys, strict=True):
                for i, e in in_locals(elements).items():
                    b.store(place[0], place[1].shape, i, e)
            advance(b, held, values.carry)
    settle(b, held, [r.place for r in gives.carry], [r.aval for r in gives.carry])


def arrays_by_points(
    scan: Stepped,
    b: Builder,
    operands: Sequence[Operand],
    results: Sequence[Result],
    points: Points,
) -> None:
    """Several points side by side, as far apart as they can be, then those that are left."""
    takes, gives = scan.layout.operands(operands), scan.layout.results(results)
    shape: list[Any] = list(points.shape)
    axis = shape.index(max(shape))
    runs, rest = divmod(shape[axis], points.together)
    for count, first, together in ((runs, 0, points.together), (rest, shape[axis] - rest, 1)):
        if count:
            extents = [*shape[:axis], count, *shape[axis + 1 :]]
            with ExitStack() as blocks:
                at = [b.variable("p", n) for n in extents]
                for variable, n in zip(at, extents, strict=True):
                    blocks.enter_context(b.loop(variable, n, free=True))
                step = [0] * axis + [count] + [0] * (len(shape) - axis - 1)
                start = [0] * axis + [first] + [0] * (len(shape) - axis - 1)
                _all_steps(b, scan, takes, gives, [
                    tuple([i + f + k * s for i, f, s in zip(at, start, step, strict=True)])
                    for k in range(together)
                ])  # fmt: skip


def _all_steps(
    b: Builder, scan: Stepped, takes: Operands[Operand], gives: Results[Result], at: Sequence[Index]
) -> None:
    """The steps at some points; what is carried is in locals."""
    held = [hold(b, source_of(x), x.aval, at if x.aval.shape else [()]) for x in takes.carry]
    consts = [x.place for x in takes.consts]
    for turns in scan.turns(b, None):
        t = b.variable("t", turns.count)
        body, positions = scan.turn(turns, t)
        with b.loop(t, turns.count):
            slices = _slices(scan, takes.xs, positions)
            advance(b, held, b.at_points(body, [*consts, *held, *slices], at))
    arrays = [bool(r.aval.shape) for r in gives.carry]
    settle(
        b,
        list(compress(held, arrays)),
        [r.place for r in compress(gives.carry, arrays)],
        [r.aval for r in compress(gives.carry, arrays)],
    )


def on_buffers(
    b: Builder,
    scan: Stepped,
    takes: Operands[Operand],
    gives: Results[Result],
    loops: Sequence[Turns],
) -> None:
    """The carry in two buffers that take turns; each loop has two of its own, so that it may have them in one place."""
    consts = [x.place for x in takes.consts]
    now = [x.place for x in takes.carry]
    types = [x.aval for x in takes.carry]
    changes = [
        v is not new
        for v, new in zip(
            scan.layout.operands(scan.body.inputs).carry, scan.body.outputs, strict=False
        )
    ]
    for turns in loops:
        pairs = [
            (b.temp_like(aval, "carry"), b.temp_like(aval, "next")) if changed else (place, place)
            for place, aval, changed in zip(now, types, changes, strict=True)
        ]
        if turns.count == 1:  # to where the next loop begins, or to the results
            last = turns is loops[-1]
            pairs = [
                (
                    place,
                    (out.place if last and out.place != place else pair[1]) if changed else place,
                )
                for place, out, pair, changed in zip(now, gives.carry, pairs, changes, strict=True)
            ]
        for (current, _), place, aval in zip(pairs, now, types, strict=True):
            b.copy(current, place, aval)
        t = b.variable("t", turns.count)
        body, positions = scan.turn(turns, t)
        with b.loop(t, turns.count):
            inputs = [
                *consts,
                *[current for current, _ in pairs],
                *_slices(scan, takes.xs, positions),
            ]
            outputs = [place for place, _ in _stacks(scan, gives.ys, positions)]
            b.program(body, inputs, [*[following for _, following in pairs], *outputs])
            if turns.count != 1:
                rows = zip(pairs, types, strict=True)
                for (current, following), aval in compress(rows, changes):
                    b.swap(current, following, aval)
        now = [pair[turns.count == 1] for pair in pairs]
    for out, place in zip(gives.carry, now, strict=True):
        b.copy(out.place, place, out.aval)


def _slices(scan: Stepped, xs: Sequence[Operand], positions: Sequence[Dim]) -> list[Place]:
    """Where the slices lie that the steps of a turn see, step by step."""
    types = [v.aval for v in scan.layout.operands(scan.body.inputs).xs]
    return [x.place.slice(aval, at) for at in positions for x, aval in zip(xs, types, strict=True)]


def _stacks(
    scan: Stepped, ys: Sequence[Result], positions: Sequence[Dim]
) -> list[tuple[Place, ShapedArray]]:
    """Where what the steps of a turn give is stacked, step by step, and its types."""
    types = scan.layout.results(scan.body.out_avals).ys
    return [
        (y.place.slice(aval, at), aval)
        for at in positions
        for y, aval in zip(ys, types, strict=True)
    ]
