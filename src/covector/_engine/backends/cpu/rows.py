"""Short rows as lanes: those of a vector of them are loaded whole, and turned into columns in registers.

A row that is shorter than a vector fills a part of one, and what its lanes fold has to become one value at each row.
So lanes run across rows, as many of which as there are lanes lie in a block of memory.  Vectors of them become columns
in steps: each makes, of the vectors of two groups of rows, vectors of both groups with half as many columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from covector._engine.backends.cpu.contents import has_loops
from covector._engine.backends.cpu.instructions import memory_element, memory_type
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.patterns import order_of
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Assign, Buffer, Fold, Loop, nodes, roots, walk
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.dims import Dim


class _Vector(NamedTuple):
    operand: str
    at: dict[tuple[int, int], int]  # the lane of each row's element of each column


def columns_of(emitter: LoopEmitter, loop: Loop) -> list[dict[Expr, str]] | None:
    """For each run of a loop the values that it reads of rows, one a lane; None if there are none, or a loop is better.

    Called inside a loop with lanes, all of which exist.
    """
    longest = emitter.frame.target.loops.longest_row
    if not isinstance(loop.extent, int) or not 1 < loop.extent <= longest:
        return None
    if emitter.mask is not None or emitter.lane is None or has_loops(loop.body):
        return None
    if not all(isinstance(s, (Fold, Assign)) for s in loop.body):
        return None
    found: list[dict[Expr, str]] = [{} for _ in range(loop.extent)]
    blocks: dict[tuple[Buffer, Dim], list[str]] = {}
    seen: set[Expr] = set()
    for e in (e for s in walk(loop.body) for e in nodes(roots(s), seen)):
        if e.op != "load" or e.args:
            continue
        buffer, d = e.attr  # type: ignore[misc]
        row, step, first = _row(emitter, loop, d)
        if row is None or buffer in emitter.frame.lane_buffers:
            continue
        base = d - step * loop.variable - first
        low, high = dims.bounds(base)
        size = buffer.size
        if low is None or high is None or low < 0 or not isinstance(size, int) or high + row > size:
            continue
        if (buffer, base) not in blocks:
            blocks[buffer, base] = _turned(emitter, buffer, base, row)
        columns = blocks[buffer, base][first : first + step * loop.extent : step]
        for known, operand in zip(found, columns, strict=True):
            known[e] = emitter.from_memory(operand, e.dtype)
    return found if found[0] else None


def _row(emitter: LoopEmitter, loop: Loop, d: Dim) -> tuple[int | None, int, int]:
    """How long a row is, how far apart its elements are, and where the first is; no length if none is there."""
    row, step = emitter.stride(d), ix.coefficient(d, loop.name)
    loops = emitter.frame.target.loops
    if not isinstance(row, int) or not isinstance(step, int) or step < 1 or isinstance(d, int):
        return None, 0, 0
    if not loops.near < row <= 2 * loops.longest_row:
        return None, 0, 0
    first = dict(d.terms).get((), 0) % row
    if first + step * (int(loop.extent) - 1) >= row:  # type: ignore[arg-type]
        return None, 0, 0
    return row, step, first


def _turned(emitter: LoopEmitter, buffer: Buffer, base: Dim, row: int) -> list[str]:
    """The columns of as many rows as there are lanes, which lie one after the other from `base` on."""
    rows, width = 1, emitter.width
    while 2 * rows * row <= width:
        rows *= 2
    groups = [
        _loaded(emitter, buffer, base, row, range(first, first + rows))
        for first in range(0, width, rows)
    ]
    type_ = memory_type(buffer.dtype, width)
    while rows < width:
        rows *= 2
        groups = [
            _merged(emitter, type_, pair, row, range(n * rows, (n + 1) * rows))
            for n, pair in enumerate(zip(groups[::2], groups[1::2], strict=True))
        ]
    (columns,) = groups
    return [v.operand for v in columns]


def _loaded(
    emitter: LoopEmitter, buffer: Buffer, base: Dim, row: int, rows: range
) -> list[_Vector]:
    """The elements of some rows, of a vector's columns each; no vector ends after the block."""
    width, dtype = emitter.width, buffer.dtype
    block = emitter.address(buffer, emitter.scalar_index(base))
    made: list[_Vector] = []
    for begin in range(0, row, width):
        start = min(rows.start * row + begin, width * (row - 1))
        address = emitter.line(
            f"getelementptr inbounds {memory_element(dtype)}, ptr {block}, i64 {start}"
        )
        type_ = memory_type(dtype, width)
        operand = emitter.line(f"load {type_}, ptr {address}, align {dtype.itemsize}")
        columns = range(begin, min(begin + width, row))
        made.append(_Vector(operand, {(r, c): r * row + c - start for r in rows for c in columns}))
    return made


def _merged(
    emitter: LoopEmitter, type_: str, pair: Sequence[list[_Vector]], row: int, rows: range
) -> list[_Vector]:
    """Of the vectors of two groups of rows those of both, with half as many columns each."""
    width = emitter.width
    most = width // len(rows)
    made: list[_Vector] = []
    for n, begin in enumerate(range(0, row, most)):
        first, second = (vectors[n // 2] for vectors in pair)
        order = [(r, c) for r in rows for c in range(begin, begin + most)]
        taken = order_of([_lane(first, second, width, x) for x in order])
        operand = emitter.line(
            f"shufflevector {type_} {first.operand}, {type_} {second.operand}, {taken}"
        )
        made.append(_Vector(operand, {x: i for i, x in enumerate(order) if x[1] < row}))
    return made


def _lane(first: _Vector, second: _Vector, width: int, x: tuple[int, int]) -> int | None:
    if x in first.at:
        return first.at[x]
    return second.at[x] + width if x in second.at else None
