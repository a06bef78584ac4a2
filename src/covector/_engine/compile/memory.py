"""Memory: which buffers share memory, and where each temp lies in the arena.

Two buffers share where one is a copy of the other, or computed from it element by element at the same place, and the
older is not read after.  That makes updates run in place, in loops too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from covector._engine.backends.base import Job
from covector._engine.ir.kernel import (
    Buffer,
    Copy,
    Kernel,
    Loop,
    Statement,
    Store,
    Swap,
    accesses,
    loads,
    read_by,
    walk,
)  # fmt: skip
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim

ALIGNMENT = 64  # of the arena and of what lies in it, in bytes: part of the ABI


def plan(kernel: Kernel, job: Job) -> Kernel:
    """The Kernel with sharing decided, needless copies and swaps left out, and temps placed in the arena."""
    explain = job.explain("copy")
    shares: dict[Buffer, Buffer] = {}
    aliases: list[tuple[int, int]] = []
    body = _share_in(kernel.body, shares, explain)
    for i in job.donated:
        buffer = kernel.inputs[i]
        for o, out in enumerate(kernel.outputs):
            if (
                out.size != buffer.size
                or out.dtype != buffer.dtype
                or any(o == a for a, _ in aliases)
            ):
                continue
            reason = _why_not_share(body, buffer, out)
            explain(f"donated {buffer} -> {out}: {reason or 'in place'}")
            if reason is None:
                aliases.append((o, i))
                break
    offsets, arena = _place(body, shares)
    return replace(
        kernel, body=body, aliases=tuple(aliases), offsets=offsets, arena=arena, shares=shares
    )


def _root(buffer: Buffer, shares: dict[Buffer, Buffer]) -> Buffer:
    while buffer in shares:
        buffer = shares[buffer]
    return buffer


def _share_in(
    body: tuple[Statement, ...], shares: dict[Buffer, Buffer], explain: Callable[[str], None]
) -> tuple[Statement, ...]:
    """Share what a loop's swaps alternate between, and what copies connect; innermost first."""
    result: list[Statement] = []
    for statement in body:
        if isinstance(statement, Loop) and any(
            isinstance(s, Loop | Swap | Copy) for s in statement.body
        ):
            inside = _share_in(statement.body, shares, explain)
            inside = _share_swaps(inside, shares, explain)
            statement = replace(statement, body=inside)
        result.append(statement)
    return tuple(result)


def _share_swaps(
    body: tuple[Statement, ...], shares: dict[Buffer, Buffer], explain: Callable[[str], None]
) -> tuple[Statement, ...]:
    """Let the next carry be computed on top of the current one, where nothing reads the current one after."""
    kept: list[Statement] = []
    swaps = [s for s in body if isinstance(s, Swap)]
    others = tuple(s for s in body if not isinstance(s, Swap))
    done: set[Swap] = set()
    for swap in swaps:
        reason = _why_not_share(others, swap.first, swap.second)
        explain(f"carry {swap.first}: {reason or 'in place'}")
        if reason is None:
            shares[swap.second] = swap.first
            done.add(swap)
    for s in body:
        if s in done:
            continue
        if (
            isinstance(s, Copy)
            and _root(s.target[0], shares) is _root(s.source[0], shares)
            and s.target[1] == s.source[1]
        ):
            continue
        kept.append(s)
    return tuple(kept)


def _why_not_share(body: Sequence[Statement], old: Buffer, new: Buffer) -> str | None:
    """Why `new` must not be computed in the memory of `old`; None if it may."""
    written = False
    for statement in body:
        read, wrote = accesses(statement)
        if old in wrote:
            return "the old value is written"
        touches_new = new in wrote
        if touches_new and old in read:
            if written or not _same_places(statement, old, new):
                return "the old value is read while the new one is written"
            written = True
        elif old in read and written:
            return "the old value is read after the new one is written"
        elif new in read and not written and not touches_new:
            return "the new value is read before it is written"
        written = written or touches_new
    return None


