"""Products of bfloat16: transposed operands, rows at odd places, odd depths, sums onto c, each set of vectors."""

import ctypes
import itertools

import ml_dtypes
import numpy as np
import pytest

SHAPES = ((1, 1, 1), (17, 33, 31), (64, 64, 64), (100, 5, 77), (40, 300, 1030), (3, 4, 0))


def multiplier(native):
    sizes = [ctypes.c_int32] * 2 + [ctypes.c_int64] * 3
    matrix = [ctypes.c_void_p, ctypes.c_int64]
    signature = ctypes.CFUNCTYPE(ctypes.c_int32, *sizes, *matrix, *matrix, ctypes.c_float, *matrix)
    return signature(native.symbols()["cv_bgemm"])


@pytest.mark.parametrize(
    ("x", "y"),
    [(1e-39, 1e38), (-1e-40, 3.0), (1e-20, 1e-19), (1e-20, 1e-18), (0.0, 1e-39), (1e-25, 1e-25)],
)
def test_small_numbers_are_kept(native, x, y):
    a = np.full((33, 40), x, ml_dtypes.bfloat16)
    b = np.full((40, 17), y, ml_dtypes.bfloat16)
    a[5], b[:, 3] = 0, 0
    b[::2, 7] = 1.0078125 * np.float32(y)
    b[1::2, 7] *= -1  # all but the last digits cancel
    c = np.empty((33, 17), np.float32)
    multiplier(native)(
        0, 0, 33, 17, 40, a.ctypes.data, 40, b.ctypes.data, 17, 0.0, c.ctypes.data, 17
    )
    wanted = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(c, wanted, rtol=1e-5, atol=1e-44)


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize(("ta", "tb"), list(itertools.product((0, 1), (0, 1))))
def test_products(native, ta, tb, padding, vectors):
    multiply = multiplier(native)
    native.set_vectors(vectors)
    rng = np.random.default_rng(0)
    for m, n, k in SHAPES:
        a, b = (
            rng.standard_normal((rows, columns + padding)).astype(ml_dtypes.bfloat16)
            for rows, columns in ((k, m) if ta else (m, k), (n, k) if tb else (k, n))
        )
        left, right = (x[:, : x.shape[1] - padding].astype(np.float32) for x in (a, b))
        wanted = (left.T if ta else left) @ (right.T if tb else right)
        for beta in (0.0, 1.0):
            c = np.full((m, n + padding), np.nan if beta == 0 else 2, np.float32)
            c[:, n:] = 7
            places = a.ctypes.data, a.shape[1], b.ctypes.data, b.shape[1]
            multiply(ta, tb, m, n, k, *places, beta, c.ctypes.data, c.shape[1])
            np.testing.assert_allclose(c[:, :n], wanted + 2 * beta, rtol=1e-4, atol=1e-4)
            assert (c[:, n:] == 7).all()
