"""Fusion: which variables are stored, and which equations share a loop nest.

Every variable is either computed inside its consumers, or is a root.  Roots go into nests: one iteration space, of
which some axes may be folded by reductions.  A root joins a nest if everything it reads of that nest is at its own
position there; then the value stays in a register.  The check is by asking: the `element` rules say what they read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.config import config
from covector._engine.compile.elements import Elements
from covector._engine.core.primitive import (
    Folded,
    Index,
    Mapped,
    Movement,
    Primitive,
    Scalar,
    View,
)
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Place
from covector._engine.ir.kernel import Buffer
from covector._engine.ir.program import Eqn, Program, Var
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Shape = tuple[Dim, ...]

# Recomputing a value that costs no more than this (operations an element) beats storing and loading it.
CHEAP = 3.0
# A product of fewer multiplications is computed by loops of ours, inside the Program's function.
SMALL_PRODUCT = 32 * 32 * 32
# Below this number of elements nothing runs in parallel, so a fold may swallow its producer's loop.
SMALL = 32768


@dataclass(eq=False)
class Nest:
    """One loop nest: its space, the axes that are folded, its roots in order."""

    shape: Shape
    inner: tuple[int, ...]
    roots: list[Eqn] = field(default_factory=list)
    reads: set[Var] = field(default_factory=set)

    @property
    def outer(self) -> tuple[int, ...]:
        return tuple(a for a in range(len(self.shape)) if a not in self.inner)

    @property
    def index(self) -> Index:
        """The loop variables, one an axis; 0 for an axis of size 1."""
        return space_index(self.shape)

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


@dataclass(frozen=True, eq=False)
class Plan:
    """Groups in the order in which they run, and what is computed inside its consumers."""

    program: Program
    groups: tuple[Group, ...]
    inlined: dict[Var, Eqn]
    stored: frozenset[Var]


def space_index(shape: Shape) -> Index:
    """The canonical loop variables of a space."""
    return tuple(0 if n == 1 else ix.loop_variable(f"i{a}", n) for a, n in enumerate(shape))


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


def fold_space(eqn: Eqn) -> tuple[Shape, tuple[int, ...]]:
    """The space of a fold, and the axes folded."""
    return eqn.primitive.space(types_of(eqn))


def fold_places(eqn: Eqn, index: Index) -> tuple[Index, ...]:
    """Where a fold reads each of its operands for a point of its space."""
    return eqn.primitive.places(index, types_of(eqn))


@functools.lru_cache(4096)
def _operation_cost(primitive: Primitive, types: tuple[np.dtype, ...]) -> float:
    """Operations an element, from the element rule itself."""
    assert isinstance(primitive, Mapped)
    views = [_dummy_view(ShapedArray((), t)) for t in types]
    element: Any = primitive.element((), *views)
    return count_operations(element, set())


def _dummy_view(aval: ShapedArray) -> View:
    part = Expr("local", (), dtypes.real_of(aval.dtype), "x")
    value: Scalar = (part, part) if dtypes.is_complex(aval.dtype) else part
    return View(aval, lambda index: value)


_WEIGHTS = {
    "call": 12.0,
    "div": 4.0,
    "sqrt": 4.0,
    "rem": 8.0,
    "iterate": 200.0,
    "const": 0.0,
    "local": 0.0,
    "load": 0.5,
}


def count_operations(e: Any, seen: set[Expr]) -> float:
    """The weighted number of operations in an element."""
    if isinstance(e, tuple):
        return sum(count_operations(part, seen) for part in e)
    total, stack = 0.0, [e]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            total += _WEIGHTS.get(node.op, 1.0)
            stack.extend(node.args)
    return total


def cost_of(eqn: Eqn) -> float:
    """Operations that one element of an equation's result costs beyond its operands."""
    p = eqn.primitive
    if isinstance(p, Movement):
        return 0.5
    if isinstance(p, prims.ElementwiseBase):
        return _operation_cost(p, tuple(a.aval.dtype for a in eqn.inputs))
    return 100.0


def stored_as(v: Var, producer: Mapping[Var, Eqn]) -> Var:
    """The variable that lies in memory as this one does: reshaping moves nothing."""
    while v in producer and producer[v].primitive.same_memory:
        below = producer[v].inputs[0]
        if not isinstance(below, Var):
            break
        v = below
    return v


