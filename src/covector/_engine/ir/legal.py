"""Which schedules are legal: what they change is how loops run, never what they compute.

Lowering says of which loops the order of runs is free (`Loop.free`); where that comes from data it cannot be seen here.
So lanes and threads are refused, with the reason, if they are proved wrong; `strictly`, if they are not proved right.
Steps (`ir/steps.py`) rewrite a nest, which is a loop whose order is free; they are refused unless they are right.
"""

from __future__ import annotations

import itertools
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
    Store,
    Swap,
    While,
    changes,
    children,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.scalar import Expr
from covector._engine.ir.steps import Beside, Fill, Join, Pieces, Step, Stream, Tile, Together
from covector._engine.types.dims import Dim

# What a loop with lanes cannot have inside, and why.
_NOT_IN_LANES: tuple[tuple[type, str], ...] = (
    (Routine, "a routine has no lanes"),
    (Callback, "a callback has no lanes"),
    (Copy, "a copy has no lanes"),
    (Swap, "lanes cannot exchange buffers"),
)


def refused(kernel: Kernel, strictly: bool = False) -> Iterator[tuple[Loop, str]]:
    """The loops of a Kernel whose schedules are not legal, with the reasons."""

    def within(body: Sequence[Statement], in_lanes: bool) -> Iterator[tuple[Loop, str]]:
        for s in body:
            lanes = in_lanes
            if isinstance(s, Loop):
                reason = why_not(s, kernel, in_lanes, strictly)
                if reason is None and s.free and s.schedule == Schedule():
                    reason = _dependence(s, strictly=False)
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
    if reason is None:
        reason = _dependence(loop, strictly)
    if reason is None and not loop.free:
        reason = "nothing says that the order of its runs is free"
    return reason


def _why_no_lanes(loop: Loop) -> str | None:
    for s in walk(loop.body):
        for kind, reason in _NOT_IN_LANES:
            if isinstance(s, kind):
                return reason
        if isinstance(s, Loop) and (ix.depends(s.extent, loop.name) or from_data(s.extent)):
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
        for local in changes(s):
            if local in begun:
                continue
            if isinstance(s, Assign) and s.fold is None:
                return f"the local {local} is carried from one run to the next"
            if made.parallel:
                return f"the local {local} is shared by all threads"
            folded.add(local)
    seen: set[Expr] = set()
    for s in walk(loop.body):
        own = frozenset(changes(s)) if isinstance(s, Assign) and s.fold is not None else ()
        for e in nodes(roots(s), set(seen) if own else seen):
            if e in folded and e not in own:
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


# -------------------------------------------------------------------------------------------------- steps


def chain_of(nest: Loop) -> list[Loop]:
    """A loop and those directly inside each other, as far as the order of all runs is free."""
    chain = [nest]
    while len(body := chain[-1].body) == 1 and isinstance(inner := body[0], Loop) and inner.free:
        chain.append(inner)
    return chain


def named(loops: Sequence[Loop], name: str) -> Loop:
    """The loop over a variable."""
    return next(loop for loop in loops if loop.name == name)


def folded_outside(loop: Loop) -> list[Fold | Assign]:
    """The folds in a loop into locals that are there before it."""
    begun = {s.local for s in walk(loop.body) if isinstance(s, Init)}
    return [
        s
        for s in walk(loop.body)
        if (isinstance(s, Fold) and s.local not in begun)
        or (isinstance(s, Assign) and begun.isdisjoint(s.locals))
    ]


def why_not_step(nest: Loop, step: Step) -> str | None:
    """Why a step must not be taken on a nest; None if it may."""
    if not nest.free:
        return "the order of its runs is not free"
    match step:
        case Join():
            return _why_not_joined(nest, step)
        case Tile():
            return _why_not_tiled(nest, step)
        case Together():
            return _why_not_together(nest, step)
        case Pieces():
            if not ix.is_nonnegative(step.count - 1):
                return "there is at least one piece"
            return _why_not_in_pieces(nest, step.loop)
        case Stream():
            return _why_not_streamed(nest, step)
        case Fill():
            return _why_not_filled(nest, step)
        case Beside():
            return _why_not_beside(nest, step)


