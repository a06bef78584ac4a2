"""What does not change in a loop: found before the loop is written, and computed in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from covector._engine.ir import index as ix
from covector._engine.ir.access import written
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Fold,
    Init,
    Loop,
    Statement,
    While,
    below,
    expressions,
    index_values,
    nodes,
    walk,
)
from covector._engine.ir.scalar import Expr, Iteration
from covector._engine.types.dims import Dim

# What may change by itself, or is computed from more than its operands.
LEAVES = frozenset(("local", "load", "index", "iterate"))


class Variance:
    """Which expressions of a loop's body change from one run of the body to the next."""

    def __init__(self, loop: Loop, memory_of: Callable[[Buffer], Buffer]):
        self.memory_of = memory_of
        self.names = {str(s.variable) for s in walk((loop,)) if isinstance(s, Loop)}
        self.locals: set[Expr] = set()
        for s in walk(loop.body):
            match s:
                case Init(local, _) | Fold(local, _, _, _):
                    self.locals.add(local)
                case Assign(targets, _):
                    self.locals.update(targets)
                case _:
                    pass
        self.written = {memory_of(b) for b in written(loop.body)}
        self.memo: dict[Expr, bool] = {}

    def varies(self, e: Expr) -> bool:
        """Whether the expression changes; without recursion, since chains can be long."""
        memo = self.memo
        stack = [e]
        while stack:
            node = stack[-1]
            if node in memo:
                stack.pop()
                continue
            parts = self._below(node) if node.op in LEAVES else node.args
            missing = [x for x in parts if x not in memo]
            if missing:
                stack += missing
                continue
            stack.pop()
            changes = node.op in LEAVES and self._own(node)
            if not changes:
                for x in parts:
                    changes = changes or memo[x]
            memo[node] = changes
        return memo[e]

    def _below(self, node: Expr) -> list[Expr]:
        parts = list(node.args)
        if node.op == "load":
            parts += index_values(node.attr[1])  # type: ignore[index]
        elif node.op == "index":
            parts += index_values(node.attr)  # type: ignore[arg-type]
        elif node.op == "iterate":
            body: Any = node.attr
            assert isinstance(body, Iteration)
            parts += [x for x in (body.condition, *body.step) if x not in body.slots]
        return parts

    def _own(self, node: Expr) -> bool:
        match node.op:
            case "local":
                return node in self.locals
            case "load":
                buffer, d = node.attr  # type: ignore[misc]
                return self.memory_of(buffer) in self.written or self._index(d)
            case "index":
                return self._index(node.attr)  # type: ignore[arg-type]
            case _:
                return False

    def _index(self, d: Dim) -> bool:
        return not isinstance(d, int) and ix.depends_on_any(d, self.names)


def invariants(loop: Loop, memory_of: Callable[[Buffer], Buffer]) -> list[Expr]:
    """The largest expressions of a loop's body that do not change in it, constants excepted.

    Only of what runs each time: what stands under a condition may read places that are there only if it holds.
    """
    variance = Variance(loop, memory_of)
    found: dict[Expr, None] = {}
    seen: set[Expr] = set()
    for s in _each_time(loop.body):
        roots = list(expressions(s))
        stack = roots
        while stack:
            node = stack.pop()
            if node in seen or node.op == "const":
                continue
            seen.add(node)
            if not variance.varies(node):
                if not (node.op == "local" and not isinstance(node.attr, str)):
                    found[node] = None
                continue
            # A row that is gathered begins where one number says, which is read once.
            indexed = node.op in ("load", "index") and not node.args
            stack.extend(below(node) if indexed else node.args)
    return list(found)


def _each_time(body: Sequence[Statement]) -> Iterator[Statement]:
    """The statements that do not stand under a condition, of a loop inside too."""
    for s in body:
        if isinstance(s, While):
            yield from _each_time(s.test)
        else:
            yield s
        if isinstance(s, Loop):
            yield from _each_time(s.body)


def is_uniform(e: Expr, lane: str | None) -> bool:
    """Whether a condition is surely the same in all lanes: it depends on indices without the lane only."""
    for node in nodes((e,), set()):
        if node.op in ("load", "local", "iterate", "project", "call"):
            return False
        if node.op == "index" and lane is not None:
            d: Any = node.attr
            if ix.depends(d, lane) or index_values(d):
                return False
    return True
