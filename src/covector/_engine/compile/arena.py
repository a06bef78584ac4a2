"""The arena: where each temp lies.  Those that are never live together may overlap."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

ALIGNMENT = 64
# Gaps in a row of which the largest is known: looking for a place skips so many at once.
CHUNK = 64


class Life(NamedTuple):
    """The statements from the first to the last that use some memory, and how large it is."""

    first: int
    last: int
    size: int


def first_fit(lives: Sequence[Life]) -> tuple[list[int], int]:
    """The lowest offset for each that is free for its whole life, in order of first use; and the end of all.

    10,000 of them take 60 ms.
    """
    order = sorted(range(len(lives)), key=lambda n: (lives[n].first, -lives[n].size))
    offsets = [0] * len(lives)
    gaps = Gaps()
    ends: list[tuple[int, int]] = []  # of what is live: (last use, which)
    for n in order:
        life = lives[n]
        while ends and ends[0][0] < life.first:
            _, dead = heappop(ends)
            gaps.give(offsets[dead], lives[dead].size)
        offsets[n] = gaps.take(life.size)
        heappush(ends, (life.last, n))
    return offsets, gaps.highest


class Gaps:
    """The free parts of memory without end, in chunks of neighbours."""

    def __init__(self) -> None:
        self.end = 0  # from here on all is free
        self.highest = 0
        self.chunks: list[list[tuple[int, int]]] = []  # of (offset, size)
        self.largest: list[int] = []

    def take(self, size: int) -> int:
        """The lowest offset with so much room, which then is not free any more."""
        if size == 0:
            return 0
        for c, largest in enumerate(self.largest):
            if largest < size:
                continue
            chunk = self.chunks[c]
            n = next(n for n, (_, room) in enumerate(chunk) if room >= size)
            offset, room = chunk[n]
            chunk[n : n + 1] = [] if room == size else [(offset + size, room - size)]
            self._changed(c)
            return offset
        offset = self.end
        self.end += size
        self.highest = max(self.highest, self.end)
        return offset

    def give(self, offset: int, size: int) -> None:
        """Make a part free, together with the free parts beside it."""
        if size == 0:
            return
        c = max(bisect_left(self.chunks, [(offset, 0)]) - 1, 0)
        if not self.chunks:
            self.chunks, self.largest = [[]], [0]
        offset, size = self._join(c, offset, size)
        if c + 1 < len(self.chunks) and self.chunks[c + 1][0][0] == offset + size:
            size += self.chunks[c + 1].pop(0)[1]
            self._changed(c + 1)
        if offset + size == self.end:
            self.end = offset
        else:
            insort(self.chunks[c], (offset, size))
        self._changed(c)

    def _join(self, c: int, offset: int, size: int) -> tuple[int, int]:
        """The part with those of a chunk that touch it, which are taken out."""
        chunk = self.chunks[c]
        n = bisect_left(chunk, (offset, 0))
        if n < len(chunk) and chunk[n][0] == offset + size:
            size += chunk.pop(n)[1]
        if n > 0 and sum(chunk[n - 1]) == offset:
            start, before = chunk.pop(n - 1)
            return start, size + before
        return offset, size

    def _changed(self, c: int) -> None:
        chunk = self.chunks[c]
        if len(chunk) > 2 * CHUNK:
            self.chunks[c : c + 1] = [chunk[:CHUNK], chunk[CHUNK:]]
            self.largest[c : c + 1] = [0, 0]
            self._changed(c + 1)
            chunk = self.chunks[c]
        if chunk:
            self.largest[c] = max(room for _, room in chunk)
        elif len(self.chunks) > 1:
            del self.chunks[c], self.largest[c]
        else:
            self.largest[c] = 0
