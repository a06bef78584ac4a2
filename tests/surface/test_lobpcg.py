"""The largest eigenvalues of matrices that are given by what they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector.experimental.sparse import BCOO, linalg


def hermitian(n: int, dtype: str, sign: int) -> np.ndarray:
    """A matrix with values on both sides of zero, or on one."""
    r = np.random.default_rng(n)
    a = r.normal(size=(n, n)).astype(dtype)
    if "complex" in dtype:
        a = a + 1j * r.normal(size=(n, n)).astype("float32")
    return sign * (a @ a.conj().T) if sign else (a + a.conj().T) / 2


@pytest.mark.parametrize("given", ["matrix", "function", "compiled"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize(("n", "k", "sign"), [(12, 2, 1), (60, 3, 0), (40, 7, 1), (6, 1, -1)])
def test_the_largest_values(n: int, k: int, sign: int, dtype: str, given: str) -> None:
    a = hermitian(n, dtype, sign)
    start = np.random.default_rng(1).normal(size=(n, k)).astype(dtype)
    operand: Any = (lambda x: cnp.asarray(a) @ x) if given == "function" else cnp.asarray(a)
    find = cv.jit(linalg.lobpcg_standard) if given == "compiled" else linalg.lobpcg_standard
    values, vectors, steps = map(np.asarray, find(operand, cnp.asarray(start)))
    eps = float(np.finfo(dtype).eps)
    tolerance = 200 * eps * float(np.linalg.norm(a, 2))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a)[::-1][:k], atol=tolerance)
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=50 * tolerance)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(k), atol=100 * eps)
    assert 0 < steps <= 100


def test_it_stops() -> None:
    a, start = cnp.asarray(hermitian(60, "float32", 1)), cnp.eye(60, 3)
    counts = [
        int(linalg.lobpcg_standard(a, start, m, tol)[2])
        for m, tol in ((0, None), (5, 0.0), (100, 1e-3))
    ]
    assert counts[:2] == [0, 5]
    assert counts[2] < int(linalg.lobpcg_standard(a, start)[2])
    _, vectors, steps = linalg.lobpcg_standard(cnp.eye(60), start)
    assert steps == 0
    np.testing.assert_allclose(cnp.abs(vectors.T @ start).sum(), 3, rtol=1e-5)


def test_of_a_sparse_matrix() -> None:
    a = hermitian(30, "float32", 0) * (np.random.default_rng(0).random((30, 30)) < 0.1)
    a = a + a.T
    values, _, _ = linalg.lobpcg_standard(BCOO.fromdense(cnp.asarray(a)), cnp.eye(30, 2))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a)[::-1][:2], rtol=1e-4)


def test_what_does_not_fit() -> None:
    a = cnp.eye(20)
    for operand, start, told in (
        (a, cnp.ones((20, 4)), "0 < 5 k < n"),
        (a, cnp.ones((20, 0)), "0 < 5 k < n"),
        (a, cnp.ones(20), "two axes"),
        (a, cnp.ones((20, 2), int), "of floats"),
        (a, cnp.ones((21, 2)), r"A of shape \(21, 21\)"),
        (a, cnp.ones((20, 2), "float64"), "dtype float64"),
    ):
        with pytest.raises(ValueError, match=told):
            linalg.lobpcg_standard(operand, start)
