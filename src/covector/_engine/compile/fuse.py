"""Fusion: which variables are stored, and which equations share a loop nest.

Every variable is either computed inside its consumers, or is a root.  Roots go into nests: one iteration space, of
which some axes may be folded by reductions.  A root joins a nest if everything it reads of that nest is at its own
position there; then the value stays in a register.  The check is by asking: the `element` rules say what they read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.backends.base import Costs, Job, Target
from covector._engine.base.explained import unheard
from covector._engine.base.record import record
from covector._engine.compile import functions as functions  # complex operations: `scalar.COMPLEX`
from covector._engine.compile.elements import Elements
from covector._engine.compile.places import (
    Places,
    Where,
    comes_from_data,
    length,
    mapped_of,
    moved,
    own_index,
    reads_through,
)
from covector._engine.compile.regions import Region, crosses
from covector._engine.core.families import Folded, Mapped, Movement, View
from covector._engine.core.primitive import Primitive
from covector._engine.ir import index as ix
from covector._engine.ir.effects import is_kept
from covector._engine.ir.index import Index
from covector._engine.ir.program import Atom, Eqn, Program, Var
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim

Shape = tuple[Dim, ...]

# The cost of what is never computed inside a consumer.
ALONE = 1e9


@dataclass(eq=False)
class Nest:
    """One loop nest: its space, the axes that are folded, its roots in order."""

    shape: Shape
    inner: tuple[int, ...]
    roots: list[Eqn] = field(default_factory=list)
    reads: set[Var] = field(default_factory=set)
    own: dict[Var, Eqn] = field(default_factory=dict)  # the roots, by what they compute
    weight: int = 0  # operations at one point, about

    def add(self, root: Eqn, region: Region) -> None:
        """Take in a root, which reads these."""
        self.roots.append(root)
        self.reads.update(region.reads)
        self.own.update((v, root) for v in root.outputs)
        self.weight += region.weight

    @property
    def outer(self) -> tuple[int, ...]:
        return tuple(a for a in range(len(self.shape)) if a not in self.inner)

    @property
    def index(self) -> Index:
        """The loop variables, one an axis; 0 for an axis of size 1."""
        return own_index(self.shape)

    def index_of(self, eqn: Eqn) -> Index | None:
        """Where a root's element is, at a point of the space; None if its shape does not fit."""
        index = self.index
        outer = tuple(index[a] for a in self.outer)
        if folds(eqn):
            return outer
        shape = eqn.outputs[0].aval.shape
        return align(shape, self.shape, index) or align(
            shape, tuple(self.shape[a] for a in self.outer), outer
        )

    def is_inner(self, eqn: Eqn) -> bool:
        """Whether a root has an element at each point of the whole space, folded axes included."""
        return (
            bool(self.inner)
            and not folds(eqn)
            and align(eqn.outputs[0].aval.shape, self.shape, self.index) is not None
        )


@dataclass(eq=False)
class Single:
    """An equation on its own: an update, a loop, a routine."""

    eqn: Eqn


Group = Nest | Single


@record(eq=False)
class Plan:
    """Groups in the order in which they run, and what is computed inside its consumers."""

    program: Program
    groups: tuple[Group, ...]
    inlined: dict[Var, Eqn]
    stored: frozenset[Var]
    regions: dict[Eqn, Region]

    def readers(self) -> dict[Var, set[int]]:
        """The groups that read a stored variable; the Program's caller counts as one."""
        readers: dict[Var, set[int]] = {}
        for number, group in enumerate(self.groups):
            for eqn in (group.eqn,) if isinstance(group, Single) else group.roots:
                for v in self.regions[eqn].reads:
                    readers.setdefault(v, set()).add(number)
        for a in self.program.outputs:
            if isinstance(a, Var):
                readers.setdefault(a, set()).add(len(self.groups))
        for group in reversed(self.groups):
            if isinstance(group, Single) and group.eqn.primitive.passes_on:
                for a, v in zip(group.eqn.inputs, group.eqn.outputs, strict=True):
                    if isinstance(a, Var):  # they lie in one place
                        below = stored_as(a, self.inlined)
                        readers.setdefault(below, set()).update(readers.get(v, ()))
        return readers


def align(shape: Shape, space: Shape, index: Index) -> Index | None:
    """The index into `shape` at a point of `space`, if they are the same but for axes of size 1; else None."""
    points = [i for n, i in zip(space, index, strict=True) if n != 1]
    if [n for n in shape if n != 1] != [n for n in space if n != 1]:
        return None
    points.reverse()
    return tuple(0 if n == 1 else points.pop() for n in shape)


