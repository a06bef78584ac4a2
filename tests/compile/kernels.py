"""Random Kernels, built directly: loops by all schedules, folds, conditions, copies, swaps, routines, private rows.

Values are small integers in float32 or int32, so that results are exact in any order.  What a statement needs is there:
buffers are written before they are read, and loops whose order is free do not read what they write.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from tests.compile.pool import MADE

from covector._engine.ir import index as ix, scalar
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Routine,
    Schedule,
    Statement,
    Store,
    Swap,
    While,
)
from covector._engine.ir.scalar import Expr, const
from covector._engine.types import dims, dtypes

F32, I32 = dtypes.float32, dtypes.int32
SIZES = (1, 4, 6, 12, 36)
KEYS = dtypes.CODES[F32]


class Maker:
    """Makes one Kernel; `defined` are the buffers that hold something."""

    def __init__(self, random: Random):
        self.random = random
        self.count = 0
        self.defined: list[Buffer] = []
        self.fixed: set[Buffer] = set()  # that must not be written any more
        self.shared: list[Expr] = []

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def choose(self, options: Any) -> Any:
        return self.random.choice(list(options))

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def buffer(self, kind: Any = "temp", like: Buffer | None = None) -> Buffer:
        dtype = self.choose([F32, F32, I32]) if like is None else like.dtype
        size = self.choose(SIZES) if like is None else like.size
        return Buffer(self.name(kind[0]), dtype, size, kind)

    def variable(self, extent: int) -> Any:
        return ix.loop_variable(self.name("i"), extent)

    # ------------------------------------------------------------------------------- expressions

    def place(self, size: int, at: Any) -> Any:
        """Somewhere in a buffer: at the same place, from behind, at one that comes from data."""
        way = self.random.random()
        if way < 0.5:
            return dims.mod(at, size)
        if way < 0.7:
            return size - 1 - dims.mod(at, size)
        if way < 0.8:
            return self.random.randrange(size)
        index = scalar.convert(self.leaf(at, depth=0), I32)
        index = scalar.apply("rem", scalar.apply("abs", index), const(size, I32))
        return ix.of_scalar(index, 0, size - 1)

    def leaf(self, at: Any, depth: int = 1, never: frozenset[Buffer] = frozenset()) -> Expr:
        readable = [b for b in self.defined if b not in never]
        if not readable or self.chance(0.15):
            return const(self.random.randint(-4, 4), F32)
        if self.chance(0.1):
            return ix.to_scalar(at, F32)
        buffer = self.choose(readable)
        size = int(buffer.size)  # type: ignore[arg-type]
        place = self.place(size, at) if depth else dims.mod(at, size)
        condition = ()
        if self.chance(0.15):
            condition = (ix.compare("lt", dims.mod(at, 7), 4),)
        return scalar.convert(Expr("load", condition, buffer.dtype, (buffer, place)), F32)

    def value(self, at: Any, dtype: np.dtype, never: frozenset[Buffer] = frozenset()) -> Expr:
        """A small integer; sometimes a node that an earlier statement of the same body has."""
        e = self.leaf(at, never=never)
        for _ in range(self.random.randint(0, 3)):
            other = (
                self.choose(self.shared)
                if self.shared and self.chance(0.4)
                else self.leaf(at, never=never)
            )
            op = self.choose(["add", "sub", "mul", "min", "max", "select"])
            if op == "select":
                e = scalar.select(e < other, other, e)
            else:
                e = scalar.apply(op, e, other)
            if op == "mul":
                e = scalar.apply("rem", e, const(17, F32))
        e = scalar.apply("rem", e, const(17, F32))
        self.shared.append(e)
        return scalar.convert(e, dtype)

    # -------------------------------------------------------------------------------- statements

    def split(self, size: int) -> tuple[int, int]:
        return self.choose([(n, size // n) for n in range(1, size + 1) if size % n == 0])

    def schedules(self) -> tuple[Schedule, Schedule]:
        outer = Schedule(parallel=self.chance(0.3))
        lanes, copies = self.chance(0.5), self.choose([1, 1, 4])
        return outer, Schedule(8, unroll=copies) if lanes else Schedule()

    def nest(self, *targets: Buffer) -> list[Statement]:
        """All of these targets, of one size."""
        rows, columns = self.split(int(targets[0].size))  # type: ignore[arg-type]
        i, j = self.variable(rows), self.variable(columns)
        at = i * columns + j
        outer, inner = self.schedules()
        never = frozenset(targets)
        self.shared = []
        body = tuple(Store(t, at, self.value(at, t.dtype, never)) for t in targets)
        self.shared = []
        found: Statement = Loop(j, columns, body, inner, 1e9, free=True)
        self.defined += [t for t in targets if t not in self.defined]
        return [Loop(i, rows, (found,), outer, 1e9, free=True)]

    def rows(self, target: Buffer) -> list[Statement]:
        """Each row is folded, kept in private memory, and read from there."""
        rows, columns = self.split(int(target.size))  # type: ignore[arg-type]
        i, j, k = self.variable(rows), self.variable(columns), self.variable(columns)
        outer, inner = self.schedules()
        row = Buffer(self.name("row"), F32, columns, "local")
        local = Expr("local", (), F32, self.name("s"))
        op, start = self.choose([("add", 0), ("max", -99), ("min", 99)])
        never = frozenset([target])
        value = self.value(i * columns + j, F32, never)
        self.shared = []
        first = (Store(row, j, value), Fold(local, op, value, const(start, F32)))
        kept = Expr("load", (), F32, (row, columns - 1 - k))
        new = scalar.apply("rem", kept + local, const(17, F32))
        second = (Store(target, i * columns + k, scalar.convert(new, target.dtype)),)
        body = (
            Init(local, const(start, F32)),
            Loop(j, columns, first, inner, free=True),
            Loop(k, columns, second, self.schedules()[1], free=True),
        )
        self.defined += [target] if target not in self.defined else []
        return [Loop(i, rows, body, outer, 1e9, free=True)]

    def running(self, target: Buffer) -> list[Statement]:
        """A local that takes in one element after the other."""
        n = int(target.size)  # type: ignore[arg-type]
        i = self.variable(n)
        local = Expr("local", (), F32, self.name("s"))
        value = scalar.apply("rem", local + self.value(i, F32, frozenset([target])), const(17, F32))
        self.shared = []
        body = (Assign((local,), (value,)), Store(target, i, scalar.convert(local, target.dtype)))
        self.defined += [target] if target not in self.defined else []
        return [Init(local, const(0, F32)), Loop(i, n, body)]

    def update(self) -> list[Statement]:
        """Some elements of a buffer that is there, under a condition, one after the other."""
        target = self.choose([b for b in self.defined if b not in self.fixed] or [None])
        if target is None:
            return []
        size = int(target.size)
        i = self.variable(self.choose([1, 3, size]))
        self.shared = []
        at = self.place(size, i)
        value = self.value(i, target.dtype)
        condition = self.leaf(i) < 2 if self.chance(0.5) else None
        self.shared = []
        return [Loop(i, i.terms[0][0][0].payload, (Store(target, at, value, condition),))]

    def copy(self) -> list[Statement]:
        source = self.choose(self.defined)
        target = self.buffer(like=source)
        self.defined.append(target)
        return [Copy((target, 0), (source, 0), source.size)]

    def part(self) -> list[Statement]:
        """A part of one buffer into another."""
        source = self.choose(self.defined)
        targets = [b for b in self.defined if b not in self.fixed and b.dtype == source.dtype]
        targets = [b for b in targets if b is not source]
        if not targets:
            return []
        target = self.choose(targets)
        n = self.random.randint(1, min(int(source.size), int(target.size)))
        at, start = (self.random.randint(0, int(b.size) - n) for b in (target, source))
        return [Copy((target, at), (source, start), n)]

    def routine(self) -> list[Statement]:
        if self.chance(0.5):
            source = self.choose(self.defined)
            if source.dtype != F32:
                return []
            target = self.buffer(like=source)
            rows, n = self.split(int(source.size))
            self.defined.append(target)
            place = (target, 0)
            return [
                Copy(place, (source, 0), source.size),
                Routine("sort_pairs", (place, place), (KEYS, 0, rows, n), (0,), (0,)),
            ]
        fitting = [b for b in self.defined if b.dtype == F32 and b.size in (6, 12)]
        if not fitting:
            return []
        a, b = self.choose(fitting), self.choose(fitting)
        raw = Buffer(self.name("t"), F32, 4, "temp")
        small = Buffer(self.name("t"), F32, 4, "temp")
        ta = self.chance(0.5)
        parameters = (int(ta), 0, 2, 2, 3, 2 if ta else 3, 2, 2)
        i = self.variable(4)
        value = scalar.apply("rem", Expr("load", (), F32, (raw, i)), const(17, F32))
        self.defined.append(small)
        return [
            Routine("sgemm", ((a, 0), (b, 0), (raw, 0)), parameters, (2,)),
            Loop(i, 4, (Store(small, i, value),), free=True),
        ]

    def branch(self) -> list[Statement]:
        body, orelse = self.update(), self.update() if self.chance(0.5) else []
        return [If(self.leaf(0) < 3, tuple(body), tuple(orelse))] if body else []

    def repeat(self, depth: int) -> list[Statement]:
        """A loop that counts in memory."""
        counter = Buffer(self.name("n"), I32, 1, "temp")
        self.fixed.add(counter)
        load = lambda: Expr("load", (), I32, (counter, 0))  # noqa: E731
        start = Store(counter, 0, const(0, I32))
        self.defined.append(counter)
        known = len(self.defined)
        body = self.block(depth - 1)
        del self.defined[known:]  # it may not run at all
        more = Store(counter, 0, load() + 1)
        return [start, While((), load() < self.random.randint(0, 3), (*body, more))]

    def scan(self, depth: int) -> list[Statement]:
        """One or two carries that take turns with what comes next."""
        starts = [self.choose(self.defined) for _ in range(self.random.randint(1, 2))]
        carries = [self.buffer(like=b) for b in starts]
        following = [self.buffer(like=b) for b in starts]
        before: list[Statement] = [
            Copy((c, 0), (b, 0), b.size) for c, b in zip(carries, starts, strict=True)
        ]
        self.defined += carries
        outside, self.fixed = self.fixed, self.fixed | {*self.defined}
        known = len(self.defined)
        inside = self.block(depth - 1)
        for c, n in zip(carries, following, strict=True):
            if self.chance(0.3):
                source = self.choose([b for b in self.defined if _fit(b, n)])
                inside.append(Copy((n, 0), (source, 0), n.size))
                self.defined.append(n)
                self.fixed.discard(n)
                inside += self.update()
            else:
                inside += self.choose([self.nest, self.rows, self.running])(n)
            del c
        del self.defined[known:]  # what is made inside is not there after
        swaps = [Swap(c, n) for c, n in zip(carries, following, strict=True)]
        self.fixed = outside | {*carries}
        t = self.variable(self.random.randint(1, 3))
        return [*before, Loop(t, t.terms[0][0][0].payload, (*inside, *swaps))]

    def block(self, depth: int) -> list[Statement]:
        """A few statements."""
        found: list[Statement] = []
        for _ in range(self.random.randint(1, 3)):
            found += self.any(depth)
        return found

    def any(self, depth: int) -> list[Statement]:
        self.shared = []
        way = self.random.random()
        if way < 0.3:
            targets = [self.buffer()]
            if self.chance(0.4):
                targets.append(self.buffer(like=targets[0]))
            return self.nest(*targets)
        if way < 0.5:
            return self.choose([self.rows, self.running])(self.buffer())
        if way < 0.85 or depth <= 0:
            return self.choose([self.update, self.copy, self.part, self.routine, self.branch])()
        return self.choose([self.repeat, self.scan, self.scan])(depth)

    def kernel(self) -> Kernel:
        MADE["kernels"] += 1
        inputs = [self.buffer("input") for _ in range(self.random.randint(1, 3))]
        self.defined += inputs
        self.fixed |= {*inputs}
        body: list[Statement] = []
        for _ in range(self.random.randint(2, 6)):
            body += self.any(2)
        outputs: list[Buffer] = []
        for _ in range(self.random.randint(1, 3)):
            source = self.choose(self.defined)
            out = self.buffer("output", source)
            if self.chance(0.5):
                body.append(Copy((out, 0), (source, 0), out.size))
                self.defined.append(out)
            else:
                body += self.choose([self.nest, self.rows, self.running])(out)
            self.fixed.discard(out)
            outputs.append(out)
            if self.chance(0.3):
                body += self.update()
        return Kernel("random", tuple(inputs), tuple(outputs), (), tuple(body))


def _fit(a: Buffer, b: Buffer) -> bool:
    return a.size == b.size and a.dtype == b.dtype


def operands(kernel: Kernel, seed: int) -> list[np.ndarray]:
    """Values for the inputs of a Kernel."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-8, 9, int(b.size)).astype(b.dtype) for b in kernel.inputs]  # type: ignore[arg-type]
