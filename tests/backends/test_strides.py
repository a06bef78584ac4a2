"""Elements that lie a few apart, read by vectors: some of them out of bounds, and none read that is not theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

LENGTHS = [1, 2, 7, 15, 16, 17, 31, 33, 64, 100]


def numbers(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("mode", ["fill", "clip"])
def test_rows_of_complex_numbers(length: int, mode: str) -> None:
    x, index = numbers(9, length), np.array([3, -1, 8, 9, -10, 0, 100], np.int32)
    got = np.asarray(cv.jit(lambda x, i: cnp.take(x, i, 0, mode=mode))(x, index))
    wanted = x[np.clip(index, 0, 8) if mode == "clip" else index % 9]
    if mode == "fill":
        wanted[[3, 4, 6]] = np.nan
        assert np.isnan(got[[3, 4, 6]]).all()
        got, wanted = got[[0, 1, 2, 5]], wanted[[0, 1, 2, 5]]
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("step", [-3, -2, -1, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.complex64])
def test_what_is_padded_after_it_is_cut(length: int, step: int, dtype: Any) -> None:
    x = (numbers(3, 4 * length).real * 50).astype(dtype)

    def both(np_: Any, x: Any) -> Any:
        part = x[:, ::step]
        return np_.pad(part, ((1, 0), (2, 5))) * 2

    with cv.enable_x64(True):
        np.testing.assert_array_equal(cv.jit(lambda x: both(cnp, x))(x), both(np, x))


@pytest.mark.parametrize("length", LENGTHS)
def test_choices_by_element(length: int) -> None:
    """The mask is another one in each lane."""
    x, index = numbers(5, length), np.arange(length) % 7 - 1

    def chosen(x: Any, index: Any) -> Any:
        rows = cnp.where(index < 3, index, 99)
        return x.at[rows, cnp.arange(length)].get(mode="fill", fill_value=0)

    rows = np.where(index < 3, index, 99)
    wanted = np.where(rows < 5, x[np.minimum(rows, 4), np.arange(length)], 0)
    np.testing.assert_array_equal(cv.jit(chosen)(x, index), wanted)


@pytest.mark.parametrize("shape", [(200, 300), (40, 30, 50), (7, 5), (20_000, 3), (0, 4), (3, 0)])
def test_sums_of_rows_of_complex_numbers(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-3}
    for axis in range(len(shape)):
        total = cv.jit(lambda x, a=axis: cnp.sum(x, a))(x)
        np.testing.assert_allclose(total, x.astype(complex).sum(axis), **close)
        square = cv.jit(lambda x, a=axis: cnp.sum(x * x, a) + 1)(x)
        np.testing.assert_allclose(square, (x.astype(complex) ** 2).sum(axis) + 1, **close)
    slope = cv.grad(lambda x: abs(cnp.sum(x, 0)).sum())
    if 0 not in shape:
        np.testing.assert_allclose(cv.jit(slope)(x), slope(x), rtol=1e-5)


@pytest.mark.parametrize("shape", [(20_000, 3), (9_999, 7), (4_096, 31), (1_025, 16), (70_000, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "float16", "bool"])
def test_columns_of_short_rows(shape: tuple[int, ...], dtype: str) -> None:
    """Several rows are taken for one, and those that are left over too."""
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 4, shape) if dtype[0] != "f" else rng.normal(size=shape)).astype(dtype)
    if dtype[0] == "f":
        x[5, 0], x[-1, -1] = np.nan, -np.inf
    with cv.enable_x64(True), np.errstate(all="ignore"):
        for name in ("sum", "max", "min", "any", "all"):
            wanted = getattr(np, name)(x.astype("float64" if dtype[0] == "f" else dtype), 0)
            got = np.asarray(cv.jit(lambda x, f=name: getattr(cnp, f)(x, 0))(x))
            rtol = 1e-2 if dtype == "float16" else 1e-4
            np.testing.assert_allclose(got.astype(wanted.dtype), wanted, rtol=rtol, atol=rtol * 10)
        signs = np.where(x > 0, x.dtype.type(1), x.dtype.type(1) if dtype == "uint8" else -1)
        if dtype in ("float32", "int32"):
            got = cv.jit(lambda x: cnp.prod(x, 0))(signs.astype(dtype))
            np.testing.assert_array_equal(got, signs.astype(dtype).prod(0))
