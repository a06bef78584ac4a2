"""Copies whose rows become columns, for the routine that turns squares in registers.

By tiles 1,024 x 1,024 float32 took 1.3 to 2.6 of PyTorch's time, so it takes 0.25.  Rows of the routine's matrix may be
those of two axes of an array: where axes are reversed, two of them lie one after the other on one side, and as one they
are long enough, whatever each is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from covector._engine.core import routine
from covector._engine.core.routine import RuntimeRoutine, dense, runtime_routine
from covector._engine.ir import index as ix
from covector._engine.ir.access import from_data, written
from covector._engine.ir.builder import load
from covector._engine.ir.kernel import Buffer, Init, Loop, Routine, Statement, Store, nodes, roots
from covector._engine.ir.renaming import Renaming
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim

WIDTHS = (1, 2, 4, 8, 16)  # of elements that the routine takes


def _turning(parameters: Sequence[int], read: routine.Read, write: routine.Write) -> None:
    """to[place(j) + i] = from[place(i) + j], of elements of so many bytes; each place is that of two axes."""
    width, rows, columns, *places = parameters
    (inner_rows, from_step, from_far), (inner_columns, to_step, to_far) = places[:3], places[3:]
    dtype = np.dtype(f"u{width}" if width <= 8 else "c16")
    at = dense((rows // inner_rows, inner_rows, columns), (from_far, from_step, 1))
    x = read(0, at.reshape(rows, columns), dtype)
    into = dense((columns // inner_columns, inner_columns, rows), (to_far, to_step, 1))
    write(1, into.reshape(columns, rows), x.T)


TURN = runtime_routine(RuntimeRoutine("turn", "moved", _turning, on_all_threads=True))


class _Copy(NamedTuple):
    """What a body copies: an element, or both parts of one."""

    source: Buffer
    read: Dim
    target: Buffer
    write: Dim
    parts: int

    def strides(self, place: Dim, names: Sequence[str]) -> dict[str, Dim]:
        """How far apart elements are along loops, where that is known."""
        found: dict[str, Dim] = {}
        for name in names:
            stride = ix.coefficient(place, name)
            if self.parts == 1 and stride is not None:
                found[name] = stride
            elif isinstance(stride, int) and stride % self.parts == 0:
                found[name] = stride // self.parts
        return found


def _one_copied(s: Statement) -> _Copy | None:
    if not isinstance(s, Store) or s.condition or s.value.op != "load" or s.value.args:
        return None
    source, read = s.value.attr  # type: ignore[misc]
    if (
        "local" in (s.buffer.kind, source.kind)
        or not s.buffer.dtype == source.dtype == s.value.dtype
    ):
        return None
    return _Copy(source, read, s.buffer, s.index, 1)


def _copied(body: Sequence[Statement]) -> _Copy | None:
    """What is all that a body does, if that is to copy."""
    first, *others = map(_one_copied, body)
    if first is None or not others:
        return first
    (second,) = others if len(others) == 1 else (None,)
    if second is None or (first.source, first.target) != (second.source, second.target):
        return None
    beside = ix.rejoin(second.read - first.read), ix.rejoin(second.write - first.write)
    return first._replace(parts=2) if beside == (1, 1) else None


class Turning(NamedTuple):
    """A copy as calls of the routine, for each run of the loops that are left."""

    call: Routine
    across: str  # the loop along rows of what is read
    along: str  # the loop along rows of what is written
    loops: tuple[str, ...]  # all that the routine runs through


def turning(body: Sequence[Statement], extents: Mapping[str, Dim], least: int) -> Turning | None:
    """How a body of loops inside each other turns rows into columns, of no fewer than so many; None if it does not."""
    copy = _copied(body)
    if copy is None or copy.target.dtype.itemsize * copy.parts not in WIDTHS:
        return None
    reads, writes = (copy.strides(place, list(extents)) for place in (copy.read, copy.write))
    across = next((n for n, stride in reads.items() if stride == 1), None)
    along = next((n for n, stride in writes.items() if stride == 1), None)
    if across is None or along is None or across == along or along not in reads:
        return None
    if across not in writes:
        return None
    if dims.is_true(lambda: extents[across] < extents[along]):  # the shorter one needs more
        columns = _with_next(across, reads, writes, extents, (along,))
        rows = _with_next(along, writes, reads, extents, columns)
    else:
        rows = _with_next(along, writes, reads, extents, (across,))
        columns = _with_next(across, reads, writes, extents, rows)
    counts = [dims.product(extents[n] for n in names) for names in (rows, columns)]
    if not all(dims.is_true(lambda c=c: c >= least) for c in counts):
        return None
    zero = Renaming(dict.fromkeys((*rows, *columns), 0))
    call = Routine(
        TURN,
        ((copy.source, zero.dim(copy.read)), (copy.target, zero.dim(copy.write))),
        (
            copy.target.dtype.itemsize * copy.parts,
            *counts,
            *_axes(rows, reads, extents),
            *_axes(columns, writes, extents),
        ),
        writes=(1,),
        work=counts[0] * counts[1],
    )
    return Turning(call, across, along, (*rows, *columns))


def _with_next(
    name: str,
    there: Mapping[str, Dim],
    elsewhere: Mapping[str, Dim],
    extents: Mapping[str, Dim],
    taken: Sequence[str],
) -> tuple[str, ...]:
    """A loop, and the one whose runs follow it in one row of memory, if there is one."""
    for other, stride in there.items():
        if other not in (name, *taken) and stride == extents[name] and other in elsewhere:
            return name, other
    return (name,)


def _axes(
    names: Sequence[str], strides: Mapping[str, Dim], extents: Mapping[str, Dim]
) -> tuple[Dim, Dim, Dim]:
    """How many of the inner loop there are, how far apart they are, and how far those of the outer loop."""
    inner, *outer = names
    return extents[inner], strides[inner], strides[outer[0]] if outer else 0


class Read(NamedTuple):
    """What is read across its rows: elements that lie beside each other along one loop, far apart along another."""

    buffer: Buffer
    place: Dim
    far: Dim
    parts: int  # of an element, as of complex numbers


def reads_across(body: Sequence[Statement], across: str, along: str) -> list[Read]:
    """What a body reads across rows, of which the routine can turn a tile before."""
    if not all(isinstance(s, (Store, Init)) for s in body):
        return []
    taken, seen, found = {*written(body)}, set[Expr](), dict[Read, None]()
    for e in (e for s in body for e in nodes(roots(s), seen) if e.op == "load"):
        buffer, place = e.attr  # type: ignore[misc]
        if e.args or buffer in taken or buffer.kind == "local" or from_data(place):
            continue
        read = _across(buffer, place, across, along)
        if read is not None and buffer.dtype.itemsize * read.parts in WIDTHS:
            found[read] = None
    return list(found)


def _across(buffer: Buffer, place: Dim, across: str, along: str) -> Read | None:
    step, far = ix.coefficient(place, across), ix.coefficient(place, along)
    if step == 1 and far not in (0, 1, None):
        return Read(buffer, place, far, 1)
    if step != 2 or not isinstance(far, int) or far in (0, 2) or isinstance(place, int):
        return None
    first = place - dict(place.terms).get((), 0) % 2
    if any(c % 2 for _, c in first.terms):  # type: ignore[union-attr]
        return None
    return Read(buffer, first, far // 2, 2)


class Tiled(Renaming):
    """The body of loops in one tile, which begins at some runs of them.

    What it reads across rows is turned into private memory before: each line of the cache is read once.
    """

    def __init__(self, loops: Sequence[Loop], side: int, starts: Mapping[str, Dim]):
        across, along = loops
        super().__init__({x.name: x.variable + starts[x.name] for x in (across, along)})
        self.across, self.along, self.side = across, along, side
        self.starts = Renaming(starts)
        self.turned: dict[object, Expr] = {}  # what is read for a load, by its place

    def turn(self, read: Read, name: str) -> Routine:
        """The call that turns a tile of what is read, which is read there then."""
        buffer, place, far, parts = read
        to = Buffer(name, buffer.dtype, self.side * self.side * parts, "local")
        at = (self.across.variable * self.side + self.along.variable) * parts
        for n in range(parts):
            self.turned[buffer, place + n] = load(to, at + n)
        rows, columns = self.along.extent, self.across.extent
        return Routine(
            TURN,
            ((buffer, self.starts.dim(place)), (to, 0)),
            (to.dtype.itemsize * parts, rows, columns, rows, far, 0, columns, self.side, 0),
            writes=(1,),
            work=rows * columns,
        )

    def _node(self, node: Expr) -> Expr:
        to = self.turned.get(node.attr) if node.op == "load" and not node.args else None
        return super()._node(node) if to is None else to
