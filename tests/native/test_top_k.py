"""The routine of the largest elements, called directly: every dtype, what has no order of its own, many lengths."""

import ctypes

import numpy as np
import pytest

from covector._engine.types import dtypes

REAL = [d for d in dtypes.STANDARD if dtypes.kind(d) in "biuf" and d.itemsize in (1, 2, 4, 8)]


@pytest.fixture
def top_k(native):
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 5)
    routine = kind(native.symbols()["cv_top_k"])

    def call(x: np.ndarray, k: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        rows, n = x.shape
        values, places = np.empty((rows, k), x.dtype), np.empty((rows, k), f"i{width}")
        memory = [a.ctypes.data for a in (x, values, places)]
        assert routine(*memory, dtypes.CODES[x.dtype], width, rows, n, k) == 0
        return values, places

    return call


def order_of(x: np.ndarray) -> np.ndarray:
    """The places, the largest element's first, NaN the largest; of equal ones the first comes first."""
    wide = x.astype(np.float32) if x.dtype == dtypes.bfloat16 else x
    n = x.shape[-1]
    return n - 1 - np.argsort(wide[:, ::-1], axis=-1, kind="stable")[:, ::-1]


def numbers(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(shape[1])
    if dtypes.kind(dtype) == "b":
        return rng.random(shape) > 0.5
    if dtypes.kind(dtype) != "f":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x = rng.standard_normal(shape) * 100
    for special in (0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf):
        x[rng.random(shape) < 0.02] = special
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 63), (2, 64), (5, 1000), (1, 140_001), (40, 300), (3, 130)]
)
def test_rows(each_vectors, top_k, dtype, shape):
    x = numbers(shape, dtype)
    order, n = order_of(x), shape[1]
    for k, width in {(1, 4), (min(n, 40), 8), (n if n < 5000 else 300, 4)}:
        bits = f"u{x.dtype.itemsize}"
        wanted = np.take_along_axis(x, order[:, :k], -1)
        for _ in each_vectors():
            values, places = top_k(x, k, width)
            np.testing.assert_array_equal(places, order[:, :k])
            np.testing.assert_array_equal(values.view(bits), wanted.view(bits))


@pytest.mark.parametrize("k", [1, 7, 300, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_unusual_orders(top_k, dtype, k):
    """Rising rows, where each element is kept for a time; falling and equal ones; the largest of all early."""
    rising = np.arange(100_000)
    least = np.full(100_000, np.iinfo(np.int64).min) if dtype is np.int64 else rising * 0
    for x in (rising, rising[::-1], rising * 0, np.minimum(rising, 50_000), least):
        row = np.ascontiguousarray(x.astype(dtype))[None]
        values, places = top_k(row, k, 4)
        order = order_of(row)[:, :k]
        np.testing.assert_array_equal(places, order)
        np.testing.assert_array_equal(values, np.take_along_axis(row, order, -1))


@pytest.mark.parametrize("k", [1, 30, 400])
def test_many_are_equal(each_vectors, top_k, k):
    """Of equal elements the first ones, where better ones lie between and behind them."""
    x = np.zeros((3, 2_000), np.float32)
    x[0, ::97], x[1, -5:], x[2, 7] = 1, 2, -1
    order = order_of(x)[:, :k]
    for _ in each_vectors():
        values, places = top_k(x, k, 4)
        np.testing.assert_array_equal(places, order)
        np.testing.assert_array_equal(values, np.take_along_axis(x, order, -1))
