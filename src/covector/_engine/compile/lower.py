"""Lowering: a Program becomes a Kernel, group by group; scans and updates become loops, products routine calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.compile import loops
from covector._engine.compile.elements import Elements, Place, buffer_dtype, buffer_size, constant
from covector._engine.compile.fuse import Nest, Plan, Single, fuse, stored_as
from covector._engine.compile.nest import Context, Names, NestLowering, store
from covector._engine.compile.product import lower_product
from covector._engine.core.primitive import Cumulative, Update
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Copy,
    If,
    Init,
    Kernel,
    Loop,
    Note,
    Routine,
    Schedule,
    Statement,
)  # fmt: skip
from covector._engine.ir.program import Eqn, Literal, Program, Var, map_eqns, used_vars
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim


def lower(program: Program, explain: Callable[[str], None]) -> Kernel:
    """The Kernel of a flat Program, buffers not yet planned."""
    lowering = Lowering(explain)
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
    body = lowering.program(flat, [Place(b) for b in inputs], [Place(b) for b in outputs])
    return Kernel(program.name, tuple(inputs), tuple(outputs), _symbols(program), tuple(body))


def _symbols(program: Program) -> tuple[str, ...]:
    """The names of the symbolic dimensions of the inputs, in order of first appearance."""
    names: dict[str, None] = {}
    for v in program.inputs:
        for d in v.aval.shape:
            names.update((atom.key, None) for atom in dims.atoms(d) if atom.op == "symbol")
    return tuple(names)


class Lowering:
    """Lowers a Program and those inside it into statements of one Kernel."""

    def __init__(self, explain: Callable[[str], None]):
        self.explain = explain
        self.names = Names()

    def temp(self, stem: str, dtype: np.dtype, size: Dim) -> Buffer:
        """A new buffer in the arena."""
        return Buffer(self.names.fresh(stem), dtype, size, "temp")

    def temp_like(self, v: Var, stem: str = "t") -> Place:
        """A place for a variable in a new buffer."""
        return Place(self.temp(stem, buffer_dtype(v.aval), buffer_size(v.aval)))

    def program(
        self, program: Program, inputs: Sequence[Place], outputs: Sequence[Place]
    ) -> list[Statement]:
        """The statements that compute a Program from and to these places."""
        plan = fuse(program, self.explain)
        places = dict(zip(program.inputs, inputs, strict=True))
        copies = self._place_outputs(program, plan, places, outputs)
        self._place_updates(plan, places)
        readers = _readers(plan)
        statements: list[Statement] = []

        def place_of(v: Var) -> Place | None:
            if v in plan.inlined:
                return None
            if v not in places:
                places[v] = self.temp_like(v)
            return places[v]

        for number, group in enumerate(plan.groups):
            if isinstance(group, Nest):
                context = Context(
                    self.names,
                    plan.inlined,
                    place_of,
                    lambda v, n=number: readers.get(v, set()) != {n},
                    self.temp,
                )
                statements.append(Note(" ".join(r.primitive.name for r in group.roots)))
                statements += NestLowering(group, context).lower()
            else:
                statements.append(Note(group.eqn.primitive.name))
                statements += self._single(group.eqn, plan, place_of)
        for atom, target in copies:
            statements += self._copy(atom, target, place_of)
        return statements

    def _place_outputs(
        self, program: Program, plan: Plan, places: dict[Var, Place], outputs: Sequence[Place]
    ) -> list[tuple[Any, Place]]:
        """Give each result its place; those that are not computed here, or twice asked for, are copied at the end."""
        copies: list[tuple[Any, Place]] = []
        for atom, target in zip(program.outputs, outputs, strict=True):
            if isinstance(atom, Literal) or atom in places:
                copies.append((atom, target))
            else:
                places[atom] = target
        return copies

    def _place_updates(self, plan: Plan, places: dict[Var, Place]) -> None:
        """Let what an update starts from be computed where the update's result lies, if it is not needed after."""
        produced = {v: n for n, g in enumerate(plan.groups) for e in _eqns(g) for v in e.outputs}
        readers = _readers(plan)
        results = {a for a in plan.program.outputs if isinstance(a, Var)}
        for number in range(len(plan.groups) - 1, -1, -1):
            group = plan.groups[number]
            if not isinstance(group, Single) or not isinstance(group.eqn.primitive, Update):
                continue
            start, (out,) = group.eqn.inputs[0], group.eqn.outputs
            if (
                not isinstance(start, Var)
                or start not in produced
                or start in results
                or start in places
            ):
                continue
            if max(readers.get(start, {number})) == number and start not in group.eqn.inputs[1:]:
                if out not in places:
                    places[out] = self.temp_like(out)
                places[start] = places[out]

    def _copy(
        self, atom: Any, target: Place, place_of: Callable[[Var], Place | None]
    ) -> list[Statement]:
        """Copy a value to its place."""
        size = buffer_size(atom.aval)
        factor = 2 if dtypes.is_complex(atom.aval.dtype) else 1
        if isinstance(atom, Literal):
            return list(store(target, (), (), constant(atom.value, atom.aval.dtype)))
        source = place_of(atom)
        assert source is not None
        if source == target:
            return []
        return [
            Copy(
                (target.buffer, target.offset * factor),
                (source.buffer, source.offset * factor),
                size,
            )
        ]

    # ---------------------------------------------------------------------------------------------- singles

    def _single(
        self, eqn: Eqn, plan: Plan, place_of: Callable[[Var], Place | None]
    ) -> list[Statement]:
        p = eqn.primitive
        if isinstance(p, prims.DotGeneral):
            stored = {a: stored_as(a, plan.inlined) for a in eqn.inputs if isinstance(a, Var)}
            return lower_product(eqn, lambda v: place_of(stored.get(v, v)), self.names)
        if isinstance(p, Update):
            return self._update(eqn, plan, place_of)
        if isinstance(p, loops.Scan):
            return loops.lower_scan(self, eqn, place_of)
        if isinstance(p, prims.SortPairs):
            return self._sort(eqn, plan, place_of)
        if isinstance(p, Cumulative):
            return self._cumulative(eqn, plan, place_of)
        raise NotImplementedError(
            f"primitive '{p.name}' has no lowering: it is neither mapped, a reduction, an update, a product nor a loop"
        )

    def _update(
        self, eqn: Eqn, plan: Plan, place_of: Callable[[Var], Place | None]
    ) -> list[Statement]:
        """Copy what the update starts from, unless it lies there, then combine the update's elements into it."""
        p: Any = eqn.primitive
        (out,) = eqn.outputs
        target = place_of(out)
        assert target is not None
        statements = self._copy(eqn.inputs[0], target, place_of)
        update = eqn.inputs[p.update]
        shape = update.aval.shape
        variables = [0 if n == 1 else ix.loop_variable(self.names.fresh("u"), n) for n in shape]
        elements = Elements(plan.inlined, place_of)
        where, inside = p.target(tuple(variables), *[elements.view(a) for a in eqn.inputs])
        value = elements.at(update, tuple(variables))
        if p.combination != "set":
            reader = Elements({}, lambda v: target)
            value = _combine(p.combination, reader.at(out, where), value)
        body: list[Statement] = list(store(target, out.aval.shape, where, value))
        if inside is not None:
            body = [If(inside, tuple(body))]
        order = p.loop_axes(len(shape))
        free = set(p.independent_axes(len(shape))) if inside is None else set()
        for axis in reversed(order):
            if shape[axis] != 1:
                vector = int(axis in free and axis == order[-1])
                body = [Loop(variables[axis], shape[axis], tuple(body), Schedule(vector))]
        return statements + body

    def _cumulative(
        self, eqn: Eqn, plan: Plan, place_of: Callable[[Var], Place | None]
    ) -> list[Statement]:
        """A state that takes in one element after the other along the axis; the other axes are loops around it."""
        p: Any = eqn.primitive
        (out,) = eqn.outputs
        target, shape = place_of(out), out.aval.shape
        assert target is not None
        index = [0 if n == 1 else ix.loop_variable(self.names.fresh("c"), n) for n in shape]
        step, extent = index[p.axis], shape[p.axis]
        index[p.axis] = extent - 1 - step if p.reverse else step
        elements = Elements(plan.inlined, place_of)
        start = p.start(out.aval.dtype)
        state = tuple([self.names.local(e.dtype) for e in start])
        lifted = p.lift(*[elements.at(a, tuple(index)) for a in eqn.inputs])
        value = p.finish(state, out.aval.dtype)
        body: list[Statement] = [
            Assign(state, p.combine(state, lifted)),
            *store(target, shape, tuple(index), value),
        ]
        if extent != 1:
            body = [Loop(step, extent, tuple(body))]
        body = [*[Init(s, e) for s, e in zip(state, start, strict=True)], *body]
        for axis in reversed(range(len(shape))):
            if axis != p.axis and shape[axis] != 1:
                lanes = int(axis == len(shape) - 1)  # neighbours in memory: side by side in lanes
                body = [Loop(index[axis], shape[axis], tuple(body), Schedule(lanes))]
        return body

    def _sort(
        self, eqn: Eqn, plan: Plan, place_of: Callable[[Var], Place | None]
    ) -> list[Statement]:
        """Rows are copied to the results' places and sorted there by the runtime; values only if they are read."""
        keys, values = eqn.inputs
        alone = eqn.outputs[1] not in used_vars(plan.program)
        statements: list[Statement] = []
        targets = []
        for source, out in (
            ((keys, eqn.outputs[0]),) if alone else zip(eqn.inputs, eqn.outputs, strict=True)
        ):
            target = place_of(out)
            assert target is not None
            targets.append((target.buffer, target.offset))
            statements += self._copy(source, target, place_of)
        *front, n = keys.aval.shape
        code = dtypes.CODES[keys.aval.dtype]
        width = 0 if alone else values.aval.dtype.itemsize
        places, writes = (tuple(targets * 2), (0,)) if alone else (tuple(targets), (0, 1))
        rows = dims.product(front)
        statements.append(Routine("sort_pairs", places, (code, width, rows, n), writes, writes))
        return statements


