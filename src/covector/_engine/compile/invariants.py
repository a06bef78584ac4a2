"""What is the same in each run of a Program inside a loop is computed once, before the loop.

Not everything is worth it: what costs less to compute again than to read again stays, and so does what would fill
more memory than the loop touches anyway. `COVECTOR_EXPLAIN=loop` prints both kinds, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from covector._engine.backends.base import Job
from covector._engine.compile.fuse import Prices, is_single
from covector._engine.core.families import Mapped, Movement
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Program,
    Rewriting,
    Var,
    map_eqns,
    replace_inputs,
    without_dead_code,
)
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


def hoist_invariants(program: Program, job: Job) -> Program:
    """The Program with what its loops compute alike in each run in front of them, innermost loops first."""
    return Rewriting(lambda program, hoisted: _hoisted(program, hoisted, job))(program)


def _hoisted(program: Program, hoisted: Rewriting, job: Job) -> Program:
    if not any(eqn.primitive.has_programs for eqn in program.eqns):
        return program
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        if eqn.primitive.has_programs:
            p = hoisted.inside(eqn.primitive)
            eqn = _hoist(Eqn(p, eqn.inputs, eqn.outputs, eqn.source), eqns, job)
        eqns.append(eqn)
    return map_eqns(program, eqns)


def _hoist(eqn: Eqn, before: list[Eqn], job: Job) -> Eqn:
    """The equation of a loop that takes what is invariant from equations added to those before it."""
    constant = eqn.primitive.constant_inputs()
    largest = [_bytes(a.aval) for a in eqn.inputs]
    bodies: list[Program] = []
    found: list[tuple[Program, dict[Var, Atom], list[Var]]] = []
    values: list[Atom] = []
    for body, operands in zip(eqn.primitive.programs(), constant, strict=False):
        env: dict[Var, Atom] = {
            v: eqn.inputs[n] for v, n in zip(body.inputs, operands, strict=True) if n is not None
        }
        chosen = _Choice(body, set(env), largest, job).chosen
        found.append((body, env, chosen))
    if not any(chosen for _, _, chosen in found):
        return eqn
    for body, env, chosen in found:
        values += _compute(body, env, chosen, before)
    for body, _, chosen in found:  # each takes all values, those of the others too
        own = iter(chosen)
        mine = {id(v) for v in chosen}
        taken = [next(own) if id(v) in mine else Var(v.aval) for _, _, vs in found for v in vs]
        given = set(chosen)
        eqns = [_without(e, given) for e in body.eqns if not _is_given(e, given)]
        inner = without_dead_code(map_eqns(body, eqns))
        bodies.append(replace_inputs(inner, (*body.inputs, *taken)))
    primitive, inputs = eqn.primitive.taking(bodies, eqn.inputs, values)
    return Eqn(primitive, inputs, eqn.outputs, eqn.source)


def _is_given(eqn: Eqn, given: set[Var]) -> bool:
    """Whether all that an equation computes is given.  (What has effects may compute nothing.)"""
    return bool(eqn.outputs) and given.issuperset(eqn.outputs)


def _without(eqn: Eqn, given: set[Var]) -> Eqn:
    """The equation with other names for those of its results that are given."""
    if given.isdisjoint(eqn.outputs):
        return eqn
    outputs = tuple([Var(v.aval) if v in given else v for v in eqn.outputs])
    return Eqn(eqn.primitive, eqn.inputs, outputs, eqn.source)


def _compute(
    body: Program, env: Mapping[Var, Atom], chosen: Sequence[Var], before: list[Eqn]
) -> list[Atom]:
    """The values of variables of a body, by equations added to those before the loop."""
    names = dict(env)
    needed, kept = set(chosen), list[Eqn]()
    for eqn in reversed(body.eqns):
        if not needed.isdisjoint(eqn.outputs):
            kept.append(eqn)
            needed.update(a for a in eqn.inputs if isinstance(a, Var))
    for eqn in reversed(kept):
        inputs = tuple([names[a] if isinstance(a, Var) else a for a in eqn.inputs])
        outputs = tuple([Var(v.aval) for v in eqn.outputs])
        names.update(zip(eqn.outputs, outputs, strict=True))
        before.append(Eqn(eqn.primitive, inputs, outputs, eqn.source))
    return [names[v] for v in chosen]


def _bytes(aval: ShapedArray) -> Dim:
    return aval.size * aval.dtype.itemsize


class _Choice:
    """Which invariant values of a body are taken from outside."""

    def __init__(self, body: Program, constant: set[Var], sizes: Sequence[Dim], job: Job):
        self.target, self.explain = job.target, job.explain("loop")
        # A value that fits into the second cache stays there from step to step.
        self.sizes = (self.target.caches.second, *sizes)
        self.prices = Prices(self.target.costs)
        self.costs: dict[Var, float] = {}  # of an element of what is invariant
        for v in constant:
            self.costs[v] = 0.0
        for eqn in body.eqns:
            if not eqn.effects and all(a in self.costs for a in eqn.inputs if isinstance(a, Var)):
                cost = self._cost(eqn)
                self.costs.update((v, cost) for v in eqn.outputs)
        wanted = {a for a in body.outputs if isinstance(a, Var)}
        stored: set[Var] = set()  # what is in memory in each run, because something reads it there
        self.chosen: list[Var] = []
        for eqn in reversed(body.eqns):
            invariant = bool(eqn.outputs) and all(v in self.costs for v in eqn.outputs)
            if invariant:
                mine = [v for v in eqn.outputs if v in wanted]
                if not mine:
                    continue
                reason = self._why_not(eqn, stored)
                self.explain(f"{_describe(eqn)}: {reason or 'computed before the loop'}")
                if reason is None:
                    self.chosen += mine
                    continue
            reads = [a for a in eqn.inputs if isinstance(a, Var)]
            wanted.update(reads)
            if is_single(eqn, self.target):
                stored.update(reads)
        self.chosen.reverse()

    def _cost(self, eqn: Eqn) -> float:
        """Operations for an element, where everything below it that is mapped is computed again."""
        if not isinstance(eqn.primitive, Mapped):
            return float("inf")
        return self.prices.of(eqn) + sum(self.costs[a] for a in eqn.inputs if isinstance(a, Var))

    def _why_not(self, eqn: Eqn, stored: set[Var]) -> str | None:
        """Why an invariant value stays in the loop; None if it is computed before."""
        if not isinstance(eqn.primitive, Mapped) or not stored.isdisjoint(eqn.outputs):
            return None  # it is stored in each run anyway
        if isinstance(eqn.primitive, Movement):
            return "elements that move are read where they come from"
        if self.costs[eqn.outputs[0]] <= self.target.limits.recomputed:
            return "it costs less to compute again than to read again"
        for v in eqn.outputs:
            size = _bytes(v.aval)
            if not any(
                dims.is_true(lambda size=size, limit=limit: size <= limit) for limit in self.sizes
            ):
                return f"it would fill {size} bytes, more than anything that the loop takes"
        return None


def _describe(eqn: Eqn) -> str:
    return f"{eqn.primitive.name}{'' if eqn.source is None else f' ({eqn.source})'}"
