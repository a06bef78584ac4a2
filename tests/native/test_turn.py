"""The routine that turns matrices: widths, shapes that are no whole squares, steps, each set of vectors."""

import ctypes

import numpy as np
import pytest

TURN = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 9)


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "complex128"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (33, 7), (64, 130), (1030, 70), (0, 3)])
def test_turned(native, dtype, shape, vectors):
    turn = TURN(native.symbols()["cv_turn"])
    limit = native.set_vectors(vectors)
    rows, columns = shape
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 2**16, (rows, columns + 3)).astype(dtype) * 3
    into = np.full((columns, rows + 5), 7, dtype)
    operands = wide.ctypes.data, into.ctypes.data
    assert (
        turn(*operands, wide.itemsize, rows, columns, rows, columns + 3, 0, columns, rows + 5, 0)
        == 0
    )
    native.set_vectors(limit)
    np.testing.assert_array_equal(into[:, :rows], wide[:, :columns].T)
    assert (into[:, rows:] == 7).all()


@pytest.mark.parametrize("vectors", [64, 32, 16])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "complex128"])
@pytest.mark.parametrize(
    "shape", [(3, 20, 17), (40, 5, 33), (2, 1100, 150), (1, 1, 1), (17, 16, 130)]
)
def test_rows_of_two_axes(native, dtype, shape, vectors):
    """Reversed axes: the first two, or the last two, are one of the matrix."""
    turn = TURN(native.symbols()["cv_turn"])
    limit = native.set_vectors(vectors)
    a, b, c = shape
    x = np.random.default_rng(0).integers(0, 2**16, shape).astype(dtype)
    into = np.zeros((c, b, a), dtype)
    operands = x.ctypes.data, into.ctypes.data, x.itemsize
    assert turn(*operands, a * b, c, a, b * c, c, c, a * b, 0) == 0
    np.testing.assert_array_equal(into, x.T)
    into[:] = 0
    assert turn(*operands, a, b * c, a, b * c, 0, c, a * b, a) == 0
    native.set_vectors(limit)
    np.testing.assert_array_equal(into, x.T)
