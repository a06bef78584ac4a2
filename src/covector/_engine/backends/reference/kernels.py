"""The oracle of Kernels: what every statement means, on NumPy, one run after the other.

`run(kernel, inputs)` is the living definition that plans, schedules and compiled code are tested against.  Each
buffer lies where the plan says: a place in the arena, the memory of another one.  Each load and store is inside its
buffer, and no load finds memory that nothing was written to: what is not live holds no value (`KernelError`).  With
`planned=False` each buffer has memory of its own, and what a run of a body keeps to itself is forgotten when the next
one starts, so both ways together check a plan.

Loops run in order; those whose order is free (`free`, or `vector`, or `parallel`) run in the order that `order` gives.
By default a loop with lanes runs all of them side by side, which is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.backends.reference.memory import Array, Memory, Scope
from covector._engine.backends.reference.scalars import OPERATIONS, evaluate_into
from covector._engine.base.errors import KernelError
from covector._engine.base.record import replace
from covector._engine.core.routine import ROUTINES
from covector._engine.ir.access import moves, uses
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
    Combination,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Note,
    Routine,
    Statement,
    Store,
    Swap,
    While,
    title,
    walk,
)
from covector._engine.ir.lives import Times
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Order = Callable[[int], Sequence[int]]
# What accesses memory, for messages: its text takes as long as running it does, and is made for a message only.
Who = Statement | Expr | str


def shown(who: Who) -> str:
    """What accesses memory, in a message."""
    return f"{who}" if isinstance(who, Expr | str) else f"`{title(who)}`"


def run(
    kernel: Kernel,
    inputs: Sequence[Array],
    sizes: Mapping[str, int] | None = None,
    *,
    planned: bool = True,
    aliased: bool = True,
    order: Order | None = None,
    most: int = 1_000_000,
) -> list[Array]:
    """The results of a Kernel, flat.

    `aliased`: results take over the arguments' memory where they may.  A loop with a condition that runs more than
    `most` times is taken for one without end.
    """
    machine = Machine(kernel, sizes or {}, planned, aliased, order)
    machine.most = most
    for buffer, x in zip(kernel.inputs, inputs, strict=True):
        machine.fill(buffer, np.asarray(x))
    machine.statements(kernel.body, outermost=True)
    return [machine.all_of(buffer) for buffer in kernel.outputs]


class Machine:
    """A Kernel that runs: its memory, and the scope of the statement that runs now."""

    def __init__(
        self,
        kernel: Kernel,
        sizes: Mapping[str, int],
        planned: bool,
        aliased: bool,
        order: Order | None,
        updated: Mapping[Buffer, Buffer] = MappingProxyType({}),
    ):
        self.kernel, self.order, self.planned = kernel, order, planned
        self.aliased = aliased
        self.most = 0  # runs of a loop with a condition
        self.scope = Scope(variables=dict(sizes))
        self.where: dict[Buffer, tuple[Memory, int]] = {}
        self.lives = _lives(kernel) if planned else {}
        self.own = {} if planned else Times(kernel).own
        arena = Memory.of(self.number(kernel.arena))
        taken = {kernel.outputs[o]: kernel.inputs[i] for o, i in kernel.aliases} if aliased else {}
        taken |= updated
        for buffer in (*kernel.inputs, *kernel.outputs):
            source = taken.get(buffer) if planned else None
            self.where[buffer] = (
                self.where[source] if source else (Memory.of(self._size(buffer)), 0)
            )
        for buffer in uses(kernel.body):
            if buffer in self.where:
                continue
            root = kernel.memory_of(buffer)
            if not planned or buffer.kind == "local":
                self.where[buffer] = Memory.of(self._size(buffer)), 0
            elif root.kind == "temp":
                self.where[buffer] = arena, self.number(kernel.offsets[root])
            else:
                self.where[buffer] = self.where[root]
        self.private = [b for b in self.where if b.kind == "local"]

    def _size(self, buffer: Buffer) -> int:
        return self.number(buffer.bytes)

    def number(self, d: Dim) -> int:
        """The value of an index that is the same in all lanes."""
        found = self.index(d)
        if np.ndim(found):
            raise KernelError(f"{d} is not the same in all lanes")
        return int(found)

    # -- memory ----------------------------------------------------------------------------------

    def fill(self, buffer: Buffer, x: Array) -> None:
        """Give an argument its value."""
        flat = np.ascontiguousarray(x).reshape(-1).view(buffer.dtype)
        if flat.size != self.number(buffer.size):
            raise KernelError(f"{buffer} has {self.number(buffer.size)} elements, not {flat.size}")
        memory, start = self.where[buffer]
        memory.bytes[start : start + flat.nbytes] = flat.view(np.uint8)
        memory.holds[start : start + flat.nbytes] = True

    def all_of(self, buffer: Buffer) -> Array:
        """The value of a result."""
        every = np.arange(self.number(buffer.size))
        return self.read(buffer, every, buffer.dtype, np.True_, "the caller").copy()

    def _span(self, buffer: Buffer, dtype: np.dtype) -> tuple[Array, Array]:
        """A buffer's elements as the dtype, and its bytes that hold something, a row an element."""
        memory, start = self.where[buffer]
        size = self._size(buffer) // dtype.itemsize * dtype.itemsize
        if buffer in self.scope.wide and self.scope.lanes is not None:
            size *= self.scope.lanes
        part = slice(start, start + size)
        return memory.bytes[part].view(dtype), memory.holds[part].reshape(-1, dtype.itemsize)

    def _inside(self, buffer: Buffer, at: Array, size: int, mask: Any, who: Who) -> Array:
        """The places, with 0 where the mask says that nothing is accessed."""
        at, mask = np.broadcast_arrays(at, mask)
        wrong = mask & ((at < 0) | (at >= size))
        if np.any(wrong):
            raise KernelError(f"{shown(who)} accesses {buffer}[{at[wrong][0]}] of {size} elements")
        return np.where(mask, at, 0)

    def read(self, buffer: Buffer, at: Any, dtype: np.dtype, mask: Any, who: Who) -> Array:
        """Elements at places, where the mask says so; elsewhere zeros."""
        values, holds = self._span(buffer, dtype)
        at = np.asarray(at)
        mask = np.broadcast_to(mask, np.broadcast_shapes(at.shape, np.shape(mask)))
        if not np.any(mask):
            return np.zeros(mask.shape, dtype)
        at = self._inside(buffer, at, len(values), mask, who)
        empty = mask & ~holds[at].all(axis=-1)
        if np.any(empty):
            raise KernelError(
                f"{shown(who)} reads {buffer}[{at[empty][0]}], where nothing was written"
            )
        return np.where(mask, values[at], dtype.type(0))

    def write(self, buffer: Buffer, at: Any, value: Array, mask: Any, who: Who) -> None:
        """Store elements at places, where the mask says so; no place twice."""
        values, holds = self._span(buffer, value.dtype)
        at, value, mask = np.broadcast_arrays(at, value, mask)
        if not np.any(mask):
            return
        at = self._inside(buffer, at, len(values), mask, who)[mask]
        if np.unique(at).size != at.size:
            raise KernelError(f"{shown(who)} stores at one place of {buffer} in several lanes")
        values[at] = value[mask]
        holds[at] = True

    def forget(self, buffer: Buffer) -> None:
        """Nothing is in a buffer any more."""
        memory, start = self.where[buffer]
        memory.forget(start, self._size(buffer))

    # -- expressions -----------------------------------------------------------------------------

    def value(self, e: Expr) -> Array:
        """A scalar, or one for each lane."""
        return evaluate_into(self.scope.values, e, self._leaf)

    def _leaf(self, e: Expr, args: Sequence[Array]) -> Array | None:
        match e.op:
            case "index":
                with np.errstate(all="ignore"):
                    return np.asarray(self.index(e.attr)).astype(e.dtype)  # type: ignore[arg-type]
            case "local":
                found = self.scope.locals.get(e)
                if found is None:
                    raise KernelError(f"the local {e} has no value")
                return found
            case "load":
                buffer, d = e.attr  # type: ignore[misc]
                mask = self.scope.mask & (args[0] if args else np.True_)
                return self.read(buffer, self._at(buffer, d), e.dtype, mask, e)
            case _:
                return None

    def _at(self, buffer: Buffer, d: Dim) -> Any:
        """A place; in a private buffer that each lane has for itself, the lane's own."""
        at = self.index(d)
        if buffer in self.scope.wide:
            assert self.scope.lanes is not None
            return np.asarray(at) * self.scope.lanes + np.arange(self.scope.lanes)
        return at

    def index(self, d: Dim) -> Any:
        """The value of an index: an int, or one for each lane."""
        if isinstance(d, int):
            return d
        total: Any = 0
        for monomial, c in d.terms:
            term: Any = c
            for factor in monomial:
                term = term * self._factor(factor)
            total = total + term
        return total

    def _factor(self, factor: dims.Factor) -> Any:
        if factor.op == "symbol":
            if isinstance(factor.payload, Expr):
                return self.value(factor.payload).astype(np.int64)
            if factor.key not in self.scope.variables:
                raise KernelError(f"the variable {factor.key} has no value")
            return self.scope.variables[factor.key]
        x, y = (self.index(a) for a in factor.args)
        match factor.op:
            case "floordiv":
                return x // y
            case "mod":
                return x % y
            case "max":
                return np.maximum(x, y)
            case "min":
                return np.minimum(x, y)
            case op:
                raise KernelError(f"there is no operation {op} on indices")

    # -- statements ------------------------------------------------------------------------------

    def statements(self, body: Sequence[Statement], outermost: bool = False) -> None:
        """Run statements in order."""
        for n, s in enumerate(body):
            self.statement(s)
            if outermost:
                self._free(n)

    def _free(self, n: int) -> None:
        """After an outermost statement, memory that no live temp lies in holds nothing."""
        ending = [b for b, (_, last) in self.lives.items() if last == n]
        if ending:
            live = {b for b, (first, last) in self.lives.items() if first <= n < last}
            # Of all that shares a live memory: what takes turns may lie elsewhere by now than the others.
            kept = [
                (memory, at, self._size(b))
                for b, (memory, at) in self.where.items()
                if self.kernel.memory_of(b) in live
            ]
            saved = [
                (m, at, m.bytes[at : at + size].copy(), m.holds[at : at + size].copy())
                for m, at, size in kept
            ]
            for buffer in ending:
                self.forget(buffer)
            for memory, at, values, holds in saved:
                memory.bytes[at : at + len(values)] = values
                memory.holds[at : at + len(values)] = holds

    def statement(self, s: Statement) -> None:
        """Run one statement."""
        match s:
            case Note():
                pass
            case Init(local, value):
                self._init(local, self.value(value))
            case Assign(locals_, values, fold):
                if fold is not None and self._is_outside(locals_):
                    self.fold_together(s, fold)
                    return
                found = [self.value(v) for v in values] if fold is None else self.folded(s, fold)
                for local, value in zip(locals_, found, strict=True):
                    self._set(local, value)
            case Fold():
                self.fold(s)
            case Store():
                self.store(s)
            case Copy():
                self.copy(s)
            case Swap(first, second):
                self.swap(first, second)
            case Routine():
                self.routine(s)
            case Callback():
                self.call_back(s)
            case If(condition, body, orelse):
                holds = self.value(condition)
                for here, chosen in ((holds, body), (~holds, orelse)):
                    mask = self.scope.mask & here
                    if np.any(mask):
                        with self.block(mask=mask):
                            self.statements(chosen)
            case While():
                self.repeat(s)
            case Loop():
                self.loop(s)

    @contextmanager
    def block(self, **changes: Any) -> Generator[None]:
        """A scope inside this one: what is computed in it is forgotten, what is assigned stays."""
        outer = self.scope
        self.scope = Scope(
            dict(outer.values),
            outer.locals,
            changes.get("variables", outer.variables),
            changes.get("lanes", outer.lanes),
            changes.get("mask", outer.mask),
            changes.get("wide", outer.wide),
            changes.get("inside", outer.inside),
        )
        try:
            yield
        finally:
            self.scope = outer

    def _init(self, local: Expr, value: Array) -> None:
        scope = self.scope
        if scope.lanes is not None:
            value = np.broadcast_to(value, (scope.lanes,))
            scope.inside |= {local}
        scope.locals[local] = value

    def _set(self, local: Expr, value: Array) -> None:
        if local not in self.scope.locals:
            raise KernelError(f"the local {local} is assigned before it has a value")
        if self.scope.lanes is not None and local not in self.scope.inside:
            raise KernelError(f"the local {local} is assigned in several lanes")
        self.scope.locals[local] = self._here(value, self.scope.locals[local])

    def _here(self, new: Array, old: Array) -> Array:
        """The new value, in the lanes that are here."""
        return new if self.scope.mask is np.True_ else np.where(self.scope.mask, new, old)

    def fold(self, s: Fold) -> None:
        """The local with the value folded in: with the values of all lanes, if it stands outside of them."""
        scope, value = self.scope, self.value(s.value)
        if s.local not in scope.locals:
            raise KernelError(f"the local {s.local} is folded into before it has a value")
        operation = OPERATIONS[s.op]
        old = scope.locals[s.local]
        with np.errstate(all="ignore"):
            if scope.lanes is None or s.local in scope.inside:
                scope.locals[s.local] = self._here(np.asarray(operation(old, value)), old)
                return
            here = np.broadcast_to(scope.mask, (scope.lanes,))
            for one in np.broadcast_to(value, (scope.lanes,))[here]:
                old = np.asarray(operation(old, one))
        scope.locals[s.local] = old

    def _is_outside(self, locals_: Sequence[Expr]) -> bool:
        """Whether all lanes have these locals together."""
        return self.scope.lanes is not None and self.scope.inside.isdisjoint(locals_)

    def fold_together(self, s: Assign, fold: Combination) -> None:
        """The state of nothing with what each lane folds into it; then all of these folded into the locals."""
        scope = self.scope
        assert scope.lanes is not None
        starts = [np.broadcast_to(self.value(e), (scope.lanes,)) for e in fold.starts]
        found = self._given(s.locals, starts, s.values)
        states = [np.broadcast_to(v, (scope.lanes,)) for v in found]
        for lane in np.flatnonzero(np.broadcast_to(scope.mask, (scope.lanes,))):
            taken = [state[lane] for state in states]
            found = self._given(fold.taken, taken, fold.result, lanes=None, mask=np.True_)
            scope.locals.update(zip(s.locals, found, strict=True))

    def folded(self, s: Assign, fold: Combination) -> list[Array]:
        """The locals with what is folded into nothing: runs of a free loop may come in any order here."""
        taken = self._given(s.locals, [self.value(e) for e in fold.starts], s.values)
        return self._given(fold.taken, taken, fold.result)

    def _given(
        self, names: Sequence[Expr], values: Sequence[Array], asked: Sequence[Expr], **changes: Any
    ) -> list[Array]:
        """Expressions, where locals have these values."""
        with self.block(**changes):
            self.scope.values = {}
            self.scope.locals = {**self.scope.locals, **dict(zip(names, values, strict=True))}
            return [self.value(e) for e in asked]

    def store(self, s: Store) -> None:
        """buffer[index] := value, where the condition holds."""
        value = self.value(s.value)
        if value.dtype != s.buffer.dtype:
            raise KernelError(f"`{title(s)}` stores {value.dtype} into {s.buffer.dtype}")
        mask = np.True_ if s.condition is None else self.value(s.condition)
        at = self._at(s.buffer, s.index)
        if self.scope.lanes is not None:
            at = np.broadcast_to(at, (self.scope.lanes,))
        self.write(s.buffer, at, value, mask & self.scope.mask, s)

    def copy(self, s: Copy) -> None:
        """Copy elements; within one memory only onto themselves."""
        (target, to), (source, start) = s.target, s.source
        size, to, start = self.number(s.size), self.number(to), self.number(start)
        first, second = (
            self.where[b][0].bytes[self.where[b][1] :][n * b.dtype.itemsize :]
            for b, n in ((target, to), (source, start))
        )
        n = size * target.dtype.itemsize
        overlap = np.shares_memory(first[:n], second[:n])
        if overlap and first.ctypes.data != second.ctypes.data:
            raise KernelError(f"`{title(s)}` copies between places that overlap")
        every = np.arange(size)
        values = self._as_they_are(source, every + start, s)
        held = self._span(source, source.dtype)[1][every + start]
        self.write(target, every + to, values, np.True_, s)
        self._span(target, target.dtype)[1][every + to] = held  # no value is copied as such

    def _as_they_are(self, buffer: Buffer, at: Array, who: Who) -> Array:
        values, _ = self._span(buffer, buffer.dtype)
        return values[self._inside(buffer, at, len(values), np.True_, who)]

    def _part(self, buffer: Buffer, at: Array, dtype: np.dtype) -> Array:
        """The memory from the first to the last of these elements."""
        values, _ = self._span(buffer, dtype)
        return values[at.min() : at.max() + 1] if at.size else values[:0]

    def swap(self, first: Buffer, second: Buffer) -> None:
        """The names change places."""
        self.where[first], self.where[second] = self.where[second], self.where[first]

    def routine(self, s: Routine) -> None:
        """A named routine, by its meaning."""
        if (function := self.kernel.functions.get(s.name)) is not None:
            self._call(function, s)
            return
        known = ROUTINES.get(s.name)
        if known is None:
            raise KernelError(f"the oracle knows no routine {s.name}")
        places = [(b, self.number(d)) for b, d in s.places]

        def place(n: int, at: Array, dtype: np.dtype) -> tuple[Buffer, Array]:
            buffer, start = places[n]
            bytes_ = start * buffer.dtype.itemsize
            assert bytes_ % dtype.itemsize == 0, "a routine's place is one of its elements"
            return buffer, at + bytes_ // dtype.itemsize

        reads: list[tuple[Buffer, Array]] = []  # which go on while it writes

        def read(n: int, at: Array, dtype: np.dtype) -> Array:
            buffer, inside = place(n, at, dtype)
            found = self.read(buffer, inside, dtype, np.True_, s)
            reads.append((buffer, self._part(buffer, inside, dtype)))
            return found

        def write(n: int, at: Array, value: Array) -> None:
            if n not in s.writes:
                raise KernelError(f"{shown(s)} writes {places[n][0]}, which it must not")
            buffer, inside = place(n, at, value.dtype)
            written = self._part(buffer, inside, value.dtype)
            for other, part in reads:
                if other is not buffer and np.shares_memory(written, part):
                    raise KernelError(f"{shown(s)} writes {buffer} where it reads {other}")
            self.write(buffer, inside, value, np.True_, s)

        known.meaning([self.number(d) for d in s.parameters], read, write)

    def _call(self, function: Kernel, s: Routine) -> None:
        """A function of the Kernel's own; what it updates lies where its input does."""
        places = [(b, self.number(d)) for b, d in s.places]
        n = len(function.inputs)
        inside = replace(function, functions=self.kernel.functions)
        updated = {
            function.outputs[k - n]: function.inputs[places.index(places[k])] for k in s.updates
        }
        machine = Machine(inside, {}, self.planned, self.aliased, self.order, updated)
        machine.most = self.most
        for into, (b, at) in zip(function.inputs, places, strict=False):
            every = at + np.arange(self.number(into.size))
            machine.fill(into, self.read(b, every, into.dtype, np.True_, s))
        machine.statements(function.body, outermost=True)
        for out, (b, at) in zip(function.outputs, places[n:], strict=True):
            found = machine.all_of(out)
            self.write(b, at + np.arange(found.size), found, np.True_, s)

    def call_back(self, s: Callback) -> None:
        """Call the function with copies of its operands, and store what it gives."""
        if self.scope.lanes is not None:
            raise KernelError(f"`{title(s)}` stands inside a loop with lanes")
        values: list[tuple[Buffer, Array, ShapedArray, list[int]]] = []
        for (buffer, start), aval in zip(s.places, s.types, strict=True):
            shape = [self.number(d) for d in aval.shape]
            size = int(np.prod(shape)) * (aval.dtype.itemsize // buffer.dtype.itemsize)
            values.append((buffer, self.number(start) + np.arange(size), aval, shape))
        given = [
            _native.array_from(
                self.read(buffer, at, buffer.dtype, np.True_, s).view(aval.dtype).reshape(shape),
                weak_type=aval.weak_type,
            )
            for buffer, at, aval, shape in values[: s.operands]
        ]
        found = s.function(*given) or ()
        for (buffer, at, aval, shape), x in zip(values[s.operands :], found, strict=True):
            result = np.asarray(x)
            if result.dtype != aval.dtype or result.shape != tuple(shape):
                raise KernelError(f"{shown(s)} gives {result.dtype}{list(result.shape)}")
            self.write(buffer, at, result.ravel().view(buffer.dtype), np.True_, s)

    # -- loops -----------------------------------------------------------------------------------

    def repeat(self, s: While) -> None:
        """The test, then the body, until the condition does not hold: in lanes, until it holds in none."""
        mask = self.scope.mask
        for _ in range(self.most + 1):
            self._start(s)
            with self.block(mask=mask):
                self.statements(s.test)
                mask = mask & self.value(s.condition)
                if not np.any(mask):
                    return
                self.scope.mask = mask
                self.statements(s.body)
        raise KernelError(f"`{title(s)}` has run {self.most} times, and does not end")

    def loop(self, s: Loop) -> None:
        """A loop, by its schedule where that matters: in lanes, or in some order."""
        extent = self.number(s.extent)
        free = bool(s.free or s.schedule.vector or s.schedule.parallel)
        if s.schedule.vector and self.scope.lanes is None and self.order is None:
            if extent > 0:
                self._lanes(s, extent)
            return
        runs = self.order(extent) if free and self.order is not None else range(extent)
        for n in runs:
            self._start(s)
            if s.schedule.parallel:
                for buffer in self.private:
                    self.forget(buffer)
            with self.block(variables={**self.scope.variables, s.name: n}):
                self.statements(s.body)

    def _start(self, s: Statement) -> None:
        """A run of a body starts: what is its own holds nothing."""
        for buffer in self.own.get(s, ()):
            self.forget(buffer)

    def _lanes(self, s: Loop, extent: int) -> None:
        """All runs side by side, statement by statement."""
        kept = {b: self.where[b] for b in _one_a_lane(s)}
        for b in kept:
            self.where[b] = Memory.of(self._size(b) * extent), 0
        variables = {**self.scope.variables, s.name: np.arange(extent)}
        wide = frozenset(kept)
        with self.block(variables=variables, lanes=extent, wide=self.scope.wide | wide):
            self.statements(s.body)
        self.where.update(kept)


def _one_a_lane(loop: Loop) -> list[Buffer]:
    """The private buffers that a loop writes, at places where its variable does not matter."""
    stores = [s for s in walk(loop.body) if isinstance(s, Store) and s.buffer.kind == "local"]
    moving = {s.buffer for s in stores if moves(s.index, loop.name)}
    return [b for b in dict.fromkeys(s.buffer for s in stores) if b not in moving]


def _lives(kernel: Kernel) -> dict[Buffer, tuple[int, int]]:
    """The first and the last of the outermost statements that use the memory of each temp."""
    found: dict[Buffer, tuple[int, int]] = {}
    for n, s in enumerate(kernel.body):
        for buffer in uses((s,)):
            root = kernel.memory_of(buffer)
            if root.kind == "temp":
                found[root] = found.get(root, (n, n))[0], n
    return found
