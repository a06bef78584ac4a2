"""The proof of a memory plan: no statement reads a value that something else in the same memory has overwritten.

It knows nothing of how a plan was made.  It goes through the Kernel in the order in which it runs and keeps, for each
buffer, the writes that have destroyed its value: those to other buffers that live at the same time and whose memory
overlaps.  A read of a destroyed value is an error, unless the write was in an earlier run of a loop and its places are
proved to be others than those that later runs read.

What it takes grows as the Kernel does: a loop is gone through with what it accesses only, and again only if it begins
with something new.

One law of Kernels is taken for granted here, and checked by the oracle: what a run of a body reads from a buffer that
only this body accesses, and that it first writes, was written in the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from covector._engine.base.errors import VerificationError
from covector._engine.ir.access import Access, Reader, apart, is_whole, uses
from covector._engine.ir.kernel import (
    Buffer,
    Copy,
    If,
    Kernel,
    Loop,
    Statement,
    Swap,
    While,
    bodies,
    children,
    title,
    walk,
)
from covector._engine.ir.lives import Span, Times, at_most, together, turns
from covector._engine.types import dims
from covector._engine.types.dims import Dim

ALIGNMENT = 64


def verify_plan(kernel: Kernel, after: str = "memory") -> None:
    """VerificationError, naming the buffers and the statements, if the plan of a Kernel's memory is wrong."""
    MemoryMap(kernel, after).verify()
    Proof(kernel, after).run()


# ------------------------------------------------------------------------------------------------- layout


def rounded(size: Dim) -> Dim:
    """A size in bytes as the arena counts it: symbolic ones can be compared like that."""
    return dims.floordiv(size + ALIGNMENT - 1, ALIGNMENT) * ALIGNMENT


class MemoryMap:
    """Where each buffer lies, and whether that is inside the memory that there is."""

    def __init__(self, kernel: Kernel, after: str):
        self.kernel, self.after = kernel, after
        self.memories = kernel.memories()

    def fail(self, text: str) -> VerificationError:
        return VerificationError(f"after {self.after}: {text}\n{self.kernel}")

    def region(self, buffer: Buffer) -> Span:
        """Where a buffer lies; a result that may lie on an argument is taken to lie there."""
        root = self.kernel.memory_of(buffer)
        if root.kind == "temp":
            offset = self.kernel.offsets[root]
            return Span(None, offset, offset + rounded(root.bytes))
        return Span(self.memories.get(root, root), 0, root.bytes)

    def verify(self) -> None:
        """Each temp has a place inside the arena, at a multiple of 64 bytes, and what shares is as large."""
        kernel = self.kernel
        for buffer in uses(kernel.body):
            root = kernel.memory_of(buffer)
            if root.kind == "temp" and root not in kernel.offsets:
                raise self.fail(f"{buffer} has no place in the arena")
        for buffer, offset in kernel.offsets.items():
            if not at_most(offset + rounded(buffer.bytes), kernel.arena) or not at_most(0, offset):
                raise self.fail(f"{buffer} lies outside the arena")
            if isinstance(offset, int) and offset % ALIGNMENT:
                raise self.fail(f"{buffer} does not lie at a multiple of {ALIGNMENT} bytes")
        for buffer, other in kernel.shares.items():
            if buffer.kind != "temp" or other.kind not in ("temp", "output"):
                raise self.fail(f"{buffer} must not lie in the memory of {other}")
            if (buffer.size, buffer.dtype) != (other.size, other.dtype):
                raise self.fail(
                    f"{buffer} lies in the memory of {other}, but differs in size or type"
                )
        taken: set[Buffer] = set()
        for out, inp in kernel.aliases:
            pair = kernel.outputs[out], kernel.inputs[inp]
            if taken & set(pair):
                raise self.fail(f"one of {pair[0]} and {pair[1]} shares memory twice")
            taken |= set(pair)
            if pair[0].bytes != pair[1].bytes:
                raise self.fail(f"{pair[0]} may lie on {pair[1]}, but they differ in size")


# -------------------------------------------------------------------------------------------------- proof


class Damage(NamedTuple):
    """A write that destroyed a value, and the loop of which it was an earlier run; None: it stands before."""

    write: Access
    earlier: Loop | None


