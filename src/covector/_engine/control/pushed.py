"""What goes on the tape for a loop of unknown length, and the way back that it stands for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

from covector._engine.base.record import record
from covector._engine.control.call import (
    Call,
    given_ones,
    has_users_batch,
    merged,
    over_lanes,
    spread,
    total,
)
from covector._engine.control.custom import WithRule
from covector._engine.control.derived import Layout, dependent_carry, jvp_body
from covector._engine.control.each import Each
from covector._engine.control.kept import silent
from covector._engine.control.masked import Changing, Where, slopes_only_where
from covector._engine.control.parted import known_steps
from covector._engine.control.unwind import BOUNDED, MANY, Room, Unwound, wide_room
from covector._engine.core.inside import Interpreter
from covector._engine.core.primitive import Primitive, Recorder
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program, Var, replace_inputs
from covector._engine.transforms.programs import Mask, derived, stage_closed
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class Pulling(Changing):
    """A family: what leaves on the tape nothing but a `Pushed` of itself."""

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        """The types of the results."""
        raise self._missing("type")

    def pushing(self, nonzero: Mask) -> tuple[Program, tuple[Any, ...], Mask]:
        """The Program of the tangents that are not Zero, its constants, and which these are."""
        raise self._missing("pushing")

    def pulled(
        self,
        primals: Sequence[Any],
        nonzero: Mask,
        ct: Sequence[Any],
        kept: Sequence[Any],
        sums: Sequence[Any],
    ) -> list[Any]:
        """Cotangents of the operands in the mask, added to what is in `sums`, if that is not None."""
        raise self._missing("pulled")


class Unwinding(Pulling):
    """A family: loops that run again for their gradients."""

    condition: Program
    body: Program
    tape: int | None

    @property
    def layout(self) -> Layout:
        """Where consts and carry are among operands and results."""
        raise self._missing("layout")

    def asking(self) -> Unwinding:
        """The loop that takes a truth value behind its consts, and has no step if that is False."""
        raise self._missing("asking")

    def unwound(self, nonzero: Mask, room: Room) -> Unwound:
        """The way back of one loop, which runs again for it."""
        raise self._missing("unwound")

    def type_of_operands(self) -> list[ShapedArray]:
        """The types that it takes."""
        raise self._missing("type_of_operands")

    def pushing(self, nonzero: Mask) -> tuple[Program, tuple[Any, ...], Mask]:
        """The Program of the tangents that are not Zero, its constants, and which these are."""
        return _pushing(self.body, self, tuple(self.type_of_operands()), nonzero)

    def twice(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Unwinding, Sequence[Any], Mask]:
        """The loop that also pushes tangents, what it takes, and which of the carried values have one."""
        raise self._missing("twice")


def by_rules(loop: Unwinding, primals: Sequence[Any], nonzero: Mask) -> Sequence[Any]:
    """The results of a loop as rules of the user's give them beside tangents: derivatives of these may be others."""
    if not any(isinstance(e.primitive, WithRule) for p in loop.body.within() for e in p.eqns):
        return loop(*primals)
    body, constants = known_steps(loop.body, loop.layout, nonzero)
    more = (*loop.condition.inputs, *[Var(typeof(x)) for x in constants])
    condition = replace_inputs(loop.condition, more)
    again, operands = loop.taking([condition, body], primals, constants)
    return again(*operands)


@derived
def _pushing(
    key: Program, p: Pulling, avals: tuple[ShapedArray, ...], nonzero: Mask
) -> tuple[Program, tuple[Any, ...], Mask]:
    live: list[bool] = []
    n = len(nonzero)

    def run(*args: Any) -> list[Any]:
        given = iter(args[n:])
        tangents = [
            next(given) if mine else Zero(a) for a, mine in zip(avals, nonzero, strict=True)
        ]
        _, pushed = p.jvp(args[:n], tangents)
        live[:] = [type(t) is not Zero for t in pushed]
        return list(compress(pushed, live))

    types = [*avals, *[a.tangent() for a in compress(avals, nonzero)]]
    program, constants = stage_closed(run, types, f"pushed_{key.name}")
    program = silent(program)  # it has had its effects
    inputs, stop = program.inputs, len(types)
    program = replace_inputs(program, (*inputs[:n], *inputs[stop:], *inputs[n:stop]))
    return program, constants, tuple(live)