def is_single(eqn: Eqn) -> bool:
    """Whether an equation stays on its own."""
    p = eqn.primitive
    return not isinstance(p, Mapped) and p.alone(types_of(eqn), SMALL_PRODUCT)


def fuse(program: Program, explain: Callable[[str], None]) -> Plan:
    """The plan of a flat Program."""
    roots = _choose_roots(program)
    inlined = {v: e for e in program.eqns for v in e.outputs if v not in roots}
    builder = _Builder(program, roots, inlined, explain)
    for eqn in program.eqns:
        if any(v in roots for v in eqn.outputs):
            builder.add(eqn)
    return Plan(program, tuple(builder.groups), inlined, frozenset(roots))


def _choose_roots(program: Program) -> set[Var]:
    """The variables that are not simply computed inside their one consumer."""
    consumers: dict[Var, set[Var]] = {}  # the roots that an inlined variable ends up in
    roots: set[Var] = set()
    producer = {v: e for e in program.eqns for v in e.outputs}
    forced = {a for a in program.outputs if isinstance(a, Var)}
    costs = _tree_costs(program)
    for eqn in reversed(program.eqns):
        single = is_single(eqn)
        alone = single or folds(eqn)
        several = len(eqn.outputs) > 1
        for v in eqn.outputs:
            ends = consumers.get(v, set())
            shared = len(ends) > 1 and (costs[v] > CHEAP or not config.fuse)
            if (
                alone
                or v in forced
                or shared
                or (not config.fuse and not isinstance(eqn.primitive, Movement))
            ):
                roots.add(v)
        if several and not alone and any(v in roots for v in eqn.outputs):
            roots.update(v for v in eqn.outputs if v in consumers or v in forced)
        for v in eqn.outputs:
            for a in eqn.inputs:
                if isinstance(a, Var) and a in producer:
                    if single:
                        forced.add(stored_as(a, producer))
                    consumers.setdefault(a, set()).update(
                        {v} if v in roots else consumers.get(v, set())
                    )
    return roots


def _tree_costs(program: Program) -> dict[Var, float]:
    """What an element costs if everything it needs is computed in place, folds and singles excepted."""
    costs: dict[Var, float] = {}
    for eqn in program.eqns:
        if is_single(eqn) or folds(eqn):
            cost = 1e9
        else:
            below = (costs.get(a, 0.0) for a in eqn.inputs if isinstance(a, Var))
            cost = cost_of(eqn) + sum(c for c in below if c < 1e8)
        for v in eqn.outputs:
            costs[v] = cost
    return costs


