"""Lowering: a Program becomes a Kernel, group by group: loop nests of what fusion put together, and what is alone.

What is alone says itself how it becomes statements (its rule `lower`), for which `Lowering` is the Builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal as OneOf

from covector._engine.backends.base import Job
from covector._engine.base.record import replace
from covector._engine.compile import points, unroll
from covector._engine.compile.calls import called
from covector._engine.compile.fuse import Nest, Plan, Single, fuse, stored_as
from covector._engine.compile.instances import Instances
from covector._engine.compile.late import equations_last, updates_last
from covector._engine.compile.nest import Context
from covector._engine.core.primitive import Primitive
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
from covector._engine.types.avals import ShapedArray

PlaceOf = Callable[[Var], Place | None]


def lower(program: Program, job: Job) -> Kernel:
    """The Kernel of a flat Program, buffers not yet planned."""
    functions: dict[str, Kernel] = {}
    names: dict[Primitive, str] = {}
    for n, (primitive, eqn) in enumerate(called(program, job.target.limits).items()):
        name = f"{primitive.name}.{n}"
        job.explain("loop")(f"{name} is a function of its own: it occurs often, or is deep")
        functions[name] = _function(name, eqn, job, names)
        names[primitive] = name
    lowering = Lowering(job, names)
    inputs, outputs = _parameters(program.in_avals, program.out_avals)
    producer = {v: e for e in program.eqns for v in e.outputs}
    results = [stored_as(a, producer) if isinstance(a, Var) else a for a in program.outputs]
    flat = map_eqns(program, program.eqns, results)
    lowering.program(flat, [Place(b) for b in inputs], [Place(b) for b in outputs])
    body = tuple(lowering.statements)
    made = Kernel(program.name, inputs, outputs, _symbols(program), body)
    return replace(made, functions=functions) if functions else made


def _function(name: str, eqn: Eqn, job: Job, names: Mapping[Primitive, str]) -> Kernel:
    """The Kernel of one equation, which calls others by name.  What it carries begins where it ends."""
    lowering = Lowering(job, names)
    given, made = [a.aval for a in eqn.inputs], [v.aval for v in eqn.outputs]
    inputs, outputs = _parameters(given, made)
    places = [Place(b) for b in inputs]
    for out, start in zip(outputs, eqn.primitive.carried, strict=False):
        if start is not None:
            lowering.copy(Place(out), places[start], given[start])
            places[start] = Place(out)
    operands = [Operand(a, None, lambda p=p: p) for a, p in zip(given, places, strict=True)]
    results = [Result(a, Place(b)) for a, b in zip(made, outputs, strict=True)]
    eqn.primitive.lower(lowering, operands, results)
    return Kernel(name, inputs, outputs, (), tuple(lowering.statements))


def _parameters(
    inputs: Sequence[ShapedArray], outputs: Sequence[ShapedArray]
) -> tuple[tuple[Buffer, ...], tuple[Buffer, ...]]:
    """Buffers for what a Kernel takes and gives."""
    made: list[tuple[Buffer, ...]] = []
    kinds: tuple[tuple[OneOf["input", "output"], str], ...] = ("input", "in"), ("output", "out")
    for avals, (kind, stem) in zip((inputs, outputs), kinds, strict=True):
        parts = enumerate([(buffer_dtype(a), buffer_size(a)) for a in avals])
        made.append(tuple([Buffer(f"{stem}{n}", d, size, kind) for n, (d, size) in parts]))
    return made[0], made[1]


def _symbols(program: Program) -> tuple[str, ...]:
    """The names of the symbolic dimensions of the inputs, in order of first appearance."""
    names: dict[str, None] = {}
    for v in program.inputs:
        for d in v.aval.shape:
            names.update((f.key, None) for f in dims.factors(d) if f.op == "symbol")
    return tuple(names)


class Lowering(Builder):
    """Lowers a Program and those inside it into statements of one Kernel."""

    def __init__(self, job: Job, called: Mapping[Primitive, str] = MappingProxyType({})):
        super().__init__(Names())
        self.job, self.called = job, called
        self.instances = Instances()
        limits = job.target.limits
        self._fit = unroll.Small(limits, called)
        self._written = unroll.of_any_length(limits)

    def explain(self, topic: str, reason: str) -> None:
        self.job.explain(topic)(reason)

    def program(self, program: Program, inputs: Sequence[Place], outputs: Sequence[Place]) -> None:
        plan = updates_last(fuse(equations_last(program), self.job))
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
        around = self.operation, self.source
        self.operation, self.source = eqn.primitive.name, eqn.source or self.source
        if (name := self.called.get(eqn.primitive)) is not None:
            self._call(name, eqn.primitive, operands, results)
        else:
            eqn.primitive.lower(self, operands, results)
        self.operation, self.source = around

    def _call(
        self,
        name: str,
        primitive: Primitive,
        operands: Sequence[Operand],
        results: Sequence[Result],
    ) -> None:
        """The call of a function: what it carries is changed where the result lies."""
        ends = [(r.place, r.aval) for r in results]
        begins = {n: k for k, n in enumerate(primitive.carried) if n is not None}
        for n, k in begins.items():
            self.copy(results[k].place, operands[n])
        places = [
            ends[begins[n]] if n in begins else (x.place, x.aval) for n, x in enumerate(operands)
        ]
        first, every = len(places), [*places, *ends]
        self.routine(
            name, every, (), range(first, len(every)), [first + k for k in begins.values()]
        )

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