@dataclass(slots=True)
class Knowledge:
    """What is known at one point: of each buffer whether it was written, and what has destroyed its value."""

    written: set[Buffer] = field(default_factory=set)
    damage: dict[Buffer, dict[Damage, None]] = field(default_factory=dict)  # in order

    def part(self, buffers: Iterable[Buffer]) -> Knowledge:
        """What is known of some buffers, to go on from on another way."""
        known = [(b, dict(self.damage[b])) for b in buffers if b in self.damage]
        return Knowledge({b for b in buffers if b in self.written}, dict(known))

    def covers(self, other: Knowledge) -> bool:
        """Whether nothing is known in another state that is not known here."""
        return other.written <= self.written and all(
            found.keys() <= self.damage.get(b, {}).keys() for b, found in other.damage.items()
        )

    def join(self, other: Knowledge) -> bool:
        """Take in what holds on another way to the same point; whether that is anything new."""
        if self.covers(other):
            return False
        self.written |= other.written
        self.take(other)
        return True

    def take(self, other: Knowledge) -> None:
        """Take in what is known to be destroyed in another state."""
        for b, found in other.damage.items():
            if found:
                self.damage.setdefault(b, {}).update(found)

    def reset(self, buffer: Buffer) -> None:
        """A value of this buffer that something may destroy is not there yet."""
        self.damage.pop(buffer, None)


