"""Types and values for samples of primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.extend.testing import Maker, random

f16, bf16, f32, f64 = dtypes.FLOATS
c64, c128 = dtypes.COMPLEX
bool_, i8, i32, i64 = dtypes.bool_, dtypes.int8, dtypes.int32, dtypes.int64
u8, u32, u64 = dtypes.uint8, dtypes.uint32, dtypes.uint64


def integers(low: int, high: int) -> Maker:
    """Integers from low to high, both included."""
    return lambda rng, aval: np.asarray(rng.integers(low, high + 1, aval.shape)).astype(aval.dtype)


def uniform(low: float, high: float) -> Maker:
    return lambda rng, aval: np.asarray(rng.uniform(low, high, aval.shape)).astype(aval.dtype)


def words(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """All bits random."""
    return np.asarray(rng.integers(0, 2**32, aval.shape, dtype=np.uint64)).astype(aval.dtype)


def unique_rows(bounds: tuple[int, ...]) -> Maker:
    """Different index vectors below the bounds."""

    def make(rng: np.random.Generator, aval: ShapedArray) -> Any:
        flat = rng.choice(int(np.prod(bounds)), int(np.prod(aval.shape[:-1])), replace=False)
        return np.stack(np.unravel_index(flat, bounds), -1).reshape(aval.shape).astype(aval.dtype)

    return make


def ties(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """Many equal values, and some NaN."""
    values = rng.integers(0, 3, aval.shape).astype(np.float64)
    values[rng.random(aval.shape) < 0.1] = np.nan
    return values.astype(aval.dtype)


def some_zeros(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """Random values, of which some are 0."""
    return np.where(rng.random(aval.shape) < 0.3, 0, random(rng, aval)).astype(aval.dtype)


def array(shape: tuple[int, ...], dtype: np.dtype = f64) -> ShapedArray:
    return ShapedArray(shape, dtype)


# ------------------------------------------------------------------------------------------------ movements


def apart(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """Hermitian matrices with eigenvalues that are not close to each other."""
    n = aval.shape[-1]
    x = random(rng, aval) / 8
    return (x + np.swapaxes(x.conj(), -1, -2) + np.diag(np.arange(n) * 2.0 + 1)).astype(aval.dtype)


def definite(rng: np.random.Generator, aval: ShapedArray) -> Any:
    """Hermitian matrices without small eigenvalues."""
    x = random(rng, aval)
    eye = np.eye(aval.shape[-1])
    return (x @ np.swapaxes(x.conj(), -1, -2) / 4 + eye).astype(aval.dtype)
