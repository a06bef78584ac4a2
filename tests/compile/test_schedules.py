"""Every legal schedule of small Kernels gives what NumPy gives; those that are not legal are refused with a reason."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends import registry
from covector._engine.backends.base import Job
from covector._engine.base.errors import VerificationError
from covector._engine.compile import memory
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.core import trace
from covector._engine.ir import check, index as ix
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Schedule,
    Statement,
    Store,
    walk,
)
from covector._engine.ir.legal import refused, why_not
from covector._engine.ir.program import Program
from covector._engine.ir.scalar import Expr, const
from covector._engine.runtime.executable import Executable
from covector._engine.types.avals import ShapedArray

F32 = np.dtype("f")
VECTORS, COPIES = (0, 2, 8), (1, 4)
SAMPLE = 14  # schedules of each Kernel that are run

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "elementwise": (lambda x, y: cnp.sqrt(abs(x)) * y + 1, ((37,), (37,))),
    "rows": (lambda x: x.sum(1), ((5, 19),)),
    "columns": (lambda x: x.sum(0), ((19, 21),)),
    "transposed": (lambda x: x.T * 2, ((33, 20),)),
    "softmax": (lambda x: cv.nn.softmax(x, axis=1), ((4, 21),)),
    "product": (lambda x, y: x @ y, ((8, 5), (5, 18))),
    "extremes": (lambda x: (x.max(), x.argmin(1)), ((6, 11),)),
    "reversed": (lambda x: x[::-1] + x, ((23,),)),
    "padded": (lambda x: cnp.pad(x, 2) * 3, ((9, 7),)),
    "cumulative": (lambda x: cnp.cumsum(x, axis=1), ((6, 18),)),
    "updated": (lambda x: x.at[2:5].add(1.5), ((9, 17),)),
    "scan": (lambda x: lax.scan(lambda c, r: (c * 0.5 + r, c.sum()), x[0], x), ((5, 18),)),
    "complex": (lambda x: abs(x * (1 + 2j)), ((21,),)),
    "bytes": (lambda x: (x > 0).sum(1), ((5, 40),)),
}


def program_of(name: str) -> Program:
    f, shapes = FUNCTIONS[name]
    avals = [ShapedArray(shape, F32) for shape in shapes]
    return trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), avals, name).close()


def rescheduled(body: tuple[Statement, ...], made: dict[Loop, Schedule]) -> tuple[Statement, ...]:
    """The statements with other schedules; loops cost so much that threads are used."""
    result: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            inside = rescheduled(s.body, made)
            s = replace(s, body=inside, schedule=made.get(s, Schedule()), cost=1e6)
        elif isinstance(s, If):
            s = replace(s, body=rescheduled(s.body, made), orelse=rescheduled(s.orelse, made))
        result.append(s)
    return tuple(result)


def legal_schedules(kernel: Kernel) -> Iterator[Kernel]:
    """The Kernel with each combination of its loops' schedules that is proved legal."""
    loops = [s for s in walk(kernel.body) if isinstance(s, Loop)]
    choices: list[list[Schedule]] = []
    for loop in loops:
        found = [
            Schedule(vector, parallel, copies)
            for vector, copies, parallel in itertools.product(VECTORS, COPIES, (False, True))
        ]
        choices.append(
            [s for s in found if why_not(replace(loop, schedule=s), kernel, strictly=True) is None]
        )
    for combination in itertools.product(*choices):
        made = kernel.with_body(
            rescheduled(kernel.body, dict(zip(loops, combination, strict=True)))
        )
        if next(refused(made, strictly=True), None) is None:
            yield made


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_legal_schedule_gives_the_same(name: str) -> None:
    program = program_of(name)
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype(F32) for shape in FUNCTIONS[name][1]]
    wanted = Executable(program, backend="reference")([cnp.asarray(x) for x in operands])
    cpu = registry.backend("cpu")
    job = Job(cpu.target())
    kernel = run_passes(program, TO_KERNEL[:-2], job)["lower"]
    assert isinstance(kernel, Kernel)
    found = list(itertools.islice(legal_schedules(kernel), 3000))
    assert len(found) > 1, "nothing can be scheduled"
    chosen = random.Random(0).sample(found, min(SAMPLE, len(found)))
    for made in chosen:
        check.verify(made, "schedule")
        loaded = cpu.load(memory.plan(made, job), program, job, lambda key, make: make())
        results = loaded([cnp.asarray(x) for x in operands], ())
        for got, expected in zip(results, wanted, strict=True):
            np.testing.assert_allclose(
                np.asarray(got), np.asarray(expected), rtol=2e-5, atol=2e-5, err_msg=str(made)
            )


# ------------------------------------------------------------------------------------------------- refusals