class Proof(MemoryMap):
    """Goes through a Kernel with a `Knowledge`."""

    def __init__(self, kernel: Kernel, after: str):
        super().__init__(kernel, after)
        self.reader = Reader()
        self.times = Times(kernel)
        self.turns = [s for s in walk(kernel.body) if isinstance(s, Swap) and not kernel.is_idle(s)]
        self.partners = self._partners()
        # How loops began, and what they left; of one that is gone through again.
        self.known: dict[tuple[Statement, ...], tuple[Knowledge, Knowledge]] = {}

    def _partners(self) -> dict[Buffer, dict[Buffer, None]]:
        """Of each buffer those that live at the same time in memory that may overlap its own."""
        lives = self.times.lives()
        regions = {b: [self.region(b)] for b in lives}
        group_of: dict[Buffer, list[Buffer]] = {}
        for group in turns(self.kernel):  # what takes turns may be in the memory of any
            places = [self.region(b) for b in group]
            for n, b in enumerate(group):
                for m, other in enumerate(group[:n]):
                    if places[m].overlaps(places[n]):
                        raise self.fail(f"{other} and {b} take turns, but overlap")
                regions[b], group_of[b] = places, group
        entries = [
            (lives[b], region, b) for b, found in regions.items() if b.size != 0 for region in found
        ]
        partners: dict[Buffer, dict[Buffer, None]] = {b: {} for b in lives}
        for a, b in together(entries):
            if group_of.get(a, a) is not group_of.get(b, b):
                partners[a][b] = partners[b][a] = None
        return partners

    def near(self, s: Statement) -> dict[Buffer, None]:
        """What the body of a statement accesses, and what that may overwrite."""
        inside = [b for b in self.times.inside.get(s, ()) if b.kind != "local"]
        return dict.fromkeys([*inside, *[x for b in inside for x in self.partners[b]]])

    def run(self) -> None:
        """Go through all statements; at the end, all results must be there."""
        kernel = self.kernel
        state = Knowledge(set(kernel.inputs))
        self.body(kernel.body, state)
        for out in kernel.outputs:
            for damage in state.damage.get(out, ()):
                raise self.fail(f"the result {out} is overwritten: {_by(damage)}")
        for s in self.turns:
            if any(self.region(b).memory is not None for b in (s.first, s.second)):
                raise self.fail(
                    f"{s.first} and {s.second} take turns, but the caller looks for one at its own place"
                )

    def body(self, statements: Sequence[Statement], state: Knowledge) -> None:
        """One run of a body."""
        for s in statements:
            if isinstance(s, Swap):
                self.swap(s, state)
            else:
                found = self.reader.own(s)
                self.access(found, state)
                self.access([a for a in found if a.during], state)
            if isinstance(s, Copy) and is_whole(s):
                state.reset(s.target[0])
            if isinstance(s, (Loop, While)):
                self.loop(s, state)
            elif isinstance(s, If):
                self.branch(s, state)
            elif children(s):
                raise self.fail(f"nothing is known of what `{title(s)}` does to memory")

    def access(self, accesses: Sequence[Access], state: Knowledge) -> None:
        """Check reads, and note what writes destroy."""
        for a in accesses:
            if a.buffer.kind == "local" or a.buffer.size == 0:
                continue
            if a.writes:
                self.write(a, state)
            else:
                self.read(a, state)

    def write(self, a: Access, state: Knowledge) -> None:
        state.written.add(a.buffer)
        for other in self.partners[a.buffer]:
            if other in state.written and not self._keeps(a, other):
                state.damage.setdefault(other, {})[Damage(a, None)] = None

    def _keeps(self, a: Access, other: Buffer) -> bool:
        """Whether a write leaves another buffer's value alone: a copy onto itself."""
        s = a.statement
        return isinstance(s, Copy) and s.source[0] is other and self._same_place(s)

    def _same_place(self, s: Copy) -> bool:
        (target, at), (source, start) = s.target, s.source
        return at == start and self.region(target) == self.region(source)

    def read(self, a: Access, state: Knowledge) -> None:
        if a.buffer not in state.written:
            raise self.fail(f"{a.buffer} is read by `{title(a.statement)}` before it is written")
        for damage in state.damage.get(a.buffer, ()):
            if not self._is_elsewhere(a, damage):
                raise self.fail(
                    f"`{title(a.statement)}` reads {a.buffer}, but its value is gone: {_by(damage)}"
                )

    def _is_elsewhere(self, a: Access, damage: Damage) -> bool:
        """Whether a write in an earlier run of a loop is proved to be at other places than a read in this one."""
        write, loop = damage
        if loop is None or loop not in a.around or loop not in write.around:
            return False
        same = self.region(a.buffer) == self.region(write.buffer)
        return same and a.buffer.dtype == write.buffer.dtype and apart(write, a, loop)

    def swap(self, s: Swap, state: Knowledge) -> None:
        """The names change places, and what is known of them does."""
        a, b = s.first, s.second
        damage = state.damage
        damage[a], damage[b] = damage.get(b, {}), damage.get(a, {})
        for one, other in ((a, b), (b, a)):
            if one in state.written and other not in state.written:
                state.written.remove(one)
                state.written.add(other)
                break

    def loop(self, s: Loop | While, state: Knowledge) -> None:
        """A body that may run any number of times; one with a condition ends after the test."""
        near, own = self.near(s), self.times.own.get(s, ())
        start = state.part(near)
        for buffer in own:
            start.written.discard(buffer)
            start.reset(buffer)
        place = (s, *self.reader.around)
        known = self.known.get(place)
        if known is None or not known[0].covers(start):
            if known is not None:
                # Or the loops inside would begin with less again than before, and each level of them twice as often.
                start.take(known[0])
            # Where nothing else lies in the same memory, no run destroys what another one reads.
            again = any(self.partners[b] for b in near)
            known = self.known[place] = start.part(near), self._runs(s, start, near, own, again)
        state.join(known[1])

    def _runs(
        self,
        s: Loop | While,
        state: Knowledge,
        near: Iterable[Buffer],
        own: Sequence[Buffer],
        again: bool,
    ) -> Knowledge:
        """What holds after any number of runs; each time round, something new is known to be destroyed."""
        (body,), ends = bodies(s), len(s.test) + 1 if isinstance(s, While) else 0
        # Of runs that have no number nothing is known.
        earlier = s if isinstance(s, Loop) else None
        while True:
            inside = state.part(near)
            for buffer in own:
                inside.written.discard(buffer)
                inside.reset(buffer)
            self.reader.enter(s)
            self.body(body[:ends], inside)
            leaving = inside.part(near)
            self.body(body[ends:], inside)
            self.reader.leave()
            for b, found in inside.damage.items():
                inside.damage[b] = {
                    Damage(d.write, earlier if s in d.write.around else d.earlier): None
                    for d in found
                }
            if not state.join(inside) or not again:
                break
        state.join(leaving)
        for b, found in state.damage.items():
            state.damage[b] = {
                Damage(d.write, None if d.earlier is s else d.earlier): None for d in found
            }
        return state

    def branch(self, s: If, state: Knowledge) -> None:
        """Bodies of which one may run."""
        before = state.part(near := self.near(s))
        for body in bodies(s):
            inside = before.part(near)
            self.reader.enter(s)
            self.body(body, inside)
            self.reader.leave()
            state.join(inside)


def _by(damage: Damage) -> str:
    return f"`{title(damage.write.statement)}` has written {damage.write.buffer} in the same memory"
