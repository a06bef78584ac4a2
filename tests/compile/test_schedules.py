"""Every legal schedule of small Kernels gives what plain loops do; what is not legal is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.amount import some
from tests.compile.schedules import EAGER, legal_schedules

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends import registry
from covector._engine.backends.base import Job
from covector._engine.backends.reference import kernels as oracle
from covector._engine.base.errors import VerificationError
from covector._engine.compile import memory
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.compile.schedule import schedule
from covector._engine.core import trace
from covector._engine.ir import check, index as ix
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Combination,
    Copy,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Schedule,
    Statement,
    Store,
    While,
    walk,
)
from covector._engine.ir.legal import refused, why_not_step
from covector._engine.ir.program import Program
from covector._engine.ir.scalar import Expr, const
from covector._engine.ir.steps import Beside, Fill, Join, Pieces, Step, Stream, Tile, Together
from covector._engine.runtime.executable import Executable
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray

F32 = np.dtype("f")
COMBINATIONS = 12  # of lanes, copies and threads, for each way to write the loops of a nest
INTERPRETED, COMPILED = (
    40,
    12,
)  # schedules of each Kernel that are run by the oracle, and as native code


def own_way(x: Any, y: Any, table: Any) -> Any:
    """Loops, also in loops, and branches, of which each element of a batch takes others."""

    def inner(c: Any) -> Any:
        return lax.while_loop(lambda c: c[1] < c[0] % 3, lambda c: (c[0], c[1] + 0.75), c)

    def step(c: Any) -> Any:
        n, a, b = c
        way = [lambda a, b: (a + table[n], b), lambda a, b: inner((a, b)), lambda a, b: (b, a)]
        a, b = lax.switch(cnp.int32(abs(a) * 2) % 3, way, a, b)
        return n + 1, a - 0.25, b * 0.5

    return lax.while_loop(lambda c: (c[0] < 4) & (c[1] < 2), step, (cnp.int32(0), x, y))


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "elementwise": (lambda x, y: cnp.sqrt(abs(x)) * y + 1, ((37,), (37,))),
    "rows": (lambda x: x.sum(1), ((5, 19),)),
    "columns": (lambda x: x.sum(0), ((19, 21),)),
    "transposed": (lambda x: x.T * 2, ((33, 20),)),
    "softmax": (lambda x: cv.nn.softmax(x, axis=1), ((4, 21),)),
    "product": (lambda x, y: x @ y, ((8, 5), (5, 18))),
    "extremes": (lambda x: (x.max(), x.argmin(1)), ((6, 11),)),
    "places of extremes": (lambda x: (x.argmax(), (x * 0.5).argmin(0)), ((9, 21),)),
    "reversed": (lambda x: x[::-1] + x, ((23,),)),
    "padded": (lambda x: cnp.pad(x, 2) * 3, ((9, 7),)),
    "cumulative": (lambda x: cnp.cumsum(x, axis=1), ((6, 18),)),
    "updated": (lambda x: x.at[2:5].add(1.5), ((9, 17),)),
    "scan": (lambda x: lax.scan(lambda c, r: (c * 0.5 + r, c.sum()), x[0], x), ((5, 18),)),
    "complex": (lambda x: abs(x * (1 + 2j)), ((21,),)),
    "bytes": (lambda x: (x > 0).sum(1), ((5, 40),)),
    "deviations": (lambda x: (x - x.mean(), x.std(), cv.nn.softmax(x)), ((50,),)),
    "short rows": (lambda x, y: cnp.sqrt(abs(x + y)) * x[:, :1], ((6, 2), (2,))),
    "short columns": (lambda x: (x.sum(1), x.argmin(1), (x * x[..., :1]).max(1)), ((5, 12, 2),)),
    "bodies": (
        lambda x, y: (((x[None] - y[:, None]) ** 2).sum(2) ** 0.5).sum(1),
        ((4, 3), (8, 3)),
    ),
    "ways of lanes": (lambda x, y: cv.vmap(own_way, (0, 0, None))(x, y, y), ((21,), (21,))),
    "nothing": (lambda x: (x.sum(), x.max(0, initial=-1.0)), ((0, 3),)),
}


def program_of(name: str) -> Program:
    f, shapes = FUNCTIONS[name]
    avals = [ShapedArray(shape, F32) for shape in shapes]
    return trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), avals, name).close()


def lowered(name: str, job: Job) -> Kernel:
    """The plain loops of a Program."""
    kernel = run_passes(program_of(name), TO_KERNEL[:-2], job)["lower"]
    assert isinstance(kernel, Kernel)
    assert all(s.schedule == Schedule() for s in walk(kernel.body) if isinstance(s, Loop))
    return kernel


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_legal_schedule_gives_the_same(name: str) -> None:
    """What the oracle gives for the plain loops, and NumPy for the Program: by the oracle, and by compiled code."""
    program, cpu, random = program_of(name), registry.backend("cpu"), Random(0)
    job = Job(cpu.target())
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype(F32) for shape in FUNCTIONS[name][1]]
    kernel = lowered(name, job)
    wanted = oracle.run(kernel, operands, planned=False)
    expected = Executable(program, backend="reference")([cnp.asarray(x) for x in operands])
    for got, other in zip(wanted, expected, strict=True):
        close(got, other, "plain loops")
    found = list(legal_schedules(kernel, COMBINATIONS, random))
    assert len(found) > 1, "nothing can be scheduled"
    for steps, made in some(found, INTERPRETED):
        text = f"{steps}\n{made}"
        check.verify(made, "schedule")
        for order in (None, lambda n: range(n)[::-1]):
            results = oracle.run(made, operands, planned=False, order=order)
            for got, other in zip(results, wanted, strict=True):
                close(got, other, text)
    for steps, made in some(found, COMPILED, 1):
        loaded = cpu.load(partial(memory.plan, made, job), program, job, lambda key, make: make())
        results = loaded([cnp.asarray(x) for x in operands], ())
        for got, other in zip(results, wanted, strict=True):
            close(got, other, f"{steps}\n{made}")


def test_what_the_pass_chooses_is_legal_and_the_same() -> None:
    """For a target that wants all of it: every kind of step is taken somewhere, each with a reason."""
    cpu, said = registry.backend("cpu"), list[str]()
    job = Job(EAGER, explain=lambda topic: said.append)
    rng = np.random.default_rng(1)
    for name, (_, shapes) in FUNCTIONS.items():
        operands = [rng.normal(size=shape).astype(F32) for shape in shapes]
        kernel = lowered(name, job)
        wanted = oracle.run(kernel, operands, planned=False)
        made = schedule(kernel, job)
        check.verify(made, "schedule")
        planned = memory.plan(made, job)
        loaded = cpu.load(
            partial(memory.plan, made, job), program_of(name), job, lambda key, make: make()
        )
        results = loaded([cnp.asarray(x) for x in operands], ())
        for found in (results, oracle.run(planned, operands)):
            for got, other in zip(found, wanted, strict=True):
                close(got, other, f"{made}")
    for words in (
        "joined: every access",
        "tiles of 2",
        "pieces: ",
        "row by row",
        "together: ",
        "lanes of several",
        "beside each other",
    ):
        assert any(words in line for line in said), words
    assert not any("no threads, less than" in line for line in said)


def close(found: Any, wanted: Any, text: str) -> None:
    wanted = np.asarray(wanted).reshape(-1)
    found = np.asarray(found).reshape(-1).view(wanted.dtype)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5, err_msg=text)


def test_every_step_is_enumerated() -> None:
    """Among the legal schedules of these Kernels are all kinds of steps, and threads, lanes and copies with them.

    Few are legal by chance with threads where parts of a fold share memory: the pass takes these above.
    """
    lanes, threads = set[type](), set[type]()
    job = Job(registry.backend("cpu").target())
    names = ("columns", "transposed", "product", "elementwise", "extremes", "short rows")
    for name in (*names, "short columns"):
        for steps, made in legal_schedules(lowered(name, job), 20, Random(1)):
            how = [s.schedule for s in walk(made.body) if isinstance(s, Loop)]
            if any(h.vector for h in how):
                lanes |= {*map(type, steps)}
                threads |= {type(step) for step in steps if any(h.parallel for h in how)}
    assert threads >= {Join, Tile, Together, Pieces, Stream, Fill}
    assert lanes == {*threads, Beside}


# ------------------------------------------------------------------------------------------------- refusals

N = 16
AT = ix.loop_variable("i", N)
J = ix.loop_variable("j", 4)
X = Buffer("x", F32, 4 * N, "input")
Y = Buffer("y", F32, 4 * N, "output")
ROW = Buffer("row", F32, 4, "local")
S = Expr("local", (), F32, "s")
ZERO = const(0.0, F32)
TAKEN = Expr("local", (), F32, "s'")
PRODUCT = Combination((const(1.0, F32),), (TAKEN,), (S * TAKEN,))
LANES, THREADS = Schedule(4), Schedule(parallel=True)


def read(buffer: Buffer, at: Any) -> Expr:
    return Expr("load", (), buffer.dtype, (buffer, at))


def loop(made: Schedule, *body: Statement) -> Loop:
    return Loop(AT, N, body, made, free=True)


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
    "a state that is read": (
        (Init(S, ZERO), loop(LANES, Assign((S,), (S * read(X, AT),), PRODUCT), Store(Y, AT, S))),
        "the local s is read while it is folded",
    ),
    "a state on threads": (
        (Init(S, ZERO), loop(THREADS, Assign((S,), (S * read(X, AT),), PRODUCT)), Store(Y, 0, S)),
        "the local s is shared by all threads",
    ),
    "a copy": ((loop(LANES, Copy((Y, AT), (X, AT), 1)),), "a copy has no lanes"),
    "three lanes": ((loop(Schedule(3), Store(Y, AT, ZERO)),), "only powers of two"),
    "copies without lanes": (
        (loop(Schedule(unroll=4), Store(Y, AT, ZERO)),),
        "copies of the body are made of vectors",
    ),
    "lanes in lanes": (
        (loop(LANES, Loop(J, 4, (Store(Y, AT * 4 + J, ZERO),), LANES, free=True)),),
        "a loop around it has lanes",
    ),
    "threads in lanes": (
        (loop(LANES, Loop(J, 4, (Store(Y, AT * 4 + J, ZERO),), THREADS, free=True)),),
        "a loop around it has lanes",
    ),
    "a ragged loop": (
        (loop(LANES, Loop(J, AT, (Store(Y, AT * 4 + J, ZERO),))),),
        "the extent of j differs from lane to lane",
    ),
    "what is not free": (
        (Loop(AT, N, (Store(Y, AT, read(X, AT)),), LANES),),
        "nothing says that the order of its runs is free",
    ),
    "a free loop whose runs depend on each other": (
        (loop(Schedule(), Store(Y, AT + 1, read(Y, AT))),),
        "the run 1 before or after",
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
        (loop(THREADS, Loop(J, 4, (Store(Y, AT * 4 + J, read(X, J)),), LANES, free=True)),),
        (Init(S, ZERO), loop(Schedule(4, False, 4), Fold(S, "add", read(X, AT), ZERO))),
        (Init(S, ZERO), loop(Schedule(4, False, 4), Assign((S,), (S * read(X, AT),), PRODUCT))),
        (Loop(AT, 0, (Store(Y, 3, read(X, AT)),), LANES, free=True),),
        (loop(LANES, If(read(X, AT) > ZERO, (Store(Y, AT, ZERO),))),),
        (loop(LANES, While((), read(Y, AT) > ZERO, (Store(Y, AT, ZERO),))),),
        (loop(LANES, If(read(X, AT) > ZERO, (Store(ROW, 0, ZERO), Store(Y, AT, read(ROW, 0))))),),
        (loop(LANES, Init(S, ZERO), Fold(S, "add", read(X, AT), ZERO), Store(Y, AT, S)),),
    )
    for body in bodies:
        assert list(refused(Kernel("f", (X,), (Y,), (), body), strictly=True)) == []


K = ix.loop_variable("k", 4)


def nest(*body: Statement) -> Loop:
    return Loop(AT, N, body, free=True)


def row(*body: Statement, free: bool = True) -> Loop:
    return Loop(J, 4, body, free=free)


SUM = nest(Init(S, ZERO), row(Fold(S, "add", read(X, AT * 4 + J), ZERO)), Store(Y, AT, S))
PLAIN = nest(row(Store(Y, AT * 4 + J, read(X, AT * 4 + J))))
STEPS: dict[str, tuple[Loop, Step, str]] = {
    "other strides": (
        nest(row(Store(Y, AT * 4 + J, read(X, J * N + AT)))),
        Join((("i", "j"),)),
        "not every access runs through i and j in one stride",
    ),
    "an index in a value": (
        nest(row(Store(Y, AT * 4 + J, ix.to_scalar(AT, F32)))),
        Join((("i", "j"),)),
        "i or j is more than a place in memory",
    ),
    "more in a loop": (SUM, Join((("i", "j"),)), "j is not all that is in i"),
    "a tile of a fold": (SUM, Tile("i", "j", 2), "over two loops directly inside each other"),
    "a tile of one": (PLAIN, Tile("i", "j", 1), "a tile has more than one run a side"),
    "a ragged tile": (
        nest(Loop(J, AT, (Store(Y, AT * 4 + J, ZERO),), free=True)),
        Tile("i", "j", 2),
        "the extent of j differs from run to run",
    ),
    "three rows": (SUM, Together("i", 3), "16 runs are not so many times 3"),
    "rows of a fold": (SUM, Together("j", 2), "a loop further in is not run several times"),
    "rows with memory": (
        nest(Store(ROW, 0, read(X, AT)), Store(Y, AT, read(ROW, 0))),
        Together("i", 2),
        "each run writes private memory",
    ),
    "pieces of a map": (PLAIN, Pieces("j", 2), "nothing is folded over j"),
    "pieces of what stores": (
        nest(
            Init(S, ZERO),
            row(Fold(S, "add", read(X, J), ZERO), Store(Y, AT * 4 + J, read(X, J))),
        ),
        Pieces("j", 2),
        "does more than to fold",
    ),
    "pieces of an assignment": (
        nest(Init(S, ZERO), row(Assign((S,), (S * read(X, J),))), Store(Y, AT, S)),
        Pieces("j", 2),
        "it is not known how states combine",
    ),
    "pieces of what is written": (
        nest(Init(S, ZERO), row(Fold(S, "add", read(Y, AT * 4 + J), ZERO)), Store(Y, AT * 4, S)),
        Pieces("j", 2),
        "reads y, which the nest writes",
    ),
    "no pieces": (SUM, Pieces("j", 0), "there is at least one piece"),
    "pieces in order": (
        nest(Init(S, ZERO), row(Fold(S, "add", read(X, J), ZERO), free=False), Store(Y, AT, S)),
        Pieces("j", 2),
        "j is not the one loop of the nest whose runs are folded",
    ),
    "a stream of no columns": (PLAIN, Stream("j", "i", 1, 1), "i is not the one loop around j"),
    "a stream of odd rows": (SUM, Stream("j", "i", 2, 4), "4 rows are not so many times 8"),
    "rows of what is not inside": (SUM, Fill("i", "j"), "j is not directly inside i"),
    "rows of unknown length": (
        nest(Loop(J, dims.symbol("n"), (Store(Y, AT, ZERO),), free=True)),
        Fill("i", "j"),
        "it is not known how long rows of j are",
    ),
    "parts of a map": (PLAIN, Beside("j", "i", 2), "j is not inside i, the last of the loops"),
    "parts of the wrong row": (SUM, Beside("j", "k", 2), "j is not inside k"),
    "three parts": (SUM, Beside("j", "i", 3), "4 elements are not so many times 3"),
    "one part": (SUM, Beside("j", "i", 1), "4 elements are not so many times 1"),
    "an order": (
        Loop(AT, N, (Store(Y, AT, ZERO),)),
        Together("i", 2),
        "the order of its runs is not free",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_that_are_not_legal_are_refused_with_a_reason(name: str) -> None:
    loop_, step, reason = STEPS[name]
    assert reason in (why_not_step(loop_, step) or "")


def test_the_reasons_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with cv.config.override(explain="schedule", vector_bits=256):
        text = cv.jit(lambda x: x * 2.125).lower(cnp.ones(1000)).compile().as_text("llvm")
    assert "< 1000:  @ vector 8" in capsys.readouterr().err
    assert "<8 x float>" in text
