"""Regions: what is computed inside one root, where it reads, and whether that is along its rows or across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from covector._engine.ir import index as ix
from covector._engine.ir.index import Index
from covector._engine.ir.program import Var
from covector._engine.types import dims
from covector._engine.types.dims import Dim

Loops = Sequence[tuple[str, Dim]]  # variables and extents


@dataclass(eq=False)
class Region:
    """What is computed inside one root: the stored variables that it reads and where; how much it is.

    The places are in terms of the root's own loop variables; None: read as a whole, by an equation that stands alone.
    """

    reads: dict[Var, set[Index | None]] = field(default_factory=dict)
    weight: int = 0
    loops: tuple[tuple[str, Dim], ...] = ()  # variables and extents, the outermost first
    written: Dim | None = None  # where the result lies, of a root that is no fold
    _known: dict[Index, float] = field(default_factory=dict)
    _crosses: bool | None = None

    def repeats(self, place: Index) -> float:
        """How often each element at a place is computed: the runs of loops that do not change it.

        Those inside all loops that do are none, as what is the same in each run is computed before them.
        """
        found = self._known.get(place)
        if found is None:
            found, inside = 1.0, False
            for name, extent in reversed(self.loops):
                if any(ix.depends(i, name) for i in place):
                    inside = True
                elif inside:
                    found *= extent if isinstance(extent, int) else math.inf
            self._known[place] = found
        return found

    def crosses(self, least: int) -> bool:
        """Whether some of what it accesses has rows where other things have columns."""
        if self._crosses is None:
            offsets: list[Dim] = []
            if len(_long(self.loops, least)) > 1:  # else there is nothing to ask
                offsets += [] if self.written is None else [self.written]
                for v, places in self.reads.items():
                    offsets += [ix.flatten(p, v.aval.shape) for p in places if p is not None]
            self._crosses = crosses(offsets, self.loops, least)
        return self._crosses


def _long(loops: Loops, least: int) -> list[str]:
    return [name for name, extent in loops if dims.is_true(lambda n=extent: n > least)]


def crosses(offsets: Sequence[Dim], loops: Loops, least: int) -> bool:
    """Whether two places move by one element along loops, longer than `least`, by far along that of the other."""
    names = _long(loops, least)
    found: dict[str, set[str]] = {}  # of what lies along a loop: the others along which it is far
    for d in offsets if len(names) > 1 else ():
        along = next((n for n in names if ix.coefficient(d, n) == 1), None)
        if along is not None:
            far = {n for n in names if ix.coefficient(d, n) not in (0, 1, None)}
            found.setdefault(along, set()).update(far)
    return any(n in found.get(m, ()) for n, far in found.items() for m in far)
