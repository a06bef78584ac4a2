"""What loops and branches keep in locals: values element by element, begun, replaced all at once, and stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from covector._engine.core.primitive import Source
from covector._engine.ir.builder import (
    AllElements,
    Builder,
    Operand,
    Place,
    StoredElements,
    constant,
    parts,
    whole,
)
from covector._engine.ir.index import Index
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types.avals import ShapedArray


def source_of(x: Operand) -> Source:
    """Where an operand is."""
    if x.literal is not None:
        return {(): constant(x.literal, x.aval.dtype)}
    return x.place


def indices(aval: ShapedArray) -> list[Index]:
    """All indices of a small array, in order."""
    return list(itertools.product(*[range(int(n)) for n in aval.shape]))  # type: ignore[arg-type]


def element_of(source: Source, aval: ShapedArray) -> Callable[[Index], Scalar]:
    """The elements of a value, by index."""
    if isinstance(source, Place):
        return StoredElements(source, aval).at
    return source.__getitem__


def hold(
    b: Builder, source: Source, aval: ShapedArray, points: Sequence[Index] | None = None
) -> dict[Index, Scalar]:
    """New locals, which begin with a value, or with its elements at these points."""
    at = element_of(source, aval)
    which = indices(aval) if points is None else points
    return {i: whole([b.local(e, "c") for e in parts(at(i))]) for i in which}


def computed(b: Builder, source: Source) -> Source:
    """The same value, of which what is to be computed is computed here, in locals."""
    if isinstance(source, Place):
        return source
    return {
        i: whole([e if e.op in ("local", "const") else b.local(e) for e in parts(one)])
        for i, one in source.items()
    }


def advance(
    b: Builder, held: Sequence[Mapping[Index, Scalar]], values: Sequence[AllElements]
) -> None:
    """Give what is held its next value, all at once."""
    changes: list[tuple[Expr, Expr]] = [
        (old, new)
        for locals_, elements in zip(held, values, strict=True)
        for i, one in locals_.items()
        for old, new in zip(parts(one), parts(elements[i]), strict=True)
        if old is not new
    ]
    if changes:
        b.assign([old for old, _ in changes], [new for _, new in changes])


def settle(
    b: Builder,
    held: Sequence[Mapping[Index, Scalar]],
    places: Sequence[Place],
    avals: Sequence[ShapedArray],
) -> None:
    """Store what is held."""
    for place, aval, locals_ in zip(places, avals, held, strict=True):
        for i, one in locals_.items():
            b.store(place, aval.shape, i, one)
