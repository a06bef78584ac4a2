"""Linear algebra against NumPy and SciPy: values, stacks, empty and singular matrices, derivatives, wrong arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl
from tests.surface.linalg_operands import DTYPES, adjoint, close, definite, general, random

import covector as cv
import covector.numpy as cnp
from covector import lax, scipy
from covector._engine.types import dtypes

la, sla = cnp.linalg, scipy.linalg
SHAPES = ((3, 3), (2, 1, 4, 4), (20, 20), (0, 2, 2), (1, 1))


def each(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of SciPy's that takes one matrix, on stacks; of none it has the types of one."""

    def run(*xs: Any) -> Any:
        front = xs[0].shape[:-2]
        if 0 in front:
            return _none(run(*[np.ones((1, *x.shape[1:]), x.dtype) for x in xs]))
        found = [f(*[x[at] for x in xs]) for at in np.ndindex(front)]
        parts = [tuple(x) if isinstance(x, tuple) else (x,) for x in found]
        out = tuple([np.reshape(p, (*front, *p[0].shape)) for p in zip(*parts, strict=True)])
        return out if found and isinstance(found[0], tuple) else out[0]

    return run


def _none(found: Any) -> Any:
    return tuple([x[:0] for x in found]) if isinstance(found, tuple) else found[:0]


def _scipy_lu(a: Any) -> tuple[Any, ...]:
    """Its permutation is of complex numbers only if it is of one row."""
    p, lower, upper = sl.lu(a)
    return p.real, lower, upper


# Of one square matrix: ours, what it is to be, which matrices.
OF_ONE: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "cholesky": (la.cholesky, np.linalg.cholesky, definite),
    "cholesky upper": (
        lambda a: la.cholesky(a, upper=True),
        lambda a: adjoint(np.linalg.cholesky(a)),
        definite,
    ),
    "cholesky of a triangle": (
        lambda a: la.cholesky(cnp.tril(a), symmetrize_input=False),
        np.linalg.cholesky,
        definite,
    ),
    "lax.cholesky": (lax.linalg.cholesky, np.linalg.cholesky, definite),
    "det": (la.det, np.linalg.det, general),
    "slogdet": (la.slogdet, lambda a: tuple(np.linalg.slogdet(a)), general),
    "inv": (la.inv, np.linalg.inv, general),
    "matrix_power": (
        lambda a: la.matrix_power(a, -2),
        lambda a: np.linalg.matrix_power(a, -2),
        general,
    ),
    "scipy.lu": (sla.lu, each(_scipy_lu), general),
    "scipy.lu, permuted": (
        lambda a: sla.lu(a, permute_l=True),
        each(lambda a: sl.lu(a, permute_l=True)),
        general,
    ),
    "scipy.cho_factor": (
        lambda a: sla.cho_factor(a)[0],
        lambda a: adjoint(np.linalg.cholesky(a)),
        definite,
    ),
}


@pytest.mark.parametrize("name", OF_ONE)
def test_of_one_matrix(name: str) -> None:
    ours, wanted, make = OF_ONE[name]
    for dtype in DTYPES:
        for shape in SHAPES if dtype in ("float32", "complex128") else SHAPES[:1]:
            a = make(shape, dtype)
            close(ours(a), wanted(a), dtype)
    a = make((3, 3))
    close(cv.jit(ours)(a), wanted(a), "float64")
    stack = make((2, 3, 3))
    close(cv.vmap(ours)(stack), wanted(stack), "float64")


def _by_factors(a: Any, b: Any, trans: int) -> Any:
    return sla.lu_solve(sla.lu_factor(a), b, trans)


