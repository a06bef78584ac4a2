"""`Cond`: one of several Programs, chosen by an index, as one operation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.errors import at_user_line
from covector._engine.base.explained import explain, is_asked
from covector._engine.base.record import record, replace
from covector._engine.control.branches import (
    Rest,
    Slots,
    all_branches,
    batch_branches,
    branches_key,
    either,
    jvp_branches,
    own_slots,
    part_branches,
    split_branches,
    transpose_branches,
    wide_branches,
    with_all_constants,
    with_slots,
)
from covector._engine.control.call import (
    IN_NUMPY,
    Call,
    added_onto,
    axis_names_of,
    check_types,
    given_ones,
    has_users_batch,
    left,
    merged,
    spread,
)
from covector._engine.control.carry import advance, computed, element_of, hold, indices
from covector._engine.control.flat import Blocks, bytes_kept, has_large_loop
from covector._engine.control.kept import parted_body
from covector._engine.control.loop import Scan
from covector._engine.control.masked import (
    Changing,
    Where,
    changed_in_most,
    changed_in_place,
    chosen,
    each_its_own,
    masked_program,
    of_any,
)
from covector._engine.control.touching import settling
from covector._engine.core.inside import Checking, Interpreter, Widening
from covector._engine.core.primitive import Primitive, Recorder
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import _state
from covector._engine.ir.builder import (
    Builder,
    Fit,
    Fitting,
    Kept,
    Operand,
    Place,
    Result,
    constant,
)
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Program,
    Var,
    inputs_read,
    replace_inputs,
)
from covector._engine.ir.scalar import Expr
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.programs import (
    Mask,
    dependent,
    derived,
    part_of,
    stage_without_constants,
)
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim

INDEX = ShapedArray((), np.dtype(np.int32))


@record
class Cond(Changing):
    """The results of the branch with this index.

    Operands: the index, an int32 from 0 to below the number of branches; then what each branch takes.  Only the branch
    that is chosen runs.  For a batch of indices all run, and results are selected.

    A branch may ask all elements of a named axis for something: then they answer as if each had taken it.  Unless the
    index is known to be one for all of them, `agreed`, derivatives are those of `_for_all`.
    """

    branches: tuple[Program, ...]
    agreed: bool = False
    name: ClassVar[str] = "cond"
    multiple: ClassVar[bool] = True

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return frozenset[Hashable]().union(*map(axis_names_of, self.branches))

    def text(self) -> str:
        return f"cond[{', '.join([b.name for b in self.branches])}]"

    def programs(self) -> tuple[Program, ...]:
        return self.branches

    def with_programs(self, programs: Sequence[Program]) -> Cond:
        return replace(self, branches=tuple(programs))

    def depends(self, on: tuple[bool, ...]) -> Sequence[bool] | None:
        return None if on[0] else either([dependent(b, on[1:]) for b in self.branches])

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]]:
        """The branches with these results alone, and what those take."""
        takes = either([inputs_read(part_of(b, tuple(used))) for b in self.branches])
        return (
            self.with_programs([part_of(b, tuple(used), takes) for b in self.branches]),
            (True, *takes),
            used,
        )

    def parted(
        self, keep: Callable[[Eqn], bool]
    ) -> tuple[Primitive, Primitive, tuple[ShapedArray, ...]] | None:
        """What one branch keeps lies where another one keeps something of the same type."""
        if self._may_disagree:
            return None
        found = [parted_body(b, keep) for b in self.branches]
        slots: Slots = {}
        owned = [own_slots([v.aval for v in f.kept], slots) for f in found]
        if not slots or not any(f.second.eqns for f in found):
            return None
        n, m = len(self.branches[0].inputs), len(self.branches[0].outputs)
        first = [with_slots(f.first, m, own, slots) for f, own in zip(found, owned, strict=True)]
        second: list[Program] = []
        for f, own in zip(found, owned, strict=True):
            mine = dict(zip(own, f.kept, strict=True))
            taken = [mine.get(slot) or Var(aval) for (aval, _), slot in slots.items()]
            second.append(replace_inputs(f.second, (*f.second.inputs[:n], *taken)))
        kept = tuple([aval for aval, _ in slots])
        return self.with_programs(first), self.with_programs(second), kept

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """Branches on the index, by halves: each to where the results lie."""
        index, *rest = operands
        places = [x.place for x in rest]
        outputs = [r.place for r in results]
        ends = [
            (r, k, n - 1)
            for k, (r, n) in enumerate(zip(results, self.carried, strict=True))
            if n is not None and r.place == places[n - 1]
        ]
        for r, k, n in ends:
            # Begun where it ends: taken out and put back, which `memory` leaves out.
            places[n], outputs[k] = b.temp_like(r.aval, "begin"), b.temp_like(r.aval, "end")
            b.copy(places[n], r.place, r.aval)
        self._branches(b, index, places, outputs)
        for r, k, _ in ends:
            b.copy(r.place, outputs[k], r.aval)

    def _branches(
        self, b: Builder, index: Operand, places: Sequence[Place], outputs: Sequence[Place]
    ) -> None:
        if index.literal is not None:
            b.program(self.branches[int(index.literal)], places, outputs)
            return
        value = index.at(())
        assert isinstance(value, Expr)
        _by_halves(b, value, self.branches, lambda body: b.program(body, places, outputs))

    def fits_locals(self, fit: Fitting, in_locals: Sequence[bool]) -> Fit | None:
        found = [fit(body, in_locals[1:]) for body in self.branches]
        fits = [f for f in found if f is not None]
        if len(fits) < len(found) or len({f.places for f in fits}) > 1:
            return None
        places = [None if n is None else n + 1 for n in fits[0].places]
        stored = [n for n in places if n is not None]
        changed = frozenset([*stored, *[n + 1 for f in fits for n in f.changed]])
        if len(set(stored)) < len(stored) or len(changed) > len(stored):
            return None
        return Fit(
            tuple(places), changed, sum([f.size for f in fits]), sum([f.memory for f in fits])
        )

    def written(self, b: Builder, operands: Sequence[Kept]) -> list[Kept]:
        """Branches that give locals their values, or change what lies in memory."""
        index = element_of(operands[0], INDEX)(())
        assert isinstance(index, Expr)
        truth = (
            index.op == "convert" and index.args[0].dtype == np.bool_ and len(self.branches) == 2
        )
        index = b.local(index.args[0] if truth else index)
        rest = [computed(b, x) for x in operands[1:]]
        held: list[Kept | None] = []
        for aval in self.branches[0].out_avals:
            zero = constant(aval.dtype.type(0), aval.dtype)
            begin = dict.fromkeys(indices(aval), zero) if b.fit.is_tiny(aval) else None
            held.append(None if begin is None else hold(b, begin, aval))

        def run(body: Program) -> None:
            values = b.written_out(body, rest)
            for n, x in enumerate(values):
                if isinstance(x, Place):
                    held[n] = x
            advance(b, [h for h in held if h is not None], values)

        if (
            truth
        ):  # of a number the test would be one more comparison, and a vector of numbers in lanes
            with b.if_(index):
                run(self.branches[1])
            with b.else_():
                run(self.branches[0])
        else:
            _by_halves(b, index, self.branches, run)
        return [h for h in held if h is not None]

    # ------------------------------------------------------------------------------------------------- rules

    def type(self, index: ShapedArray, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        check_types(self.name, "index", [INDEX], [index])
        first = self.branches[0]
        check_types(self.name, "operands", first.in_avals, avals)
        for branch in self.branches[1:]:
            check_types(self.name, "operands of the branches", first.in_avals, branch.in_avals)
            check_types(self.name, "results of the branches", first.out_avals, branch.out_avals)
        return first.out_avals

    def reference(self, index: Any, *xs: Any) -> tuple[Any, ...]:
        return tuple(self.interpreted(IN_NUMPY, index, *xs))

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        return how.run(self.branches[int(how.number(xs[0]))], xs[1:])

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        outs = self.with_programs([*map(how.program, self.branches)])(*xs, *state)
        n = len(self.branches[0].outputs)
        return outs[:n], outs[n:]

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        index, *operands = eqn.inputs
        numbers = tuple([how.wide(a) is not None for a in operands])
        branches, gives = wide_branches(*branches_key(self.branches), numbers)
        more = [how.widened(a, eqn.source) for a in compress(operands, numbers)]
        forms = [
            Var(wide) if mine and (wide := v.aval.wide()) is not None else None
            for v, mine in zip(eqn.outputs, gives, strict=True)
        ]
        outputs = *eqn.outputs, *[v for v in forms if v is not None]
        how.record(
            Eqn(self.with_programs(branches), (index, *operands, *more), outputs, eqn.source)
        )
        return forms

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents[1:]])
        found = jvp_branches(*branches_key(self.branches), nonzero)
        outs = self.with_programs(found.branches)(
            *primals, *given_ones(tangents[1:]), *found.constants
        )
        n = len(self.branches[0].outputs)
        return outs[:n], tuple(spread(outs[n:], found.live, self.branches[0].out_avals))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        if self._may_disagree:
            return self._for_all().linearize(primals, tangents)
        nonzero = tuple([type(t) is not Zero for t in tangents[1:]])
        found = split_branches(*branches_key(self.branches), nonzero)
        known = (*primals[1:], *found.constants)
        outs = self.with_programs(found.known)(primals[0], *known)
        pushed: Sequence[Any] = ()
        if any(found.live):
            values = (*known, *outs)
            residuals = [values[i] for i in found.residuals]
            pushed = self.with_programs(found.linear)(
                primals[0], *residuals, *given_ones(tangents[1:])
            )
        n = len(self.branches[0].outputs)
        return outs[:n], tuple(spread(pushed, found.live, self.branches[0].out_avals))

    def in_two(
        self, args: Sequence[Any], linear: tuple[bool, ...], record: Recorder
    ) -> Sequence[Any]:
        if self._may_disagree:
            return self._for_all().in_two(args, linear, record)
        index, *rest = args
        found = part_branches(*branches_key(self.branches), linear[1:])
        known = (*left(rest, linear[1:]), *found.constants)
        outs = self.with_programs(found.known)(index, *known)
        values = (*known, *outs)
        residuals = [values[i] for i in found.residuals]
        given = [index, *residuals, *compress(rest, linear[1:])]
        return merged(outs, record(self.with_programs(found.linear), given), found.live)

    adds_onto: ClassVar[bool] = True

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        if self._may_disagree:
            return self._for_all().transpose_onto(sums, ct, *args)
        index, *args = args  # type: ignore[assignment]
        linear = tuple([isinstance(x, Linear) for x in args])
        given = tuple([not is_zero(c) for c in ct])
        adds, sums = added_onto(sums[1:], linear)
        found = transpose_branches(*branches_key(self.branches), linear, given, adds)
        known = [x for x, mine in zip(args, linear, strict=True) if not mine]
        back = self.with_programs(found.branches)
        into = [x for x, live in zip(sums, found.live, strict=True) if live and x is not None]
        outs = settling(back, index, *known, *compress(ct, given), *into, *found.constants)
        types = [x.aval for x in compress(args, linear)]
        backs = spread(outs, found.live, types)
        return [None, *[next(backs) if mine else None for mine in linear]]

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        index, axis = args[0], dims[0]
        each = axis is not None  # the index is another one for each element
        together = axis_name in self.axis_names or any(map(has_users_batch, self.branches))
        if each and is_kept(self.effects) and not together:
            return self._one_by_one(args, dims, size)
        if each:
            how = Batching(size, axis_name)
            return each_its_own(self.branches, index, args[1:], dims[1:], how, self._may_disagree)
        found = batch_branches(*branches_key(self.branches), tuple(dims[1:]), size, axis_name)
        outs = self.with_programs(found.branches)(index, *args[1:], *found.constants)
        return outs, [0 if mapped else None for mapped in found.live]

    @property
    def _may_disagree(self) -> bool:
        """Whether elements that meet in a branch may have chosen different ones."""
        return not self.agreed and bool(self.axis_names)

    def _for_all(self) -> Call:
        """What gives the same, and is differentiated so that slopes are right whatever elements choose."""
        return Call(_for_all(*branches_key(self.branches)))

    @property
    def carried(self) -> tuple[int | None, ...]:  # type: ignore[override]
        return tuple([None if n is None else n + 1 for n in changed_in_most(self.branches)])

    def changed(self) -> Sequence[int | None]:
        return [None if n is None else n + 1 for n in changed_in_place(self.branches)]

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        rest = where.mapped[1:], where.shared[1:], where.tangents[1:]
        inner = Where(where.kept, *rest)
        found = [masked_program(b, inner) for b in self.branches]
        programs, constants = with_all_constants(
            [f.program for f in found], [f.constants for f in found]
        )
        return self.with_programs(programs)(*xs, mask, *constants)

    def has_large_loop(self) -> bool:
        return any(map(has_large_loop, self.branches))

    def bytes_kept(self, on: Mask) -> int:
        return max([bytes_kept(b, on[1:]) for b in self.branches])

    def in_blocks(self, blocks: Blocks, operands: Sequence[Atom]) -> Sequence[Atom]:
        return blocks.choose(operands[0], self.branches, operands[1:])

    def _one_by_one(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        """A loop over the elements, as only what each of them chooses may have its effects."""
        if is_asked("copy"):
            self._explain_copies()
        inputs = [Var(INDEX), *map(Var, self.branches[0].in_avals)]
        outputs = tuple(map(Var, self.branches[0].out_avals))
        mapped = [d is not None for d in dims]
        consts = [v for v, m in zip(inputs, mapped, strict=True) if not m]
        eqn = Eqn(self, tuple(inputs), outputs, _state.source)
        body = Program((*consts, *compress(inputs, mapped)), (eqn,), outputs, name="each")
        given = [x for x, m in zip(args, mapped, strict=True) if not m]
        xs = [prims.move_axis(x, d, 0) for x, d in zip(args, dims, strict=True) if d is not None]
        return Scan(body, size, False, len(consts), 0)(*given, *xs), [0] * len(outputs)

    def _explain_copies(self) -> None:
        where = at_user_line()
        for n in changed_in_place(self.branches):
            if n is not None and is_large(aval := self.branches[0].in_avals[n]):
                explain("copy")(
                    f"copied for each element, {aval.text()} of {self.name}{where}: they choose one after the other, "
                    "as a branch has effects"
                )


def _by_halves(
    b: Builder, index: Expr, branches: Sequence[Program], run: Callable[[Program], None]
) -> None:
    """What `run` builds for each branch, under tests of the index, which halve the branches each time."""

    def within(low: int, high: int) -> None:
        if high - low == 1:
            run(branches[low])
            return
        middle = (low + high) // 2
        with b.if_(index < middle):
            within(low, middle)
        with b.else_():
            within(middle, high)

    within(0, len(branches))


@derived
def _for_all(first: Program, rest: Rest) -> Program:
    """The choice, of whose branches each runs for all elements that meet if any of them takes it.

    So a slope also comes to an element from what others make of its answer, and to none from a choice not taken.
    """
    branches = all_branches(first, rest)
    nothing = Program(first.inputs, (), (), name="nothing")
    slots: Slots = {(aval, n): n for n, aval in enumerate(first.out_avals)}
    nothing = with_slots(nothing, 0, (), slots)
    names = Cond(tuple(branches)).axis_names

    def run(index: Any, *xs: Any) -> list[Any]:
        columns: list[Sequence[Any]] = []
        for i, branch in enumerate(branches):
            taken = of_any(prims.eq(index, np.int32(i)), names)
            columns.append(Cond((nothing, branch), True)(taken, *xs))
        return [chosen(index, column) for column in zip(*columns, strict=True)]

    return stage_without_constants(run, [INDEX, *first.in_avals], "for_all")
