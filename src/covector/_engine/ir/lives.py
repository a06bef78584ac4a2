"""Lives: when the values in buffers may be needed, and which of those that live together overlap in memory.

Statements have numbers in the order in which they are written, those inside a loop after it.  The proof of a plan
(`ir/sharing.py`) looks only at pairs that live together and overlap, which in a right plan are few.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from covector._engine.ir import index as ix
from covector._engine.ir.access import Reader
from covector._engine.ir.kernel import Buffer, Kernel, Loop, Statement, Swap, While, bodies, walk
from covector._engine.types.dims import Dim


class Lifetime(NamedTuple):
    """The statements from the first to the last in which the value of a buffer may be needed."""

    first: int
    last: int


class Times:
    """When the buffers of a Kernel are accessed."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.count = 0
        # Of each loop and branch, what is accessed inside.
        self.inside: dict[Statement, dict[Buffer, None]] = {}
        # Of each loop, the temps that nothing outside accesses and that its body writes first.
        self.own: dict[Statement, list[Buffer]] = {}
        self._spans: dict[Statement, Lifetime] = {}
        self._found: dict[Buffer, list[tuple[int, tuple[Statement, ...]]]] = {}
        self._leads: dict[Buffer, bool] = {}
        self._visit(kernel.body, Reader())
        self._common = {b: _common([loops for _, loops in at]) for b, at in self._found.items()}
        for buffer, loops in self._common.items():
            if buffer.kind == "temp" and self._leads[buffer]:
                for s in loops:
                    self.own.setdefault(s, []).append(buffer)

    def _visit(self, statements: Sequence[Statement], reader: Reader) -> None:
        for s in statements:
            number = self.count
            self.count += 1
            for a in reader.own(s):
                loops = tuple([x for x in a.around if isinstance(x, (Loop, While))])
                self._found.setdefault(a.buffer, []).append((number, loops))
                self._leads.setdefault(a.buffer, a.writes)
                for x in a.around:
                    self.inside.setdefault(x, {})[a.buffer] = None
            for body in bodies(s):
                reader.enter(s)
                self._visit(body, reader)
                reader.leave()
            first = self._spans[s].first if s in self._spans else number
            self._spans[s] = Lifetime(first, self.count - 1)

    def lives(self) -> dict[Buffer, Lifetime]:
        """The life of each buffer, private ones excepted; what takes turns lives as long as any of it.

        A loop's own buffer lives from statement to statement of the body, as each run writes it anew.  What is not a
        loop's own lives as long as the loop.
        """
        found = {b: self._life(b) for b in self._found if b.kind != "local"}
        for b in self.kernel.inputs:
            if b in found:
                found[b] = Lifetime(-1, found[b].last)
        for b in self.kernel.outputs:
            if b in found:
                found[b] = Lifetime(found[b].first, self.count)
        for group in turns(self.kernel):
            life = hull([found[b] for b in group])
            found.update((b, life) for b in group)
        return found

    def _life(self, buffer: Buffer) -> Lifetime:
        loops = self._common[buffer]
        depth = 0
        if buffer.kind == "temp" and self._leads[buffer]:
            sides = [n for n, s in enumerate(loops) if isinstance(s, Loop) and s.schedule.parallel]
            depth = min([*sides, len(loops)])  # runs that are side by side are in no order
        return hull(
            [
                self._spans[around[depth]] if len(around) > depth else Lifetime(number, number)
                for number, around in self._found[buffer]
            ]
        )


def hull(lives: Sequence[Lifetime]) -> Lifetime:
    """From the first to the last of all."""
    return Lifetime(min(x.first for x in lives), max(x.last for x in lives))


def _common(ways: Sequence[tuple[Statement, ...]]) -> tuple[Statement, ...]:
    """What all of several ways into loops begin with."""
    common = ways[0]
    for way in ways:
        if way is not common:
            same = [x is y for x, y in zip(common, way, strict=False)]
            common = common[: same.index(False) if False in same else len(same)]
    return common


def turns(kernel: Kernel) -> list[list[Buffer]]:
    """The groups of buffers that take turns: each may come to lie where any of its group does."""
    groups: dict[Buffer, list[Buffer]] = {}
    for s in walk(kernel.body):
        if isinstance(s, Swap) and not kernel.is_idle(s):
            first, second = (groups.get(b, [b]) for b in (s.first, s.second))
            if first is not second:
                for b in (united := [*first, *second]):
                    groups[b] = united
    return list({id(group): group for group in groups.values()}.values())


# ------------------------------------------------------------------------------------------------ regions


class Span(NamedTuple):
    """A part of some memory: a parameter's or the arena, from a byte to another one."""

    memory: Buffer | None
    start: Dim
    end: Dim

    def overlaps(self, other: Span) -> bool:
        """Whether they may have a byte in common."""
        if self.memory is not other.memory:
            return False
        return not (at_most(self.end, other.start) or at_most(other.end, self.start))


def at_most(a: Dim, b: Dim) -> bool:
    """Whether a <= b is proved."""
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    return ix.is_nonnegative(b - a)


class _Occupied:
    """The live regions of one memory.

    Those of about one size are kept in order, so what overlaps a region lies in a short stretch of each such list.
    """

    def __init__(self) -> None:
        self.sizes: dict[int, list[tuple[int, int, int, Buffer]]] = {}  # start, number, end, whose
        self.symbolic: dict[int, tuple[Span, Buffer]] = {}

    def add(self, number: int, region: Span, buffer: Buffer) -> None:
        _, start, end = region
        if isinstance(start, int) and isinstance(end, int):
            row = self.sizes.setdefault((end - start).bit_length(), [])
            insort(row, (start, number, end, buffer))
        else:
            self.symbolic[number] = region, buffer

    def remove(self, number: int, region: Span) -> None:
        _, start, end = region
        if isinstance(start, int) and isinstance(end, int):
            row = self.sizes[(end - start).bit_length()]
            del row[bisect_left(row, (start, number))]
        else:
            del self.symbolic[number]

    def overlapping(self, region: Span) -> Iterator[Buffer]:
        """Whose regions may have a byte in common with one."""
        memory, start, end = region
        yield from [b for other, b in self.symbolic.values() if region.overlaps(other)]
        for size, row in self.sizes.items():
            if isinstance(start, int) and isinstance(end, int):
                n = bisect_right(row, (start - (1 << size),))
                while n < len(row) and row[n][0] < end:
                    if start < row[n][2]:
                        yield row[n][3]
                    n += 1
            else:
                parts = [(Span(memory, low, high), b) for low, _, high, b in row]
                yield from [b for other, b in parts if region.overlaps(other)]


def together(entries: Iterable[tuple[Lifetime, Span, Buffer]]) -> Iterator[tuple[Buffer, Buffer]]:
    """The pairs of buffers that live at the same time and overlap in memory."""
    memories: dict[Buffer | None, _Occupied] = defaultdict(_Occupied)
    ordered = sorted(entries, key=lambda entry: entry[0].first)
    ends: list[tuple[int, int]] = []  # of what is live: (last statement, which)
    for number, (life, region, buffer) in enumerate(ordered):
        while ends and ends[0][0] < life.first:
            _, dead = heappop(ends)
            gone = ordered[dead][1]
            memories[gone.memory].remove(dead, gone)
        occupied = memories[region.memory]
        yield from [(buffer, b) for b in occupied.overlapping(region) if b is not buffer]
        occupied.add(number, region, buffer)
        heappush(ends, (life.last, number))
