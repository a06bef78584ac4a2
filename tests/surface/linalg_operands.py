"""Matrices for the tests of linear algebra, and what counts as equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.surface.numpy_outcomes import DIGITS

DTYPES = ("float32", "float64", "complex64", "complex128")


def random(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if dtype.startswith("c") else x).astype(dtype)


def adjoint(x: Any) -> Any:
    return np.swapaxes(np.conj(x), -1, -2)


def definite(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    x = random(shape, dtype, seed)
    return (x @ adjoint(x) / 4 + np.eye(shape[-1])).astype(dtype)


def general(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    """Without small pivots, so that rounding stays small."""
    return (random(shape, dtype, seed) + 3 * np.eye(shape[-1])).astype(dtype)


def hermitian(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    x = random(shape, dtype, seed)
    return (x + adjoint(x)).astype(dtype)


def close(actual: Any, wanted: Any, dtype: str) -> None:
    """Equal, part by part, up to rounding in a dtype; NaNs and infinities in the same places."""
    if isinstance(wanted, tuple):
        assert len(actual) == len(wanted)
        for a, w in zip(actual, wanted, strict=True):
            close(a, w, dtype)
        return
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert actual.shape == wanted.shape
    if wanted.dtype.kind in "fc":
        assert actual.dtype == wanted.dtype
    size = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=50 * DIGITS[dtype] * size)
