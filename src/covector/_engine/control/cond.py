"""`Cond`: one of several Programs, chosen by an index, as one operation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.errors import at_user_line
from covector._engine.base.explained import explain
from covector._engine.base.record import record
from covector._engine.control.call import (
    IN_NUMPY,
    added_onto,
    axis_names_of,
    check_types,
    given_ones,
    has_users_batch,
    left,
    merged,
    spread,
)
from covector._engine.control.carry import advance, computed, element_of, hold, indices
from covector._engine.control.flat import Blocks, bytes_kept, has_large_loop
from covector._engine.control.kept import parted_body
from covector._engine.control.loop import Scan
from covector._engine.control.masked import (
    Changing,
    Where,
    changed_in_place,
    each_its_own,
    masked_program,
)
from covector._engine.control.touching import settling
from covector._engine.core.inside import Checking, Interpreter, Widening
from covector._engine.core.primitive import Primitive, Recorder
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import _state, typeof
from covector._engine.ir.builder import (
    Builder,
    Fit,
    Fitting,
    Kept,
    Operand,
    Place,
    Result,
    constant,
)
from covector._engine.ir.effects import is_kept
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
from covector._engine.ir.scalar import Expr
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    batch_program,
    dependent,
    derived,
    jvp_program,
    linearize_program,
    part_of,
    split_program,
    transpose_program,
)
from covector._engine.transforms.widen import wide_program
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim

INDEX = ShapedArray((), np.dtype(np.int32))


@record
class Cond(Changing):
    """The results of the branch with this index.

    Operands: the index, an int32 from 0 to below the number of branches; then what each branch takes.  Only the branch
    that is chosen runs.  For a batch of indices all run, and results are selected.
    """

    branches: tuple[Program, ...]
    name: ClassVar[str] = "cond"
    multiple: ClassVar[bool] = True

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return frozenset[Hashable]().union(*map(axis_names_of, self.branches))

    def text(self) -> str:
        return f"cond[{', '.join([b.name for b in self.branches])}]"

    def programs(self) -> tuple[Program, ...]:
        return self.branches

    def with_programs(self, programs: Sequence[Program]) -> Cond:
        return Cond(tuple(programs))

    def depends(self, on: tuple[bool, ...]) -> Sequence[bool] | None:
        return None if on[0] else _either([dependent(b, on[1:]) for b in self.branches])

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]]:
        """The branches with these results alone, and what those take."""
        takes = _either([inputs_read(part_of(b, tuple(used))) for b in self.branches])
        return (
            Cond(tuple([part_of(b, tuple(used), takes) for b in self.branches])),
            (True, *takes),
            used,
        )

    def parted(
        self, keep: Callable[[Eqn], bool]
    ) -> tuple[Primitive, Primitive, tuple[ShapedArray, ...]] | None:
        """What one branch keeps lies where another one keeps something of the same type."""
        found = [parted_body(b, keep) for b in self.branches]
        slots: Slots = {}
        owned = [_own_slots([v.aval for v in f.kept], slots) for f in found]
        if not slots or not any(f.second.eqns for f in found):
            return None
        n, m = len(self.branches[0].inputs), len(self.branches[0].outputs)
        first = [_with_slots(f.first, m, own, slots) for f, own in zip(found, owned, strict=True)]
        second: list[Program] = []
        for f, own in zip(found, owned, strict=True):
            mine = dict(zip(own, f.kept, strict=True))
            taken = [mine.get(slot) or Var(aval) for (aval, _), slot in slots.items()]
            second.append(replace_inputs(f.second, (*f.second.inputs[:n], *taken)))
        return Cond(tuple(first)), Cond(tuple(second)), tuple([aval for aval, _ in slots])

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """Branches on the index, by halves: each to where the results lie."""
        index, *rest = operands
        places = [x.place for x in rest]
        outputs = [r.place for r in results]
        if index.literal is not None:
            b.program(self.branches[int(index.literal)], places, outputs)
            return
        value = index.at(())
        assert isinstance(value, Expr)
        _by_halves(b, value, self.branches, lambda body: b.program(body, places, outputs))

    def fits_locals(self, fit: Fitting, in_locals: Sequence[bool]) -> Fit | None:
        found = [fit(body, in_locals[1:]) for body in self.branches]
        fits = [f for f in found if f is not None]
        if len(fits) < len(found) or len({f.places for f in fits}) > 1:
            return None
        places = [None if n is None else n + 1 for n in fits[0].places]
        stored = [n for n in places if n is not None]
        changed = frozenset([*stored, *[n + 1 for f in fits for n in f.changed]])
        if len(set(stored)) < len(stored) or len(changed) > len(stored):
            return None
        return Fit(
            tuple(places), changed, sum([f.size for f in fits]), sum([f.memory for f in fits])
        )

    def written(self, b: Builder, operands: Sequence[Kept]) -> list[Kept]:
        """Branches that give locals their values, or change what lies in memory."""
        index, *rest = [computed(b, x) for x in operands]
        held: list[Kept | None] = []
        for aval in self.branches[0].out_avals:
            zero = constant(aval.dtype.type(0), aval.dtype)
            begin = dict.fromkeys(indices(aval), zero) if b.fit.is_tiny(aval) else None
            held.append(None if begin is None else hold(b, begin, aval))
        value = element_of(index, INDEX)(())
        assert isinstance(value, Expr)

        def run(body: Program) -> None:
            values = b.written_out(body, rest)
            for n, x in enumerate(values):
                if isinstance(x, Place):
                    held[n] = x
            advance(b, [h for h in held if h is not None], values)

        _by_halves(b, value, self.branches, run)
        return [h for h in held if h is not None]

    # ------------------------------------------------------------------------------------------------- rules

    def type(self, index: ShapedArray, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        check_types(self.name, "index", [INDEX], [index])
        first = self.branches[0]
        check_types(self.name, "operands", first.in_avals, avals)
        for branch in self.branches[1:]:
            check_types(self.name, "operands of the branches", first.in_avals, branch.in_avals)
            check_types(self.name, "results of the branches", first.out_avals, branch.out_avals)
        return first.out_avals

    def reference(self, index: Any, *xs: Any) -> tuple[Any, ...]:
        return tuple(self.interpreted(IN_NUMPY, index, *xs))

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        return how.run(self.branches[int(how.number(xs[0]))], xs[1:])

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        outs = Cond(tuple(map(how.program, self.branches)))(*xs, *state)
        n = len(self.branches[0].outputs)
        return outs[:n], outs[n:]

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        index, *operands = eqn.inputs
        numbers = tuple([how.wide(a) is not None for a in operands])
        branches, gives = _wide_branches(*_key(self.branches), numbers)
        more = [how.widened(a, eqn.source) for a in compress(operands, numbers)]
        forms = [
            Var(wide) if mine and (wide := v.aval.wide()) is not None else None
            for v, mine in zip(eqn.outputs, gives, strict=True)
        ]
        outputs = *eqn.outputs, *[v for v in forms if v is not None]
        how.record(Eqn(Cond(branches), (index, *operands, *more), outputs, eqn.source))
        return forms

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents[1:]])
        found = _jvp_branches(*_key(self.branches), nonzero)
        outs = Cond(found.branches)(*primals, *given_ones(tangents[1:]), *found.constants)
        n = len(self.branches[0].outputs)
        return outs[:n], tuple(spread(outs[n:], found.live, self.branches[0].out_avals))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents[1:]])
        found = _split_branches(*_key(self.branches), nonzero)
        known = (*primals[1:], *found.constants)
        outs = Cond(found.known)(primals[0], *known)
        pushed: Sequence[Any] = ()
        if any(found.live):
            values = (*known, *outs)
            residuals = [values[i] for i in found.residuals]
            pushed = Cond(found.linear)(primals[0], *residuals, *given_ones(tangents[1:]))
        n = len(self.branches[0].outputs)
        return outs[:n], tuple(spread(pushed, found.live, self.branches[0].out_avals))

    def in_two(
        self, args: Sequence[Any], linear: tuple[bool, ...], record: Recorder
    ) -> Sequence[Any]:
        index, *rest = args
        found = _part_branches(*_key(self.branches), linear[1:])
        known = (*left(rest, linear[1:]), *found.constants)
        outs = Cond(found.known)(index, *known)
        values = (*known, *outs)
        residuals = [values[i] for i in found.residuals]
        given = [index, *residuals, *compress(rest, linear[1:])]
        return merged(outs, record(Cond(found.linear), given), found.live)

    adds_onto: ClassVar[bool] = True

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        return self.transpose_onto((None,) * len(args), ct, *args)

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        index, *args = args  # type: ignore[assignment]
        linear = tuple([isinstance(x, Linear) for x in args])
        given = tuple([not is_zero(c) for c in ct])
        adds, sums = added_onto(sums[1:], linear)
        found = _transpose_branches(*_key(self.branches), linear, given, adds)
        known = [x for x, mine in zip(args, linear, strict=True) if not mine]
        back = Cond(found.branches)
        into = [x for x, live in zip(sums, found.live, strict=True) if live and x is not None]
        outs = settling(back, index, *known, *compress(ct, given), *into, *found.constants)
        types = [x.aval for x in compress(args, linear)]
        backs = spread(outs, found.live, types)
        return [None, *[next(backs) if mine else None for mine in linear]]

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self.batch_named(args, dims, size, None)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        index, axis = args[0], dims[0]
        each = axis is not None  # the index is another one for each element
        together = axis_name in self.axis_names or any(map(has_users_batch, self.branches))
        if each and is_kept(self.effects) and not together:
            return self._one_by_one(args, dims, size)
        if each:
            return each_its_own(self.branches, index, args[1:], dims[1:], size, axis_name)
        found = _batch_branches(*_key(self.branches), tuple(dims[1:]), size, axis_name)
        outs = Cond(found.branches)(index, *args[1:], *found.constants)
        return outs, [0 if mapped else None for mapped in found.live]

    def changed(self) -> Sequence[int | None]:
        return [None if n is None else n + 1 for n in changed_in_place(self.branches)]

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        rest = where.mapped[1:], where.shared[1:], where.tangents[1:]
        inner = Where(where.kept, *rest)
        found = [masked_program(b, inner) for b in self.branches]
        programs, constants = _with_all_constants(
            [f.program for f in found], [f.constants for f in found]
        )
        return Cond(programs)(*xs, mask, *constants)

    def has_large_loop(self) -> bool:
        return any(map(has_large_loop, self.branches))

    def bytes_kept(self, on: Mask) -> int:
        return max([bytes_kept(b, on[1:]) for b in self.branches])

    def in_blocks(self, blocks: Blocks, operands: Sequence[Atom]) -> Sequence[Atom]:
        return blocks.choose(operands[0], self.branches, operands[1:])

    def _one_by_one(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        """A loop over the elements, as only what each of them chooses may have its effects."""
        for n in changed_in_place(self.branches):
            if n is not None and is_large(aval := self.branches[0].in_avals[n]):
                explain("copy")(
                    f"copied for each element, {aval.text()} of {self.name}{at_user_line()}: "
                    "they choose one after the other, as a branch has effects"
                )
        inputs = [Var(INDEX), *map(Var, self.branches[0].in_avals)]
        outputs = tuple(map(Var, self.branches[0].out_avals))
        mapped = [d is not None for d in dims]
        consts = [v for v, m in zip(inputs, mapped, strict=True) if not m]
        eqn = Eqn(self, tuple(inputs), outputs, _state.source)
        body = Program((*consts, *compress(inputs, mapped)), (eqn,), outputs, name="each")
        given = [x for x, m in zip(args, mapped, strict=True) if not m]
        xs = [prims.move_axis(x, d, 0) for x, d in zip(args, dims, strict=True) if d is not None]
        return Scan(body, size, False, len(consts), 0)(*given, *xs), [0] * len(outputs)


def _by_halves(
    b: Builder, index: Expr, branches: Sequence[Program], run: Callable[[Program], None]
) -> None:
    """What `run` builds for each branch, under tests of the index, which halve the branches each time."""

    def within(low: int, high: int) -> None:
        if high - low == 1:
            run(branches[low])
            return
        middle = (low + high) // 2
        with b.if_(index < middle):
            within(low, middle)
        with b.else_():
            within(middle, high)

    within(0, len(branches))


# ------------------------------------------------------------------------------------------- derived branches


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


def _key(branches: Sequence[Program]) -> tuple[Program, Rest]:
    first, *rest = branches
    return first, tuple([None if b is first else b for b in rest])


def _all(first: Program, rest: Rest) -> list[Program]:
    return [first, *[first if b is None else b for b in rest]]


def _either(masks: Sequence[Mask]) -> Mask:
    return tuple([any(column) for column in zip(*masks, strict=True)])


def _with_all_constants(
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
def _wide_branches(first: Program, rest: Rest, numbers: Mask) -> tuple[tuple[Program, ...], Mask]:
    """Branches that also take operands in 64 bits, those in the mask; and which results they give in these too."""
    branches = _all(first, rest)
    asked = tuple([a.wide() is not None for a in first.out_avals])
    gives = _either([wide_program(b, numbers, asked).gives for b in branches])
    return tuple([wide_program(b, numbers, asked, gives).program for b in branches]), gives


@derived
def _jvp_branches(first: Program, rest: Rest, nonzero: Mask) -> DerivedBranches:
    """Branches that also push tangents of the operands in the mask."""
    branches = _all(first, rest)
    live = _either([jvp_program(b, nonzero).nonzero for b in branches])
    found = [jvp_program(b, nonzero, live) for b in branches]
    programs, constants = _with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def _transpose_branches(
    first: Program, rest: Rest, linear: Mask, given: Mask, sums: Mask
) -> DerivedBranches:
    """Branches from the known operands, the cotangents in the mask and sums to cotangents of the linear operands."""
    branches = _all(first, rest)
    live = _either([transpose_program(b, linear, given, (), sums).nonzero for b in branches])
    found = [transpose_program(b, linear, given, live, sums) for b in branches]
    programs, constants = _with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def _batch_branches(
    first: Program, rest: Rest, dims: tuple[int | None, ...], size: Dim, axis_name: Any
) -> DerivedBranches:
    """Branches on operands with these batch axes; results that have one have it in front."""
    branches = _all(first, rest)
    axes = [batch_program(b, dims, size, axis_name).dims for b in branches]
    live = _either([tuple([d is not None for d in found]) for found in axes])
    found = [batch_program(b, dims, size, axis_name, live) for b in branches]
    programs, constants = _with_all_constants(
        [f.program for f in found], [f.constants for f in found]
    )
    return DerivedBranches(programs, constants, live)


@derived
def _split_branches(first: Program, rest: Rest, nonzero: Mask) -> SplitBranches:
    """Branches split into what is known and what is linear in the tangents of the operands in the mask."""
    branches = _all(first, rest)
    live = _either([linearize_program(b, nonzero).nonzero for b in branches])
    found = [linearize_program(b, nonzero, live) for b in branches]
    return _in_slots(found, len(first.inputs), len(first.outputs), live)


@derived
def _part_branches(first: Program, rest: Rest, linear: Mask) -> SplitBranches:
    """Branches that are linear in the operands in the mask, split into what does not depend on these, and the rest."""
    branches = _all(first, rest)
    live = _either([split_program(b, linear).nonzero for b in branches])
    found = [split_program(b, linear, live) for b in branches]
    return _in_slots(found, linear.count(False), live.count(False), live)


def _in_slots(found: Sequence[SplitProgram], n: int, m: int, live: Mask) -> SplitBranches:
    """The same of split Programs, of n known inputs and m known outputs."""
    slots: Slots = {}
    owned = [_own_slots([a.aval for a in f.known.outputs[m:]], slots) for f in found]
    known, constants = _with_all_constants(
        [_with_slots(f.known, m, own, slots) for f, own in zip(found, owned, strict=True)],
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
    read = _either([inputs_read(p)[: len(types)] for p in linear])
    kept = [replace_inputs(p, [*compress(p.inputs, read), *p.inputs[len(types) :]]) for p in linear]
    residuals = tuple([i for i, mine in enumerate(read) if mine])
    return SplitBranches(known, constants, tuple(kept), residuals, live)


# Places for what branches store: the how-manieth of a type each is.
Slots = dict[tuple[ShapedArray, int], int]


def _own_slots(stored: Sequence[ShapedArray], slots: Slots) -> list[int]:
    """Where the values that a branch stores lie: the first of a type where others have their first of it."""
    counts: dict[ShapedArray, int] = {}
    own: list[int] = []
    for aval in stored:
        counts[aval] = counts.get(aval, 0) + 1
        own.append(slots.setdefault((aval, counts[aval]), len(slots)))
    return own


def _with_slots(known: Program, results: int, own: Sequence[int], slots: Slots) -> Program:
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
