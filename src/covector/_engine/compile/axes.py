"""The loops of a nest: which axes are put together, which one gets lanes, which are cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.backends.base import Target
from covector._engine.compile.fuse import Nest
from covector._engine.core.primitive import Index
from covector._engine.ir import index as ix
from covector._engine.ir.access import Reader, Whole
from covector._engine.ir.kernel import (
    Assign,
    Loop,
    Schedule,
    Statement,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim, Polynomial


class Axes:
    """The loops of a nest: which axes are put together, which one is vectorised."""

    def __init__(self, nest: Nest, index: Index, extents: Sequence[Dim], target: Target):
        self.target = target
        self.index: Index = index
        self.extents: list[Dim] = list(extents)
        self.outer = [a for a in nest.outer if extents[a] != 1]
        self.inner = [a for a in nest.inner if extents[a] != 1]

    def _name(self, axis: int) -> str:
        return f"i{axis}"

    def variable(self, axis: int, extent: Dim) -> Polynomial:
        """The loop variable of an axis."""
        return ix.loop_variable(self._name(axis), extent)

    def collapse(self, probe: Sequence[Statement]) -> None:
        """Put neighbouring axes together where every access runs through both in one stride."""
        offsets, pinned = _offsets(probe, [self._name(a) for a in self.outer + self.inner])
        for axes in (self.outer, self.inner):
            for position in range(len(axes) - 2, -1, -1):
                a, b = axes[position], axes[position + 1]
                if {self._name(a), self._name(b)} & pinned:
                    continue
                step = self.extents[b]
                if all(_runs_on(d, self._name(a), self._name(b), step) for d in offsets):
                    self.extents[b] = self.extents[a] * step
                    first = dims.substitute(self.index[a], {self._name(a): 0})
                    self.index = tuple(first if n == a else i for n, i in enumerate(self.index))
                    del axes[position]

    def choose_vector(self, probe: Sequence[Statement]) -> int | None:
        """The axis whose elements lie side by side in most accesses; None if there is none worth it."""
        candidates = [axes[-1] for axes in (self.outer, self.inner) if axes]
        if any(isinstance(s, Assign) for s in walk(tuple(probe))):
            candidates = candidates[:1] if self.outer else []
        offsets, _ = _offsets(probe, [])
        best, best_score, loops = None, -1.0, self.target.loops
        for axis in candidates:
            if isinstance(self.extents[axis], int) and self.extents[axis] < loops.least_lanes:
                continue
            strides = [ix.coefficient(d, self._name(axis)) for d in offsets]
            score = sum(1.0 if c == 1 else 0.5 if c == 0 else -1.0 for c in strides) / max(
                len(strides), 1
            )
            size = self.extents[axis]
            if isinstance(size, int) and size < loops.short:
                score -= 0.3
            if score > best_score:
                best, best_score = axis, score
        return best

    def crossing(self, probe: Sequence[Statement], vector: int) -> int | None:
        """The axis along which something is read in steps of one, while lanes read it in long steps."""
        half = self.target.loops.tile // 2
        if not dims.is_true(lambda: self.extents[vector] >= half):
            return None
        offsets, _ = _offsets(probe, [])
        for d in offsets:
            if ix.coefficient(d, self._name(vector)) in (0, 1, None):
                continue
            for axis in self.outer:
                long = dims.is_true(lambda axis=axis: self.extents[axis] >= half)
                if axis != vector and long and ix.coefficient(d, self._name(axis)) == 1:
                    return axis
        return None

    def loop(
        self, axis: int, body: list[Statement], schedule: Schedule, extent: Dim, cost: float = 0.0
    ) -> Loop:
        variable = self.variable(axis, self._bound(axis))
        return Loop(variable, extent, tuple(body), schedule, cost)

    def _bound(self, axis: int) -> Dim:
        """The extent that the variable was made with: a collapsed loop runs further, in the same stride."""
        atom = self.index[axis]
        assert not isinstance(atom, int)
        for monomial, _ in atom.terms:
            for a in monomial:
                if a.key == self._name(axis):
                    return a.payload  # type: ignore[return-value]
        raise AssertionError(axis)

    def wrap_inner(
        self, body: list[Statement], vector: int | None, extents: dict[int, Dim] | None = None
    ) -> list[Statement]:
        """Loops over the folded axes around a sweep."""
        for axis in reversed(self.inner):
            schedule = (
                Schedule(1, unroll=self.target.loops.unroll) if axis == vector else Schedule()
            )
            body = [self.loop(axis, body, schedule, (extents or {}).get(axis, self.extents[axis]))]
        return body

    def wrap_outer(
        self, body: list[Statement], vector: int | None, cost: float, parallel: bool = True
    ) -> list[Statement]:
        """Loops over the other axes; the outermost runs in parallel if the work is worth it."""
        below = dims.product(self.extents[a] for a in self.inner)
        for position, axis in reversed(list(enumerate(self.outer))):
            per_run = cost * (dims.bounds(below)[0] or 1 if not isinstance(below, int) else below)
            below = below * self.extents[axis]
            enough = not dims.is_true(
                lambda below=below: (
                    below * max(int(cost * 1024), 1) < int(self.target.costs.parallel * 1024)
                )
            )
            run_parallel = parallel and position == 0 and enough and self.target.threads > 1
            schedule = Schedule(1 if axis == vector else 0, run_parallel)
            body = [self.loop(axis, body, schedule, self.extents[axis], max(per_run, 0.05))]
        return body


def _offsets(probe: Sequence[Statement], names: list[str]) -> tuple[list[Dim], set[str]]:
    """All buffer offsets, and the variables that occur in something else than a stride."""
    reader = Reader()
    places = [a.place for statement in probe for a in reader.own(statement)]
    offsets = [place for place in places if not isinstance(place, Whole)]
    pinned: set[str] = set()
    seen: set[Expr] = set()
    for e in nodes([e for statement in probe for e in roots(statement)], seen):
        if e.op == "index":
            pinned.update(n for n in names if ix.depends(e.attr, n))  # type: ignore[arg-type]
    for d in offsets:
        pinned.update(n for n in names if ix.coefficient(d, n) is None)
    return offsets, pinned


def _runs_on(offset: Dim, a: str, b: str, step: Dim) -> bool:
    """Whether a step of axis a is `step` steps of axis b."""
    first, second = ix.coefficient(offset, a), ix.coefficient(offset, b)
    return first is not None and second is not None and first == second * step
