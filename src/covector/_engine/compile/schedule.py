"""The schedule: how the loops that lowering gives run on a target.  Decisions, with reasons; `rewrite.py` does them.

A nest is a loop the order of whose runs is free, with what is in it.  Of each one walk gathers what there is to know
(`survey.py`); then this is chosen (`choice.py`), in this order:

- neighbouring loops through which every access runs in one stride become one;
- the loop that most accesses run through in steps of one gets lanes;
- a large fold to few results is cut into pieces, whatever the number of threads, so its result does not depend on it;
- a fold over long columns goes row by row, as they lie in memory;
- where something is read across its rows, there are tiles; where vectors are used again for several rows, these are
  computed together;
- the outermost loop runs on the threads if that is worth it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from covector._engine.backends.base import Explain, Job, Target
from covector._engine.base.record import replace
from covector._engine.compile.choice import Choice
from covector._engine.compile.registers import in_registers
from covector._engine.compile.rewrite import rewrite
from covector._engine.compile.survey import TICKS, Survey
from covector._engine.ir.alike import Anew, Shape
from covector._engine.ir.builder import Names
from covector._engine.ir.kernel import (
    Buffer,
    If,
    Init,
    Kernel,
    Loop,
    Routine,
    Schedule,
    Statement,
    While,
    changes,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.legal import why_not_step
from covector._engine.ir.scalar import Expr
from covector._engine.ir.steps import Join
from covector._engine.types import dims
from covector._engine.types.dims import Dim

PLAIN = Schedule()


class _Again(Anew):
    """The same statements on other buffers; what is kept between steps is made anew, too."""

    def buffer(self, b: Buffer) -> Buffer:
        if b.kind == "temp" and b not in self._buffers:
            self._buffers[b] = replace(b, name=self._fresh("part"))
        return super().buffer(b)


def schedule(kernel: Kernel, job: Job) -> Kernel:
    """The Kernel with its loops scheduled for the target; one that has schedules already keeps them."""
    if any(isinstance(s, Loop) and s.schedule != PLAIN for s in walk(kernel.body)):
        return kernel
    scheduler = Scheduler(job.target, job.explain("schedule"))
    made = kernel.with_body(scheduler.statements(kernel.body))
    made = in_registers(made, job.target, scheduler.explain)
    return made.with_functions(lambda f: schedule(f, job))


class Scheduler:
    """Schedules the nests of one Kernel."""

    def __init__(self, target: Target, explain: Explain):
        self.target, self.explain = target, explain
        self.names = Names()
        # As in `instances.py`: what nests are made of is only asked when there is another one of their outline.
        self._first: dict[Hashable, tuple[Loop, list[Statement]] | None] = {}
        self._known: dict[Hashable, tuple[list[Buffer], list[Statement]]] = {}

    def _fresh(self, stem: str) -> str:
        """A name that lowering has given to nothing."""
        return self.names.fresh(f"{stem}_")

    def temp(self, stem: str, dtype: np.dtype, size: Dim) -> Buffer:
        """A new buffer."""
        return Buffer(self.names.fresh(stem), dtype, size, "temp")

    def statements(self, body: Sequence[Statement]) -> tuple[Statement, ...]:
        """Statements, with all nests among them and inside them scheduled."""
        made: list[Statement] = []
        for s in body:
            match s:
                case Loop() if s.free:
                    made += self.nest(s)
                case Loop():
                    made.append(replace(s, body=self.statements(s.body)))
                case If():
                    inside = self.statements(s.body), self.statements(s.orelse)
                    made.append(replace(s, body=inside[0], orelse=inside[1]))
                case While():
                    inside = self.statements(s.test), self.statements(s.body)
                    made.append(replace(s, test=inside[0], body=inside[1]))
                case _:
                    made.append(s)
        return tuple(made)

    def nest(self, loop: Loop) -> list[Statement]:
        """What becomes of one nest; of those that are alike, the first is looked at."""
        outline = loop.name, loop.extent, len(loop.body)
        if outline not in self._first:
            made = self._one(loop)
            self._first[outline] = loop, made
            return made
        if (first := self._first[outline]) is not None:
            self._note(Shape((first[0],)), first[1])
            self._first[outline] = None
        shape = Shape((loop,))
        found = self._known.get(shape.key)
        if found is None or _uses_locals(loop):
            made = self._one(loop)
            self._note(shape, made)
            return made
        self.explain(f"{loop.name} < {loop.extent}: as one before that is alike")
        anew = _Again(dict(zip(found[0], shape.buffers, strict=True)), self._fresh)
        return list(anew.body(found[1]))

    def _note(self, shape: Shape, made: list[Statement]) -> None:
        self._known.setdefault(shape.key, (list(shape.buffers), made))

    def _one(self, loop: Loop) -> list[Statement]:
        choice = Choice(Survey(loop, self.target), self.target)
        made: list[Statement] = [loop]
        for step, reason in choice.steps:
            (last,) = made
            assert isinstance(last, Loop), "the last step alone makes several statements"
            # The survey has seen all that joining asks for; the others ask again, which costs little: they are rare.
            refused = None if isinstance(step, Join) else why_not_step(last, step)
            self.explain(f"{loop.name} < {loop.extent}: {step}: {refused or reason}")
            if refused is None:
                made = rewrite(last, step, self.temp)
                choice.taken(step)
        return [self._run(s, choice) if isinstance(s, Loop) else s for s in made]

    def _run(self, s: Loop, choice: Choice) -> Loop:
        """An outermost loop of a nest, with lanes and threads."""
        made = self._lanes(s, choice, False)
        cost = choice.costs.get(s.name, 1)
        why_not = choice.why_no_threads(made, cost)
        if why_not is None:
            made = _with_own(made)
        how = replace(made.schedule, parallel=why_not is None)
        made = replace(made, schedule=how, cost=max((dims.bounds(cost)[0] or 1) / TICKS, 0.05))
        threads = "threads" if why_not is None else f"no threads, {why_not}"
        self.explain(f"{s.name} < {s.extent}: {threads}; a run takes {made.cost:.3g} ns")
        return made

    def _lanes(self, s: Loop, choice: Choice, in_lanes: bool) -> Loop:
        """A loop, and those inside, with lanes where the choice says so."""
        how = s.schedule
        if s.name == choice.vector and s.free and not in_lanes:
            how, in_lanes = choice.lanes(s), True
            self.explain(f"{s.name} < {s.extent}:{how}")
        inside = [self._lanes(x, choice, in_lanes) if isinstance(x, Loop) else x for x in s.body]
        if not in_lanes:
            inside = [self._by_themselves(x) if isinstance(x, (If, While)) else x for x in inside]
        if how is s.schedule and all(x is y for x, y in zip(s.body, inside, strict=True)):
            return s
        return replace(s, body=tuple(inside), schedule=how)

    def _by_themselves(self, s: Statement) -> Statement:
        """What is under a condition in a loop without lanes: each loop there has a choice of its own."""
        match s:
            case Loop() if s.free:
                return self._lanes(s, Choice(Survey(s, self.target), self.target), False)
            case Loop():
                return replace(s, body=tuple(map(self._by_themselves, s.body)))
            case If():
                body, orelse = [tuple(map(self._by_themselves, b)) for b in (s.body, s.orelse)]
                return replace(s, body=body, orelse=orelse)
            case While():
                test, body = [tuple(map(self._by_themselves, b)) for b in (s.test, s.body)]
                return replace(s, test=test, body=body)
            case _:
                return s


def _uses_locals(loop: Loop) -> bool:
    """Whether a nest reads or folds into locals from outside: they are its own, and so are its statements."""
    begun = {s.local for s in walk(loop.body) if isinstance(s, Init)}
    seen: set[Expr] = set()
    used = (
        e
        for s in walk((loop,))
        for e in (*changes(s), *nodes(roots(s), seen))
        if e.op == "local" and isinstance(e.attr, str)
    )
    return any(e not in begun for e in used)


def _with_own(s: Loop) -> Loop:
    """The same where runs are side by side: each has scratch memory of its own."""
    if not s.own:
        return s
    wide = {b: replace(b, size=b.size * s.extent) for b in s.own}

    def moved(r: Statement) -> Statement:
        if not isinstance(r, Routine):
            return r
        places = [(wide[b], d + s.variable * b.size) if b in wide else (b, d) for b, d in r.places]
        return replace(r, places=tuple(places))

    return replace(s, body=tuple(map(moved, s.body)), own=())
