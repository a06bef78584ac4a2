"""Sorting against NumPy: every dtype, with what has no order of its own, at the lengths where the method changes."""

import numpy as np
import pytest

import covector
from covector import numpy as cnp
from covector._engine.types import dtypes

REAL = [d for d in dtypes.ALL if not dtypes.is_complex(d)]
LENGTHS = [0, 1, 2, 5, 383, 384, 1000, 16383, 16384, 70_000, 150_001]  # see native/sort.cc

sort, argsort = covector.jit(cnp.sort), covector.jit(cnp.argsort)


def numbers(n: int, dtype: np.dtype) -> np.ndarray:
    """Numbers with many equal ones, both zeros, infinities and NaNs of both signs."""
    rng = np.random.default_rng(n)
    if dtypes.kind(dtype) == "b":
        return rng.random(n) > 0.5
    if dtypes.kind(dtype) != "f":
        info = np.iinfo(dtype)
        wide = rng.integers(info.min, info.max, n, dtype, endpoint=True)
        return np.where(rng.random(n) > 0.5, wide, rng.integers(0, 5, n).astype(dtype))
    x = rng.standard_normal(n) * 100
    for special in (0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf):
        x[rng.random(n) < 0.05] = special
    return x.astype(dtype)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_rows(dtype: np.dtype, n: int) -> None:
    x = numbers(n, dtype)
    wide = x.astype(np.float32) if dtype == dtypes.bfloat16 else x
    order = np.argsort(wide, kind="stable")
    np.testing.assert_array_equal(np.asarray(argsort(x)), order)
    bits = f"u{x.dtype.itemsize}"
    np.testing.assert_array_equal(np.asarray(sort(x)).view(bits), x[order].view(bits))


@pytest.mark.parametrize("shape", [(3, 70_000), (40, 1000), (5, 3, 17), (4, 0), (7, 1)])
def test_many_rows(shape: tuple[int, ...]) -> None:
    x = numbers(int(np.prod(shape)), np.dtype(np.float32)).reshape(shape)
    np.testing.assert_array_equal(np.asarray(sort(x)), np.sort(x))
    np.testing.assert_array_equal(np.asarray(argsort(x)), np.argsort(x, kind="stable"))
    first = covector.jit(lambda x: cnp.sort(x, axis=0))
    np.testing.assert_array_equal(np.asarray(first(x)), np.sort(x, axis=0))


def test_values_are_moved_only_if_they_are_read() -> None:
    alone = covector.jit(cnp.sort).lower(np.ones(8, np.float32)).compile().as_text("kernels")
    pairs = covector.jit(cnp.argsort).lower(np.ones(8, np.float32)).compile().as_text("kernels")
    assert ("; 11, 0, 1, 8)" in alone, "; 11, 4, 1, 8)" in pairs) == (True, True), alone + pairs
