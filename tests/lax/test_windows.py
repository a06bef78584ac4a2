"""Windows and reductions by any function, over seeded random parameters, by a formula in plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Fold = Callable[[Any, Any], Any]


def plainly(
    x: np.ndarray,
    start: Any,
    fold: Fold,
    window: Any,
    strides: Any,
    pads: Any,
    base: Any,
    spread: Any,
) -> np.ndarray:
    """Window by window, place by place; what lies on no element is left out."""
    counts = [
        max((low + max((n - 1) * b + 1, 0) + high - ((k - 1) * d + 1)) // s + 1, 0)
        for n, k, s, (low, high), b, d in zip(
            x.shape, window, strides, pads, base, spread, strict=True
        )
    ]
    out = np.full(counts, start, x.dtype)
    for index in np.ndindex(*counts):
        for place in np.ndindex(*window):
            at = [
                divmod(i * s + k * d - low, b)
                for i, s, k, d, (low, _), b in zip(
                    index, strides, place, spread, pads, base, strict=True
                )
            ]
            if all(r == 0 and 0 <= q < n for (q, r), n in zip(at, x.shape, strict=True)):
                out[index] = fold(out[index], x[tuple([q for q, _ in at])])
    return out


# What is given to lax, what NumPy does, where it begins.
FOLDS: list[tuple[Fold, Fold, float]] = [
    (lax.add, np.add, 0.0),
    (lax.max, np.maximum, -np.inf),
    (lax.min, np.minimum, np.inf),
    (lax.mul, np.multiply, 1.0),
    (lambda a, b: b + a, np.add, 2.0),
    (lambda a, b: a + b + a * b, lambda a, b: a + b + a * b, 0.0),
]


@pytest.mark.parametrize("seed", range(12))
def test_against_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank, (given, fold, start) = int(rng.integers(1, 4)), FOLDS[seed % len(FOLDS)]
    shape, window = rng.integers(1, 7, rank), rng.integers(1, 4, rank)
    strides, base, spread = (tuple([int(n) for n in rng.integers(1, 3, rank)]) for _ in range(3))
    pads = [(int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2))]
    x = rng.uniform(-1, 1, shape)
    wanted = plainly(x, start, fold, window, strides, pads, base, spread)
    got = cv.jit(lambda x: lax.reduce_window(x, start, given, window, strides, pads, base, spread))(
        x
    )
    assert got.shape == wanted.shape
    assert got.shape == lax.reduce_window_shape_tuple(shape, window, strides, pads, base, spread)
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [17, 40])
def test_long_windows_are_cumulative(length: int) -> None:
    x = np.random.default_rng(0).normal(size=40)
    sums = lax.reduce_window(cnp.asarray(x), 0.0, lax.add, (length,), (1,), [(length - 1, 0)])
    wanted = [x[max(0, n + 1 - length) : n + 1].sum() for n in range(40)]
    np.testing.assert_allclose(np.asarray(sums), wanted, rtol=1e-12, atol=1e-12)


def test_pooling_and_the_way_back() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    pools = {
        np.max: (lax.max, -np.inf, lambda b: (b == b.max((2, 4), keepdims=True)) * 1.0),
        np.mean: (lax.add, 0.0, lambda b: np.ones_like(b) / 4),
    }
    for pool, (fold, start, slope) in pools.items():
        blocks = x.reshape(2, 2, 2, 3, 2, 3)

        def f(x: Any, fold: Any = fold, start: Any = start) -> Any:
            out = lax.reduce_window(x, start, fold, (1, 2, 2, 1), (1, 2, 2, 1))
            return out / 4 if fold is lax.add else out

        np.testing.assert_allclose(np.asarray(f(x)), pool(blocks, (2, 4)), rtol=1e-6)
        weights = np.random.default_rng(1).normal(size=(2, 2, 3, 3)).astype(np.float32)
        got = cv.jit(cv.grad(lambda x, w, f=f: (f(x) * w).sum()))(x, weights)
        wanted = slope(blocks) * weights[:, :, None, :, None, :]
        np.testing.assert_allclose(np.asarray(got), wanted.reshape(x.shape), rtol=1e-5)


def test_several_operands() -> None:
    """The largest element and where it is, in windows and along axes."""
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    numbers = np.arange(30, dtype=np.int32).reshape(5, 6)

    def larger(a: Any, b: Any) -> Any:
        takes = a[0] >= b[0]
        return cnp.where(takes, a[0], b[0]), cnp.where(takes, a[1], b[1])

    starts = -np.inf, np.int32(-1)
    best, where = lax.reduce((x, numbers), starts, larger, (1,))
    np.testing.assert_array_equal(np.asarray(where), x.argmax(1) + np.arange(5) * 6)
    np.testing.assert_array_equal(np.asarray(best), x.max(1))
    _, where = lax.reduce_window((x, numbers), starts, larger, (5, 4), (1, 1), "VALID")
    wanted = [numbers[:, n : n + 4].ravel()[x[:, n : n + 4].argmax()] for n in range(3)]
    np.testing.assert_array_equal(np.asarray(where), [wanted])


@pytest.mark.parametrize("shape", [(7,), (0,), (1,), (4, 3)])
def test_any_function_of_axes(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 5, shape).astype(np.int32)
    got = lax.reduce(x, np.int32(0), lambda a, b: a + b + a * b, range(len(shape)))
    assert int(got) == np.prod(x + 1) - 1
    with pytest.raises(TypeError, match="its dtype"):
        lax.reduce(x, np.float32(0), lax.add, (0,))


def test_wrong_arguments() -> None:
    x = cnp.ones((3, 4))
    with pytest.raises(ValueError, match="window_dimensions"):
        lax.reduce_window(x, 0.0, lax.add, (2,))
    with pytest.raises(TypeError, match="a function"):
        lax.reduce_window(x, 0.0, "add", (2, 2))
    with pytest.raises(TypeError, match="same types"):
        lax.reduce_window(x, 0.0, lambda a, b: (a, b), (2, 2))
    with pytest.raises(ValueError, match="at least one place"):
        lax.reduce_window(x, 0.0, lax.add, (0, 2))
    with pytest.raises(ValueError, match="initial value for each"):
        lax.reduce((x, x), (0.0,), lax.add, (0,))
