"""`While`: a loop with a condition, as one operation; also one for each element of a batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.errors import at_user_line
from covector._engine.base.explained import explain, is_asked
from covector._engine.base.record import record, replace
from covector._engine.control.as_one import AsOne, as_one, for_the_longest
from covector._engine.control.beside import beside, ends_apart
from covector._engine.control.call import (
    IN_NUMPY,
    Call,
    axis_names_of,
    check_types,
    given_ones,
    has_users_batch,
    materialized,
    refuse_touching_rules,
    spread,
    total,
)
from covector._engine.control.carry import computed, fit_loop
from covector._engine.control.cond import Cond
from covector._engine.control.derived import (
    Layout,
    also_asking,
    as_body,
    condition_for,
    dependent_carry,
    jvp_body,
    live_parts,
    then_condition,
)
from covector._engine.control.each import for_each
from covector._engine.control.flat import (
    Blocks,
    Lanes,
    alone,
    bytes_kept,
    has_large_loop,
    linearized_flat,
)
from covector._engine.control.kept import TAPE, has_effects
from covector._engine.control.masked import Where, carried_in_place, masked_program, steps_for_all
from covector._engine.control.pushed import PushedLoop, Unwinding, by_rules, way_back
from covector._engine.control.repeat import TRUTH, locals_of, on_buffers, on_locals
from covector._engine.control.tape import bytes_of
from covector._engine.control.touching import settling
from covector._engine.control.unwind import (
    BOUNDED,
    HEADS,
    MANY,
    MOST_STEPS,
    MakeLoop,
    Recorded,
    Room,
    Unwound,
    recorded,
    unwound,
)
from covector._engine.control.wide import WideBody, widened_loop
from covector._engine.core.inside import Checking, Interpreter, Widening
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Fit, Fitting, Kept, Operand, Result
from covector._engine.ir.program import Atom, Eqn, Program, Var, inputs_read, replace_inputs
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.programs import Mask, batch_program, part_of
from covector._engine.transforms.widen import wide_program
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim


@record
class While(Unwinding):
    """The body again and again, as long as the condition holds.

    Operands: consts, which every step sees; carry, handed from step to step.  Condition and body take both; the one
    gives a truth value, the other the new carry.  Results: the last carry.

    Its derivatives keep what it takes, or also what `keep` says of each step.  With `lanes` it is a loop of its own for
    each element of a batch: the carry, and the consts in the mask `mapped`, have these leading axes.  Each loop runs to
    its own end.

    Elements along named axes that something in it asks for run until none goes on, and answer all that time.  Unless
    the condition is known to be one for all of them, `agreed`, gradients are those of `_for_all`.
    """

    condition: Program
    body: Program
    num_consts: int
    lanes: tuple[Dim, ...] = ()
    mapped: Mask = ()
    keep: Callable[[Eqn], bool] | None = None  # what its way back need not compute again
    tape: int | None = None  # bytes that its way back may take for the residuals of steps
    agreed: bool = False
    name: ClassVar[str] = "while"
    may_not_end: ClassVar[bool] = True
    multiple: ClassVar[bool] = True

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return axis_names_of(self.condition) | axis_names_of(self.body)

    def programs(self) -> tuple[Program, ...]:
        return self.condition, self.body

    @property
    def side_by_side(self) -> bool:
        return bool(self.lanes)

    def with_programs(self, programs: Sequence[Program]) -> While:
        return replace(self, condition=programs[0], body=programs[1])

    def keeping(self, keep: Callable[[Eqn], bool] | None) -> While:
        return replace(self, keep=keep)

    @property
    def layout(self) -> Layout:
        """Where consts and carry are among operands and results, the loop's and the body's."""
        return Layout(self.num_consts, len(self.body.outputs))

    @property
    def carried(self) -> tuple[int | None, ...]:  # type: ignore[override]
        return tuple(self._carried)

    @property
    def mask(self) -> Mask:
        """Which consts differ from lane to lane."""
        return self.mapped or (False,) * self.num_consts

    def spread_over_lanes(self, aval: ShapedArray) -> ShapedArray:
        """The type of what has an element for each lane."""
        return aval.with_shape((*self.lanes, *aval.shape))

    def depends(self, on: tuple[bool, ...]) -> Sequence[bool] | None:
        return dependent_carry(self.body, self.condition, self.layout, on)

    def live(self, used: Sequence[bool]) -> tuple[While, Sequence[bool], Sequence[bool]]:
        """The loop that gives these results alone: what the condition or another one depends on stays."""
        read = inputs_read(self.condition)
        carried = self.layout.operands(read).carry
        needed = [u or c for u, c in zip(used, carried, strict=True)]
        takes, gives = live_parts(self.body, self.layout, tuple(needed))
        consts = [t or r for t, r in zip(takes.consts, read, strict=False)]
        kept = [*consts, *takes.carry]
        if all(kept) and all(gives.carry):
            return self, kept, list(gives.carry)
        body = part_of(self.body, gives.carry, tuple(kept))
        condition = part_of(self.condition, (True,), tuple(kept))
        mapped = tuple(compress(self.mask, consts))
        loop = replace(self, condition=condition, body=body, num_consts=sum(consts), mapped=mapped)
        return loop, kept, list(gives.carry)

    def constant_inputs(self) -> tuple[tuple[int | None, ...], ...]:
        same = [not mine for mine in self.mask]
        carry = self.layout.operands(self.body.inputs).carry
        same += [v is a and not self.lanes for v, a in zip(carry, self.body.outputs, strict=True)]
        constant = tuple([n if mine else None for n, mine in enumerate(same)])
        return constant, constant

    def taking(
        self, programs: Sequence[Program], operands: Sequence[Atom], values: Sequence[Atom]
    ) -> tuple[Primitive, tuple[Atom, ...]]:
        k, stop = self.num_consts, len(operands)
        condition, body = [
            replace_inputs(p, (*p.inputs[:k], *p.inputs[stop:], *p.inputs[k:stop]))
            for p in programs
        ]
        mapped = (*self.mask, *[False] * len(values))
        loop = replace(
            self, condition=condition, body=body, num_consts=k + len(values), mapped=mapped
        )
        return loop, (*operands[:k], *values, *operands[k:])

    def changed(self) -> Sequence[int | None]:
        return carried_in_place(self.body, self.num_consts, len(self.body.outputs))

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        """Without a step where the mask does not hold; one with a condition for all runs, and changes nothing."""
        carry, k = self.depends(where.mapped), self.num_consts
        if carry is None or self.lanes:
            return self.asking()(*xs[:k], mask, *xs[k:])
        own = (*self.layout.operands(where.mapped).consts, *carry)
        found = masked_program(self.body, replace(where, mapped=own))
        more = mask, *found.constants
        inputs = (*self.condition.inputs, *[Var(typeof(x)) for x in more])
        condition = replace_inputs(self.condition, inputs)
        loop, operands = self.taking([condition, found.program], xs, more)
        return loop(*operands)

    def has_large_loop(self) -> bool:
        return not self.lanes and any(map(is_large, self.body.in_avals))

    def bytes_kept(self, on: Mask) -> int:
        return bytes_of([a for a in compress(self.body.in_avals, on) if is_large(a)])

    def bytes_kept_inside(self) -> int:
        mask = (*[False] * self.num_consts, *[True] * self.layout.carry)
        return bytes_kept(self.body, mask)

    def in_blocks(self, blocks: Blocks, operands: Sequence[Atom]) -> Sequence[Atom]:
        k, blocks.kinds = self.num_consts, (While, Cond)
        return blocks.repeat(self.condition, self.body, operands[:k], operands[k:])

    def asking(self) -> While:
        condition, body = also_asking(self.body, self.condition, self.layout)
        mapped = (*self.mask, False)
        return replace(self, condition=condition, body=body, num_consts=len(mapped), mapped=mapped)

    # ---------------------------------------------------------------------------------------------- lowering

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A `While`, in a loop over the lanes if there are some.

        The carry lies in two buffers that take turns or, if condition and body are small, in locals; then lanes run
        side by side on the threads.
        """
        types = self.layout.operands(self.body.in_avals)
        local = [b.fit.is_tiny(a) for a in types.carry]
        mask = [*[False] * self.num_consts, *local]
        small = fit_loop(b.fit, self.condition, self.body, self._carried, mask) is not None
        count = dims.product(self.lanes)
        lane = b.variable("lane", count)
        takes = self.layout.operands(operands)
        consts = [
            x.place.slice(aval, lane) if mine else x.place
            for x, aval, mine in zip(takes.consts, types.consts, self.mask, strict=True)
        ]
        starts = [x.place for x in takes.carry]
        for n in [n for n, mine in enumerate(local) if small and not mine]:
            b.copy(results[n].place, takes.carry[n])  # it is changed where the result lies
            starts[n] = results[n].place
        carry = [x.slice(aval, lane) for x, aval in zip(starts, types.carry, strict=True)]
        gives = [r.place.slice(a, lane) for r, a in zip(results, types.carry, strict=True)]
        with b.loop(lane, count, free=small):
            how = on_locals if small else on_buffers
            how(b, self.condition, self.body, consts, carry, gives)

    def fits_locals(self, fit: Fitting, in_locals: Sequence[bool]) -> Fit | None:
        local = list(in_locals)
        for n in self._carried:
            local[n] = fit.is_tiny(self.body.inputs[n].aval)
        if self.lanes:
            return None
        return fit_loop(fit, self.condition, self.body, self._carried, local)

    @property
    def _carried(self) -> range:
        """Which inputs of its Programs are carried."""
        return range(self.num_consts, len(self.body.inputs))

    def written(self, b: Builder, operands: Sequence[Kept]) -> list[Kept]:
        """A `While` on locals."""
        takes = self.layout.operands([computed(b, x) for x in operands])
        return locals_of(b, self.condition, self.body, takes.consts, takes.carry)

    # ------------------------------------------------------------------------------------------------- rules

    def type_of_operands(self) -> list[ShapedArray]:
        """The types that it takes."""
        takes = self.layout.operands(self.body.in_avals)
        mapped = (*self.mask, *[True] * len(takes.carry))
        return [
            self.spread_over_lanes(a) if mine else a
            for a, mine in zip((*takes.consts, *takes.carry), mapped, strict=True)
        ]

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        takes = self.layout.operands(self.body.in_avals)
        expected = self.type_of_operands()
        check_types(self.name, "operands", expected, avals)
        check_types(
            self.name, "operands of the condition", self.body.in_avals, self.condition.in_avals
        )
        check_types(self.name, "results of the condition", [TRUTH], self.condition.out_avals)
        check_types(self.name, "results of the body", takes.carry, self.body.out_avals)
        return tuple(expected[self.num_consts :])

    def reference(self, *operands: Any) -> tuple[Any, ...]:
        return tuple(self.interpreted(IN_NUMPY, *operands))

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        takes = self.layout.operands(xs)
        ends: list[Sequence[Any]] = []
        for at in np.ndindex(*map(int, self.lanes)):  # type: ignore[arg-type]
            consts = [
                how.part(x, at) if mine else x
                for x, mine in zip(takes.consts, self.mask, strict=True)
            ]
            carry: Sequence[Any] = [how.part(x, at) for x in takes.carry]
            steps = itertools.count()
            while how.number(how.run(self.condition, [*consts, *carry])[0]):
                carry = how.run(self.body, [*consts, *carry], next(steps))
            ends.append(carry)
        if not self.lanes:
            return ends[0]
        types = self.type_of_operands()[self.num_consts :]
        return [how.stacked([end[j] for end in ends], t) for j, t in enumerate(types)]

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The loop that carries the state.  The condition is checked at first, and at the end of each step."""
        n, condition = len(xs), how.bare(self.condition)
        more = tuple(map(Var, how.types))
        condition = replace_inputs(condition, (*condition.inputs, *more))
        body = how.program(self.body)
        state = [prims.broadcast_in_front(x, self.lanes) for x in state]
        if how.fails(self.condition):
            state = self._checked_condition(how, xs, state)
            body = then_condition(body, how.program(self.condition), self.layout)
        loop = While(condition, body, self.num_consts, self.lanes, self.mapped, agreed=self.agreed)
        outs = loop(*xs, *state)
        k = n - self.num_consts
        return outs[:k], prims.first_of(outs[k:], len(self.lanes))

    def _checked_condition(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> Sequence[Any]:
        """The state after the condition before the first step."""
        program = how.program(self.condition)
        axes = [0 if mine else None for mine in (*self.mask, *[True] * self.layout.carry)]
        wide = (*axes, *[0] * len(state))
        for size in reversed(self.lanes):
            program = batch_program(program, wide, size, None, (True,) * (1 + len(state))).program
        return Call(program)(*xs, *state)[1:]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        loop, operands, live = self.twice(primals, tangents)
        outs = loop(*operands)
        n = self.layout.carry
        results = outs[:n]
        return results, tuple(spread(outs[n:], live, [typeof(o) for o in results]))

    def twice(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[While, Sequence[Any], Mask]:
        """The loop that also pushes tangents, what it takes, and which of the carried values have one."""
        nonzero = tuple([type(t) is not Zero for t in tangents])
        found = jvp_body(self.body, self.layout, nonzero)
        given, pushed = self.layout.operands(primals), self.layout.operands(tangents)
        mapped = compress(self.mask, self.layout.operands(nonzero).consts)
        loop = While(
            condition_for(self.condition, self.layout, found.program, found.layout),
            found.program,
            found.layout.consts,
            self.lanes,
            (*self.mask, *mapped, *[False] * len(found.constants)),
            tape=self.tape,
            agreed=self.agreed,
        )
        operands = (
            *given.consts,
            *given_ones(pushed.consts),
            *found.constants,
            *given.carry,
            *materialized(pushed.carry, found.live.carry),
        )
        return loop, operands, found.live.carry

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        return widened_loop(eqn, how, self.body, self.layout, self._with_wide)

    def _with_wide(self, found: WideBody) -> While:
        """The loop that also carries numbers in 64 bits."""
        tested = wide_program(self.condition, found.takes.flat, (False,)).program
        condition, _ = as_body(tested, self.condition, self.layout, found.takes)
        mapped = (*self.mask, *compress(self.mask, found.takes.consts))
        count, agreed = found.layout.consts, self.agreed
        return While(condition, found.program, count, self.lanes, mapped, agreed=agreed)

    # --------------------------------------------------------------------------------------------- backwards

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """The results; and the loop that pushes tangents, which goes on the tape."""
        refuse_touching_rules("while_loop", self.body)
        if self._may_disagree:
            return self._for_all().linearize(primals, tangents)
        nonzero = tuple([type(t) is not Zero for t in tangents])
        if (flat := self._flat(primals, tangents, nonzero)) is not None:
            return flat
        program, constants, live = self.pushing(nonzero)
        tape = self.recorded(nonzero) if any(live) else None
        outs, kept = (
            (by_rules(self, primals, nonzero), ())
            if tape is None
            else self._recording(tape, primals)
        )
        types, n = [typeof(o) for o in outs], len(primals)
        if not any(live):
            return outs, tuple(map(Zero, types))
        if is_asked("copy"):
            self._explain_what_is_kept(nonzero)
        inputs = (*program.inputs[:n], *[Var(typeof(x)) for x in kept], *program.inputs[n:])
        pushed = PushedLoop(replace_inputs(program, inputs), self, nonzero)
        given = pushed(*primals, *kept, *constants, *given_ones(tangents))
        return outs, tuple(spread(given, live, types))

    def _flat(
        self, primals: Sequence[Any], tangents: Sequence[Any], nonzero: Mask
    ) -> tuple[Any, Any] | None:
        """Linearized as one loop with those in it, if these keep large arrays in each step, and may be parted so."""
        if not has_large_loop(self.body):
            return None
        if self.keep is not None and any(self.pushing(nonzero)[2]) and self.recorded(nonzero):
            return None
        kept = self.bytes_kept_inside()
        if not kept:
            return None
        one = alone(replace(self, lanes=(), mapped=()), self.body.in_avals)
        lanes = Lanes(one, self.lanes, (*self.mask, *[True] * self.layout.carry))
        return linearized_flat(self, lanes, primals, tangents, kept)

    def _explain_what_is_kept(self, nonzero: Mask) -> None:
        """Of large arrays that a loop around this one would else change in place."""
        k, where = self.num_consts, at_user_line()
        for n, aval in enumerate(self.body.in_avals):
            what = f"{aval.text()} of {self.name}{where}"
            if is_large(aval) and n >= k and self.changed()[n - k] == n:
                explain("copy")(
                    f"kept as it begins, {what}: the loop runs again for its gradient, "
                    "as its steps are not counted before"
                )
            elif is_large(aval) and n < k and nonzero[n] and self.lanes and not self.mask[n]:
                explain("copy")(f"summed on its own in each lane, {what}: all lanes read it")

    @property
    def _may_disagree(self) -> bool:
        """Whether some of the elements that meet may go on when others have ended."""
        return not self.agreed and bool(self.axis_names)

    def _for_all(self) -> While:
        """The loop that gives the same, and is differentiated so that slopes are right whenever elements end."""
        condition, body = steps_for_all(self.body, self.condition)
        return replace(self, condition=condition, body=body, agreed=True)

    @property
    def _make(self) -> MakeLoop:
        return _agreed if self.agreed else While

    def recorded(self, nonzero: Mask) -> Recorded | None:
        """The loop that keeps what `keep` says, and its way back; None: nothing is kept."""
        keep = self.keep or (has_effects if self.body.effects else None)
        if keep is None:
            return None
        room = MANY if self.lanes else BOUNDED
        if self.tape is not None and not self.lanes:
            room = replace(room, tape=self.tape, steps=max(MOST_STEPS, self.tape))
        return recorded(self.body, self.condition, self.layout, nonzero, room, self._make, keep)

    def unwound(self, nonzero: Mask, room: Room) -> Unwound:
        """The way back of one loop, which runs again for it."""
        return unwound(self.body, self.condition, self.layout, nonzero, room, self._make)

    def _recording(
        self, tape: Recorded, primals: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The results, and what is kept for the way back."""
        constants = tape.back.constants
        mapped = (*self.mask, *[True] * self.layout.carry, *[False] * len(constants))
        way, more = for_each(tape.forward, self.lanes, mapped)
        found = way(*primals, *constants, *more)
        stop = HEADS + self.layout.carry
        return found[HEADS:stop], [prims.Named(TAPE)(x) for x in (*found[:HEADS], *found[stop:])]

    adds_onto: ClassVar[bool] = True

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        """That of its derivative, which is the same for any value of what it is linear in."""
        if self._may_disagree:
            return self._for_all().transpose_onto(sums, ct, *args)
        linear = tuple([isinstance(a, Linear) for a in args])
        values = [prims.zeros(a.aval) if isinstance(a, Linear) else a for a in args]
        backs = iter(self.pulled(values, linear, ct, (), tuple(compress(sums, linear))))
        return [next(backs) if mine else None for mine in linear]

    def pulled(
        self,
        primals: Sequence[Any],
        nonzero: Mask,
        ct: Sequence[Any],
        kept: Sequence[Any],
        sums: Sequence[Any],
    ) -> list[Any]:
        """Cotangents of the operands in the mask, added to what is in `sums`, if that is not None.

        The loop goes back from what was kept or, if that is nothing, runs again: `unwind.py` says how.
        """
        tape = self.recorded(nonzero) if kept else None
        found = self.unwound(nonzero, BOUNDED) if tape is None else tape.back
        begin = primals[self.num_consts :] if tape is None else kept
        cts = [prims.materialize(c) for c in compress(ct, found.carry)]
        into = self._begun_sums(nonzero, found, sums)
        mapped = (*self.mask, *[True] * len([*begin, *cts, *into]), *[False] * len(found.constants))
        operands = (*primals[: self.num_consts], *begin, *cts, *into, *found.constants)
        if tape is None:
            way, more = way_back(self, nonzero, self.lanes, mapped)
        else:
            way, more = for_each(found.program, self.lanes, mapped)
        backs = iter(settling(way, *operands, *more))
        wanted = self.layout.operands(nonzero)
        apart, n = self._apart(nonzero), sum(wanted.consts)
        result: list[Any] = []
        for live, lone, before in zip(found.consts, apart, sums, strict=False):
            back = next(backs) if live else None
            if lone and live:
                back = total(before, prims.Sum(tuple(range(len(self.lanes))))(back))
            result.append(back)
        carried = spread(backs, found.carry, [typeof(p) for p in primals[self.num_consts :]])
        return result + list(map(total, sums[n:], compress(carried, wanted.carry)))

    def _begun_sums(self, nonzero: Mask, found: Unwound, sums: Sequence[Any]) -> list[Any]:
        """What the cotangents of consts begin with: what is there already, or zeros."""
        types = compress(self.body.in_avals, self.layout.operands(nonzero).consts)
        rows = zip(types, sums, self._apart(nonzero), strict=False)
        return [
            prims.zeros(self.spread_over_lanes(a.tangent())) if before is None or lone else before
            for a, before, lone in compress(rows, found.consts)
        ]

    def _apart(self, nonzero: Mask) -> list[bool]:
        """Which consts with a tangent all lanes share: each lane has a sum of its own."""
        mine = compress(self.mask, self.layout.operands(nonzero).consts)
        return [bool(self.lanes) and not one for one in mine]

    # ------------------------------------------------------------------------------------------------- batch

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        """A loop of its own for each element; one for all if all have one condition, or something asks for all.

        So does a named axis, also one further out: loops for each element could not be one there.
        """
        named = bool(self.axis_names)
        if not self.lanes:
            one = named or has_users_batch(self.body) or has_users_batch(self.condition)
            own = self.body, self.condition, self.layout, tuple(dims), Batching(size, axis_name)
            found = as_one(*own)
            if found is None and one:
                found = for_the_longest(*own, self._may_disagree)
            if found is not None:
                if ends_apart(self.body, found.body) and not one:
                    return beside(self, args, dims, size)
                return self._as_one(found, args, dims, size)
        assert not named, "loops for each element do not read a named axis"
        takes, axes = self.layout.operands(args), self.layout.operands(dims)
        consts = [
            self._with_lane(x, d, mine, size) if mine or d is not None else x
            for x, d, mine in zip(takes.consts, axes.consts, self.mask, strict=True)
        ]
        mapped = [mine or d is not None for d, mine in zip(axes.consts, self.mask, strict=True)]
        carry = [
            self._with_lane(x, d, True, size) for x, d in zip(takes.carry, axes.carry, strict=True)
        ]
        loop = replace(self, lanes=(size, *self.lanes), mapped=tuple(mapped))
        return loop(*consts, *carry), [0] * len(carry)

    def batch_together(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        found = as_one(self.body, self.condition, self.layout, tuple(dims), Batching(size, None))
        assert found is not None, "their conditions are one"
        return self._as_one(found, args, dims, size)

    def _as_one(
        self, found: AsOne, args: Sequence[Any], dims: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        k = found.layout.consts
        loop = replace(self, condition=found.condition, body=found.body, num_consts=k, mapped=())
        return loop(*found.operands(args, dims, size)), found.axes

    def _with_lane(self, x: Any, axis: int | None, has_lanes: bool, size: Dim) -> Any:
        """A value with a new axis of lanes in front, and all the other ones."""
        x = prims.batch_to_front(x, axis, size)
        if has_lanes or not self.lanes:
            return x
        n, shape = len(self.lanes), typeof(x).shape
        return prims.Broadcast((size, *self.lanes, *shape[1:]), tuple(range(1, n + 1)))(x)


def _agreed(condition: Program, body: Program, num_consts: int) -> While:
    return While(condition, body, num_consts, agreed=True)