def types_of(eqn: Eqn) -> list[ShapedArray]:
    """The types of an equation's operands."""
    return [a.aval for a in eqn.inputs]


def folds(eqn: Eqn) -> bool:
    """Whether an equation is a fold over axes of a space: a reduction, or a small product."""
    return isinstance(eqn.primitive, Folded)


def fold_of(eqn: Eqn) -> Folded:
    """The primitive of an equation that is a fold."""
    p = eqn.primitive
    assert isinstance(p, Folded)
    return p


def fold_space(eqn: Eqn) -> tuple[Shape, tuple[int, ...]]:
    """The space of a fold, and the axes folded."""
    return fold_of(eqn).space(types_of(eqn))


def fold_places(eqn: Eqn, index: Index) -> tuple[Index, ...]:
    """Where a fold reads each of its operands for a point of its space."""
    return fold_of(eqn).places(index, types_of(eqn))


@functools.lru_cache(4096)
def _operations(primitive: Primitive, types: tuple[np.dtype, ...]) -> tuple[str, ...]:
    """The operations of an element, from the element rule itself."""
    assert isinstance(primitive, Mapped)
    views = [_dummy_view(ShapedArray((), t)) for t in types]
    element: Any = primitive.element((), *views)
    parts = element if isinstance(element, tuple) else (element,)
    return tuple(node.op for node in operation_nodes(parts, set()))


def _dummy_view(aval: ShapedArray) -> View:
    part = Expr("local", (), dtypes.real_of(aval.dtype), "x")
    value: Scalar = (part, part) if dtypes.is_complex(aval.dtype) else part
    return View(aval, lambda index: value)


def operation_nodes(roots: Iterable[Expr], seen: set[Expr]) -> Iterator[Expr]:
    """The nodes of expressions that were not seen before."""
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.args)


class Prices:
    """What elements cost; asked of each elementwise primitive once, as it occurs in many equations."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._known: dict[tuple[Primitive, tuple[np.dtype, ...]], float] = {}

    def of(self, eqn: Eqn) -> float:
        """Operations that one element of an equation's result costs beyond its operands, weighted."""
        p = eqn.primitive
        if not isinstance(p, prims.ElementwiseBase):
            return mapped_of(eqn).work(len(eqn.inputs))
        key = p, tuple([a.aval.dtype for a in eqn.inputs])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = sum(map(self._costs.weight, _operations(*key)))
        return found


def stored_as(v: Var, producer: Mapping[Var, Eqn]) -> Var:
    """The variable that lies in memory as this one does: reshaping moves nothing."""
    while v in producer and producer[v].primitive.same_memory:
        below = producer[v].inputs[0]
        if not isinstance(below, Var):
            break
        v = below
    return v


def is_nested(eqn: Eqn) -> bool:
    """Whether an equation is mapped: each element on its own."""
    return isinstance(eqn.primitive, Mapped)


def is_single(eqn: Eqn, target: Target) -> bool:
    """Whether an equation stays on its own."""
    p = eqn.primitive
    return not isinstance(p, Mapped) and p.alone(types_of(eqn), target.limits.small_product)


def fuse(program: Program, job: Job) -> Plan:
    """The plan of a flat Program."""
    choice = _Roots(program, job)
    choice.choose()
    if job.fuse and (apart := choice.apart()):
        choice = _Roots(program, job, apart)
        choice.choose()
    roots, regions = choice.roots, choice.regions
    inlined = {v: e for e in program.eqns for v in e.outputs if v not in roots}
    builder = _Builder(regions, job)
    for eqn in program.eqns:
        if is_kept(eqn.effects) or any(v in roots for v in eqn.outputs):
            builder.add(eqn)
    return Plan(program, tuple(builder.groups), inlined, frozenset(roots), regions)


