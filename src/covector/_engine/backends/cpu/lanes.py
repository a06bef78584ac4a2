"""What lanes fold: each has a state of its own, in each copy of a body; after the loop these become one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covector._engine.backends.cpu.frame import Frame
from covector._engine.backends.cpu.instructions import (
    register_element,
    register_type,
    suffix,
    vector,
)
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.patterns import order_of
from covector._engine.ir import scalar
from covector._engine.ir.kernel import Assign, Fold, Init, Loop, changes, folded_into, walk
from covector._engine.ir.renaming import Renaming
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes

State = dict[Expr, tuple[str, int]]  # of each local that lanes fold into: where it is, how many


def states_of_nothing(frame: Frame, loop: Loop, width: int, copies: int) -> list[State]:
    """For each copy of the body: where the locals from outside that it folds into are kept."""
    own = {s.local for s in walk(loop.body) if isinstance(s, Init)}
    lanes, states = LoopEmitter(frame, width), list[State]()
    for _ in range(copies):
        state: State = {}
        for local, start in [pair for s in walk(loop.body) for pair in folded_into(s)]:
            if local not in own and local not in state:
                type_ = register_type(local.dtype, width)
                state[local] = frame.alloca(type_), width
                frame.lines.append(f"  store {type_} {lanes.value(start)}, ptr {state[local][0]}")
        states.append(state)
    return states


class Kept:
    """States of lanes, while these fold."""

    def __init__(self, emitter: LoopEmitter):
        self.states: dict[Loop | None, list[State]] = {}
        self._emitter = emitter

    def begin(self, loop: Loop) -> list[State]:
        """States for what a loop with lanes folds: of nothing."""
        how = loop.schedule
        found = states_of_nothing(self._emitter.frame, loop, how.vector, how.unroll)
        self.states[loop] = found
        return found

    def end(self, loop: Loop) -> list[Fold | Assign]:
        """What is left to do then."""
        return folded_together(self._emitter, loop, loop.schedule.vector, self.states.pop(loop))


def below(emitter: LoopEmitter, base: str, limit: str, width: int) -> str:
    """The mask of lanes n with base + n < limit."""
    if base.isdigit() and limit.isdigit():
        there = int(limit) - int(base)
        return f"<{', '.join(f'i1 {str(n < there).lower()}' for n in range(width))}>"
    left = emitter.line(f"sub i64 {limit}, {base}")
    most = emitter.line(f"call i64 @llvm.smin.i64(i64 {left}, i64 {width})")
    emitter.module.declare("@llvm.smin.i64", "declare i64 @llvm.smin.i64(i64, i64)")
    count = emitter.line(f"trunc i64 {most} to i32")
    spread = LoopEmitter(emitter.frame, width).spread(count, "i32")
    numbers = ", ".join(f"i32 {n}" for n in range(width))
    return emitter.line(f"icmp ult <{width} x i32> <{numbers}>, {spread}")


def rows_inside(loop: Loop) -> Loop | None:
    """The loop with lanes that is all there is in a plain one, whose runs fold into what is outside of both.

    Its states last from row to row: 64 maxima of 64 numbers took twice as long as one of 4,096.
    """
    inner = loop
    while len(inner.body) == 1 and isinstance(inner.body[0], Loop):
        inner = inner.body[0]
        if inner.schedule.parallel:
            return None
        if inner.schedule.vector > 1:
            return inner if any(True for s in walk(inner.body) for _ in folded_into(s)) else None
    return None


def folded_together(
    emitter: LoopEmitter, loop: Loop, width: int, states: Sequence[State]
) -> list[Fold | Assign]:
    """What is left to do: fold into each local what the lanes of all copies have together."""
    left: list[Fold | Assign] = []
    done: set[Expr] = set()
    for s in walk(loop.body):
        if not done.isdisjoint(changes(s)) or not states[0].keys() >= {*changes(s)}:
            continue
        if isinstance(s, Fold):
            left.append(_one(emitter, s, width, states))
        elif isinstance(s, Assign):
            left.append(_several(emitter, s, width, states))
        done.update(changes(s))
    return left


def _parts(
    lanes: LoopEmitter, locals_: Sequence[Expr], states: Sequence[State]
) -> list[tuple[Expr, ...]]:
    """What lanes have folded, of each copy."""
    parts: list[tuple[Expr, ...]] = []
    for state in states:
        part = _like(locals_, "part")
        for e, local in zip(part, locals_, strict=True):
            lanes.values[e] = lanes.line(f"load {lanes.type(e.dtype)}, ptr {state[local][0]}")
        parts.append(part)
    return parts


def _like(locals_: Sequence[Expr], name: str) -> tuple[Expr, ...]:
    return tuple([Expr("local", (), e.dtype, name) for e in locals_])


def _one(emitter: LoopEmitter, s: Fold, width: int, states: Sequence[State]) -> Fold:
    lanes = LoopEmitter(emitter.frame, width)
    parts = [part for (part,) in _parts(lanes, (s.local,), states)]
    while len(parts) > 1:
        pairs = [parts[n : n + 2] for n in range(0, len(parts), 2)]
        parts = [scalar.apply(s.op, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    (total,) = _like((s.local,), "total")
    emitter.values[total] = across(emitter, s.op, lanes.value(parts[0]), s.local.dtype, width)
    return Fold(s.local, s.op, total, s.identity)


def _several(emitter: LoopEmitter, s: Assign, width: int, states: Sequence[State]) -> Assign:
    """Of lanes: one half is folded into the other, until one lane is left."""
    lanes, fold = LoopEmitter(emitter.frame, width), s.fold
    assert fold is not None

    def both(a: Sequence[Expr], b: Sequence[Expr]) -> tuple[Expr, ...]:
        names = dict(zip((*s.locals, *fold.taken), (*a, *b), strict=True))
        return tuple(map(Renaming({}, names).expr, fold.result))

    first, *others = _parts(lanes, s.locals, states)
    for other in others:
        first = both(first, other)
    half = width // 2
    while half:
        turned = _like(first, "turned")
        for e, new in zip(first, turned, strict=True):
            lanes.values[new] = _turned(lanes, lanes.type(e.dtype), lanes.value(e), half, width)
        first, half = both(first, turned), half // 2
    totals = _like(first, "total")
    for e, total in zip(first, totals, strict=True):
        operand = f"{lanes.type(e.dtype)} {lanes.value(e)}"
        emitter.values[total] = emitter.line(f"extractelement {operand}, i64 0")
    return Assign(s.locals, both(s.locals, totals))


def _turned(emitter: LoopEmitter, type_: str, operand: str, by: int, width: int) -> str:
    """The lanes of a vector, each in the place of the one so many before it."""
    order = order_of([(n + by) % width for n in range(width)])
    return emitter.line(f"shufflevector {type_} {operand}, {type_} poison, {order}")


def across(emitter: LoopEmitter, op: str, operand: str, dtype: np.dtype, width: int) -> str:
    """One value from the lanes of a vector."""
    type_, element = register_type(dtype, width), register_element(dtype)
    floating = element in ("float", "double")
    if op in ("min", "max") and floating:
        return _extreme_across(emitter, f"llvm.{op}imum", operand, element, width)
    if op in ("min", "max"):
        name = f"{'u' if dtypes.kind(dtype) in 'ub' else 's'}{op}"
    else:
        name = f"f{op}" if floating else op
    full = f"@llvm.vector.reduce.{name}.{suffix(element, width)}"
    if floating and op in ("add", "mul"):
        emitter.module.declare(full, f"declare {element} {full}({element}, {type_})")
        start = "-0.0" if op == "add" else "1.0"
        return emitter.line(f"call reassoc {element} {full}({element} {start}, {type_} {operand})")
    emitter.module.declare(full, f"declare {element} {full}({type_})")
    return emitter.line(f"call {element} {full}({type_} {operand})")


def _extreme_across(emitter: LoopEmitter, name: str, operand: str, element: str, width: int) -> str:
    """By halves, in whole vectors: LLVM's own reduction takes up to 15 instructions for each, these are four."""
    type_, full = vector(element, width), f"@{name}.{suffix(element, width)}"
    emitter.module.declare(full, f"declare {type_} {full}({type_}, {type_})")
    half = width // 2
    while half:
        turned = _turned(emitter, type_, operand, half, width)
        operand = emitter.line(f"call {type_} {full}({type_} {operand}, {type_} {turned})")
        half //= 2
    return emitter.line(f"extractelement {type_} {operand}, i64 0")
