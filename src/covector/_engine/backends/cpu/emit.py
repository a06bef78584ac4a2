"""Kernel to LLVM IR text: one function, loops and branches included; parallel loops are bodies beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from covector._engine.backends.base import Target
from covector._engine.backends.cpu import apart, routines, stops
from covector._engine.backends.cpu.contents import (
    buffers_of,
    calls,
    groups,
    has_loops,
    long_loops,
    one_a_lane,
    one_a_lane_inside,
    private,
)
from covector._engine.backends.cpu.flow import ControlFlow
from covector._engine.backends.cpu.frame import Frame
from covector._engine.backends.cpu.hoist import invariants
from covector._engine.backends.cpu.instructions import memory_element, vector
from covector._engine.backends.cpu.lanes import Kept, State, below, rows_inside
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.link import Processor
from covector._engine.backends.cpu.module import ModuleText
from covector._engine.backends.cpu.packs import Packs, straight
from covector._engine.backends.cpu.rows import columns_of
from covector._engine.backends.cpu.running import Running, running, write_states
from covector._engine.base.record import replace
from covector._engine.compile.survey import is_written_out, text_size
from covector._engine.ir import scalar
from covector._engine.ir.alike import with_constants_given
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
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
    walk,
)  # fmt: skip
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes

LIMIT = "the extent"  # the name inside the function of a parallel loop


def emit(kernel: Kernel, target: Target, processor: Processor) -> ModuleText:
    """The module of a Kernel; its function is `entry` of the ABI in docs/internals.md."""
    kernel = kernel.busy()
    long = long_loops(kernel, target.costs)
    module = ModuleText(processor, calls(kernel), target.limits, frozenset(kernel.functions), long)
    for name, function in kernel.functions.items():
        _Entry(function, module, target).write(f"internal i32 @{name}", name)
    _Entry(kernel, module, target).write("i32 @entry", "entry")
    return module


class _Entry:
    """Writes the entry function."""

    def __init__(self, kernel: Kernel, module: ModuleText, target: Target):
        self.kernel, self.module = kernel, module
        memories = kernel.memories()
        self.frame = Frame(module, lambda buffer: memories.get(buffer, buffer), target)

    def write(self, head: str, name: str) -> None:
        frame, kernel = self.frame, self.kernel
        for n, buffer in enumerate((*kernel.inputs, *kernel.outputs)):
            frame.sources[buffer] = partial(self._parameter, n)
        for n, name in enumerate(kernel.dims):
            slot = self._entry(f"getelementptr i64, ptr %dims, i64 {n}")
            frame.symbols[name] = self._entry(f"load i64, ptr {slot}")
        writer = StatementWriter(frame)
        self._arena(writer)
        self._slots()
        once = writer.parts(kernel.body, frame.target.limits.many_loops)
        frame.lines += frame.leaving
        self.module.define(
            name,
            f"{head}(ptr noalias %buffers, ptr noalias %dims, ptr noalias %arena)",
            [*frame.entry, *frame.lines, "  ret i32 0"],
            quick=once,
        )

    def _parameter(self, n: int) -> str:
        slot = self._line(f"getelementptr ptr, ptr %buffers, i64 {n}")
        return self._line(f"load ptr, ptr {slot}")

    def _shared(self, buffer: Buffer) -> str:
        memory = self.kernel.memory_of(buffer)
        self.frame.bring((memory,))
        return self.frame.pointers[memory]

    def _line(self, instruction: str) -> str:
        name = self.frame.fresh()
        self.frame.lines.append(f"  {name} = {instruction}")
        return name

    def _entry(self, instruction: str) -> str:
        name = self.frame.fresh()
        self.frame.entry.append(f"  {name} = {instruction}")
        return name

    def _arena(self, writer: StatementWriter) -> None:
        """Pointers of the temps; an arena of symbolic size is allocated here."""
        kernel, frame = self.kernel, self.frame
        base = "%arena"
        if not isinstance(kernel.arena, int):
            self.module.declare("@cv_alloc", "declare ptr @cv_alloc(i64)")
            self.module.declare("@cv_free", "declare void @cv_free(ptr)")
            base = "%scratch"
            frame.leaving.append("  call void @cv_free(ptr %scratch)")
            size = writer.emitter.scalar_index(kernel.arena)
            frame.lines += [
                f"  {base} = call ptr @cv_alloc(i64 {size})",
                f"  %failed = icmp eq ptr {base}, null",
                "  br i1 %failed, label %no.memory, label %memory",
                "no.memory:",
                "  ret i32 1",
                "memory:",
            ]
        for buffer, offset in kernel.offsets.items():
            at = writer.emitter.scalar_index(offset)
            frame.sources[buffer] = partial(self._line, f"getelementptr i8, ptr {base}, i64 {at}")
        for buffer in kernel.shares:
            frame.sources[buffer] = partial(self._shared, buffer)

    def _slots(self) -> None:
        """Buffers that are swapped keep their pointer in memory, which LLVM turns into registers."""
        for s in walk(self.kernel.body):
            if isinstance(s, Swap):
                for buffer in (s.first, s.second):
                    if buffer not in self.frame.slots:
                        slot = self.frame.alloca("ptr", 8)
                        self.frame.bring((buffer,))
                        self.frame.slots[buffer] = slot
                        self.frame.lines.append(
                            f"  store ptr {self.frame.pointers[buffer]}, ptr {slot}"
                        )


class StatementWriter(ControlFlow):
    """Writes statements into one function, one element at a time or with lanes."""

    def __init__(
        self, frame: Frame, emitter: LoopEmitter | None = None, across: Collection[Expr] = ()
    ):
        self.frame = frame
        self.across = frozenset(across)  # the locals that lanes fold into together
        self.begun: dict[Expr, str | None] = {}
        self.module = frame.module
        self.limits = frame.target.limits
        self.emitter = LoopEmitter(frame) if emitter is None else emitter
        self.kept = Kept(self.emitter)
        self.packs = any(n >= self.limits.packed for n in self.module.uses.values())
        self.fixed: list[Expr] = []  # what was computed in front of the loop that is written now

    def parts(self, statements: Sequence[Statement], many: int) -> bool:
        """Write a body; if it has many loops, they become functions.

        True if what is left in this function is long and all of it runs once, or is nothing but calls.
        """
        if sum(isinstance(s, Loop) for s in statements) < many:
            self.frame.bring(buffers_of(statements))
            self.body(statements)
            if has_loops(statements):
                return False
            return len(statements) >= self.limits.many_statements or all(
                isinstance(s, (Loop, Note)) for s in statements
            )
        rest: list[Statement] = []
        begin = len(self.frame.lines)
        found = groups(statements, self.limits.loops_together)
        shared = iter(with_constants_given([group for group, fits in found if fits]))
        for group, can_be_apart in found:
            if len(self.frame.lines) - begin > self.limits.block:
                self._next_block()
                begin = len(self.frame.lines)
            mark = len(self.frame.brought)
            if can_be_apart:
                self.apart(*next(shared))
            else:
                rest += group
                self.frame.bring(buffers_of(group))
                self.body(group)
            self.frame.take_back(mark)
        return not has_loops(rest)

    def _next_block(self) -> None:
        """End the block that is written, and begin another one."""
        label = f"{self.frame.fresh()[1:]}.on"
        self.frame.lines += [f"  br label %{label}", f"{label}:"]

    def body(self, statements: Sequence[Statement]) -> None:
        """Write statements in order."""
        stretches = dict(straight(statements)) if self.emitter.width == 1 else {}
        stored = False  # with the one before
        for n, statement in enumerate(statements):
            if n in stretches and self.packs:
                Packs(stretches[n], self.emitter).write()
            if stored:
                stored = False
                continue
            match statement:
                case Store() if self._stores_two(statements, n):
                    stored = True
                case Loop():
                    self.loop(statement)
                case Init(local, value):
                    self.init(local, value)
                case Assign(targets, values):
                    operands = [self.emitter.value(v) for v in values]
                    for local, operand in zip(targets, operands, strict=True):
                        self.set_local(local, operand)
                case Fold():
                    self.fold(statement)
                case Store(buffer, index, value, condition):
                    self._private_here(buffer)
                    self.emitter.store(buffer, index, value, condition)
                case If():
                    self.branch(statement)
                case While():
                    self.repeat(statement)
                case Copy():
                    self.copy(statement)
                case Routine():
                    for n in statement.writes:
                        self._private_here(statement.places[n][0])
                    routines.call(self.emitter, statement)
                case Callback():
                    routines.call_back(self.emitter, statement)
                case Swap(first, second):
                    self.swap(first, second)
                case Note(text):
                    self.frame.lines.append(f"  ; {text}")

    def _stores_two(self, statements: Sequence[Statement], n: int) -> bool:
        """Whether a store and the next statement are one: then they are written."""
        if self.emitter.width == 1 or n + 1 == len(statements):
            return False
        first, second = statements[n : n + 2]
        if not isinstance(first, Store) or not isinstance(second, Store):
            return False
        return self.emitter.store_pair(first, second)

    # -- folds -----------------------------------------------------------------------------------

    def fold(self, statement: Fold) -> None:
        """local := op(local, value); a sum of products is one fused operation.

        Lanes that do not exist stay as they are where all of them make up one value.
        """
        emitter, local = self.emitter, statement.local
        slot, _ = self.frame.locals[local]
        type_ = emitter.type(local.dtype)
        old = emitter.line(f"load {type_}, ptr {slot}")
        before = Expr("local", (), local.dtype, "before")
        emitter.values[before] = old
        value = statement.value
        fused = (
            statement.op == "add" and value.op == "mul" and value.dtype in (dtypes.float32, dtypes.float64)
            and emitter.module.processor.fma
        )  # fmt: skip
        new = (
            scalar.fma(value.args[0], value.args[1], before)
            if fused
            else scalar.apply(statement.op, before, value)
        )
        operand = emitter.value(new)
        if emitter.mask is not None and (emitter.parted or local in self.across):
            masks = vector("i1", emitter.width)
            operand = emitter.line(
                f"select {masks} {emitter.mask}, {type_} {operand}, {type_} {old}"
            )
        self.frame.lines.append(f"  store {type_} {operand}, ptr {slot}")
        emitter.values[local] = operand

    # -- copies --------------------------------------------------------------------------------------

    def copy(self, statement: Copy) -> None:
        emitter = self.emitter.one
        (target, at), (source, start) = statement.target, statement.source
        to = emitter.address(target, emitter.scalar_index(at))
        origin = emitter.address(source, emitter.scalar_index(start))
        size = emitter.scalar_index(statement.size * target.dtype.itemsize)
        if self.frame.memory_of(target) is self.frame.memory_of(source):
            # A result that has taken over an argument's memory has its value, too.
            same = emitter.line(f"icmp eq ptr {to}, {origin}")
            size = emitter.line(f"select i1 {same}, i64 0, i64 {size}")
        self.module.declare(
            "@llvm.memcpy", "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
        )
        self.frame.lines.append(
            f"  call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {origin}, i64 {size}, i1 false)"
        )

    def swap(self, first: Buffer, second: Buffer) -> None:
        slots = self.frame.slots[first], self.frame.slots[second]
        a, b = (self.emitter.line(f"load ptr, ptr {slot}") for slot in slots)
        self.frame.lines += [f"  store ptr {b}, ptr {slots[0]}", f"  store ptr {a}, ptr {slots[1]}"]

    # -- loops -----------------------------------------------------------------------------------

    def loop(self, loop: Loop) -> None:
        """A loop by its schedule: parallel, with lanes, or plain."""
        if loop.schedule.parallel:
            self.parallel(loop)
            return
        self.private_buffers(loop)
        self.hoist(loop)
        run = self.lanes if loop.schedule.vector > 1 else self.plain
        run(loop, "0", self.emitter.scalar_index(loop.extent))

    def private_buffers(self, loop: Loop) -> None:
        """Memory in this frame for the private buffers of a loop; one a lane, if lanes run outside of them."""
        for buffer in private(loop):
            if buffer in self.frame.pointers or one_a_lane_inside(loop, buffer):
                continue
            width = loop.schedule.vector if one_a_lane(loop, buffer) else 1
            self.private_buffer(buffer, width)

    def _private_here(self, buffer: Buffer) -> None:
        """Memory for a private buffer of a nest without loops around what writes it."""
        if buffer.kind == "local" and buffer not in self.frame.pointers:
            self.private_buffer(buffer)

    def private_buffer(self, buffer: Buffer, width: int = 1) -> None:
        """Memory in this frame for a private buffer, so many times."""
        assert isinstance(buffer.size, int)
        element = memory_element(buffer.dtype)
        if width > 1:
            element = vector(element, width)
            self.frame.lane_buffers.add(buffer)
        self.frame.pointers[buffer] = self.frame.alloca(f"[{buffer.size} x {element}]")

    def hoist(self, loop: Loop) -> None:
        """Compute in front of the loop what does not change in it."""
        self.fixed = invariants(loop, self.frame.memory_of)
        for e in self.fixed:
            self.emitter.value(e)

    def plain(self, loop: Loop, start: str, stop: str) -> None:
        """One run of the body after the other; a few short ones are written out."""
        changed = self.changed(loop.body)

        def body(known: Mapping[Expr, str] | None = None) -> None:
            self.emitter.values.update(known or {})
            self.read_again(changed)
            if stops.asks(loop, self.module):
                self.ask(loop.body)
            self.parts(loop.body, self.limits.many_inner_loops)

        found = running(loop, self.frame.target, self.frame.memory_of)
        if found is not None and self.emitter.width == 1 and start == "0":
            start = self.running(loop, found, start, stop)
        columns = columns_of(self.emitter, loop) if self.emitter.width > 1 else None
        rows = rows_inside(loop) if self.emitter.width == 1 else None
        rows = None if rows in self.kept.states else rows
        if rows is not None:
            self.kept.begin(rows)
        if columns is not None:
            for run, known in enumerate(columns):
                self._once(loop.name, str(run), partial(body, known))
        elif stop.isdigit() and is_written_out(loop, self.frame.target):
            for run in range(int(start), int(stop)):
                self._once(loop.name, str(run), body)
        else:
            self._counted(loop.name, start, stop, 1, body)
        if rows is not None:
            self.body(self.kept.end(rows))
        self.read_again(changed)

    def running(self, loop: Loop, found: Running, start: str, stop: str) -> str:
        """The whole vectors of a running fold; where the rest begins."""
        whole, rest = self._ranges(loop, start, stop, _constant(start, stop), found.width, 0)
        if whole is None:
            return start

        def body() -> None:
            lanes = LoopEmitter(self.frame, found.width, loop.name, self.emitter)
            lanes.take_over(self.fixed)
            write_states(lanes, found)
            StatementWriter(self.frame, lanes).body(found.stores)

        self._counted(loop.name, start, whole, found.width, body)
        return stop if rest is None else whole

    def _once(self, name: str, value: str, body: Callable[[], None]) -> None:
        """The body of a loop for one value of its variable."""
        outer = self.frame.symbols.get(name)
        self.frame.symbols[name] = value
        mark = self.emitter.mark()
        body()
        self.emitter.reset(mark)
        if outer is None:
            del self.frame.symbols[name]
        else:
            self.frame.symbols[name] = outer

    def _counted(
        self, name: str, start: str, stop: str, step: int, body: Callable[[], None]
    ) -> None:
        """The skeleton of a loop: test at the bottom, entered only if there is anything to do."""
        emitter, lines = self.emitter, self.frame.lines
        stem = emitter.fresh()[1:]
        counter, following = f"%{stem}.i", f"%{stem}.n"
        if start.isdigit() and stop.isdigit():
            if int(stop) - int(start) <= step:
                if int(start) < int(stop):
                    self._once(name, start, body)
                return
            lines.append(f"  br label %{stem}.pre")
        else:
            enter = emitter.line(f"icmp slt i64 {start}, {stop}")
            lines.append(f"  br i1 {enter}, label %{stem}.pre, label %{stem}.exit")
        emitter.label(f"{stem}.pre")
        lines.append(f"  br label %{stem}.body")
        emitter.label(f"{stem}.body")
        lines.append(f"  {counter} = phi i64 [{start}, %{stem}.pre], [{following}, %{stem}.latch]")
        self._once(name, counter, body)
        lines.append(f"  br label %{stem}.latch")
        emitter.label(f"{stem}.latch")
        lines.append(f"  {following} = add nuw nsw i64 {counter}, {step}")
        again = emitter.line(f"icmp slt i64 {following}, {stop}")
        lines.append(f"  br i1 {again}, label %{stem}.body, label %{stem}.exit")
        emitter.label(f"{stem}.exit")

    # -- loops with lanes ------------------------------------------------------------------------

    def lanes(self, loop: Loop, start: str, stop: str) -> None:
        """A loop with lanes: whole vectors, then the rest under a mask."""
        if int(start) if start.isdigit() else 0:
            raise AssertionError("constant starts are 0")
        constant = _constant(start, stop)
        if constant == 0:
            return
        width, copies = loop.schedule.vector, loop.schedule.unroll
        size = text_size(loop.body, self.limits.call)
        lasting = self.kept.states.get(loop)
        states = lasting or self.kept.begin(loop)
        whole, rest = self._ranges(loop, start, stop, constant, width * copies, size)
        if whole is not None:
            self._counted(
                loop.name,
                start,
                whole,
                width * copies,
                lambda: self._copies(loop, width, states, None),
            )
        if rest is not None:
            begin = whole or start
            self._counted(
                loop.name, begin, stop, width, lambda: self._copies(loop, width, states[:1], stop)
            )
        if lasting is None:
            self.body(self.kept.end(loop))

    def _ranges(
        self, loop: Loop, start: str, stop: str, constant: int | None, step: int, size: int
    ) -> tuple[str | None, str | None]:
        """Where the loop over whole vectors stops (None: there is none), and whether a masked rest follows."""
        if constant is not None:
            whole = constant // step * step
            if size > 4 * self.limits.body and whole != constant:
                return None, stop
            return (str(whole) if whole else None), (stop if whole != constant else None)
        if size > 4 * self.limits.body:
            return None, stop
        length = self.emitter.line(f"sub i64 {stop}, {start}")
        rounded = (
            self.emitter.line(f"and i64 {length}, {-step}") if step & (step - 1) == 0 else None
        )
        assert rounded is not None, "steps are powers of two"
        return self.emitter.line(f"add i64 {start}, {rounded}"), stop

    def _copies(self, loop: Loop, width: int, states: list[State], limit: str | None) -> None:
        """The body for so many vectors side by side; with a limit, under the mask of what is below it."""
        frame, name, fixed = self.frame, loop.name, self.fixed
        base = frame.symbols[name]
        for n, state in enumerate(states):
            emitter = LoopEmitter(frame, width, name, self.emitter)
            mark = self.emitter.mark()
            if n:
                at = (
                    self.emitter.line(f"add nuw nsw i64 {base}, {n * width}")
                    if not base.isdigit()
                    else None
                )
                frame.symbols[name] = at or str(int(base) + n * width)
            if limit is not None:
                emitter.mask = below(self.emitter, base, limit, width)
            emitter.take_over(fixed)
            if n == 0 and stops.asks(loop, self.module):
                self.ask(loop.body)
            outer = {local: frame.locals[local] for local in state}
            frame.locals.update(state)
            StatementWriter(frame, emitter, state).body(loop.body)
            frame.locals.update(outer)
            frame.symbols[name] = base
            self.emitter.reset(mark)

    # -- parallel loops --------------------------------------------------------------------------

    def apart(self, statements: Sequence[Statement], constants: Mapping[Expr, Expr]) -> None:
        """Statements in a function of their own; of those that are alike, the first are written."""

        def write(frame: Frame, inner: LoopEmitter) -> None:
            StatementWriter(frame, inner).body(statements)

        failed_at = stops.where_to_fail(self.emitter, statements)
        body, context = apart.one_of_many(
            self.frame, self.emitter.one, statements, constants, write, failed_at
        )
        self.frame.lines.append(f"  call void {body}(ptr {context}, i64 0, i64 0)")
        stops.end_if_failed_there(self.emitter, failed_at)

    def parallel(self, loop: Loop) -> None:
        """Hand pieces of the loop to the pool: the body becomes a function over a range of runs."""
        emitter = self.emitter.one
        extent = emitter.scalar_index(loop.extent)
        inside = replace(loop, schedule=replace(loop.schedule, parallel=False))
        in_blocks = loop.schedule.vector > 1
        given = {LIMIT: extent} if in_blocks else {}

        def write(frame: Frame, inner: LoopEmitter) -> None:
            writer = StatementWriter(frame, inner)
            for buffer in private(inside):
                frame.pointers.pop(buffer, None)  # that of a loop around serves one thread
            writer.private_buffers(inside)
            writer.hoist(inside)
            if in_blocks:
                writer.blocks(inside)
            else:
                writer.plain(inside, "%begin", "%end")

        failed_at = stops.where_to_fail(self.emitter, (loop,))
        body, context = apart.function_of(self.frame, emitter, (loop,), given, write, failed_at)
        runs, cost = extent, loop.cost
        if in_blocks:
            block = self.block(loop)
            cost *= block
            up = emitter.line(f"add i64 {extent}, {block - 1}")
            runs = emitter.line(f"sdiv i64 {up}, {block}")
        grain = max(1, math.ceil(self.frame.target.costs.grain / max(cost, 0.01)))
        self.module.declare("@cv_parallel_for", "declare void @cv_parallel_for(ptr, ptr, i64, i64)")
        self.frame.lines.append(
            f"  call void @cv_parallel_for(ptr {body}, ptr {context}, i64 {runs}, i64 {grain})"
        )
        stops.end_if_failed_there(self.emitter, failed_at)

    def block(self, loop: Loop) -> int:
        """Elements of a loop with lanes that one unit of parallel work covers: fewer where each takes long.

        A running sum down 1,024 columns of 1,024 took one thread, as all columns were one unit.
        """
        limits, grain = self.limits, self.frame.target.costs.grain
        worth = int(grain / max(loop.cost, grain / limits.parallel_block))
        repeats = any(isinstance(s, While) for s in walk(loop.body))
        least = loop.schedule.vector if repeats else limits.least_block
        return max(1 << max(worth.bit_length() - 1, 0), least)

    def blocks(self, loop: Loop) -> None:
        """The blocks from %begin to %end of a loop with lanes."""
        emitter = self.emitter
        block = self.block(loop)
        start = emitter.line(f"mul nuw nsw i64 %begin, {block}")
        reach = emitter.line(f"mul nuw nsw i64 %end, {block}")
        self.module.declare("@llvm.smin.i64", "declare i64 @llvm.smin.i64(i64, i64)")
        limit = self.frame.symbols[LIMIT]
        stop = emitter.line(f"call i64 @llvm.smin.i64(i64 {reach}, i64 {limit})")
        self.lanes(loop, start, stop)


def _constant(start: str, stop: str) -> int | None:
    """How many runs there are, if it is known."""
    return int(stop) if stop.isdigit() and start == "0" else None
