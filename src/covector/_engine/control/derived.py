"""What is derived from a loop's body: bodies that push tangents, are transposed or batched, or do several steps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, Generic, TypeVar

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.core.trace import evaluate
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Program,
    Var,
    replace_inputs,
)
from covector._engine.transforms.programs import (
    Mask,
    batch_program,
    dependent,
    derived,
    jvp_program,
    stage_without_constants,
    transpose_program,
)
from covector._engine.types.avals import is_large
from covector._engine.types.dims import Dim

T = TypeVar("T")


@record
class Operands(Generic[T]):
    """What a loop takes, or its body; or types, masks, batch axes of these.  They stand in this order."""

    consts: tuple[T, ...]
    carry: tuple[T, ...]
    xs: tuple[T, ...]

    @property
    def flat(self) -> tuple[T, ...]:
        """All, in order."""
        return self.consts + self.carry + self.xs


@record
class Results(Generic[T]):
    """What a loop gives, or its body; or types, masks, batch axes of these.  They stand in this order."""

    carry: tuple[T, ...]
    ys: tuple[T, ...]

    @property
    def flat(self) -> tuple[T, ...]:
        """All, in order."""
        return self.carry + self.ys


@record
class Layout:
    """How many consts and carried values a loop has: where each part of its operands and results is."""

    consts: int
    carry: int

    def operands(self, values: Sequence[T]) -> Operands[T]:
        """The operands of a loop or body by their parts."""
        values, stop = tuple(values), self.consts + self.carry
        return Operands(values[: self.consts], values[self.consts : stop], values[stop:])

    def results(self, values: Sequence[T]) -> Results[T]:
        """The results of a loop or body by their parts."""
        values = tuple(values)
        return Results(values[: self.carry], values[self.carry :])


@record
class Turns:
    """A loop of the compiled scan: so many turns of so many steps, from a first step on."""

    steps: int
    count: Dim
    first: Dim = 0


def layout_of(mask: Operands[bool]) -> Layout:
    """The layout of the operands in a mask."""
    return Layout(sum(mask.consts), sum(mask.carry))


@record(eq=False)
class DerivedBody:
    """A body made from another one.  Its consts are the other's (or those named beside), then `constants`."""

    program: Program
    layout: Layout
    constants: tuple[Any, ...]
    live: Results[Any]  # which results of the other one have a tangent; or their batch axes


def either(a: Mask, b: Mask) -> Mask:
    """What is in one mask or the other."""
    return tuple([x or y for x, y in zip(a, b, strict=True)])


@derived
def jvp_body(body: Program, layout: Layout, nonzero: Mask) -> DerivedBody:
    """The body that also pushes tangents.

    Consts: those of the body, their tangents; carry and xs, and the results, likewise.
    """
    given = layout.operands(nonzero)
    carry, ys = given.carry, (False,) * (len(body.outputs) - layout.carry)
    while True:
        found = jvp_program(body, (*given.consts, *carry, *given.xs), (*carry, *ys))
        live = layout.results(found.nonzero)
        if live.carry == carry:
            break
        carry = either(carry, live.carry)
    given = Operands(given.consts, carry, given.xs)
    program, both = as_body(found.program, body, layout, given)
    return DerivedBody(program, both, found.constants, live)


def as_body(
    program: Program, body: Program, layout: Layout, given: Operands[bool]
) -> tuple[Program, Layout]:
    """A Program that takes more for inputs of a body (those in a mask), and gives more, as a body, and its layout.

    What is more lies behind what is the body's own, and constants behind that.  As a body it takes its consts, those
    that are more, and constants; then the carry, and the rest, likewise.
    """
    inputs, m, n = program.inputs, len(body.outputs), len(body.inputs)
    own, more = layout.operands(inputs[:n]), layout_of(given).operands(inputs[n:])
    xs, extra = more.xs[: sum(given.xs)], more.xs[sum(given.xs) :]
    out = layout.results(program.outputs[:m])
    out_more = layout_of(given).results(program.outputs[m:])
    operands = Operands(own.consts + more.consts + extra, own.carry + more.carry, own.xs + xs)
    outputs = (*out.carry, *out_more.carry, *out.ys, *out_more.ys)
    made = Program(operands.flat, program.eqns, outputs, name=program.name)
    return made, Layout(len(operands.consts), len(operands.carry))


