"""What there is to know about a nest before its loops are scheduled, seen in one walk: places, costs, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from covector._engine.backends.base import Target
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.access import from_data
from covector._engine.ir.kernel import (
    Assign,
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
    expressions,
    index_values,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim

TICKS = 1024  # a nanosecond: costs are whole numbers, as extents may be symbolic


@dataclass(eq=False)
class Facts:
    """What is known of one loop."""

    loop: Loop
    inner: list[Facts] = field(default_factory=list)
    size: int = 0  # operations in the body
    lanes: int = 0  # how many elements of its widest dtype one vector has
    numbers: int = 0  # how many of its widest floats; 0 if it has none
    cost: Dim = 0  # of one run, in ticks
    blocked: str | None = None  # why it cannot have lanes
    parts: bool = False  # whether lanes would go their own ways in it
    repeats: bool = False  # whether that is in a loop with a condition
    conditional: bool = (
        False  # whether it is in a branch or a loop with a condition of another loop's
    )
    stores: bool = False
    calls_back: bool = False
    begun: set[Expr] = field(default_factory=set)
    folded: set[Expr] = field(default_factory=set)  # locals from outside that it folds into
    assigned: set[Expr] = field(default_factory=set)  # the same, several together
    carried: set[Expr] = field(default_factory=set)  # locals from outside that it changes otherwise
    routines: list[Routine] = field(default_factory=list)

    @property
    def single(self) -> Facts | None:
        """The loop that is all there is in this one."""
        return self.inner[0] if len(self.loop.body) == 1 and self.inner else None


class Survey:
    """A nest: the facts of its loops, where it accesses memory, what else depends on variables."""

    def __init__(self, nest: Loop, target: Target):
        self.target = target
        self.places: list[Dim] = []
        self._gathered: list[Dim] = []
        self.others: list[Dim] = []
        self.private: list[Dim] = []  # places in private buffers
        self.loops: list[Facts] = []  # outer before inner
        self._seen: set[Expr] = set()
        self._conditional = False
        self._weights, self._operation = target.costs.weights, target.costs.operation
        self.nest = self._loop(nest)

    def _loop(self, loop: Loop) -> Facts:
        facts = Facts(loop, lanes=self.target.most_lanes, conditional=self._conditional)
        self.loops.append(facts)
        ticks = self._statements(loop.body, facts)
        facts.folded -= facts.begun
        facts.assigned -= facts.begun
        facts.carried -= facts.begun
        once = self.target.costs.statement * self._operation * TICKS
        facts.cost = max(int(once), 1) + ticks
        return facts

    def _statements(self, body: Sequence[Statement], facts: Facts) -> Dim:
        ticks: Dim = 0
        for s in body:
            ticks = ticks + self._statement(s, facts)
        return ticks

    def _statement(self, s: Statement, facts: Facts) -> Dim:
        """Note what a statement does; what it costs."""
        ticks: Dim = self._nodes(expressions(s), facts)
        match s:
            case Loop():
                ticks = self._inside(s, facts)
            case Store(buffer, index):
                self.places.append(index)
                if buffer.kind == "local" and not from_data(index):
                    self.private.append(index)
                facts.stores = True
                self._data(index, facts)
            case Init(local):
                facts.begun.add(local)
            case Fold(local):
                facts.folded.add(local)
            case Assign(targets, _, fold):
                (facts.carried if fold is None else facts.assigned).update(targets)
            case If(_, body, orelse):
                facts.parts = True
                ticks = ticks + self._under_condition((*body, *orelse), facts)
            case While(test, condition, body):
                facts.parts = facts.repeats = True
                ticks = self._nodes((condition,), facts)
                ticks = ticks + self._under_condition((*test, *body), facts)
                ticks = ticks * self.target.costs.turns
            case Routine(name, places, parameters):
                facts.blocked = "a routine has no lanes"
                self.others += [*[d for _, d in places], *parameters]
                facts.routines.append(s)
                ticks = s.work * max(int(self.target.costs.step(name) * TICKS), 1)
            case Callback(_, _, places):
                facts.blocked = "a callback has no lanes"
                facts.calls_back = True
                self.others += [d for _, d in places]
                ticks = int(self.target.costs.callback * TICKS)
            case Copy((_, at), (_, start), size):
                facts.blocked = "a copy has no lanes"
                self.others += [at, start, size]
                ticks = size * max(int(self.target.costs.copied_element * TICKS), 1)
            case Swap():
                facts.blocked = "lanes cannot exchange buffers"
            case Note():
                pass
        return ticks

    def _under_condition(self, body: Sequence[Statement], facts: Facts) -> Dim:
        before, self._conditional = self._conditional, True
        ticks = self._statements(body, facts)
        self._conditional = before
        return ticks

    def _inside(self, s: Loop, facts: Facts) -> Dim:
        """A loop further in, which is in the facts of those around it, too."""
        inner = self._loop(s)
        facts.inner.append(inner)
        facts.size += inner.size
        facts.lanes = min(facts.lanes, inner.lanes)
        facts.numbers = _fewer(facts.numbers, inner.numbers)
        facts.blocked = facts.blocked or inner.blocked
        facts.parts = facts.parts or inner.parts
        facts.repeats = facts.repeats or inner.repeats
        facts.stores = facts.stores or inner.stores
        facts.calls_back = facts.calls_back or inner.calls_back
        facts.folded |= inner.folded
        facts.assigned |= inner.assigned
        facts.carried |= inner.carried
        facts.routines += inner.routines
        if not isinstance(s.extent, int):
            self.others.append(s.extent)
        return s.extent * inner.cost

    def _nodes(self, roots: Sequence[Expr], facts: Facts) -> int:
        """The nodes that were not seen before, once each; what they cost, in ticks."""
        seen, weights, stack = self._seen, self._weights, list(roots)
        size, cost, lanes = 0, 0.0, facts.lanes
        dtype = None
        while stack:
            e = stack.pop()
            if e in seen:
                continue
            seen.add(e)
            size += 1
            op = e.op
            cost += weights.get(op, 1.0)
            if op == "load":
                buffer, place = e.attr  # type: ignore[misc]
                self.places.append(place)
                if from_data(place):
                    self._gathered.append(place)
                if buffer.kind == "local" and not from_data(place):
                    self.private.append(place)
                self._data(place, facts)
            elif op == "index":
                self.others.append(e.attr)  # type: ignore[arg-type]
                self._data(e.attr, facts)  # type: ignore[arg-type]
            elif op == "call":
                size += self.target.limits.call - 1
            elif op == "iterate":
                size += sum(1 for _ in nodes((e.attr.condition, *e.attr.step), seen))  # type: ignore[union-attr]
            if e.dtype is not dtype and op != "const" and e.dtype != scalar.BOOL:
                dtype = e.dtype
                lanes = min(lanes, self.target.lanes(dtype))
                if dtypes.kind(dtype) not in "iub":
                    facts.numbers = _fewer(facts.numbers, self.target.lanes(dtype))
            stack.extend(e.args)
        facts.size += size
        facts.lanes = lanes
        return int(cost * self._operation * TICKS)

    def gathers(self, variable: str) -> bool:
        """Whether elements are read at places from data that differ in the runs of a loop."""
        return any(ix.coefficient(place, variable) is None for place in self._gathered)

    def _data(self, place: Dim, facts: Facts) -> None:
        """What a place that comes from data is computed from: it is no reason for fewer lanes."""
        if isinstance(place, int):
            return
        found = index_values(place)
        if found:
            lanes = facts.lanes
            self._nodes(found, facts)
            facts.lanes = lanes


def _fewer(a: int, b: int) -> int:
    """The smaller one of those that are not 0."""
    return min(a, b) if a and b else a or b


def is_written_out(loop: Loop, target: Target) -> bool:
    """Whether a plain loop has so few runs, and so short ones, that it would cost more than what is in it."""
    runs, size = loop.extent, _written(loop.body, target)
    if not isinstance(runs, int) or runs > target.loops.written_out or size is None:
        return False
    most = target.limits.body
    if any(isinstance(s, Loop) for s in loop.body):
        most *= target.loops.written_lanes
    return runs * size <= most


def _written(body: Sequence[Statement], target: Target) -> int | None:
    """How much text a body is with all loops in it written out; None if some would be left."""
    size = text_size([s for s in body if not isinstance(s, Loop)], target.limits.call)
    for s in body:
        if isinstance(s, Loop):
            inner, how = _written(s.body, target), s.schedule
            if inner is None or not isinstance(s.extent, int) or how.parallel:
                return None
            runs = max(how.unroll, 1) if s.extent == how.vector * max(how.unroll, 1) else s.extent
            if (not how.vector and runs > target.loops.written_out) or (
                how.vector and runs == s.extent
            ):
                return None
            size += runs * inner
        elif isinstance(s, (If, While)):
            return None
    return size


def text_size(body: Sequence[Statement], call: int) -> int:
    """How much text a body is, in operations; a call counts as several."""
    seen: set[Expr] = set()
    found = (e for s in walk(body) for e in nodes(roots(s), seen))
    return sum(call if e.op == "call" else 1 for e in found)
