"""What emission asks about a loop's body: the locals it reads, how long it is, its private buffers, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from covector._engine.backends.base import Costs
from covector._engine.backends.cpu import routines
from covector._engine.ir import index as ix
from covector._engine.ir.access import uses, written
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Note,
    Routine,
    Statement,
    Store,
    Swap,
    While,
    nodes,
    roots,
    walk,
)  # fmt: skip
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim


def locals_of(statements: Sequence[Statement]) -> list[Expr]:
    """The named locals that statements read, in the order in which they appear."""
    seen: set[Expr] = set()
    return [
        e
        for s in walk(statements)
        for e in nodes(roots(s), seen)
        if e.op == "local" and isinstance(e.attr, str)
    ]


def buffers_of(statements: Sequence[Statement]) -> list[Buffer]:
    """The buffers that statements read or write, in the order in which they appear."""
    return list(uses(statements))


def groups(body: Sequence[Statement]) -> list[tuple[tuple[Statement, ...], bool]]:
    """A Kernel's statements from note to note, and whether they can be a function.

    They can if they compute something, nothing in them ends the caller or runs in parallel, and no local goes in
    or out.
    """
    found: list[list[Statement]] = [[]]
    for s in body:
        if isinstance(s, Note):
            found.append([])
        found[-1].append(s)
    reads = [set(locals_of(g)) for g in found]
    readers = Counter(local for group in reads for local in group)
    result: list[tuple[tuple[Statement, ...], bool]] = []
    for group, read in zip(found, reads, strict=True):
        inside, changed = _changes(group)
        fits = all(_fits(s) for s in group) and any(isinstance(s, Loop) for s in group)
        own = changed | read <= inside and all(readers[local] <= 1 for local in inside)
        result.append((tuple(group), fits and own))
    return result


def _fits(statement: Statement) -> bool:
    if isinstance(statement, Loop) and statement.schedule.parallel:
        return False
    return not any(isinstance(s, Routine | Swap) for s in walk((statement,)))


def _changes(statements: Sequence[Statement]) -> tuple[set[Expr], set[Expr]]:
    """The locals that statements bring into being, and those that they change."""
    inside: set[Expr] = set()
    changed: set[Expr] = set()
    for s in walk(statements):
        match s:
            case Init(local, _):
                inside.add(local)
            case Assign(targets, _):
                changed.update(targets)
            case Fold(local, _, _, _):
                changed.add(local)
            case _:
                pass
    return inside, changed


def calls(kernel: Kernel) -> Counter[str]:
    """How often each named function occurs."""
    seen: set[Expr] = set()
    found = (e for s in walk(kernel.body) for e in nodes(roots(s), seen))
    return Counter(str(e.attr) for e in found if e.op == "call")


def one_a_lane(loop: Loop, buffer: Buffer) -> bool:
    """Whether each lane of a loop needs a private buffer of its own: the body writes it, wherever the lane is."""
    stores = [s for s in walk(loop.body) if isinstance(s, Store) and s.buffer is buffer]
    moves = any(ix.coefficient(s.index, loop.name) != 0 for s in stores)
    return bool(loop.schedule.vector > 1 and stores and not moves)


def one_a_lane_inside(loop: Loop, buffer: Buffer) -> bool:
    """Whether a loop further in has lanes that need buffers of their own."""
    return any(isinstance(s, Loop) and one_a_lane(s, buffer) for s in walk(loop.body))


def private(loop: Loop) -> list[Buffer]:
    """The private buffers that a loop writes."""
    return sorted((b for b in written((loop,)) if b.kind == "local"), key=lambda b: b.name)


def total_cost(kernel: Kernel, costs: Costs) -> float:
    """What the Kernel takes, in nanoseconds, roughly: the cost noted at its outermost loops times their extents.

    Of a copy within memory that a result may take over that is nothing: it only does so to save the copy.
    """
    kernel = kernel.busy()
    memories = kernel.memories()

    def cost(statements: Sequence[Statement]) -> float:
        total = 0.0
        for s in statements:
            if isinstance(s, Loop):
                low = _at_least(s.extent)
                total += low * (s.cost or cost(s.body) + costs.statement)
            elif isinstance(s, If):
                total += max(cost(s.body), cost(s.orelse))
            elif isinstance(s, While):
                total += costs.turns * cost((*s.test, *s.body))
            elif isinstance(s, Routine):
                total += routines.cost(s, costs)
            elif isinstance(s, Copy):
                pair = [memories.get(b, b) for b, _ in (s.target, s.source)]
                moves = pair[0] is not pair[1]
                total += costs.copied_element * _at_least(s.size) if moves else costs.statement
            else:
                total += costs.statement
        return total

    return cost(kernel.body)


def _at_least(d: Dim) -> int:
    low, _ = dims.bounds(d)
    return 1 if low is None else max(low, 1)