def _why_not_joined(nest: Loop, step: Join) -> str | None:
    loops = [s for s in walk((nest,)) if isinstance(s, Loop)]
    offsets, pinned = places_of((nest,))
    for run in step.runs:
        total: Dim = 1
        for outer, inner in zip(reversed(run[:-1]), reversed(run[1:]), strict=True):
            for loop in loops:
                below = [s.name for s in loop.body if isinstance(s, Loop)]
                if loop.name == outer and (len(loop.body), below) != (1, [inner]):
                    return f"{inner} is not all that is in {outer}"
            extents = {s.extent for s in loops if s.name == inner}
            if len(extents) != 1:
                return f"there is not one loop over {inner}"
            total = total * extents.pop()
            ragged = any(ix.depends(s.extent, n) for s in loops for n in (outer, inner))
            if ragged or any(ix.depends(d, n) for d in pinned for n in (outer, inner)):
                return f"{outer} or {inner} is more than a place in memory"
            if not all(runs_on(d, outer, run[-1], total) for d in offsets):
                return f"not every access runs through {outer} and {inner} in one stride"
    return None


def runs_on(offset: Dim, outer: str, inner: str, length: Dim) -> bool:
    """Whether a step of one loop is `length` steps of another one."""
    first, second = ix.coefficient(offset, outer), ix.coefficient(offset, inner)
    return first is not None and second is not None and first == second * length


def places_of(statements: Sequence[Statement]) -> tuple[list[Dim], list[Dim]]:
    """Where loads and stores are; all else that depends on variables."""
    offsets: list[Dim] = []
    others: list[Dim] = []
    seen: set[Expr] = set()
    for s in walk(statements):
        if isinstance(s, Store):
            offsets.append(s.index)
        elif isinstance(s, Routine):
            others += [d for _, d in s.places]
            others += s.parameters
        elif isinstance(s, Callback):
            others += [d for _, d in s.places]
        elif isinstance(s, Copy):
            others += [s.target[1], s.source[1], s.size]
        for e in nodes(roots(s), seen):
            if e.op == "load":
                offsets.append(e.attr[1])  # type: ignore[index]
            elif e.op == "index":
                others.append(e.attr)  # type: ignore[arg-type]
    return offsets, others


def _why_not_tiled(nest: Loop, step: Tile) -> str | None:
    chain = chain_of(nest)
    names = {loop.name for loop in chain}
    if step.across == step.along or not {step.across, step.along} <= names:
        return "tiles are over two loops directly inside each other"
    if step.side < 2:
        return "a tile has more than one run a side"
    return _ragged(walk((nest,)), names)


def _ragged(statements: Iterator[Statement], names: set[str]) -> str | None:
    """That the extent of a loop depends on one of these variables."""
    for s in statements:
        if isinstance(s, Loop) and any(ix.depends(s.extent, name) for name in names):
            return f"the extent of {s.name} differs from run to run"
    return None


def _why_not_together(nest: Loop, step: Together) -> str | None:
    chain = chain_of(nest)
    if step.loop not in {loop.name for loop in chain}:
        return "a loop further in is not run several times at once"
    loop = named(chain, step.loop)
    if step.rows < 2 or not isinstance(loop.extent, int) or loop.extent % step.rows:
        return f"{loop.extent} runs are not so many times {step.rows}"
    if any(isinstance(f, Assign) for f in folded_outside(loop)):
        return "its runs assign to one local"
    if any(a.buffer.kind == "local" and a.writes for a in Reader().walk((loop,))):
        return "each run writes private memory"
    if any(isinstance(s, (Routine, Callback, Copy, Swap, While)) for s in walk((loop,))):
        return "only loops and stores run several times at once"
    return _ragged(walk(loop.body), {step.loop})


