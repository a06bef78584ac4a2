"""Memory: which buffers share memory, and where each temp lies in the arena.

Two buffers share where one is a copy of the other, or is computed from it element by element at the same place, and
they are not needed at the same time.  That makes updates run in place, in loops too.  What is shared is a class of
buffers; when it is needed is a list of segments, from statement to statement of one body.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from covector._engine.backends.base import Explain, Job
from covector._engine.base.record import replace
from covector._engine.compile.arena import ALIGNMENT, Life, first_fit
from covector._engine.compile.donation import READ_AFTER, READ_WHILE, Donation
from covector._engine.core.foreign import is_users
from covector._engine.ir.access import (
    Access,
    Reader,
    Use,
    accesses,
    in_place,
    is_whole,
    uses,
    uses_around,
)
from covector._engine.ir.kernel import (
    Buffer,
    Callback,
    Copy,
    If,
    Kernel,
    Routine,
    Statement,
    Swap,
    While,
    bodies,
    walk,
)
from covector._engine.ir.lives import Lifetime, Times, hull, turns
from covector._engine.types import dims
from covector._engine.types.dims import Dim

# From the statement in which the value comes into being to the last that uses it; -1 and the number of statements
# stand for what is before and after.
Segment = tuple[int, int]


def plan(kernel: Kernel, job: Job) -> Kernel:
    """The Kernel with sharing decided and temps placed in the arena.

    Copies and exchanges that have nothing to do any more stay, as what they mean is what the plan is checked by.
    """
    explain = job.explain("copy")
    classes = Classes()
    bodies = Bodies(kernel)
    for body in bodies.inner_first():
        Sharing(body, bodies, classes, explain).share()
    top = Sharing(bodies.top, bodies, classes, explain)
    top.share()
    tries = job.target.limits.donors
    donated = _given_up(kernel, job.donated, explain)
    taken = Donation(kernel, donated, classes.root, top.events_of, explain, tries).pairs()
    pairs = {(kernel.inputs[i], kernel.outputs[o]) for o, i in taken}
    for s in _copies(kernel.body):
        (source, _), (target, _) = s.source, s.target
        if source.kind == "input" and (source, classes.root(target)) not in pairs:
            explain(f"copy {source} -> {target}{_of(s)}: the argument stays as it is")
    aliases = tuple(sorted(taken))
    shares = {b: root for b in classes.shared() if (root := classes.root(b)) is not b}
    kernel = replace(kernel, aliases=aliases, shares=shares)
    offsets, arena = _place(kernel)
    return _with_functions(replace(kernel, offsets=offsets, arena=arena), job)


def _with_functions(kernel: Kernel, job: Job) -> Kernel:
    """The same with a plan for each function, whose temps lie behind those of all that call it.

    No call of a function is inside another one, so each has one place.
    """
    ends = {f.name: kernel.arena for f in kernel.functions.values()}
    most, made = kernel.arena, dict[str, Kernel]()
    for name, f in reversed(list(kernel.functions.items())):  # those that call others first
        f = plan(f, replace(job, donated=tuple(range(len(f.inputs)))))
        begin, end = ends[name], ends[name] + f.arena
        made[name] = replace(f, offsets={b: begin + at for b, at in f.offsets.items()}, arena=end)
        most = dims.maximum(most, end)
        for s in walk(f.body):
            if isinstance(s, Routine) and s.name in ends:
                ends[s.name] = dims.maximum(ends[s.name], end)
    return replace(kernel, functions=dict(reversed(made.items())), arena=most) if made else kernel


def _given_up(
    kernel: Kernel, donated: Sequence[int], explain: Callable[[str], None]
) -> Sequence[int]:
    """The donated arguments whose memory may be overwritten before the Program has ended.

    None where it calls functions of users': one that fails must not cost the caller an argument.
    """
    every = [kernel, *kernel.functions.values()]
    if not any(_may_fail(s) for k in every for s in walk(k.body)):
        return donated
    for i in donated:
        explain(f"donated {kernel.inputs[i]}: kept until all functions of users' have returned")
    return ()


def _may_fail(s: Statement) -> bool:
    return isinstance(s, Callback) or (isinstance(s, Routine) and is_users(s.name))


# ------------------------------------------------------------------------------------- bodies and classes


@dataclass(eq=False, slots=True)
class Body:
    """Statements that run one after the other: the Kernel's, a loop's, a branch's; and what each accesses."""

    statements: tuple[Statement, ...]
    parent: Body | None
    depth: int
    ends: int = (
        -1
    )  # the last statement of its last run, if that is not a whole one: a loop's condition
    uses: list[dict[Buffer, Use]] = field(default_factory=list)