@record
class PushedLoop(Call):
    """The tangents of the results of a loop, or of a way back, those that are not Zero.

    Operands: its own, what it kept, constants, tangents of the operands in `nonzero`.  It is linear in these.
    """

    loop: Pulling
    nonzero: Mask
    name: ClassVar[str] = "pushed_loop"

    def live(self, used: Sequence[bool]) -> None:
        """All of it is needed: its way back is that of the loop."""

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        """The way back through the loop itself."""
        n, count = len(self.nonzero), sum(self.nonzero)
        _, constants, live = self.loop.pushing(self.nonzero)
        kept = args[n : len(args) - count - len(constants)]
        types = [Zero(a) for a in self.loop.type(*[typeof(x) for x in args[:n]])]
        given = iter(ct)
        cts = [next(given) if mine else zero for mine, zero in zip(live, types, strict=True)]
        first = len(args) - count
        backs = self.loop.pulled(args[:n], self.nonzero, cts, kept, sums[first:])
        return [*[None] * first, *backs]


@record
class WayBack(Each, Pulling):  # type: ignore[misc]
    """The cotangents of a loop's operands, or of so many loops' with lanes; the loop runs again for it.

    Operands: the loop's, cotangents of its results, sums that those of its consts are added to, constants.

    `program` has as much room as there is, or as the loop says, `one` little: derivatives forwards go through what that
    keeps.  Those backwards do not: the cotangent of J(x)'c for a cotangent u is the gradient of c'J(x)u, a way back
    through the loop that pushes u.
    """

    loop: Unwinding
    nonzero: Mask
    name: ClassVar[str] = "way_back"

    def inlined(self) -> Program | None:
        return None if self.lanes else self.program

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        bounded, more = self._bounded()
        return how.run(bounded.program, [*xs, *more])

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        bounded, more = self._bounded()
        return bounded.jvp([*primals, *more], [*tangents, *map(Zero, map(typeof, more))])

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents])
        if self._is_pulled(nonzero):
            outs, types = self(*primals), self.one.out_avals
            program, constants, live = self.pushing(nonzero)
            pushed = PushedLoop(program, self, nonzero)
            return outs, tuple(
                spread(pushed(*primals, *constants, *given_ones(tangents)), live, types)
            )
        bounded, more = self._bounded()
        return bounded.linearize([*primals, *more], [*tangents, *map(Zero, map(typeof, more))])

    def pushing(self, nonzero: Mask) -> tuple[Program, tuple[Any, ...], Mask]:
        return _pushing(self.one, self, self.one.in_avals, nonzero)

    def _is_pulled(self, nonzero: Mask) -> bool:
        """Whether its own way back is one through the loop that pushes tangents."""
        loop, constants = self.loop, len(self.unwound.constants)
        of_constants = nonzero[len(nonzero) - constants :]
        if self.lanes or self.axis_names or loop.body.effects or any(of_constants):
            return False
        return not has_users_slope(loop.body, loop.layout, self._moved)

    @property
    def unwound(self) -> Unwound:
        """What it does for one loop."""
        return self.loop.unwound(self.nonzero, BOUNDED)

    @property
    def _moved(self) -> Mask:
        """Which of the loop's operands it gives cotangents of."""
        found, of = self.unwound, self.loop.layout.operands(self.nonzero)
        consts = merged([False] * of.consts.count(False), found.consts, of.consts)
        return *consts, *found.carry

    def pulled(
        self,
        primals: Sequence[Any],
        nonzero: Mask,
        ct: Sequence[Any],
        kept: Sequence[Any],
        sums: Sequence[Any],
    ) -> list[Any]:
        n, layout, found = len(self.nonzero), self.loop.layout, self.unwound
        own, cts = primals[:n], primals[n : n + sum(found.carry)]
        pushed = tuple(spread(ct, self._moved, [typeof(x) for x in own]))
        loop, operands, live = self.loop.twice(own, pushed)
        carried = [typeof(x) for x in own[layout.consts :]]
        given = spread(cts, found.carry, carried)
        wanted = [*map(Zero, carried), *compress(given, live)]
        mine, more = layout.operands(nonzero[:n]), loop.layout
        mask = [*mine.consts, *[False] * (more.consts - layout.consts)]
        mask += [*mine.carry, *[False] * (more.carry - layout.carry)]
        before = sums[: sum(nonzero[:n])]
        backs: list[Any] = [None] * len(before)
        if any(live):
            backs = loop.pulled(operands, tuple(mask), wanted, (), before)
        ends = spread(loop(*operands)[layout.carry :], live, carried)
        arrived = [*compress(ends, found.carry), *ct[: sum(found.consts)]]
        rest = compress(arrived, nonzero[n:])
        return [*backs, *map(total, sums[len(before) :], rest)]

    def in_two(
        self, args: Sequence[Any], linear: tuple[bool, ...], record: Recorder
    ) -> Sequence[Any]:
        bounded, more = self._bounded()
        return bounded.in_two([*args, *more], (*linear, *[False] * len(more)), record)

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        bounded, more = self._bounded()
        before = (*sums, *[None] * len(more))
        return bounded.transpose_onto(before, ct, *args, *more)[: len(args)]

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        if self.axis_names:
            bounded, more = self._bounded()
            return bounded.batch_named(
                [*args, *more], [*dims, *[None] * len(more)], size, axis_name
            )
        return super().batch_named(args, dims, size, axis_name)

    def masked_each(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        """That of the loop without a step where the mask does not hold."""
        n, loop = len(self.nonzero), self.loop
        if loop.depends(where.mapped[:n]) is not None and not self.lanes:
            given = zip(xs, where.shared, strict=True)
            return self(*[slopes_only_where(mask, x) if mine else x for x, mine in given])
        k, room = loop.layout.consts, MANY if self.lanes else BOUNDED
        asking, nonzero = loop.asking(), (*self.nonzero[:k], False, *self.nonzero[k:])
        own = len(xs) - len(loop.unwound(self.nonzero, room).constants)
        constants = asking.unwound(nonzero, room).constants
        mapped = (*self.mapped[:k], False, *self.mapped[k:own], *[False] * len(constants))
        way, more = way_back(asking, nonzero, self.lanes, mapped)
        return way(*xs[:k], mask, *xs[k:own], *constants, *more)

    def over(self, lanes: tuple[Dim, ...], mapped: Mask) -> tuple[Primitive, tuple[Any, ...]]:
        return way_back(self.loop, self.nonzero, lanes, mapped)

    def _bounded(self) -> tuple[Call, tuple[Any, ...]]:
        """The call that does the same with little room; further operands."""
        program, constants = over_lanes(self.one, self.lanes, self.mapped)
        return Call(program), constants


@derived
def has_users_slope(body: Program, layout: Layout, nonzero: Mask) -> bool:
    """Whether something in a loop that pushes tangents has slopes back that are those of a rule of the user's."""
    found = jvp_body(body, layout, nonzero).program
    return any(eqn.primitive.users_slope for p in found.within() for eqn in p.eqns)


def way_back(
    loop: Unwinding, nonzero: Mask, lanes: tuple[Dim, ...], mapped: Mask
) -> tuple[Primitive, tuple[Any, ...]]:
    """The way back through a loop, or through one for each of the lanes; further operands."""
    own = mapped[: len(nonzero)]
    differ = dependent_carry(loop.body, loop.condition, loop.layout, own) is None
    one = loop.unwound(nonzero, MANY if lanes else BOUNDED).program
    if lanes and differ:
        program, constants = over_lanes(one, lanes, mapped)
        single = loop.unwound(nonzero, wide_room(loop.tape)).program
    else:
        count, single = dims.product(lanes), None
        room = wide_room(loop.tape, count) if isinstance(count, int) else BOUNDED
        program, constants = over_lanes(loop.unwound(nonzero, room).program, lanes, mapped)
    if constants or (lanes and has_users_batch(one)):
        return Call(program), constants
    return WayBack(program, one, lanes, mapped, single, loop, nonzero), ()
