"""Small arrays of loops, turned: the axis that lanes run along lies innermost, and so does its loop.

Eight points in space are 8 rows of 3 numbers.  Lanes along the 3 are too few, and those along the 8 read every third
number.  What a Program keeps between the steps of a loop may lie as its nests go through it: here as 3 rows of 8.
A step of 8 bodies that attract each other took 51 ns, and takes 39.

Each nest wants lanes along one of its loops.  One that has no other choice says first how the arrays lie that it goes
through; the next ones choose by what is left.  Nothing is turned that would not be much faster.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from covector._engine.backends.base import Job, Target
from covector._engine.base.record import record, replace
from covector._engine.compile.survey import Survey
from covector._engine.ir import index as ix
from covector._engine.ir.access import Whole, accesses
from covector._engine.ir.builder import load
from covector._engine.ir.kernel import (
    Buffer,
    Copy,
    Kernel,
    Loop,
    Statement,
    Store,
    Swap,
    While,
    bodies,
    walk,
)
from covector._engine.ir.legal import chain_of, runs_on
from covector._engine.ir.renaming import Renaming
from covector._engine.types import dims
from covector._engine.types.dims import Dim, Polynomial


def turn(kernel: Kernel, job: Job) -> Kernel:
    """The Kernel with the arrays of its loops turned, where lanes gain much by it."""
    limits = job.target.loops
    loops = [s for s in repeated(kernel.body) if _has_short_rows(s, limits.few)]
    if not loops:
        return kernel
    arrays = Arrays(kernel.body)
    choice = Choice([nest for s in loops for nest in _nests(s, arrays, job.target)])
    if choice.before < limits.turned * choice.after:
        return kernel
    return kernel.with_body(_Turning(arrays, choice).body(kernel.body))


def repeated(body: Sequence[Statement]) -> Iterator[Statement]:
    """The outermost statements that do all that is in them again and again, in order."""
    for s in body:
        if isinstance(s, While) or (isinstance(s, Loop) and not s.free):
            yield s
        else:
            for inside in bodies(s):
                yield from repeated(inside)


def nests_of(body: Sequence[Statement]) -> Iterator[Loop]:
    """The outermost loops whose runs are free."""
    for s in body:
        if isinstance(s, Loop) and s.free:
            yield s
        else:
            for inside in bodies(s):
                yield from nests_of(inside)


def _has_short_rows(s: Statement, few: int) -> bool:
    """Whether there is a nest whose innermost loop has few runs, and another one enough for lanes."""
    for nest in nests_of((s,)):
        *others, last = (x.extent if isinstance(x.extent, int) else 0 for x in chain_of(nest))
        if 0 < last <= few and any(n >= 2 * few for n in others):
            return True
    return False


# ------------------------------------------------------------------------------------------------- arrays


@record
class Axes:
    """How the places of a flat buffer are made of axes: their strides and extents, the innermost first."""

    strides: tuple[int, ...]
    extents: tuple[int, ...]

    def index(self, place: Dim) -> tuple[Dim, ...] | None:
        """The index along each axis of a place; None if it does not show."""
        parts: list[Dim] = [0] * len(self.strides)
        rest = 0
        for monomial, c in place.terms if isinstance(place, Polynomial) else (((), place),):
            if monomial:
                axis = self.strides.index(abs(c))
                parts[axis] = parts[axis] + Polynomial(((monomial, 1 if c > 0 else -1),))
            else:
                rest = c
        for axis in reversed(range(len(parts))):
            n, rest = divmod(rest, self.strides[axis])
            parts[axis] = parts[axis] + n
        for part, extent in zip(parts, self.extents, strict=True):
            low, high = dims.bounds(part)
            if low is None or high is None or low < 0 or high >= extent:
                return None
        return tuple(parts)

    def order(self, axis: int) -> list[int]:
        """The axes, the innermost first, where this one lies innermost and the others are as before."""
        return [axis, *[n for n in range(len(self.extents)) if n != axis]]

    def turned(self, index: Sequence[Dim], axis: int) -> Dim:
        """The place of an index where an axis lies innermost."""
        backwards = self.order(axis)[::-1]
        return ix.flatten([index[n] for n in backwards], [self.extents[n] for n in backwards])


def axes_of(size: int, places: Iterable[Dim]) -> Axes | None:
    """The axes that all of these places in a buffer are made of; None if there are no such."""
    places, strides = list(places), {1}
    for place in places:
        for monomial, c in place.terms if isinstance(place, Polynomial) else ():
            if len(monomial) == 1 and isinstance(monomial[0].payload, int):
                strides.add(abs(c))
            elif monomial:
                return None  # a symbolic extent, a quotient, an index that comes from data
    steps = sorted(strides)
    ends = [*steps[1:], size]
    if any(end % step for step, end in zip(steps, ends, strict=True)):
        return None
    axes = Axes(tuple(steps), tuple([end // n for n, end in zip(steps, ends, strict=True)]))
    return None if any(axes.index(place) is None for place in places) else axes


class Arrays:
    """The buffers of a Kernel that may lie otherwise, and their axes.

    Those that are exchanged lie alike, and so do those that are copied as a whole if both may: `one_of` says which
    buffer stands for all of them.
    """

    def __init__(self, body: Sequence[Statement]):
        self._above: dict[Buffer, Buffer] = {}
        places: dict[Buffer, dict[Dim, None]] = {}
        fixed = {b for s in walk(body) if isinstance(s, Loop) for b in s.own}
        copied: list[tuple[Buffer, Buffer]] = []
        for a in accesses(body):
            found = places.setdefault(a.buffer, {})
            match a.statement:
                case Swap(first, second):
                    self._alike(first, second)
                case Copy((target, _), (source, _), _) if a.during or a.writes:
                    copied.append((target, source))
                    if a.place != 0 or a.size != a.buffer.size:
                        fixed.add(a.buffer)
                case _ if isinstance(a.place, Whole):
                    fixed.add(a.buffer)
                case _:
                    found[a.place] = None
        fixed |= {b for b in places if b.kind != "temp" or not isinstance(b.size, int)}
        fixed = {self.one_of(b) for b in fixed}
        for target, source in copied:
            if fixed.isdisjoint((self.one_of(target), self.one_of(source))):
                self._alike(target, source)
        together: dict[Buffer, dict[Dim, None]] = {}
        for b, found in places.items():
            together.setdefault(self.one_of(b), {}).update(found)
        self._axes = {
            b: axes
            for b, found in together.items()
            if b not in fixed and isinstance(b.size, int) and (axes := axes_of(b.size, found))
        }

    def _alike(self, first: Buffer, second: Buffer) -> None:
        one, other = self.one_of(first), self.one_of(second)
        if one is not other:
            self._above[one] = other

    def one_of(self, b: Buffer) -> Buffer:
        """The buffer that stands for all that lie as this one does."""
        while b in self._above:
            b = self._above[b]
        return b

    def axes(self, b: Buffer) -> Axes | None:
        """The axes of a buffer that may lie otherwise."""
        return self._axes.get(self.one_of(b))


# -------------------------------------------------------------------------------------------------- nests


@record(eq=False)
class Use:
    """A place that a nest reads or writes, so many times in one run of its innermost loop."""

    array: Buffer  # that stands for all that lie alike
    index: tuple[Dim, ...] | None  # along its axes, if it may lie otherwise
    place: Dim
    times: int

    def axis(self, name: str) -> int | None:
        """The one axis along which a loop moves it; None if there is none, or more of them."""
        along = [n for n, part in enumerate(self.index or ()) if ix.depends(part, name)]
        return along[0] if len(along) == 1 else None


@record(eq=False)
class Nest:
    """Loops that may stand in any order around one body, and what that accesses."""

    chain: list[Loop]
    lanes: int
    uses: list[Use]

    @property
    def run(self) -> bool:
        """Whether every access runs through all of the loops in one stride: they become one, however they lie."""
        pairs = list(itertools.pairwise(self.chain))
        return all(
            runs_on(use.place, outer.name, inner.name, inner.extent)
            for use in self.uses
            for outer, inner in pairs
        )

    def cost(self, along: Loop, innermost: Mapping[Buffer, int]) -> int:
        """What it takes with lanes along a loop: vectors, those that do not lie side by side a lane at a time.

        An array for which it is not said how it lies may lie as it is best.
        """
        runs = 1
        for loop in self.chain:
            assert isinstance(loop.extent, int)
            runs *= -(-loop.extent // self.lanes) if loop is along else loop.extent
        lanes = min(self.lanes, _length(along))
        return runs * sum(
            use.times * (1 if self._side_by_side(use, along.name, innermost) else lanes)
            for use in self.uses
        )

    def _side_by_side(self, use: Use, name: str, innermost: Mapping[Buffer, int]) -> bool:
        if not ix.depends(use.place, name):
            return True
        if use.index is None:
            return ix.coefficient(use.place, name) == 1
        axis = use.axis(name)
        return axis is not None and innermost.get(use.array, axis) == axis

    def regret(self) -> float:
        """How much longer the second best loop takes than the best one."""
        if self.run:
            return 1.0
        best, second, *_ = sorted(self.cost(loop, {}) for loop in self.chain)
        return second / best if best else 1.0  # without elements all are as good


def _length(loop: Loop) -> int:
    assert isinstance(loop.extent, int)
    return loop.extent


def _nests(s: Statement, arrays: Arrays, target: Target) -> Iterator[Nest]:
    """The nests in a statement for which there is a choice."""
    for loop in nests_of((s,)):
        chain = chain_of(loop)
        if len(chain) < 2 or not all(
            isinstance(x.extent, int) for x in walk((loop,)) if isinstance(x, Loop)
        ):
            continue
        seen = Survey(loop, target).nest
        if seen.blocked or seen.parts:
            continue
        uses: list[Use] = []
        for a in accesses((loop,)):
            assert not isinstance(a.place, Whole), "what has no lanes accesses more"
            times = math.prod(
                _length(x) for x in a.around if isinstance(x, Loop) and x not in chain
            )
            axes = arrays.axes(a.buffer)
            index = None if axes is None else axes.index(a.place)
            uses.append(Use(arrays.one_of(a.buffer), index, a.place, times))
        yield Nest(chain, seen.lanes, uses)


class Choice:
    """Along which loop each nest has lanes, which axis of each array lies innermost, and what that gains."""

    def __init__(self, nests: Sequence[Nest]):
        self.innermost: dict[Buffer, int] = {}
        self.along: dict[Loop, Loop] = {}  # by the outermost loop of a nest
        for nest in sorted(nests, key=Nest.regret, reverse=True):
            loops = nest.chain[::-1]  # of equal ones the innermost: nothing is moved without need
            best = min(loops, key=lambda loop: nest.cost(loop, self.innermost))
            self.along[nest.chain[0]] = best
            for use in nest.uses:
                if (axis := use.axis(best.name)) is not None:
                    self.innermost.setdefault(use.array, axis)
        as_they_lie = {use.array: 0 for nest in nests for use in nest.uses}
        counted = [nest for nest in nests if not nest.run]
        self.before = sum(nest.cost(nest.chain[-1], as_they_lie) for nest in counted)
        self.after = sum(nest.cost(self.along[nest.chain[0]], self.innermost) for nest in counted)


# ------------------------------------------------------------------------------------------------ rewriting


class _Turning(Renaming):
    """Statements with arrays that lie otherwise, and nests with other loops innermost."""

    def __init__(self, arrays: Arrays, choice: Choice):
        super().__init__({})
        self.arrays, self.choice = arrays, choice

    def place(self, b: Buffer, d: Dim) -> tuple[Buffer, Dim]:
        axis = self._axis(b)
        if axis == 0:
            return super().place(b, d)
        axes = self.arrays.axes(b)
        index = None if axes is None else axes.index(d)
        assert axes is not None and index is not None, "every place was looked at"
        return b, axes.turned(index, axis)

    def _axis(self, b: Buffer) -> int:
        """The axis of a buffer that lies innermost now."""
        return self.choice.innermost.get(self.arrays.one_of(b), 0)

    def loop(self, s: Loop) -> Loop:
        along = self.choice.along.get(s)
        if along is None:
            return super().loop(s)
        chain = chain_of(s)
        made = replace(along, body=self.body(chain[-1].body))
        for x in reversed(chain):
            if x is not along:
                made = replace(x, body=(made,))
        return made

    def statement(self, s: Statement) -> Statement:
        if isinstance(s, Copy):
            (target, _), (source, _) = s.target, s.source
            ways = self._axis(target), self._axis(source)
            if any(ways) and self.arrays.one_of(target) is not self.arrays.one_of(source):
                return self._element_by_element(s)
        return super().statement(s)

    def _element_by_element(self, s: Copy) -> Statement:
        """A copy of a whole array from or to where it lies otherwise."""
        (target, at), (source, start) = s.target, s.source
        turned = target if self._axis(target) else source
        axes = self.arrays.axes(turned)
        assert axes is not None
        index = [ix.loop_variable(f"side{n}", extent) for n, extent in enumerate(axes.extents)]
        flat = ix.flatten(index[::-1], axes.extents[::-1])
        value = load(*self.place(source, start + flat))
        body: tuple[Statement, ...] = (Store(*self.place(target, at + flat), value),)
        for n in axes.order(self._axis(turned)):
            body = (Loop(index[n], axes.extents[n], body, free=True),)
        return body[0]
