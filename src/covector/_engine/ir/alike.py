"""Statements that are alike: the same but for the buffers that they access and the names of their locals.

Equal layers of a network, and the arrays of an optimiser's step, give loops that are alike by the hundred.  What is
made of the first of them serves for all, given their buffers in the order of `Shape.buffers`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from covector._engine.base.record import replace
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
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
from covector._engine.ir.renaming import Renaming
from covector._engine.ir.scalar import Expr, Iteration
from covector._engine.types.dims import Dim


class Shape:
    """What statements are made of, without names: `key` is the same for those that are alike.

    `constants` are those in them, in order; without their values in the key others may have other ones.
    """

    def __init__(self, statements: Sequence[Statement], with_values: bool = True):
        self.buffers: dict[Buffer, int] = {}
        self.constants: list[Expr] = []
        self._with_values = with_values
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
                self.constants.append(node)
                if self._with_values:
                    self._found.append(attr.tobytes())
            case "local":
                pass  # its number says which one it is
            case "iterate":
                assert isinstance(attr, Iteration)
                self._found += [self._numbers.get(slot, -1) for slot in attr.slots]
            case _:
                self._found.append(attr)  # type: ignore[arg-type]


class Anew(Renaming):
    """The same statements made anew on other buffers, with locals and private buffers of their own."""

    anew = True

    def __init__(self, buffers: Mapping[Buffer, Buffer], fresh: Callable[[str], str]):
        super().__init__({})
        self._buffers, self._fresh = dict(buffers), fresh

    def buffer(self, b: Buffer) -> Buffer:
        found = self._buffers.get(b)
        if found is None:
            assert b.kind == "local", f"{b} has no counterpart"
            found = self._buffers[b] = replace(b, name=self._fresh(_stem(b.name)))
        return found

    def local(self, e: Expr) -> Expr:
        found = self.locals.get(e)
        if found is None:
            name: object = object()  # of a slot of an iteration
            if isinstance(e.attr, str):
                stem = e.attr.rstrip("'")
                name = self._fresh(_stem(stem)) + e.attr[len(stem) :]
            found = self.locals[e] = Expr("local", (), e.dtype, name)
        return found


class Given(Renaming):
    """The same statements with locals in the place of some constants."""

    def __init__(self, given: Mapping[Expr, Expr]):
        super().__init__({})
        self._done.update(given)


def with_constants_given(
    groups: Sequence[Sequence[Statement]],
) -> list[tuple[Sequence[Statement], dict[Expr, Expr]]]:
    """Statements that are alike but for values of constants, made alike: these are locals, with what each is.

    A loop that is written out, with its number in each turn, would else be compiled once for each number.
    """
    shapes = [Shape(group, with_values=False) for group in groups]
    alike: dict[Hashable, list[int]] = {}
    for n, shape in enumerate(shapes):
        alike.setdefault(shape.key, []).append(n)
    found: list[tuple[Sequence[Statement], dict[Expr, Expr]]] = [(g, {}) for g in groups]
    for members in alike.values():
        columns = zip(*[shapes[n].constants for n in members], strict=True)
        differ = [k for k, column in enumerate(columns) if len({_bits(e) for e in column}) > 1]
        for n in members if differ else ():
            own = [shapes[n].constants[k] for k in differ]
            given = {e: Expr("local", (), e.dtype, f"given {k}") for k, e in enumerate(own)}
            values = {local: e for e, local in given.items()}
            found[n] = tuple(Given(given).body(groups[n])), values
    return found


def _bits(constant: Expr) -> bytes:
    assert isinstance(constant.attr, np.generic)
    return constant.attr.tobytes()


def _stem(name: str) -> str:
    return name.rstrip("0123456789")
