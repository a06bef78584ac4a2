"""Rewriting of loops: what the steps of a schedule (`ir/steps.py`) make of a nest.

Each takes a nest, which is a loop whose runs are free, and gives statements that compute the same.  Whether a step may
be taken is not asked here (`ir/legal.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from covector._engine.base.record import replace
from covector._engine.compile.turning import Tiled, reads_across, turning
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.builder import load
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Combination,
    Fold,
    Init,
    Loop,
    Statement,
    Store,
    walk,
)
from covector._engine.ir.legal import chain_of, folded_outside, named
from covector._engine.ir.renaming import Renaming
from covector._engine.ir.scalar import Expr
from covector._engine.ir.steps import Beside, Fill, Join, Pieces, Step, Stream, Tile, Together
from covector._engine.types import dims
from covector._engine.types.dims import Dim

Temp = Callable[[str, np.dtype, Dim], Buffer]


def rewrite(nest: Loop, step: Step, temp: Temp) -> list[Statement]:
    """The statements that a step makes of a nest; `temp` makes buffers."""
    match step:
        case Join():
            return [_Joined(nest, step).statement(nest)]
        case Tile():
            return _tiled(nest, step, temp)
        case Together():
            return _run_together(nest, step)
        case Pieces():
            return _in_pieces(nest, step, temp)
        case Stream():
            return _streamed(nest, step, temp)
        case Fill():
            return [_filled(nest, step)]
        case Beside():
            return _beside(nest, step, temp)


# ---------------------------------------------------------------------------------------- together and apart


class _Joined(Renaming):
    """Runs of loops as one loop each: the variable of the last one counts through all of their elements."""

    def __init__(self, nest: Loop, step: Join):
        extents = {s.name: s.extent for s in walk((nest,)) if isinstance(s, Loop)}
        values: dict[str, Dim] = {}
        self.joined: dict[str, tuple[Dim, Dim]] = {}
        for run in step.runs:
            total = dims.product(extents[name] for name in run)
            variable = ix.loop_variable(run[-1], total)
            values.update(dict.fromkeys(run[:-1], 0))
            values[run[-1]] = variable
            self.joined[run[-1]] = variable, total
        super().__init__(values)

    def loop(self, s: Loop) -> Loop:
        while s.name in self.values and s.name not in self.joined:
            (inner,) = s.body
            assert isinstance(inner, Loop)
            s = inner
        if s.name not in self.joined:
            return super().loop(s)
        variable, total = self.joined[s.name]
        return Loop(variable, total, self.body(s.body), free=s.free)


def _around(loops: Sequence[Loop], body: Sequence[Statement]) -> list[Statement]:
    """The same loops, the first outermost, around another body."""
    made = tuple(body)
    for loop in reversed(loops):
        made = (replace(loop, body=made),)
    return list(made)


def _turned(chain: Sequence[Loop], step: Tile) -> Statement | None:
    """Nothing but a copy, by the routine that turns squares in registers; None if it is something else."""
    found = turning(chain[-1].body, {x.name: x.extent for x in chain}, step.side // 2)
    if found is None or (found.across, found.along) != (step.across, step.along):
        return None
    rest = [loop for loop in chain if loop.name not in found.loops]
    (made,) = _around(rest, [found.call])
    return made


def _tiled(nest: Loop, step: Tile, temp: Temp) -> list[Statement]:
    chain, side = chain_of(nest), step.side
    if (turned := _turned(chain, step)) is not None:
        return [turned]
    starts: dict[str, Dim] = {}
    inner: list[Loop] = []
    tiles: list[Loop] = []
    for name in (step.across, step.along):
        loop = named(chain, name)
        count = dims.floordiv(loop.extent + side - 1, side)
        tile: Dim = 0
        if count != 1:
            tile = ix.loop_variable(f"{name}t", count)
            tiles.append(Loop(tile, count, (), free=True))
        starts[name] = tile * side
        extent = dims.minimum(side, loop.extent - starts[name])
        inner.append(Loop(ix.loop_variable(name, extent), extent, (), free=True))
    rest = [loop for loop in chain if loop.name not in starts]
    body = chain[-1].body
    tiled = Tiled(inner, side, starts)
    calls = [
        tiled.turn(read, temp("turned", read.buffer.dtype, 0).name)
        for read in reads_across(body, step.across, step.along)
    ]
    return _around([*rest, *tiles], [*calls, *_around(inner, tiled.body(body))])


def _run_together(nest: Loop, step: Together) -> list[Statement]:
    chain = chain_of(nest)
    loop = named(chain, step.loop)
    assert isinstance(loop.extent, int)
    extent = loop.extent // step.rows
    variable = 0 if extent == 1 else ix.loop_variable(loop.name, extent)
    begun = [s.local for s in walk(loop.body) if isinstance(s, Init)]
    copies: list[tuple[Statement, ...]] = []
    for n in range(step.rows):
        own = {e: Expr("local", (), e.dtype, f"{e.attr}.{n}") for e in begun}
        copies.append(Renaming({loop.name: variable * step.rows + n}, own).body(loop.body))
    body = _as_one(copies)
    if extent != 1:
        body = [Loop(variable, extent, tuple(body), free=True)]
    return _around(chain[: chain.index(loop)], body)


def _as_one(bodies: Sequence[Sequence[Statement]]) -> list[Statement]:
    """Bodies of one shape as one: their loops run together."""
    result: list[Statement] = []
    for same in zip(*bodies, strict=True):
        if isinstance(first := same[0], Loop):
            inside = [s.body for s in same if isinstance(s, Loop)]
            result.append(replace(first, body=tuple(_as_one(inside))))
        else:
            result.extend(same)
    return result


class _Filled(Renaming):
    """Two loops as one; places that both lead through are put together."""

    def dim(self, d: Dim) -> Dim:
        return ix.rejoin(super().dim(d))


def _rows_as_one(outer: Loop, inner: Loop, body: Sequence[Statement]) -> Loop:
    """A loop over all elements of rows, which are runs of the inner one."""
    total, length = outer.extent * inner.extent, inner.extent
    at = ix.loop_variable(inner.name, total)
    values = {outer.name: dims.floordiv(at, length), inner.name: dims.mod(at, length)}
    return Loop(at, total, _Filled(values).body(body), free=True)


def _filled(nest: Loop, step: Fill) -> Statement:
    chain = chain_of(nest)
    outer, inner = named(chain, step.outer), named(chain, step.inner)
    (made,) = _around(chain[: chain.index(outer)], [_rows_as_one(outer, inner, inner.body)])
    return made


# ------------------------------------------------------------------------------------------- folds in pieces


class _States:
    """What a loop folds into locals from outside, each in a row of states: one for each piece and each result."""

    def __init__(self, loop: Loop, pieces: Dim, around: Sequence[Loop], temp: Temp):
        self.folds = folded_outside(loop)
        self.locals = [e for f in self.folds for e in _targets(f)]
        self.starts = [e for f in self.folds for e in _starts(f)]
        self.name, self.pieces = f"{loop.name}q", pieces
        self.width = dims.product(x.extent for x in around)
        self.row = ix.flatten([x.variable for x in around], [x.extent for x in around])
        self.buffers = [temp("part", e.dtype, pieces * self.width) for e in self.locals]

    def stored(self, piece: Dim, values: Sequence[Expr]) -> list[Statement]:
        """Keep the states of a piece."""
        at = piece * self.width + self.row
        return [Store(b, at, e) for b, e in zip(self.buffers, values, strict=True)]

    def merged(self) -> list[Statement]:
        """Fold the states of all pieces into the locals."""
        piece = 0 if self.pieces == 1 else ix.loop_variable(self.name, self.pieces)
        buffers = iter(self.buffers)
        merges: list[Statement] = []
        for f in self.folds:
            at = piece * self.width + self.row
            states = [load(next(buffers), at) for _ in _targets(f)]
            if isinstance(f, Fold):
                merges.append(Fold(f.local, f.op, states[0], f.identity))
            else:
                fold = _combination(f)
                taking = Renaming({}, dict(zip(fold.taken, states, strict=True)))
                merges.append(Assign(f.locals, tuple(map(taking.expr, fold.result)), fold))
        return merges if piece == 0 else [Loop(piece, self.pieces, tuple(merges), free=True)]

    def sums(self) -> list[Statement] | None:
        """Bring the locals into being with the states of all pieces together; None if these are more than sums."""
        begun: list[Statement] = []
        for f, b in zip(self.folds, self.buffers, strict=False):
            if not isinstance(f, Fold) or not isinstance(self.pieces, int):
                return None
            first, *others = [load(b, n * self.width + self.row) for n in range(self.pieces)]
            begun.append(Init(f.local, _folded(f.op, first, others)))
        return begun


def _targets(f: Fold | Assign) -> tuple[Expr, ...]:
    return (f.local,) if isinstance(f, Fold) else f.locals


def _starts(f: Fold | Assign) -> tuple[Expr, ...]:
    return (f.identity,) if isinstance(f, Fold) else _combination(f).starts


def _combination(f: Assign) -> Combination:
    assert f.fold is not None, "a loop whose runs are free assigns to fold"
    return f.fold


def _replaced(
    around: Sequence[Loop], loop: Loop, statements: Sequence[Statement]
) -> list[Statement]:
    """The loops around a loop, with statements in its place."""
    if not around:
        return list(statements)
    made: list[Statement] = []
    for s in around[-1].body:
        made.extend(statements if s is loop else [s])
    return _around(around, made)


def _in_pieces(nest: Loop, step: Pieces, temp: Temp) -> list[Statement]:
    around, loop = _found(nest, step.loop)
    states = _States(loop, step.count, around, temp)
    chunk = dims.floordiv(loop.extent + step.count - 1, step.count)
    piece = 0 if step.count == 1 else ix.loop_variable(f"{loop.name}p", step.count)
    start = piece * chunk
    extent = dims.maximum(0, dims.minimum(chunk, loop.extent - start))
    variable = ix.loop_variable(loop.name, extent)
    own = {e: Expr("local", (), e.dtype, f"{e.attr}p") for e in states.locals}
    part = Renaming({loop.name: variable + start}, own).body(loop.body)
    first: list[Statement] = [
        *[Init(own[e], start) for e, start in zip(states.locals, states.starts, strict=True)],
        Loop(variable, extent, part, free=True),
        *states.stored(piece, list(own.values())),
    ]
    first = _around(around, first)
    if piece != 0:
        first = [Loop(piece, step.count, tuple(first), free=True)]
    return first + _replaced(around, loop, states.merged())


def _found(nest: Loop, name: str) -> tuple[list[Loop], Loop]:
    """A loop of a nest, and those around it."""
    chain = chain_of(nest)
    for n, loop in enumerate(chain):
        if loop.name == name:
            return chain[:n], loop
    inside = [s for s in chain[-1].body if isinstance(s, Loop)]
    return chain, named(inside, name)


def _streamed(nest: Loop, step: Stream, temp: Temp) -> list[Statement]:
    """Column by column the sums of 4096 x 1024 float32 took 1.5 ms: each line of the cache comes from another page."""
    around, loop = _found(nest, step.loop)
    assert isinstance(loop.extent, int)
    states = _States(loop, step.pieces, around, temp)
    chunk = -(-loop.extent // step.pieces)
    piece = 0 if step.pieces == 1 else ix.loop_variable(f"{loop.name}p", step.pieces)
    row = ix.loop_variable(f"{loop.name}r", chunk // step.rows)
    extent: Dim = chunk // step.rows
    if step.rows == 1:  # the last piece may have fewer rows, or none
        extent = dims.maximum(0, dims.minimum(chunk, loop.extent - piece * chunk))
    at = piece * states.width + states.row
    held = {e: Expr("local", (), e.dtype, f"{e.attr}r") for e in states.locals}
    body: list[Statement] = []
    for b, local in zip(states.buffers, held.values(), strict=True):
        body.append(Init(local, load(b, at)))
    now: dict[Expr, Expr] = {}
    for f in states.folds:
        rows = [{loop.name: piece * chunk + row * step.rows + n} for n in range(step.rows)]
        if isinstance(f, Fold):
            values = [Renaming(at_row).expr(f.value) for at_row in rows]
            now[f.local] = _folded(f.op, held[f.local], values)
            continue
        state: dict[Expr, Expr] = {e: held[e] for e in f.locals}
        for at_row in rows:
            state = dict(zip(f.locals, Renaming(at_row, state).exprs(f.values), strict=True))
        now |= state
    body += [Store(b, at, now[e]) for b, e in zip(states.buffers, states.locals, strict=True)]
    inside: list[Statement] = [
        *_around(around, states.stored(piece, states.starts)),
        Loop(row, extent, tuple(_around(around, body))),
    ]
    if piece != 0:
        inside = [Loop(piece, step.pieces, tuple(inside), free=True)]
    return inside + _replaced(around, loop, states.merged())


def _folded(op: str, state: Expr, values: list[Expr]) -> Expr:
    """The state after these values were folded in: those of several rows first together."""
    while len(values) > 1:
        pairs = [values[n : n + 2] for n in range(0, len(values), 2)]
        values = [scalar.apply(op, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return scalar.apply(op, state, values[0])


def _beside(nest: Loop, step: Beside, temp: Temp) -> list[Statement]:
    """Parts of a fold as rows of one vector, and then these folded together."""
    (*around, row), loop = _found(nest, step.loop)
    kind = "local" if around else "temp"  # runs of loops around it may be side by side
    states = _States(loop, step.parts, [row], lambda *what: replace(temp(*what), kind=kind))
    assert isinstance(loop.extent, int)
    extent = loop.extent // step.parts
    part = ix.loop_variable(f"{loop.name}p", step.parts)
    run = 0 if extent == 1 else ix.loop_variable(loop.name, extent)
    own = {e: Expr("local", (), e.dtype, f"{e.attr}p") for e in states.locals}
    folds = Renaming({loop.name: run * step.parts + part}, own).body(loop.body)
    first: list[Statement] = [
        *[Init(own[e], start) for e, start in zip(states.locals, states.starts, strict=True)],
        *(folds if run == 0 else [Loop(run, extent, folds, free=True)]),
        *states.stored(part, list(own.values())),
    ]
    parts = _rows_as_one(Loop(part, step.parts, (), free=True), row, first)
    return _around(around, [parts, replace(row, body=_with_states(row.body, loop, states))])


def _with_states(body: Sequence[Statement], loop: Loop, states: _States) -> tuple[Statement, ...]:
    """A body with the states of all parts folded together where a loop stood: the first one is where sums begin."""
    starts = dict(zip(states.locals, states.starts, strict=True))
    begun = [s for s in body if isinstance(s, Init) and starts.get(s.local) is s.value]
    merged = states.sums() if {s.local for s in begun} == {*states.locals} else None
    gone = () if merged is None else begun
    within = states.merged() if merged is None else merged
    return tuple([x for s in body if s not in gone for x in (within if s is loop else [s])])