def _combine(operation: str, old: Any, new: Any) -> Any:
    if isinstance(old, tuple):
        if operation == "add":
            return old[0] + new[0], old[1] + new[1]
        return scalar.COMPLEX[operation](old, new)
    if old.dtype == scalar.BOOL:
        operation = {"add": "or", "max": "or", "mul": "and", "min": "and"}.get(operation, operation)
    return scalar.apply(operation, old, new)


def _eqns(group: Any) -> list[Eqn]:
    return [group.eqn] if isinstance(group, Single) else group.roots


def _readers(plan: Plan) -> dict[Var, set[int]]:
    """The groups that read a stored variable; the Program's caller counts as one."""
    readers: dict[Var, set[int]] = {}
    through: dict[Var, frozenset[Var]] = {}

    def stored_below(v: Var) -> frozenset[Var]:
        """The stored variables that an inlined one is computed from."""
        found = through.get(v)
        if found is None:
            stack, seen, leaves = [v], {v}, set[Var]()
            while stack:
                for a in plan.inlined[stack.pop()].inputs:
                    if isinstance(a, Var) and a not in seen:
                        seen.add(a)
                        (stack.append if a in plan.inlined else leaves.add)(a)
            found = through[v] = frozenset(leaves)
        return found

    for number, group in enumerate(plan.groups):
        for eqn in _eqns(group):
            for a in eqn.inputs:
                if isinstance(a, Var):
                    for v in stored_below(a) if a in plan.inlined else (a,):
                        readers.setdefault(v, set()).add(number)
    for a in plan.program.outputs:
        if isinstance(a, Var):
            readers.setdefault(a, set()).add(len(plan.groups))
    return readers
