"""Random programs in which each element of a batch goes its own way give what Python gives for each element alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings, strategies as st
from tests.amount import TIMES
from tests.lax.ways import ARRAYS, SCALARS, SIZE, Drawing, Plain, Traced, function

import covector as cv
import covector.numpy as cnp

LANES = 4
WEIGHTS = np.cos(np.arange(SIZE))
Function = Callable[..., Any]


def weighed(f: Function) -> Function:
    def total(*xs: Any) -> Any:
        a, b, s, u = f(*xs)
        return cnp.sum(cnp.sin(a) * WEIGHTS) + cnp.sum(cnp.cos(b) * WEIGHTS) + s * u

    return total


def slope(f: Function) -> Function:
    return cv.grad(weighed(f), (0, 1, 2, 3))


def turn(f: Function) -> Function:
    def squares(*xs: Any) -> Any:
        a, b, s, u = slope(f)(*xs)
        return cnp.sum(a * a) + cnp.sum(b * b) + s * u

    return cv.grad(squares, (0, 1, 2, 3))


def pushed(f: Function) -> Function:
    return lambda *xs: cv.jvp(f, xs, tuple(map(cnp.cos, xs)))[1]


def slope_of_all(f: Function) -> Function:
    """Of a function, not of one for each element."""
    return cv.grad(lambda *xs: cnp.sum(cv.vmap(weighed(f))(*xs)), (0, 1, 2, 3))


def in_rows(f: Function) -> Function:
    """A batch of batches."""

    def run(*xs: Any) -> Any:
        rows = [x.reshape(2, LANES // 2, *x.shape[1:]) for x in xs]
        return cv.tree.map(lambda y: y.reshape(LANES, *y.shape[2:]), cv.vmap(cv.vmap(f))(*rows))

    return run


def drawn(seed: int, depth: int) -> tuple[Any, list[Any]]:
    """A program, and arguments for each element."""
    rng = np.random.default_rng(seed)
    sizes = {**dict.fromkeys(ARRAYS, (LANES, SIZE)), **dict.fromkeys(SCALARS, (LANES,))}
    xs = [cnp.asarray(rng.uniform(-1, 1, size)) for size in sizes.values()]
    return Drawing(random.Random(seed)).program(depth), xs


def alone(f: Function, xs: Sequence[Any]) -> list[Any]:
    """The results for each element, in columns."""
    rows = [f(*[x[k] for x in xs]) for k in range(LANES)]
    return [np.stack([np.asarray(x) for x in column]) for column in zip(*rows, strict=True)]


def assert_alike(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    for x, y in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0)))
        np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-8 * scale)


@given(st.integers(0, 1 << 30))
@settings(max_examples=4 * TIMES)
def test_values(seed: int) -> None:
    block, xs = drawn(seed, 2)
    note(str(block))
    wanted = alone(function(block, Plain()), [np.asarray(x) for x in xs])
    f = function(block, Traced())
    assert_alike(cv.jit(cv.vmap(f))(*xs), wanted)
    assert_alike(cv.jit(in_rows(f))(*xs), wanted)


@pytest.mark.parametrize("way", [slope, pushed], ids=lambda f: f.__name__)
@given(st.integers(0, 1 << 30))
@settings(max_examples=2 * TIMES)
def test_derivatives(way: Any, seed: int) -> None:
    block, xs = drawn(seed, 1)
    note(str(block))
    wanted = alone(way(function(block, Plain(cnp))), xs)
    f = function(block, Traced())
    assert_alike(cv.jit(cv.vmap(way(f)))(*xs), wanted)
    if way is slope:
        assert_alike(cv.jit(slope_of_all(f))(*xs), wanted)


@given(st.integers(0, 1 << 30))
@settings(max_examples=TIMES)
def test_derivatives_of_gradients(seed: int) -> None:
    block, xs = drawn(seed, 1)
    note(str(block))
    wanted = alone(turn(function(block, Plain(cnp))), xs)
    assert_alike(cv.jit(cv.vmap(turn(function(block, Traced()))))(*xs), wanted)
