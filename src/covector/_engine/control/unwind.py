"""The gradient of a loop whose number of steps is not known: it runs again, keeps states, and goes back from them.

Or it keeps states as it runs, and with them what a policy of `checkpoint` says of each step, which is then not computed
again while there is room for every step.

Memory is bounded.  The states of up to `2**slots` steps are kept, evenly apart: when there are more steps, each second
state gives its place to a later one, and the distance doubles.  On the way back the states between two of these are
computed again, and kept likewise.  So each step is done once more than forwards while there are no more than `2**slots`
of them, twice more up to the square of that, and then more often; the gradient is right in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.derived import Layout
from covector._engine.control.kept import parted_body, silent
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import evaluate, typeof
from covector._engine.ir.program import Eqn, Program, inputs_read
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    derived,
    linearize_program,
    part_of,
    stage_closed,
    transpose_program,
)
from covector._engine.transforms.widen import meets_64_bits
from covector._engine.types.avals import ShapedArray

# Bytes of all the states that are kept at once; the least and the most binary digits of their number.
KEPT_BYTES = 1 << 22
LEAST_SLOTS, MOST_SLOTS = 3, 10
# The same for each of many loops side by side, whose states lie on a thread's stack.
MANY_BYTES = 1 << 14
MANY_SLOTS = 8

# Makes a loop of a condition, a body, and the number of consts.
MakeLoop = Callable[[Program, Program, int], Primitive]
Values = Sequence[Any]


def slots_for(state: Sequence[ShapedArray], many: bool = False) -> int:
    """How many binary digits the number of kept states has."""
    kept, most = (MANY_BYTES, MANY_SLOTS) if many else (KEPT_BYTES, MOST_SLOTS)
    size = sum(a.size * a.dtype.itemsize for a in state)
    if not isinstance(size, int):
        return LEAST_SLOTS + 3
    digits = (kept // max(size, 1)).bit_length() - 1
    return min(max(digits, LEAST_SLOTS), most)


@record(eq=False)
class Unwound:
    """From consts, first carry, and cotangents of the carried values in `carry`, to all cotangents.

    These are of the consts that have a tangent, then of the carried values in `carry`.  Constants are the last inputs.
    """

    program: Program
    constants: tuple[Any, ...]
    carry: Mask


@record(eq=False)
class Recorded:
    """A loop that leaves what its way back needs.

    `forward`: from consts and first carry to the number of steps, the distance of what is kept, the last carry, and
    what is kept.  `back`: from consts, number, distance, what is kept, and cotangents, as `Unwound`.
    """

    forward: Program
    constants: tuple[Any, ...]
    back: Unwound


@derived
def unwound(
    body: Program, condition: Program, layout: Layout, nonzero: Mask, many: bool, make: MakeLoop
) -> Unwound:
    """The way back through a loop, or one of many side by side, for tangents of the operands in a mask."""
    carry, split = _split(body, layout, nonzero)
    unwinding = _Unwinding(
        body, condition, layout, (layout.operands(nonzero).consts, carry), split, make, many
    )
    return Unwound(*unwinding.program(), carry)


@derived
def recorded(
    body: Program,
    condition: Program,
    layout: Layout,
    nonzero: Mask,
    many: bool,
    make: MakeLoop,
    keep: Callable[[Eqn], bool],
) -> Recorded | None:
    """The loop, and its way back, where it keeps of each step what these equations compute; None: it needs none."""
    carry, split = _split(body, layout, nonzero)
    wide = meets_64_bits(split.known)  # what comes from numbers would be kept rounded

    def kept(eqn: Eqn) -> bool:
        return keep(eqn) and not (wide and any(v.aval.wide() is not None for v in eqn.outputs))

    values = _values(split, layout.carry, kept)
    if values is None:
        return None
    unwinding = _Unwinding(
        body, condition, layout, (layout.operands(nonzero).consts, carry), split, make, many, values
    )
    forward, constants = unwinding.forward()
    return Recorded(forward, constants, Unwound(*unwinding.backward(), carry))


@record(eq=False)
class _Values:
    """A step in two: `first` gives the next carry, then what is kept; `second` takes that too, and gives residuals.

    `second` gives those results of the known body in the mask, with None in the places of others.
    """

    first: Program
    again: Program  # `first` without effects that it needs not
    second: Program
    wanted: Mask
    types: tuple[ShapedArray, ...]


def _values(split: SplitProgram, count: int, keep: Callable[[Eqn], bool]) -> _Values | None:
    known, start = split.known, len(split.known.inputs)
    parted = parted_body(known, keep)
    wanted = tuple([start + n in split.residuals for n, _ in enumerate(known.outputs)])
    second = part_of(parted.second, wanted)
    read = inputs_read(second)
    used = read[start:]
    if not any(used):
        return None
    gives = (*[n < count for n, _ in enumerate(known.outputs)], *used)
    takes = (*[True] * start, *used)
    types = tuple([v.aval for v in compress(parted.kept, used)])
    first, second = part_of(parted.first, gives), part_of(second, (True,) * sum(wanted), takes)
    return _Values(first, silent(first), silent(second), wanted, types)


def _split(body: Program, layout: Layout, nonzero: Mask) -> tuple[Mask, SplitProgram]:
    """Which carried values have a tangent, and the body that pushes them."""
    given = layout.operands(nonzero)
    carry = given.carry
    while True:
        split = linearize_program(body, (*given.consts, *carry), carry)
        if split.nonzero == carry:
            break
        carry = tuple([x or y for x, y in zip(carry, split.nonzero, strict=True)])
    return carry, split


class _Unwinding:
    def __init__(
        self,
        body: Program,
        condition: Program,
        layout: Layout,
        nonzero: tuple[Mask, Mask],
        split: SplitProgram,
        make: MakeLoop,
        many: bool,
        values: _Values | None = None,
    ):
        self.body, self.again = body, silent(body)  # effects are those of the loop forwards
        self.condition, self.split, self.make = condition, split, make
        self.residuals = silent(split.known)
        self.values = values
        count, residuals = sum(map(sum, nonzero)), len(split.residuals)
        linear = (*[False] * residuals, *[True] * count)
        self.back = transpose_program(
            split.linear, linear, (True,) * sum(nonzero[1]), (True,) * count
        )
        takes = layout.operands(body.in_avals)
        self.known, self.state = list(takes.consts), list(takes.carry)
        self.sums = [a.tangent() for a in compress(takes.consts, nonzero[0])]
        self.cts = [a.tangent() for a in compress(takes.carry, nonzero[1])]
        self.rows = [*self.state, *(values.types if values else ())]  # what is kept of a step
        self.digits = slots_for(self.rows, many)
        self.slots = 1 << self.digits

    def program(self) -> tuple[Program, tuple[Any, ...]]:
        """All of it."""
        k, n = len(self.known), len(self.state)

        def run(*args: Any) -> list[Any]:
            consts, init, cts = args[:k], args[k : k + n], args[k + n :]
            count, spacing, *kept = self._record(consts, init)
            return self._back(consts, count, spacing, kept[n:], cts)

        types = [*self.known, *self.state, *self.cts]
        return stage_closed(run, types, f"back_through_{self.body.name}")

    def forward(self) -> tuple[Program, tuple[Any, ...]]:
        """The loop alone, with what it keeps."""
        k = len(self.known)
        return stage_closed(
            lambda *args: self._record(args[:k], args[k:], again=False),
            [*self.known, *self.state],
            f"recorded_{self.body.name}",
        )

    def backward(self) -> tuple[Program, tuple[Any, ...]]:
        """The way back alone."""
        k, stop = len(self.known), len(self.known) + 2 + len(self.rows)

        def run(*args: Any) -> list[Any]:
            return self._back(args[:k], args[k], args[k + 1], args[k + 2 : stop], args[stop:])

        types = [*self.known, _NUMBER, _NUMBER, *map(self._stacked, self.rows), *self.cts]
        return stage_closed(run, types, f"back_through_{self.body.name}")

    def _loop(
        self, test: Callable[..., Any], step: Callable[..., Values], consts: Values, carry: Values
    ) -> list[Any]:
        """A loop of functions of consts and carry."""
        types = [typeof(x) for x in (*consts, *carry)]
        tested, first = stage_closed(lambda *xs: [test(*xs)], types, "more")
        stepped, second = stage_closed(step, types, "again")
        assert not first and not second, "these rules make no constants"
        return list(self.make(tested, stepped, len(consts))(*consts, *carry))

    def _step(self, consts: Values, state: Values) -> list[Any]:
        return evaluate(self.again, [*consts, *state])

    def _first(self, consts: Values, state: Values, again: bool = True) -> tuple[Values, Values]:
        """The next state, and what is kept of the step."""
        if self.values is None:
            return self._step(consts, state), ()
        program = self.values.again if again else self.values.first
        found = evaluate(program, [*consts, *state, *self.split.constants])
        return found[: len(self.state)], found[len(self.state) :]

    def _residuals(self, consts: Values, state: Values, values: Values) -> list[Any]:
        """The residuals of a step."""
        split, given = self.split, [*consts, *state, *self.split.constants]
        if self.values is None:
            return split.residual_values(given, evaluate(self.residuals, given))
        found = iter(evaluate(self.values.second, [*given, *values]))
        outs = [next(found) if mine else None for mine in self.values.wanted]
        return split.residual_values(given, outs)

    def _record(self, consts: Values, init: Values, again: bool = True) -> list[Any]:
        """(number of steps, digits of the distance of kept states, last state, kept states) of the known loop."""
        k, n = len(consts), len(init)
        condition = silent(self.condition) if again else self.condition

        def test(*xs: Any) -> Any:
            return evaluate(condition, [*xs[:k], *xs[k + 2 : k + 2 + n]])[0]

        def step(*xs: Any) -> Values:
            count, spacing, *rest = xs[k:]
            state, kept = rest[:n], rest[n:]
            full = prims.eq(count, prims.shift_left(_int(self.slots), spacing))
            spacing = prims.add(spacing, prims.select(full, _int(1), _int(0)))
            slot = self._slot(count, spacing, self._place(count, spacing))
            following, values = self._first(xs[:k], state, again)
            row = [*state, *values]
            news = [_put(stack, x, slot) for stack, x in zip(kept, row, strict=True)]
            return [prims.add(count, _int(1)), spacing, *following, *news]

        return self._loop(test, step, consts, [_int(0), _int(0), *init, *self._stacks()])

    def _back(
        self, consts: Values, count: Any, spacing: Any, kept: Values, cts: Values
    ) -> list[Any]:
        """The cotangents, by segments between kept states, from the last to the first."""
        k, s = len(consts), len(self.sums)
        last = prims.shift_right_arithmetic(prims.sub(count, _int(1)), spacing)
        inner = prims.maximum(prims.sub(spacing, _int(self.digits)), _int(0))
        outside = [*consts, spacing, inner, *kept]
        m = len(outside)

        def test(*xs: Any) -> Any:
            return prims.ge(xs[m], _int(0))

        def step(*xs: Any) -> Values:
            consts, (spacing, inner), kept = xs[:k], xs[k : k + 2], xs[k + 2 : m]
            segment, end, *rest = xs[m:]
            start = prims.shift_left(segment, spacing)
            place = self._place(start, spacing)
            row = [_get(stack, place) for stack in kept]
            length = prims.sub(end, start)
            between = self._again(consts, inner, length, row, rest[s + len(self.cts) :])
            found = self._segment(consts, inner, length, between, rest[: s + len(self.cts)])
            return [prims.sub(segment, _int(1)), start, *found, *between]

        sums = [prims.zeros(a) for a in self.sums]
        carry = [last, count, *sums, *cts, *self._stacks()]
        return self._loop(test, step, outside, carry)[2 : 2 + s + len(self.cts)]

    def _again(
        self, consts: Values, inner: Any, length: Any, row: Values, stacks: Values
    ) -> list[Any]:
        """The states of one segment, computed again and kept, with the values of each step but the last."""
        k, n = len(consts), len(self.state)
        first = [_put(stack, x, _int(0)) for stack, x in zip(stacks, row, strict=True)]

        def test(*xs: Any) -> Any:
            return prims.lt(prims.add(xs[k + 2], _int(1)), xs[k + 1])

        def step(*xs: Any) -> Values:
            inner, _length, t, *rest = xs[k:]
            state, values = self._first(xs[:k], rest[:n])
            slots = [
                self._slot(at, inner, prims.shift_right_arithmetic(at, inner))
                for at in (prims.add(t, _int(1)), t)
            ]
            places = [slots[0]] * n + [slots[1]] * len(values)
            rows = zip(rest[n:], (*state, *values), places, strict=True)
            return [prims.add(t, _int(1)), *state, *[_put(*row) for row in rows]]

        carry = [_int(0), *row[:n], *first]
        return self._loop(test, step, [*consts, inner, length], carry)[1 + n :]

    def _segment(
        self, consts: Values, inner: Any, length: Any, kept: Values, totals: Values
    ) -> list[Any]:
        """The cotangents before a segment from those after it."""
        k, s, n = len(consts), len(self.sums), len(self.state)
        outside = [*consts, inner, length, *kept]
        m = len(outside)

        def test(*xs: Any) -> Any:
            return prims.ge(xs[m], _int(0))

        def step(*xs: Any) -> Values:
            consts, inner, length, kept = xs[:k], xs[k], xs[k + 1], xs[k + 2 : m]
            t, *totals = xs[m:]
            slot = prims.shift_right_arithmetic(t, inner)
            row, start = [_get(stack, slot) for stack in kept], prims.shift_left(slot, inner)
            state = self._advance(consts, start, t, row[:n])
            values = self._completed(consts, state, row[n:], start, t, length)
            residuals, back = self._residuals(consts, state, values), self.back
            found = evaluate(back.program, [*residuals, *totals[s:], *back.constants])
            sums = [prims.add_any(a, b) for a, b in zip(totals[:s], found[:s], strict=True)]
            return [prims.sub(t, _int(1)), *sums, *found[s:]]

        return self._loop(test, step, outside, [prims.sub(length, _int(1)), *totals])[1:]

    def _advance(self, consts: Values, start: Any, stop: Any, state: Values) -> list[Any]:
        """The state some steps later."""
        k = len(consts)

        def test(*xs: Any) -> Any:
            return prims.lt(xs[k + 1], xs[k])

        def step(*xs: Any) -> Values:
            return [prims.add(xs[k + 1], _int(1)), *self._step(xs[:k], xs[k + 2 :])]

        return self._loop(test, step, [*consts, stop], [start, *state])[1:]

    def _completed(
        self, consts: Values, state: Values, values: Values, start: Any, t: Any, length: Any
    ) -> Values:
        """What is kept of a step: computed again if it is not the row's own, or the last of several computed again."""
        if not values:
            return values
        k = len(consts)
        last = prims.and_(prims.eq(t, prims.sub(length, _int(1))), prims.gt(length, _int(1)))
        missing = prims.or_(prims.ne(t, start), last)

        def step(*xs: Any) -> Values:
            _, found = self._first(xs[:k], xs[k : k + len(state)])
            return [np.bool_(False), *found]

        return self._loop(
            lambda *xs: xs[k + len(state)], step, [*consts, *state], [missing, *values]
        )[1:]

    # ------------------------------------------------------------------------------------------------ places

    def _stacks(self) -> list[Any]:
        """Memory for kept states; what is not kept goes to the last row."""
        return [prims.zeros(self._stacked(a)) for a in self.rows]

    def _stacked(self, aval: ShapedArray) -> ShapedArray:
        return aval.with_shape((self.slots + 1, *aval.shape))

    def _place(self, count: Any, spacing: Any) -> Any:
        """Where the state of a step lies.

        The number of the step, in units of the distance, with its digits rotated: so half of the states stay where
        they are when the distance doubles, and the new ones come to the places of those that go.
        """
        number = prims.shift_right_arithmetic(count, spacing)
        by = prims.rem(spacing, _int(self.digits))
        low = prims.shift_right_arithmetic(number, prims.sub(_int(self.digits), by))
        return prims.and_(prims.or_(prims.shift_left(number, by), low), _int(self.slots - 1))

    def _slot(self, count: Any, spacing: Any, place: Any) -> Any:
        """The place for the state of a step if it is kept, else the last row."""
        mask = prims.sub(prims.shift_left(_int(1), spacing), _int(1))
        kept = prims.eq(prims.and_(count, mask), _int(0))
        return prims.select(kept, place, _int(self.slots))


_NUMBER = ShapedArray((), np.dtype(np.int64))


def _int(value: int) -> np.int64:
    return np.int64(value)


def _put(stack: Any, x: Any, place: Any) -> Any:
    shape = typeof(x).shape
    row = prims.Reshape((1, *shape))(x)
    return prims.DynamicUpdateSlice()(stack, row, place, *[_int(0) for _ in shape])


def _get(stack: Any, place: Any) -> Any:
    _, *shape = typeof(stack).shape
    row = prims.DynamicSlice((1, *shape))(stack, place, *[_int(0) for _ in shape])
    return prims.Reshape(tuple(shape))(row)
