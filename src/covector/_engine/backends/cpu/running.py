"""Running folds: a loop that keeps each state of s := s op value runs on lanes.

The lanes of a vector are folded with those 1, 2, 4, ... before them, and then with the state so far (Hillis and Steele,
"Data parallel algorithms", 1986).  One after the other an element took as long as the operation until its result is
there: a sum of 1M float32 took 0.9 of PyTorch's time, and takes 0.3; a largest one so far 4.4, and takes 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from covector._engine.backends.base import Target
from covector._engine.backends.cpu.instructions import register_type
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.patterns import order_of
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.kernel import Assign, Buffer, Loop, Store, nodes
from covector._engine.ir.scalar import Expr

ASSOCIATIVE = frozenset(("add", "mul", "max", "min"))


class Running(NamedTuple):
    """What such a loop does: its states with their operations and operands, the stores of them, its lanes."""

    states: tuple[tuple[Expr, str, Expr], ...]
    stores: tuple[Store, ...]
    width: int


def running(loop: Loop, target: Target, memory_of: Callable[[Buffer], Buffer]) -> Running | None:
    """The running folds that a loop is; None if it is something else, or too short."""
    if not loop.body:  # of arrays that hold nothing
        return None
    first, *rest = loop.body
    stores = tuple([s for s in rest if isinstance(s, Store) and s.condition is None])
    if not isinstance(first, Assign) or not stores or len(stores) < len(rest):
        return None
    states = _folds(first)
    if states is None or not _keeps_to_itself(states, stores, memory_of):
        return None
    if not all(isinstance(ix.coefficient(s.index, loop.name), int) for s in stores):
        return None
    operands = nodes([value for _, _, value in states], set())
    dtypes = [*[e.dtype for e in (*operands, *first.locals)], *[s.buffer.dtype for s in stores]]
    width = min(map(target.lanes, dtypes))
    short = isinstance(loop.extent, int) and loop.extent < 2 * width
    return None if short or width < 4 else Running(states, stores, width)


def _folds(assign: Assign) -> tuple[tuple[Expr, str, Expr], ...] | None:
    """Each state with the operation and the operand that change it; None if it changes otherwise."""
    states: list[tuple[Expr, str, Expr]] = []
    for local, value in zip(assign.locals, assign.values, strict=True):
        others = [e for e in value.args if e is not local]
        if value.op not in ASSOCIATIVE or len(value.args) != 2 or len(others) != 1:
            return None
        states.append((local, value.op, others[0]))
    return tuple(states)


def _keeps_to_itself(
    states: Sequence[tuple[Expr, str, Expr]],
    stores: Sequence[Store],
    memory_of: Callable[[Buffer], Buffer],
) -> bool:
    """Whether what a step computes is made of its states, and of no element that another step writes."""
    operands = list(nodes([value for _, _, value in states], set()))
    results = list(nodes([s.value for s in stores], set()))
    own = {local for local, _, _ in states}
    if any(e.op == "local" and (e in operands or e not in own) for e in (*operands, *results)):
        return False
    places = {(memory_of(s.buffer), s.index) for s in stores}
    written = {memory for memory, _ in places}
    for e in (*operands, *results):
        if e.op == "load":
            buffer, index = e.attr  # type: ignore[misc]
            memory = memory_of(buffer)
            if memory in written and (e in results or (memory, index) not in places):
                return False
    return True


def fold_lanes(lanes: LoopEmitter, op: str, x: str, dtype: np.dtype) -> str:
    """Each lane with all lanes before it."""
    type_, width = register_type(dtype, lanes.width), lanes.width
    step = 1
    while step < width:
        order = order_of([n - step if n >= step else n for n in range(width)])
        moved = lanes.line(f"shufflevector {type_} {x}, {type_} poison, {order}")
        both = applied(lanes, op, moved, x, dtype)
        there = ", ".join(f"i1 {str(n >= step).lower()}" for n in range(width))
        x = lanes.line(f"select <{width} x i1> <{there}>, {type_} {both}, {type_} {x}")
        step *= 2
    return x


def applied(lanes: LoopEmitter, op: str, x: str, y: str, dtype: np.dtype) -> str:
    """One operation on two operands."""
    a, b = (Expr("local", (), dtype, name) for name in ("before", "here"))
    lanes.values[a], lanes.values[b] = x, y
    return lanes.value(scalar.apply(op, a, b))


def write_states(lanes: LoopEmitter, found: Running) -> None:
    """The next states, a vector of each; the last one is kept for the vector that follows."""
    one, frame = lanes.one, lanes.frame
    for local, op, value in found.states:
        type_, element = lanes.type(local.dtype), register_type(local.dtype, 1)
        folded = fold_lanes(lanes, op, lanes.value(value), local.dtype)
        slot, _ = frame.locals[local]
        before = lanes.spread(one.line(f"load {element}, ptr {slot}"), element)
        folded = applied(lanes, op, before, folded, local.dtype)
        last = one.line(f"extractelement {type_} {folded}, i64 {lanes.width - 1}")
        frame.lines.append(f"  store {element} {last}, ptr {slot}")
        lanes.values[local] = folded
