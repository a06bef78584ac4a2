"""The routine that turns matrices: widths, shapes that are no whole squares, steps, each set of vectors."""

import ctypes

import numpy as np
import pytest


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (33, 7), (64, 130), (1030, 70), (0, 3)])
def test_turned(native, dtype, shape, vectors):
    turn = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 5)(
        native.symbols()["cv_turn"]
    )
    limit = native.set_vectors(vectors)
    rows, columns = shape
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 2**16, (rows, columns + 3)).astype(dtype) * 257
    into = np.full((columns, rows + 5), 7, dtype)
    operands = wide.ctypes.data, into.ctypes.data
    assert turn(*operands, wide.itemsize, rows, columns, columns + 3, rows + 5) == 0
    native.set_vectors(limit)
    np.testing.assert_array_equal(into[:, :rows], wide[:, :columns].T)
    assert (into[:, rows:] == 7).all()
