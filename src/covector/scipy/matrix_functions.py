"""Functions of matrices: exponentials, roots, and equations with a matrix on both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.custom import custom_jvp
from covector._engine.api.derivatives import jvp
from covector._engine.api.implicit import custom_linear_solve
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import TriangularSolve
from covector._engine.primitives.linalg_spectral import Schur
from covector._engine.types import dtypes
from covector.lax.branches import cond
from covector.lax.loops import fori_loop
from covector.numpy import elementwise as el, reduce
from covector.numpy.linear import matmul
from covector.numpy.norms import norm
from covector.numpy.promotion import cast, lift
from covector.numpy.selection import where
from covector.numpy.shape import reshape
from covector.numpy.systems import matrices, solve_general

__all__ = ["expm", "expm_frechet", "funm", "solve_sylvester", "sqrtm"]

# Higham 2005: the coefficients of the diagonal Padé approximants, and the 1-norms up to which they are exact in this
# precision.
_PADE = {
    7: (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0),
    13: (
        64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
        129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0,
        960960.0, 16380.0, 182.0, 1.0,
    ),
}  # fmt: skip
_LARGEST = {7: 3.925724783138660, 13: 5.371920351148152}


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponential of square matrices, by a Padé approximant of a part of them, squared (Higham 2005).

    `upper_triangular` says that they are, which saves a factorization.  NaN if more than `max_squarings` are needed.

    >>> from covector import numpy as cnp, scipy
    >>> print(scipy.linalg.expm(cnp.array([[0.0, 1.0], [0.0, 0.0]])))
    [[1. 1.]
     [0. 1.]]
    """
    (a,) = matrices("scipy.linalg.expm", A, square=True)
    if 0 in a.shape:
        return a
    if a.ndim > 2:
        flat = reshape(a, (-1, *a.shape[-2:]))
        return reshape(vmap(lambda x: _expm(x, upper_triangular, max_squarings))(flat), a.shape)
    return _expm(a, upper_triangular, max_squarings)


def _expm(a: Any, upper: bool, most: int) -> Any:
    order = 13 if a.dtype in (dtypes.float64, dtypes.complex128) else 7
    size = norm(a, 1)
    # How often the largest norm is to be doubled: 0 for NaN, which stays.
    over = el.ceil(el.log2(where(el.greater(size, 0), size / _LARGEST[order], 1.0)))
    squarings = cast(el.maximum(where(el.isfinite(over), over, 0.0), 0.0), dtypes.int32)
    a = el.multiply(a, cast(el.exp2(el.negative(cast(squarings, size.dtype))), a.dtype))
    numerator, denominator = _pade(a, _PADE[order])
    if upper:
        x = TriangularSolve(True, False)(denominator, numerator)
    else:
        x = solve_general(denominator, numerator)
    if most > 0:

        def step(i: Any, x: Any) -> Any:
            return cond(el.less(i, squarings), lambda x: matmul(x, x), lambda x: x, x)

        x = fori_loop(0, most, step, x)
    return where(el.logical_or(el.greater(squarings, most), el.isinf(size)), np.nan, x)