class _Builder:
    """Puts roots into groups, one after the other."""

    def __init__(
        self,
        program: Program,
        roots: set[Var],
        inlined: dict[Var, Eqn],
        explain: Callable[[str], None],
    ):
        self.program, self.roots, self.inlined, self.explain = program, roots, inlined, explain
        self.groups: list[Group] = []
        self.position: dict[Var, int] = {}
        self.places: dict[Var, Place] = {}

    def place_of(self, var: Var) -> Place | None:
        """For probing: everything that is not inlined is stored, in a buffer of its own."""
        if var in self.inlined:
            return None
        place = self.places.get(var)
        if place is None:
            place = self.places[var] = Place(
                Buffer("?", dtypes.real_of(var.aval.dtype), var.aval.size, "temp")
            )
        return place

    def reads(self, eqn: Eqn, index: Index) -> list[tuple[Var, Index]]:
        """The stored variables that a root reads at a point of its space, and where."""
        found: list[tuple[Var, Index]] = []
        elements = Elements(self.inlined, self.place_of, lambda v, i: found.append((v, i)))
        elements.touch(eqn, index)
        point(eqn, elements, index)
        return found

    def add(self, eqn: Eqn) -> None:
        """Put a root into a nest that it fits, or into a new group."""
        dependencies = self._dependencies(eqn)
        latest = max((self.position[v] for v in dependencies if v in self.position), default=-1)
        target = None
        if not is_single(eqn):
            target = self._find(eqn, latest, dependencies)
        if target is None:
            target = len(self.groups)
            self.groups.append(self._new_group(eqn))
        group = self.groups[target]
        if isinstance(group, Nest):
            group.roots.append(eqn)
            group.reads |= dependencies
        for v in eqn.outputs:
            self.position[v] = target

    def _dependencies(self, eqn: Eqn) -> set[Var]:
        """The stored variables that a root reads, at whatever index."""
        found: set[Var] = set()
        seen: set[Var] = set()
        stack = [a for a in eqn.inputs if isinstance(a, Var)]
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            if v in self.inlined:
                stack.extend(a for a in self.inlined[v].inputs if isinstance(a, Var))
            else:
                found.add(v)
        return found

    def _new_group(self, eqn: Eqn) -> Group:
        if is_single(eqn):
            return Single(eqn)
        if folds(eqn):
            return Nest(*fold_space(eqn))
        return Nest(eqn.outputs[0].aval.shape, ())

    def _find(self, eqn: Eqn, latest: int, dependencies: set[Var]) -> int | None:
        """The nest that a root joins: that of its last producer, else a later one that shares what it reads."""
        if not config.fuse:
            return None
        candidates = range(max(latest, len(self.groups) - 12, 0), len(self.groups))
        for n in candidates:
            group = self.groups[n]
            if isinstance(group, Single):
                continue
            if n != latest and not (dependencies & group.reads):
                continue
            reason = self.why_not(eqn, group)
            self.explain(
                f"{_describe(eqn)} -> {' '.join(_describe(r) for r in group.roots)}: {reason or 'fused'}"
            )
            if reason is None:
                if folds(eqn) and not group.inner:
                    group.inner = fold_space(eqn)[1]
                return n
        return None

    def why_not(self, eqn: Eqn, nest: Nest) -> str | None:
        """Why a root must not join a nest; None if it may."""
        trial = nest
        if folds(eqn):
            shape, axes = fold_space(eqn)
            if shape != nest.shape or eqn.primitive.begins_nest:
                return "the spaces differ"
            if nest.inner and nest.inner != axes:
                return "other axes are folded"
            if not nest.inner:
                trial = Nest(nest.shape, axes, nest.roots)
                outer = dims.product(shape[a] for a in trial.outer)
                if not dims.is_true(lambda: outer >= 64) and not dims.is_true(
                    lambda: dims.product(shape) <= SMALL
                ):
                    return (
                        "folding a large array to few results runs in parallel over the folded axes"
                    )
            index: Index | None = trial.index
        else:
            if (
                nest.inner
                and not nest.outer
                and not dims.is_true(lambda: dims.product(nest.shape) <= SMALL)
            ):
                return "the fold must be complete before, and runs in parallel"
            index = nest.index_of(eqn)
        if index is None:
            return "the spaces differ"
        return self._conflict(eqn, trial, index)

    def _conflict(self, eqn: Eqn, nest: Nest, index: Index) -> str | None:
        """The first read of a root of the nest that is not at the reader's own position."""
        own = {v: r for r in nest.roots for v in r.outputs}
        reader_inside = folds(eqn) or nest.is_inner(eqn)
        for var, at in self.reads(eqn, index):
            if var not in own:
                continue
            if nest.is_inner(own[var]) and not reader_inside:
                return "it reads elements along a folded axis"
            if at != nest.index_of(own[var]):
                return "it reads elements at another position"
        return None


def point(eqn: Eqn, elements: Elements, index: Index) -> Any:
    """What a root computes at a point of its space: its element, or what its fold takes in."""
    p = eqn.primitive
    if isinstance(p, Folded):
        places = zip(eqn.inputs, fold_places(eqn, index), strict=True)
        return tuple([elements.at(a, place) for a, place in places])
    return p.element(index, *[elements.view(a) for a in eqn.inputs])


def _describe(eqn: Eqn) -> str:
    return f"{eqn.primitive.name}{'' if eqn.source is None else f' ({eqn.source})'}"


def used_outside(plan: Plan, nest: Nest) -> set[Var]:
    """The nest's variables that something outside it reads."""
    mine = {v for r in nest.roots for v in r.outputs}
    inside = {id(r) for r in nest.roots}
    used: set[Var] = {a for a in plan.program.outputs if isinstance(a, Var)}

    def reach(atoms: Iterable[Any]) -> None:
        stack, seen = [a for a in atoms if isinstance(a, Var)], set[Var]()
        while stack:
            v = stack.pop()
            if v not in seen:
                seen.add(v)
                used.add(v)
                if v in plan.inlined:
                    stack.extend(a for a in plan.inlined[v].inputs if isinstance(a, Var))

    for group in plan.groups:
        for eqn in [group.eqn] if isinstance(group, Single) else group.roots:
            if id(eqn) not in inside:
                reach(eqn.inputs)
    return mine & used