def _same_places(statement: Statement, old: Buffer, new: Buffer) -> bool:
    """Whether the statement reads `old` only where it writes `new` in the same run of the innermost loop."""
    if isinstance(statement, Copy):
        return statement.target == (new, statement.source[1])
    seen: set[Expr] = set()
    read: set[Dim] = set()
    wrote: set[Dim] = set()
    for inner in walk((statement,)):
        if isinstance(inner, Loop):
            loops_with = [
                s
                for s in inner.body
                if isinstance(s, Loop) and any(b in (old, new) for b in _buffers(s))
            ]
            if len(loops_with) > 1 or (
                loops_with
                and any(_touches(s, (old, new)) for s in inner.body if s not in loops_with)
            ):
                return False
        found = {index for buffer, index in loads(read_by(inner), seen) if buffer is old}
        if found and wrote:  # read anew, after the new value is stored there
            return False
        read |= found
        if isinstance(inner, Store) and inner.buffer is new:
            wrote.add(inner.index)
        elif not isinstance(inner, Store | Loop) and new in accesses(inner)[1]:
            return False
    return read <= wrote and len(wrote) == 1


def _touches(statement: Statement, buffers: Iterable[Buffer]) -> bool:
    read, wrote = accesses(statement)
    return any(b in read or b in wrote for b in buffers)


def _buffers(statement: Statement) -> set[Buffer]:
    read, wrote = accesses(statement)
    return read | wrote


# ------------------------------------------------------------------------------------------------------ arena


def _place(
    body: tuple[Statement, ...], shares: dict[Buffer, Buffer]
) -> tuple[dict[Buffer, Dim], Dim]:
    """An offset for each temp: those that are never live together may overlap (first fit, by first use)."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for n, statement in enumerate(body):
        for buffer in sorted(_buffers(statement), key=lambda b: b.name):  # the same in each run
            if buffer.kind == "temp":
                root = _root(buffer, shares)
                first.setdefault(root, n)
                last[root] = n
    for swap in walk(body):  # what takes turns lives as long as either of the two
        if isinstance(swap, Swap):
            pair = [_root(b, shares) for b in (swap.first, swap.second)]
            lives = min(first[b] for b in pair), max(last[b] for b in pair)
            for b in pair:
                first[b], last[b] = lives
    offsets: dict[Buffer, Dim] = {}
    constant = [b for b in first if isinstance(b.bytes, int)]
    arena = _first_fit(
        sorted(constant, key=lambda b: (first[b], -int(b.bytes))), first, last, offsets
    )
    end: Dim = arena
    for buffer in first:  # sizes that are only known when it runs: one after the other
        if buffer not in offsets:
            offsets[buffer] = end
            end = end + _round_up(buffer.bytes)
    for buffer in shares:
        root = _root(buffer, shares)
        if root in offsets:
            offsets[buffer] = offsets[root]
    return offsets, end


def _round_up(size: Dim) -> Dim:
    return dims.floordiv(size + ALIGNMENT - 1, ALIGNMENT) * ALIGNMENT


def _first_fit(
    order: Sequence[Buffer],
    first: dict[Buffer, int],
    last: dict[Buffer, int],
    offsets: dict[Buffer, Dim],
) -> int:
    end = 0
    placed: list[tuple[int, int, Buffer]] = []  # (offset, size, buffer)
    for buffer in order:
        size = _round_up(buffer.bytes)
        assert isinstance(size, int)
        busy = sorted(
            (o, s) for o, s, b in placed if last[b] >= first[buffer] and first[b] <= last[buffer]
        )
        offset = 0
        for o, s in busy:
            if offset + size <= o:
                break
            offset = max(offset, o + s)
        offsets[buffer] = offset
        placed.append((offset, size, buffer))
        end = max(end, offset + size)
    return end