N = 16
AT = ix.loop_variable("i", N)
J = ix.loop_variable("j", 4)
X = Buffer("x", F32, 4 * N, "input")
Y = Buffer("y", F32, 4 * N, "output")
ROW = Buffer("row", F32, 4, "local")
S = Expr("local", (), F32, "s")
ZERO = const(0.0, F32)
LANES, THREADS = Schedule(4), Schedule(parallel=True)


def read(buffer: Buffer, at: Any) -> Expr:
    return Expr("load", (), buffer.dtype, (buffer, at))


def loop(made: Schedule, *body: Statement) -> Loop:
    return Loop(AT, N, body, made)


REFUSED: dict[str, tuple[tuple[Statement, ...], str]] = {
    "a recurrence": (
        (loop(LANES, Store(Y, AT + 1, read(Y, AT) + read(X, AT))),),
        "a run uses the element of y that the run 1 before or after it writes",
    ),
    "a recurrence on threads": (
        (loop(THREADS, Store(Y, AT * 2 + 4, read(Y, AT * 2) + ZERO)),),
        "the run 2 before or after",
    ),
    "one place": ((loop(LANES, Store(Y, 3, read(X, AT))),), "writes the same elements of y"),
    "a row for all": (
        (loop(THREADS, Loop(J, 4, (Store(Y, J, read(X, AT)),))),),
        "writes the same elements of y",
    ),
    "a sum on threads": (
        (Init(S, ZERO), loop(THREADS, Fold(S, "add", read(X, AT), ZERO)), Store(Y, 0, S)),
        "the local s is shared by all threads",
    ),
    "a running sum": (
        (
            Init(S, ZERO),
            loop(LANES, Fold(S, "add", read(X, AT), ZERO), Store(Y, AT, S)),
        ),
        "the local s is read while it is folded",
    ),
    "a state": (
        (Init(S, ZERO), loop(LANES, Assign((S,), (S * read(X, AT),))), Store(Y, 0, S)),
        "the local s is carried from one run to the next",
    ),
    "a branch": (
        (loop(LANES, If(read(X, 0) > ZERO, (Store(Y, AT, ZERO),))),),
        "a branch is the same for all lanes",
    ),
    "a copy": ((loop(LANES, Copy((Y, AT), (X, AT), 1)),), "a copy has no lanes"),
    "three lanes": ((loop(Schedule(3), Store(Y, AT, ZERO)),), "only powers of two"),
    "copies without lanes": (
        (loop(Schedule(unroll=4), Store(Y, AT, ZERO)),),
        "copies of the body are made of vectors",
    ),
    "lanes in lanes": (
        (loop(LANES, Loop(J, 4, (Store(Y, AT * 4 + J, ZERO),), LANES)),),
        "a loop around it has lanes",
    ),
    "threads in lanes": (
        (loop(LANES, Loop(J, 4, (Store(Y, AT * 4 + J, ZERO),), THREADS)),),
        "a loop around it has lanes",
    ),
    "a ragged loop": (
        (loop(LANES, Loop(J, AT, (Store(Y, AT * 4 + J, ZERO),))),),
        "the extent of j differs from lane to lane",
    ),
    "a row of all threads": (
        (
            Store(ROW, 0, ZERO),
            loop(THREADS, Store(ROW, 1, read(X, AT)), Store(Y, AT, read(ROW, 1) + read(ROW, 0))),
        ),
        "the private buffer row is shared with what is outside",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_legal_is_refused_with_a_reason(name: str) -> None:
    body, reason = REFUSED[name]
    kernel = Kernel(name, (X,), (Y,), (), body)
    with pytest.raises(VerificationError, match=reason):
        check.verify(kernel, "schedule")


def test_what_is_legal_is_not_refused() -> None:
    bodies: tuple[tuple[Statement, ...], ...] = (
        (loop(LANES, Store(Y, AT, read(X, AT) + ZERO)),),
        (loop(Schedule(4, True, 4), Store(Y, AT * 2 + 1, read(Y, AT * 2))),),
        (loop(THREADS, Loop(J, 4, (Store(Y, AT * 4 + J, read(X, J)),), LANES)),),
        (Init(S, ZERO), loop(Schedule(4, False, 4), Fold(S, "add", read(X, AT), ZERO))),
        (Loop(AT, 0, (Store(Y, 3, read(X, AT)),), LANES),),
        (loop(LANES, Init(S, ZERO), Fold(S, "add", read(X, AT), ZERO), Store(Y, AT, S)),),
    )
    for body in bodies:
        assert list(refused(Kernel("f", (X,), (Y,), (), body), strictly=True)) == []


def test_the_reasons_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with cv.config.override(explain="schedule", vector_bits=256):
        text = cv.jit(lambda x: x * 2.125).lower(cnp.ones(1000)).compile().as_text("llvm")
    assert "< 1000:  @ vector 8" in capsys.readouterr().err
    assert "<8 x float>" in text
