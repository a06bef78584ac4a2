"""Lowering of one nest: roots of one space become loops, folds, and stores.

The shape of what comes out, for a nest whose inner axes are folded:

    for outer axes:
        locals of rows that need no fold
        for inner axes: stores and folds of sweep 0
        results of the folds; locals of rows that need them
        for inner axes: stores and folds of sweep 1 ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from covector._engine.backends.base import Target
from covector._engine.compile.axes import Axes
from covector._engine.compile.cuts import cuts, pieces
from covector._engine.compile.elements import Elements
from covector._engine.compile.folding import Folding, folded_all
from covector._engine.compile.fuse import Nest, folds, operation_nodes, point
from covector._engine.core.primitive import Index, Scalar
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Names, Place, load, store
from covector._engine.ir.kernel import (
    Buffer,
    Loop,
    Schedule,
    Statement,
    Store,
    expressions,
    nodes,
    walk,
)
from covector._engine.ir.program import Eqn, Var
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim

Piece = tuple[Index, list[Dim], list[Statement]]  # where its points are, its extents, its body
Wrap = Callable[[list[Statement]], list[Statement]]


@dataclass(frozen=True)
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

    def _elements(self, bound: dict[tuple[Var, Index], Scalar]) -> Elements:
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

    def _value(self, eqn: Eqn, elements: Elements, index: Index) -> Any:
        """What a root computes at a point."""
        return point(eqn, elements, index)

    # ------------------------------------------------------------------------------------------------- loops

    def lower(self) -> list[Statement]:
        """The statements of the nest."""
        nest = self.nest
        if any(dims.is_true(lambda a=a: nest.shape[a] == 0) for a in nest.outer):
            return []
        whole = nest.index, list(nest.shape), self._body(nest.index)
        statements: list[Statement] = []
        for piece in self._cut(*whole):
            statements += self._loops(*piece)
        return statements

    def _cut(self, index: Index, extents: list[Dim], probe: list[Statement]) -> list[Piece]:
        """The pieces of the space in each of which the same conditions hold; the whole if these are too much code."""
        names = {f"i{a}": a for a in self.nest.outer if extents[a] != 1}
        found = cuts(probe, {name: extents[a] for name, a in names.items()})
        if not found:
            return [(index, extents, probe)]
        name = max(found, key=lambda n: names[n])
        axis, result = names[name], list[Piece]()
        limit = self.target.limits.cut + 8 * _size(probe)
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
                return [(index, extents, probe)]
        return result

    def _loops(self, index: Index, extents: list[Dim], probe: list[Statement]) -> list[Statement]:
        """The loops over one piece of the space."""
        nest = self.nest
        flat = Axes(nest, index, extents, self.target)
        flat.collapse(probe)
        if flat.index != index:
            probe = self._body(flat.index)
        vector = flat.choose_vector(probe)
        cost = self._cost(probe)
        pieces = self._pieces(flat, cost)
        if pieces is not None:
            return self._split(flat, vector, pieces, cost)
        if vector is not None and self._streams(flat, vector):
            return self._streamed(flat, vector, cost)
        crossing = flat.crossing(probe, vector) if vector is not None and not nest.inner else None
        if crossing is not None and vector is not None:
            return self._tiled(flat, crossing, vector, cost)
        if nest.inner:
            points = self._rows_together(flat, vector)
            wrap: Wrap = lambda inner: flat.wrap_inner(inner, vector)  # noqa: E731
            probe = _together([self._body(point, wrap) for point in points])
            cost *= len(points)
        return flat.wrap_outer(probe, vector, cost)

    def _rows_together(self, flat: Axes, vector: int | None) -> list[Index]:
        """The points that one run of the body is for: of a product four rows, whose sums do not wait for each other.

        1,000 steps of tanh(h @ w), h 8 x 32, took 360 us one row after the other, and take 226.
        """
        product = any(folds(r) and r.primitive.begins_nest for r in self.nest.roots)
        if product and len(self.sweeps) == 1 and vector in flat.outer:
            for axis in reversed(flat.outer):
                extent, index = flat.extents[axis], list(flat.index)
                whole = isinstance(extent, int) and extent % self.target.loops.rows == 0
                if axis == vector or not whole or index[axis] != flat.variable(axis, extent):
                    continue
                flat.extents[axis] = extent // self.target.loops.rows
                index[axis] = flat.variable(axis, extent // self.target.loops.rows)
                flat.index = tuple(index)
                first = index[axis] * self.target.loops.rows
                return [
                    (*index[:axis], first + row, *index[axis + 1 :])
                    for row in range(self.target.loops.rows)
                ]
        return [flat.index]

    def _tiled(self, flat: Axes, crossing: int, vector: int, cost: float) -> list[Statement]:
        """Loops over square tiles of two axes, so that what is read across its rows stays in the cache.

        Without tiles a 4096x1024 transposition took 39 ms instead of 4: each line of the cache was fetched 16 times.
        """
        index = list(flat.index)
        tiles: dict[int, tuple[Dim, Dim]] = {}
        for axis in (crossing, vector):
            count = dims.floordiv(
                flat.extents[axis] + self.target.loops.tile - 1, self.target.loops.tile
            )
            tile = 0 if count == 1 else ix.loop_variable(self.context.names.fresh("b"), count)
            tiles[axis] = tile, count
            index[axis] = index[axis] + tile * self.target.loops.tile
        body: list[Statement] = self._body(tuple(index))
        for axis in (vector, crossing):
            extent = dims.minimum(
                self.target.loops.tile, flat.extents[axis] - tiles[axis][0] * self.target.loops.tile
            )
            body = [flat.loop(axis, body, Schedule(int(axis == vector)), extent)]
        body = (
            [Loop(tiles[vector][0], tiles[vector][1], tuple(body))]
            if tiles[vector][1] != 1
            else body
        )
        rest = [a for a in flat.outer if a not in (crossing, vector)]
        per_tile = cost * self.target.loops.tile * self.target.loops.tile * 16
        if tiles[crossing][1] != 1:
            parallel = Schedule(parallel=not rest and self.target.threads > 1)
            count = tiles[vector][1]
            per_run = per_tile * (count if isinstance(count, int) else 1)
            body = [Loop(tiles[crossing][0], tiles[crossing][1], tuple(body), parallel, per_run)]
        for position, axis in reversed(list(enumerate(rest))):
            schedule = Schedule(parallel=position == 0 and self.target.threads > 1)
            body = [flat.loop(axis, body, schedule, flat.extents[axis], per_tile)]
        return body

    def _cost(self, statements: Sequence[Statement]) -> float:
        """What one point takes, in nanoseconds."""
        seen, costs = set[Expr](), self.target.costs
        found = (n for s in walk(tuple(statements)) for n in operation_nodes(expressions(s), seen))
        return (sum(costs.weight(n.op) for n in found) + costs.statement) * costs.operation

    def _body(self, index: Index, wrap: Wrap = lambda inner: inner) -> list[Statement]:
        """The statements at one point of the outer axes; `wrap` puts loops over the inner axes around a sweep."""
        nest = self.nest
        bound: dict[tuple[Var, Index], Scalar] = {}
        statements: list[Statement] = []
        for number in range(len(self.sweeps) + 1):
            self._rows(number, index, bound, statements)
            if number == len(self.sweeps):
                break
            inner, foldings = self._pass(number, index, bound)
            for f in foldings:
                statements.extend(f.init())
            statements.extend(wrap(inner) if nest.inner else inner)
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

    def _rows(
        self, number: int, index: Index, bound: dict[Any, Any], statements: list[Statement]
    ) -> None:
        """The outer roots that are ready before a sweep (all roots, if no axis is folded)."""
        elements = self._elements(bound)
        for root in self.outer_roots:
            if self.ready[root] != number:
                continue
            at = self._index_of(root, index)
            value = self._value(root, elements, at)
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
        bound: dict[Any, Any],
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
        self, number: int, index: Index, bound: dict[Any, Any]
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
                statements.extend(folding.take(self._value(root, elements, index), index))
                continue
            at = self._index_of(root, index)
            value = self._value(root, elements, at)
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

    # ------------------------------------------------------------------------------- folds to few results

    def _pieces(self, flat: Axes, cost: float) -> Dim | None:
        """Into how many pieces the first folded axis is cut, so that a large fold to few results runs in parallel."""
        nest = self.nest
        if (
            not nest.inner
            or any(not folds(r) for r in nest.roots if r not in self.outer_roots)
            or len(self.sweeps) > 1
        ):
            return None
        outer = dims.product(nest.shape[a] for a in nest.outer)
        inner = dims.product(nest.shape[a] for a in nest.inner)
        if not dims.is_true(lambda: outer < self.target.limits.few_results) or dims.is_true(
            lambda: outer * inner * int(cost * 1024) < int(4096 * self.target.costs.parallel)
        ):
            return None
        axis = flat.inner[0] if flat.inner else None
        if axis is None:
            return None
        return dims.minimum(self.target.limits.fold_pieces, flat.extents[axis])

    def _split(self, flat: Axes, vector: int | None, pieces: Dim, cost: float) -> list[Statement]:
        """Fold each piece into states of its own, then the states."""
        names, nest = self.context.names, self.nest
        axis = flat.inner[0]
        extent = flat.extents[axis]
        chunk = dims.floordiv(extent + pieces - 1, pieces)
        piece = ix.loop_variable(names.fresh("p"), pieces)
        start = piece * chunk
        index = list(flat.index)
        index[axis] = index[axis] + start
        outer = tuple(flat.index[a] for a in nest.outer)
        row = ix.flatten(outer, [nest.shape[a] for a in nest.outer])
        width = dims.product(nest.shape[a] for a in nest.outer)
        before: list[Statement] = []
        bound: dict[Any, Any] = {}
        self._rows(0, flat.index, bound, before)
        inner, foldings = self._pass(0, tuple(index), bound)
        first: list[Statement] = [s for f in foldings for s in f.init()]
        first += flat.wrap_inner(
            inner, vector, {axis: dims.maximum(0, dims.minimum(chunk, extent - start))}
        )
        buffers = [
            [self.context.temp("part", local.dtype, pieces * width) for local in f.locals]
            for f in foldings
        ]
        for f, row_buffers in zip(foldings, buffers, strict=True):
            first += [
                Store(b, piece * width + row, local)
                for b, local in zip(row_buffers, f.locals, strict=True)
            ]
        first = flat.wrap_outer(first, vector, 0.0, parallel=False)
        total = dims.product(nest.shape)
        low, _ = dims.bounds(total)
        per_piece = (
            cost * (low or self.target.limits.fold_pieces * 1000) / self.target.limits.fold_pieces
        )
        statements: list[Statement] = [
            Loop(piece, pieces, tuple(first), Schedule(parallel=self.target.threads > 1), per_piece)
        ]
        last = before + self._merged(flat, foldings, buffers, pieces, bound)
        return statements + flat.wrap_outer(last, None, 0.0, parallel=False)

    def _merged(
        self,
        flat: Axes,
        foldings: Sequence[Folding],
        buffers: Sequence[Sequence[Buffer]],
        pieces: Dim,
        bound: dict[Any, Any],
    ) -> list[Statement]:
        """Fold the states of the pieces, which lie in these buffers, and compute what is ready then."""
        names, nest = self.context.names, self.nest
        row = ix.flatten([flat.index[a] for a in nest.outer], [nest.shape[a] for a in nest.outer])
        width = dims.product(nest.shape[a] for a in nest.outer)
        second = [Folding(f.eqn, names) for f in foldings]
        last: list[Statement] = [s for f in second for s in f.init()]
        again = 0 if pieces == 1 else ix.loop_variable(names.fresh("p"), pieces)
        merges: list[Statement] = []
        for f, row_buffers in zip(second, buffers, strict=True):
            merges += f.merge(tuple(load(b, again * width + row) for b in row_buffers))
        last += merges if pieces == 1 else [Loop(again, pieces, tuple(merges))]
        for f in second:
            self._bind_row(f.eqn, f.result(), flat.index, bound, last)
        self._rows(1, flat.index, bound, last)
        return last

    # ------------------------------------------------------------------------------------ folds over long columns

    def _streams(self, flat: Axes, vector: int) -> bool:
        """Whether the columns of a large array are folded: then it is read row by row, as it lies."""
        if flat.outer != [vector] or len(flat.inner) != 1 or len(self.sweeps) != 1:
            return False
        roots = [r for r in self.nest.roots if r not in self.outer_roots]
        if not all(folds(r) and Folding(r, Names()).operation for r in roots):
            return False
        rows, width = flat.extents[flat.inner[0]], flat.extents[vector]
        if not isinstance(rows, int) or not isinstance(width, int):
            return False
        return (
            rows >= self.target.limits.stream_rows
            and width <= self.target.limits.private_row
            and rows * width >= self.target.limits.streamed
        )

    def _streamed(self, flat: Axes, vector: int, cost: float) -> list[Statement]:
        """Fold pieces of the rows, each into a row of states in the cache, some rows at a time; then the states.

        Column by column the sums of 4096 x 1024 float32 took 1.5 ms: each line of the cache comes from another page.
        """
        names, nest, (axis,) = self.context.names, self.nest, flat.inner
        rows, width, outer = flat.extents[axis], flat.extents[vector], nest.outer
        total = dims.product(nest.shape[a] for a in outer)
        assert isinstance(rows, int)
        pieces = max(
            min(self.target.limits.stream_pieces, rows // self.target.limits.stream_rows), 1
        )
        chunk = -(-rows // pieces)
        together = self.target.loops.rows if rows % (pieces * self.target.loops.rows) == 0 else 1
        piece = 0 if pieces == 1 else ix.loop_variable(names.fresh("p"), pieces)
        step = ix.loop_variable(names.fresh("r"), chunk // together)
        before: list[Statement] = []
        bound: dict[Any, Any] = {}
        self._rows(0, flat.index, bound, before)
        foldings: list[Folding] = []
        taken: list[list[Statement]] = []
        for n in range(together):
            at = {f"i{axis}": piece * chunk + step * together + n}
            index = tuple(dims.substitute(i, at) for i in flat.index)
            statements, foldings = self._pass(0, index, bound)
            taken.append(statements)
        buffers = [
            [self.context.temp("part", local.dtype, pieces * total) for local in f.locals]
            for f in foldings
        ]
        states = [b for row in buffers for b in row]
        row = piece * total + ix.flatten(
            [flat.index[a] for a in outer], [nest.shape[a] for a in outer]
        )
        starts = [e for f in foldings for e in f.starts]
        begin = [Store(b, row, e) for b, e in zip(states, starts, strict=True)]
        body = [
            Store(b, row, folded_all(load(b, row), same))
            for b, *same in zip(states, *taken, strict=True)
        ]
        extent = dims.minimum(chunk, rows - piece * chunk) if together == 1 else chunk // together
        lanes = Schedule(1)
        inside: list[Statement] = [
            flat.loop(vector, list(begin), lanes, width),
            Loop(step, extent, (flat.loop(vector, list(body), lanes, width),)),
        ]
        if pieces != 1:
            per_piece = cost * chunk * dims.bounds(width)[0]  # type: ignore[operator]
            inside = [
                Loop(
                    piece,
                    pieces,
                    tuple(inside),
                    Schedule(parallel=self.target.threads > 1),
                    per_piece,
                )
            ]
        last = before + self._merged(flat, foldings, buffers, pieces, bound)
        return inside + flat.wrap_outer(last, vector, 0.0, parallel=False)


def _together(bodies: Sequence[Sequence[Statement]]) -> list[Statement]:
    """Bodies of one shape as one: their loops run together."""
    result: list[Statement] = []
    for same in zip(*bodies, strict=True):
        if isinstance(first := same[0], Loop):
            inside = [s.body for s in same if isinstance(s, Loop)]
            result.append(replace(first, body=tuple(_together(inside))))
        else:
            result.extend(same)
    return result


def _size(statements: Sequence[Statement]) -> int:
    """How much code statements are, in nodes."""
    seen: set[Expr] = set()
    return sum(1 for s in walk(tuple(statements)) for _ in nodes(expressions(s), seen))
