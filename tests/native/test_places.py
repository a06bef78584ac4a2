"""The routine of the places of what is wanted, called directly: nothing is written behind the last one."""

import ctypes

import numpy as np
import pytest


@pytest.mark.parametrize("width", [4, 8])
def test_places(native, width: int) -> None:
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
    routine, rng = kind(native.symbols()["cv_places"]), np.random.default_rng(0)
    for rows, n, share in ((1, 0, 1), (1, 7, 0.5), (3, 64, 0.1), (2, 100, 1), (1, 1000, 0.01)):
        x = rng.random((rows, n)) < share
        for k in (0, 1, 7, 8, 9, n, n + 5):
            out = np.full(rows * k + 16, -7, f"i{width}")
            assert routine(x.ctypes.data, out.ctypes.data, width, rows, n, k) == 0
            for row, found in zip(x, out[: rows * k].reshape(rows, k), strict=True):
                places = np.flatnonzero(row)[:k]
                np.testing.assert_array_equal(found, [*places, *[n] * (k - len(places))])
            assert (out[rows * k :] == -7).all()
