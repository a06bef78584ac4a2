"""Cuts: where along an axis the conditions of a nest change, so that each piece between is computed without them.

A roll is two copies, a concatenation one for each operand, a stencil with a border an interior and its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Statement, expressions, nodes, walk
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim

_COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


def cuts(statements: Sequence[Statement], extents: dict[str, Dim]) -> dict[str, list[int]]:
    """For each of these loop variables, the values from which on a comparison has another outcome, in order."""
    found: dict[str, set[int]] = {}
    seen: set[Expr] = set()
    for statement in walk(statements):
        for node in nodes(expressions(statement), seen):
            if node.op in _COMPARISONS:
                _add(found, node, extents)
    return {name: sorted(values) for name, values in found.items() if values}


def _add(found: dict[str, set[int]], comparison: Expr, extents: dict[str, Dim]) -> None:
    """Note where a comparison of c * variable + k with 0 changes."""
    x, y = (_index(a) for a in comparison.args)
    if x is None or y is None or isinstance(difference := x - y, int):
        return
    terms = dict(difference.terms)
    offset = terms.pop((), 0)
    ((factors, slope),) = terms.items() if len(terms) == 1 else (((), 0),)
    if len(factors) != 1 or factors[0].key not in extents:
        return
    name, extent = factors[0].key, extents[factors[0].key]
    if isinstance(extent, int):
        found.setdefault(name, set()).update(
            t for t in _changes(comparison.op, slope, offset) if 0 < t < extent
        )


def _index(e: Expr) -> Dim | None:
    return ix.known_index(e) if dtypes.is_integer(e.dtype) else None


def _changes(op: str, slope: int, offset: int) -> Iterable[int]:
    """The values of i from which on `slope * i + offset op 0` has another outcome."""
    below, above = (
        -(offset // slope),
        -offset // slope + 1,
    )  # the first i on or beyond 0, and beyond it
    if slope < 0:
        below, above = above, below
    match op:
        case "lt" | "ge":
            return (below,)
        case "le" | "gt":
            return (above,)
        case _:
            return (below, above)


def pieces(points: Sequence[int], extent: int) -> list[tuple[int, int]]:
    """(start, length) of what lies between cuts."""
    ends = [*points, extent]
    return [(start, end - start) for start, end in zip([0, *points], ends, strict=True)]
