"""Random loops in loops, with choices: compiled and over a batch they are the Python loops; so are their slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Carry = tuple[Any, ...]
Step = Callable[[Any, Carry], Carry]
TABLE = np.linspace(0.0, 1.0, 7)


class Followed:
    """Control flow as Python has it."""

    @staticmethod
    def cond(holds: Any, yes: Any, no: Any, c: Carry) -> Carry:
        return tuple((yes if holds else no)(c))

    @staticmethod
    def switch(index: Any, branches: Sequence[Any], c: Carry) -> Carry:
        return tuple(branches[int(index)](c))

    @staticmethod
    def repeat(test: Any, step: Any, c: Carry) -> Carry:
        while test(c):
            c = step(c)
        return c

    @staticmethod
    def at(index: Any) -> Any:
        return TABLE[index]


class Compiled:
    """The same in a compiled function."""

    cond, switch = staticmethod(lax.cond), staticmethod(lax.switch)

    @staticmethod
    def repeat(test: Any, step: Any, c: Carry) -> Carry:
        return lax.while_loop(test, step, tuple([cnp.asarray(x) for x in c]))

    @staticmethod
    def at(index: Any) -> Any:
        return cnp.asarray(TABLE)[index]


def random_step(random: Random, depth: int) -> Step:
    """A step on (count, x, y)."""
    a, b, m = random.uniform(-1, 1), random.uniform(-1, 1), random.randint(1, 4)
    way = random.choice(["sum", "cond", "switch", "while", "for", "table"]) if depth else "sum"
    if way == "sum":
        return lambda how, c: (c[0], c[1] * a + c[2] * b + 0.1, c[2] * b - c[1] * 0.3 + 1)
    if way == "table":
        return lambda how, c: (c[0], c[1] * 0.5 + how.at(c[0] % 7), c[2] * a)
    f, g = random_step(random, depth - 1), random_step(random, depth - 1)
    if way == "cond":
        return lambda how, c: how.cond(c[1] < c[2], lambda c: f(how, c), lambda c: g(how, c), c)
    if way == "switch":
        swap = lambda c: (c[0], c[2], c[1])  # noqa: E731
        return lambda how, c: how.switch(
            c[0] % 3, [lambda c: f(how, c), lambda c: g(how, c), swap], c
        )
    most = (lambda c: m) if way == "for" else (lambda c: c[1] % 5)
    return lambda how, c: how.repeat(
        lambda c: c[0] < most(c), lambda c: (c[0] + 1, *f(how, c[1:])), (0, *c)
    )[1:]


def run(how: Any, step: Step, n: Any, x: Any, y: Any) -> Carry:
    """So many steps as half the count says: none, for some."""
    return how.repeat(
        lambda c: c[0] < c[1] // 2, lambda c: (c[0] + 1, *step(how, c[1:])), (0, n, x, y)
    )


def batch(random: Random, seed: int) -> tuple[np.ndarray, ...]:
    size, rng = random.choice([3, 17, 33, 70]), np.random.default_rng(seed)
    return rng.integers(0, 9, size), rng.normal(size=size), rng.normal(size=size)


@pytest.mark.parametrize("seed", range(60))
def test_they_are_the_python_loops(seed: int) -> None:
    random = Random(seed)
    step = random_step(random, 3)
    n, x, y = batch(random, seed)
    wanted = [run(Followed, step, int(k), a, b) for k, a, b in zip(n, x, y, strict=True)]
    together = cv.jit(cv.vmap(lambda *c: run(Compiled, step, *c)))(n, x, y)
    alone = cv.jit(lambda *c: run(Compiled, step, *c))(n[1], x[1], y[1])
    for got, one, want in zip(together, alone, zip(*wanted, strict=True), strict=True):
        np.testing.assert_allclose(got, np.array(want), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(one, want[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_their_slopes_are_differences(seed: int) -> None:
    random = Random(seed)
    step = random_step(random, 2)
    n, x, y = batch(random, seed)

    def loss(x: Any) -> Any:
        return cv.vmap(lambda *c: run(Compiled, step, *c))(n, x, y)[2].sum()

    def values(x: np.ndarray) -> np.ndarray:
        rows = zip(n, x, y, strict=True)
        return np.array([run(Followed, step, int(k), a, b)[2] for k, a, b in rows])

    h = 1e-6
    wanted = (values(x + h) - values(x - h)) / (2 * h)
    smooth = abs(wanted) < 1e3  # elsewhere a condition changes in between
    assert smooth.mean() > 0.8
    got = np.asarray(cv.jit(cv.grad(loss))(x))
    np.testing.assert_allclose(got[smooth], wanted[smooth], rtol=1e-4, atol=1e-4)


def test_small_loops_of_a_batch_are_one_loop_on_numbers() -> None:
    """Each element of a batch runs in a lane of its own, what it carries in registers."""

    def collatz(n: Any) -> Any:
        def step(c: Carry) -> Carry:
            n, count = c
            return lax.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n), count + 1

        return lax.while_loop(lambda c: c[0] != 1, step, (n, cnp.int32(0)))[1]

    n = np.arange(1, 1000, dtype=np.uint32)
    f = cv.jit(cv.vmap(collatz))
    wanted = []
    for k in n.tolist():
        count = 0
        while k != 1:
            k, count = (k // 2 if k % 2 == 0 else 3 * k + 1), count + 1
        wanted.append(count)
    np.testing.assert_array_equal(f(n), wanted)
    text = f.lower(n).compile().as_text()
    loop = text[text.index("# while") :].splitlines()
    assert "vector" in loop[1]
    inside = loop[loop.index("        while:") :]
    assert not any("[" in line for line in inside[:-2]), text  # memory is met after the loop alone
