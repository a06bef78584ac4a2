"""Donation: which result may take over which donated argument's memory.

It may if the argument is not read after the result is first written, or only where the same run of the same loops
then writes the result.  All pairs of n arguments and m results are too many to look at, so both are sorted by time.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from covector._engine.ir.access import Access, Use, accesses, in_place, is_whole
from covector._engine.ir.kernel import Buffer, Copy, Kernel, Statement

READ_AFTER = "the old value is read after the new one is written"
READ_WHILE = "the old value is read while the new one is written"


class Donor(NamedTuple):
    """A donated argument, and the last statement that reads it; -1: none does."""

    number: int
    buffer: Buffer
    last: int


class Heir(NamedTuple):
    """A result, and the first statement that writes it or a buffer in its memory."""

    number: int
    buffer: Buffer
    first: int


class Donation:
    """Pairs results with donated arguments; `root_of` gives the result in whose memory a temp lies."""

    def __init__(
        self,
        kernel: Kernel,
        donated: Sequence[int],
        root_of: Callable[[Buffer], Buffer],
        events_of: Callable[[Buffer], list[tuple[int, Use]]],
        explain: Callable[[str], None],
        tries: int,
    ):
        self.tries = tries
        self.body, self.root_of, self.explain = kernel.body, root_of, explain
        self.donors: dict[Buffer, Donor] = {}
        self.heirs: dict[Buffer, Heir] = {}
        self.taken: list[tuple[int, int]] = []
        for i in donated:
            events, buffer = events_of(kernel.inputs[i]), kernel.inputs[i]
            self.donors[buffer] = Donor(i, buffer, events[-1][0] if events else -1)
        for o, buffer in enumerate(kernel.outputs):
            events = events_of(buffer)
            if all(use.leads for _, use in events[:1]):
                first = events[0][0] if events else len(self.body)
                self.heirs[buffer] = Heir(o, buffer, first)

    def pairs(self) -> list[tuple[int, int]]:
        """(result, argument) of each pair that may share memory."""
        at: dict[int, tuple[list[Donor], list[Heir]]] = defaultdict(lambda: ([], []))
        for donor in self.donors.values():
            at[donor.last][0].append(donor)
        for heir in self.heirs.values():
            at[heir.first][1].append(heir)
        for n, (donors, heirs) in at.items():
            if donors and heirs:
                self._in_one(self.body[n], donors, heirs)
        self._one_after_the_other()
        left = {_kind(b): heir for b, heir in self.heirs.items()}
        for buffer, donor in self.donors.items():
            self.explain(f"donated {buffer}: {_why_not(donor, left.get(_kind(buffer)))}")
        return self.taken

    def _take(self, donor: Donor, heir: Heir) -> None:
        self.taken.append((heir.number, donor.number))
        del self.donors[donor.buffer], self.heirs[heir.buffer]
        self.explain(f"donated {donor.buffer} -> {heir.buffer}: in place")

    def _in_one(self, statement: Statement, donors: list[Donor], heirs: list[Heir]) -> None:
        """Pairs that meet in one statement: a copy, or a loop that reads where it then writes."""
        if isinstance(statement, Copy):
            if is_whole(statement) and _kind(donors[0].buffer) == _kind(heirs[0].buffer):
                self._take(donors[0], heirs[0])
            return
        found: dict[Buffer, list[tuple[int, Access]]] = defaultdict(list)
        for time, a in enumerate(accesses((statement,))):
            found[self.root_of(a.buffer)].append((time, a))
        last_read = lambda d: found[d.buffer][-1][0]  # noqa: E731
        first_write = lambda h: found[h.buffer][0][0]  # noqa: E731
        pending = sorted(donors, key=last_read, reverse=True)
        free: dict[object, list[Donor]] = defaultdict(list)
        for heir in sorted(heirs, key=first_write):
            while pending and last_read(pending[-1]) < first_write(heir):
                donor = pending.pop()
                (_, first), *others = found[donor.buffer]
                if all(_meeting(a) == _meeting(first) for _, a in others):
                    free[_meeting(first)].append(donor)
            (_, write), *others = found[heir.buffer]
            if not others and free[_meeting(write)] and in_place((write,), (write,)):
                self._take(free[_meeting(write)].pop(), heir)
        self._in_rows(found, donors, heirs)

    def _in_rows(
        self,
        found: dict[Buffer, list[tuple[int, Access]]],
        donors: list[Donor],
        heirs: list[Heir],
    ) -> None:
        """Pairs of which a row is read, then written; for each result, a few arguments are tried."""
        left: dict[object, dict[Buffer, Donor]] = defaultdict(dict)
        for donor in donors:
            if donor.buffer in self.donors:
                left[_kind(donor.buffer)][donor.buffer] = donor
        for heir in heirs:
            if heir.buffer not in self.heirs:
                continue
            writes, fitting = found[heir.buffer], left[_kind(heir.buffer)]
            for donor in list(itertools.islice(fitting.values(), self.tries)):
                reads = [a for _, a in found[donor.buffer]]
                after = (
                    all(a.writes for _, a in writes) and found[donor.buffer][-1][0] < writes[0][0]
                )
                if after and in_place(reads, [a for _, a in writes]):
                    self._take(donor, heir)
                    del fitting[donor.buffer]
                    break

    def _one_after_the_other(self) -> None:
        """Pairs whose argument is not read any more when the result is written: of those free, the last one read."""
        kinds: dict[object, tuple[list[Donor], list[Heir]]] = defaultdict(lambda: ([], []))
        for buffer, donor in self.donors.items():
            kinds[_kind(buffer)][0].append(donor)
        for buffer, heir in self.heirs.items():
            kinds[_kind(buffer)][1].append(heir)
        for donors, heirs in kinds.values():
            pending = sorted(donors, key=lambda d: d.last, reverse=True)
            free: list[Donor] = []
            for heir in sorted(heirs, key=lambda h: h.first):
                while pending and pending[-1].last < heir.first:
                    free.append(pending.pop())
                if free:
                    self._take(free.pop(), heir)


def _kind(buffer: Buffer) -> object:
    return buffer.size, buffer.dtype


def _meeting(a: Access) -> object:
    """What an argument's reads and a result's write must have in common: no read goes on while that writes."""
    return _kind(a.buffer), a.place, a.around, a.during


def _why_not(donor: Donor, heir: Heir | None) -> str:
    if heir is None:
        return "there is no other result of its size and type"
    return READ_AFTER if donor.last > heir.first else READ_WHILE
