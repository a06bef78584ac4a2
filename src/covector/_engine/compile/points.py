"""Programs that are computed point by point: the element of what is carried at a point depends on no other point.

A loop over such a Program may stand inside the loops over the points.  Then what is carried is in registers for all
steps, and the points run on lanes and threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.backends.base import Target
from covector._engine.compile.elements import Elements
from covector._engine.compile.places import Places, Where, own_index
from covector._engine.core.families import Mapped
from covector._engine.ir import builder
from covector._engine.ir.builder import AllElements, Index, Place, Points
from covector._engine.ir.program import Literal, Program, Var, seen_through
from covector._engine.ir.scalar import Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim


def points_of(program: Program, carried: Sequence[bool], target: Target) -> Points | None:
    """The points of a loop's body; None if it is not computed point by point, or had better not be.

    The first results are what is carried next; numbers may be carried beside the arrays.
    """
    program = seen_through(program)
    held = [v for v, mine in zip(program.inputs, carried, strict=True) if mine]
    shapes = {v.aval.shape for v in held if v.aval.shape}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    size = dims.product(shape)
    if not isinstance(size, int) or size < target.loops.short:
        return None
    if not all(isinstance(e.primitive, Mapped) and not e.effects for e in program.eqns):
        return None
    if any(len(e.outputs) != 1 for e in program.eqns):
        return None
    if not _at_own_place(program, set(held), target):
        return None
    return Points(shape, _together(program, held, shape, target))


def _at_own_place(program: Program, held: set[Var], target: Target) -> bool:
    """Whether each element of the results reads what is held at its own index only."""
    places = Places(program, target.limits)
    wanted: dict[Var, set[Where]] = {}
    for a in program.outputs:
        if isinstance(a, Var):
            wanted.setdefault(a, set()).add((own_index(a.aval.shape), None))
    for eqn in reversed(program.eqns):
        (v,) = eqn.outputs
        found = wanted.pop(v, set())
        if len(found) > 1:
            return False  # it would be computed several times
        for place in found:
            for a, below in places.below(eqn, place):
                wanted.setdefault(a, set()).add(below)
    return all(index == own_index(v.aval.shape) for v in held for index, _ in wanted.get(v, ()))


def _together(program: Program, held: Sequence[Var], shape: Sequence[Dim], target: Target) -> int:
    """How many vectors of points go through the steps side by side, so that none waits for its own last step."""
    types = [dtypes.real_of(v.aval.dtype) for v in held]
    lanes = min(map(target.lanes, types))
    room = max(int(n) for n in shape) // lanes  # type: ignore[call-overload]
    together = target.loops.unroll
    while together > 1 and (together > room or together * len(program.eqns) > target.limits.body):
        together //= 2
    return together


def at_points(
    program: Program,
    inputs: Sequence[Place | AllElements],
    points: Sequence[Index],
) -> list[AllElements]:
    """The elements of the results at these points, where each input lies at a place or is these elements."""
    program = seen_through(program)
    places = {v: x for v, x in zip(program.inputs, inputs, strict=True) if isinstance(x, Place)}
    elements = Elements({v: e for e in program.eqns for v in e.outputs}, places.get)
    for v, x in zip(program.inputs, inputs, strict=True):
        if not isinstance(x, Place):
            elements.bound.update(((v, at), element) for at, element in x.items())
    results: list[AllElements] = []
    for a in program.outputs:
        found = dict[Index, Scalar]()
        results.append(found)
        for at in points if a.aval.shape else [()]:
            if isinstance(a, Literal):
                found[at] = builder.constant(a.value, a.aval.dtype)
            else:
                found[at] = elements.at(a, at)
    return results