class Bodies:
    """All bodies of a Kernel, and for each buffer the innermost one with all that accesses it."""

    def __init__(self, kernel: Kernel):
        self.all: list[Body] = []
        self.home: dict[Buffer, Body] = {}
        self.top = self._make(kernel.body, None, Reader())
        for buffer in (*kernel.inputs, *kernel.outputs):
            self.home[buffer] = self.top

    def _make(
        self,
        statements: tuple[Statement, ...],
        parent: Body | None,
        reader: Reader,
        ends: int = -1,
    ) -> Body:
        body = Body(statements, parent, 0 if parent is None else parent.depth + 1, ends)
        self.all.append(body)
        for s in statements:
            own, inner = reader.own(s), list[Body]()
            for inside in bodies(s):
                reader.enter(s)
                inner.append(
                    self._make(inside, body, reader, len(s.test) if isinstance(s, While) else -1)
                )
                reader.leave()
            body.uses.append(uses_around(own, itertools.chain(*[b.uses for b in inner])))
            for a in own:  # of a loop or a branch: what its head reads
                home = self.home.get(a.buffer)
                self.home[a.buffer] = body if home is None else common(home, body)
        return body

    def inner_first(self) -> Iterator[Body]:
        """Those inside loops and branches, the innermost first."""
        return (b for b in reversed(self.all) if b is not self.top)


def common(a: Body, b: Body) -> Body:
    """The innermost body that both are in."""
    while a is not b:
        if a.depth < b.depth:
            a, b = b, a
        assert a.parent is not None
        a = a.parent
    return a


class Classes:
    """Which buffers share memory; the root of a class stands for it: a result if there is one."""

    def __init__(self) -> None:
        self._parent: dict[Buffer, Buffer] = {}
        self.members: dict[Buffer, list[Buffer]] = {}
        self.moving: set[Buffer] = set()  # their memory is exchanged as the Kernel runs

    def root(self, buffer: Buffer) -> Buffer:
        """The buffer that stands for a class."""
        while (parent := self._parent.get(buffer)) is not None:
            buffer = parent
        return buffer

    def of(self, buffer: Buffer) -> list[Buffer]:
        """The class of a buffer."""
        root = self.root(buffer)
        return self.members.get(root, [root])

    def merge(self, a: Buffer, b: Buffer) -> Buffer:
        """Make one class of two."""
        a, b = self.root(a), self.root(b)
        if b.kind == "output":
            a, b = b, a
        ours, theirs = self.of(a), self.of(b)
        self.members[a] = [*ours, *theirs]
        self.members.pop(b, None)
        self._parent[b] = a
        return a

    def shared(self) -> list[Buffer]:
        """All buffers in classes of several, in order."""
        return [b for group in self.members.values() for b in group]


# ------------------------------------------------------------------------------------------------ sharing


