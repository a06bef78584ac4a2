"""Lowering: a Program becomes a Kernel, group by group: loop nests of what fusion put together, and what is alone.

What is alone says itself how it becomes statements (its rule `lower`), for which `Lowering` is the Builder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.backends.base import Job
from covector._engine.compile import points, unroll
from covector._engine.compile.fuse import Nest, Plan, Single, fuse, stored_as
from covector._engine.compile.instances import Instances
from covector._engine.compile.late import updates_last
from covector._engine.compile.nest import Context
from covector._engine.ir.builder import (
    AllElements,
    Builder,
    Fitting,
    Index,
    Kept,
    Names,
    Operand,
    Place,
    Points,
    Result,
    buffer_dtype,
    buffer_size,
)
from covector._engine.ir.kernel import Buffer, Kernel, Note
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var, map_eqns
from covector._engine.types import dims

PlaceOf = Callable[[Var], Place | None]


def lower(program: Program, job: Job) -> Kernel:
    """The Kernel of a flat Program, buffers not yet planned."""
    lowering = Lowering(job)
    inputs = [
        Buffer(f"in{n}", buffer_dtype(v.aval), buffer_size(v.aval), "input")
        for n, v in enumerate(program.inputs)
    ]
    outputs = [
        Buffer(f"out{n}", buffer_dtype(a.aval), buffer_size(a.aval), "output")
        for n, a in enumerate(program.outputs)
    ]
    producer = {v: e for e in program.eqns for v in e.outputs}
    results = [stored_as(a, producer) if isinstance(a, Var) else a for a in program.outputs]
    flat = map_eqns(program, program.eqns, results)
    lowering.program(flat, [Place(b) for b in inputs], [Place(b) for b in outputs])
    body = tuple(lowering.statements)
    return Kernel(program.name, tuple(inputs), tuple(outputs), _symbols(program), body)


def _symbols(program: Program) -> tuple[str, ...]:
    """The names of the symbolic dimensions of the inputs, in order of first appearance."""
    names: dict[str, None] = {}
    for v in program.inputs:
        for d in v.aval.shape:
            names.update((f.key, None) for f in dims.factors(d) if f.op == "symbol")
    return tuple(names)


class Lowering(Builder):
    """Lowers a Program and those inside it into statements of one Kernel."""

    def __init__(self, job: Job):
        super().__init__(Names())
        self.job = job
        self.instances = Instances()
        limits = job.target.limits
        self._fit, self._written = unroll.Small(limits), unroll.of_any_length(limits)

    def explain(self, topic: str, reason: str) -> None:
        self.job.explain(topic)(reason)

    def program(self, program: Program, inputs: Sequence[Place], outputs: Sequence[Place]) -> None:
        plan = updates_last(fuse(program, self.job))
        places = dict(zip(program.inputs, inputs, strict=True))
        copies = _place_outputs(program, places, outputs)
        self._place_in_place(plan, places)
        readers = plan.readers()

        def place_of(v: Var) -> Place | None:
            if v in plan.inlined:
                return None
            if v not in places:
                places[v] = self.temp_like(v.aval)
            return places[v]

        for number, group in enumerate(plan.groups):
            if isinstance(group, Nest):
                context = Context(
                    self.job.target,
                    self.names,
                    plan.inlined,
                    place_of,
                    lambda v, n=number: readers.get(v, set()) != {n},
                    self.temp,
                )
                self.add(Note(" ".join(r.primitive.name for r in group.roots)))
                self.add(*self.instances.lower(group, context))
            elif group.eqn.primitive.passes_on:
                self._pass_on(group.eqn, plan, place_of, places)
            else:
                self.add(Note(group.eqn.primitive.name))
                self._alone(group.eqn, plan, place_of)
        for atom, target in copies:
            self.copy(target, self._operand(atom, plan, place_of))

    def longest_turn(self) -> int:
        return self.job.target.limits.turn

    @property
    def fit(self) -> Fitting:
        return self._fit

    def written_out(self, program: Program, inputs: Sequence[Kept]) -> list[Kept]:
        return unroll.written_out(program, inputs, self, self._written)

    def points(self, program: Program, carried: Sequence[bool]) -> Points | None:
        return points.points_of(program, carried, self.job.target)

    def at_points(
        self, program: Program, inputs: Sequence[Place | AllElements], at: Sequence[Index]
    ) -> list[AllElements]:
        return points.at_points(program, inputs, at)

    def _alone(self, eqn: Eqn, plan: Plan, place_of: PlaceOf) -> None:
        """The statements of an equation that is lowered by its own rule."""
        operands = [self._operand(a, plan, place_of) for a in eqn.inputs]
        results: list[Result] = []
        for v in eqn.outputs:
            place = place_of(v)
            assert place is not None
            results.append(Result(v.aval, place))
        self.source = eqn.source
        eqn.primitive.lower(self, operands, results)

    def _pass_on(self, eqn: Eqn, plan: Plan, place_of: PlaceOf, places: dict[Var, Place]) -> None:
        """Let results lie where the operands do, or copy these where results have places already."""
        for a, v in zip(eqn.inputs, eqn.outputs, strict=True):
            operand = self._operand(a, plan, place_of)
            if v in places:
                self.copy(places[v], operand)
            else:
                places[v] = operand.place

    def _operand(self, atom: Atom, plan: Plan, place_of: PlaceOf) -> Operand:
        if isinstance(atom, Literal):
            return Operand(atom.aval, atom.value, lambda: self._stored(atom))
        place = place_of(stored_as(atom, plan.inlined))
        assert place is not None, "what is alone reads what is stored"
        return Operand(atom.aval, None, lambda: place)

    def _stored(self, literal: Literal) -> Place:
        """A literal in memory."""
        place = self.temp_like(literal.aval)
        self.copy(place, self._operand(literal, None, None))  # type: ignore[arg-type]
        return place

    def _place_in_place(self, plan: Plan, places: dict[Var, Place]) -> None:
        """Let what a result begins as be computed where the result lies, if it is not needed after."""
        produced = {v: n for n, g in enumerate(plan.groups) for e in _eqns(g) for v in e.outputs}
        readers = plan.readers()
        results = {stored_as(a, plan.inlined) for a in plan.program.outputs if isinstance(a, Var)}
        for number in range(len(plan.groups) - 1, -1, -1):
            group = plan.groups[number]
            if not isinstance(group, Single):
                continue
            eqn = group.eqn
            stored = [stored_as(a, plan.inlined) if isinstance(a, Var) else a for a in eqn.inputs]
            for out, position in zip(eqn.outputs, eqn.primitive.begins_as, strict=False):
                start = None if position is None else stored[position]
                if not isinstance(start, Var) or stored.count(start) > 1:
                    continue
                if start not in produced or start in results or start in places:
                    continue
                if max(readers.get(start, {number})) == number:
                    if out not in places:
                        places[out] = self.temp_like(out.aval)
                    places[start] = places[out]


def _place_outputs(
    program: Program, places: dict[Var, Place], outputs: Sequence[Place]
) -> list[tuple[Atom, Place]]:
    """Give each result its place; those that are not computed here, or twice asked for, are copied at the end."""
    copies: list[tuple[Atom, Place]] = []
    for atom, target in zip(program.outputs, outputs, strict=True):
        if isinstance(atom, Literal) or atom in places:
            copies.append((atom, target))
        else:
            places[atom] = target
    return copies


def _eqns(group: Any) -> list[Eqn]:
    return [group.eqn] if isinstance(group, Single) else group.roots
