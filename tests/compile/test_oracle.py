"""The oracle of Kernels and compiled code agree, whatever the plan, the schedule and the order of free loops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from tests.amount import TIMES
from tests.compile import naive
from tests.compile.kernels import Maker, operands as kernel_operands
from tests.compile.programs import functions, operands
from tests.compile.schedules import EAGER

import covector as cv
from covector._engine import _native
from covector._engine.backends.base import Job
from covector._engine.backends.cpu import backend
from covector._engine.backends.reference.kernels import run
from covector._engine.base.errors import KernelError, VerificationError
from covector._engine.base.record import replace
from covector._engine.compile import memory
from covector._engine.compile.pipeline import run_passes
from covector._engine.compile.schedule import schedule
from covector._engine.core import trace
from covector._engine.ir import check, index as ix
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Copy,
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
    bodies,
    walk,
)
from covector._engine.ir.scalar import Expr, const
from covector._engine.ir.sharing import verify_plan
from covector._engine.runtime import cache
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

JOB = Job(backend.BACKEND.target())
# Products are loops if they are small; for the second they are calls, of which random programs have few large enough.
# For the third, all that may be a function of its own is one.
TARGETS = (
    JOB.target,
    replace(JOB.target, limits=replace(JOB.target.limits, small_product=0)),
    replace(
        JOB.target,
        limits=replace(JOB.target.limits, written_out=0, called=1, called_depth=1),
    ),
)


def same(found: Sequence[Any], wanted: Sequence[np.ndarray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(a).reshape(-1).view(b.dtype), b)


def compiled(
    kernel: Kernel, inputs: Sequence[np.ndarray], donate: Sequence[int]
) -> list[np.ndarray]:
    """What the compiled Kernel gives."""
    code = backend.Code(lambda: kernel, JOB, cache.cached)
    native = _native.Executable(
        code.address,
        [(dtypes.CODES[b.dtype], (b.size,)) for b in kernel.inputs],
        [(dtypes.CODES[b.dtype], (b.size,), False) for b in kernel.outputs],
        arena_bytes=code.plan.arena_bytes,
        cost_ns=1,
        keepalive=code.loaded,
        aliases=kernel.aliases,
    )
    given = [_native.array_from(x.copy()) for x in inputs]
    return [np.asarray(x) for x in native.execute(given, donate)]


def random_kernel(seed: int) -> tuple[Kernel, tuple[int, ...]]:
    """A Kernel without a plan, and the inputs that are donated."""
    random = Random(seed)
    kernel = Maker(random).kernel()
    check.verify(kernel, "lower")
    donated = tuple(n for n in range(len(kernel.inputs)) if random.random() < 0.6)
    return kernel, donated


def plan(kernel: Kernel, donated: Sequence[int]) -> Kernel:
    found = memory.plan(schedule(kernel, JOB), Job(JOB.target, tuple(donated)))
    check.verify(found, "memory")
    return found


def shuffled(n: int) -> list[int]:
    return Random(n).sample(range(n), n)


def test_loops_under_conditions_have_lanes() -> None:
    """In the runs of a loop that has none itself: each takes its own way, and there its loops have lanes."""
    rows, width = 5, 40
    x = Buffer("x", dtypes.float32, rows * width, "input")
    y = Buffer("y", dtypes.float32, rows * width, "output")
    i, count = ix.loop_variable("i", rows), Expr("local", (), dtypes.float32, "count")

    def row(name: str, by: float) -> Loop:
        j = ix.loop_variable(name, width)
        value = Expr("load", (), x.dtype, (x, i * width + j)) * const(by, x.dtype)
        return Loop(j, width, (Store(y, i * width + j, value),), free=True)

    first = Expr("load", (), x.dtype, (x, i * width))
    one, two = const(1.0, x.dtype), const(2.0, x.dtype)
    body = (
        Copy((y, i * width), (x, i * width), width),  # which has no lanes
        If(first > const(0.0, x.dtype), (row("a", 2.0),), (row("b", 3.0),)),
        Init(count, one),
        While((), count < two, (row("c", 4.0), Assign((count,), (count + one,)))),
    )
    kernel = Kernel("f", (x,), (y,), (), (Loop(i, rows, body, free=True),))
    made = schedule(kernel, JOB)
    check.verify(made, "schedule")
    lanes = {s.name: s.schedule.vector for s in walk(made.body) if isinstance(s, Loop)}
    assert lanes["i"] == 0
    assert min(lanes[name] for name in "abc") > 1, lanes
    values = np.random.default_rng(0).normal(size=rows * width).astype(np.float32)
    wanted = run(kernel, [values], planned=False)
    same(run(plan(made, ()), [values]), wanted)
    same(compiled(plan(made, ()), [values], ()), wanted)


# ------------------------------------------------------------------------------------------- Kernels


def seeds(count: int) -> range:
    """The same ones each time; others, and more, for `make fuzz`."""
    if TIMES == 1:
        return range(count)
    first = int.from_bytes(os.urandom(4), "little")
    return range(first, first + count * TIMES)


@pytest.mark.parametrize("part", range(4))
def test_random_kernels(part: int) -> None:
    """Planned or not, in place or not: all are what the compiled Kernel gives."""
    for seed in seeds(64)[part::4]:
        agrees(seed)


def agrees(seed: int) -> None:
    kernel, donated = random_kernel(seed)
    inputs = kernel_operands(kernel, seed)
    wanted = run(kernel, inputs, planned=False)
    planned = plan(kernel, donated)
    same(run(planned, inputs), wanted)
    same(run(planned, inputs, aliased=False), wanted)
    same(compiled(planned, inputs, ()), wanted)
    same(compiled(planned, inputs, donated), wanted)


def test_loops_whose_order_is_free() -> None:
    """In order, from behind, shuffled: what a schedule says to be free is."""
    for seed in seeds(16):
        kernel, donated = random_kernel(seed)
        if work(kernel.body) > 4000:
            continue
        inputs = kernel_operands(kernel, seed)
        wanted = run(kernel, inputs, planned=False)
        planned = plan(kernel, donated)
        for order in (range, lambda n: range(n)[::-1], shuffled):
            same(run(planned, inputs, order=order), wanted)


def plain(body: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements without schedules."""
    made: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            s = replace(s, body=plain(s.body), schedule=Schedule(), cost=0.0)
        elif isinstance(s, If):
            s = replace(s, body=plain(s.body), orelse=plain(s.orelse))
        elif isinstance(s, While):
            s = replace(s, test=plain(s.test), body=plain(s.body))
        made.append(s)
    return tuple(made)


