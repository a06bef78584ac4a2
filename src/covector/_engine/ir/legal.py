"""Which schedules a loop may have: what they change is how it runs, never what it computes.

Lowering promises that the runs of the loops it wants lanes or threads for do not depend on each other; where that
comes from data it cannot be seen here.  So a schedule is refused, with the reason, if it is proved wrong; `strictly`,
if it is not proved right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from covector._engine.ir import index as ix
from covector._engine.ir.access import Access, Reader, Whole, apart, from_data
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Routine,
    Schedule,
    Statement,
    Swap,
    While,
    children,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.scalar import Expr

# What a loop with lanes cannot have inside, and why.
_NOT_IN_LANES: tuple[tuple[type, str], ...] = (
    (Routine, "a routine has no lanes"),
    (Callback, "a callback has no lanes"),
    (Copy, "a copy has no lanes"),
    (Swap, "lanes cannot exchange buffers"),
    (If, "a branch is the same for all lanes"),
    (While, "a loop with a condition is the same for all lanes"),
)


def refused(kernel: Kernel, strictly: bool = False) -> Iterator[tuple[Loop, str]]:
    """The loops of a Kernel whose schedules are not legal, with the reasons."""

    def within(body: Sequence[Statement], in_lanes: bool) -> Iterator[tuple[Loop, str]]:
        for s in body:
            lanes = in_lanes
            if isinstance(s, Loop):
                reason = why_not(s, kernel, in_lanes, strictly)
                if reason is not None:
                    yield s, reason
                lanes = lanes or s.schedule.vector > 1
            yield from within(children(s), lanes)

    yield from within(kernel.body, False)


def why_not(
    loop: Loop, kernel: Kernel, in_lanes: bool = False, strictly: bool = False
) -> str | None:
    """Why a loop must not have its schedule; None if it may.  `in_lanes`: a loop around it has lanes."""
    made = loop.schedule
    if made == Schedule():
        return None
    for what, count in (("lanes", made.vector), ("copies", made.unroll)):
        if count and count & (count - 1):
            return f"{count} {what}: only powers of two"
    if made.unroll > 1 and made.vector < 2:
        return "copies of the body are made of vectors"
    if in_lanes:
        return "a loop around it has lanes"
    reason = _shared_locals(loop, made)
    if reason is None and made.vector:
        reason = _why_no_lanes(loop)
    if reason is None and made.parallel:
        reason = _why_no_threads(loop, kernel)
    return reason or _dependence(loop, strictly)


def _why_no_lanes(loop: Loop) -> str | None:
    for s in walk(loop.body):
        for kind, reason in _NOT_IN_LANES:
            if isinstance(s, kind):
                return reason
        if isinstance(s, Loop) and ix.depends(s.extent, loop.name):
            return f"the extent of {s.name} differs from lane to lane"
    return None


def _why_no_threads(loop: Loop, kernel: Kernel) -> str | None:
    if any(isinstance(s, Swap) for s in walk(loop.body)):
        return "threads cannot exchange buffers that all of them use"
    if any(isinstance(s, Callback) for s in walk(loop.body)):
        return "callbacks run on the thread of the caller"
    mine = _private(Reader().walk((loop,)))
    for buffer, count in _private(Reader().walk(kernel.body)).items():
        if buffer in mine and mine[buffer] != count:
            return f"the private buffer {buffer} is shared with what is outside"
    return None


def _private(accesses: Iterator[Access]) -> dict[Buffer, int]:
    """How often private buffers are accessed."""
    counts: dict[Buffer, int] = {}
    for a in accesses:
        if a.buffer.kind == "local":
            counts[a.buffer] = counts.get(a.buffer, 0) + 1
    return counts


def _shared_locals(loop: Loop, made: Schedule) -> str | None:
    """What is wrong with the locals from outside that the body changes."""
    begun = {s.local for s in walk(loop.body) if isinstance(s, Init)}
    folded: set[Expr] = set()
    for s in walk(loop.body):
        if isinstance(s, Assign):
            for local in s.locals:
                if local not in begun:
                    return f"the local {local} is carried from one run to the next"
        elif isinstance(s, Fold) and s.local not in begun:
            if made.parallel:
                return f"the local {s.local} is shared by all threads"
            folded.add(s.local)
    seen: set[Expr] = set()
    for s in walk(loop.body):
        for e in nodes(roots(s), seen):
            if e in folded:
                return f"the local {e} is read while it is folded"
    return None


def _dependence(loop: Loop, strictly: bool) -> str | None:
    """A dependence of one run on another one through memory."""
    if isinstance(loop.extent, int) and loop.extent < 2:
        return None  # there is no other run
    found = [a for a in Reader().walk((loop,)) if loop in a.around and a.buffer.kind != "local"]
    for w in found:
        if not w.writes:
            continue
        for a in found:
            if a.buffer is not w.buffer or apart(w, a, loop):
                continue
            reason = _proved(w, a, loop)
            if reason is not None:
                return reason
            if strictly:
                return f"it is not proved that its runs use other elements of {w.buffer}"
    return None


def _proved(w: Access, a: Access, loop: Loop) -> str | None:
    """How the run of one access depends on another run's write, if that is certain."""
    if isinstance(w.place, Whole) or isinstance(a.place, Whole) or (w.size, a.size) != (1, 1):
        return None
    if from_data(w.place) or from_data(a.place) or ix.coefficient(w.place, loop.name) is None:
        return None
    stride = ix.coefficient(w.place, loop.name)
    if stride != ix.coefficient(a.place, loop.name):
        return None
    if stride == 0:
        same = w.place == a.place
        return f"each run writes the same elements of {w.buffer}" if same else None
    inner = [s.name for s in (*w.around, *a.around) if isinstance(s, Loop) and s is not loop]
    apart_by = a.place - w.place
    if not (isinstance(stride, int) and isinstance(apart_by, int)) or apart_by % stride:
        return None
    if any(ix.depends(d, name) for d in (w.place, a.place) for name in inner):
        return None
    runs = abs(apart_by // stride)
    if runs and (not isinstance(loop.extent, int) or runs < loop.extent):
        return f"a run uses the element of {w.buffer} that the run {runs} before or after it writes"
    return None