class _Roots:
    """Chooses the variables that are stored: those that cannot, or had better not, be computed inside their consumers.

    Goes from the results upwards, so that of each variable all places are known at which it is read.
    """

    def __init__(self, program: Program, job: Job, apart: frozenset[Var] = frozenset()):
        self.program, self.job, self.explain = program, job, job.explain("fusion")
        self.target, self.limits = job.target, job.target.limits
        self.producer = {v: e for e in program.eqns for v in e.outputs}
        self.apart_from_folds = apart
        self.forced = {a for a in program.outputs if isinstance(a, Var)} | apart
        self.prices = Prices(job.target.costs)
        self.costs = _tree_costs(program, job.target, self.prices)
        self.places = Places(program, self.limits)
        self.changed = self._changed()
        self.roots: set[Var] = set()
        self.far: set[Var] = set()  # read at an index that takes long to compute
        self.regions: dict[Eqn, Region] = {}
        self.wanted: dict[Var, dict[Region, dict[Where | None, None]]] = {}

    def choose(self) -> None:
        """Decide on all equations."""
        for eqn in reversed(self.program.eqns):
            reason = self._why_stored(eqn)
            if reason is None:
                self._inline(eqn)
            else:
                self._store(eqn, reason)
        for v in list(self.wanted):  # the Program's inputs
            self._read(v)

    def apart(self) -> frozenset[Var]:
        """What folds would read across their rows, if it were not stored as they read it: transpositions."""
        found, least = set[Var](), self.target.loops.tile
        for eqn, region in self.regions.items():
            if not folds(eqn) or not region.crosses(least):
                continue
            stack, seen = [*eqn.inputs], set[Atom]()
            while stack:
                v = stack.pop()
                if v in seen or v in self.roots or v not in self.producer:
                    continue
                seen.add(v)
                below = self.producer[v]
                if self._turns(below, least):
                    found.add(v)
                stack += below.inputs
        return frozenset(found)

    def _turns(self, eqn: Eqn, least: int) -> bool:
        """Whether rows of an equation's operand are columns of its result."""
        if not reads_through(eqn):
            return False
        shape = eqn.outputs[0].aval.shape
        index = own_index(shape)
        offsets = [ix.flatten(index, shape)]
        for a, (place, _) in self.places.below(eqn, (index, None)):
            offsets.append(ix.flatten(place, a.aval.shape))
        return crosses(offsets, [(f"i{n}", size) for n, size in enumerate(shape)], least)

    def _why_stored(self, eqn: Eqn) -> str | None:
        """Why an equation's results are stored; None if they are computed inside their consumers."""
        if eqn.effects:
            return "has effects"
        if self.costs[eqn.outputs[0]] == ALONE:
            return "is a fold" if folds(eqn) else "stands alone"
        if not self.apart_from_folds.isdisjoint(eqn.outputs):
            return "a fold would read it across its rows"
        if not self.forced.isdisjoint(eqn.outputs):
            return "is a result, or read by what stands alone"
        if not self.job.fuse and not isinstance(eqn.primitive, Movement):
            return "nothing is fused"
        if self._is_read_before(eqn):
            return "is a part of what changes in place, and is read before that"
        wanted = [self.wanted[v] for v in eqn.outputs if v in self.wanted]
        if len(wanted) != 1 or len(wanted[0]) != 1:
            ends = {region for w in wanted for region in w}
            if len(ends) > 1 and not self.job.fuse:
                return "nothing is fused"
            if (
                len(ends) > 1
                and not reads_through(eqn)
                and (cost := self._cost(eqn)) > self.limits.recomputed
            ):
                return f"{len(ends)} read it; it costs {cost:g} to compute again, over {self.limits.recomputed:g}"
        return None if reads_through(eqn) else self._why_not_inside(eqn, wanted)

    def _changed(self) -> set[Var]:
        """The large arrays that are changed in place, if nobody reads them after."""
        return {
            stored_as(a, self.producer)
            for eqn in self.program.eqns
            for n in {*eqn.primitive.begins_as, *eqn.primitive.carried}
            if n is not None and isinstance(a := eqn.inputs[n], Var) and is_large(a.aval)
        }

    def _is_read_before(self, eqn: Eqn) -> bool:
        """Whether it reads a small part of such an array: inside of what also reads the new one it would be late."""
        if not eqn.primitive.reads_part or is_large(eqn.outputs[0].aval):
            return False
        a = eqn.inputs[0]
        return isinstance(a, Var) and stored_as(a, self.producer) in self.changed

    def _why_not_inside(
        self, eqn: Eqn, wanted: list[dict[Region, dict[Where | None, None]]]
    ) -> str | None:
        """Why an equation's results are not computed at the places where its consumers want them."""
        for region, places in [item for w in wanted for item in w.items()]:
            cost, times = self._cost(eqn), float(len(places))
            worth = (
                self.limits.repeated if self.places.is_of_the_index(eqn) else self.limits.recomputed
            )
            if cost > worth:  # than loading it
                times = sum(1.0 if p is None else region.repeats(p[0]) for p in places)
            if times > 1 and (more := (times - 1) * cost) > self.limits.repeated:
                return (
                    f"it costs {cost:g} and is read at {len(places)} places, each element {times:g} times: "
                    f"{more:g} more, over {self.limits.repeated:g}"
                )
            if region.weight + len(places) > self.limits.longest:
                weight = region.weight + len(places)
                return f"its consumer would be {weight} operations long, over {self.limits.longest}"
        if not self.far.isdisjoint(eqn.outputs):
            return "the index at which it is read is long"
        return None

    def _cost(self, eqn: Eqn) -> float:
        """What an element costs: nothing for operands that are stored anyway."""
        if all(a in self.forced or a not in self.producer for a in eqn.inputs):
            return self.prices.of(eqn)
        return self.costs[eqn.outputs[0]]

    def _store(self, eqn: Eqn, reason: str) -> None:
        """Make an equation a root: what it reads is read from here."""
        used = [v for v in eqn.outputs if v in self.wanted or v in self.forced]
        self.roots.update(used if is_nested(eqn) else eqn.outputs)
        if self.explain is not unheard:
            self.explain(f"{_describe(eqn)} is stored: {reason}")
        for v in eqn.outputs:
            self._read(v)
        region = self.regions[eqn] = Region(weight=1)
        if is_single(eqn, self.target):
            for a in eqn.inputs:
                if isinstance(a, Var):
                    self._want(a, region, None)
                    self.forced.add(stored_as(a, self.producer))
        elif folds(eqn):
            shape, folded = fold_space(eqn)
            index = own_index(shape)
            outer = [a for a in range(len(shape)) if a not in folded]
            region.loops = tuple([(f"i{a}", shape[a]) for a in (*outer, *folded)])
            places = fold_places(eqn, index)
            for a, index in zip(eqn.inputs, places, strict=True):
                self._want(a, region, (index, None))
        else:
            shape = eqn.outputs[0].aval.shape
            index = own_index(shape)
            region.loops = tuple([(f"i{a}", n) for a, n in enumerate(shape)])
            region.written = ix.flatten(index, shape)
            for a, place in self.places.below(eqn, (index, None)):
                self._want(a, region, place)

    def _inline(self, eqn: Eqn) -> None:
        """Compute an equation inside its consumers: they read what it reads."""
        at_data = mapped_of(eqn).at_data
        moves = not isinstance(eqn.primitive, prims.ElementwiseBase)
        chooses = isinstance(eqn.primitive, Movement) and len(eqn.inputs) > 1 and not at_data
        weight = self.limits.by_place if chooses else 1
        for v in eqn.outputs:
            for region, places in self.wanted.pop(v, {}).items():
                region.weight += len(places) * weight
                for place in places:
                    if place is None:
                        reads = [(a, None) for a in eqn.inputs if isinstance(a, Var)]
                    else:
                        reads = self.places.below(eqn, place)
                    for a, below in reads:
                        self._want(a, region, below)
                        if (
                            moves
                            and below is not None
                            and length(below[0]) > self.limits.long_index
                        ):
                            self.far.add(a)
                        if at_data and below is not None and comes_from_data(below[0]):
                            region.weight += self.limits.from_data

    def _want(self, atom: Atom, region: Region, place: Where | None) -> None:
        if isinstance(atom, Var):
            self.wanted.setdefault(atom, {}).setdefault(region, {})[place] = None

    def _read(self, v: Var) -> None:
        """Note where a stored variable is read."""
        for region, places in self.wanted.pop(v, {}).items():
            region.reads[v] = {None if p is None else p[0] for p in places}


