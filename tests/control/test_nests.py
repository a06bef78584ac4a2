"""Loops of unknown length inside of loops, where large arrays are read and changed: gradients, and what they write."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from tests.amount import TIMES

import covector as cv
import covector.numpy as cnp
from covector import lax

SIZE = 400
# A number, the array that changes; beside them there is one that is read, and how many steps loops take.
State = tuple[Any, Any]
Step = Callable[[Any, Any, Any, State], State]


class InPython:
    """Loops as Python's, so that every operation is done one by one."""

    @staticmethod
    def cond(holds: Any, yes: Any, no: Any, c: State) -> State:
        return yes(c) if bool(holds) else no(c)

    @staticmethod
    def repeat(form: str, count: Any, step: Any, c: Any) -> Any:
        for t in range(int(count)):
            c = step(t, c)
        return c


class Compiled:
    """The same loops of the compiled function."""

    cond = staticmethod(lax.cond)

    @staticmethod
    def repeat(form: str, count: Any, step: Any, c: Any) -> Any:
        if form == "while":
            more = lambda c: c[0] < count  # noqa: E731
            return lax.while_loop(more, lambda c: (c[0] + 1, step(*c)), (0 * count, c))[1]
        if form == "scan":
            return lax.scan(lambda c, t: (step(t, c), None), c, cnp.arange(int(count)))[0]
        return lax.fori_loop(0, count, step, c)


def random_step(random: Random, depth: int) -> Step:
    """One to three changes, of which one at least is a loop, down to a depth."""
    steps = [one_step(random, depth) for _ in range(random.randint(1, 3))]
    if depth:
        steps.insert(random.randrange(len(steps) + 1), a_loop(random, depth))

    def run(how: Any, t: Any, b: Any, c: State) -> State:
        for step in steps:
            c = step(how, t, b, c)
        return c

    return run


def a_loop(random: Random, depth: int) -> Step:
    f, form = random_step(random, depth - 1), random.choice(["while", "while", "fori", "scan"])
    first, every = random.randint(0, 2), random.choice([1, 2, 3])

    def run(how: Any, t: Any, b: Any, c: State) -> State:
        count = first if form == "scan" else (t + first) % (every + 1)
        return how.repeat(form, count, lambda u, c: f(how, u + 2 * t, b, c), c)

    return run


def one_step(random: Random, depth: int) -> Step:
    k, m, w = random.randint(1, 40), random.randint(0, SIZE - 1), random.uniform(-0.9, 0.9)
    at = lambda t: (t * k + m) % SIZE  # noqa: E731
    match random.choice(["read", "reads b", "set", "add", "turn", "late", *["cond"] * bool(depth)]):
        case "read":
            return lambda how, t, b, c: (c[0] * 0.5 + cnp.sin(c[1][at(t)]), c[1])
        case "reads b":
            return lambda how, t, b, c: (c[0] * w + b[at(t)] * cnp.cos(c[0]), c[1])
        case "set":
            return lambda how, t, b, c: (c[0], c[1].at[at(t)].set(cnp.sin(c[0]) * c[1][m] + 1))
        case "add":
            return lambda how, t, b, c: (c[0], c[1].at[at(t)].add(c[0] * b[m] * w))
        case "turn":
            return lambda how, t, b, c: (c[1][at(t)] * w, c[1].at[at(t)].set(cnp.tanh(c[0])))
        case "late":
            return lambda how, t, b, c: (c[0] + c[1][m] * w, c[1].at[m].set(c[0] * c[1][at(t)]))
    f, g = random_step(random, depth - 1), random_step(random, 0)
    return lambda how, t, b, c: how.cond(
        c[0] > w, lambda c: f(how, t, b, c), lambda c: g(how, t, b, c), c
    )


def loss(how: Any, step: Step, form: str, n: Any, s: Any, a: Any, b: Any) -> Any:
    s, a = how.repeat(form, n, lambda t, c: step(how, t, b, c), (s, a))
    return s * 1.5 + (cnp.sin(a) * cnp.arange(SIZE) * 0.01).sum()


