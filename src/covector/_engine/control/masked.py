"""Branches of which each element of a batch takes another one: all run, and results are selected, or changed in place.

A result that begins as one operand, the same in all branches, and is changed element by element, need not be selected,
which would copy all of it in each step of a loop: each branch changes it in turn, and where another one is taken, it
writes what is there.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.call import Call
from covector._engine.core.trace import _known, _state, typeof
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var, inline_transparent
from covector._engine.transforms.programs import Mask, batch_program, derived, stage_closed
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

# Selecting from arrays of so many elements costs less than changing single ones of them.
FEW = 64


def each_its_own(
    branches: Sequence[Program],
    index: Any,
    args: Sequence[Any],
    dims: Sequence[int | None],
    size: Dim,
    axis_name: Hashable,
) -> tuple[tuple[Any, ...], list[int | None]]:
    """The results of the branches that the indices say, for operands with these batch axes; all have one in front."""
    origins = _changed_in_place(branches)
    xs, axes = list(args), list(dims)
    for n in origins:
        if n is not None:
            xs[n], axes[n] = prims.batch_to_front(xs[n], axes[n], size), 0
    columns: list[Sequence[Any]] = []
    for i, branch in enumerate(branches):
        mine = prims.eq(index, np.int32(i))
        masked = _masked(branch, tuple([n is not None for n in origins]))
        given = [
            x if d is None or n in origins else _slopes_only_where(mine, x, d)
            for n, (x, d) in enumerate(zip(xs, axes, strict=True))
        ]
        every = (True,) * len(origins)
        where = (0, *axes, *[None] * len(masked.constants))
        found = batch_program(masked.program, where, size, axis_name, every)
        outs = Call(found.program)(mine, *given, *masked.constants, *found.constants)
        for n, out in zip(origins, outs, strict=True):
            if n is not None:
                xs[n] = out
        columns.append(outs)
    chosen = [
        _chosen(index, column) if n is None else xs[n]
        for n, column in zip(origins, zip(*columns, strict=True), strict=True)
    ]
    return tuple(chosen), [0] * len(chosen)


def _slopes_only_where(mask: Any, x: Any, axis: int = 0) -> Any:
    """A value that has a derivative only where a mask along an axis, or of one number, says so.

    Elsewhere a branch gets what is not meant for it: a slope may be infinite there, and 0 times that is NaN.
    """
    if not typeof(x).differentiable():
        return x
    mask = _spread(mask, typeof(x).shape, axis)
    return prims.select(mask, x, prims.stop_gradient(x))


def _spread(mask: Any, shape: Sequence[Dim], axis: int) -> Any:
    """A mask along an axis, or of one number, as one of a shape."""
    own = typeof(mask).ndim
    other = tuple([a for a in range(len(shape)) if not own or a != axis])
    return prims.Broadcast(tuple(shape), other)(mask) if other else mask


def _chosen(index: Any, values: Sequence[Any]) -> Any:
    """The rows of those of the values that the indices say; the batch axis of all is the first."""
    index = _spread(index, typeof(values[0]).shape, 0)
    result = values[0]
    for i, value in enumerate(values[1:], 1):
        result = prims.select(prims.ge(index, np.int32(i)), value, result)
    return result


# ------------------------------------------------------------------------------------------- changes in place


@record(eq=False)
class _Changes:
    """The equations by which results of a branch come from inputs, each of one: `origins` says which, or None."""

    program: Program  # without calls
    eqns: tuple[frozenset[Eqn], ...]
    origins: tuple[int | None, ...]


@derived
def _changes(branch: Program) -> _Changes:
    program = inline_transparent(branch)
    producer = {v: e for e in program.eqns for v in e.outputs}
    inputs = {v: n for n, v in enumerate(program.inputs)}
    eqns, origins = list[frozenset[Eqn]](), list[int | None]()
    for out in program.outputs:
        a, way = out, list[Eqn]()
        while (
            isinstance(a, Var)
            and a in producer
            and isinstance(producer[a].primitive, prims.Setting)
        ):
            way.append(producer[a])
            a = way[-1].inputs[0]
        eqns.append(frozenset(way))
        origins.append(inputs.get(a) if isinstance(a, Var) else None)
    return _Changes(program, tuple(eqns), tuple(origins))


def _changed_in_place(branches: Sequence[Program]) -> list[int | None]:
    """For each result, the operand that it is in all branches, changed in place or not at all, or None."""
    found: list[int | None] = []
    for n, *others in zip(*[_changes(b).origins for b in branches], strict=True):
        same = n is not None and set(others) <= {n} and n not in found
        large = n is not None and _is_large(branches[0].inputs[n].aval)
        found.append(n if same and large else None)
    return found


def _is_large(aval: ShapedArray) -> bool:
    return not (isinstance(aval.size, int) and aval.size <= FEW)


@record(eq=False)
class _Masked:
    """A branch that takes a truth value before its inputs, and constants after them.

    Where it is False, results in the mask stay as they were, and what else it gives has no derivative in them.
    """

    program: Program
    constants: tuple[Any, ...]


@derived
def _masked(branch: Program, kept: Mask) -> _Masked:
    found = _changes(branch)
    program = found.program
    ways = [eqns for eqns, mine in zip(found.eqns, kept, strict=True) if mine]
    changing = frozenset[Eqn]().union(*ways)
    changed = {
        program.inputs[n]
        for n, mine in zip(found.origins, kept, strict=True)
        if mine and n is not None
    }
    changed |= {v for eqn in changing for v in eqn.outputs}

    def run(mask: Any, *args: Any) -> list[Any]:
        env: dict[Atom, Any] = dict(zip(program.inputs, args, strict=True))

        def value(a: Atom) -> Any:
            return _known(a) if isinstance(a, Literal) else env[a]

        before = _state.source
        try:
            for eqn in program.eqns:
                _state.source = eqn.source or before
                xs = list(map(value, eqn.inputs))
                if eqn in changing:
                    out = _where(mask, eqn.primitive, xs)
                else:
                    out = _reading(mask, eqn, xs, [a in changed for a in eqn.inputs])
                outs = out if eqn.primitive.multiple else (out,)
                env.update(zip(eqn.outputs, outs, strict=True))
        finally:
            _state.source = before
        return list(map(value, program.outputs))

    types = [ShapedArray((), np.dtype(np.bool_)), *branch.in_avals]
    return _Masked(*stage_closed(run, types, branch.name))


def _where(mask: Any, p: Any, xs: list[Any]) -> Any:
    """An update that is done if the mask says so."""
    assert isinstance(p, prims.Setting)
    update = xs[p.update]
    nothing = p.nothing(*xs)
    xs[p.update] = prims.select(_spread(mask, typeof(update).shape, 0), update, nothing)
    return p(*xs)


def _reading(mask: Any, eqn: Eqn, xs: list[Any], changed: Sequence[bool]) -> Any:
    """An equation that may read what is changed in place: of slices the slopes are masked, not of all of it."""
    p = eqn.primitive
    if changed[:1] == [True] and isinstance(p, (prims.Gather, prims.DynamicSlice)):
        return _slopes_only_where(mask, p(*xs))
    return p(*[_slopes_only_where(mask, x) if c else x for x, c in zip(xs, changed, strict=True)])