def _tree_costs(program: Program, target: Target, prices: Prices) -> dict[Var, float]:
    """What an element costs if everything it needs is computed in place, folds and singles excepted."""
    costs: dict[Var, float] = {}
    for eqn in program.eqns:
        if is_single(eqn, target) or folds(eqn):
            cost = ALONE
        else:
            cost = prices.of(eqn)
            for a in eqn.inputs:
                if isinstance(a, Var) and (below := costs.get(a, 0.0)) != ALONE:
                    cost += below
            cost = min(cost, 1e6)
        for v in eqn.outputs:
            costs[v] = cost
    return costs


class _Builder:
    """Puts roots into groups, one after the other."""

    def __init__(self, regions: dict[Eqn, Region], job: Job):
        self.regions, self.job, self.explain = regions, job, job.explain("fusion")
        self.target, self.limits = job.target, job.target.limits
        self.groups: list[Group] = []
        self.position: dict[Var, int] = {}

    def add(self, eqn: Eqn) -> None:
        """Put a root into a nest that it fits, or into a new group."""
        region = self.regions[eqn]
        latest = max((self.position[v] for v in region.reads if v in self.position), default=-1)
        target = None
        if not is_single(eqn, self.target):
            target = self._find(eqn, latest, region)
        if target is None:
            target = len(self.groups)
            self.groups.append(self._new_group(eqn))
        group = self.groups[target]
        if isinstance(group, Nest):
            group.add(eqn, region)
        for v in eqn.outputs:
            self.position[v] = target

    def _new_group(self, eqn: Eqn) -> Group:
        if is_single(eqn, self.target):
            return Single(eqn)
        if folds(eqn):
            return Nest(*fold_space(eqn))
        return Nest(eqn.outputs[0].aval.shape, ())

    def _find(self, eqn: Eqn, latest: int, region: Region) -> int | None:
        """The nest that a root joins: that of its last producer, else a later one that shares what it reads."""
        if not self.job.fuse:
            return None
        candidates = range(max(latest, len(self.groups) - 12, 0), len(self.groups))
        for n in candidates:
            group = self.groups[n]
            if isinstance(group, Single):
                continue
            if n != latest and group.reads.isdisjoint(region.reads):
                continue
            reason = self.why_not(eqn, group)
            if self.explain is not unheard:
                self._tell(eqn, group, reason)
            if reason is None:
                if folds(eqn) and not group.inner:
                    group.inner = fold_space(eqn)[1]
                return n
        return None

    def _tell(self, eqn: Eqn, nest: Nest, reason: str | None) -> None:
        first = " ".join(_describe(r) for r in nest.roots[:4])
        more = f" and {len(nest.roots) - 4} more" if len(nest.roots) > 4 else ""
        self.explain(f"{_describe(eqn)} -> {first}{more}: {reason or 'fused'}")

    def why_not(self, eqn: Eqn, nest: Nest) -> str | None:
        """Why a root must not join a nest; None if it may."""
        weight = nest.weight + self.regions[eqn].weight
        if weight > self.limits.longest:
            return f"the nest would be {weight} operations long, over {self.limits.longest}"
        if len(nest.roots) >= self.limits.many_roots:
            return f"the nest has {self.limits.many_roots} roots"
        trial = nest
        if folds(eqn):
            shape, axes = fold_space(eqn)
            if shape != nest.shape or fold_of(eqn).begins_nest:
                return "the spaces differ"
            if nest.inner and nest.inner != axes:
                return "other axes are folded"
            if not nest.inner:
                trial = Nest(nest.shape, axes, nest.roots, own=nest.own)
                outer = dims.product(shape[a] for a in trial.outer)
                if not dims.is_true(lambda: outer >= self.limits.many_results) and not dims.is_true(
                    lambda: dims.product(shape) <= self.limits.serial_elements
                ):
                    return (
                        "folding a large array to few results runs in parallel over the folded axes"
                    )
            index: Index | None = trial.index
        else:
            if (
                nest.inner
                and not nest.outer
                and not dims.is_true(
                    lambda: dims.product(nest.shape) <= self.limits.serial_elements
                )
            ):
                return "the fold must be complete before, and runs in parallel"
            index = nest.index_of(eqn)
        if index is None:
            return "the spaces differ"
        least = self.target.loops.tile
        if trial.inner and any(
            trial.is_inner(r) and self.regions[r].crosses(least) for r in (eqn, *nest.roots)
        ):
            return "it reads across its rows, which are turned by tiles"
        return self._conflict(eqn, trial, index)

    def _conflict(self, eqn: Eqn, nest: Nest, index: Index) -> str | None:
        """The first read of a root of the nest that is not at the reader's own position."""
        reader_inside = folds(eqn) or nest.is_inner(eqn)
        own = own_index(fold_space(eqn)[0] if folds(eqn) else eqn.outputs[0].aval.shape)
        for var, places in self.regions[eqn].reads.items():
            producer = nest.own.get(var)
            if producer is None:
                continue
            if nest.is_inner(producer) and not reader_inside:
                return "it reads elements along a folded axis"
            there = nest.index_of(producer)
            if any(at is None or moved(at, own, index) != there for at in places):
                return "it reads elements at another position"
        return None


def point(eqn: Eqn, elements: Elements, index: Index) -> Any:
    """What a root computes at a point of its space: its element, or what its fold takes in."""
    if folds(eqn):
        places = zip(eqn.inputs, fold_places(eqn, index), strict=True)
        return tuple([elements.at(a, place) for a, place in places])
    return mapped_of(eqn).element(index, *[elements.view(a) for a in eqn.inputs])


def _describe(eqn: Eqn) -> str:
    return f"{eqn.primitive.name}{'' if eqn.source is None else f' ({eqn.source})'}"
