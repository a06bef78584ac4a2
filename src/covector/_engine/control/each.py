"""`Each`: a Program for each element of a batch, one after the other, or in lanes if it is small."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base.record import record, replace
from covector._engine.control.call import Call, Transparent, has_users_batch, over_lanes
from covector._engine.control.carry import hold, settle
from covector._engine.control.flat import Blocks, bytes_kept, has_large_loop
from covector._engine.control.masked import Changing, Where, changed_in_place, masked_program
from covector._engine.core.inside import Widening
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Kept, Operand, Result
from covector._engine.ir.program import Atom, Eqn, Program, Var
from covector._engine.transforms.programs import Mask
from covector._engine.transforms.widen import wide_program
from covector._engine.types import dims
from covector._engine.types.dims import Dim


@record
class Each(Transparent, Changing):  # type: ignore[misc]
    """What `program` gives, which is `one` for each element of a batch.

    The leading axes of all results, and of the operands in the mask, are `lanes`.  Where `one` can be written out,
    each element runs through all of it on its own, with scratch memory that is used again for the next: the way back
    through 1,000 loops keeps the states of 32 of them at once.  Else it is a loop of `single`, which does the same in
    more memory, that each element uses again; or, if there is none, and in its derivatives, a call of `program`.
    """

    program: Program
    one: Program
    lanes: tuple[Dim, ...]
    mapped: Mask
    single: Program | None
    name: ClassVar[str] = "each"

    def programs(self) -> tuple[Program, ...]:
        """Those that may run."""
        return self.program if self.single is None else self.single, self.one

    @property
    def side_by_side(self) -> bool:
        return bool(self.lanes)

    def with_programs(self, programs: Sequence[Program]) -> Each:
        first, one = programs
        if self.single is None:
            return replace(self, program=first, one=one)
        return replace(self, single=first, one=one)

    def inlined(self) -> None:
        """Nothing: how it is done depends on the target."""

    def live(self, used: Sequence[bool]) -> None:
        """All of it is needed: both Programs give the same."""

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        """The same for the elements of a batch that has one axis more."""
        assert axis_name is None or axis_name not in self.axis_names, "lanes read no named axis"
        n = len(self.lanes)
        mapped = [mine or d is not None for mine, d in zip(self.mapped, dims, strict=True)]
        xs = list(args)
        for i, (x, d) in enumerate(zip(args, dims, strict=True)):
            if mapped[i]:
                x = prims.batch_to_front(x, d, size)
                shape = typeof(x).shape
                wide = prims.Broadcast((size, *self.lanes, *shape[1:]), tuple(range(1, n + 1)))
                xs[i] = x if self.mapped[i] else wide(x)
        way, constants = self.over((size, *self.lanes), tuple(mapped))
        return way(*xs, *constants), [0] * len(self.one.outputs)

    def changed(self) -> Sequence[int | None]:
        return changed_in_place([self.program])

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        """As a call of `program`, if that changes arrays in place: for each element they would be copied."""
        if not any(where.kept):
            return self.masked_each(mask, where, xs)
        found = masked_program(self.program, where)
        return Call(found.program)(*xs, mask, *found.constants)

    def has_large_loop(self) -> bool:
        return not self.lanes and has_large_loop(self.one)

    def bytes_kept(self, on: Mask) -> int:
        return bytes_kept(self.one, on)

    def in_blocks(self, blocks: Blocks, operands: Sequence[Atom]) -> Sequence[Atom]:
        return blocks.run(self.one, operands)

    def masked_each(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        """Where nothing is kept."""
        found = masked_program(self.one, where)
        mapped = (*self.mapped, *[False] * (1 + len(found.constants)))
        way, more = for_each(found.program, self.lanes, mapped)
        return way(*xs, mask, *found.constants, *more)

    def over(self, lanes: tuple[Dim, ...], mapped: Mask) -> tuple[Primitive, tuple[Any, ...]]:
        """The same over other lanes; further operands."""
        return for_each(self.one, lanes, mapped)

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        takes = tuple([how.wide(a) is not None for a in eqn.inputs])
        asked = tuple([v.aval.wide() is not None for v in eqn.outputs])
        every, one, single = [
            p and wide_program(p, takes, asked, asked).program
            for p in (self.program, self.one, self.single)
        ]
        mapped = *self.mapped, *compress(self.mapped, takes)
        each = replace(self, program=every, one=one, single=single, mapped=mapped)
        more = [how.widened(a, eqn.source) for a in compress(eqn.inputs, takes)]
        forms = [wide and Var(wide) for wide in [v.aval.wide() for v in eqn.outputs]]
        outputs = *eqn.outputs, *[v for v in forms if v is not None]
        how.record(Eqn(each, (*eqn.inputs, *more), outputs, eqn.source))
        return forms

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        types = self.one.in_avals
        local = [b.fit.is_tiny(a) for a in types]
        found = b.fit(self.one, local)
        small = found is not None and not found.changed and set(found.places) <= {None}
        if self.single is None and not small:
            b.program(self.program, [x.place for x in operands], [r.place for r in results])
            return
        count = dims.product(self.lanes)
        lane = b.variable("lane", count)
        rows = zip(operands, types, self.mapped, strict=True)
        places = [x.place.slice(aval, lane) if mine else x.place for x, aval, mine in rows]
        ends = [r.place.slice(a, lane) for r, a in zip(results, self.one.out_avals, strict=True)]
        with b.loop(lane, count, free=small):
            if not small:
                assert self.single is not None
                b.program(self.single, places, ends)
                return
            given: list[Kept] = [
                hold(b, where, aval) if tiny else where
                for where, aval, tiny in zip(places, types, local, strict=True)
            ]
            settle(b, b.written_out(self.one, given), ends, self.one.out_avals)


def for_each(
    one: Program, lanes: tuple[Dim, ...], mapped: Mask
) -> tuple[Primitive, tuple[Any, ...]]:
    """What a Program does, for each element of the leading axes of the operands in a mask; further operands."""
    program, constants = over_lanes(one, lanes, mapped)
    if constants or not lanes or has_users_batch(one):
        return Call(program), constants
    return Each(program, one, lanes, mapped, one), ()
