"""Lowering of one nest: roots of one space become plain loops, folds, and stores.

How the loops run is not decided here, only that the order of their runs is free (`Loop.free`); `schedule.py` does
the rest.  The shape of what comes out, for a nest whose inner axes are folded:

    for outer axes:
        locals of rows that need no fold
        for inner axes: stores and folds of sweep 0
        results of the folds; locals of rows that need them
        for inner axes: stores and folds of sweep 1 ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from covector._engine.backends.base import Target
from covector._engine.base.record import record
from covector._engine.compile.cuts import cuts, pieces
from covector._engine.compile.elements import Elements
from covector._engine.compile.folding import Folding
from covector._engine.compile.fuse import Nest, folds, point
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Names, Place, load, store
from covector._engine.ir.index import Index
from covector._engine.ir.kernel import (
    Buffer,
    Loop,
    Statement,
    Store,
    expressions,
    nodes,
    walk,
)
from covector._engine.ir.program import Eqn, Var
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dims
from covector._engine.types.dims import Dim

Bound = dict[tuple[Var, Index], Scalar]  # elements that are known where they are wanted
Piece = tuple[Index, list[Dim], list[Statement]]  # where its points are, its extents, its body


@record
class Context:
    """What lowering a nest needs from the Program around it."""

    target: Target
    names: Names
    inlined: dict[Var, Eqn]
    place_of: Callable[[Var], Place | None]
    outside: Callable[[Var], bool]  # whether something outside the nest reads a variable
    temp: Callable[[str, np.dtype, Dim], Buffer]


@dataclass
class Sweep:
    """One run over the inner axes: what it evaluates."""

    mapped: list[Eqn]
    folded: list[Eqn]


class NestLowering:
    """Turns one nest into statements."""

    def __init__(self, nest: Nest, context: Context):
        self.nest, self.context, self.target = nest, context, context.target
        self.own = {v: r for r in nest.roots for v in r.outputs}
        self.outer_roots = [r for r in nest.roots if not folds(r) and not nest.is_inner(r)]
        self.sweeps, self.ready, self.sweep_of = self._plan_sweeps()
        self.scratch: dict[Var, Buffer] = {}
        self.again: dict[Var, Eqn] = {}  # inner roots that later sweeps compute anew

    # ------------------------------------------------------------------------------------------------ sweeps

    def _dependencies(self, eqn: Eqn) -> set[Var]:
        """The nest's own variables that a root reads."""
        found, seen = set[Var](), set[Var]()
        stack = [a for a in eqn.inputs if isinstance(a, Var)]
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            if v in self.own:
                found.add(v)
            elif v in self.context.inlined:
                stack.extend(a for a in self.context.inlined[v].inputs if isinstance(a, Var))
        return found

    def _plan_sweeps(self) -> tuple[list[Sweep], dict[Eqn, int], dict[Eqn, int]]:
        """The sweeps; before which sweep an outer value is ready; in which sweep an inner root is computed."""
        ready: dict[Eqn, int] = {}
        sweep_of: dict[Eqn, int] = {}
        sweeps: list[Sweep] = []
        for root in self.nest.roots:
            level = 0
            for v in self._dependencies(root):
                producer = self.own[v]
                level = max(level, ready[producer] if producer in ready else sweep_of[producer])
            if root in self.outer_roots:
                ready[root] = level
                continue
            while len(sweeps) <= level:
                sweeps.append(Sweep([], []))
            sweep_of[root] = level
            (sweeps[level].folded if folds(root) else sweeps[level].mapped).append(root)
            if folds(root):
                ready[root] = level + 1
        return sweeps, ready, sweep_of

    # ------------------------------------------------------------------------------------------- expressions

    def _elements(self, bound: Bound) -> Elements:
        if self.again:
            place_of = self.context.place_of
            elements = Elements(
                {**self.context.inlined, **self.again},
                lambda v: None if v in self.again else place_of(v),
            )
        else:
            elements = Elements(self.context.inlined, self.context.place_of)
        elements.bound.update(bound)
        return elements

    # ------------------------------------------------------------------------------------------------- loops

    def lower(self) -> list[Statement]:
        """The statements of the nest."""
        nest = self.nest
        if any(dims.is_true(lambda a=a: nest.shape[a] == 0) for a in nest.outer):
            return []
        whole = nest.index, list(nest.shape), self._body(nest.index)
        statements: list[Statement] = []
        for _, extents, body in self._cut(*whole):
            statements += self._around(nest.outer, extents, body)
        return statements

    def _cut(self, index: Index, extents: list[Dim], body: list[Statement]) -> list[Piece]:
        """The pieces of the space in each of which the same conditions hold; the whole if these are too much code."""
        names = {f"i{a}": a for a in self.nest.outer if extents[a] != 1}
        found = cuts(body, {name: extents[a] for name, a in names.items()})
        if not found:
            return [(index, extents, body)]
        name = max(found, key=lambda n: names[n])
        axis, result = names[name], list[Piece]()
        limit = self.target.limits.cut + 8 * _size(body)
        size = 0
        for start, length in pieces(found[name], extents[axis]):  # type: ignore[arg-type]
            run = 0 if length == 1 else ix.loop_variable(name, length)
            at = (
                *index[:axis],
                dims.substitute(index[axis], {name: run + start}),
                *index[axis + 1 :],
            )
            within = self._cut(at, [*extents[:axis], length, *extents[axis + 1 :]], self._body(at))
            size += sum(_size(body) for _, _, body in within)
            result += within
            if size > limit:
                return [(index, extents, body)]
        return result

    def _around(
        self, axes: Sequence[int], extents: Sequence[Dim], body: list[Statement]
    ) -> list[Statement]:
        """Loops over some axes, the first outermost; their runs do not depend on each other, but for folds."""
        for axis in reversed(axes):
            if extents[axis] != 1:
                variable = ix.loop_variable(f"i{axis}", extents[axis])
                body = [Loop(variable, extents[axis], tuple(body), free=True)]
        return body

    def _body(self, index: Index) -> list[Statement]:
        """The statements at one point of the outer axes, with loops over the inner axes around each sweep."""
        nest = self.nest
        bound: Bound = {}
        self.scratch = {}  # each piece of the space has its own, so that each can run on the threads
        statements: list[Statement] = []
        for number in range(len(self.sweeps) + 1):
            self._rows(number, index, bound, statements)
            if number == len(self.sweeps):
                break
            inner, foldings = self._pass(number, index, bound)
            for f in foldings:
                statements.extend(f.init())
            statements.extend(self._around(nest.inner, nest.shape, inner))
            for f in foldings:
                self._bind_row(f.eqn, f.result(), index, bound, statements)
            for v, buffer in self.scratch.items():
                if self.sweep_of[self.own[v]] == number:
                    bound[v, self._index_of(self.own[v], index)] = load(
                        buffer, self._inner_offset(index)
                    )
        return statements

    def _index_of(self, eqn: Eqn, index: Index) -> Index:
        """Where a root's element is, at a point given by other indices than the canonical ones."""
        nest = self.nest
        outer = tuple(index[a] for a in nest.outer)
        if folds(eqn):
            return outer
        shape = eqn.outputs[0].aval.shape
        space = (
            nest.shape
            if nest.is_inner(eqn) or not nest.inner
            else tuple(nest.shape[a] for a in nest.outer)
        )
        at = index if space is nest.shape else outer
        points = [i for n, i in zip(space, at, strict=True) if n != 1][::-1]
        return tuple(0 if n == 1 else points.pop() for n in shape)

    def _inner_offset(self, index: Index) -> Dim:
        inner = self.nest.inner
        return ix.flatten([index[a] for a in inner], [self.nest.shape[a] for a in inner])

    def _rows(self, number: int, index: Index, bound: Bound, statements: list[Statement]) -> None:
        """The outer roots that are ready before a sweep (all roots, if no axis is folded)."""
        elements = self._elements(bound)
        for root in self.outer_roots:
            if self.ready[root] != number:
                continue
            at = self._index_of(root, index)
            value = point(root, elements, at)
            results = value if root.primitive.multiple else (value,)
            for v, one in zip(root.outputs, results, strict=True):
                if (place := self._target(v)) is not None:
                    statements.extend(store(place, v.aval.shape, at, one))
                elements.bound[v, at] = bound[v, at] = one

    def _bind_row(
        self,
        eqn: Eqn,
        value: Scalar,
        index: Index,
        bound: Bound,
        statements: list[Statement],
    ) -> None:
        (v,) = eqn.outputs
        at = self._index_of(eqn, index)
        if (place := self._target(v)) is not None:
            statements.extend(store(place, v.aval.shape, at, value))
        bound[v, at] = value

    def _target(self, v: Var) -> Place | None:
        """Where a root must be stored; None if it is only read at its own position in the nest."""
        return self.context.place_of(v) if self.context.outside(v) else None

    def _pass(
        self, number: int, index: Index, bound: Bound
    ) -> tuple[list[Statement], list[Folding]]:
        elements = self._elements(bound)
        statements: list[Statement] = []
        foldings: list[Folding] = []
        for root in self.nest.roots:
            if self.sweep_of.get(root) != number:
                continue
            if folds(root):
                folding = Folding(root, self.context.names)
                foldings.append(folding)
                statements.extend(folding.take(point(root, elements, index), index))
                continue
            at = self._index_of(root, index)
            value = point(root, elements, at)
            results = value if root.primitive.multiple else (value,)
            for v, one in zip(root.outputs, results, strict=True):
                elements.bound[v, at] = one
                statements.extend(self._keep(v, root, at, index, one, number))
        return statements, foldings

    def _keep(
        self, v: Var, root: Eqn, at: Index, index: Index, value: Scalar, number: int
    ) -> list[Statement]:
        """Store an inner root where something else will look for it."""
        if (place := self._target(v)) is not None:
            return list(store(place, v.aval.shape, at, value))
        later = any(
            self.sweep_of.get(r, number) > number and v in self._dependencies(r)
            for r in self.nest.roots
        )
        if not later:
            return []
        size = dims.product(self.nest.shape[a] for a in self.nest.inner)
        if (
            not isinstance(size, int)
            or size > self.target.limits.private_row
            or not isinstance(value, Expr)
        ):
            self._compute_again(v, root)
            return []
        buffer = self.scratch.get(v)
        if buffer is None:
            buffer = self.scratch[v] = Buffer(
                self.context.names.fresh("row"), v.aval.dtype, size, "local"
            )
        return [Store(buffer, self._inner_offset(index), value)]

    def _compute_again(self, v: Var, root: Eqn) -> None:
        """Let later sweeps compute an inner root anew, and those that it reads and that are kept nowhere."""
        self.again[v] = root
        for d in self._dependencies(root):
            producer = self.own[d]
            if folds(producer) or producer in self.outer_roots or self._target(d) is not None:
                continue
            if d not in self.again and d not in self.scratch:
                self._compute_again(d, producer)


def _size(statements: Sequence[Statement]) -> int:
    """How much code statements are, in nodes."""
    seen: set[Expr] = set()
    return sum(1 for s in walk(tuple(statements)) for _ in nodes(expressions(s), seen))
