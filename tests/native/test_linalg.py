"""Routines on stacks of matrices, compiled: in lanes or by LAPACK, what comes out is the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from covector._engine.core.primitive import Primitive
from covector._engine.primitives import (
    linalg_orthogonal as orthogonal,
    linalg_solve as solving,
    linalg_spectral as spectral,
)
from covector.numpy import linalg

Each = Callable[[], Iterator[int]]
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


def assert_reference(primitive: Primitive, *xs: Any, each: Each = lambda: iter((64,))) -> None:
    wanted = primitive.reference(*xs)
    for _ in each():
        found = primitive(*xs)
        pairs = zip(found, wanted, strict=True) if primitive.multiple else [(found, wanted)]
        for actual, right in pairs:
            eps = np.finfo(right.dtype).eps if right.dtype.kind in "fc" else 0
            size = np.abs(right[np.isfinite(right)]).max(initial=1)
            np.testing.assert_allclose(actual, right, rtol=0, atol=500 * eps * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", STACKS, ids=str)
def test_factors_and_solutions(each_vectors: Each, dtype: str, shape: tuple[int, ...]) -> None:
    a = definite(shape, dtype)
    assert_reference(solving.Cholesky(), a, each=each_vectors)
    assert_reference(solving.Lu(), random(shape, dtype) + 2 * a, each=each_vectors)
    for left in (True, False):
        b = random((*shape[:-1], 3) if left else (*shape[:-2], 3, shape[-1]), dtype)
        for flags in ((True, False, False), (False, True, True), (True, False, True)):
            assert_reference(solving.TriangularSolve(left, *flags), a, b, each=each_vectors)


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


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("n", [3, 63, 64, 130])
def test_the_hermitian_part_is_taken_at_any_size(dtype: str, n: int) -> None:
    a = definite((2, n, n), dtype)
    other = random((2, n, n), dtype)
    skew = np.triu(other, 1)
    found = linalg.cholesky(a + skew - adjoint(skew))
    np.testing.assert_allclose(found, linalg.cholesky(a, symmetrize_input=False), atol=1e-4)


def test_large_complex_numbers_do_not_overflow() -> None:
    a = (1e30 * definite((2, 3, 3), "complex64")).astype("complex64")
    assert_reference(solving.Lu(), a)
    assert_reference(solving.TriangularSolve(True, True), a, a)


def adjoint(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x.conj(), -1, -2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*STACKS[:-1], (30, 30)], ids=str)
def test_eigenvalues_and_singular_values(dtype: str, shape: tuple[int, ...]) -> None:
    """Also of stacks that share their threads: by what the factors multiply to."""
    x = random(shape, dtype)
    a = x + adjoint(x)
    tolerance = 200 * np.finfo(dtype).eps * shape[-1]
    eye = np.eye(shape[-1])
    for lower in (True, False):
        v, w = map(np.asarray, spectral.Eigh(lower)(np.tril(a) if lower else np.triu(a)))
        np.testing.assert_allclose(v * w[..., None, :] @ adjoint(v), a, rtol=0, atol=tolerance)
        np.testing.assert_allclose(adjoint(v) @ v, np.broadcast_to(eye, shape), atol=tolerance)
        np.testing.assert_allclose(spectral.Eigh(lower, False)(a)[0], w, atol=tolerance)
        assert (np.diff(w) >= 0).all()
    s, u, vt = map(np.asarray, spectral.Svd(False)(x))
    np.testing.assert_allclose(u * s[..., None, :] @ vt, x, rtol=0, atol=tolerance)
    w, _, vr = map(np.asarray, spectral.Eig(True, True)(x))
    np.testing.assert_allclose(x @ vr, vr * w[..., None, :], rtol=0, atol=tolerance)
    t, z = map(np.asarray, spectral.Schur()(x))
    np.testing.assert_allclose(z @ t @ adjoint(z), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n", [2, 3, 5, 16])
def test_special_hermitian_matrices(n: int) -> None:
    """Diagonal, equal and zero eigenvalues, blocks, and numbers that must be scaled."""
    blocks = np.kron(np.eye(n), [[1.0, 2.0], [2.0, 1.0]])[:n, :n]
    graded = np.diag(10.0 ** -np.arange(n)) + 1e-12
    for a in (
        np.eye(n), np.zeros((n, n)), np.ones((n, n)), blocks, np.diag(np.arange(n)[::-1] - 1.0),
        graded, graded[::-1, ::-1], 1e-200 * blocks, 1e200 * blocks, 1e-300 * np.ones((n, n)),
    ):  # fmt: skip
        v, w = map(np.asarray, spectral.Eigh()(np.ascontiguousarray(a)))
        size = np.abs(a).max()
        np.testing.assert_allclose(v @ np.diag(w) @ v.T, a, rtol=0, atol=1e-13 * size)
        np.testing.assert_allclose(v.T @ v, np.eye(n), atol=1e-13)


def test_nan_stays_in_its_matrix() -> None:
    for n in (3, 30):
        a = definite((3, n, n), "float64")
        a[1, 0, n - 1] = a[1, n - 1, 0] = np.nan
        for primitive in (
            spectral.Eigh(), spectral.Svd(True), spectral.Svd(False, False), spectral.Eig(True, True),
            spectral.Schur(),
        ):  # fmt: skip
            for out in map(np.asarray, primitive(a)):
                assert np.isnan(out[1]).all()
                assert np.isfinite(out[[0, 2]]).all()


# Both sides of a panel, of a block of reflectors and of what is split; rows that would share sets of a cache.
BLOCKED = ((17, 17), (33, 70), (70, 33), (130, 100), (256, 256), (600, 520))


def size_of_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference in rounding errors of the longer side's sums, relative to the largest element."""
    eps = np.finfo(wanted.dtype).eps * max(wanted.shape) * np.abs(wanted).max()
    return float(np.abs(found - wanted).max() / eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", BLOCKED, ids=str)
def test_factors_in_blocks_multiply_to_the_matrix(
    each_vectors: Each, dtype: str, shape: tuple[int, int]
) -> None:
    a = random(shape, dtype)
    a[:, 3] = a[:, 7] * 2  # one column depends on another
    a[:, 11] = 0
    m, n = shape
    k = min(m, n)
    for _ in each_vectors() if m * n < 20_000 else (64,):
        lu, pivots, order = map(np.asarray, solving.Lu()(a))
        lower = np.tril(lu[:, :k], -1) + np.eye(m, k, dtype=dtype)
        assert np.abs(lower).max() <= 1
        assert size_of_error(lower @ np.triu(lu[:k]), a[order]) < 4
        assert pivots.shape == (k,)
        for full in (False, True):
            q, r = map(np.asarray, orthogonal.Qr(full_matrices=full)(a))
            assert size_of_error(q @ r, a) < 4
            assert size_of_error(q.T @ q, np.eye(q.shape[1], dtype=dtype)) < 1
            assert not np.tril(r, -1).any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_reflectors_do_not_overflow(scale: float) -> None:
    a = random((40, 30), "float32") * np.float32(scale)
    q, r = map(np.asarray, orthogonal.Qr(full_matrices=False)(a))
    assert size_of_error(q @ r, a) < 4
    assert size_of_error(q.T @ q, np.eye(30, dtype="float32")) < 1


# Stacks of small matrices with a part of a group of lanes left over.
SMALL = ((1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (5, 2), (2, 5), (16, 3), (3, 16), (1, 4), (4, 1))


def of_many_kinds(shape: tuple[int, int], dtype: str) -> np.ndarray:
    """41 matrices: random ones, with columns that are zero or depend on others, and large and small numbers."""
    a = random((41, *shape), dtype)
    a[3] = 0
    a[5, :, 0] = 0
    a[7, :, -1] = a[7, :, 0] * 2
    a[9] = a[9, :1]
    a[11] = np.eye(*shape)
    a[13] = np.triu(a[13])
    exponent = 25 if np.finfo(dtype).eps > 1e-10 else 200
    a[15] *= 10.0**exponent
    a[17] *= 10.0**-exponent
    a[19, :, 0] *= 10.0**-exponent
    a[21, 0, 0] = -abs(a[21, 0, 0])
    return a


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_factors_in_lanes_are_those_of_lapack(
    each_vectors: Each, dtype: str, shape: tuple[int, int]
) -> None:
    a = of_many_kinds(shape, dtype)
    eps = np.finfo(dtype).eps * 8 * max(shape)
    for full in (False, True):
        wanted = np.linalg.qr(a[23:], mode="complete" if full else "reduced")
        for _ in each_vectors():
            q, r = map(np.asarray, orthogonal.Qr(full_matrices=full)(a))
            size = np.abs(a).max((1, 2), keepdims=True)
            assert (np.abs(q @ r - a) <= eps * size).all()
            np.testing.assert_allclose(
                adjoint(q) @ q,
                np.broadcast_to(np.eye(q.shape[-1]), (41, *q.shape[-1:] * 2)),
                atol=eps,
            )
            assert not np.tril(r, -1).any()
            np.testing.assert_allclose(np.diagonal(r, 0, 1, 2).imag, 0, atol=eps)
            for found, right in zip((q[23:], r[23:]), wanted, strict=True):
                np.testing.assert_allclose(found, right, rtol=0, atol=100 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_singular_values_in_lanes(each_vectors: Each, dtype: str, shape: tuple[int, int]) -> None:
    a = of_many_kinds(shape, dtype)
    wide = a.astype("complex128" if a.dtype.kind == "c" else "float64")
    wanted = np.linalg.svd(wide, compute_uv=False)
    for _ in each_vectors():
        (s,) = map(np.asarray, spectral.Svd(False, False)(a))
        assert (np.abs(s - wanted) <= 4 * max(shape) * np.finfo(dtype).eps * wanted[:, :1]).all()
        assert (np.diff(s) <= 0).all()
        assert (s >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 31, 32])
def test_eigenvalues_in_lanes(each_vectors: Each, dtype: str, n: int) -> None:
    a = of_many_kinds((n, n), dtype)
    a = a + adjoint(a)
    a[2] = np.diag(10.0 ** -np.arange(n)[::-1]) + 1e-6
    a[4] = np.kron(np.eye(n), [[1.0, 2.0], [2.0, 1.0]])[:n, :n]
    a[6] = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    a[8] = np.diag(np.arange(n) - 1.0)
    a[10] = 1
    wide = a.astype("complex128" if a.dtype.kind == "c" else "float64")
    wanted = np.linalg.eigvalsh(wide)
    size = np.abs(wanted).max(-1, keepdims=True)
    for _ in each_vectors():
        for lower in (True, False):
            dirty = np.tril(a) if lower else np.triu(a)
            (w,) = map(np.asarray, spectral.Eigh(lower, False)(dirty))
            assert (np.abs(w - wanted) <= 4 * (n + 2) * np.finfo(dtype).eps * size).all()
            assert (np.diff(w) >= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_lane(bad: float) -> None:
    a = random((40, 4, 4), "float32")
    clean = a.copy()
    a[17, 2, 1] = bad
    others = np.arange(40) != 17
    (w,) = map(np.asarray, spectral.Eigh(True, False)(a))
    assert np.isnan(w[17]).all()
    assert np.isfinite(w[others]).all()
    (s,) = map(np.asarray, spectral.Svd(False, False)(a))
    assert np.isnan(s[17]).all()
    np.testing.assert_array_equal(
        s[others], np.asarray(spectral.Svd(False, False)(clean)[0])[others]
    )
    for found, right in zip(orthogonal.Qr(False)(a), orthogonal.Qr(False)(clean), strict=True):
        assert not np.isfinite(np.asarray(found)[17]).all()
        np.testing.assert_array_equal(np.asarray(found)[others], np.asarray(right)[others])


def test_factors_in_blocks_agree_with_lapack() -> None:
    scipy = pytest.importorskip("scipy.linalg")
    a = random((200, 200), "float64")
    lu, pivots, _order = map(np.asarray, solving.Lu()(a))
    wanted, rows = scipy.lu_factor(a)
    np.testing.assert_array_equal(pivots, rows)
    np.testing.assert_allclose(lu, wanted, rtol=0, atol=1e-10)
    q, r = map(np.asarray, orthogonal.Qr(full_matrices=False)(a))
    right, upper = scipy.qr(a)
    np.testing.assert_allclose(q, right, rtol=0, atol=1e-11)
    np.testing.assert_allclose(r, upper, rtol=0, atol=1e-11)