@derived
def batch_body(
    body: Program, layout: Layout, dims: tuple[int | None, ...], size: Dim, axis_name: Any = None
) -> DerivedBody:
    """The body on values with batch axes: those of consts and slices as given, of carried values 0."""
    given = layout.operands(dims)
    mapped = tuple([d is not None for d in given.carry])
    ys = (False,) * (len(body.outputs) - layout.carry)
    while True:
        axes = (*given.consts, *[0 if m else None for m in mapped], *given.xs)
        found = batch_program(body, axes, size, axis_name, (*mapped, *ys))
        live = layout.results(found.dims)
        carried = tuple([d is not None for d in live.carry])
        if carried == mapped:
            break
        mapped = either(mapped, carried)
    n = len(body.inputs)
    inputs = found.program.inputs
    own = layout.operands(inputs[:n])
    operands = Operands(own.consts + inputs[n:], own.carry, own.xs)
    program = replace_inputs(found.program, operands.flat)
    wide = Layout(len(operands.consts), layout.carry)
    return DerivedBody(program, wide, found.constants, live)


@record(eq=False)
class TransposedBody:
    """The body of the backward loop.

    Consts: the known ones, `constants`.  Carry: sums of the cotangents of linear consts (those in `live.consts`),
    cotangents of carried values (those in `live.carry`).  Xs: the known ones, cotangents of stacked results.  Stacked
    results: cotangents of linear xs (those in `live.xs`).
    """

    program: Program
    layout: Layout
    constants: tuple[Any, ...]
    live: Operands[bool]


@derived
def transpose_body(body: Program, layout: Layout, linear: Mask, given: Mask) -> TransposedBody:
    """The transpose of a body whose carried values are all linear; `given` says which cotangents there are.

    What arrives at a large const is added to its sum where that lies.
    """
    mask, cotangents = layout.operands(linear), layout.results(given)
    assert all(mask.carry)
    live, ys = cotangents.carry, cotangents.ys
    linear_layout = Layout(sum(mask.consts), layout.carry)
    consts = layout.operands(body.in_avals).consts
    large = [is_large(a) for a in compress(consts, mask.consts)]
    others = (False,) * (layout.carry + sum(mask.xs))
    while True:
        wanted = (*[False] * len(large), *live, *[False] * sum(mask.xs))
        found = transpose_program(body, linear, (*live, *ys), wanted, (*large, *others))
        backs = linear_layout.operands(found.nonzero)
        if backs.carry == live:
            break
        live = either(live, backs.carry)
    # Its inputs: known consts, known xs, cotangents of the carry and of ys, sums of large consts, constants.
    known = Layout(layout.consts - linear_layout.consts, len(mask.xs) - sum(mask.xs))
    inputs = known.operands(found.program.inputs)
    rest, stop = inputs.xs, sum(live) + sum(ys)
    carry_cts, ys_cts, rest = rest[: sum(live)], rest[sum(live) : stop], rest[stop:]
    added = list(compress(found.summed, found.nonzero))[: sum(backs.consts)]
    into, extra = iter(rest[: sum(added)]), rest[sum(added) :]
    outs = Layout(0, sum(backs.consts)).results(found.program.outputs)
    sums, totals, adds = list[Var](), list[Atom](), list[Eqn]()
    for a, mine in zip(outs.carry, added, strict=True):
        sums.append(next(into) if mine else Var(a.aval))
        totals.append(a if mine else Var(a.aval))
        if not mine:
            adds.append(Eqn(prims.add_any, (sums[-1], a), (totals[-1],), None))  # type: ignore[arg-type]
    operands = Operands(inputs.consts + extra, (*sums, *carry_cts), inputs.carry + ys_cts)
    program = Program(
        operands.flat, (*found.program.eqns, *adds), (*totals, *outs.ys), name=found.program.name
    )
    backward = Layout(len(operands.consts), len(operands.carry))
    return TransposedBody(program, backward, found.constants, backs)


@derived
def repeated_body(body: Program, layout: Layout, steps: int) -> Program:
    """The body of several steps, one after the other: it takes their slices and gives their ys, step by step."""
    own = layout.operands(body.inputs)
    carry: tuple[Atom, ...] = own.carry
    env: dict[Var, Atom] = {v: v for v in (*own.consts, *own.carry)}
    eqns: list[Eqn] = []
    slices: list[Var] = []
    ys: list[Atom] = []
    for _ in range(steps):
        env.update(zip(own.carry, carry, strict=True))
        env.update((v, Var(v.aval)) for v in own.xs)
        slices += [env[v] for v in own.xs]  # type: ignore[misc]
        for eqn in body.eqns:
            outputs = tuple([Var(v.aval) for v in eqn.outputs])
            inputs = tuple([env[a] if isinstance(a, Var) else a for a in eqn.inputs])
            env.update(zip(eqn.outputs, outputs, strict=True))
            eqns.append(Eqn(eqn.primitive, inputs, outputs, eqn.source))
        out = layout.results([env[a] if isinstance(a, Var) else a for a in body.outputs])
        carry = out.carry
        ys += out.ys
    inputs = (*own.consts, *own.carry, *slices)
    return Program(inputs, tuple(eqns), (*carry, *ys), name=body.name)


