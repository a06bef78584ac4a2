"""Calls of one function on several numbers, as one call on lanes.

A small Program that is written out element by element calls its functions for each element: 60 scalars in the carry of
a loop are 60 sines.  Those that do not wait for each other are computed side by side before the first of them is asked
for, if nothing that they are computed from changes until then.  600 such steps and their gradient took 248 us, and
take 78.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from covector._engine.backends.cpu.instructions import register_type, vector
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.scalars import Emitter
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Fold,
    Init,
    Note,
    Statement,
    Store,
    below,
    changes,
    roots,
)
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes

WHOLE = (dtypes.float32, dtypes.float64)  # dtypes that are computed as they are

Key = tuple[str, tuple[np.dtype, ...]]  # a function and the dtypes of its arguments


def straight(statements: Sequence[Statement]) -> Iterator[tuple[int, list[Statement]]]:
    """The stretches of statements that run one after the other, each all of it, and where they begin."""
    run: list[Statement] = []
    for n, s in enumerate(statements):
        if isinstance(s, (Init, Assign, Fold, Note)) or (isinstance(s, Store) and not s.condition):
            run.append(s)
        elif run:
            yield n - len(run), run
            run = []
    if run:
        yield len(statements) - len(run), run


class Packs:
    """The calls of a stretch of statements, for one element, that are computed together when it begins."""

    def __init__(self, run: Sequence[Statement], emitter: LoopEmitter):
        self.emitter, self.target = emitter, emitter.frame.target
        self._ready: dict[Expr, int | None] = {}
        self._changed: set[Expr] = set()
        self._written: set[Buffer] = set()
        self._packed: dict[tuple[str, ...], str] = {}
        self.levels: list[dict[Key, list[Expr]]] = []
        for s in run:
            for e in roots(s):
                self._look(e)
            self._changed.update(changes(s))
            if isinstance(s, Init):
                self._changed.add(s.local)
            if isinstance(s, Store):
                self._written.add(emitter.frame.memory_of(s.buffer))

    def _look(self, e: Expr) -> None:
        """Find out about an expression and what is below, without recursion: after how many calls each may be computed.

        None: not before the statement that asks for it.
        """
        ready, stack = self._ready, [e]
        while stack:
            node = stack[-1]
            if node in ready:
                stack.pop()
            elif node in self.emitter.values and node not in self._changed:
                ready[node] = 0
            elif missing := [a for a in below(node) if a not in ready]:
                stack += missing
            else:
                ready[node] = self._after(node)

    def _after(self, node: Expr) -> int | None:
        level = 0
        for a in below(node):
            found = self._ready[a]
            if found is None:
                return None
            level = max(level, found)
        match node.op:
            case "local" if node in self._changed:
                return None
            case "load" if self.emitter.frame.memory_of(node.attr[0]) in self._written:  # type: ignore[index]
                return None
            case "iterate" | "project":
                return None
            case "call" if all(a.dtype in WHOLE for a in (node, *node.args)):
                while len(self.levels) <= level:
                    self.levels.append({})
                key = str(node.attr), tuple([a.dtype for a in node.args])
                self.levels[level].setdefault(key, []).append(node)
                return level + 1
            case _:
                return level

    def write(self) -> None:
        """Write the calls that have enough company, those first that others wait for."""
        least = self.target.limits.packed
        for groups in self.levels:
            for (name, types), calls in groups.items():
                most = min(map(self.target.lanes, types))
                for first in range(0, len(calls), most):
                    if len(together := calls[first : first + most]) >= least:
                        self._call(name, types, together)

    def _call(self, name: str, types: tuple[np.dtype, ...], calls: Sequence[Expr]) -> None:
        emitter, width = self.emitter, 1 << (len(calls) - 1).bit_length()
        rows = zip(*[[emitter.value(a) for a in e.args] for e in calls], strict=True)
        operands = [self._pack(row, t, width) for row, t in zip(rows, types, strict=True)]
        lanes = Emitter(emitter.module, width, emitter.lines, emitter.fresh)
        result = lanes.call(name, operands, types)
        made = register_type(calls[0].dtype, width)
        for n, e in enumerate(calls):
            emitter.values[e] = emitter.line(f"extractelement {made} {result}, i64 {n}")

    def _pack(self, row: Sequence[str], dtype: np.dtype, width: int) -> str:
        """A vector of these operands; what is left of its lanes has the first one, so that all compute the same way."""
        row = (*row, *[row[0]] * (width - len(row)))
        found = self._packed.get(row)
        if found is None:
            element, found = register_type(dtype, 1), "poison"
            for n, operand in enumerate(row):
                lane = f"{element} {operand}, i64 {n}"
                found = self.emitter.line(f"insertelement {vector(element, width)} {found}, {lane}")
            self._packed[row] = found
        return found
