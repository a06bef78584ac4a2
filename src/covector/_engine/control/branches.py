"""Programs derived from the branches of a choice, all with the same inputs and outputs again."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Var,
    inputs_read,
    renamed,
    replace_inputs,
)
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    batch_program,
    derived,
    jvp_program,
    linearize_program,
    split_program,
    transpose_program,
)
from covector._engine.transforms.widen import wide_program
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


@record(eq=False)
class DerivedBranches:
    """Branches made from others: they take what those take and more, then `constants`.

    `live`: which results of the others have a tangent, which linear operands a cotangent, which results a batch axis.
    """

    branches: tuple[Program, ...]
    constants: tuple[Any, ...]
    live: Mask


@record(eq=False)
class SplitBranches:
    """Branches in two: what is known, which also gives residuals, and what is linear.

    A residual of one branch lies where another one has another residual of the same type.
    """

    known: tuple[Program, ...]
    constants: tuple[Any, ...]
    linear: tuple[Program, ...]
    residuals: tuple[
        int, ...
    ]  # where `linear` has its first operands from: [operands, results] of `known`
    live: Mask  # which results have a tangent


# What is derived is kept with the first branch; it must not be kept alive by itself.
Rest = tuple[Program | None, ...]


def branches_key(branches: Sequence[Program]) -> tuple[Program, Rest]:
    """The branches as what is derived from them is kept by."""
    first, *rest = branches
    return first, tuple([None if b is first else b for b in rest])


def all_branches(first: Program, rest: Rest) -> list[Program]:
    """The branches of such a key."""
    return [first, *[first if b is None else b for b in rest]]


def either(masks: Sequence[Mask]) -> Mask:
    """Where any of the masks holds."""
    return tuple([any(column) for column in zip(*masks, strict=True)])


def with_all_constants(
    programs: Sequence[Program], constants: Sequence[tuple[Any, ...]]
) -> tuple[tuple[Program, ...], tuple[Any, ...]]:
    """The Programs with the constants of all at the end of each one's inputs, and these."""
    some = [(n, values) for n, values in enumerate(constants) if values]
    if not some:
        return tuple(programs), ()
    result: list[Program] = []
    for k, program in enumerate(programs):
        own = len(program.inputs) - len(constants[k])
        inputs = [*program.inputs[:own]]
        for n, values in some:
            inputs += program.inputs[own:] if n == k else [Var(typeof(x)) for x in values]
        result.append(replace_inputs(program, inputs))
    return tuple(result), tuple([x for values in constants for x in values])


@derived
def wide_branches(first: Program, rest: Rest, numbers: Mask) -> tuple[tuple[Program, ...], Mask]:
    """Branches that also take operands in 64 bits, those in the mask; and which results they give in these too."""
    branches = all_branches(first, rest)
    asked = tuple([a.wide() is not None for a in first.out_avals])
    gives = either([wide_program(b, numbers, asked).gives for b in branches])
    return tuple([wide_program(b, numbers, asked, gives).program for b in branches]), gives


@derived
def jvp_branches(first: Program, rest: Rest, nonzero: Mask) -> DerivedBranches:
    """Branches that also push tangents of the operands in the mask."""
    branches = all_branches(first, rest)
    live = either([jvp_program(b, nonzero).nonzero for b in branches])
    found = [jvp_program(b, nonzero, live) for b in branches]
    programs, constants = with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def transpose_branches(
    first: Program, rest: Rest, linear: Mask, given: Mask, sums: Mask
) -> DerivedBranches:
    """Branches from the known operands, the cotangents in the mask and sums to cotangents of the linear operands."""
    branches = all_branches(first, rest)
    live = either([transpose_program(b, linear, given, (), sums).nonzero for b in branches])
    found = [transpose_program(b, linear, given, live, sums) for b in branches]
    programs, constants = with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def batch_branches(
    first: Program, rest: Rest, dims: tuple[int | None, ...], size: Dim, axis_name: Any
) -> DerivedBranches:
    """Branches on operands with these batch axes; results that have one have it in front."""
    branches = all_branches(first, rest)
    axes = [batch_program(b, dims, size, axis_name).dims for b in branches]
    live = either([tuple([d is not None for d in found]) for found in axes])
    found = [batch_program(b, dims, size, axis_name, live) for b in branches]
    programs, constants = with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def split_branches(first: Program, rest: Rest, nonzero: Mask) -> SplitBranches:
    """Branches split into what is known and what is linear in the tangents of the operands in the mask."""
    branches = all_branches(first, rest)
    live = either([linearize_program(b, nonzero).nonzero for b in branches])
    found = [linearize_program(b, nonzero, live) for b in branches]
    return in_slots(found, len(first.inputs), len(first.outputs), live)


@derived
def part_branches(first: Program, rest: Rest, linear: Mask) -> SplitBranches:
    """Branches that are linear in the operands in the mask, split into what does not depend on these, and the rest."""
    branches = all_branches(first, rest)
    live = either([split_program(b, linear).nonzero for b in branches])
    found = [split_program(b, linear, live) for b in branches]
    return in_slots(found, linear.count(False), live.count(False), live)


