"""Random loops with a condition: what Python does with them, and gradients that finite differences confirm."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.amount import TIMES

import covector as cv
import covector.numpy as cnp
from covector import lax

# `make fuzz` looks at many more, and others each time.
SIZE = 3
ZERO = cnp.asarray(np.int32(0))

UNARY: list[Callable[[Any], Any]] = [
    cnp.sin, cnp.tanh, lambda a: a * a * 0.3, lambda a: cnp.exp(-a * a), lambda a: 1 / (2 + cnp.cos(a)),
    lambda a: a[::-1], lambda a: cnp.cumsum(a) * 0.4, lambda a: cnp.sum(a) * cnp.ones(SIZE, a.dtype) * 0.3,
    lambda a: a.at[1].set(a[0] * 0.5), lambda a: a.at[0].add(cnp.sin(a[2])), lambda a: cnp.where(a > 0, a, cnp.sin(a)),
    lambda a: cnp.outer(a, a) @ a * 0.2,
]  # fmt: skip
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a * b, lambda a, b: a + b * 0.5, lambda a, b: a - cnp.sin(b), lambda a, b: cnp.hypot(a + 2, b),
    lambda a, b: a * cnp.sum(b) * 0.3,
]  # fmt: skip


class Loop:
    """A loop: a state of vectors and a counter, a body of random operations, and a condition.

    It goes on for so many steps as it is told, or until a value grows too large.  What it closes over is differentiated
    too.  Python's loop is the same with `plain`.
    """

    def __init__(self, seed: int, depth: int = 0):
        rng = self.rng = random.Random(seed)
        self.vectors = rng.randint(1, 3)
        self.until_large = rng.random() < 0.3
        self.counts_up = rng.random() < 0.5
        self.ops = [self.operation(depth) for _ in range(rng.randint(1, 4))]
        self.order = [rng.randrange(self.vectors) for _ in range(self.vectors)]
        self.stride = rng.randint(1, 2)

    def operation(self, depth: int) -> tuple[Any, ...]:
        rng = self.rng
        kind = rng.choice(["unary", "binary", "closed", "counter"] + ["inside"] * (depth < 2))
        target, other = rng.randrange(self.vectors), rng.randrange(self.vectors)
        what: Any = None
        if kind == "unary":
            what = rng.choice(UNARY)
        elif kind in ("binary", "closed"):
            what = rng.choice(BINARY)
        elif kind == "inside":
            what = (
                rng.choice(["while", "cond", "scan", "fori"]),
                Loop(rng.getrandbits(30), depth + 1),
            )
        return kind, what, target, other

    def test(self, state: Any, steps: Any) -> Any:
        n, vectors = state
        more = n < steps if self.counts_up else n > 0
        return more & (cnp.sum(cnp.abs(vectors[0])) < 20.0) if self.until_large else more

    def body(self, state: Any, w: Any, plain: bool) -> Any:
        n, vectors = state
        vectors = list(vectors)
        for kind, what, target, other in self.ops:
            a, b = vectors[target], vectors[other]
            if kind == "unary":
                a = what(a)
            elif kind == "binary":
                a = what(a, b)
            elif kind == "closed":
                a = what(a, w)
            elif kind == "counter":
                a = a * (1 + 0.1 * n)
            else:
                a = self.inside(*what, n, a, b, w, plain)
            vectors[target] = cnp.tanh(a)
        vectors = [vectors[i] for i in self.order]
        step = self.stride if self.counts_up else -self.stride
        return n + step, tuple(vectors)

    def inside(self, form: str, loop: Loop, n: Any, a: Any, b: Any, w: Any, plain: bool) -> Any:
        state = ZERO, (a, b, w)[: loop.vectors] + (a,) * (loop.vectors - 3)

        def step(state: Any) -> Any:
            return loop.body(state, w, plain)

        if form == "cond":
            if plain:
                return step(state)[1][0] if n % 2 == 0 else b
            return lax.cond(n % 2 == 0, lambda: step(state)[1][0], lambda: b)
        if plain:
            count = n % 3 if form == "while" else 2
            for _ in range(int(count)):
                state = step(state)
            return state[1][0]
        if form == "while":
            run = lax.while_loop(
                lambda c: c[0] < n % 3, lambda c: (c[0] + 1, step(c[1])), (ZERO, state)
            )
            return run[1][1][0]
        if form == "scan":
            return lax.scan(lambda c, _: (step(c), None), state, None, length=2)[0][1][0]
        return lax.fori_loop(0, 2, lambda _, c: step(c), state)[1][0]

    def run(self, steps: Any, vectors: Any, w: Any, plain: bool = False) -> Any:
        first = cnp.zeros_like(steps) if self.counts_up else steps
        state = first, tuple(vectors)
        if plain:
            while bool(self.test(state, steps)):
                state = self.body(state, w, True)
        else:
            state = lax.while_loop(
                lambda c: self.test(c, steps), lambda c: self.body(c, w, False), state
            )
        return state


def weighed(loop: Loop, plain: bool = False) -> Callable[..., Any]:
    """A number made of the last state, and when it was reached."""

    def f(steps: Any, vectors: Any, w: Any) -> Any:
        n, outs = loop.run(steps, vectors, w, plain)
        return sum([cnp.sum(cnp.sin(x) * (i + 1)) for i, x in enumerate(outs)]), n

    return f


def close(actual: Any, wanted: Any, rtol: float) -> None:
    for a, b in zip(cv.tree.leaves(actual), cv.tree.leaves(wanted), strict=True):
        scale = max(1.0, float(np.abs(np.asarray(b)).max(initial=0)))
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=rtol * scale)


def seeds(count: int) -> range:
    if TIMES == 1:
        return range(count)
    first = int.from_bytes(os.urandom(4), "little")
    return range(first, first + count * TIMES)


def _difference(value: Any, args: Any, directions: Any, h: float) -> float | None:
    """The slope along directions, by differences; None where the loop ends at another step nearby."""
    steps, *where = args

    def moved(h: float) -> Any:
        return value(steps, *cv.tree.map(lambda x, v: x + h * v, tuple(where), directions))

    points = [moved(k * h) for k in (1, -1, 2, -2)]
    if len({int(n) for _, n in points}) > 1:
        return None
    near, back, far, far_back = [float(y) for y, _ in points]
    return (8 * (near - back) - (far - far_back)) / (12 * h)


def agrees(seed: int) -> int:
    """Of one random loop: values and gradients, on its own and in a batch whose loops end at other times.

    How many gradients differences could confirm.
    """
    loop = Loop(seed)
    rng = np.random.default_rng(seed)
    vectors = tuple([cnp.asarray(rng.normal(size=SIZE)) for _ in range(loop.vectors)])
    w = cnp.asarray(rng.normal(size=SIZE) * 0.7)
    counts = [0, int(rng.integers(1, 4)), int(rng.integers(4, 40))]
    f, plain = weighed(loop), weighed(loop, plain=True)
    value, slope = cv.jit(f), cv.jit(cv.grad(f, (1, 2), has_aux=True))
    directions = cv.tree.map(lambda x: rng.normal(size=x.shape), (vectors, w))
    found: list[Any] = []
    checked = 0
    for count in counts:
        args = cnp.asarray(np.int32(count)), vectors, w
        close(value(*args), plain(*args), 1e-9)
        found.append(slope(*args)[0])

        pairs = zip(cv.tree.leaves(found[-1]), cv.tree.leaves(directions), strict=True)
        along = sum([float(np.sum(np.asarray(g) * v)) for g, v in pairs])
        estimates = [_difference(value, args, directions, h) for h in (1e-4, 2e-5)]
        if None in estimates or not np.isclose(*estimates, rtol=1e-7, atol=1e-7):
            continue  # it ends at another step nearby, or is chaotic: differences say nothing
        assert np.isclose(along, estimates[1], rtol=1e-5, atol=1e-5), (seed, count)
        checked += 1
    every = cv.vmap(cv.grad(f, (1, 2), has_aux=True), (0, None, None))
    batch, _ = cv.jit(every)(cnp.asarray(np.array(counts, np.int32)), vectors, w)
    close(batch, cv.tree.map(lambda *xs: np.stack(list(map(np.asarray, xs))), *found), 1e-9)
    return checked


@pytest.mark.parametrize("part", range(4))
def test_random_loops(part: int) -> None:
    chosen = seeds(8)[part::4]
    assert sum(map(agrees, chosen)) >= len(chosen), "differences confirm most of them"
