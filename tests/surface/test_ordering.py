"""Sorting, searching and running folds, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector.numpy as cnp


def same(actual: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-6)
    assert actual.shape == np.shape(expected)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_running(axis: int | None, rng: np.random.Generator) -> None:
    x = rng.integers(-3, 4, (3, 4)).astype(np.float32)
    same(cnp.cumsum(x, axis), np.cumsum(x, axis))
    same(cnp.cumprod(x, axis), np.cumprod(x, axis))
    bad = np.where(x == 2, np.nan, x)
    same(cnp.nancumsum(bad, axis), np.nancumsum(bad, axis))
    same(cnp.nancumprod(bad, axis), np.nancumprod(bad, axis))
    if axis is not None:
        for initial in (False, True):
            same(
                cnp.cumulative_sum(x, axis=axis, include_initial=initial),
                np.cumulative_sum(x, axis=axis, include_initial=initial),
            )
            same(
                cnp.cumulative_prod(x, axis=axis, include_initial=initial),
                np.cumulative_prod(x, axis=axis, include_initial=initial),
            )
    assert cnp.cumsum(cnp.ones(3, bool)).dtype == np.int32
    assert cnp.cumsum(cnp.ones(3, bool)).dtype == np.int32


def test_differences(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 5)).astype(np.float32)
    for n in (0, 1, 3):
        for axis in (0, 1):
            np.testing.assert_allclose(
                np.asarray(cnp.diff(x, n, axis)), np.diff(x, n, axis), rtol=1e-4, atol=1e-5
            )
    same(cnp.diff(x, prepend=1.0), np.diff(x, prepend=np.float32(1.0)))
    same(cnp.diff(x, axis=0, append=x[:2]), np.diff(x, axis=0, append=x[:2]))
    same(cnp.ediff1d(x, to_end=cnp.ones(2)), np.ediff1d(x, to_end=np.ones(2, np.float32)))
    np.testing.assert_allclose(np.asarray(cnp.trapezoid(x)), np.trapezoid(x), rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(cnp.trapezoid(x, np.arange(3), axis=0)),
        np.trapezoid(x, np.arange(3), axis=0),
        rtol=1e-5,
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.booleans())
def test_sort_is_stable(values: list[int], descending: bool) -> None:
    x = np.array(values, np.int32)
    order = np.argsort(-x if descending else x, kind="stable")
    np.testing.assert_array_equal(np.asarray(cnp.argsort(x, descending=descending)), order)
    np.testing.assert_array_equal(np.asarray(cnp.sort(x, descending=descending)), x[order])


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "bool", "float16", "bfloat16"])
def test_sort(axis: int | None, dtype: str, rng: np.random.Generator) -> None:
    x = np.asarray(cnp.asarray(rng.normal(size=(2, 5, 3)) * 3).astype(dtype))
    same(np.asarray(cnp.sort(x, axis)).astype(np.float32), np.sort(x.astype(np.float32), axis))
    same(np.asarray(cnp.argsort(x, axis)), np.argsort(x.astype(np.float32), axis, kind="stable"))


def test_nan_sorts_last() -> None:
    x = np.array([2, np.nan, 1, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(np.asarray(cnp.sort(x)), np.sort(x))


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
def test_median(axis: int | tuple[int, ...] | None, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    same(cnp.median(x, axis), np.median(x, axis))
    same(cnp.median(x, axis, keepdims=True), np.median(x, axis, keepdims=True))
    assert np.isnan(np.asarray(cnp.median(np.array([1, np.nan, 2]))))


@given(
    st.lists(st.integers(0, 9), max_size=20),
    st.lists(st.integers(-1, 10), min_size=1, max_size=9),
    st.sampled_from(["left", "right"]),
)
def test_searchsorted(values: list[int], wanted: list[int], side: str) -> None:
    a, v = np.sort(np.array(values, np.int32)), np.array(wanted, np.int32)
    np.testing.assert_array_equal(
        np.asarray(cnp.searchsorted(a, v, side)), np.searchsorted(a, v, side)
    )