@pytest.mark.parametrize("part", range(2))
def test_schedules_of_random_kernels(part: int) -> None:
    """What the pass makes of plain loops, by the oracle and compiled, for a target that wants all of it."""
    for seed in seeds(24)[part::2]:
        kernel, donated = random_kernel(seed)
        kernel = kernel.with_body(plain(kernel.body))
        if work(kernel.body) > 4000:
            continue
        inputs = kernel_operands(kernel, seed)
        wanted = run(kernel, inputs, planned=False)
        job = Job(EAGER, donated)
        made = schedule(kernel, job)
        check.verify(made, "schedule")
        for order in (None, shuffled):
            same(run(made, inputs, planned=False, order=order), wanted)
        planned = memory.plan(made, job)
        check.verify(planned, "memory")
        same(run(planned, inputs), wanted)
        same(compiled(planned, inputs, donated), wanted)


def mutants(kernel: Kernel, random: Random) -> list[Kernel]:
    """The same Kernel with something more in the same memory."""
    found: list[Kernel] = []
    temps = [*kernel.offsets, *kernel.shares]
    random.shuffle(temps)
    fits = lambda a, b: (a.size, a.dtype) == (b.size, b.dtype)  # noqa: E731
    apart = lambda a, b: kernel.memory_of(a) is not kernel.memory_of(b)  # noqa: E731
    for a in temps[:4]:
        for b in [*temps, *kernel.outputs][:6]:
            if fits(a, b) and apart(a, b):
                found.append(replace(kernel, shares={**kernel.shares, a: kernel.memory_of(b)}))
            if b in kernel.offsets and a in kernel.offsets and a is not b:
                moved = {**kernel.offsets, a: kernel.offsets[b]}
                arena = int(kernel.arena) + 64 * int(a.size)  # type: ignore[arg-type]
                found.append(replace(kernel, offsets=moved, arena=arena))
                partly = {**kernel.offsets, a: kernel.offsets[b] + 64}
                found.append(replace(kernel, offsets=partly, arena=arena + 64))
            if b in kernel.offsets and a in kernel.offsets and random.random() < 0.3:
                turned = {**kernel.offsets, a: kernel.offsets[b], b: kernel.offsets[a]}
                arena = int(kernel.arena) + 64 * int(a.size + b.size)  # type: ignore[arg-type]
                found.append(replace(kernel, offsets=turned, arena=arena))
    for s in walk(kernel.body):  # copies, and exchanges, that would have nothing to do
        pair = (s.target[0], s.source[0]) if isinstance(s, Copy) else ()
        pair = (s.first, s.second) if isinstance(s, Swap) else pair
        for a, b in (pair, pair[::-1]) if pair else ():
            if a in temps and fits(a, b) and apart(a, b):
                found.append(replace(kernel, shares={**kernel.shares, a: kernel.memory_of(b)}))
    taken = {n for pair in kernel.aliases for n in pair}
    for o, out in enumerate(kernel.outputs):
        for i, inp in enumerate(kernel.inputs):
            if fits(out, inp) and not taken:
                found.append(replace(kernel, aliases=((o, i),)))
    return found


