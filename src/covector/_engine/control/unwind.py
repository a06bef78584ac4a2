"""The gradient of a loop whose number of steps is not known: its residuals lie on a tape, and it goes back over that.

The tape has room for one stretch of the loop, so many steps, which most often are all.  It is memory that is only there
where steps have written, so it grows as they do.  What a step leaves on it is what a step of a `Scan` does: of an array
that is changed in place the elements that were read, not the array.

Where there are more steps, states at the beginnings of stretches are kept.  There are `2**digits` of them at most,
evenly apart: when there are more stretches, each second state gives its place to a later one, and the distance doubles.
On the way back a stretch whose residuals are not on the tape any more runs once more, from its kept state, or from one
some stretches before.  So each step is done once more than forwards while one stretch has room for all, twice more up
to `2**digits` stretches, and then more often; the gradient is right in any case.  In so many bytes for the tape as for
the states, these are so many steps as the square of that.

The loop records as it runs again or, where a policy of `checkpoint` says what is to be kept of each step, as it runs
forwards: then a first tape keeps that, and residuals are computed from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.record import record, replace
from covector._engine.control.derived import (
    Layout,
    transpose_body,
)
from covector._engine.control.kept import parted_body, silent
from covector._engine.control.parted import Known, linearize_body
from covector._engine.control.tape import bytes_of, get_row, put_row
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import evaluate, typeof
from covector._engine.ir.program import Eqn, Program, inputs_read
from covector._engine.transforms.programs import Mask, derived, part_of, stage_without_constants
from covector._engine.transforms.widen import meets_64_bits
from covector._engine.types.avals import ShapedArray


@record
class Room:
    """How much memory the way back takes: bytes of a tape, and most steps on it; bytes and most digits of states.

    There are eight of these at least.
    """

    tape: int
    steps: int
    states: int
    digits: int
    filled: bool = True  # the tape begins with zeros (if code for lanes writes them), else with whatever there is
    of_states: bool = (
        False  # it holds states where these are smaller, and residuals are computed from them
    )

    def stretch(self, rows: Sequence[ShapedArray]) -> int:
        """How many steps a stretch has that leave such rows."""
        return min(max(self.tape // max(bytes_of(rows), 1), 1), self.steps)

    def digits_for(self, state: Sequence[ShapedArray]) -> int:
        """How many binary digits the number of kept states has."""
        digits = (self.states // max(bytes_of(state), 1)).bit_length() - 1
        return min(max(digits, LEAST_DIGITS), max(self.digits, LEAST_DIGITS))


LEAST_DIGITS = 3
# What a loop takes by itself.  Memory that no step reaches is never touched.
TAPE_BYTES = 1 << 24
MOST_STEPS = 1 << 22
KEPT_BYTES = 1 << 22
# What is kept from forwards to backwards, and what derivatives of the way back go through: it begins with zeros.
BOUNDED = Room(tape=1 << 20, steps=1 << 10, states=1 << 20, digits=6)
# The same for each of many loops side by side, whose memory is a thread's stack. It is more than 64 states, and most
# often steps: shorter arrays would be locals, which have no places that come from data, and the loops would not run on
# lanes (the gradient of an adaptive solver over 1,000 starts: 4.8 ms, and 1.3 so; 0.44 with a tape of states).
MANY = Room(tape=1 << 14, steps=1 << 8, states=1 << 12, digits=6, of_states=True)

# Makes a loop of a condition, a body, and the number of consts.
MakeLoop = Callable[[Program, Program, int], Primitive]
Values = Sequence[Any]


def wide_room(tape: int | None, lanes: int = 1) -> Room:
    """The room that a loop has for its gradient, or one of so many, if it is said how long the tape may be, or not."""
    share = (TAPE_BYTES if tape is None else tape) // max(lanes, 1)
    states = max(KEPT_BYTES // max(lanes, 1), 1)
    return Room(share, max(MOST_STEPS, tape or 0), states, 10, filled=False)


@record(eq=False)
class Unwound:
    """From consts, first carry, cotangents of the carried values in `carry`, sums, and constants, to all cotangents.

    These are of the consts in `consts`, among those that have a tangent, which are added to the sums, then of the
    carried values in `carry`.
    """

    program: Program
    constants: tuple[Any, ...]
    consts: Mask
    carry: Mask


@record(eq=False)
class Recorded:
    """A loop that leaves what its way back needs.

    `forward`: from consts, first carry and constants to `HEADS` numbers, the last carry, and what is kept.
    `back`: from consts, the numbers, what is kept, cotangents and sums, as `Unwound`.
    """

    forward: Program
    back: Unwound


# Numbers in front of what is kept: the stretches, the distance of kept states, the steps of the last stretch.
HEADS = 3


@derived
def unwound(
    body: Program, condition: Program, layout: Layout, nonzero: Mask, room: Room, make: MakeLoop
) -> Unwound:
    """The way back through a loop for tangents of the operands in a mask."""
    return _Unwinding(body, condition, layout, nonzero, room, make, None).whole()


@derived
def recorded(
    body: Program,
    condition: Program,
    layout: Layout,
    nonzero: Mask,
    room: Room,
    make: MakeLoop,
    keep: Callable[[Eqn], bool],
) -> Recorded | None:
    """The loop, and its way back, where it keeps of each step what these equations compute; None: it needs none."""
    unwinding = _Unwinding(body, condition, layout, nonzero, room, make, keep)
    return Recorded(unwinding.forward(), unwinding.backward()) if unwinding.stages else None


@record(eq=False)
class _Stage:
    """A Program of each step of a stretch: from consts, state, and a row of the stage before, to state and row."""

    program: Program
    rows: tuple[ShapedArray, ...]

    @property
    def again(self) -> Program:
        """What computes it once more, without effects that it needs not."""
        return silent(self.program)


class _Unwinding:
    def __init__(
        self,
        body: Program,
        condition: Program,
        layout: Layout,
        nonzero: Mask,
        room: Room,
        make: MakeLoop,
        keep: Callable[[Eqn], bool] | None,
    ):
        self.body, self.body_again = body, silent(body)  # effects are those of the loop forwards
        self.condition, self.make, self.room = condition, make, room
        self.split = split = linearize_body(body, layout, nonzero)
        types, mine = layout.operands(body.in_avals), layout.operands(nonzero)
        self.consts, self.state = list(types.consts), list(types.carry)
        live = split.live.carry
        linear = sum(mine.consts)
        known = len(split.const_sources)
        self.back = transpose_body(
            split.linear,
            Layout(known + linear, sum(live)),
            (*[False] * known, *[True] * (linear + sum(live)), *[False] * len(split.xs_sources)),
            (True,) * sum(live),
        )
        sums = compress(compress(types.consts, mine.consts), self.back.live.consts)
        self.sums = [a.tangent() for a in sums]  # of what a step adds to
        self.cts = [a.tangent() for a in compress(types.carry, live)]
        self.constants = (*split.constants, *self.back.constants)
        n = len(self.state)
        residuals = _Stage(split.known, split.known.out_avals[n:])
        self.stages = [residuals] if keep is None else _parted(residuals, n, keep)
        self.from_states: Program | None = None  # what computes residuals, where the tape has none
        if keep is None and room.of_states and bytes_of(residuals.rows) > bytes_of(self.state):
            self.from_states = residuals.again
            self.stages = [_of_states(split.known, n)]
        rows = [a for stage in self.stages for a in stage.rows]
        self.steps = room.stretch(rows)
        self.digits = room.digits_for(self.state)
        self.slots = 1 << self.digits
        self.slotted = [a.with_shape((self.slots + 1, *a.shape)) for a in self.state]
        self.tapes = [[a.with_shape((self.steps, *a.shape)) for a in s.rows] for s in self.stages]
        self.known = len(split.known.inputs) - n  # inputs that are the same in all steps

    # ------------------------------------------------------------------------------------------- Programs

    def whole(self) -> Unwound:
        """All of it, which runs the loop once more."""
        k, n = len(self.consts), len(self.state)
        stop = k + n + len(self.cts) + len(self.sums)

        def run(*args: Any) -> list[Any]:
            given, same = args[k:stop], self._same(args[:k], args[stop:])
            kept = self._memory(self.slotted, given)
            tape = self._memory(self.tapes[0], given, n)
            heads, _, kept, tape = self._record(same, args[k : k + n], kept, tape, again=True)
            return self._back(same, heads, kept, [tape], given[n:])

        return self._unwound(run, self.state)

    def forward(self) -> Program:
        """The loop alone, with what it keeps."""
        k, n = len(self.consts), len(self.state)

        def run(*args: Any) -> list[Any]:
            init, same = args[k : k + n], self._same(args[:k], args[k + n :])
            kept, tape = self._memory(self.slotted, init), self._memory(self.tapes[0], init)
            heads, *rest = self._record(same, init, kept, tape, again=False)
            return [*heads, *itertools.chain(*rest)]

        types = [*self.consts, *self.state, *map(typeof, self.constants)]
        return stage_without_constants(run, types, f"recorded_{self.body.name}")

    def backward(self) -> Unwound:
        """The way back alone."""
        k, n = len(self.consts), len(self.state)
        kept = [*self.slotted, *self.tapes[0]]
        begin, stop = k + HEADS + n, k + HEADS + len(kept)
        end = stop + len(self.cts) + len(self.sums)

        def run(*args: Any) -> list[Any]:
            cts, same = args[stop:end], self._same(args[:k], args[end:])
            tapes = [args[begin:stop], *[self._memory(t, cts) for t in self.tapes[1:]]]
            return self._back(same, args[k : k + HEADS], args[k + HEADS : begin], tapes, cts)

        return self._unwound(run, [*[_NUMBER] * HEADS, *kept])

    def _unwound(self, run: Callable[..., list[Any]], types: Sequence[ShapedArray]) -> Unwound:
        given = [*types, *self.cts, *self.sums]
        avals = [*self.consts, *given, *map(typeof, self.constants)]
        program = stage_without_constants(run, avals, f"back_through_{self.body.name}")
        live = self.back.live.consts, self.split.live.carry
        return Unwound(program, self.constants, *live)

    def _same(self, consts: Values, constants: Values) -> list[Any]:
        """What is the same in all steps: all that steps forwards take, then constants of those backwards."""
        count = len(self.split.constants)
        given = [*consts, *constants[:count]]
        return [*given, *evaluate(self.split.hoisted, given), *constants[count:]]

    # ------------------------------------------------------------------------------------------- forwards

    def _record(
        self, same: Values, init: Values, kept: Values, tape: Values, again: bool
    ) -> tuple[Values, Values, Values, Values]:
        """The numbers, the last state, the kept states, and the tape of the last stretch."""
        k, n = len(self.consts), len(init)
        condition = silent(self.condition) if again else self.condition
        program = self.stages[0].again if again else self.stages[0].program

        def holds(same: Values, state: Values) -> Any:
            return evaluate(condition, [*same[:k], *state])[0]

        def step(same: Values, carry: Values) -> Values:
            t, _, *rest = carry
            state, tape = self._written(program, same, t, rest[:n], (), rest[n:])
            return [_sum(t, 1), holds(same, state), *state, *tape]

        def stretch(same: Values, carry: Values) -> Values:
            going, count, spacing, _, *rest = carry
            state, kept, tape = rest[:n], rest[n : 2 * n], rest[2 * n :]
            full = prims.eq(count, prims.shift_left(_int(self.slots), spacing))
            spacing = prims.add(spacing, prims.select(full, _int(1), _int(0)))
            slot = self._slot(count, spacing, self._place(count, spacing))
            kept = [put_row(stack, x, slot) for stack, x in zip(kept, state, strict=True)]
            length, going, *rest = self._loop(
                lambda _, xs: prims.and_(xs[1], prims.lt(xs[0], _int(self.steps))),
                step, same, [_int(0), going, *state, *tape],
            )  # fmt: skip
            return [going, _sum(count, 1), spacing, length, *rest[:n], *kept, *rest[n:]]

        begin = [holds(same, init), *[_int(0)] * HEADS, *init, *kept, *tape]
        _, *found = self._loop(lambda _, xs: xs[0], stretch, same, begin)
        heads, rest = found[:HEADS], found[HEADS:]
        return heads, rest[:n], rest[n : 2 * n], rest[2 * n :]

    def _written(
        self, program: Program, same: Values, t: Any, state: Values, row: Values, tape: Values
    ) -> tuple[Values, Values]:
        """The state after a step, and a tape with what it leaves."""
        found = evaluate(program, [*same[: self.known], *state, *row])
        left = zip(tape, found[len(state) :], strict=True)
        return found[: len(state)], [put_row(stack, x, t) for stack, x in left]

    def _again(
        self, program: Program, same: Values, steps: Any, state: Values, above: Values, tape: Values
    ) -> Values:
        """The tape of so many steps from a state, which go on from rows of the tape of the stage before."""
        k, n = len(same), len(state)

        def step(outside: Values, carry: Values) -> Values:
            t, *rest = carry
            row = [get_row(stack, t) for stack in outside[k + 1 :]]
            state, tape = self._written(program, outside[:k], t, rest[:n], row, rest[n:])
            return [_sum(t, 1), *state, *tape]

        carry = [_int(0), *state, *tape]
        outside = [*same, steps, *above]
        return self._loop(lambda xs, c: prims.lt(c[0], xs[k]), step, outside, carry)[1 + n :]

    def _advanced(self, same: Values, stretches: Any, state: Values) -> Values:
        """The state so many stretches later."""
        k = len(self.consts)

        def step(consts: Values, carry: Values) -> Values:
            return [_sum(carry[0], 1), *evaluate(self.body_again, [*consts[:k], *carry[1:]])]

        steps = prims.mul(stretches, _int(self.steps))
        return self._loop(
            lambda xs, c: prims.lt(c[0], xs[k]), step, [*same[:k], steps], [_int(0), *state]
        )[1:]

    # ------------------------------------------------------------------------------------------- backwards

    def _back(
        self, same: Values, heads: Values, kept: Values, tapes: Sequence[Values], cts: Values
    ) -> list[Any]:
        """The cotangents, stretch by stretch, from the last to the first; `cts` are those at the end, then sums."""
        k, s, count = len(same), len(cts), len(self.cts)

        def step(outside: Values, carry: Values) -> Values:
            same, (count, spacing, length), kept = (
                outside[:k],
                outside[k:][:HEADS],
                outside[k:][HEADS:],
            )
            n, *rest = carry
            totals, tapes = rest[:s], self._parts(rest[s:])
            begin = prims.shift_left(prims.shift_right_arithmetic(n, spacing), spacing)
            place = self._place(begin, spacing)
            state = [get_row(stack, place) for stack in kept]
            state = self._advanced(same, prims.sub(n, begin), state)
            is_last = prims.eq(_sum(n, 1), count)
            steps = prims.select(is_last, length, _int(self.steps))
            above: Values = ()
            for number, (stage, tape) in enumerate(zip(self.stages, tapes, strict=True)):
                again = steps if number else prims.select(is_last, _int(0), steps)  # it is there
                tapes[number] = above = self._again(stage.again, same, again, state, above, tape)
            totals = self._through(same, steps, above, totals)
            return [_sum(n, -1), *totals, *itertools.chain(*tapes)]

        carry = [_sum(heads[0], -1), *cts[count:], *cts[:count], *itertools.chain(*tapes)]
        outside = [*same, *heads, *kept]
        return self._loop(_not_below_0, step, outside, carry)[1 : 1 + s]

    def _through(self, same: Values, steps: Any, tape: Values, totals: Values) -> Values:
        """The cotangents before so many steps from those after them."""
        k, split, back = len(same), self.split, self.back
        count = len(self.consts) + len(split.constants)

        def step(outside: Values, carry: Values) -> Values:
            t, *totals = carry
            rows = [get_row(stack, t) for stack in outside[k:]]
            if self.from_states is not None:
                found = evaluate(self.from_states, [*outside[: self.known], *rows])
                rows = found[len(self.state) :]
            same = Known(outside[:count], outside[count : self.known], (), rows)
            consts = [*same.chosen(split.const_sources), *outside[self.known : k]]
            given = [*consts, *totals, *same.chosen(split.xs_sources)]
            return [_sum(t, -1), *evaluate(back.program, given)]

        carry = [_sum(steps, -1), *totals]
        return self._loop(_not_below_0, step, [*same, *tape], carry)[1:]

    # ------------------------------------------------------------------------------------------- parts

    def _loop(
        self,
        test: Callable[[Values, Values], Any],
        step: Callable[[Values, Values], Values],
        consts: Values,
        carry: Values,
    ) -> list[Any]:
        """A loop of functions of consts and carry."""
        k, types = len(consts), [typeof(x) for x in (*consts, *carry)]
        tested = stage_without_constants(lambda *xs: [test(xs[:k], xs[k:])], types, "more")
        stepped = stage_without_constants(lambda *xs: list(step(xs[:k], xs[k:])), types, "again")
        return list(self.make(tested, stepped, k)(*consts, *carry))

    def _parts(self, values: Values) -> list[Values]:
        """The tapes of the stages."""
        rest = iter(values)
        return [[next(rest) for _ in tape] for tape in self.tapes]

    def _memory(self, types: Sequence[ShapedArray], given: Values, first: int = 0) -> Values:
        """Memory of these types, for those whose way back it is: a batch of them has a batch of it."""
        if self.room.filled:
            return [prims.Scratch(a)() for a in types]
        return [prims.Unfilled(a, n)(*given) for n, a in enumerate(types, first)]

    # ------------------------------------------------------------------------------------------- places

    def _place(self, count: Any, spacing: Any) -> Any:
        """Where the state before a stretch lies.

        The number of the stretch, in units of the distance, with its digits rotated: so half of the states stay where
        they are when the distance doubles, and the new ones come to the places of those that go.
        """
        number = prims.shift_right_arithmetic(count, spacing)
        by = prims.rem(spacing, _int(self.digits))
        low = prims.shift_right_arithmetic(number, prims.sub(_int(self.digits), by))
        return prims.and_(prims.or_(prims.shift_left(number, by), low), _int(self.slots - 1))

    def _slot(self, count: Any, spacing: Any, place: Any) -> Any:
        """The place for the state before a stretch if it is kept, else the last row."""
        mask = prims.sub(prims.shift_left(_int(1), spacing), _int(1))
        kept = prims.eq(prims.and_(count, mask), _int(0))
        return prims.select(kept, place, _int(self.slots))


_NUMBER = ShapedArray((), np.dtype(np.int64))


def _of_states(known: Program, count: int) -> _Stage:
    """A stage that leaves the state before each step."""
    first = part_of(known, tuple([n < count for n in range(len(known.outputs))]))
    state = first.inputs[len(first.inputs) - count :]
    both = replace(first, outputs=(*first.outputs, *state))
    return _Stage(both, tuple([v.aval for v in state]))


def _parted(residuals: _Stage, count: int, keep: Callable[[Eqn], bool]) -> list[_Stage]:
    """A stage that keeps what these equations compute, and one that computes residuals from it; none if it needs none.

    `count` is the length of the state.
    """
    known = residuals.program
    wide = meets_64_bits(known)  # what comes from numbers would be kept rounded

    def kept(eqn: Eqn) -> bool:
        return keep(eqn) and not (wide and any(v.aval.wide() is not None for v in eqn.outputs))

    parted = parted_body(known, kept)
    start, outputs = len(known.inputs), len(known.outputs)
    used = inputs_read(parted.second)[start:]
    if not any(used):
        return []
    gives = (*[n < count for n in range(outputs)], *used)
    first = part_of(parted.first, gives)
    second = part_of(parted.second, (True,) * outputs, (*[True] * start, *used))
    rows = tuple([v.aval for v in compress(parted.kept, used)])
    return [_Stage(first, rows), _Stage(second, residuals.rows)]


def _int(value: int) -> np.int64:
    return np.int64(value)


def _sum(x: Any, y: Any) -> Any:
    return prims.add(x, _int(y) if isinstance(y, int) else y)


def _not_below_0(_: Values, carry: Values) -> Any:
    return prims.ge(carry[0], _int(0))
