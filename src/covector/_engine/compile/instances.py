"""Nests that are alike are lowered once: the others are the first with other buffers.

An optimiser's step on 400 arrays is 400 nests that differ in nothing else; to lower each takes four times as long.
"""

from __future__ import annotations

from collections.abc import Hashable

from covector._engine.compile.fuse import Nest
from covector._engine.compile.nest import Context, NestLowering
from covector._engine.ir.alike import Anew
from covector._engine.ir.kernel import Buffer, Statement
from covector._engine.ir.program import Eqn, Literal, Var


class Instances:
    """The nests of one Kernel that were lowered.

    What a nest computes is only asked when there is another of its outline: most have none.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[list[Buffer], list[Statement]]] = {}
        # By their outline, the nests whose content was not asked for, with what they became.
        self._single: dict[Hashable, tuple[Nest, Context, list[Statement]] | None] = {}

    def lower(self, nest: Nest, context: Context) -> list[Statement]:
        """The statements of a nest."""
        outline = _outline(nest)
        if outline not in self._single:
            statements = NestLowering(nest, context).lower()
            self._single[outline] = nest, context, statements
            return statements
        if (first := self._single[outline]) is not None:
            key, buffers = _content(first[0], first[1])
            self._known[key] = buffers, first[2]
            self._single[outline] = None
        key, buffers = _content(nest, context)
        found = self._known.get(key)
        if found is None:
            statements = NestLowering(nest, context).lower()
            self._known[key] = buffers, statements
            return statements
        before, statements = found
        anew = Anew(dict(zip(before, buffers, strict=True)), context.names.fresh)
        return list(anew.body(statements))


def _outline(nest: Nest) -> Hashable:
    """What is the same for nests that compute the same, and quickly told."""
    names = tuple([root.primitive.name for root in nest.roots])
    return nest.shape, nest.inner, nest.weight, names


def _content(nest: Nest, context: Context) -> tuple[Hashable, list[Buffer]]:
    """What a nest computes, without names, and the buffers of what it reads and stores."""
    found: list[Hashable] = [nest.shape, nest.inner]
    numbers: dict[Var, int] = {}
    buffers: dict[Buffer, int] = {}

    def stored(v: Var) -> None:
        place = context.place_of(v)
        assert place is not None
        buffer = place.buffer
        if buffer not in buffers:
            buffers[buffer] = len(buffers)
        found.extend((buffers[buffer], buffer.dtype, buffer.size, place.offset))
        found.extend((v.aval.shape, v.aval.dtype))

    def number(v: Var) -> int:
        if v not in numbers:  # it comes from outside
            numbers[v] = len(numbers)
            stored(v)
        return numbers[v]

    for root in nest.roots:
        for eqn in _inside(root, context, numbers):
            found.append(eqn.primitive)
            for a in eqn.inputs:
                if isinstance(a, Literal):
                    found.extend((a.aval.dtype, a.value.tobytes()))
                else:
                    found.append(number(a))
            for v in eqn.outputs:
                numbers[v] = len(numbers)
                found.extend((v.aval.shape, v.aval.dtype))
        for v in root.outputs:
            outside = context.outside(v)
            found.append(outside)
            if outside:
                stored(v)
    return tuple(found), list(buffers)


def _inside(root: Eqn, context: Context, numbers: dict[Var, int]) -> list[Eqn]:
    """The equations that are computed inside a root and have no number yet, operands first, then the root."""
    found: dict[Eqn, None] = {}
    stack = [root]
    while stack:
        eqn = stack[-1]
        operands = [a for a in eqn.inputs if isinstance(a, Var) and a not in numbers]
        below = [context.inlined[v] for v in operands if v in context.inlined]
        missing = [] if eqn in found else [e for e in below if e not in found]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        found[eqn] = None
    return list(found)