def test_wrong_plans_are_refused() -> None:
    """What a naive proof finds wrong in a run, or shows in the values, is refused; not everything is."""
    wrong = shown = accepted = 0
    for seed in seeds(40):
        kernel, donated = random_kernel(seed)
        if work(kernel.body) > 150:
            continue
        inputs = kernel_operands(kernel, seed)
        wanted = run(kernel, inputs, planned=False)
        looked_at = 0
        for mutant in mutants(plan(kernel, donated), Random(seed)):
            refused = is_refused(mutant)
            looked_at += refused
            if refused and (looked_at > 4 or shown >= 20):  # there are wrong ones among them
                continue
            found = naive.results(mutant, inputs)
            if found is None:
                assert refused, f"a wrong plan (seed {seed}) is accepted\n{mutant}"
                shown += differs(mutant, inputs, wanted)
                wrong += 1
            else:
                same(found, wanted)  # or the naive proof misses what shows
                accepted += not refused
    assert wrong > shown >= 20  # values may be right by chance
    assert accepted >= 40


def test_memory_that_took_turns_is_freed_where_it_lies() -> None:
    """A right plan, in which a temp is given the memory of one that took turns before, and is not freed with it."""
    seed = 3158540082
    kernel, donated = random_kernel(seed)
    inputs = kernel_operands(kernel, seed)
    wanted = run(kernel, inputs, planned=False)
    accepted = [m for m in mutants(plan(kernel, donated), Random(seed)) if not is_refused(m)]
    assert accepted
    for mutant in accepted:
        same(run(mutant, inputs), wanted)
        same(compiled(mutant, inputs, ()), wanted)


def test_what_takes_turns_has_two_places() -> None:
    """Two temps that are exchanged as the Kernel runs are not put at one place."""
    seed = 1359695103
    kernel, donated = random_kernel(seed)
    planned = plan(kernel, donated)
    swaps = [s for s in walk(planned.body) if isinstance(s, Swap) and not planned.is_idle(s)]
    assert swaps
    for s in swaps:
        if s.first in planned.offsets and s.second in planned.offsets:
            offsets = {**planned.offsets, s.second: planned.offsets[s.first]}
            with pytest.raises(VerificationError, match="take turns, but overlap"):
                check.verify(replace(planned, offsets=offsets), "memory")


