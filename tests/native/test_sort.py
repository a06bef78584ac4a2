"""The sorting routine, called directly: lengths where the method changes, with values of each width and without."""

import ctypes

import numpy as np
import pytest

CODES = {"int8": 1, "int16": 2, "int32": 3, "int64": 4, "uint8": 5, "float32": 11, "float64": 12}


@pytest.fixture
def sort(native):
    address = native.symbols()["cv_sort_pairs"]
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
    return kind(address)


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("dtype", sorted(CODES))
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (3, 7),
        (4, 16),
        (9, 33),
        (17, 2),
        (40, 10),
        (133, 15),
        (35, 128),
        (2, 500),
        (2, 5_000),
        (1, 20_000),
        (1, 140_001),
        (5, 70_000),
    ],
)
def test_rows(native, sort, dtype, shape, vectors):
    native.set_vectors(vectors)
    rng = np.random.default_rng(0)
    keys = (rng.standard_normal(shape) * 50).astype(dtype)
    if dtype.startswith("float"):
        keys[rng.random(shape) < 0.1] = np.nan
        keys[rng.random(shape) < 0.1] = -0.0
    order = np.argsort(keys, axis=-1, kind="stable")
    wanted = np.take_along_axis(keys, order, -1)
    rows, n = shape
    alone = keys.copy()
    assert sort(alone.ctypes.data, None, CODES[dtype], 0, rows, n) == 0
    np.testing.assert_array_equal(alone, wanted)
    for width in (1, 2, 4, 8, 16):
        values = rng.integers(0, 256, (*shape, width), dtype=np.uint8)
        moved, sorted_keys = values.copy(), keys.copy()
        assert sort(sorted_keys.ctypes.data, moved.ctypes.data, CODES[dtype], width, rows, n) == 0
        np.testing.assert_array_equal(sorted_keys, wanted)
        np.testing.assert_array_equal(moved, np.take_along_axis(values, order[..., None], 1))


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [3, 16, 31])
def test_short_rows_keep_the_bits_of_what_is_equal(native, sort, dtype, n, vectors):
    """Zeros of both signs, and NaNs with payloads, in some of the rows that are sorted side by side."""
    native.set_vectors(vectors)
    rng = np.random.default_rng(n)
    keys = np.round(rng.standard_normal((90, n))).astype(dtype)
    bits = keys.view(f"u{keys.itemsize}")
    some = rng.random(keys.shape) < 0.05
    some[20:60] = False
    keys[some] = np.nan
    bits[some] += rng.integers(0, 99, some.sum()).astype(bits.dtype)
    keys[20:60] = np.abs(keys[20:60])
    wanted = np.take_along_axis(bits, np.argsort(keys, axis=-1, kind="stable"), -1)
    assert sort(keys.ctypes.data, None, CODES[dtype], 0, *keys.shape) == 0
    np.testing.assert_array_equal(bits, wanted)


@pytest.mark.parametrize("vectors", [64, 32])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 63, 64, 65, 128, 129, 130, 257, 1000, 5000, 140_000])
def test_unusual_orders(native, sort, n, vectors):
    """Sorted, reversed, equal, few values, two runs, the largest of all: what makes a quicksort slow."""
    native.set_vectors(vectors)
    rng = np.random.default_rng(n)
    rising = np.arange(n)
    largest = np.full(n, -1)
    largest[rng.integers(n)] = 3
    orders = [
        rising,
        rising[::-1],
        rising * 0,
        rng.integers(0, 3, n),
        rising % (n // 2 + 1),
        largest,
    ]
    for code, dtype in ((7, np.uint32), (8, np.uint64)):
        for order in orders:
            keys = np.ascontiguousarray(order).astype(dtype)
            wanted = np.sort(keys)
            assert sort(keys.ctypes.data, None, code, 0, 1, n) == 0
            np.testing.assert_array_equal(keys, wanted)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(1, 0, 5), (2, 1, 7), (70, 1, 9), (3, 4, 500), (1, 3, 140_001), (0, 2, 3)]
)
def test_order_by_several_keys(native, dtype, shape):
    address = native.symbols()["cv_sort_order"]
    order_rows = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 5)(
        address
    )
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 4, shape).astype(dtype)
    if dtype.startswith("float"):
        keys[keys == 3] = np.nan
        keys[rng.random(shape) < 0.1] = -0.0
    rows, count, n = shape
    for width in (4, 8):
        order = np.full((rows, n), -1, f"i{width}")
        data = keys.ctypes.data, order.ctypes.data
        assert order_rows(*data, CODES[dtype], width, rows, count, n) == 0
        wanted = [np.lexsort(row[::-1]) if count else np.arange(n) for row in keys]
        np.testing.assert_array_equal(order, np.array(wanted).reshape(rows, n))
