"""Statements that are alike: the same but for the buffers that they access and the names of their locals.

Equal layers of a network, and the arrays of an optimiser's step, give loops that are alike by the hundred.  What is
made of the first of them serves for all, given their buffers in the order of `Shape.buffers`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

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
    index_values,
    indices,
)
from covector._engine.ir.scalar import Expr, Iteration
from covector._engine.types import dims
from covector._engine.types.dims import Dim


class Shape:
    """What statements are made of, without names: `key` is the same for those that are alike."""

    def __init__(self, statements: Sequence[Statement]):
        self.buffers: dict[Buffer, int] = {}
        self._numbers: dict[Expr, int] = {}
        self._found: list[Hashable] = []
        self._body(statements)
        self.key = tuple(self._found)

    def _body(self, statements: Sequence[Statement]) -> None:
        for s in statements:
            self._found.append(type(s))
            for place in indices(s):
                self._expressions(index_values(place))  # they may be all that reads a buffer
            self._statement(s)
        self._found.append(None)

    def _statement(self, s: Statement) -> None:
        match s:
            case Loop():
                self._found += (s.name, s.extent, s.schedule, s.cost, s.free, len(s.own))
                for buffer in s.own:
                    self._buffer(buffer)
                self._body(s.body)
            case Init():
                self._expressions((s.value, s.local))
            case Assign():
                self._expressions((*s.values, *s.locals))
                if s.fold is not None:
                    self._expressions((*s.fold.starts, *s.fold.taken, *s.fold.result))
            case Fold():
                self._found.append(s.op)
                self._expressions((s.value, s.identity, s.local))
            case Store():
                self._expressions((s.value,) if s.condition is None else (s.value, s.condition))
                self._place(s.buffer, s.index)
            case If():
                self._expressions((s.condition,))
                self._body(s.body)
                self._body(s.orelse)
            case While():
                self._body(s.test)
                self._expressions((s.condition,))
                self._body(s.body)
            case Routine():
                self._found += (s.name, s.parameters, s.writes, s.updates, s.work)
                for buffer, place in s.places:
                    self._place(buffer, place)
            case Callback():
                self._found += (s.who, s.types, s.operands, s.source)
                for buffer, place in s.places:
                    self._place(buffer, place)
            case Copy():
                self._place(*s.target)
                self._place(*s.source)
                self._found.append(s.size)
            case Swap():
                self._buffer(s.first)
                self._buffer(s.second)
            case Note():
                pass

    def _buffer(self, buffer: Buffer) -> int:
        number = self.buffers.get(buffer)
        if number is None:
            number = self.buffers[buffer] = len(self.buffers)
            self._found += (buffer.dtype, buffer.size, buffer.kind == "local")
        self._found.append(number)
        return number

    def _place(self, buffer: Buffer, place: Dim) -> None:
        self._buffer(buffer)
        self._found.append(place)

    def _expressions(self, roots: Sequence[Expr]) -> None:
        """What expressions are made of, operands first, each once."""
        numbers, found = self._numbers, self._found
        for root in roots:
            stack = [root]
            while stack:
                node = stack[-1]
                if node in numbers:
                    stack.pop()
                    continue
                inside = below(node)
                if missing := [x for x in inside if x not in numbers]:
                    stack += missing
                    continue
                stack.pop()
                numbers[node] = len(numbers)
                found += (node.op, node.dtype)
                self._attribute(node)
                found += [numbers[x] for x in inside]
            found.append(numbers[root])

    def _attribute(self, node: Expr) -> None:
        attr = node.attr
        match node.op:
            case "load":
                self._place(*attr)  # type: ignore[misc]
            case "const":
                assert isinstance(attr, np.generic)
                self._found.append(attr.tobytes())
            case "local":
                pass  # its number says which one it is
            case "iterate":
                assert isinstance(attr, Iteration)
                self._found += [self._numbers.get(slot, -1) for slot in attr.slots]
            case _:
                self._found.append(attr)  # type: ignore[arg-type]


class Renaming:
    """Statements with other buffers, and with locals and private buffers of their own."""

    def __init__(self, buffers: Mapping[Buffer, Buffer], fresh: Callable[[str], str]):
        self._buffers, self._fresh = dict(buffers), fresh
        self._made: dict[Expr, Expr] = {}

    def statements(self, statements: Sequence[Statement]) -> tuple[Statement, ...]:
        """The same statements on the other buffers."""
        return tuple([self._statement(s) for s in statements])

    def _statement(self, s: Statement) -> Statement:
        match s:
            case Loop():
                own = tuple([self._buffer(b) for b in s.own])
                return replace(
                    s, extent=self._index(s.extent), body=self.statements(s.body), own=own
                )
            case Init():
                return Init(self._expression(s.local), self._expression(s.value))
            case Assign():
                fold = s.fold
                if fold is not None:
                    parts = fold.starts, fold.taken, fold.result
                    fold = Combination(*[self._expressions(x) for x in parts])
                return Assign(self._expressions(s.locals), self._expressions(s.values), fold)
            case Fold():
                local, value, identity = self._expressions((s.local, s.value, s.identity))
                return Fold(local, s.op, value, identity)
            case Store():
                condition = None if s.condition is None else self._expression(s.condition)
                value, index = self._expression(s.value), self._index(s.index)
                return Store(self._buffer(s.buffer), index, value, condition)
            case If():
                condition = self._expression(s.condition)
                return If(condition, self.statements(s.body), self.statements(s.orelse))
            case While():
                test, condition = self.statements(s.test), self._expression(s.condition)
                return While(test, condition, self.statements(s.body))
            case Routine():
                places = tuple([(self._buffer(b), self._index(at)) for b, at in s.places])
                parameters = tuple([self._index(d) for d in s.parameters])
                return replace(s, places=places, parameters=parameters)
            case Callback():
                places = tuple([(self._buffer(b), self._index(at)) for b, at in s.places])
                return replace(s, places=places)
            case Copy((target, at), (source, start), size):
                to = self._buffer(target), self._index(at)
                return Copy(to, (self._buffer(source), self._index(start)), self._index(size))
            case Swap():
                return Swap(self._buffer(s.first), self._buffer(s.second))
            case Note():
                return s

    def _buffer(self, buffer: Buffer) -> Buffer:
        found = self._buffers.get(buffer)
        if found is None:
            assert buffer.kind == "local", f"{buffer} has no counterpart"
            name = self._fresh(buffer.name.rstrip("0123456789"))
            found = self._buffers[buffer] = replace(buffer, name=name)
        return found

    def _index(self, d: Dim) -> Dim:
        if not index_values(d):
            return d
        values = {
            f.key: ix.renamed(f, self._expression(f.payload))
            for f in dims.factors(d)
            if isinstance(f.payload, Expr)
        }
        return dims.substitute(d, values)

    def _expressions(self, found: Sequence[Expr]) -> tuple[Expr, ...]:
        return tuple([self._expression(e) for e in found])

    def _expression(self, e: Expr) -> Expr:
        """The same expression, made anew; without recursion, since chains can be long."""
        made, stack = self._made, [e]
        while stack:
            node = stack[-1]
            if node in made:
                stack.pop()
            elif missing := [x for x in below(node) if x not in made]:
                stack += missing
            else:
                stack.pop()
                args = tuple([made[x] for x in node.args])
                made[node] = Expr(node.op, args, node.dtype, self._attribute(node))
        return made[e]

    def _attribute(self, node: Expr) -> object:
        attr = node.attr
        match node.op:
            case "load":
                buffer, place = attr  # type: ignore[misc]
                return self._buffer(buffer), self._index(place)
            case "index":
                return self._index(attr)  # type: ignore[arg-type]
            case "local" if isinstance(attr, str):
                stem = attr.rstrip("'")
                return self._fresh(stem.rstrip("0123456789")) + attr[len(stem) :]
            case "local":
                return object()
            case "iterate":
                assert isinstance(attr, Iteration)
                slots = self._expressions(attr.slots)
                return Iteration(slots, self._made[attr.condition], self._expressions(attr.step))
            case _:
                return attr