def _why_not_in_pieces(nest: Loop, name: str) -> str | None:
    """The loop stands alone in its nest, and what it reads is not made in the nest."""
    chain = chain_of(nest)
    around = (
        chain[: [x.name for x in chain].index(name)] if name in {x.name for x in chain} else chain
    )
    within = (nest,) if not around else around[-1].body
    loops = [s for s in within if isinstance(s, Loop)]
    if len(loops) != 1 or loops[0].name != name or not loops[0].free:
        return f"{name} is not the one loop of the nest whose runs are folded"
    loop = loops[0]
    if not folded_outside(loop):
        return f"nothing is folded over {name}"
    if any(isinstance(f, Assign) and f.fold is None for f in folded_outside(loop)):
        return "it is not known how states combine"
    if any(
        isinstance(s, (Store, Routine, Callback, Copy, Swap, If, While)) for s in walk(loop.body)
    ):
        return f"the loop over {name} does more than to fold"
    reason = _ragged(walk((nest,)), {x.name for x in chain})
    if reason is not None:
        return reason
    made = {s.local for s in within if isinstance(s, Init)}
    seen: set[Expr] = set()
    read = {e for s in walk(loop.body) for e in nodes(roots(s), seen)}
    if around and not made.isdisjoint(read - _states(loop)):
        return f"the loop over {name} reads what is computed before it"
    written = {a.buffer for a in Reader().walk((nest,)) if a.writes}
    for a in Reader().walk((loop,)):
        if a.buffer in written or a.buffer.kind == "local":
            return f"the loop over {name} reads {a.buffer}, which the nest writes or is private"
    return None


def _states(loop: Loop) -> set[Expr]:
    """The locals that a loop folds into."""
    return {
        e for f in folded_outside(loop) for e in ((f.local,) if isinstance(f, Fold) else f.locals)
    }


def _why_not_streamed(nest: Loop, step: Stream) -> str | None:
    chain = chain_of(nest)
    if [x.name for x in chain] != [step.along] or step.loop == step.along:
        return f"{step.along} is not the one loop around {step.loop}"
    reason = _why_not_in_pieces(nest, step.loop)
    if reason is not None:
        return reason
    loop = named([s for s in chain[-1].body if isinstance(s, Loop)], step.loop)
    if not all(isinstance(s, (Fold, Assign)) for s in loop.body):
        return "only folds are taken in row by row"
    if not isinstance(loop.extent, int) or step.pieces < 1:
        return "the number of rows is not known"
    if step.rows > 1 and loop.extent % (step.pieces * step.rows):
        return f"{loop.extent} rows are not so many times {step.pieces * step.rows}"
    return None


def _why_not_filled(nest: Loop, step: Fill) -> str | None:
    chain = chain_of(nest)
    names = [loop.name for loop in chain]
    if (step.outer, step.inner) not in itertools.pairwise(names):
        return f"{step.inner} is not directly inside {step.outer}"
    if not isinstance(named(chain, step.inner).extent, int):
        return f"it is not known how long rows of {step.inner} are"
    if any(loop.own for loop in chain):
        return "runs have scratch memory of their own"
    return _ragged(walk((nest,)), {step.outer, step.inner})


def _why_not_beside(nest: Loop, step: Beside) -> str | None:
    chain = chain_of(nest)
    if chain[-1].name != step.along or step.loop in {x.name for x in chain}:
        return f"{step.loop} is not inside {step.along}, the last of the loops around it"
    reason = _why_not_in_pieces(nest, step.loop)
    if reason is not None:
        return reason
    row, loop = chain[-1], named([s for s in chain[-1].body if isinstance(s, Loop)], step.loop)
    if not isinstance(row.extent, int) or not isinstance(loop.extent, int):
        return "it is not known how many elements are folded"
    if step.parts < 2 or loop.extent % step.parts:
        return f"{loop.extent} elements are not so many times {step.parts}"
    return None
