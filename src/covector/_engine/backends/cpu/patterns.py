"""Where the elements of lanes lie if their places lead through rows that are shorter than a vector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from covector._engine.ir import index as ix
from covector._engine.types import dims
from covector._engine.types.dims import Dim

Places = tuple[int, ...]


@lru_cache(1024)
def places_of(d: Dim, lane: str, width: int) -> Places | None:
    """How far from the first lane's place each lane's is; None if that is not the same for all vectors.

    The first lane's variable is a multiple of the lanes.
    """
    base = ix.loop_variable(f"{lane}*", 1 << 62) * width
    first = dims.substitute(d, {lane: base})
    found: list[int] = []
    for n in range(width):
        apart = dims.substitute(d, {lane: base + n}) - first
        if not isinstance(apart, int):
            return None
        found.append(apart)
    return tuple(found)


def rows(places: Places, least: int) -> list[int] | None:
    """Where rows begin that each lie in one stride, if all are equally long: of so many elements at least."""
    length = len(places)
    while length >= least:
        begins = range(0, len(places), length)
        if all(
            places[b : b + length] == tuple(range(places[b], places[b] + length)) for b in begins
        ):
            return [places[b] for b in begins]
        length //= 2
    return None


def order_of(numbers: Sequence[int | None]) -> str:
    """The constant by which a shuffle takes lanes; any lane where None stands."""
    taken = ("i32 poison" if n is None else f"i32 {n}" for n in numbers)
    return f"<{len(numbers)} x i32> <{', '.join(taken)}>"