def operands(seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return np.float64(rng.normal()), rng.normal(size=SIZE), rng.normal(size=SIZE)


def close(found: Any, wanted: Any) -> None:
    for x, y in zip(cv.tree.leaves(found), cv.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("form", ["while", "fori", "scan"])
@pytest.mark.parametrize("seed", range(8 * TIMES))
def test_gradients_are_those_of_the_steps_one_by_one(seed: int, form: str) -> None:
    random = Random(f"{seed} {form}")
    step, xs = random_step(random, random.choice([1, 1, 2])), operands(seed)
    f = lambda how, n: lambda *xs: loss(how, step, form, n, *xs)  # noqa: E731
    slope = cv.jit(lambda n, *xs: cv.value_and_grad(f(Compiled, n), (0, 1, 2))(*xs))
    for n in (0, 1, 4):
        wanted = cv.value_and_grad(f(InPython, n), (0, 1, 2))(*xs)
        if form == "scan":
            found = cv.jit(cv.value_and_grad(f(Compiled, n), (0, 1, 2)))(*xs)
        else:
            found = slope(np.int64(n), *xs)
        close(found, wanted)


@pytest.mark.parametrize("seed", range(3 * TIMES))
def test_gradients_of_batches_are_those_of_the_elements(seed: int) -> None:
    """Of loops that end at other times; the gradients of a batch, and the gradient of one."""
    random = Random(f"{seed} batch")
    step, form = random_step(random, 1), random.choice(["while", "fori"])
    counts = np.array([3, 0, 2])
    s, a, b = [np.stack(xs) for xs in zip(*[operands(seed + k) for k in range(3)], strict=True)]
    f = lambda n, s, a, b: loss(Compiled, step, form, n, s, a, b)  # noqa: E731
    one = lambda n, *xs: loss(InPython, step, form, n, *xs)  # noqa: E731
    wanted = [cv.grad(one, (1, 2, 3))(counts[k], s[k], a[k], b[0]) for k in range(3)]
    s_wanted, a_wanted, b_wanted = [np.stack(xs) for xs in zip(*wanted, strict=True)]
    slopes = cv.jit(cv.vmap(cv.grad(f, (1, 2, 3)), (0, 0, 0, None)))
    close(slopes(counts, s, a, b[0]), (s_wanted, a_wanted, b_wanted))
    batch = lambda s, a, b: cnp.sum(cv.vmap(f, (0, 0, 0, None))(counts, s, a, b))  # noqa: E731
    close(cv.jit(cv.grad(batch, (0, 1, 2)))(s, a, b[0]), (s_wanted, a_wanted, b_wanted.sum(0)))


@pytest.mark.parametrize("seed", range(3 * TIMES))
def test_second_derivatives_are_those_of_the_steps_one_by_one(seed: int) -> None:
    random = Random(f"{seed} turn")
    step, (s, a, b) = random_step(random, 1), operands(seed)

    def turned(how: Any, n: Any) -> Any:
        slope = cv.grad(lambda a, b: loss(how, step, "fori", n, s, a, b), (0, 1))
        return cv.grad(lambda a, b: sum([cnp.sum(cnp.sin(x)) for x in slope(a, b)]), (0, 1))

    found = cv.jit(lambda n, a, b: turned(Compiled, n)(a, b))
    for n in (0, 3):
        close(found(np.int64(n), a, b), turned(InPython, n)(a, b))


def test_second_derivatives_of_a_nest_that_only_reads_are_those_of_the_steps_one_by_one() -> None:
    _, a, b = operands(5)

    def turned(how: Any, n: Any) -> Any:
        def inner(t: Any, b: Any, s: Any) -> Any:
            return how.repeat("while", t % 4, lambda u, s: s + cnp.sin(s * b[t + u]), s)

        f = lambda s, b: how.repeat("fori", n, lambda t, s: inner(t, b, s), s)  # noqa: E731
        slope = cv.grad(lambda s, b: cnp.sin(f(s, b)), (0, 1))
        return cv.grad(lambda s, b: sum([cnp.sum(cnp.sin(x)) for x in slope(s, b)]), (0, 1))

    found = cv.jit(lambda n, s, b: turned(Compiled, n)(s, b))
    for n in (0, 1, 7):
        close(found(np.int64(n), a[0], b), turned(InPython, n)(a[0], b))