def _pade(a: Any, b: tuple[float, ...]) -> tuple[Any, Any]:
    """The numerator and the denominator: sums of even and odd powers, added and subtracted."""
    identity = la.identity_like(a)
    square = matmul(a, a)

    def terms(coefficients: tuple[float, ...]) -> Any:
        """Σ coefficients[k] a^(2k), by Horner's rule."""
        total = el.multiply(identity, coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = el.add(matmul(square, total), el.multiply(identity, c))
        return total

    even, odd = terms(b[::2]), matmul(a, terms(b[1::2]))
    return el.add(even, odd), el.subtract(even, odd)


def expm_frechet(A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """(exp(A), its derivative in the direction E), or the derivative alone without `compute_expm`.

    ValueError unless both are square matrices of one shape.

    >>> from covector import numpy as cnp, scipy
    >>> print(scipy.linalg.expm_frechet(cnp.zeros((2, 2)), cnp.eye(2), compute_expm=False))
    [[1. 0.]
     [0. 1.]]
    """
    a, e = matrices("scipy.linalg.expm_frechet", A, E, square=True)
    if a.ndim != 2 or a.shape != e.shape:
        raise ValueError(
            f"scipy.linalg.expm_frechet got shapes {a.shape} and {e.shape}{errors.at_user_line()}: they must be square "
            "matrices of one shape"
        )
    found = jvp(expm, (a,), (e,))
    return found if compute_expm else found[1]


# ---------------------------------------------------------------------- column by column of a triangle


def _by_columns(t: Any, right: Callable[[Any, Any], tuple[Any, Any, Any]], start: Any) -> Any:
    """A matrix whose column j solves a system with an upper triangle, for one column after the other.

    right(j, so far) gives the triangle, the right-hand side, and which rows count.
    """
    n = t.shape[0]

    def step(j: Any, found: Any) -> Any:
        triangle, b, rows = right(j, found)
        # What does not count is the identity: it may be singular.
        both = el.logical_and(rows[:, None], rows[None, :])
        triangle = where(both, triangle, la.identity_like(triangle))
        b = where(rows, b, cast(0.0, b.dtype))
        x = TriangularSolve(True, False)(triangle, reshape(b, (n, 1)))
        column = el.equal(np.arange(n), j)[None, :]
        return where(el.logical_and(column, rows[:, None]), x, found)

    return fori_loop(0, n, step, start)


def _above(t: Any, j: Any) -> Any:
    """The rows above the diagonal in column j."""
    return el.less(np.arange(t.shape[0]), j)


def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """The principal square root of a square matrix, complex (Björck, Hammarling 1983).

    ValueError unless it is one square matrix; NotImplementedError for a `blocksize` above 1.

    >>> from covector import numpy as cnp, scipy
    >>> print(cnp.real(scipy.linalg.sqrtm(4 * cnp.eye(2))))
    [[2. 0.]
     [0. 2.]]
    """
    if blocksize > 1:
        raise NotImplementedError(f"sqrtm with a blocksize of {blocksize}{errors.at_user_line()}")
    a = lift("sqrtm", A)
    small = a.dtype in (dtypes.float16, dtypes.bfloat16)
    return _root(_square("sqrtm", cast(a, dtypes.float32) if small else a))


@custom_jvp
def _root(a: Any) -> Any:
    t, z = _form("sqrtm", a)

    def right(j: Any, found: Any) -> tuple[Any, Any, Any]:
        """(R + r_jj) r_j = t_j"""
        return (
            el.add(found, el.multiply(found[j, j], la.identity_like(found))),
            t[:, j],
            _above(t, j),
        )

    root = _by_columns(t, right, la.put_diagonal(el.sqrt(la.take_diagonal(t))))
    return matmul(matmul(z, root), la.adjoint(z))


@_root.defjvp
def _root_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    """With X X = A: X X' + X' X = A'."""
    root = _root(*primals)
    return root, _sylvester(root, root, cast(tangents[0], root.dtype))


def _form(name: str, a: Any) -> tuple[Any, Any]:
    """The complex Schur form of one square matrix."""
    a = _square(name, a)
    t, z = Schur()(cast(a, dtypes.complex_of(a.dtype)))
    return t, z


def _square(name: str, a: Any) -> Any:
    """One square matrix; ValueError for another array."""
    (a,) = matrices(f"scipy.linalg.{name}", a, square=True)
    if a.ndim != 2:
        raise ValueError(
            f"scipy.linalg.{name} takes one matrix, got shape {a.shape}{errors.at_user_line()}"
        )
    return a


def funm(A: Any, func: Callable[[Any], Any], disp: bool = True) -> Any:
    """The function of a square matrix that `func` is of its eigenvalues, complex (Parlett 1976).

    Without `disp` also an estimate of the relative error, which is large where eigenvalues lie close together.
    ValueError unless it is one square matrix.

    >>> from covector import numpy as cnp, scipy
    >>> print(cnp.real(scipy.linalg.funm(cnp.diag(cnp.array([1.0, 2.0])), lambda x: x * x)))
    [[1. 0.]
     [0. 4.]]
    """
    t, z = _form("funm", A)
    values = la.take_diagonal(t)
    minus = cast(-1.0, t.dtype)

    def right(j: Any, found: Any) -> tuple[Any, Any, Any]:
        """(T - t_jj) f_j = F t_j - t_j f_jj, in the rows above j."""
        gaps = el.subtract(values, values[j])
        off = el.subtract(t, la.put_diagonal(values))
        shifted = el.add(off, la.put_diagonal(where(el.equal(gaps, 0), minus, gaps)))
        rows = _above(t, j)
        column = where(rows, t[:, j], cast(0.0, t.dtype))
        b = el.subtract(matmul(found, column), el.multiply(column, found[j, j]))
        return shifted, b, rows

    f = _by_columns(t, right, la.put_diagonal(cast(func(values), t.dtype)))
    result = matmul(matmul(z, f), la.adjoint(z))
    return result if disp else (result, _error_of(t, f))


def _error_of(t: Any, f: Any) -> Any:
    real = dtypes.real_of(t.dtype)
    eps = float(np.finfo(real).eps)
    n = t.shape[0]
    values = la.take_diagonal(t)
    gaps = el.absolute(el.subtract(values[:, None], values[None, :]))
    apart = np.triu(np.ones((n, n), bool), 1)
    counted = el.logical_and(apart, el.not_equal(gaps, 0))
    least = reduce.min(where(counted, gaps, np.inf), initial=np.inf)
    least = el.minimum(least, reduce.max(el.absolute(t)))
    size = norm(la.triangle(t, lower=False, strict=True), 1)
    error = el.minimum(1.0, el.maximum(eps, el.multiply(eps / least, size)))
    good = reduce.all(el.isfinite(f))
    return cast(where(good, error, np.inf), real)


def solve_sylvester(A: Any, B: Any, C: Any, *, method: str = "schur", tol: float = 1e-8) -> Any:
    """The X with A X + X B = C (Bartels, Stewart 1972).

    A is (m, m), B (n, n), C (m, n); X is real if all three are.  Both methods, 'schur' and 'eigen', are by Schur forms
    here.  inf or NaN if an eigenvalue of A is minus one of B.  ValueError for another method, or other shapes.

    >>> from covector import numpy as cnp, scipy
    >>> print(scipy.linalg.solve_sylvester(cnp.eye(2), cnp.eye(2), 4 * cnp.eye(2)))
    [[2. 0.]
     [0. 2.]]
    """
    if method not in ("schur", "eigen"):
        raise ValueError(
            f"scipy.linalg.solve_sylvester: method must be 'schur' or 'eigen', got {method!r}{errors.at_user_line()}"
        )
    a, b, c = matrices("scipy.linalg.solve_sylvester", A, B, C)
    if any(x.ndim != 2 for x in (a, b, c)) or (a.shape, b.shape) != (
        (c.shape[0],) * 2,
        (c.shape[1],) * 2,
    ):
        raise ValueError(
            f"scipy.linalg.solve_sylvester got shapes {a.shape}, {b.shape} and {c.shape}{errors.at_user_line()}: they "
            "must be (m, m), (n, n) and (m, n)"
        )
    return _sylvester(a, b, c)


def _sylvester(a: Any, b: Any, c: Any) -> Any:
    """The X with a X + X b = c, with the derivatives of this equation."""
    turned = la.matrix_transpose(a), la.matrix_transpose(b)
    return custom_linear_solve(
        lambda x: el.add(matmul(a, x), matmul(x, b)),
        c,
        lambda _, y: _by_schur(a, b, y),
        lambda _, y: _by_schur(*turned, y),
    )


def _by_schur(a: Any, b: Any, c: Any) -> Any:
    (r, u), (s, v) = _form("solve_sylvester", a), _form("solve_sylvester", b)
    right = matmul(matmul(la.adjoint(u), cast(c, r.dtype)), v)
    n, identity = c.shape[1], la.identity_like(r)

    def step(j: Any, found: Any) -> Any:
        """(R + s_jj) y_j = f_j - Y s_j, of the columns before j."""
        before = where(el.less(np.arange(n), j), s[:, j], cast(0.0, s.dtype))
        rest = el.subtract(right[:, j], matmul(found, before))
        triangle = el.add(r, el.multiply(s[j, j], identity))
        y = TriangularSolve(True, False)(triangle, reshape(rest, (-1, 1)))
        return where(el.equal(np.arange(n), j)[None, :], y, found)

    y = fori_loop(0, n, step, prims.full(right.shape, 0, right.dtype))
    x = matmul(matmul(u, y), la.adjoint(v))
    return x if dtypes.is_complex(c.dtype) else el.real(x)