class Sharing:
    """Decides in one body which classes become one."""

    def __init__(self, body: Body, bodies: Bodies, classes: Classes, explain: Explain):
        self.body, self.bodies, self.classes, self.explain = body, bodies, classes, explain
        self.is_top = body is bodies.top
        self.end = len(body.statements)
        self.swaps = self._last_swaps()
        self.first_of = {s.first: n for n, s in self.swaps.items()}
        self.second_of = {s.second: n for n, s in self.swaps.items()}
        self.events: dict[Buffer, list[tuple[int, Use]]] = {}
        for n, used in enumerate(body.uses):
            if n not in self.swaps:
                for buffer, use in used.items():
                    self.events.setdefault(classes.root(buffer), []).append((n, use))
        self.segments: dict[Buffer, list[Segment] | None] = {}
        self.accesses: dict[Statement, dict[Buffer, list[tuple[int, Access]]]] = {}  # of those met

    def _last_swaps(self) -> dict[int, Swap]:
        """The exchanges at the end of a loop's body, each of buffers of its own."""
        found: dict[int, Swap] = {}
        names: set[Buffer] = set()
        for n in range(self.end - 1, -1, -1):
            s = self.body.statements[n]
            if not isinstance(s, Swap) or self.is_top or {s.first, s.second} & names:
                break
            names |= {s.first, s.second}
            found[n] = s
        return found

    def share(self) -> None:
        """Let the next value of a loop be computed on top of the current one, and copies lie on their source."""
        swaps = [s for s in self.body.statements if isinstance(s, Swap)]
        for s in swaps:
            last = any(s is x for x in self.swaps.values())
            reason = self._join(s.first, s.second) if last else "it is exchanged amid the loop"
            self.explain(f"carry {s.first}{_of(s)}: {reason or 'in place'}")
            if reason is not None:
                self.classes.moving.update((s.first, s.second))
        for s in _copies(self.body.statements):
            if s.source[0].kind != "input":
                (target, _), (source, _) = s.target, s.source
                reason = self._join(source, target) if is_whole(s) else "only a part is copied"
                self.explain(f"copy {source} -> {target}{_of(s)}: {reason or 'in place'}")

    def _join(self, old: Buffer, new: Buffer) -> str | None:
        """Make one class of those of two buffers; the reason if that must not be."""
        a, b = self.classes.root(old), self.classes.root(new)
        if a is b:
            return None
        reason = self.why_not(a, b)
        if reason is None:
            first, second = self.segments_of(a), self.segments_of(b)
            assert first is not None and second is not None
            root = self.classes.merge(a, b)
            self.events[root] = sorted(
                [*self.events.get(a, []), *self.events.get(b, [])], key=lambda e: e[0]
            )
            self.segments[root] = _united(first, second)
        return reason

    def why_not(self, old: Buffer, new: Buffer) -> str | None:
        """Why two classes must not share memory; None if they may."""
        if old.size != new.size or old.dtype != new.dtype:
            return "they differ in size or type"
        if old.kind == new.kind == "output":
            return "both are results"
        for root in (old, new):
            if any(b in self.classes.moving for b in self.classes.of(root)):
                return f"{root} takes turns with another buffer"
        first, second = self.segments_of(old), self.segments_of(new)
        if first is None or second is None:
            return f"{old if first is None else new} keeps its value from one run of the loop to the next"
        for n, m in _meetings(first, second):
            reason = self._why_not_meet(old, new, n, m)
            if reason is not None:
                return reason
        return None

    def segments_of(self, root: Buffer) -> list[Segment] | None:
        """When the value of a class is needed, in this body; None: always."""
        if root not in self.segments:
            self.segments[root] = self._find_segments(root)
        return self.segments[root]

    def _find_segments(self, root: Buffer) -> list[Segment] | None:
        events, members = self.events.get(root, []), self.classes.of(root)
        first = events[0][0] if events else self.end
        last = events[-1][0] if events else -1
        if self.is_top:
            if not all(use.leads for _, use in events[:1]):
                return None
            ends = self.end if any(b.kind == "output" for b in members) else last
            return self._values(root, [n for n, _ in events], ends)
        outside = [b for b in members if not self._is_inside(b) and b not in self.first_of]
        if outside:
            return None
        swaps = [self.first_of[b] for b in members if b in self.first_of]
        if swaps:
            last = max(last, self.body.ends)  # what is carried is still there when the loop ends
            return [(-1, last), (swaps[0], self.end)] if len(swaps) == 1 else None
        if not events or not events[0][1].leads:
            return None
        ends = [self.second_of[b] for b in members if b in self.second_of]
        return [(first, max([last, *ends]))]

    def _values(self, root: Buffer, at: Sequence[int], end: int) -> list[Segment]:
        """From each statement that gives a class another value to the last one that reads that."""
        found: list[Segment] = []
        for n in at:
            again = found and not self._fills(self.body.statements[n], root)
            found[-1:] = [(found[-1][0], n)] if again else [*found[-1:], (n, n)]
        return [*found[:-1], (found[-1][0], end)] if found else [(self.end, end)]

    def _fills(self, s: Statement, root: Buffer) -> bool:
        """Whether a statement does nothing to a class but give it another value."""
        if not isinstance(s, Copy) or not is_whole(s):
            return False
        source, target = [self.classes.root(b) for b, _ in (s.source, s.target)]
        return target is root is not source

    def _is_inside(self, buffer: Buffer) -> bool:
        """Whether all that accesses a buffer is in this body."""
        return common(self.bodies.home[buffer], self.body) is self.body

    def _why_not_meet(self, old: Buffer, new: Buffer, n: Segment, m: Segment) -> str | None:
        """Why a segment of one class and one of the other, which overlap, are more than a transfer."""
        if m[0] < n[0] or (m[0] == n[0] and m[1] < n[1]):
            old, new, n, m = new, old, m, n
        if n[1] != m[0]:
            return READ_AFTER
        at = m[0]
        if at in (-1, self.end):
            return READ_AFTER
        statement = self.body.statements[at]
        if at in self.swaps:
            pair = {self.classes.root(b) for b in (self.swaps[at].first, self.swaps[at].second)}
            return None if pair == {old, new} else READ_AFTER
        for a, b in ((old, new), (new, old)) if n[0] == at == m[1] else ((old, new),):
            if self._transfers(statement, a, b):
                return None
        return READ_WHILE

    def _transfers(self, statement: Statement, old: Buffer, new: Buffer) -> bool:
        """Whether a statement reads a class only where it then writes the other one."""
        if isinstance(statement, Copy):
            source, target = statement.source[0], statement.target[0]
            roots = self.classes.root(source), self.classes.root(target)
            return is_whole(statement) and roots == (old, new)
        if isinstance(statement, If) and all(
            self._branch_transfers(inside, old, new) for inside in bodies(statement)
        ):
            return True
        reads: list[Access] = []
        writes: list[Access] = []
        for a in self._of_either(statement, old, new):
            of_old = self.classes.root(a.buffer) is old
            if a.writes if of_old else not a.writes:
                return False
            if of_old and writes:
                return False
            (reads if of_old else writes).append(a)
        return bool(writes) and in_place(reads, writes)

    def _of_either(self, statement: Statement, old: Buffer, new: Buffer) -> list[Access]:
        """What a statement accesses of two classes, in the order in which it runs."""
        found = self.accesses.get(statement)
        if found is None:
            found = self.accesses[statement] = {}
            for time, a in enumerate(accesses((statement,))):
                found.setdefault(a.buffer, []).append((time, a))
        members = [*self.classes.of(old), *self.classes.of(new)]
        met = [a for b in members if b in found for a in found[b]]
        return [a for _, a in sorted(met, key=lambda pair: pair[0])]

    def _branch_transfers(self, body: Sequence[Statement], old: Buffer, new: Buffer) -> bool:
        """Whether a branch only reads one class up to the statement in which it begins to write the other one."""
        written = False
        for s in body:
            found = {old: Use(), new: Use()}
            for buffer, use in uses((s,)).items():
                root = self.classes.root(buffer)
                if root in found:
                    before = found[root]
                    leads = use.leads if before == Use() else before.leads and use.leads
                    found[root] = Use(before.reads or use.reads, before.writes or use.writes, leads)
            ours, theirs = found[old], found[new]
            if (
                ours.writes
                or (written and ours.reads)
                or (not written and theirs.reads and not theirs.leads)
            ):
                return False
            if theirs.writes and not written:
                if ours.reads and not self._transfers(s, old, new):
                    return False
                written = True
        return True

    def events_of(self, buffer: Buffer) -> list[tuple[int, Use]]:
        """The statements that access the class of a buffer, and how."""
        return self.events.get(self.classes.root(buffer), [])