def test_results_do_not_take_turns() -> None:
    """A carry in the memory of a result is not exchanged with a temp: the caller would not find the result."""
    seed = 631351901
    kernel, donated = random_kernel(seed)
    planned = plan(kernel, donated)
    lying = [b for b, root in planned.shares.items() if root.kind == "output"]
    places = [
        b for b in planned.offsets if any((b.size, b.dtype) == (x.size, x.dtype) for x in lying)
    ]
    swapped = [s.second for s in walk(planned.body) if isinstance(s, Swap) and s.second in lying]
    assert swapped
    assert places
    wrong = replace(planned, shares={**planned.shares, swapped[0]: places[0]})
    with pytest.raises(VerificationError, match="take turns, but the caller"):
        check.verify(wrong, "memory")


def is_refused(kernel: Kernel) -> bool:
    try:
        verify_plan(kernel)
    except VerificationError:
        return True
    return False


def differs(kernel: Kernel, inputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> bool:
    """Whether the oracle gives something else, or finds a value that is gone."""
    try:
        same(run(kernel, inputs, most=9), wanted)
    except (AssertionError, KernelError):
        return True
    return False


# ------------------------------------------------------------------------------------------ Programs


def work(body: Sequence[Statement], lanes: bool = False) -> int:
    """About how many statements the oracle runs."""
    total = 0
    for s in body:
        wide = isinstance(s, Loop) and bool(s.schedule.vector)
        inside = sum(work(b, lanes or wide) for b in bodies(s))
        runs = int(s.extent) if isinstance(s, Loop) and isinstance(s.extent, int) else 1
        total += 1 + inside * (1 if wide and not lanes else runs)
    return total


@given(st.data())
@settings(max_examples=30 * TIMES)
def test_random_programs(data: Any) -> None:
    """Programs with donation, loops and routines: the oracle gives what compiled code does."""
    f = data.draw(functions())
    values = operands(f, data.draw(st.integers(0, 99)))
    donated = data.draw(st.sets(st.integers(0, len(values) - 1)))
    program = trace.stage(f, [ShapedArray(v.shape, v.dtype) for v in f.inputs])
    job = Job(data.draw(st.sampled_from(TARGETS)), tuple(sorted(donated)))
    kernel = run_passes(program, backend.BACKEND.passes, job)["memory"]
    assert isinstance(kernel, Kernel)
    assume(work(kernel.body) < 3000)
    loaded = backend.BACKEND.load(lambda: kernel, program, job, cache.cached)
    given = [cv.numpy.asarray(x) for x in (*values, *program.constants)]
    wanted = loaded(given, job.donated)
    constants = [np.asarray(c) for c in program.constants]
    for options in ({}, {"aliased": False}, {"planned": False}):
        found = run(kernel, [*values, *constants], **options)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, np.asarray(b).reshape(-1).view(a.dtype))


# ---------------------------------------------------------------------------------------------- errors


def test_what_a_kernel_must_not_do() -> None:
    """The oracle stops at accesses outside of a buffer, and at memory that holds nothing."""
    f32 = dtypes.float32
    x, y = Buffer("x", f32, 4, "input"), Buffer("y", f32, 4, "output")
    t = Buffer("t", f32, 4, "temp")
    i = ix.loop_variable("i", 8)
    load = lambda b, d: Expr("load", (), f32, (b, d))  # noqa: E731
    lanes = Schedule(vector=1)
    four = np.ones(4, np.float32)

    def fails(words: str, *body: Statement) -> None:
        kernel = Kernel("k", (x,), (y,), (), body)
        with pytest.raises(KernelError, match=words):
            run(kernel, [four], planned=False)

    fails(r"x\[4\] of 4", Loop(i, 4, (Store(y, i, load(x, i + 1)),)))
    fails(r"y\[4\] of 4", Loop(i, 5, (Store(y, i, load(x, 0)),), lanes))
    fails("where nothing was written", Loop(i, 4, (Store(y, i, load(t, i)),)))
    fails("the caller reads y", Store(y, 0, const(1, f32)))
    fails("in several lanes", Loop(i, 4, (Store(y, 0, load(x, i)),), lanes))
    fails("knows no routine", Routine("magic", ((y, 0),), ()))
    fails("has no value", Store(y, 0, Expr("local", (), f32, "s")))
    fails("between places that overlap", Copy((x, 1), (x, 0), 3))
    fails("accesses x", Copy((y, 0), (x, 1), 4))