def in_slots(found: Sequence[SplitProgram], n: int, m: int, live: Mask) -> SplitBranches:
    """The same of split Programs, of n known inputs and m known outputs."""
    found = [_bundled(split, m) for split in found]
    slots: Slots = {}
    owned = [own_slots([a.aval for a in f.known.outputs[m:]], slots) for f in found]
    known, constants = with_all_constants(
        [with_slots(f.known, m, own, slots) for f, own in zip(found, owned, strict=True)],
        [f.constants for f in found],
    )
    stop = n + len(constants)
    types = [*known[0].in_avals, *known[0].out_avals[:m], *[aval for aval, _ in slots]]
    linear: list[Program] = []
    before = n
    for split, own in zip(found, owned, strict=True):
        shared = [Var(aval) for aval in types]
        mine = [*range(n), *range(before, before + len(split.constants)), *range(stop, stop + m)]
        places = [*mine, *[stop + m + slot for slot in own]]
        count = len(split.residuals)
        names: Mapping[Atom, Atom] = {
            v: shared[places[i]]
            for v, i in zip(split.linear.inputs[:count], split.residuals, strict=True)
        }
        linear.append(renamed(split.linear, names, [*shared, *split.linear.inputs[count:]]))
        before += len(split.constants)
    read = either([inputs_read(p)[: len(types)] for p in linear])
    kept = [replace_inputs(p, [*compress(p.inputs, read), *p.inputs[len(types) :]]) for p in linear]
    residuals = tuple([i for i, mine in enumerate(read) if mine])
    return SplitBranches(known, constants, tuple(kept), residuals, live)


# So many residuals of one type that come out of what is in a branch are rows of one array,
BUNDLE = 16
# where there are as many such arrays,
BUNDLES = 4
# of no more elements each.
LARGEST_BUNDLE = 4096


def _bundled(split: SplitProgram, m: int) -> SplitProgram:
    """The same, of m known outputs, where many residuals of choices inside are rows of few arrays.

    Each level of a nest hands on those of all levels in it: one by one, code grew with the square of the depth.
    """
    known, linear = split.known, split.linear
    handed_on = {v for e in known.eqns if e.primitive.programs() for v in e.outputs}
    alike: dict[ShapedArray, list[Atom]] = {}
    for a in known.outputs[m:]:
        size = a.aval.size
        if a in handed_on and isinstance(size, int) and size * BUNDLE <= LARGEST_BUNDLE:
            alike.setdefault(a.aval, []).append(a)
    bundles = [
        group[k : k + BUNDLE]
        for group in alike.values()
        if len(group) >= BUNDLE * BUNDLES
        for k in range(0, len(group) - BUNDLE + 1, BUNDLE)
    ]
    if not bundles:
        return split
    count = len(split.residuals)
    values = (*known.inputs, *known.outputs)
    taken = [values[i] for i in split.residuals]
    within = {a: (n, k) for n, rows in enumerate(bundles) for k, a in enumerate(rows)}
    packing, made = zip(*[_rows_of(rows) for rows in bundles], strict=True)
    given = [Var(a.aval) for a in made]
    left = [(v, a) for v, a in zip(linear.inputs, taken, strict=False) if a not in within]
    eqns = list(itertools.chain(*packing))
    outputs = (*known.outputs[:m], *[a for a in known.outputs[m:] if a not in within], *made)
    known = Program(known.inputs, (*known.eqns, *eqns), outputs, name=known.name)
    places = {a: i for i, a in reversed([*enumerate((*known.inputs, *outputs))])}
    eqns = [
        eqn
        for v, a in zip(linear.inputs, taken, strict=False)
        if a in within
        for eqn in _row(given[within[a][0]], within[a][1], v)
    ]
    inputs = (*[v for v, _ in left], *given, *linear.inputs[count:])
    linear = Program(inputs, (*eqns, *linear.eqns), linear.outputs, name=linear.name)
    where = tuple([places[a] for a in (*[a for _, a in left], *made)])
    return SplitProgram(known, split.constants, linear, where, split.nonzero)


def _rows_of(values: Sequence[Atom]) -> tuple[list[Eqn], Var]:
    """How values of one type become the rows of an array, and this."""
    row = prims.Reshape((1, *values[0].aval.shape))
    rows = [Var(row.type(a.aval)) for a in values]
    eqns = [Eqn(row, (a,), (v,), None) for a, v in zip(values, rows, strict=True)]
    joined = prims.Concatenate(0)
    array = Var(joined.type(*[v.aval for v in rows]))
    return [*eqns, Eqn(joined, tuple(rows), (array,), None)], array


def _row(array: Var, k: int, value: Var) -> list[Eqn]:
    """How a value is a row of an array."""
    shape = value.aval.shape
    cut = prims.Slice((k, *[0] * len(shape)), (k + 1, *shape), (1,) * (1 + len(shape)))
    row = Var(cut.type(array.aval))
    return [Eqn(cut, (array,), (row,), None), Eqn(prims.Reshape(shape), (row,), (value,), None)]


# Places for what branches store: the how-manieth of a type each is.
Slots = dict[tuple[ShapedArray, int], int]


def own_slots(stored: Sequence[ShapedArray], slots: Slots) -> list[int]:
    """Where the values that a branch stores lie: the first of a type where others have their first of it."""
    counts: dict[ShapedArray, int] = {}
    own: list[int] = []
    for aval in stored:
        counts[aval] = counts.get(aval, 0) + 1
        own.append(slots.setdefault((aval, counts[aval]), len(slots)))
    return own


def with_slots(known: Program, results: int, own: Sequence[int], slots: Slots) -> Program:
    """A branch, which gives something for all that any of them stores: zeros for what it has not."""
    stored = dict(zip(own, known.outputs[results:], strict=True))
    eqns, outputs = list(known.eqns), list(known.outputs[:results])
    for (aval, _), slot in slots.items():
        if slot not in stored:
            zero = Literal(aval.dtype.type(0), aval.with_shape(()))
            stored[slot] = zero
            if aval.shape:
                stored[slot] = made = Var(aval)
                fill = prims.Broadcast(aval.shape, tuple(range(aval.ndim)))
                eqns.append(Eqn(fill, (zero,), (made,), None))
        outputs.append(stored[slot])
    return Program(known.inputs, tuple(eqns), tuple(outputs), name=known.name)
