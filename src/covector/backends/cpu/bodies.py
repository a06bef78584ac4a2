"""What emission asks about a loop's body: the locals it reads, how long it is, its private buffers, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from covector.backends.cpu import routines
from covector.ir import index as ix
from covector.ir.kernel import (
    Buffer,
    Copy,
    If,
    Kernel,
    Loop,
    Routine,
    Statement,
    Store,
    accesses,
    expressions,
    walk,
)  # fmt: skip
from covector.ir.scalar import Expr
from covector.types import dims
from covector.types.dims import Dim


def locals_of(loop: Loop) -> set[Expr]:
    """The named locals that a loop's expressions read."""
    found: set[Expr] = set()
    seen: set[Expr] = set()
    for s in walk(loop.body):
        stack = list(expressions(s))
        while stack:
            e = stack.pop()
            if e not in seen:
                seen.add(e)
                if e.op == "local" and isinstance(e.attr, str):
                    found.add(e)
                stack.extend(e.args)
    return found


def calls(kernel: Kernel) -> Counter[str]:
    """How often each named function occurs."""
    seen: set[Expr] = set()
    found: Counter[str] = Counter()
    for s in walk(kernel.body):
        stack = list(expressions(s))
        while stack:
            e = stack.pop()
            if e not in seen:
                seen.add(e)
                if e.op == "call":
                    found[str(e.attr)] += 1
                stack.extend(e.args)
    return found


def operations(loop: Loop) -> int:
    """How much text the body is."""
    seen: set[Expr] = set()
    count = 0
    for s in walk(loop.body):
        stack = list(expressions(s))
        while stack:
            e = stack.pop()
            if e not in seen:
                seen.add(e)
                count += 12 if e.op == "call" else 1
                stack.extend(e.args)
    return count


def strides(loop: Loop, buffer: Buffer) -> bool:
    """Whether the loop's variable moves through a buffer that its body writes."""
    stores = [s for s in walk(loop.body) if isinstance(s, Store) and s.buffer is buffer]
    return any(ix.coefficient(s.index, loop.name) != 0 for s in stores)


def private(loop: Loop) -> list[Buffer]:
    """The private buffers that a loop writes."""
    return sorted((b for b in accesses(loop)[1] if b.kind == "local"), key=lambda b: b.name)


def total_cost(kernel: Kernel) -> float:
    """What the Kernel takes, in nanoseconds, roughly: the cost noted at its outermost loops times their extents."""

    def cost(statements: Sequence[Statement]) -> float:
        total = 0.0
        for s in statements:
            if isinstance(s, Loop):
                low = _at_least(s.extent)
                total += low * (s.cost or cost(s.body) + 0.5)
            elif isinstance(s, If):
                total += cost(s.body)
            elif isinstance(s, Routine):
                total += routines.cost(s)
            elif isinstance(s, Copy):
                total += 0.05 * _at_least(s.size)
            else:
                total += 0.5
        return total

    return cost(kernel.body)


def _at_least(d: Dim) -> int:
    low, _ = dims.bounds(d)
    return 1 if low is None else max(low, 1)
