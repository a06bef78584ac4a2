"""What emission asks about a loop's body: the locals it reads, how long it is, its private buffers, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from covector._engine.backends.base import Costs
from covector._engine.backends.cpu import routines
from covector._engine.core.foreign import MachineFunction
from covector._engine.ir.access import moves, uses, written
from covector._engine.ir.kernel import (
    Buffer,
    Callback,
    Copy,
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
    changes,
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


def groups(body: Sequence[Statement], together: int) -> list[tuple[tuple[Statement, ...], bool]]:
    """Statements from note to note, no more than so many loops together, and whether each group can be a function.

    It can if it has a loop, nothing in it ends the caller or runs in parallel, and no value goes in or out but
    through memory.
    """
    found: list[list[Statement]] = [[]]
    loops = 0
    for s in body:
        loops += isinstance(s, Loop)
        if isinstance(s, Note) or loops > together:
            found.append([])
            loops = int(isinstance(s, Loop))
        found[-1].append(s)
    values = [_values(group) for group in found]
    users = Counter(e for used, _ in values for e in used)
    return [
        (tuple(group), _fits(group) and own == used and all(users[e] == 1 for e in used))
        for group, (used, own) in zip(found, values, strict=True)
    ]


def _fits(group: Sequence[Statement]) -> bool:
    found = list(walk(group))
    if any(isinstance(s, Routine | Callback | Swap) or _is_parallel(s) for s in found):
        return False
    return any(isinstance(s, Loop) for s in found)


def _is_parallel(s: Statement) -> bool:
    return isinstance(s, Loop) and s.schedule.parallel


def _values(group: Sequence[Statement]) -> tuple[set[Expr], set[Expr]]:
    """The locals and loads that statements use, and those of them that come into being there."""
    seen: set[Expr] = set()
    used: set[Expr] = set()
    own: set[Expr] = set()
    for s in walk(group):
        used.update(changes(s))
        if isinstance(s, Init):
            own.add(s.local)
        for e in nodes(roots(s), seen):
            if e.op == "load":
                own.add(e)
                used.add(e)
            elif e.op == "local" and isinstance(e.attr, str):
                used.add(e)
    return used | own, own


def has_loops(statements: Sequence[Statement]) -> bool:
    """Whether something runs several times in the function that has these statements."""
    own = [s for s in statements if not (isinstance(s, Loop) and s.schedule.parallel)]
    return any(isinstance(s, (Loop, While)) for s in walk(own))


def calls(kernel: Kernel) -> Counter[str]:
    """How often each named function occurs."""
    seen: set[Expr] = set()
    every = (kernel, *kernel.functions.values())
    found = (e for k in every for s in walk(k.body) for e in nodes(roots(s), seen))
    return Counter(str(e.attr) for e in found if e.op == "call")


def one_a_lane(loop: Loop, buffer: Buffer) -> bool:
    """Whether each lane of a loop needs a private buffer of its own: the body writes it, wherever the lane is."""
    stores = [s for s in walk(loop.body) if isinstance(s, Store) and s.buffer is buffer]
    moving = any(moves(s.index, loop.name) for s in stores)
    return bool(loop.schedule.vector > 1 and stores and not moving)


def one_a_lane_inside(loop: Loop, buffer: Buffer) -> bool:
    """Whether a loop further in has lanes that need buffers of their own."""
    return any(isinstance(s, Loop) and one_a_lane(s, buffer) for s in walk(loop.body))


def private(loop: Loop) -> list[Buffer]:
    """The private buffers that a loop writes."""
    return sorted((b for b in written((loop,)) if b.kind == "local"), key=lambda b: b.name)


LONGEST = 1e18  # nanoseconds: of loops of unknown length, each a guess times that inside of it


def long_loops(kernel: Kernel, costs: Costs) -> set[int]:
    """The loops that take long, by the identities of their bodies."""
    found: set[int] = set()
    for k in (kernel, *kernel.functions.values()):
        _cost(k, costs, {}, found)
    return found


def total_cost(kernel: Kernel, costs: Costs) -> float:
    """What the Kernel takes, in nanoseconds, roughly: the cost noted at its outermost loops times their extents.

    Of a copy within memory that a result may take over that is nothing: it only does so to save the copy.
    """
    kernel = kernel.busy()
    functions: dict[str, float] = {}
    for name, f in kernel.functions.items():
        functions[name] = _cost(f, costs, functions)
    return _cost(kernel, costs, functions)


def _cost(
    kernel: Kernel,
    costs: Costs,
    functions: Mapping[str, float],
    long: set[int] | None = None,
) -> float:
    memories = kernel.memories()

    def cost(statements: Sequence[Statement]) -> float:
        total = 0.0
        for s in statements:
            if isinstance(s, Loop):
                low = at_least(s.extent)
                once = s.cost or cost(s.body) + costs.statement
                total += low * once
                if low * once >= costs.long and long is not None:
                    long.add(id(s.body))
                    cost(s.body)  # where there may be more of them
            elif isinstance(s, If):
                total += max(cost(s.body), cost(s.orelse))
            elif isinstance(s, While):
                total += costs.turns * cost((*s.test, *s.body))
            elif isinstance(s, Routine):
                known = functions.get(s.name)
                total += routines.cost(s, costs) if known is None else known
            elif isinstance(s, Callback):
                foreign = isinstance(s.function, MachineFunction)
                total += costs.foreign if foreign else costs.callback
            elif isinstance(s, Copy):
                pair = [memories.get(b, b) for b, _ in (s.target, s.source)]
                apart = pair[0] is not pair[1]
                total += costs.copied_element * at_least(s.size) if apart else costs.statement
            else:
                total += costs.statement
        return min(total, LONGEST)

    return cost(kernel.body)


def at_least(d: Dim) -> int:
    """The least value that a dimension has."""
    low, _ = dims.bounds(d)
    return 1 if low is None else max(low, 1)
