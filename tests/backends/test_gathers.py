"""Elements gathered at places from data: narrow ones are cut out of words, which end with the buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

NARROW = ("bool", "int8", "uint8", "int16", "uint16", "float16", "bfloat16", "float8_e4m3fn")


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("n", [1, 3, 4, 5, 1001])
def test_narrow_elements(dtype: str, n: int) -> None:
    """All places, the last ones first, are read; those out of bounds are what the mode says."""
    rng = np.random.default_rng(n)
    x = cnp.asarray(rng.integers(0, 100, n)).astype(dtype)
    plain = np.asarray(x.astype(cnp.float32))
    index = np.concatenate([np.arange(n)[::-1], rng.integers(-n, n, 200)]).astype(np.int32)
    got = cv.jit(lambda x, i: x[i])(x, index)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got.astype(cnp.float32), plain[index])

    far = rng.integers(-3 * n, 3 * n, 300).astype(np.int32)
    filled = cv.jit(lambda x, i: x.at[i].get(mode="fill", fill_value=0))(x, far)
    there = (far >= -n) & (far < n)
    wanted = np.where(there, plain[np.where(there, far, 0)], 0)
    np.testing.assert_array_equal(filled.astype(cnp.float32), wanted)


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_columns_and_along_an_axis(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = cnp.asarray(rng.integers(0, 100, (37, 53))).astype(dtype)
    plain = np.asarray(x.astype(cnp.float32))
    columns = rng.integers(-53, 53, 70).astype(np.int32)
    places = rng.integers(0, 37, (41, 53)).astype(np.int32)
    for run, wanted in (
        (lambda x: x[:, columns], plain[:, columns]),
        (lambda x: cnp.take(x, columns, axis=1), plain[:, columns]),
        (lambda x: cnp.take_along_axis(x, places, axis=0), np.take_along_axis(plain, places, 0)),
    ):
        got: Any = cv.jit(run)(x)
        np.testing.assert_array_equal(got.astype(cnp.float32), wanted)
