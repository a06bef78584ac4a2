"""Eigenvalues and singular values by halves: as exact as LAPACK's, whatever the matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from covector._engine.primitives import linalg_spectral as spectral

# Both sides of a leaf and of a panel, and halves of unequal sizes.
SIZES = (25, 33, 64, 131)


def special(n: int, dtype: str) -> Iterator[tuple[str, np.ndarray]]:
    """Symmetric matrices whose eigenvalues are equal, clustered, of all sizes, zero, or to be scaled."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, n))
    x = x + x.T
    q = np.linalg.qr(x)[0]
    clusters = np.repeat([1.0, 2.0, 3.0], n)[:n] * (1 + 1e-9 * np.arange(n))
    sizes = 10.0 ** -(np.arange(n) / (n / 6))
    signs = np.where(np.arange(n) < n // 2, 1.0, -1.0)
    tiny = np.finfo(dtype).tiny
    made = {
        "random": x,
        "large": x * 1e30,
        "small": x * 1e-30,
        "denormal": x * tiny / 8,
        "zero": np.zeros((n, n)),
        "ones": np.ones((n, n)),
        "diagonal": np.diag(x[0]),
        "clusters": (q * clusters) @ q.T,
        "two": (q * signs) @ q.T,
        "graded": x * np.outer(sizes, sizes),
        "graded upwards": (x * np.outer(sizes, sizes))[::-1, ::-1],
        "second differences": 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1),
        "blocks": np.kron(np.eye(n), np.ones((8, 8)))[:n, :n],
    }
    for name, a in made.items():
        a = a.astype(dtype)
        yield name, np.tril(a) + np.tril(a, -1).T


def errors(a: np.ndarray, u: np.ndarray, values: np.ndarray, vt: np.ndarray) -> tuple[float, float]:
    """How far factors are from a matrix, and from orthogonal ones, in rounding errors of its size."""
    eps = float(np.finfo(a.dtype).eps) * np.sqrt(len(a))
    size = float(np.abs(a).max()) or 1.0
    u, vt = u.astype("float64"), vt.astype("float64")
    scaled = a.astype("float64") / size
    found = u * (values.astype("float64") / size) @ vt
    away = np.abs(found - scaled).max() / max(float(np.linalg.norm(scaled)), 1.0)
    turned = max(
        np.abs(u.T @ u - np.eye(u.shape[1])).max(), np.abs(vt @ vt.T - np.eye(len(vt))).max()
    )
    return float(away / eps), float(turned / eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_eigenvalues_of_special_matrices(n: int, dtype: str) -> None:
    for name, a in special(n, dtype):
        v, w = map(np.asarray, spectral.Eigh()(a))
        assert (np.diff(w) >= 0).all()
        away, turned = errors(a, v, w, v.T)
        # Denormal numbers have few digits, which are the last ones that a result has.
        assert away < 4 or name == "denormal", name
        assert turned < 8, name
        alone = np.asarray(spectral.Eigh(True, False)(a)[0])
        size = max(np.abs(w).max(), np.finfo(dtype).tiny)
        assert np.abs(alone - w).max() <= 40 * np.finfo(dtype).eps * size, name
        if n == 33:
            upper = np.asarray(spectral.Eigh(False, False)(np.triu(a))[0])
            np.testing.assert_array_equal(upper, alone)


def test_eigenvalues_of_a_matrix_that_is_split_over_threads() -> None:
    x = np.random.default_rng(0).normal(size=(700, 700)).astype("float32")
    a = x + x.T
    v, w = map(np.asarray, spectral.Eigh()(a))
    away, turned = errors(a, v, w, v.T)
    assert away < 4
    assert turned < 8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_singular_values_of_special_matrices(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, n))
    dependent = x * (np.arange(n) % 5 != 3)
    dependent[:, 1] = dependent[:, 0]
    decay = 0.95 ** np.arange(n)
    more = {
        "general": x,
        "dependent": dependent,
        "ones above the diagonal": np.eye(n, k=1),
        "bidiagonal": np.diag(x[0]) + np.diag(x[1, 1:], 1),
        "triangle": decay[:, None] * (np.eye(n) - 0.3 * np.triu(np.ones((n, n)), 1)),
        "high": rng.normal(size=(n + 7, n)),
        "tall": rng.normal(size=(2 * n, n)),
        "wide": rng.normal(size=(n, 3 * n)),
    }
    for name, a in [*special(n, dtype), *((k, a.astype(dtype)) for k, a in more.items())]:
        full = name in ("high", "tall", "wide", "dependent")
        s, u, vt = map(np.asarray, spectral.Svd(full)(a))
        k = min(a.shape)
        assert (np.diff(s) <= 0).all()
        assert s[-1] >= 0
        away, turned = errors(a, u[:, :k], s, vt[:k])
        assert away < 4 or name == "denormal", name
        assert turned < 8, name
        for q in (u, vt) if full else ():
            assert np.abs(q.T @ q - np.eye(len(q))).max() < 60 * np.finfo(dtype).eps, name
        alone = np.asarray(spectral.Svd(False, False)(a)[0])
        assert np.abs(alone - s).max() <= 40 * np.finfo(dtype).eps * max(s[0], np.finfo(dtype).tiny)
