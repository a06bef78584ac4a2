"""Rows shorter than a vector: whether lanes of several rows are worth it, by what their elements take to pick.

8 bodies that attract each other have rows of 8: two of them fill a vector of 512 bits, so the divider is asked half
as often; what is read of one row for both, or of one element for a whole row, is picked from a vector.  Their 1,000
steps took 32 us; they take 30 with two rows in a vector, 29 with two parts of a sum in one, and 25.5 with what lies
between in registers (`registers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.backends.base import Target
from covector._engine.compile.survey import TICKS, Facts, Survey
from covector._engine.ir import index as ix
from covector._engine.ir.steps import Beside, Fill
from covector._engine.types import dims
from covector._engine.types.dims import Dim


class Rows:
    """The rows of a nest: its loops, the outermost first, of which the last one has the lanes."""

    def __init__(
        self, survey: Survey, target: Target, outer: Sequence[str], extents: dict[str, Dim]
    ):
        self.survey, self.target, self.outer, self.extents = survey, target, outer, extents
        self.costs = {f.loop.name: f.cost for f in survey.loops}
        self.length, lanes = extents[outer[-1]], survey.nest.lanes
        # Of how many rows a vector has lanes; 1: it is not filled by whole ones.
        self.count = 1
        if isinstance(self.length, int) and 1 < self.length < lanes and lanes % self.length == 0:
            self.count = lanes // self.length
        self.reason = f"rows of {self.length} are shorter than a vector"

    def fill(self) -> tuple[Fill, str] | None:
        """Put rows side by side, as many as a vector has lanes for."""
        if self.count == 1 or len(self.outer) < 2:
            return None
        outer, inner = self.outer[-2:]
        runs = self.extents[outer]
        taken, picked = self._taken(inner), self._picked(outer)
        if not isinstance(runs, int) or runs % self.count or taken is None or picked is None:
            return None
        if not self._is_worth(taken + picked, self.count * taken):
            return None
        return Fill(outer, inner), self.reason

    def beside(self, folded: Facts | None) -> tuple[Beside, str] | None:
        """Put parts of a fold side by side: they also wait less for each other."""
        if folded is None or self.count == 1 or folded.loop.name in self.outer or folded.inner:
            return None
        name, count = folded.loop.name, self.count
        runs, taken, picked = self.extents[name], self._taken(name), self._picked(name)
        if not isinstance(runs, int) or runs % count or runs == count:
            return None
        rows = dims.product(self.extents[n] for n in self.outer[:-1])
        if taken is None or picked is None or not isinstance(rows, int):
            return None
        joined = 2.0 * count  # states are kept, and folded
        waiting = self.target.loops.waiting
        before = rows * runs * taken + runs * waiting
        after = rows * (runs * taken / count + picked + joined)
        after += (runs // count + count.bit_length()) * waiting
        if not self._is_worth(after, before):
            return None
        return Beside(name, self.outer[-1], count), self.reason

    def _is_worth(self, after: float, before: float) -> bool:
        return after < self.target.loops.filled * before

    def _taken(self, name: str) -> float | None:
        """What a run of a loop takes, in operations; None if that is not known."""
        cost = self.costs[name]
        return cost / (TICKS * self.target.costs.operation) if isinstance(cost, int) else None

    def _picked(self, outer: str) -> float | None:
        """What it takes to pick the lanes of several rows from vectors, in operations; None if some cannot be."""
        total = 0.0
        for d in self.survey.places:
            along, across = ix.coefficient(d, self.outer[-1]), ix.coefficient(d, outer)
            pick = self._pick(along, across)
            if pick is None:
                return None
            # In loops further in they are picked in each of their runs, in the fold itself once for all parts.
            runs = self._runs(d)
            if outer not in self.outer and ix.depends(d, outer):
                runs //= self.count
            total += pick * runs
        return total

    def _pick(self, along: Dim | None, across: Dim | None) -> float | None:
        """The same for one place, by how far a step of either loop leads."""
        if not isinstance(along, int) or not isinstance(across, int) or along not in (0, 1):
            return None
        assert isinstance(self.length, int)
        if across == along * self.length:
            return 0.0
        if across == 1 - along:  # one row for all of them, or neighbours
            return 1.0
        return 2.0 * self.count

    def _runs(self, d: Dim) -> int:
        """How often loops further in come by a place."""
        runs = 1
        for name, extent in self.extents.items():
            if name not in self.outer and isinstance(extent, int) and ix.depends(d, name):
                runs *= extent
        return runs
