"""Accesses: what a statement reads and writes, where, and under which loops.

This is the one answer for planning, hoisting, scheduling, checking and emission.  A node of an expression is
computed once in the scope in which it is first used, and its value is kept until that scope ends: a load that
several statements share reads memory where the first of them stands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from covector._engine.base.record import record
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import (
    Buffer,
    Callback,
    Copy,
    If,
    Loop,
    Routine,
    Statement,
    Store,
    Swap,
    bodies,
    index_values,
    nodes,
    roots,
)
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim


class Whole(Enum):
    """The place of an access that may be anywhere in its buffer."""

    WHOLE = "anywhere"


WHOLE: Final = Whole.WHOLE
PAIRS = 256


@record
class Access:
    """One read or write: `size` elements side by side from `place` (an index, or WHOLE) in a buffer."""

    buffer: Buffer
    place: Dim | Whole
    writes: bool
    statement: Statement
    around: tuple[Statement, ...]  # what it runs under, outermost first: loops and branches
    size: Dim = 1


class Reader:
    """Goes through statements in the order in which they run and says what each of them accesses.

    Between `enter` and `leave` is a scope, the body of a loop or a branch.
    """

    def __init__(self) -> None:
        self.around: list[Statement] = []
        self._seen: set[Expr] = set()
        self._marks: list[set[Expr]] = []

    def own(self, statement: Statement) -> list[Access]:
        """What a statement accesses itself, what is inside it excepted: reads, then writes."""
        around = tuple(self.around)
        found: list[Access] = []

        def add(buffer: Buffer, place: Dim | Whole, writes: bool, size: Dim = 1) -> None:
            found.append(Access(buffer, place, writes, statement, around, size))

        fresh = list(nodes(roots(statement), self._seen))
        for node in fresh:
            if node.op == "load":
                buffer, index = node.attr  # type: ignore[misc]
                add(buffer, index, False)
        if self._marks:
            self._marks[-1].update(fresh)
        match statement:
            case Store(buffer, index, _, _):
                add(buffer, index, True)
            case Routine(_, places, _, writes, updates):
                for n, (buffer, _) in enumerate(places):
                    if n not in writes or n in updates:
                        add(buffer, WHOLE, False)
                for n in writes:
                    add(places[n][0], WHOLE, True)
            case Callback(_, _, places, _, operands, _):
                for n, (buffer, _) in enumerate(places):
                    add(buffer, WHOLE, n >= operands)
            case Copy((target, at), (source, start), size):
                add(source, start, False, size)
                add(target, at, True, size)
            case Swap(first, second):
                for writes_ in (False, True):
                    for buffer in (first, second):
                        add(buffer, WHOLE, writes_)
            case _:
                pass
        return found

    def enter(self, statement: Statement) -> None:
        """Go into the body of a statement."""
        self.around.append(statement)
        self._marks.append(set())

    def leave(self) -> None:
        """Come out of it: what was computed inside is forgotten."""
        self.around.pop()
        self._seen -= self._marks.pop()

    def walk(self, statements: Sequence[Statement]) -> Iterator[Access]:
        """What statements access, everything inside them included, in the order in which they run."""
        for statement in statements:
            yield from self.own(statement)
            for inside in bodies(statement):
                self.enter(statement)
                yield from self.walk(inside)
                self.leave()


def accesses(statements: Sequence[Statement]) -> Iterator[Access]:
    """What statements access, everything inside them included, in the order in which they run."""
    return Reader().walk(statements)


@record
class Use:
    """What statements do with one buffer, all in all."""

    reads: bool = False
    writes: bool = False
    leads: bool = False  # the first access writes


def uses(statements: Sequence[Statement]) -> dict[Buffer, Use]:
    """The buffers that statements access, in the order in which they appear."""
    return _used(accesses(statements))


def uses_around(own: Iterable[Access], inside: Iterable[Mapping[Buffer, Use]]) -> dict[Buffer, Use]:
    """What a statement does with buffers that accesses these itself; the statements inside, in order, do the rest."""
    found = _used(own)
    for part in inside:
        for buffer, use in part.items():
            old = found.get(buffer)
            if old is None:
                found[buffer] = use
            elif (use.reads and not old.reads) or (use.writes and not old.writes):
                found[buffer] = Use(old.reads or use.reads, old.writes or use.writes, old.leads)
    return found


def _used(met: Iterable[Access]) -> dict[Buffer, Use]:
    found: dict[Buffer, Use] = {}
    for a in met:
        old = found.get(a.buffer)
        if old is None:
            found[a.buffer] = Use(not a.writes, a.writes, a.writes)
        elif not (old.writes if a.writes else old.reads):
            found[a.buffer] = Use(old.reads or not a.writes, old.writes or a.writes, old.leads)
    return found


def written(statements: Sequence[Statement]) -> list[Buffer]:
    """The buffers that statements write."""
    return [buffer for buffer, use in uses(statements).items() if use.writes]


# ------------------------------------------------------------------------------------------------- places


def apart(p: Access, q: Access, loop: Loop) -> bool:
    """Whether the places of two accesses inside a loop are proved to differ in different runs of its body.

    Each loop further in may be in any of its runs, those outside are in the same one.  It holds if a step of
    the loop moves both places by more than what the loops inside can make up for.
    """
    if isinstance(p.place, Whole) or isinstance(q.place, Whole) or (p.size, q.size) != (1, 1):
        return False
    if from_data(p.place) or from_data(q.place):
        return False
    stride = ix.coefficient(p.place, loop.name)
    if stride is None or stride != ix.coefficient(q.place, loop.name):
        return False
    step = stride * loop.variable
    left = _renamed(p.place - step, p.around, loop, "'")
    right = _renamed(q.place - step, q.around, loop, '"')
    return any(
        ix.is_nonnegative(s - 1 - (left - right)) and ix.is_nonnegative(s - 1 + (left - right))
        for s in (stride, -stride)
    )


def from_data(place: Dim) -> bool:
    """Whether an index depends on what some buffer or local holds."""
    return bool(index_values(place))


def moves(place: Dim, variable: str) -> bool:
    """Whether a place in private memory is another one in each run of a loop: one from data is in a run's own."""
    return not from_data(place) and ix.coefficient(place, variable) != 0


def _renamed(place: Dim, around: Sequence[Statement], loop: Loop, mark: str) -> Dim:
    """A place with other names for the variables of the loops further in, over all that they run through."""
    names: dict[str, Dim] = {}
    for inner in around[around.index(loop) + 1 :]:
        if isinstance(inner, Loop):
            extent = dims.substitute(inner.extent, names)
            names[inner.name] = ix.loop_variable(inner.name + mark, extent)
    return dims.substitute(place, names)


def is_whole(s: Copy) -> bool:
    """Whether a copy is of all of a buffer to all of another one."""
    (target, at), (source, start) = s.target, s.source
    return at == start == 0 and target.size == source.size == s.size


def in_place(reads: Sequence[Access], writes: Sequence[Access]) -> bool:
    """Whether writes that stand after reads get to the places that these read only later, in each of their runs.

    Pairs of them are looked at up to `PAIRS`: more is taken for no.
    """
    if len(reads) * len(writes) > PAIRS:
        return False
    return all(_never_before(r, w) for r in reads for w in writes)


def _never_before(read: Access, write: Access) -> bool:
    pairs = zip(read.around, write.around, strict=False)
    shared = [s for s, _ in itertools.takewhile(lambda pair: pair[0] is pair[1], pairs)]
    return all(isinstance(s, If) or (isinstance(s, Loop) and apart(write, read, s)) for s in shared)
