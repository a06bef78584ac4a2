"""Rows shorter than a vector are folded across, one a lane, and turned in registers: the same values as one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import covector
import covector.numpy as np
from covector._engine.base.config import config

LENGTHS = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 16, 17, 20, 23, 31, 32, 33]
ROWS = [1, 7, 15, 16, 17, 33, 64]
FOLDS = ["sum", "max", "min", "prod", "argmax", "argmin", "any"]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> onp.ndarray:
    """Numbers with many that are equal."""
    draw = onp.random.default_rng(seed)
    kind = onp.dtype(dtype).kind
    if kind == "b":
        return draw.random(shape) < 0.2
    if kind == "c":
        return (draw.integers(-3, 4, shape) + 1j * draw.integers(-3, 4, shape)).astype(dtype)
    low = 0 if kind == "u" else -3
    return draw.integers(low, 4, shape).astype(dtype)


def same(f: Callable[[Any, Any], Any], x: onp.ndarray, bits: int) -> None:
    """What a function gives is what it gives in NumPy; sums of small whole numbers are exact."""
    with config.override(vector_bits=bits):
        got = onp.asarray(covector.jit(lambda y: f(np, y))(x))
    wanted = onp.asarray(f(onp, x))
    onp.testing.assert_array_equal(got, wanted.astype(got.dtype))


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("fold", FOLDS)
def test_lengths(fold: str, bits: int):
    for n in LENGTHS:
        x = numbers((37, n), "float32", n)
        if fold == "prod":
            x = onp.where(onp.abs(x) == 3, 1, x).astype(x.dtype)
        same(lambda np, x: getattr(np, fold)(x, 1), x, bits)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "bool", "float16", "int32", "uint32", "float64"]
)
def test_dtypes(dtype: str, bits: int):
    folds = ["argmax", "max"] if dtype == "bool" else ["sum", "max", "argmin"]
    for n in (5, 8, 10, 19):
        for fold in folds:
            same(lambda np, x, f=fold: getattr(np, f)(x, 1), numbers((75, n), dtype, n), bits)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("fold", ["sum", "prod"])
def test_complex(fold: str, bits: int):
    for n in (2, 3, 5, 8, 10, 16, 17, 31, 32):
        x = numbers((37, n), "complex64", n)
        if fold == "prod":
            x = onp.where(onp.abs(x) > 1, 1j, x).astype(x.dtype)
        same(lambda np, x: getattr(np, fold)(x, 1), x, bits)


@pytest.mark.parametrize("rows", ROWS)
def test_numbers_of_rows(rows: int):
    """Also rows of which the last vector has few."""
    for fold in ("sum", "argmax"):
        same(lambda np, x, f=fold: getattr(np, f)(x, 1), numbers((rows, 10), "float32"), 512)


@pytest.mark.parametrize(
    "part",
    [
        lambda x: x[:, 1:],
        lambda x: x[1:],
        lambda x: x[2:-3, 1:-2],
        lambda x: x[:, ::2],
        lambda x: x[:, ::-1],
        lambda x: x[::2],
        lambda x: x[::-1],
        lambda x: x.reshape(-1, 4, 11),
        lambda x: x[:, None, :],
        lambda x: x.T,
    ],
    ids=str.split(
        "columns rows both every-other reversed other-rows from-below three added turned"
    ),
)
def test_parts_of_rows(part: Callable[[Any], Any]):
    """Elements beside what is read are in the array, or are not read."""
    x = numbers((64, 11), "float32")
    for fold in ("sum", "argmax", "min"):
        same(lambda np, x, f=fold: getattr(np, f)(part(x), -1), x, 512)


def test_nans():
    """The first NaN wins, wherever it is; sums and extremes with one are NaN."""
    for n in (5, 10, 16, 20):
        x = numbers((2 * n, n), "float32", n)
        for row in range(n):
            x[row, row] = onp.nan
            x[row, min(row + 2, n - 1)] = onp.nan
        for fold in ("argmax", "argmin", "max", "min", "sum"):
            same(lambda np, x, f=fold: getattr(np, f)(x, 1), x, 512)


def test_worst_of_all():
    """The first of equals, also where all are the least there is."""
    x = onp.full((33, 10), -onp.inf, "float32")
    x[3, 4] = x[3, 7] = 1
    same(lambda np, x: np.argmax(x, 1), x, 512)
    same(lambda np, x: np.max(x, 1), x, 512)


def test_what_is_computed_of_rows():
    """Several operands, several sweeps, conditions, rows that stand for all."""
    x, y = numbers((45, 10), "float32"), numbers((45, 10), "float32", 1)
    row = numbers((10,), "float32", 2)
    same(lambda np, x: np.sum(x * y + row, 1), x, 512)
    same(lambda np, x: np.max(np.where(x > y, x, row), 1), x, 512)
    same(lambda np, x: np.sum(x, 1, where=y > 0), x, 512)
    same(lambda np, x: np.argmax(np.abs(x) - y, 1), x, 512)
    same(lambda np, x: np.sum((x - np.max(x, 1, keepdims=True)) ** 2, 1), x, 512)
    got = covector.jit(lambda x: np.std(x, 1))(x)
    onp.testing.assert_allclose(got, onp.std(x, 1), rtol=1e-6)
    got = covector.jit(covector.vmap(lambda r: np.sum(np.exp(r))))(x)
    onp.testing.assert_allclose(got, onp.sum(onp.exp(x), 1), rtol=1e-6)


def test_they_are_turned_in_registers():
    """Whole vectors are loaded and their lanes exchanged: nothing is gathered, or becomes one number in a row."""
    with config.override(vector_bits=512):
        text = (
            covector.jit(lambda x: x.argmax(1)).lower(np.ones((1024, 10))).compile().as_text("llvm")
        )
    assert "gather" not in text
    assert text.count("shufflevector <16 x float>") > 40


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("n", [33, 100])
def test_nans_and_zeros_in_lanes_of_long_rows(n: int, dtype: str) -> None:
    """Whichever lane has the one NaN of a row, or its one zero of the other sign."""
    own, other = onp.full((n, n), -1.0, "float32"), onp.eye(n, dtype="float32") > 0
    x = onp.where(other, onp.float32("nan"), own)
    for f in (np.max, np.min):
        assert np.isnan(covector.jit(lambda x, f=f: f(x, axis=1))(np.asarray(x, dtype))).all()
    for f, usual in ((np.max, -0.0), (np.min, 0.0)):
        x = onp.where(other, -usual, usual)
        got = covector.jit(lambda x, f=f: f(x, axis=1))(np.asarray(x, dtype))
        onp.testing.assert_array_equal(onp.signbit(onp.asarray(got, "float32")), f is np.min)
