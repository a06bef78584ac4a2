"""Routines on stacks of matrices, compiled: in lanes or by LAPACK, what comes out is the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from covector._engine.core.primitive import Primitive
from covector._engine.primitives import linalg_solve as solving

DTYPES = ("float32", "float64", "complex64", "complex128")
# Whole vectors of lanes and parts of one, sizes on both sides of the largest in lanes, and a large one.
STACKS = ((1, 1), (3, 3), (1, 16, 16), (4, 16, 16), (2, 17, 17), (33, 5, 5), (70, 3, 3), (300, 300))


def random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(shape)
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if dtype.startswith("c") else x).astype(dtype)


def definite(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    x = random(shape, dtype)
    n = shape[-1]
    return (x @ np.swapaxes(x.conj(), -1, -2) / n + np.eye(n)).astype(dtype)


def assert_reference(primitive: Primitive, *xs: Any) -> None:
    found, wanted = primitive(*xs), primitive.reference(*xs)
    pairs = zip(found, wanted, strict=True) if primitive.multiple else [(found, wanted)]
    for actual, right in pairs:
        eps = np.finfo(right.dtype).eps if right.dtype.kind in "fc" else 0
        size = np.abs(right[np.isfinite(right)]).max(initial=1)
        np.testing.assert_allclose(actual, right, rtol=0, atol=500 * eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", STACKS, ids=str)
def test_factors_and_solutions(dtype: str, shape: tuple[int, ...]) -> None:
    a = definite(shape, dtype)
    assert_reference(solving.Cholesky(), a)
    assert_reference(solving.Lu(), random(shape, dtype) + 2 * a)
    for left in (True, False):
        b = random((*shape[:-1], 3) if left else (*shape[:-2], 3, shape[-1]), dtype)
        for flags in ((True, False, False), (False, True, True), (True, False, True)):
            assert_reference(solving.TriangularSolve(left, *flags), a, b)


@pytest.mark.parametrize("n", [3, 20])
def test_what_has_no_factors(n: int) -> None:
    good = definite((4, n, n), "float64")
    bad = good.copy()
    bad[1, 0, 0] = -1
    bad[2, n - 1, n - 1] = np.nan
    assert_reference(solving.Cholesky(), bad)
    singular = good.copy()
    singular[1] = 0
    singular[3, :, 1] = 0
    assert_reference(solving.Lu(), singular)
    a = np.triu(good)
    a[1, 1, 1] = 0
    assert_reference(solving.TriangularSolve(True, False), a, good)


def test_the_other_triangle_is_not_read() -> None:
    for n in (3, 20):
        a = definite((n, n), "complex64")
        dirty = np.where(np.tri(n, dtype=bool), a, np.nan)
        clean = solving.Cholesky()(np.tril(a))
        np.testing.assert_array_equal(solving.Cholesky()(dirty), clean)
        solve = solving.TriangularSolve(True, True)
        np.testing.assert_array_equal(solve(dirty, a), solve(np.tril(a), a))
        np.fill_diagonal(dirty, np.nan)
        unit = solving.TriangularSolve(True, True, unit_diagonal=True)
        np.testing.assert_array_equal(unit(dirty, a), unit(np.tril(a), a))


def test_large_complex_numbers_do_not_overflow() -> None:
    a = (1e30 * definite((2, 3, 3), "complex64")).astype("complex64")
    assert_reference(solving.Lu(), a)
    assert_reference(solving.TriangularSolve(True, True), a, a)
