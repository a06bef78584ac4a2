"""Loops that change large arrays an element at a time: in place, in any order of reads and updates."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

SIZE = 100
State = tuple[Any, Any]  # a number, an array
Change = Callable[[Any, Any, State], State]


class OnArrays:
    """The steps in NumPy."""

    @staticmethod
    def set(a: Any, at: Any, value: Any) -> Any:
        a = a.copy()
        a[at] = value
        return a

    @staticmethod
    def add(a: Any, at: Any, value: Any) -> Any:
        return OnArrays.set(a, at, a[at] + value)

    @staticmethod
    def cond(holds: Any, yes: Any, no: Any, c: State) -> State:
        return (yes if holds else no)(c)

    @staticmethod
    def repeat(count: int, step: Any, c: Any) -> Any:
        for t in range(count):
            c = step(t, c)
        return c


class Compiled:
    """The same steps in a compiled function."""

    cond = staticmethod(lax.cond)

    @staticmethod
    def set(a: Any, at: Any, value: Any) -> Any:
        return a.at[at].set(value)

    @staticmethod
    def add(a: Any, at: Any, value: Any) -> Any:
        return a.at[at].add(value)

    @staticmethod
    def repeat(count: Any, step: Any, c: Any) -> Any:
        return lax.fori_loop(0, count, step, c)


def again(how: Any, at: Any, x: Any, a: Any) -> State:
    """A place is read, changed, and read again."""
    b = how.set(a, at, a[at] * 0.5 + x)
    return b[at] - a[at] * 0.25, b


def random_change(random: Random, depth: int) -> Change:
    """One to four steps, each of which reads, updates, chooses, or repeats."""
    steps = [one_change(random, depth) for _ in range(random.randint(1, 4))]

    def run(how: Any, t: Any, c: State) -> State:
        for step in steps:
            c = step(how, t, c)
        return c

    return run


def one_change(random: Random, depth: int) -> Change:
    k, m, w = random.randint(1, 40), random.randint(0, SIZE - 1), random.uniform(-0.9, 0.9)
    k, m = random.choice([(k, m), (7, 3), (0, 3)])  # some places are those of other steps
    at = lambda t: (t * k + m) % SIZE  # noqa: E731
    ways = ["read", "set", "add", "turn", "late", "again"]
    way = random.choice([*ways, *["cond", "repeat"] * bool(depth)])
    match way:
        case "read":
            return lambda how, t, c: (c[0] * 0.5 + c[1][at(t)], c[1])
        case "set":
            return lambda how, t, c: (c[0], how.set(c[1], at(t), c[0] * w + 1))
        case "add":
            return lambda how, t, c: (c[0], how.add(c[1], at(t), c[0] * w))
        case "turn":  # what is there goes to the number, the number there
            return lambda how, t, c: (c[1][at(t)] * w, how.set(c[1], at(t), c[0]))
        case "late":  # the old array is read after the new one is made
            return lambda how, t, c: (c[0] + c[1][m] * w, how.set(c[1], m, c[0]))
        case "again":  # what is there now is read as well
            return lambda how, t, c: again(how, at(t), c[0] * w, c[1])
    f, g = random_change(random, depth - 1), random_change(random, depth - 1)
    if way == "cond":
        return lambda how, t, c: how.cond(
            c[0] > w, lambda c: f(how, t, c), lambda c: g(how, t, c), c
        )
    return lambda how, t, c: how.repeat(k % 4, lambda u, c: f(how, u + t, c), c)


@pytest.mark.parametrize("seed", range(40))
def test_they_are_the_steps_in_numpy(seed: int) -> None:
    random, rng = Random(seed), np.random.default_rng(seed)
    change, n = random_change(random, 2), random.randint(0, 9)
    s, a = rng.normal(size=5), rng.normal(size=(5, SIZE))

    def run(how: Any, n: Any, s: Any, a: Any) -> Any:
        return how.repeat(n, lambda t, c: change(how, t, c), (s, a))

    wanted = [run(OnArrays, n, s[k], a[k]) for k in range(5)]
    fixed = cv.jit(lambda s, a: run(Compiled, n, s, a))
    traced = cv.jit(lambda n, s, a: run(Compiled, n, s, a))
    counts = np.full(5, n)
    found = [fixed(s[1], a[1]), traced(np.int64(n), s[1], a[1])]
    for one in found:
        for got, want in zip(one, wanted[1], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10)
    for batched in (cv.jit(cv.vmap(fixed))(s, a), cv.jit(cv.vmap(traced))(counts, s, a)):
        for got, want in zip(batched, zip(*wanted, strict=True), strict=True):
            np.testing.assert_allclose(got, np.array(want), rtol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_their_slopes_are_those_of_the_steps_one_by_one(seed: int) -> None:
    random, rng = Random(seed), np.random.default_rng(seed)
    change = random_change(random, 1)
    s, a = np.float64(rng.normal()), rng.normal(size=SIZE)

    def loss(loop: Any, s: Any, a: Any) -> Any:
        s, a = loop(lambda t, c: change(Compiled, t, c), (s, a))
        return s * 1.5 + (a * cnp.arange(SIZE) * 0.01).sum()

    def unrolled(step: Any, c: Any) -> Any:
        for t in range(5):
            c = step(t, c)
        return c

    def looped(s: Any, a: Any, n: Any) -> Any:
        return loss(lambda step, c: lax.fori_loop(0, n, step, c), s, a)

    wanted = cv.grad(lambda s, a: loss(unrolled, s, a), (0, 1))(s, a)
    fixed = cv.jit(cv.grad(lambda s, a: looped(s, a, 5), (0, 1)))
    traced = cv.jit(cv.grad(looped, (0, 1)))
    for found in (fixed(s, a), traced(s, a, np.int64(5))):
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("at", [lambda t: t, lambda t: 3, lambda t: (t * 7 + 2) % SIZE])
@pytest.mark.parametrize("inside", [None, "cond", "repeat"])
def test_a_place_is_read_again_after_it_has_changed(at: Any, inside: str | None) -> None:
    def change(how: Any, t: Any, c: State) -> State:
        s, a = c
        x = a[at(t)]
        f = lambda c: (c[0], how.set(c[1], at(t), c[0] * 0.5 + x + 1))  # noqa: E731
        if inside == "cond":
            s, a = how.cond(s > 0, f, lambda c: (c[0], how.add(c[1], at(t), 2.0)), (s, a))
        elif inside == "repeat":
            s, a = how.repeat(2, lambda u, c: f(c), (s, a))
        else:
            s, a = f((s, a))
        return s + a[at(t)] * 0.25 - x, a

    def run(how: Any, s: Any, a: Any) -> Any:
        return how.repeat(6, lambda t, c: change(how, t, c), (s, a))

    s, a = np.linspace(-1, 1, 4), np.linspace(-2, 2, 4 * SIZE).reshape(4, SIZE)
    wanted = [run(OnArrays, s[k], a[k]) for k in range(4)]
    one = lambda s, a: run(Compiled, s, a)  # noqa: E731
    found = [cv.jit(one)(s[k], a[k]) for k in range(4)]
    for results in (found, list(zip(*cv.jit(cv.vmap(one))(s, a), strict=True))):
        for got, want in zip(results, wanted, strict=True):
            np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-12)


def copies_in_loops(text: str) -> list[str]:
    """The lines of a Kernel that copy an array inside a loop."""
    found, depth = list[str](), list[int]()
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        depth = [d for d in depth if d < indent]
        if depth and f"({SIZE})" in line and "nothing to do" not in line:
            found.append(line)
        if line.lstrip().startswith(("for ", "while:", "if ")):
            depth.append(indent)
    return found


def test_gradients_of_updates_copy_nothing() -> None:
    def fill(x: Any, v: Any) -> Any:
        return lax.fori_loop(0, SIZE, lambda i, x: x.at[i].set(v * i), x)

    def choosing(x: Any, v: Any) -> Any:
        def step(i: Any, x: Any) -> Any:
            return lax.cond(i % 3 == 0, lambda x: x.at[i].set(v * i), lambda x: x.at[i].add(v), x)

        return lax.fori_loop(0, SIZE, step, x)

    def stacked(x: Any, v: Any) -> Any:
        return lax.scan(lambda c, x: (c * 0.5 + x, c * v), v, x)[1]

    x, v = np.ones(SIZE, np.float32), np.float32(2)
    for f in (fill, choosing, stacked):
        slope = cv.grad(lambda x, v, f=f: (f(x, v) ** 2).sum(), (0, 1))
        for compiled in (cv.jit(f), cv.jit(slope)):
            text = compiled.lower(x, v).compile().as_text("kernels")
            assert copies_in_loops(text) == [], text


def test_the_way_back_through_many_loops_is_one_loop_over_them() -> None:
    """Each lane keeps its states beside it: nothing of the batch's size but what goes in and out."""

    def solve(y: Any) -> Any:
        def step(s: Any) -> Any:
            h = cnp.where(s[1] > 0.5, 0.125, 0.25)
            return s[0] + h, s[1] + h * cnp.sin(s[1])

        return lax.while_loop(lambda s: s[0] < 3, step, (0.0, y))[1]

    f = cv.jit(cv.grad(lambda y: cv.vmap(solve)(y).sum()))
    y = np.linspace(-1, 1, 300)
    text = f.lower(y).compile().as_text("kernels")
    assert text.count("lane0 <") == 1 and "lane1" not in text, text  # noqa: PT018
    h = 1e-6
    forward = cv.jit(cv.vmap(solve))
    wanted = (np.asarray(forward(y + h)) - np.asarray(forward(y - h))) / (2 * h)
    smooth = abs(wanted) < 10
    np.testing.assert_allclose(np.asarray(f(y))[smooth], wanted[smooth], rtol=1e-5)


def test_the_way_back_with_large_states_keeps_few_of_them() -> None:
    """What lies on a thread's stack is bounded, so many large arrays in the carry do not overflow it."""

    def solve(y: Any) -> Any:
        parts = [y * k for k in range(1, 13)]

        def step(s: Any) -> Any:
            t, parts = s
            return t + 1, [cnp.sin(p) * 0.9 + q for p, q in zip(parts, parts[1:] + parts[:1])]  # noqa: B905

        return sum(lax.while_loop(lambda s: s[0] < 20, step, (0, parts))[1]).sum()

    y = np.linspace(-1, 1, 40 * 64).reshape(40, 64)
    got = np.asarray(cv.jit(cv.grad(lambda y: cv.vmap(solve)(y).sum()))(y))
    one = cv.jit(cv.grad(solve))
    np.testing.assert_allclose(got[7], one(y[7]), rtol=1e-9)
    np.testing.assert_allclose(got[39], one(y[39]), rtol=1e-9)
