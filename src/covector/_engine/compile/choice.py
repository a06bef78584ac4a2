"""What a nest of loops is to become, with reasons: `schedule.py` asks, `rewrite.py` does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from covector._engine.backends.base import Target
from covector._engine.compile.rows import Rows
from covector._engine.compile.survey import TICKS, Facts, Survey
from covector._engine.compile.turning import reads_across, turning
from covector._engine.core.routine import ROUTINES
from covector._engine.ir import index as ix
from covector._engine.ir.access import Reader
from covector._engine.ir.kernel import (
    Assign,
    Fold,
    Loop,
    Schedule,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.legal import runs_on
from covector._engine.ir.scalar import Expr
from covector._engine.ir.steps import Beside, Fill, Join, Pieces, Step, Stream, Tile, Together
from covector._engine.types import dims
from covector._engine.types.dims import Dim

# What an access by lanes is worth, by its stride; others cost as much as the best is worth.  Two apart lie the parts of
# complex numbers, which are picked from whole vectors: 1M products took 2.0 of PyTorch's time without lanes.
STRIDES = {1: 1.0, 0: 0.5, 2: 0.0}


class Choice:
    """What is decided for one nest: steps, which loop gets lanes, what a run of each outermost loop costs."""

    def __init__(self, survey: Survey, target: Target):
        self.survey, self.target = survey, target
        self.chain = [survey.nest]
        while (inner := self.chain[-1].single) is not None and inner.loop.free:
            self.chain.append(inner)
        self.extents = {f.loop.name: f.loop.extent for f in survey.loops}
        self.costs = {f.loop.name: f.cost for f in survey.loops}
        self.outer = [f.loop.name for f in self.chain]
        self.inner = list(dict.fromkeys(_inner_chains(self.chain[-1])))
        self.in_pieces: str | None = None  # the loop over pieces
        self.joined: dict[str, tuple[str, ...]] = {}
        self.apart = False  # whether bodies are others than the survey has seen
        self.steps: list[tuple[Step, str]] = []
        self._join()
        self.vector, self.side_by_side = self._choose_vector()
        found = self._pieces() or self._stream() or self._tile() or self._rows() or self._together()
        if found is not None:
            self.steps.append(found)

    # -- steps -----------------------------------------------------------------------------------

    def _join(self) -> None:
        """Put neighbours together where every access runs through both in one stride."""
        runs: list[tuple[str, ...]] = []
        for names in (self.outer, *self.inner):
            runs += self._runs(names)
        joined = [run for run in runs if len(run) > 1]
        if not joined:
            return
        self.joined = {run[-1]: run for run in joined}
        gone = {name for run in joined for name in run[:-1]}
        self.outer = [name for name in self.outer if name not in gone]
        self.inner = [tuple([n for n in names if n not in gone]) for names in self.inner]
        reason = "every access runs through them in one stride"
        self.steps.append((Join(tuple(joined)), reason))

    def _runs(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """The loops of a chain, those together that can be one; their extents are kept."""
        if len(names) < 2:
            return []
        runs: list[tuple[str, ...]] = [(names[-1],)]
        for name in reversed(names[:-1]):
            last, total = runs[-1][-1], self.extents[runs[-1][-1]]
            if self._in_one_stride(name, last, total):
                self.extents[last] = self.extents[name] * total
                runs[-1] = (name, *runs[-1])
            else:
                runs.append((name,))
        return runs

    def _in_one_stride(self, outer: str, inner: str, length: Dim) -> bool:
        seen = self.survey
        if any(ix.depends(d, n) for d in seen.others for n in (outer, inner)):
            return False
        return all(runs_on(d, outer, inner, length) for d in seen.places)

    def _choose_vector(self) -> tuple[str | None, float]:
        """The loop through which most accesses run in steps of one; None if there is none worth it."""
        places, loops = self.survey.places, self.target.loops
        best, best_score = None, -1.0
        wide = not self._is_few(self.extents[self.outer[-1]])
        for name in dict.fromkeys([self.outer[-1], *[names[-1] for names in self.inner]]):
            size = self.extents[name]
            if isinstance(size, int) and size < loops.least_lanes:
                continue
            seen = [f for f in self.survey.loops if f.loop.name == name]
            if any(f.blocked or f.carried or (f.parts and not f.repeats) for f in seen):
                continue
            if any(f.repeats for f in seen):  # what it does until a condition fails is worth more
                return name, 1.0
            folds = any(f.folded or f.assigned for f in seen)
            if wide and folds and (self._is_few(size) or self._is_short_row(seen)):
                continue  # across so few lanes it takes longer to fold than one after the other
            strides = [ix.coefficient(d, name) for d in places]
            score = sum(STRIDES.get(c, -1.0) if isinstance(c, int) else -1.0 for c in strides)
            score /= max(len(strides), 1)
            if isinstance(size, int) and size < loops.short:
                score -= 0.3
            if score > best_score:
                best, best_score = name, score
        return best, best_score

    def _is_few(self, size: Dim) -> bool:
        """Whether these are fewer than half a vector of the target has."""
        return isinstance(size, int) and 2 * size < self.survey.nest.lanes

    def _is_short_row(self, seen: Sequence[Facts]) -> bool:
        """Whether loops fold rows that lie one after the other, and are short: lanes run across them."""
        longest, along = self.target.loops.longest_row, self.outer[-1]
        name, size = seen[0].loop.name, self.extents[seen[0].loop.name]
        if not isinstance(size, int) or size > longest or name == along:
            return False
        many = self.extents[along]
        if not isinstance(many, int) or many < self.survey.nest.lanes:
            return False
        if any(f.stores or f.inner for f in seen):
            return False
        if size > self.survey.nest.lanes and all(_adds(f.loop) for f in seen):
            return (
                False  # whole vectors of sums become one quickly: rows of 32 took 1.7 times as long
            )
        rows = False
        for d in self.survey.places:
            far, step = ix.coefficient(d, along), ix.coefficient(d, name)
            if not isinstance(far, int) or not isinstance(step, int):
                return False
            if far in (0, 1, 2) and step == 0:
                continue
            if not 0 < step * (size - 1) < far <= 2 * longest:
                return False
            rows = True
        return rows

    def _folded(self) -> Facts | None:
        """The one loop of the nest that folds, if it does nothing else."""
        last = self.chain[-1]
        found = self.chain[0] if not last.inner else last.inner[0]
        first = self.chain[0]
        if last.inner and (len(last.inner) != 1 or first.folded or first.assigned or first.carried):
            return None
        folds = bool(found.folded or found.assigned or found.carried)
        return found if found.loop.free and folds and not found.stores else None

    def _pieces(self) -> tuple[Step, str] | None:
        """A large fold to few results runs in pieces, side by side."""
        folded, limits = self._folded(), self.target.limits
        if folded is None:
            return None
        few, first = 1, self.chain[0]
        if folded is not first:
            few = dims.product(self.extents[name] for name in self.outer)
        total = first.loop.extent * first.cost
        least = 4 * int(self.target.costs.parallel * TICKS)
        if not dims.is_true(lambda: few < limits.few_results) or dims.is_true(
            lambda: total < least
        ):
            return None
        (name, *_) = self.outer if folded is first else self.inner[0]
        count = dims.maximum(1, dims.minimum(limits.fold_pieces, self.extents[name]))
        return Pieces(name, count), f"{few} results are too few to share the work"

    def _stream(self) -> tuple[Step, str] | None:
        """The columns of a large array are folded row by row."""
        folded, limits = self._folded(), self.target.limits
        if folded is None or folded.inner or self.outer != [self.vector]:
            return None
        if folded is self.chain[0] or not all(
            isinstance(s, (Assign, Fold)) for s in folded.loop.body
        ):
            return None
        along, name = self.outer[0], folded.loop.name
        rows, width = self.extents[name], self.extents[along]
        if not isinstance(rows, int) or not isinstance(width, int):
            return None
        if (
            rows < limits.stream_rows
            or width > limits.private_row
            or rows * width < limits.streamed
        ):
            return None
        pieces = max(min(limits.stream_pieces, rows // limits.stream_rows), 1)
        together = self.target.loops.rows if rows % (pieces * self.target.loops.rows) == 0 else 1
        return Stream(name, along, pieces, together), "columns lie far apart in memory"

    def _tile(self) -> tuple[Step, str] | None:
        """Something is read in steps of one along another loop than the one with lanes.

        Without tiles a 4096 x 1024 transposition took 39 ms instead of 4: each line of the cache was fetched 16 times.
        """
        vector, side = self.vector, self.target.loops.tile
        if self.survey.nest.folded or self.chain[-1].inner:
            return None
        body, extents = self.chain[-1].loop.body, {n: self.extents[n] for n in self.outer}
        if (turned := turning(body, extents, side // 2)) is not None:
            return Tile(turned.across, turned.along, side), "rows become columns"
        if vector is None:
            return None
        if not self._is_long(vector):
            return None
        across = [n for n in self.outer if n != vector and self._is_long(n)]
        for name in across:
            if self._reads_across(name, vector):
                tile = self.target.loops.turned_tile
                return Tile(name, vector, tile), "rows are read as columns"
        for d in self.survey.places:
            if ix.coefficient(d, vector) not in (0, 1, None):
                for name in across:
                    if ix.coefficient(d, name) == 1:
                        reason = f"something is read across its rows along {vector}"
                        return Tile(name, vector, side), reason
        return None

    def _is_long(self, name: str) -> bool:
        half = self.target.loops.tile // 2
        return dims.is_true(lambda: self.extents[name] >= half)

    def _rows(self) -> tuple[Step, str] | None:
        """Rows that are shorter than a vector share one."""
        if self.vector != self.outer[-1]:
            return None
        rows = Rows(self.survey, self.target, self.outer, self.extents)
        return rows.fill() or rows.beside(self._folded())

    def _together(self) -> tuple[Step, str] | None:
        """Vectors that a fold takes are used again in other rows: of a product, four rows are computed at once.

        1,000 steps of tanh(h @ w), h 8 x 32, took 360 us one row after the other, and take 226.
        """
        folded, rows, vector = self._folded(), self.target.loops.rows, self.vector
        if folded is None or vector not in self.outer or folded is self.chain[0]:
            return None
        if folded.assigned or folded.carried or rows * folded.size > 4 * self.target.limits.body:
            return None
        reads = _reads(folded.loop)
        for name in reversed(self.outer):
            extent = self.extents[name]
            if name == vector or not isinstance(extent, int) or extent % rows:
                continue
            if any(ix.depends(d, vector) and not ix.depends(d, name) for d in reads):
                return Together(name, rows), "vectors that are read serve all of them"
        return None

    def taken(self, step: Step) -> None:
        """A step is taken: what a run of the loops that it leaves outermost costs."""
        if isinstance(step, Join):
            return
        self.apart = True
        match step:
            case Tile():
                self._cost_of_tiles(step)
            case Fill() | Beside():
                pass
            case Together():
                for n in self.outer[self.outer.index(step.loop) :]:
                    self.costs[n] = self.costs[n] * step.rows
            case Pieces():
                self._cost_of_pieces(step.loop, step.count)
            case Stream():
                self._cost_of_pieces(step.loop, step.pieces)

    def _reads_across(self, across: str, along: str) -> bool:
        """Whether something is read across rows, of which tiles can be turned."""
        return bool(reads_across(self.chain[-1].loop.body, across, along))

    def _cost_of_tiles(self, step: Tile) -> None:
        costs, side, target = self.costs, step.side, self.target.costs
        turned = self._reads_across(step.across, step.along)
        point = self.chain[-1].cost * int(target.turned if turned else target.across)
        across, along = (
            dims.floordiv(self.extents[n] + side - 1, side) for n in (step.across, step.along)
        )
        per_tile = point * side * side
        costs[step.along], costs[step.across] = point, point * side
        costs[f"{step.along}t"], costs[f"{step.across}t"] = per_tile, per_tile * along
        rest = [n for n in self.outer if n not in (step.across, step.along)]
        if rest:
            costs[rest[0]] = (
                per_tile * across * along * dims.product(self.extents[n] for n in rest[1:])
            )

    def _cost_of_pieces(self, name: str, count: Dim) -> None:
        self.in_pieces = f"{name}p"
        total = self.chain[0].loop.extent * self.chain[0].cost
        self.costs[self.in_pieces] = dims.floordiv(total, count)
        self.costs[self.outer[0]] = count * (TICKS // 16)

    # -- lanes and threads -----------------------------------------------------------------------

    def lanes(self, loop: Loop) -> Schedule:
        """As many lanes as the widest dtype of the body fits, no more than there are elements; copies of folds."""
        seen = [f for f in self.survey.loops if f.loop.name == loop.name]
        if self.apart or len(seen) > 1:
            again = Survey(loop, self.target).nest
            size, most, numbers = again.size, again.lanes, again.numbers
        else:
            size, most, numbers = seen[0].size, seen[0].lanes, seen[0].numbers
        extent, copies = loop.extent, 1
        if any(f.repeats for f in seen):
            # Floats say how many elements a vector has: beside their arithmetic, counting in wider integers is little.
            most = self._side_by_side(loop, size) * (numbers or most)
            return Schedule(vector=max(min(most, _covering(extent)), 2))
        if any(
            isinstance(step, Tile) for step, _ in self.steps
        ):  # wider than its rows are vectors half empty
            most = min(most, self.target.loops.tile)
        nest = self.survey.nest
        filled = any(isinstance(step, Fill) for step, _ in self.steps)
        below = loop.name not in self.outer or nest.folded or nest.assigned or filled
        if below and size <= self.target.limits.body:
            copies = self.target.loops.unroll
        elif size <= self.target.loops.gathering and self.survey.gathers(loop.name):
            most = min(self.target.loops.gathered * most, self.target.most_lanes)
        count = max(min(most, _covering(extent)), 2)
        while copies > 1 and isinstance(extent, int) and extent < count * copies:
            copies //= 2
        return Schedule(vector=count, unroll=copies)

    def _side_by_side(self, loop: Loop, size: int) -> int:
        """How many vectors of loops run at once, as each waits for its last step; what they keep stays in the caches.

        One thread, 1, 2, 4 and 8 vectors: an adaptive solver over 1,000 starts 178, 104, 78 and 82 us (37, 48 and 76
        ms to compile), Mandelbrot's set 2.0, 1.4, 1.1 and 1.2 ms, Collatz to 100,000 3.2, 2.3, 1.6 and 1.1.  Ways back
        keep states, so their loops have many steps: that of the solver 550, 424 and 378 us (242, 330 and 542 ms).
        """
        limits, most = self.target.limits, self.target.loops.side_by_side
        kept = {a.buffer for a in Reader().walk((loop,)) if a.buffer.kind == "local"}
        most_in_two = 4 * limits.long_body if kept else limits.long_body
        count = most if size <= limits.long_body else most // 2 if size <= most_in_two else 1
        each = sum(int(b.size) * b.dtype.itemsize for b in kept if isinstance(b.size, int))
        vector = self.target.vector_bits // 32
        while count > 1 and each * vector * count > self.target.caches.second:
            count //= 2
        return count

    def why_no_threads(self, loop: Loop, cost: Dim) -> str | None:
        """Why an outermost loop does not run on the threads; None if it does."""
        target, nest = self.target, self.survey.nest
        if target.threads < 2:
            return "there is one"
        if not loop.free:
            return "its runs depend on each other"
        if nest.calls_back:
            return "callbacks run on the thread of the caller"
        shared = nest.folded or nest.assigned or nest.carried or self._keeps(loop)
        if loop.name != self.in_pieces and shared:
            return "its runs share a state"
        for r in nest.routines:
            known = ROUTINES.get(r.name)
            if known is None or not known.on_all_threads:
                continue
            if not dims.is_true(lambda r=r: r.work <= target.limits.on_all_threads):
                return f"{r.name} runs on all of them itself"
        if nest.routines:
            return None  # a piece of less work than is worth it is not handed out, when it runs
        least = int(target.costs.parallel * TICKS)
        if dims.is_true(lambda: loop.extent * cost < least):
            return f"less than {target.costs.parallel / 1000:.3g} us of work"
        return None

    def _keeps(self, loop: Loop) -> bool:
        """Whether a run leaves something in private memory for what comes after the loop."""
        names = self.joined.get(loop.name, (loop.name,))
        return any(ix.depends_on_any(d, names) for d in self.survey.private)


def _inner_chains(facts: Facts) -> Iterator[tuple[str, ...]]:
    """Inside a loop: the names of loops that are directly inside each other, and free; those under conditions not."""
    for f in facts.inner:
        if f.conditional != facts.conditional:
            continue
        chain = [f]
        while f.loop.free and (inner := chain[-1].single) is not None and inner.loop.free:
            chain.append(inner)
        if f.loop.free:
            yield tuple([x.loop.name for x in chain])
        yield from _inner_chains(chain[-1])


def _adds(loop: Loop) -> bool:
    """Whether all that a loop does is to add up."""
    return all(isinstance(s, Fold) and s.op == "add" for s in loop.body)


def _reads(loop: Loop) -> list[Dim]:
    """The places that a loop reads."""
    seen: set[Expr] = set()
    found = (e for s in walk(loop.body) for e in nodes(roots(s), seen))
    return [e.attr[1] for e in found if e.op == "load"]  # type: ignore[index]


def _covering(extent: Dim) -> int:
    """The power of two that is not below an extent; of one that is not known, more than any vector has."""
    return 1 << max(extent - 1, 1).bit_length() if isinstance(extent, int) else 1 << 30
