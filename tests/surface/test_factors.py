"""Factors of matrices and functions of them: by what they multiply to, and against NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl
from tests.surface.linalg_operands import (
    DTYPES,
    adjoint,
    close,
    definite,
    general,
    hermitian,
    random,
)

import covector as cv
import covector.numpy as cnp
from covector import lax, scipy
from covector._engine.types import dtypes

la, sla = cnp.linalg, scipy.linalg
TALL, WIDE, SQUARE, STACK, NONE = (5, 3), (3, 5), (4, 4), (2, 1, 3, 3), (0, 3, 2)


def values(out: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in (out if isinstance(out, tuple | list) else (out,))]


def unitary(q: np.ndarray, dtype: str) -> None:
    """With orthonormal columns."""
    eye = np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], *(q.shape[-1],) * 2))
    close(adjoint(q) @ q, eye.astype(q.dtype), dtype)


def is_qr(a: Any, out: Any, dtype: str) -> None:
    q, r, *order = values(out)
    unitary(q, dtype)
    close(q @ r, np.take_along_axis(a, order[0][..., None, :], -1) if order else a, dtype)
    np.testing.assert_array_equal(r, np.triu(r))


def is_svd(a: Any, out: Any, dtype: str) -> None:
    u, s, vh = values(out)
    unitary(u, dtype)
    unitary(adjoint(vh), dtype)
    k = s.shape[-1]
    close(u[..., :k] * s[..., None, :].astype(u.dtype) @ vh[..., :k, :], a, dtype)
    close(s, np.linalg.svd(a, compute_uv=False), dtype)


def is_eigh(a: Any, out: Any, dtype: str) -> None:
    w, v = values(out)
    unitary(v, dtype)
    close(a @ v, v * w[..., None, :].astype(v.dtype), dtype)
    close(w, np.linalg.eigvalsh(a), dtype)


def is_eig(a: Any, out: Any, dtype: str) -> None:
    w, *vectors = values(out)
    wide = a.astype(w.dtype)
    if len(vectors) == 2:
        close(adjoint(vectors[0]) @ wide, w[..., :, None] * adjoint(vectors[0]), dtype)
    close(wide @ vectors[-1], vectors[-1] * w[..., None, :], dtype)
    close(np.linalg.norm(vectors[-1], axis=-2), np.ones(w.shape, w.real.dtype), dtype)


def is_schur(a: Any, out: Any, dtype: str) -> None:
    t, z = values(out)
    unitary(z, dtype)
    close(z @ t @ adjoint(z), a.astype(t.dtype), dtype)
    below = 0 if t.dtype.kind == "c" else -1
    np.testing.assert_array_equal(t, np.triu(t, below))


def is_polar(a: Any, out: Any, dtype: str) -> None:
    u, p = values(out)
    right = u.shape[-1] == p.shape[-1]
    close(u @ p if right else p @ u, a, dtype)
    close(p, adjoint(p), dtype)
    assert (np.linalg.eigvalsh(p) > -1e-4).all()


def is_hessenberg(a: Any, out: Any, dtype: str) -> None:
    h, q = values(out)
    unitary(q, dtype)
    close(q @ h @ adjoint(q), a, dtype)
    np.testing.assert_array_equal(h, np.triu(h, -1))


Test = tuple[Callable[..., Any], Callable[..., None], Callable[..., Any], tuple[Any, ...]]
# Ours, what makes it right, which matrices.
FACTORS: dict[str, Test] = {
    "qr": (la.qr, is_qr, random, (TALL, WIDE, STACK, NONE)),
    "qr, complete": (lambda a: la.qr(a, "complete"), is_qr, random, (TALL, WIDE)),
    "lax.qr": (lax.linalg.qr, is_qr, random, (TALL, SQUARE)),
    "lax.qr, pivoting": (
        lambda a: lax.linalg.qr(a, pivoting=True, full_matrices=False),
        is_qr,
        random,
        (TALL, WIDE, STACK),
    ),
    "scipy.qr": (lambda a: sla.qr(a, mode="economic", pivoting=True), is_qr, random, (TALL,)),
    "svd": (la.svd, is_svd, random, (TALL, WIDE, STACK)),
    "svd, thin": (lambda a: la.svd(a, full_matrices=False), is_svd, random, (TALL, WIDE, NONE)),
    "svd, hermitian": (lambda a: la.svd(a, hermitian=True), is_svd, hermitian, (SQUARE, STACK)),
    "lax.svd": (lax.linalg.svd, is_svd, random, (TALL,)),
    "scipy.svd": (sla.svd, is_svd, random, (WIDE,)),
    "eigh": (la.eigh, is_eigh, hermitian, (SQUARE, STACK, (20, 20))),
    "eigh, upper": (
        lambda a: la.eigh(cnp.triu(a), "U", symmetrize_input=False),
        is_eigh,
        hermitian,
        (SQUARE,),
    ),
    "lax.eigh": (lambda a: lax.linalg.eigh(a)[::-1], is_eigh, hermitian, (SQUARE,)),
    "scipy.eigh": (sla.eigh, is_eigh, hermitian, (SQUARE,)),
    "eig": (la.eig, is_eig, random, (SQUARE, STACK)),
    "lax.eig": (lax.linalg.eig, is_eig, random, (SQUARE,)),
    "lax.schur": (lax.linalg.schur, is_schur, random, (SQUARE, STACK)),
    "scipy.schur": (lambda a: sla.schur(a, "complex"), is_schur, random, (SQUARE,)),
    "rsf2csf": (lambda a: sla.rsf2csf(*sla.schur(a)), is_schur, random, (SQUARE, (5, 5))),
    "polar": (sla.polar, is_polar, random, (TALL, SQUARE)),
    "polar, left": (lambda a: sla.polar(a, side="left"), is_polar, random, (WIDE,)),
    "qdwh": (lambda a: lax.linalg.qdwh(a)[:2], is_polar, random, (TALL,)),
    "hessenberg": (
        lambda a: sla.hessenberg(a, calc_q=True),
        is_hessenberg,
        random,
        (SQUARE, (1, 1)),
    ),
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors(name: str) -> None:
    ours, check, make, shapes = FACTORS[name]
    for dtype in DTYPES:
        for shape in shapes if dtype in ("float32", "complex128") else shapes[:1]:
            a = make(shape, dtype)
            check(a, ours(a), dtype)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], Any]] = {
    "svdvals": (la.svdvals, lambda a: np.linalg.svd(a, compute_uv=False), random, TALL),
    "eigvalsh": (la.eigvalsh, np.linalg.eigvalsh, hermitian, STACK),
    "cond": (la.cond, np.linalg.cond, general, SQUARE),
    "cond, 1": (lambda a: la.cond(a, 1), lambda a: np.linalg.cond(a, 1), general, STACK),
    "cond, -2": (lambda a: la.cond(a, -2), lambda a: np.linalg.cond(a, -2), random, WIDE),
    "cond, fro": (lambda a: la.cond(a, "fro"), lambda a: np.linalg.cond(a, "fro"), general, SQUARE),
    "norm, 2": (lambda a: la.norm(a, 2), lambda a: np.linalg.norm(a, 2), random, TALL),
    "norm, -2": (
        lambda a: la.norm(a, -2, (0, 2), keepdims=True),
        lambda a: np.linalg.norm(a, -2, (0, 2), keepdims=True),
        random,
        (3, 2, 4),
    ),
    "norm, nuc": (lambda a: la.norm(a, "nuc"), lambda a: np.linalg.norm(a, "nuc"), random, TALL),
    "matrix_norm": (
        lambda a: la.matrix_norm(a, ord="nuc"),
        lambda a: np.linalg.norm(a, "nuc", (-2, -1)),
        random,
        STACK,
    ),
    "pinv": (la.pinv, np.linalg.pinv, random, TALL),
    "pinv, stack": (la.pinv, np.linalg.pinv, random, (2, 2, 3)),
    "pinv, hermitian": (lambda a: la.pinv(a, hermitian=True), np.linalg.pinv, hermitian, SQUARE),
    "pinv, rtol": (
        lambda a: la.pinv(a, rtol=0.9),
        lambda a: np.linalg.pinv(a, rcond=0.9),
        random,
        SQUARE,
    ),
    "r": (lambda a: la.qr(a, "r"), lambda a: np.linalg.qr(a, "r"), random, TALL),
    "raw": (lambda a: tuple(la.qr(a, "raw")), lambda a: np.linalg.qr(a, "raw"), random, TALL),
    "scipy.eigh, values": (
        lambda a: sla.eigh(a, eigvals_only=True),
        np.linalg.eigvalsh,
        hermitian,
        SQUARE,
    ),
    "expm": (sla.expm, sl.expm, random, SQUARE),
    "expm, large": (lambda a: sla.expm(a * 8), lambda a: sl.expm(a * 8), random, (2, 3, 3)),
    "expm, triangular": (
        lambda a: sla.expm(cnp.triu(a), upper_triangular=True),
        lambda a: sl.expm(np.triu(a)),
        random,
        SQUARE,
    ),
    "expm_frechet": (
        lambda a: sla.expm_frechet(a, a.T),
        lambda a: tuple([x.astype(a.dtype) for x in sl.expm_frechet(a, a.T)]),
        random,
        SQUARE,
    ),
    "sqrtm": (
        lambda a: (r := sla.sqrtm(a)) @ r,
        lambda a: a.astype(dtypes.complex_of(a.dtype)),
        general,
        SQUARE,
    ),
    "funm": (
        lambda a: sla.funm(a, cnp.exp),
        lambda a: sl.expm(a).astype(dtypes.complex_of(a.dtype)),
        random,
        SQUARE,
    ),
    "solve_sylvester": (
        lambda a: sla.solve_sylvester(a, a[:3, :3], a[:, :3]),
        lambda a: sl.solve_sylvester(a, a[:3, :3], a[:, :3]),
        general,
        SQUARE,
    ),
    "qr_multiply": (
        lambda a: sla.qr_multiply(a, a.T),
        lambda a: (a.T @ np.linalg.qr(a)[0], np.linalg.qr(a)[1]),
        random,
        TALL,
    ),
    "qr_multiply, left": (
        lambda a: sla.qr_multiply(a, a[0], mode="left", conjugate=True)[0],
        lambda a: np.linalg.qr(a)[0].conj() @ a[0],
        random,
        TALL,
    ),
    "symmetric_product": (
        lambda a: lax.linalg.symmetric_product(a, a, alpha=2.0, beta=3.0, symmetrize_output=True),
        lambda a: np.tril(s := 2 * a @ a.T + 3 * a) + np.tril(s, -1).T,
        random,
        SQUARE,
    ),
    "cholesky_update": (
        lambda a: lax.linalg.cholesky_update(np.linalg.cholesky(a).conj().T, a[0]),
        lambda a: np.linalg.cholesky(a + np.outer(a[0], a[0].conj())).conj().T,
        definite,
        SQUARE,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    ours, wanted, make, shape = FUNCTIONS[name]
    for dtype in DTYPES:
        a = make(shape, dtype)
        close(ours(a), wanted(a), dtype)


def test_generalized_eigenvalues() -> None:
    for dtype in DTYPES:
        a, b = hermitian((4, 4), dtype), definite((4, 4), dtype, 1)
        for kind in (1, 2, 3):
            w, v = map(np.asarray, sla.eigh(a, b, type=kind))
            wide = w.astype(v.dtype)
            left, right = {1: (a @ v, b @ v), 2: (a @ b @ v, v), 3: (b @ a @ v, v)}[kind]
            close(left, right * wide, dtype)
            close(sla.eigh(a, b, type=kind, eigvals_only=True), w, dtype)


def test_tridiagonal_matrices() -> None:
    d, e = random((5,)), random((4,))
    w, v = map(np.asarray, sla.eigh_tridiagonal(d, e))
    full = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    close(full @ v, v * w, "float64")
    some = sla.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 2))
    close(some, w[1:3], "float64")
    below, above, b = random((5,), seed=1), random((5,), seed=2), random((5, 2))
    full = np.diag(d) + np.diag(below[1:], -1) + np.diag(above[:-1], 1)
    close(lax.linalg.tridiagonal_solve(below, d, above, b), np.linalg.solve(full, b), "float64")


def test_reflectors_multiply_to_q() -> None:
    for dtype in DTYPES:
        a = random((5, 3), dtype)
        packed, taus = (x.T if x.ndim > 1 else x for x in map(np.asarray, la.qr(a, "raw")))
        q = np.asarray(lax.linalg.householder_product(packed, taus))
        close(q @ np.triu(packed[:3]), a, dtype)
        c = random((5, 2), dtype)
        whole = np.asarray(lax.linalg.qr(a)[0])
        close(lax.linalg.ormqr(packed, taus, c), whole @ c, dtype)
        close(lax.linalg.ormqr(packed, taus, c, transpose=True), adjoint(whole) @ c, dtype)
        close(lax.linalg.ormqr(packed, taus, c.T, left=False), c.T @ whole, dtype)


def test_least_squares() -> None:
    for shape, columns in (((6, 3), ()), ((3, 6), (2,)), ((6, 3), (2,))):
        a, b = random(shape), random((shape[0], *columns), seed=1)
        x, residuals, rank, s = la.lstsq(a, b, numpy_resid=True)
        wanted = np.linalg.lstsq(a, b)
        close(x, wanted[0], "float64")
        close(residuals, wanted[1], "float64")
        close(s, wanted[3], "float64")
        assert rank == wanted[2]
    flat = np.ones((4, 2))
    x, residuals, rank, _ = la.lstsq(flat, np.arange(4.0))
    close(x, np.linalg.lstsq(flat, np.arange(4.0))[0], "float64")
    assert rank == 1
    assert residuals.shape == (1,)


@pytest.mark.parametrize("order", [None, 1, np.inf, "fro", -2])
def test_conditions_of_singular_matrices(order: Any) -> None:
    """Without bounds, as in NumPy, but what is NaN stays so."""
    flat = np.stack([np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(3)])
    wanted = [np.inf, np.nan, np.linalg.cond(np.eye(3), order)]
    np.testing.assert_allclose(np.asarray(la.cond(flat, order)), wanted)


def test_ranks() -> None:
    stack = np.stack([np.eye(3), np.ones((3, 3)), np.zeros((3, 3)), np.diag([1, 1e-9, 0])])
    for kwargs in ({}, {"rtol": 0.1}, {"tol": 1.5}, {"hermitian": True}):
        wanted = np.linalg.matrix_rank(stack, **kwargs)
        np.testing.assert_array_equal(la.matrix_rank(stack, **kwargs), wanted)
    tol = np.array([0.5, 5.0, 0.5, 0.5])
    np.testing.assert_array_equal(la.matrix_rank(stack, tol=tol), [3, 0, 0, 1])
    assert la.matrix_rank(np.zeros(3)) == 0
    assert la.matrix_rank(np.ones(3)) == 1


def test_subsets() -> None:
    a, h = random((5, 4)), hermitian((4, 4))
    u, s, vh = la.svd(a, full_matrices=False, subset_by_index=(1, 3))
    assert (u.shape, s.shape, vh.shape) == ((5, 2), (2,), (2, 4))
    close(s, np.linalg.svd(a, compute_uv=False)[1:3], "float64")
    v, w = lax.linalg.eigh(h, subset_by_index=(0, 2))
    close(w, np.linalg.eigvalsh(h)[:2], "float64")
    assert v.shape == (4, 2)


def test_nan_gives_nan() -> None:
    bad = np.full((3, 3), np.nan)
    for f in (
        la.svd,
        la.eigh,
        la.eig,
        la.svdvals,
        la.eigvals,
        la.pinv,
        la.cond,
        sla.schur,
        sla.expm,
    ):
        for x in values(f(bad)):
            assert np.isnan(x).all()
    assert np.asarray(la.cond(np.zeros((2, 2)))) == np.inf
    assert np.isnan(sla.expm(np.eye(2) * 1e7)).all()


def test_degenerate_values_have_no_finite_slope() -> None:
    """As JAX says it: vectors that belong to one value turn without bounds."""
    eye, t = np.eye(2), np.ones((2, 2))
    nan, inf = np.nan, np.inf
    without = np.array([[nan, inf], [inf, nan]])
    _, (slopes, vectors) = cv.jvp(la.eigh, (eye,), (t,))
    close(slopes, np.ones(2), "float64")
    close(vectors, without, "float64")
    _, (u, s, _) = cv.jvp(lambda a: la.svd(a, full_matrices=False), (eye,), (t,))
    close(u, without, "float64")
    close(s, np.ones(2), "float64")


def test_slopes_of_what_is_made_of_factors() -> None:
    a, t, h = random((4, 3)), random((4, 3), seed=1), 1e-6
    square = general((3, 3))
    cases: list[tuple[Callable[[Any], Any], Any, Any]] = [
        (la.pinv, a, t),
        (la.cond, a, t),
        (lambda a: la.norm(a, "nuc"), a, t),
        (lambda a: la.lstsq(a, np.ones(4))[0], a, t),
        (sla.expm, square, t[:3]),
        (lambda a: cnp.real(sla.polar(a)[0]), square, t[:3]),
        (lambda a: cnp.sum(cnp.abs(la.eigvals(a))), square, t[:3]),
    ]
    for f, x, d in cases:
        wanted = (np.asarray(f(x + h * d)) - np.asarray(f(x - h * d))) / (2 * h)
        out, slope = cv.jvp(f, (x,), (d,))
        np.testing.assert_allclose(slope, wanted, rtol=1e-6, atol=1e-6)
        back = cv.vjp(f, x)[1](np.ones(out.shape))[0]
        np.testing.assert_allclose(
            np.sum(np.asarray(back) * d), np.sum(wanted), rtol=1e-5, atol=1e-6
        )


NAMED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "hilbert": ((4,), {}),
    "invhilbert": ((4,), {}),
    "pascal": ((4,), {}),
    "invpascal": ((4,), {}),
    "hadamard": ((4,), {}),
    "helmert": ((4,), {"full": True}),
    "dft": ((4,), {"scale": "sqrtn"}),
    "fiedler": ((np.array([1.0, 4.0, -2.0]),), {}),
    "leslie": ((np.array([1.0, 2, 3]), np.array([0.5, 0.25])), {}),
    "companion": ((np.array([2.0, 4.0, 1.0, 3.0]),), {}),
    "circulant": ((np.array([1, 2, 3]),), {}),
    "fiedler_companion": ((np.array([2.0, 4.0, 1.0, 3.0, 5.0]),), {}),
    "hankel": ((np.arange(3), np.arange(2, 6)), {}),
    "toeplitz": ((np.array([1, 2j, 3]),), {}),
    "block_diag": ((np.ones((2, 1)), np.arange(3.0), 4.0), {}),
    "convolution_matrix": ((np.array([1.0, 2, 3]), 4), {"mode": "same"}),
}


@pytest.mark.parametrize("name", NAMED)
def test_matrices_with_a_name(name: str) -> None:
    args, kwargs = NAMED[name]
    found = np.asarray(getattr(sla, name)(*args, **kwargs))
    wanted = getattr(sl, name)(*args, **kwargs)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    floats = found.dtype.kind in "fc" and not any(isinstance(a, np.ndarray) for a in args)
    assert not floats or found.dtype in (np.float32, np.complex64)


def test_more_of_matrices_with_a_name() -> None:
    for n in (0, 1, 2, 5):
        for kind in ("symmetric", "lower", "upper"):
            close(sla.pascal(n, kind), sl.pascal(n, kind).astype("float32"), "float32")
            close(sla.invpascal(n, kind), sl.invpascal(n, kind).astype("float32"), "float32")
    for mode in ("full", "valid"):
        found = np.asarray(sla.convolution_matrix(np.array([1.0, 2, 3]), 5, mode))
        close(found, sl.convolution_matrix(np.array([1.0, 2, 3]), 5, mode), "float64")
    assert sla.toeplitz(np.ones((2, 3))).shape == (2, 3, 3)
    assert sla.block_diag().shape == (1, 0)
    assert sla.hilbert(0).shape == (0, 0)


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "mode": (lambda: la.qr(np.eye(2), "foo"), ValueError, "linalg.qr: mode .* 'foo'"),
    "UPLO": (lambda: la.eigh(np.eye(2), "X"), ValueError, "linalg.eigh: UPLO .* 'X'"),
    "square": (lambda: la.eig(np.ones((2, 3))), ValueError, r"linalg.eig .*\(2, 3\)"),
    "axes": (lambda: la.svd(np.ones(3)), ValueError, r"linalg.svd .*\(3,\)"),
    "subset": (
        lambda: la.svd(np.eye(2), subset_by_index=(0, 1)),
        ValueError,
        "full_matrices and subset_by_index",
    ),
    "range": (
        lambda: la.svd(np.eye(2), full_matrices=False, subset_by_index=(0, 5)),
        ValueError,
        r"\(0, 5\)",
    ),
    "lstsq": (lambda: la.lstsq(np.eye(2), np.ones(3)), ValueError, r"linalg.lstsq .*\(3,\)"),
    "rcond": (lambda: la.pinv(np.eye(2), 0.1, rcond=0.1), ValueError, "rtol and rcond"),
    "norm": (lambda: la.norm(np.eye(2), 3), ValueError, "3 is not an order"),
    "eigenvectors": (
        lambda: cv.jvp(la.eig, (np.eye(2),), (np.eye(2),)),
        NotImplementedError,
        "eigvals",
    ),
    "full": (
        lambda: cv.jvp(la.svd, (np.ones((2, 3)),), (np.ones((2, 3)),)),
        NotImplementedError,
        "full_matrices=False",
    ),
    "side": (lambda: sla.polar(np.eye(2), "up"), ValueError, "side must be .* 'up'"),
    "hadamard": (lambda: sla.hadamard(3), ValueError, "power of 2, got 3"),
    "leslie": (lambda: sla.leslie(np.ones(2), np.ones(2)), ValueError, "leslie got shapes"),
    "dft": (lambda: sla.dft(2, "foo"), ValueError, "dft: scale .* 'foo'"),
    "sylvester": (
        lambda: sla.solve_sylvester(np.eye(2), np.eye(3), np.eye(2)),
        ValueError,
        r"solve_sylvester got shapes .*\(3, 3\)",
    ),
    "sqrtm": (lambda: sla.sqrtm(np.ones((2, 3, 3))), ValueError, r"sqrtm takes one .*\(2, 3, 3\)"),
    "type": (lambda: sla.eigh(np.eye(2), np.eye(2), type=4), ValueError, "type must be"),
    "algorithm": (
        lambda: lax.linalg.svd(np.eye(2), algorithm="QR"),
        TypeError,
        "'QR' is no SvdAlg",
    ),
    "reflectors": (
        lambda: lax.linalg.householder_product(np.ones((2, 3)), np.ones(2)),
        ValueError,
        "householder_product of",
    ),
    "diagonals": (
        lambda: lax.linalg.tridiagonal_solve(np.ones(3), np.ones(3), np.ones(3), np.ones((2, 1))),
        ValueError,
        "tridiagonal_solve of",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    call, kind, text = WRONG[name]
    with pytest.raises(kind, match=text):
        call()