@derived
def then_condition(body: Program, condition: Program, layout: Layout) -> Program:
    """A step of a `while` with checks, and then the condition, for the state after it.

    Both take a state after consts and carry, and give one after their results.
    """
    own = layout.operands(body.inputs)

    def run(*args: Any) -> list[Any]:
        given = layout.operands(args)
        after = evaluate(body, args)
        state = evaluate(condition, (*given.consts, *after))[1:]
        return [*after[: layout.carry], *state]

    return stage_without_constants(run, [v.aval for v in own.flat], body.name)


@derived
def also_asking(body: Program, condition: Program, layout: Layout) -> tuple[Program, Program]:
    """Condition and body of a loop that takes a truth value behind its consts, and has no step if that is False."""
    (holds,) = condition.outputs
    asked, both = Var(holds.aval), Var(holds.aval)
    given, stepped = layout.operands(condition.inputs), layout.operands(body.inputs)
    eqn = Eqn(prims.and_, (holds, asked), (both,), None)
    inputs, eqns = (*given.consts, asked, *given.carry), (*condition.eqns, eqn)
    return (
        Program(inputs, eqns, (both,), name=condition.name),
        replace_inputs(body, (*stepped.consts, Var(holds.aval), *stepped.carry)),
    )


def dependent_body(body: Program, layout: Layout, on: Sequence[bool]) -> Results[bool]:
    """Which results of a loop depend on the operands in a mask."""
    given = layout.operands(on)
    carry = given.carry
    while True:
        found = layout.results(dependent(body, (*given.consts, *carry, *given.xs)))
        wider = either(carry, found.carry)
        if wider == carry:
            return Results(carry, found.ys)
        carry = wider


def dependent_carry(
    body: Program, condition: Program, layout: Layout, on: Sequence[bool]
) -> Mask | None:
    """Which results of a loop with a condition depend on the operands in a mask; None: all, through the condition."""
    carry = dependent_body(body, layout, on).carry
    test = dependent(condition, (*layout.operands(on).consts, *carry))
    return None if any(test) else carry


@derived
def live_parts(body: Program, layout: Layout, used: Mask) -> tuple[Operands[bool], Results[bool]]:
    """Which inputs and outputs of a body matter, if these results of the loop are used."""
    outputs = layout.results(body.outputs)
    carry = layout.operands(body.inputs).carry
    live = _Live(body, dict(zip(carry, outputs.carry, strict=True)))
    live.need(compress(body.outputs, used))
    live.spread()
    inputs = layout.operands([v in live.found for v in body.inputs])
    gives = layout.results(used)
    carried = either(gives.carry, inputs.carry)
    return Operands(inputs.consts, carried, inputs.xs), Results(carried, gives.ys)


class _Live:
    """What values of a body others need: each equation is looked at after all behind it that read its results.

    Again only if a later step reads more of them.  Round by round, 400 numbers that a loop hands on from one to the
    next were 400 looks at all equations.
    """

    def __init__(self, body: Program, after: Mapping[Var, Atom]):
        self.body, self.after = body, after
        self.makers = {v: n for n, eqn in enumerate(body.eqns) for v in eqn.outputs}
        self.found: set[Atom] = set()
        self.pending = [-n for n, eqn in enumerate(body.eqns) if is_kept(eqn.effects)]
        heapq.heapify(self.pending)

    def need(self, atoms: Iterable[Atom]) -> None:
        """These are read, and what a carried value among them is after the step before."""
        rest = list(atoms)
        while rest:
            a = rest.pop()
            if not isinstance(a, Var) or a in self.found:
                continue
            self.found.add(a)
            if a in self.after:
                rest.append(self.after[a])
            elif a in self.makers:
                heapq.heappush(self.pending, -self.makers[a])

    def spread(self) -> None:
        """To all that what is needed is computed from."""
        while self.pending:
            first = heapq.heappop(self.pending)
            while self.pending and self.pending[0] == first:
                heapq.heappop(self.pending)
            eqn = self.body.eqns[-first]
            used = [v in self.found for v in eqn.outputs]
            left = None if all(used) else eqn.primitive.live(used)
            self.need(eqn.inputs if left is None else compress(eqn.inputs, left[1]))


@derived
def condition_for(condition: Program, layout: Layout, body: Program, wider: Layout) -> Program:
    """The condition for a body with more consts and more carried values, after those that it has."""
    own = layout.operands(condition.inputs)
    theirs = wider.operands(body.in_avals)
    consts = [*own.consts, *map(Var, theirs.consts[len(own.consts) :])]
    carry = [*own.carry, *map(Var, theirs.carry[len(own.carry) :])]
    return replace_inputs(condition, [*consts, *carry])
