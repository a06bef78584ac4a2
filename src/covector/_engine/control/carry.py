"""What loops and branches keep in locals: values element by element, begun, replaced all at once, and stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from covector._engine.ir.builder import (
    AllElements,
    Builder,
    Fit,
    Fitting,
    Kept,
    Operand,
    Place,
    StoredElements,
    constant,
    parts,
    whole,
)
from covector._engine.ir.index import Index
from covector._engine.ir.program import Program
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types.avals import ShapedArray


def source_of(x: Operand) -> Kept:
    """Where an operand is."""
    if x.literal is not None:
        return {(): constant(x.literal, x.aval.dtype)}
    return x.place


def indices(aval: ShapedArray) -> list[Index]:
    """All indices of a small array, in order."""
    return list(itertools.product(*[range(int(n)) for n in aval.shape]))  # type: ignore[arg-type]


def element_of(source: Kept, aval: ShapedArray) -> Callable[[Index], Scalar]:
    """The elements of a value, by index."""
    if isinstance(source, Place):
        return StoredElements(source, aval).at
    return source.__getitem__


def in_locals(source: Kept) -> AllElements:
    """The elements of what is in locals."""
    assert not isinstance(source, Place), "it is in memory"
    return source


def held_or_kept(
    b: Builder, sources: Sequence[Kept], avals: Sequence[ShapedArray], local: Sequence[bool]
) -> list[Kept]:
    """The values in new locals, but for those that stay in memory."""
    rows = zip(sources, avals, local, strict=True)
    return [hold(b, x, aval) if mine else x for x, aval, mine in rows]


def fit_loop(
    fit: Fitting,
    condition: Program | None,
    body: Program,
    carry: range,
    local: Sequence[bool],
) -> Fit | None:
    """How a loop can be written out, if these inputs of its Programs are in locals.

    Of its carry, which are these inputs, the others are changed in place.
    """
    found = fit(body, local)
    ends = [None if local[n] else n for n in carry]
    stacked = len(body.outputs) - len(ends)
    if found is None or list(found.places) != [*ends, *[None] * stacked]:
        return None
    tested = Fit((), frozenset()) if condition is None else fit(condition, local)
    changed = frozenset([n for n in ends if n is not None])
    if tested is None or tested.changed or not found.changed <= changed:
        return None
    size, memory = found.size + tested.size, found.memory + tested.memory
    return Fit(tuple(ends), changed, size, memory)


def hold(
    b: Builder, source: Kept, aval: ShapedArray, points: Sequence[Index] | None = None
) -> dict[Index, Scalar]:
    """New locals, which begin with a value, or with its elements at these points."""
    at = element_of(source, aval)
    which = indices(aval) if points is None else points
    return {i: whole([b.local(e, "c") for e in parts(at(i))]) for i in which}


def computed(b: Builder, source: Kept) -> Kept:
    """The same value, of which what is to be computed is computed here, in locals."""
    if isinstance(source, Place):
        return source
    return {
        i: whole([e if e.op in ("local", "const") else b.local(e) for e in parts(one)])
        for i, one in source.items()
    }


def advance(b: Builder, held: Sequence[Kept], values: Sequence[Kept]) -> None:
    """Give what is in locals its next value, all at once; what is in memory has it already."""
    changes: list[tuple[Expr, Expr]] = [
        (old, new)
        for locals_, elements in zip(held, values, strict=True)
        if not isinstance(locals_, Place) and not isinstance(elements, Place)
        for i, one in locals_.items()
        for old, new in zip(parts(one), parts(elements[i]), strict=True)
        if old is not new
    ]
    if changes:
        b.assign([old for old, _ in changes], [new for _, new in changes])


def settle(
    b: Builder,
    held: Sequence[Kept],
    places: Sequence[Place],
    avals: Sequence[ShapedArray],
) -> None:
    """Store what is in locals; what is in memory is there."""
    for place, aval, locals_ in zip(places, avals, held, strict=True):
        if isinstance(locals_, Place):
            assert locals_ == place, "what is changed in place lies where the result does"
            continue
        for i, one in locals_.items():
            b.store(place, aval.shape, i, one)
