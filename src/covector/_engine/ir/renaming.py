"""Renaming: statements with others in the place of variables, locals and buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import ClassVar

from covector._engine.base.record import replace
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
    Combination,
    Copy,
    Fold,
    If,
    Init,
    Loop,
    Note,
    Routine,
    Statement,
    Store,
    Swap,
    While,
    below,
)
from covector._engine.ir.scalar import Expr, Iteration
from covector._engine.types import dims
from covector._engine.types.dims import Dim


class Renaming:
    """Statements with others in the place of variables, locals and buffers.  Nodes that are shared stay so.

    What would be as it was is the same node, unless everything is made `anew`: a node is computed once in its scope, so
    two statements that share a load read memory where the first of them stands.
    """

    anew: ClassVar[bool] = False

    def __init__(self, values: Mapping[str, Dim], locals_: Mapping[Expr, Expr] | None = None):
        self.values = values
        self.locals = dict(locals_ or {})
        self._done: dict[Expr, Expr] = {}
        self._dims: dict[Dim, Dim] = {}

    def dim(self, d: Dim) -> Dim:
        """An index."""
        if isinstance(d, int):
            return d
        found = self._dims.get(d)
        if found is None:
            new: dict[str, Dim] = {}
            for factor in dims.factors(d):
                if isinstance(payload := factor.payload, Expr):
                    if (e := self.expr(payload)) is not payload:
                        new[factor.key] = ix.renamed(factor, e)
                elif factor.key in self.values:
                    new[factor.key] = self.values[factor.key]
            found = self._dims[d] = dims.substitute(d, new) if new else d
        return found

    def expr(self, e: Expr) -> Expr:
        """A scalar; without recursion over its operands, since chains can be long."""
        done = self._done
        stack = [e]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
            elif missing := [a for a in below(node) if a not in done]:
                stack += missing
            else:
                done[node] = self._node(node)
        return done[e]

    def _node(self, node: Expr) -> Expr:
        done = self._done
        args, attr = tuple([done[a] for a in node.args]), node.attr
        match node.op:
            case "const":
                return node
            case "local":
                return self.local(node)
            case "load":
                buffer, d = attr  # type: ignore[misc]
                attr = self.place(buffer, d)
                same = attr[0] is buffer and attr[1] is d
            case "index":
                attr = self.dim(attr)  # type: ignore[arg-type]
                same = attr is node.attr
            case "iterate":
                assert isinstance(attr, Iteration)
                slots = tuple(map(self.local, attr.slots))
                condition, *step = inside = [done[x] for x in (attr.condition, *attr.step)]
                before = (*attr.slots, attr.condition, *attr.step)
                same = all(map(is_, (*slots, *inside), before))
                attr = Iteration(slots, condition, tuple(step))
            case _:
                same = True
        if same and not self.anew and all(map(is_, args, node.args)):
            return node
        return Expr(node.op, args, node.dtype, attr)

    def body(self, statements: Sequence[Statement]) -> tuple[Statement, ...]:
        """Statements in order."""
        return tuple([self.statement(s) for s in statements])

    def local(self, e: Expr) -> Expr:
        """A local."""
        return self.locals.get(e, e)

    def buffer(self, b: Buffer) -> Buffer:
        """A buffer."""
        return b

    def place(self, b: Buffer, d: Dim) -> tuple[Buffer, Dim]:
        """A place in a buffer."""
        return self.buffer(b), self.dim(d)

    def exprs(self, found: Sequence[Expr]) -> tuple[Expr, ...]:
        """Scalars, in order."""
        return tuple(map(self.expr, found))

    def loop(self, s: Loop) -> Loop:
        """A loop, with the same variable."""
        own = tuple(map(self.buffer, s.own))
        return replace(s, extent=self.dim(s.extent), body=self.body(s.body), own=own)

    def statement(self, s: Statement) -> Statement:
        """One statement and what is inside."""
        match s:
            case Loop():
                return self.loop(s)
            case Store(buffer, index, value, condition):
                when = None if condition is None else self.expr(condition)
                return Store(*self.place(buffer, index), self.expr(value), when)
            case Init(local, value):
                return Init(self.local(local), self.expr(value))
            case Fold(local, op, value, identity):
                return Fold(self.local(local), op, self.expr(value), self.expr(identity))
            case Assign(targets, values, fold):
                if fold is not None:
                    fold = Combination(*map(self.exprs, (fold.starts, fold.taken, fold.result)))
                return Assign(tuple(map(self.local, targets)), self.exprs(values), fold)
            case If(condition, body, orelse):
                return If(self.expr(condition), self.body(body), self.body(orelse))
            case While(test, condition, body):
                return While(self.body(test), self.expr(condition), self.body(body))
            case Routine():
                places = tuple([self.place(b, d) for b, d in s.places])
                numbers = tuple(map(self.dim, s.parameters))
                return replace(s, places=places, parameters=numbers, work=self.dim(s.work))
            case Callback():
                return replace(s, places=tuple([self.place(b, d) for b, d in s.places]))
            case Copy(target, source, size):
                return Copy(self.place(*target), self.place(*source), self.dim(size), s.origin)
            case Swap(first, second):
                return Swap(self.buffer(first), self.buffer(second), s.origin)
            case Note():
                return s
