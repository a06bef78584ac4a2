"""How a scan becomes statements: its carry in locals, in buffers that take turns, or point by point."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from covector._engine.base.record import record
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


@record(eq=False)
class Steps:
    """The statements of a scan: where they go, what it is, and where operands and results lie."""

    b: Builder
    scan: Stepped
    takes: Operands[Operand]
    gives: Results[Result]

    @property
    def consts(self) -> list[Place]:
        """Where what all steps see lies."""
        return [x.place for x in self.takes.consts]

    def on_locals(self, loops: Sequence[Turns]) -> None:
        """The body written out element by element; what is carried is in locals."""
        b, gives = self.b, self.gives
        held: list[Kept] = []
        for x, out in zip(self.takes.carry, gives.carry, strict=True):
            if b.fit.is_tiny(x.aval):
                held.append(hold(b, source_of(x), x.aval))
            else:
                b.copy(out.place, x)  # it is changed where the result lies
                held.append(out.place)
        for turns in loops:
            t = b.variable("t", turns.count)
            body, positions = self.scan.turn(turns, t)
            with b.loop(t, turns.count):
                given = [*self.consts, *held, *self._slices(positions)]
                values = self.scan.layout.results(b.written_out(body, given))
                for place, elements in zip(self._stacks(positions), values.ys, strict=True):
                    for i, e in in_locals(elements).items():
                        b.store(place[0], place[1].shape, i, e)
                advance(b, held, values.carry)
        settle(b, held, [r.place for r in gives.carry], [r.aval for r in gives.carry])

    def by_points(self, points: Points) -> None:
        """Several points side by side, as far apart as they can be, then those that are left."""
        b = self.b
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
                    starts = [first + k * count for k in range(together)]
                    self._all_steps([(*at[:axis], at[axis] + n, *at[axis + 1 :]) for n in starts])

    def _all_steps(self, at: Sequence[Index]) -> None:
        """The steps at some points; what is carried is in locals."""
        b, carry = self.b, self.gives.carry
        held = [
            hold(b, source_of(x), x.aval, at if x.aval.shape else [()]) for x in self.takes.carry
        ]
        for turns in self.scan.turns(b, None):
            t = b.variable("t", turns.count)
            body, positions = self.scan.turn(turns, t)
            with b.loop(t, turns.count):
                given = [*self.consts, *held, *self._slices(positions)]
                advance(b, held, b.at_points(body, given, at))
        arrays = [(r, x) for r, x in zip(carry, held, strict=True) if r.aval.shape]
        places, types = [r.place for r, _ in arrays], [r.aval for r, _ in arrays]
        settle(b, [x for _, x in arrays], places, types)

    def on_buffers(self, loops: Sequence[Turns]) -> None:
        """The carry in two buffers that take turns.

        Each loop has two of its own, so that it may have them in one place.
        """
        now = [x.place for x in self.takes.carry]
        for turns in loops:
            now = self._turns_on_buffers(turns, now, turns is loops[-1])
        for out, place in zip(self.gives.carry, now, strict=True):
            self.b.copy(out.place, place, out.aval)

    def _turns_on_buffers(self, turns: Turns, begin: Sequence[Place], last: bool) -> list[Place]:
        """A loop whose carry begins here; where it ends."""
        b, types = self.b, [x.aval for x in self.takes.carry]
        pairs = self._pairs(begin, turns.count == 1, last)
        for (current, _), place, aval in zip(pairs, begin, types, strict=True):
            b.copy(current, place, aval)
        t = b.variable("t", turns.count)
        body, positions = self.scan.turn(turns, t)
        with b.loop(t, turns.count):
            inputs = [*self.consts, *[now for now, _ in pairs], *self._slices(positions)]
            stacks = [place for place, _ in self._stacks(positions)]
            b.program(body, inputs, [*[following for _, following in pairs], *stacks])
            if turns.count != 1:
                for (now, following), aval in zip(pairs, types, strict=True):
                    if now != following:
                        b.swap(now, following, aval)
        return [pair[turns.count == 1] for pair in pairs]

    def _pairs(self, begin: Sequence[Place], once: bool, last: bool) -> list[tuple[Place, Place]]:
        """Where each carried value lies before and after a step; what no step changes stays where it is.

        A loop of one turn goes from there to where the next loop begins, the last one to the results.
        """
        inputs = self.scan.layout.operands(self.scan.body.inputs).carry
        pairs: list[tuple[Place, Place]] = []
        for place, v, new, out in zip(
            begin, inputs, self.scan.body.outputs, self.gives.carry, strict=False
        ):
            if v is new:
                pairs.append((place, place))
                continue
            now = place if once else self.b.temp_like(v.aval, "carry")
            ends = once and last and out.place != place
            pairs.append((now, out.place if ends else self.b.temp_like(v.aval, "next")))
        return pairs

    def _slices(self, positions: Sequence[Dim]) -> list[Place]:
        """Where the slices lie that the steps of a turn see, step by step."""
        types = [v.aval for v in self.scan.layout.operands(self.scan.body.inputs).xs]
        rows = list(zip(self.takes.xs, types, strict=True))
        return [x.place.slice(aval, at) for at in positions for x, aval in rows]

    def _stacks(self, positions: Sequence[Dim]) -> list[tuple[Place, ShapedArray]]:
        """Where what the steps of a turn give is stacked, step by step, and its types."""
        types = self.scan.layout.results(self.scan.body.out_avals).ys
        rows = list(zip(self.gives.ys, types, strict=True))
        return [(y.place.slice(aval, at), aval) for at in positions for y, aval in rows]
