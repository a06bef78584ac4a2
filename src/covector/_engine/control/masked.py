"""Branches of which each element of a batch takes another one: all run, and results are selected, or changed in place.

A result that begins as one operand, the same in all branches, and is changed element by element, need not be selected,
which would copy all of it in each step of a loop: each branch changes it in turn, and where another one is taken, it
writes what is there.  So do the choices and loops inside of a branch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.errors import user_source
from covector._engine.base.explained import explain, is_asked
from covector._engine.base.record import record
from covector._engine.control.call import Call, axis_names_of
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import _known, _state, axis_size, evaluate, typeof
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Var,
    inline_transparent,
    replace_inputs,
)
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.programs import (
    Mask,
    batch_program,
    dependents,
    derived,
    stage_closed,
    stage_without_constants,
)
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray, is_large
from covector._engine.types.dims import Dim


def each_its_own(
    branches: Sequence[Program],
    index: Any,
    args: Sequence[Any],
    dims: Sequence[int | None],
    how: Batching,
    together: bool,
) -> tuple[tuple[Any, ...], list[int | None]]:
    """The results of the branches that the indices say, for operands with these batch axes; all have one in front.

    `together`: a branch asks all elements for something, here or of an axis around: they answer as if each had taken
    it, and so their slopes are those of answers too.
    """
    origins = [None] * len(branches[0].outputs) if together else _worth_changing(branches)
    xs, axes = list(args), list(dims)
    if is_asked("copy"):
        _explain_what_is_selected(branches, origins, together)
    for n in origins:
        if n is not None:
            xs[n], axes[n] = prims.batch_to_front(xs[n], axes[n], how.size), 0
    where = Where(
        tuple([n is not None for n in origins]),
        tuple([d is not None for d in axes]),
        tuple([n in origins for n, _ in enumerate(xs)]),
    )
    columns: list[Sequence[Any]] = []
    for i, branch in enumerate(branches):
        mine = prims.eq(index, np.int32(i))
        masked = as_it_is(branch) if together else masked_program(branch, where)
        given = [
            x if d is None or together or n in origins else slopes_only_where(mine, x, d)
            for n, (x, d) in enumerate(zip(xs, axes, strict=True))
        ]
        every = (True,) * len(origins)
        at = (*axes, 0, *[None] * len(masked.constants))
        found = batch_program(masked.program, at, how.size, how.axis_name, every)
        outs = Call(found.program)(*given, mine, *masked.constants, *found.constants)
        for n, out in zip(origins, outs, strict=True):
            if n is not None:
                xs[n] = out
        columns.append(outs)
    results = [
        chosen(index, column) if n is None else xs[n]
        for n, column in zip(origins, zip(*columns, strict=True), strict=True)
    ]
    return tuple(results), [0] * len(results)


def _explain_what_is_selected(
    branches: Sequence[Program], origins: Sequence[int | None], together: bool
) -> None:
    """Of arrays that some branch changes in place: why all of each is selected."""
    found = [_changes(b) for b in branches]
    for k, (n, aval) in enumerate(zip(origins, branches[0].out_avals, strict=True)):
        if n is not None or not is_large(aval) or not any(c.ways[k] for c in found):
            continue
        anew = [c.ends[k] for c in found if c.origins[k] is None]
        if together:
            reason = "a branch asks all elements for something"
        elif anew:
            reason = f"a branch makes it anew{anew[0]}"
        elif len({c.origins[k] for c in found}) > 1:
            reason = "branches change other operands"
        else:
            reason = "another result is the same operand"
        line = _state.source or user_source()
        what = f"{aval.text()} of a choice for each element{f' (at {line})' if line else ''}"
        explain("copy")(f"selected as a whole, result {k}, {what}: {reason}")


def slopes_only_where(mask: Any, x: Any, axis: int = 0) -> Any:
    """A value that has a derivative only where a mask along an axis, or of one number, says so.

    Elsewhere a branch gets what is not meant for it: a slope may be infinite there, and 0 times that is NaN.
    """
    if not typeof(x).differentiable():
        return x
    mask = _spread(mask, typeof(x).shape, axis)
    return prims.select(mask, x, prims.stop_gradient(x))


def only_where(mask: Any, x: Any, other: Any) -> Any:
    """A value where a truth value holds, another one elsewhere."""
    return prims.select(_spread(mask, typeof(x).shape, 0), x, other)


def _spread(mask: Any, shape: Sequence[Dim], axis: int) -> Any:
    """A mask along an axis, or of one number, as one of a shape."""
    own = typeof(mask).ndim
    other = tuple([a for a in range(len(shape)) if not own or a != axis])
    return prims.Broadcast(tuple(shape), other)(mask) if other else mask


def chosen(index: Any, values: Sequence[Any]) -> Any:
    """The rows of those of the values that the indices say; the batch axis of all is the first.

    By halves, so that few values wait for others: of 400 one after the other LLVM took 320 ms to find registers,
    and 110 so.
    """
    index = _spread(index, typeof(values[0]).shape, 0)

    def among(low: int, high: int) -> Any:
        if high - low == 1:
            return values[low]
        middle = (low + high) // 2
        below = prims.lt(index, np.int32(middle))
        return prims.select(below, among(low, middle), among(middle, high))

    return among(0, len(values))


def of_any(truth: Any, names: Iterable[Hashable]) -> Any:
    """Whether a truth value holds for any element along named axes: an int32, 0 or 1."""
    found = prims.convert(truth, dtypes.int32)
    for name in sorted(names, key=str):
        found = prims.AllReduce(name, "max", axis_size(name))(found)
    return found


@derived
def steps_for_all(body: Program, condition: Program) -> tuple[Program, Program]:
    """Condition and body of the loop that runs until no element along the named axes goes on."""
    names = axis_names_of(condition) | axis_names_of(body)
    k = len(body.inputs) - len(body.outputs)

    def holds(*xs: Any) -> list[Any]:
        return [prims.ne(of_any(evaluate(condition, xs)[0], names), np.int32(0))]

    def step(*xs: Any) -> list[Any]:
        index = prims.convert(evaluate(condition, xs)[0], dtypes.int32)
        ends = zip(xs[k:], evaluate(body, xs), strict=True)
        return [chosen(index, pair) for pair in ends]

    types = body.in_avals
    return (
        stage_without_constants(holds, types, condition.name),
        stage_without_constants(step, types, body.name),
    )


# ------------------------------------------------------------------------------------------- changes in place


@record
class Where:
    """What is to be known of a branch that does what it does only where a truth value holds."""

    kept: Mask  # results that are the input that they come from where it does not hold
    mapped: Mask  # inputs that differ from element to element
    shared: Mask  # inputs that are changed in place, here or around: others see them too
    tangents: Mask = ()  # inputs that are tangents, of a rule of the user's: what is read of them is 0 elsewhere


class Changing(Primitive):
    """A family: what holds Programs, and by them may change operands in place, as an update does."""

    may_not_end: ClassVar[bool] = False  # on operands that are not meant for it

    def changed(self) -> Sequence[int | None]:
        """For each result, the operand that it is, changed in place or not at all, or None."""
        raise self._missing("changed")

    def masked(self, mask: Any, where: Where, xs: Sequence[Any]) -> Sequence[Any]:
        """The results where a truth value holds; elsewhere those kept are as they were, and no loop of its own runs."""
        raise self._missing("masked")

    def has_large_loop(self) -> bool:
        """Whether it is, or holds, a loop of unknown length that takes large arrays, and `in_blocks` takes it apart."""
        return False

    def bytes_kept(self, on: Mask) -> int:
        """How much such a loop keeps for its gradient of large arrays that depend on these operands."""
        raise self._missing("bytes_kept")

    def bytes_kept_inside(self) -> int:
        """How much such loops in it keep of large arrays that change from step to step of its own."""
        raise self._missing("bytes_kept_inside")

    def batch_together(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim
    ) -> tuple[Any, Any]:
        """As `batch`, all elements of a batch step by step."""
        raise self._missing("batch_together")

    def in_blocks(self, blocks: Any, operands: Sequence[Atom]) -> Sequence[Atom]:
        """The results, by blocks of straight code (`flat.Blocks`)."""
        raise self._missing("in_blocks")


# An equation, and which of its results.
Change = tuple[Eqn, int]


@record(eq=False)
class _Changes:
    """The changes by which results of a branch come from inputs, each of one: `origins` says which, or None."""

    program: Program  # without calls
    ways: tuple[tuple[Change, ...], ...]
    origins: tuple[int | None, ...]
    ends: tuple[str, ...]  # of what comes from no input: by what it is made, and where


@derived
def _changes(branch: Program) -> _Changes:
    program = inline_transparent(branch, Changing)
    producer = {v: (e, n) for e in program.eqns for n, v in enumerate(e.outputs)}
    inputs = {v: n for n, v in enumerate(program.inputs)}
    ways, origins, ends = list[tuple[Change, ...]](), list[int | None](), list[str]()
    for out in program.outputs:
        a, way = out, list[Change]()
        while isinstance(a, Var) and a in producer:
            eqn, n = producer[a]
            origin = origin_of(eqn, n)
            if origin is None:
                break
            way.append((eqn, n))
            a = eqn.inputs[origin]
        ways.append(tuple(way))
        origins.append(inputs.get(a) if isinstance(a, Var) else None)
        made = producer[a][0] if isinstance(a, Var) and a in producer else None
        at = f" (at {made.source})" if made and made.source else ""
        ends.append("" if made is None else f", by {made.primitive.name}{at}")
    return _Changes(program, tuple(ways), tuple(origins), tuple(ends))


def origin_of(eqn: Eqn, result: int) -> int | None:
    """The operand that a result is, changed in place, or None."""
    p = eqn.primitive
    if isinstance(p, Changing):
        return p.changed()[result]
    if p.passes_on:
        return result
    return 0 if isinstance(p, prims.Setting) and p.may_leave(eqn.outputs[0].aval) else None


def changing(program: Program) -> set[Atom]:
    """The large values that are changed in place on the way from an input to a result."""
    producer = {v: (e, n) for e in program.eqns for n, v in enumerate(e.outputs)}
    found: set[Atom] = set()
    for out in program.outputs:
        a, way = out, list[Atom]()
        while isinstance(a, Var) and a in producer and is_large(a.aval):
            eqn, n = producer[a]
            origin = origin_of(eqn, n)
            if origin is None:
                break
            a = eqn.inputs[origin]
            way.append(a)
        if a in program.inputs:
            found.update(way)
    return found


def changed_in_place(branches: Sequence[Program]) -> list[int | None]:
    """For each result, the input that it is in all branches, changed in place or not at all, or None."""
    found: list[int | None] = []
    for n, *others in zip(*[_changes(b).origins for b in branches], strict=True):
        found.append(n if n is not None and set(others) <= {n} and n not in found else None)
    return found


def changed_in_most(branches: Sequence[Program]) -> list[int | None]:
    """For each large result, the input that it is in most of the branches that do not make it anew, or None."""
    found: list[int | None] = []
    columns = zip(*[_changes(b).origins for b in branches], strict=True)
    for aval, column in zip(branches[0].out_avals, columns, strict=True):
        counts = Counter([n for n in column if n is not None and n not in found])
        found.append(max(counts, key=counts.__getitem__) if counts and is_large(aval) else None)
    return found


def carried_in_place(body: Program, first: int, carry: int) -> list[int | None]:
    """The same of a loop, which hands results on to its inputs from the first one on, so many."""
    origins = changed_in_place([body])[:carry]
    return [n if n == first + k else None for k, n in enumerate(origins)]


def _worth_changing(branches: Sequence[Program]) -> list[int | None]:
    """The same of large ones: to select from all of a small one costs less."""
    types = branches[0].in_avals
    found = changed_in_place(branches)
    return [n if n is not None and is_large(types[n]) else None for n in found]


@record(eq=False)
class Masked:
    """A branch that takes a truth value after its inputs, and then constants.

    Where it is False, results that are kept stay as they were, what else it gives has no derivative in what is shared,
    and loops that may end at another time than those of other elements have no step.
    """

    program: Program
    constants: tuple[Any, ...]


@derived
def as_it_is(branch: Program) -> Masked:
    """A branch that does not look at the truth value."""
    mask = Var(ShapedArray((), np.dtype(np.bool_)))
    return Masked(replace_inputs(branch, (*branch.inputs, mask)), ())


@derived
def _may_not_end(program: Program) -> bool:
    """Whether a loop is in it that must have no step where its operands are not meant for it."""
    found = [e.primitive for p in program.within() for e in p.eqns]
    return any(isinstance(p, Changing) and p.may_not_end for p in found)


@derived
def masked_program(branch: Program, where: Where) -> Masked:
    """A branch that does what it does only if it is told so."""
    if not any(where.kept) and not any(where.shared) and not _may_not_end(branch):
        return as_it_is(
            branch
        )  # else each of those inside of each other would be written anew for all around
    found = _changes(branch)
    program = found.program
    changing: dict[Eqn, set[int]] = {}
    shared: set[Atom] = set(compress(program.inputs, where.shared))
    for way in compress(found.ways, where.kept):
        for eqn, n in way:
            changing.setdefault(eqn, set()).add(n)
            shared.add(eqn.outputs[n])
    mapped = dependents(program, where.mapped)
    pushed = dependents(program, where.tangents) if any(where.tangents) else set[Atom]()

    def run(*args: Any) -> list[Any]:
        *values, mask = args
        env: dict[Atom, Any] = dict(zip(program.inputs, values, strict=True))

        def value(a: Atom) -> Any:
            return _known(a) if isinstance(a, Literal) else env[a]

        before = _state.source
        try:
            for eqn in program.eqns:
                _state.source = eqn.source or before
                own = changing.get(eqn, set[int]())
                inner = Where(
                    tuple([n in own for n, _ in enumerate(eqn.outputs)]),
                    tuple([a in mapped for a in eqn.inputs]),
                    tuple([a in shared for a in eqn.inputs]),
                    tuple([a in pushed for a in eqn.inputs]) if pushed else (),
                )
                out = _masked(mask, eqn.primitive, inner, list(map(value, eqn.inputs)))
                outs = out if eqn.primitive.multiple else (out,)
                env.update(zip(eqn.outputs, outs, strict=True))
        finally:
            _state.source = before
        return list(map(value, program.outputs))

    types = [*branch.in_avals, ShapedArray((), np.dtype(np.bool_))]
    return Masked(*stage_closed(run, types, branch.name))


def _masked(mask: Any, p: Primitive, where: Where, xs: list[Any]) -> Any:
    """What an operation gives where the mask holds."""
    if isinstance(p, Changing):
        return p.masked(mask, where, xs) if any(where.mapped) else p(*xs)
    if p.passes_on:
        return p(*xs)
    if any(where.kept):
        assert isinstance(p, prims.Setting)
        update = xs[p.update]
        spread = _spread(mask, typeof(update).shape, 0)
        xs[p.update] = prims.select(spread, update, p.nothing(*xs))
        return p(*xs)
    if where.shared[:1] == (True,) and isinstance(p, (prims.Gather, prims.DynamicSlice)):
        # Of the slice, not of all that it is one of.
        return _read(mask, p(*xs), where.tangents[:1] == (True,))
    reads = zip(xs, where.shared, where.tangents or (False,) * len(xs), strict=True)
    return p(*[_read(mask, x, pushed) if mine else x for x, mine, pushed in reads])


def _read(mask: Any, x: Any, pushed: bool) -> Any:
    """What is read of something shared, which is a tangent, or not."""
    if not pushed:
        return slopes_only_where(mask, x)
    return only_where(mask, x, prims.zeros(typeof(x)))