# Of a system: ours, what the result times which matrix must give b.
SYSTEMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "solve": (la.solve, lambda a: a, general),
    "scipy.solve": (sla.solve, lambda a: a, general),
    "scipy.solve, positive": (lambda a, b: sla.solve(a, b, assume_a="pos"), lambda a: a, definite),
    "scipy.solve, lower": (
        lambda a, b: sla.solve(cnp.tril(a), b, lower=True, assume_a="pos"),
        lambda a: a,
        definite,
    ),
    "cho_solve": (lambda a, b: sla.cho_solve(sla.cho_factor(a), b), lambda a: a, definite),
    "cho_solve, lower": (
        lambda a, b: sla.cho_solve(sla.cho_factor(a, True), b),
        lambda a: a,
        definite,
    ),
    "lu_solve": (lambda a, b: _by_factors(a, b, 0), lambda a: a, general),
    "lu_solve, transposed": (
        lambda a, b: _by_factors(a, b, 1),
        lambda a: np.swapaxes(a, -1, -2),
        general,
    ),
    "lu_solve, adjoint": (lambda a, b: _by_factors(a, b, 2), adjoint, general),
    "solve_triangular": (sla.solve_triangular, np.triu, general),
    "solve_triangular, adjoint": (
        lambda a, b: sla.solve_triangular(a, b, trans="C", lower=True),
        lambda a: adjoint(np.tril(a)),
        general,
    ),
    "solve_triangular, unit": (
        lambda a, b: sla.solve_triangular(a / 4, b, trans=1, unit_diagonal=True),
        lambda a: np.swapaxes(np.triu(a / 4, 1), -1, -2) + np.eye(a.shape[-1], dtype=a.dtype),
        general,
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_of_a_system(name: str) -> None:
    ours, applied, make = SYSTEMS[name]
    for dtype in DTYPES:
        for shape in ((3, 3), (2, 4, 4), (18, 18)):
            a = make(shape, dtype)
            b = random((*shape[:-1], 2), dtype, 1)
            x = np.asarray(ours(a, b))
            close(applied(a) @ x, (b + 0 * x).astype(dtype), dtype)
    a, b = make((3, 3)), random((3,), seed=1)
    close(applied(a) @ np.asarray(ours(a, b)), b, "float64")
    # The derivative of the equation: a x' = b' - a' x, and its transpose.
    ways = cv.jvp(
        lambda a, b: ours(a, b), (a, b), (s := definite((3, 3), seed=2), t := random((3,), seed=3))
    )
    close(
        applied(a) @ np.asarray(ways[1]), t - _moved(applied, a, s) @ np.asarray(ways[0]), "float64"
    )
    w = random((3,), seed=4)
    backs = cv.grad(lambda a, b: cnp.sum(ours(a, b) * w), (0, 1))(a, b)
    total = np.sum(np.asarray(backs[0]) * s) + np.sum(np.asarray(backs[1]) * t)
    close(total, np.sum(np.asarray(ways[1]) * w), "float64")


def _moved(applied: Callable[..., Any], a: Any, s: Any) -> Any:
    """How the matrix of a system moves with a: it is linear up to a constant."""
    return applied(a + s) - applied(a)


def test_axes_in_front_broadcast() -> None:
    a, b = general((2, 1, 3, 3)), random((4, 3, 2))
    close(la.solve(a, b), np.linalg.solve(a, b), "float64")
    close(la.solve(a, b[0, :, 0]), np.linalg.solve(a, b[0, :, :1])[..., 0], "float64")
    mapped = cv.vmap(la.solve, (None, 0))(a[0, 0], b)
    close(mapped, np.linalg.solve(a[0, 0], b), "float64")


def test_tensor_systems() -> None:
    a, b = random((2, 3, 6)), random((2, 3))
    close(la.tensorsolve(a, b), np.linalg.tensorsolve(a, b), "float64")
    moved = np.moveaxis(a, 2, 0)
    wanted = np.linalg.tensorsolve(moved, b, axes=(0,))
    close(la.tensorsolve(moved, b, axes=(0,)), wanted, "float64")
    close(la.tensorinv(a), np.linalg.tensorinv(a), "float64")


def test_what_cannot_be_factored_is_nan() -> None:
    nan = np.nan
    close(la.cholesky(-np.eye(2)), np.array([[nan, 0], [nan, nan]]), "float64")
    close(la.cholesky(-np.eye(20)), np.tril(np.full((20, 20), nan)), "float64")
    stack = np.stack([np.eye(3), -np.eye(3), 4 * np.eye(3)])
    found = np.asarray(la.cholesky(stack))
    close(found[[0, 2]], np.sqrt(stack[[0, 2]]), "float64")
    assert np.isnan(found[1]).sum() == 6
    for n in (2, 20):
        assert not np.isfinite(np.asarray(la.inv(np.zeros((n, n))))).any(axis=-1).all()
        assert np.isnan(np.asarray(la.inv(np.full((n, n), nan)))).all()
        assert np.asarray(la.det(np.zeros((n, n)))) == 0
        close(la.slogdet(np.zeros((n, n))), (np.float64(0), np.float64(-np.inf)), "float64")


def test_the_slope_of_a_determinant_is_its_cofactors() -> None:
    for a in (general((5, 5)), np.diag([1.0, 2, 3, 4, 0]), general((3, 3)), np.diag([2.0, 0])):
        n = len(a)
        minors = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
        sign = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
        close(cv.grad(la.det)(a), np.linalg.det(minors) * sign, "float64")


def test_slogdet_of_complex_numbers_and_its_slope() -> None:
    a, t = general((4, 4), "complex128"), random((4, 4), "complex128", 1)
    trace = np.trace(np.linalg.solve(a, t))
    _, (sign, log) = cv.jvp(la.slogdet, (a,), (t,))
    close(log, trace.real, "float64")
    close(sign, 1j * trace.imag * np.linalg.slogdet(a).sign, "complex128")
    with pytest.raises(ValueError, match="method must be"):
        la.slogdet(a, method="svd")


def test_integers_become_floats() -> None:
    a = np.array([[2, 1], [1, 3]], "int32")
    assert la.inv(a).dtype == la.det(a).dtype == la.cholesky(a).dtype == dtypes.float32


def test_second_derivatives() -> None:
    a, b = definite((4, 4)), random((4,), seed=1)
    for f in (
        lambda t: cnp.sum(la.solve(a + t * np.eye(4), b)),
        lambda t: cnp.sum(la.cholesky(a + t * np.eye(4))),
        lambda t: la.det(a + t * np.eye(4)),
        lambda t: la.slogdet(a + t * np.eye(4))[1],
    ):
        slope, t, h = cv.grad(f), np.asarray(0.5), 1e-5
        found = (np.asarray(slope(t + h)) - np.asarray(slope(t - h))) / (2 * h)
        np.testing.assert_allclose(cv.grad(slope)(t), found, rtol=1e-6)


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "not square": (lambda: la.inv(np.ones((2, 3))), ValueError, ["linalg.inv", "(2, 3)"]),
    "a vector": (lambda: la.cholesky(np.ones(3)), ValueError, ["linalg.cholesky", "(3,)"]),
    "16 bits": (lambda: la.det(cnp.ones((4, 4), "float16")), TypeError, ["linalg.det", "float16"]),
    "b does not fit": (
        lambda: la.solve(np.ones((2, 2)), np.ones(3)),
        ValueError,
        ["linalg.solve", "(2, 2)", "(3,)"],
    ),
    "lax, not square": (
        lambda: lax.linalg.cholesky(np.ones((2, 3))),
        ValueError,
        ["cholesky", "(2, 3)", "square"],
    ),
    "lax, integers": (lambda: lax.linalg.lu(np.ones((2, 2), int)), TypeError, ["lu of int64[2,2]"]),
    "lax, different dtypes": (
        lambda: lax.linalg.triangular_solve(np.ones((2, 2)), np.ones((2, 3)), left_side=False),
        ValueError,
        ["triangular_solve", "columns of b"],
    ),
    "pivots": (
        lambda: lax.linalg.lu_pivots_to_permutation(np.ones(3), 3),
        TypeError,
        ["lu_pivots_to_permutation", "int32"],
    ),
    "more pivots than rows": (
        lambda: lax.linalg.lu_pivots_to_permutation(np.ones(3, "int32"), 2),
        ValueError,
        ["permutation_size=2"],
    ),
    "assume_a": (
        lambda: sla.solve(np.eye(2), np.ones(2), assume_a="foo"),
        ValueError,
        ["assume_a", "'foo'"],
    ),
    "trans": (lambda: sla.solve_triangular(np.eye(2), np.ones(2), trans=3), ValueError, ["trans"]),
    "tensorinv": (lambda: la.tensorinv(np.ones((2, 3)), 0), ValueError, ["ind", "0"]),
    "tensorsolve": (
        lambda: la.tensorsolve(np.ones((2, 3)), np.ones(2)),
        ValueError,
        ["tensorsolve", "(2, 3)"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    call, kind, words = WRONG[name]
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_vectors_of_no_singular_values_are_unit_vectors() -> None:
    for shape in ((0, 3), (2, 3, 0)):
        u, s, vt = la.svd(cnp.ones(shape))
        assert s.shape[-1] == 0
        for q in (np.asarray(u), np.asarray(vt)):
            np.testing.assert_array_equal(q, np.broadcast_to(np.eye(q.shape[-1]), q.shape))


def test_results_of_weak_matrices_are_weak() -> None:
    a = cv.lax.full((3, 3), 2.0)
    for found in (*la.svd(a), *la.eigh(a), la.eigvals(a), *cv.lax.linalg.lu(a), la.cond(a)):
        assert found.weak_type
    for made in (scipy.linalg.toeplitz(a), scipy.linalg.hankel(a), *scipy.linalg.polar(a)):
        assert not made.weak_type


@pytest.mark.parametrize(
    "name", ["companion", "fiedler", "fiedler_companion", "hankel", "convolution_matrix"]
)
def test_special_matrices_of_a_batch(name: str) -> None:
    a = np.array([[1.0, 4.0, -2.0], [2.0, 0.5, 3.0]], "float32")
    more = (4,) if name == "convolution_matrix" else ()
    make = getattr(scipy.linalg, name)
    np.testing.assert_array_equal(make(a, *more), [make(row, *more) for row in a])


def test_determinants_of_16_bits() -> None:
    for dtype in ("float16", "bfloat16"):
        for n in (2, 3):
            found = la.det(cnp.eye(n, dtype=dtype) * 2)
            assert found.dtype == dtype
            assert float(found) == 2**n
        sign, size = la.slogdet(cnp.eye(2, dtype=dtype) * -2)
        assert (float(sign), size.dtype) == (1, dtype)
        x = scipy.linalg.solve_triangular(cnp.eye(2, dtype=dtype) * 2, cnp.ones(2, dtype))
        assert x.dtype == dtype
        assert x.tolist() == [0.5, 0.5]
        assert scipy.linalg.sqrtm(cnp.eye(2, dtype=dtype)).dtype == "complex64"


def test_norms_of_integers_are_integers_where_they_can_be() -> None:
    a = cnp.array([[3, -4], [0, 1]])
    assert (la.vector_norm(a, ord=1).dtype, int(la.vector_norm(a, ord=1))) == ("int32", 8)
    assert (la.vector_norm(a, ord=np.inf).dtype, int(la.vector_norm(a, ord=np.inf))) == ("int32", 4)
    for found in (la.vector_norm(a), la.norm(a, 1), la.norm(a[0], 1), la.matrix_norm(a, ord=1)):
        assert found.dtype == "float32"
