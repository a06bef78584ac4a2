"""Reductions against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector as cv
import covector.numpy as cnp
from covector import lax

NAMES = [
    "sum",
    "prod",
    "max",
    "min",
    "all",
    "any",
    "mean",
    "var",
    "std",
    "ptp",
    "count_nonzero",
    "amax",
    "amin",
]
NAN_NAMES = ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"]
DTYPES = ["bool", "int8", "int32", "int64", "uint8", "float16", "float32", "float64"]
AXES = [None, 0, -1, (0, 2), (), (0, 1, 2)]


def sample(dtype: str, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rng.integers(0, 3, (2, 3, 4))).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_as_numpy(name: str, dtype: str, rng: np.random.Generator) -> None:
    x = sample(dtype, rng)
    if name == "ptp" and dtype == "bool":
        return
    for axis in AXES:
        if axis == () and name in ("var", "std"):
            continue
        for keepdims in (False, True):
            got = getattr(cnp, name)(cnp.asarray(x), axis=axis, keepdims=keepdims)
            wide = (
                x.astype(np.float32) if dtype == "float16" and name in ("mean", "var", "std") else x
            )
            expected = getattr(np, name)(wide, axis=axis, keepdims=keepdims)
            assert got.shape == np.shape(expected)
            tolerance = 2e-3 if dtype == "float16" else 1e-5
            np.testing.assert_allclose(
                np.asarray(got, np.float64), np.asarray(expected, np.float64), rtol=tolerance
            )


@pytest.mark.parametrize(
    ("dtype", "total", "average"),
    [
        ("bool", "int32", "float32"), ("int8", "int32", "float32"), ("int32", "int32", "float32"),
        ("int64", "int64", "float64"), ("uint8", "uint32", "float32"), ("float16", "float16", "float16"),
        ("float64", "float64", "float64"), ("complex64", "complex64", "complex64"),
    ],
)  # fmt: skip
def test_result_dtypes(dtype: str, total: str, average: str) -> None:
    x = cnp.ones(3, dtype)
    assert cnp.sum(x).dtype == cnp.prod(x).dtype == total
    assert cnp.mean(x).dtype == average
    assert cnp.sum(x, dtype="float32").dtype == np.float32
    assert cnp.argmax(cnp.ones(3)).dtype == np.int32


@pytest.mark.parametrize("name", ["argmax", "argmin", "nanargmax", "nanargmin"])
def test_positions(name: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 4, (3, 4, 2)).astype(np.float32)
    if name.startswith("nan"):
        x[1, 2, 0] = np.nan
    for axis in (None, 0, 1, -1):
        got = getattr(cnp, name)(cnp.asarray(x), axis=axis)
        np.testing.assert_array_equal(np.asarray(got), getattr(np, name)(x, axis=axis))
    assert getattr(cnp, name)(cnp.asarray(x), keepdims=True).shape == (1, 1, 1)


@pytest.mark.parametrize("name", NAN_NAMES)
def test_without_nan(name: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4)).astype(np.float32)
    x[0, 1] = x[2, 2] = np.nan
    for axis in (None, 0, 1):
        got = getattr(cnp, name)(cnp.asarray(x), axis=axis)
        np.testing.assert_allclose(np.asarray(got), getattr(np, name)(x, axis=axis), rtol=1e-5)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 2**31))
def test_where_and_initial(shape: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, shape).astype(np.float32)
    where = rng.integers(0, 2, shape).astype(bool)
    for name in ("sum", "prod", "max", "min"):
        got = getattr(cnp, name)(cnp.asarray(x), axis=0, initial=2, where=where)
        np.testing.assert_allclose(
            np.asarray(got), getattr(np, name)(x, axis=0, initial=2, where=where)
        )
    for name in ("mean", "var", "any", "all"):
        with np.errstate(all="ignore"):
            expected = (
                getattr(np, name)(x, axis=0, where=where)
                if name in ("any", "all") or where.any(0).all()
                else None
            )
        if expected is not None:
            got = getattr(cnp, name)(cnp.asarray(x), axis=0, where=cnp.asarray(where))
            np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-5, atol=1e-6)


def test_average_and_ddof(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(3, 4)).astype(np.float32), rng.uniform(size=4).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(cnp.average(cnp.asarray(x), 1, w)), np.average(x, 1, w), rtol=1e-5
    )
    value, total = cnp.average(cnp.asarray(x), 0, returned=True)
    np.testing.assert_allclose(np.asarray(total), np.full(4, 3.0))
    np.testing.assert_allclose(np.asarray(value), x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(cnp.var(cnp.asarray(x), 0, ddof=1)), x.var(0, ddof=1), rtol=1e-5
    )
    assert np.isnan(np.asarray(cnp.std(cnp.ones(1), ddof=1)))


def test_mean_of_many_halves_does_not_overflow() -> None:
    assert float(cnp.mean(cnp.full(70000, 2.0, cnp.float16))) == 2.0


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda: cnp.max(cnp.zeros((0, 2))),
            ValueError,
            r"max of an array of shape \(0, 2\) along axis 0",
        ),
        (lambda: cnp.argmin(cnp.zeros(0)), ValueError, "argmin of an array"),
        (
            lambda: cnp.sum(cnp.ones(2), axis=3),
            ValueError,
            "axis 3 is out of bounds for an array of 1 dimensions",
        ),
        (lambda: cnp.sum(cnp.ones((2, 2)), axis=(0, 0)), ValueError, "names an axis twice"),
        (
            lambda: cnp.max(cnp.ones(2), where=np.array([True, False])),
            ValueError,
            "needs an initial value",
        ),
    ],
)
def test_errors(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        f()


@pytest.mark.parametrize("dtype", ["int2", "uint2", "int4", "uint4", "int8", "uint8", "int32"])
def test_extremes_of_no_integers_change_none(dtype: str) -> None:
    none, bounds = cnp.zeros((0, 2), dtype), cnp.iinfo(dtype)
    for fold, first, window in (
        (lax.reduce_max, bounds.min, lax.max),
        (lax.reduce_min, bounds.max, lax.min),
        (lax.reduce_and, -1 if bounds.min else bounds.max, lax.bitwise_and),
        (lax.reduce_or, 0, lax.bitwise_or),
    ):
        for f in (fold, cv.jit(fold, static_argnums=1)):
            assert f(none, (0,)).tolist() == [first] * 2
        if window in (lax.max, lax.min):
            padded = lax.reduce_window(
                cnp.zeros(1, dtype), cnp.asarray(first, dtype), window, (1,), (1,), [(1, 1)]
            )
            assert padded.tolist() == [first, 0, first]
            wide = lax.reduce_window(
                cnp.zeros(1, dtype), cnp.asarray(first, dtype), window, (40,), (1,), [(80, 0)]
            )
            assert wide.tolist() == [first] * 41 + [0]