def _of(s: Copy | Swap) -> str:
    """What a statement is for, as text."""
    return "" if s.origin is None else f", {s.origin}"


def _copies(statements: Sequence[Statement]) -> Iterator[Copy]:
    """The copies among statements, and in their branches."""
    for s in statements:
        if isinstance(s, Copy):
            yield s
        elif isinstance(s, If):
            for inside in bodies(s):
                yield from _copies(inside)


def _meetings(first: list[Segment], second: list[Segment]) -> Iterator[tuple[Segment, Segment]]:
    """The pairs of segments that overlap or touch."""
    n = m = 0
    while n < len(first) and m < len(second):
        a, b = first[n], second[m]
        if a[0] <= b[1] and b[0] <= a[1]:
            yield a, b
        if a[1] <= b[1]:
            n += 1
        else:
            m += 1


def _united(first: list[Segment], second: list[Segment]) -> list[Segment]:
    """Segments of both, those that touch put together."""
    found: list[Segment] = []
    for a in sorted([*first, *second]):
        if found and a[0] <= found[-1][1]:
            found[-1] = found[-1][0], max(a[1], found[-1][1])
        else:
            found.append(a)
    return found


# ------------------------------------------------------------------------------------------------ arena


def _place(kernel: Kernel) -> tuple[dict[Buffer, Dim], Dim]:
    """An offset for each temp that needs memory of its own, and the size of the arena.

    A temp of a loop's body only lives there from statement to statement: what one run needs one after the other lies
    in one place.  The gradient of a scan over four layers with `checkpoint` took 14 states of room beside those that
    it keeps, and takes 5.
    """
    lives: dict[Buffer, Lifetime] = {}  # of a class
    for buffer, life in Times(kernel).lives().items():
        root = kernel.memory_of(buffer)
        if root.kind == "temp":
            lives[root] = hull([lives.get(root, life), life])
    for group in turns(kernel):  # each may be in the memory of any
        roots = {kernel.memory_of(b) for b in group} & lives.keys()
        lives.update(dict.fromkeys(roots, hull([lives[b] for b in roots])) if roots else {})
    sizes = {b: _round_up(b.bytes) for b in lives}
    fixed = [b for b in lives if isinstance(sizes[b], int)]
    offsets_, end_ = first_fit([Life(*lives[b], sizes[b]) for b in fixed])  # type: ignore[arg-type]
    offsets: dict[Buffer, Dim] = dict(zip(fixed, offsets_, strict=True))
    end: Dim = end_
    for buffer in lives:  # sizes that are only known when it runs: one after the other
        if buffer not in offsets:
            offsets[buffer] = end
            end = end + sizes[buffer]
    return offsets, end


def _round_up(size: Dim) -> Dim:
    return dims.floordiv(size + ALIGNMENT - 1, ALIGNMENT) * ALIGNMENT
