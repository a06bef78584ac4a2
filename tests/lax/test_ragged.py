"""Products of rows in groups, vectors and arrays slid along each other, algorithms of products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.scipy import signal


def test_rows_in_groups() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 3)), rng.normal(size=(4, 3, 2))
    counts = np.array([2, 0, 3, 1], np.int32)
    wanted = np.zeros((7, 2))
    for row, group in enumerate([0, 0, 2, 2, 2, 3]):
        wanted[row] = x[row] @ w[group]
    product = cv.jit(lambda x, w: lax.ragged_dot(x, w, counts))
    np.testing.assert_allclose(np.asarray(product(x, w)), wanted, rtol=1e-12)
    ct = rng.normal(size=(7, 2))
    to_x, to_w = cv.vjp(product, x, w)[1](ct)
    back = np.zeros_like(w)
    for row, group in enumerate([0, 0, 2, 2, 2, 3]):
        back[group] += np.outer(x[row], ct[row])
        np.testing.assert_allclose(np.asarray(to_x)[row], w[group] @ ct[row], rtol=1e-12)
    np.testing.assert_allclose(np.asarray(to_w), back, rtol=1e-12, atol=1e-12)
    with pytest.raises(TypeError, match="3 groups"):
        lax.ragged_dot(x, w, np.array([1, 1, 1]))
    with pytest.raises(NotImplementedError, match="offset"):
        lax.ragged_dot(x, w, counts, group_offset=cnp.zeros(1, "int32"))


def test_contracted_axis_in_groups() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 4))
    numbers = lax.RaggedDotDimensionNumbers((((1,), (1,)), ((0,), (0,))), (1,), ())
    got = lax.ragged_dot_general(x, y, np.array([2, 3]), numbers)
    wanted = [np.einsum("bkm,bkn->bmn", x[:, s], y[:, s]) for s in (slice(2), slice(2, 5))]
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12)


@pytest.mark.parametrize("lengths", [(5, 3), (3, 5), (4, 4), (6, 2), (1, 4), (2, 7)])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_vectors(lengths: tuple[int, int], mode: Any) -> None:
    rng = np.random.default_rng(0)
    for dtype in ("int32", "complex128"):
        a, v = (rng.integers(-5, 6, n).astype(dtype) for n in lengths)
        if dtype != "int32":
            a, v = a * (1 + 2j), v + 3j
        for name in ("convolve", "correlate"):
            got = getattr(cnp, name)(cnp.asarray(a), v, mode)
            wanted = getattr(np, name)(a, v, mode)
            assert got.dtype == dtype
            np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shapes", [((5, 4), (2, 3)), ((2, 3), (4, 4)), ((3, 3), (3, 3))])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate", "convolve2d", "correlate2d"])
def test_arrays(shapes: tuple[tuple[int, ...], ...], mode: str, name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s) for s in shapes)
    got = getattr(signal, name)(cnp.asarray(a), b, mode)
    wanted = getattr(scipy.signal, name)(a, b, mode)
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=1e-12, atol=1e-12)


def test_wrong_arguments() -> None:
    x = cnp.ones(3)
    with pytest.raises(ValueError, match="mode"):
        cnp.convolve(x, x, "other")
    with pytest.raises(ValueError, match="one axis"):
        cnp.correlate(cnp.ones((2, 2)), x)
    with pytest.raises(ValueError, match="at least as long"):
        signal.convolve(cnp.ones((2, 3)), cnp.ones((3, 2)))
    with pytest.raises(NotImplementedError, match="boundary='wrap'"):
        signal.convolve2d(cnp.ones((2, 3)), cnp.ones((1, 2)), boundary="wrap")
    with pytest.raises(ValueError, match="method"):
        signal.convolve(x, x, method="other")


def test_algorithms() -> None:
    x = cnp.ones((2, 2))
    for there in (
        lax.DotAlgorithmPreset.F32_F32_F32,
        "BF16_BF16_F32_X3",
        lax.DotAlgorithm("float32", "float32", "float32"),
    ):
        assert lax.dot(x, x, precision=there).dtype == "float32"
    for missing in (
        lax.DotAlgorithmPreset.TF32_TF32_F32,
        "ANY_F8_ANY_F8_F32",
        lax.DotAlgorithm("float16", "float16", "float32"),
    ):
        with pytest.raises(ValueError, match="not there on this processor"):
            lax.dot(x, x, precision=missing)
