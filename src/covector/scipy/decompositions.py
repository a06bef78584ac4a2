"""Decompositions of matrices, as SciPy names and gives them."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_orthogonal import HouseholderProduct, Qr
from covector._engine.primitives.linalg_solve import Cholesky, TriangularSolve
from covector._engine.primitives.linalg_spectral import Eigh, Hessenberg, Schur, Svd
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, factors
from covector.numpy.join import stack
from covector.numpy.linear import matmul
from covector.numpy.operands import together
from covector.numpy.padding import pad
from covector.numpy.promotion import cast
from covector.numpy.selection import where
from covector.numpy.shape import expand_dims
from covector.numpy.systems import check_iterations, matrices, symmetrized

__all__ = [
    "eigh",
    "eigh_tridiagonal",
    "hessenberg",
    "polar",
    "qr",
    "qr_multiply",
    "rsf2csf",
    "schur",
    "svd",
]


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """(U, s, V*) with a = U diag(s) V*, or s alone without `compute_uv`; singular values fall.

    Of the vectors there are min(m, n), or all with `full_matrices`.

    >>> from covector import numpy as cnp, scipy
    >>> u, s, vh = scipy.linalg.svd(cnp.array([[3.0, 0.0], [0.0, -4.0]]))
    >>> print(s)
    [4. 3.]
    """
    found = factors.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def eigh(
    a: Any,
    b: Any = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Any:
    """(eigenvalues, eigenvectors) of Hermitian matrices, or of a v = w b v with a positive definite b.

    Only the Hermitian part of `a` counts.  `type` 2 is a b v = w v, 3 is b a v = w v.  With `eigvals_only` the
    eigenvalues alone.  NotImplementedError for `eigvals`; ValueError for another type.

    >>> from covector import numpy as cnp, scipy
    >>> w, v = scipy.linalg.eigh(cnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(w)
    [1. 3.]
    """
    if eigvals is not None:
        raise NotImplementedError(f"scipy.linalg.eigh with eigvals{errors.at_user_line()}")
    if type not in (1, 2, 3):
        raise ValueError(
            f"scipy.linalg.eigh: type must be 1, 2 or 3, got {type!r}{errors.at_user_line()}"
        )
    if b is None:
        (a,) = matrices("scipy.linalg.eigh", a, square=True)
        found = Eigh(bool(lower), not eigvals_only)(symmetrized(a))
        return found[0] if eigvals_only else (found[1], found[0])
    a, b = matrices("scipy.linalg.eigh", a, b, square=True)
    factor = Cholesky()(symmetrized(b))
    if type == 1:
        inner = TriangularSolve(True, True)(factor, symmetrized(a))
        inner = TriangularSolve(False, True, True, True)(factor, inner)
    else:
        inner = la.matmul(la.adjoint(factor), la.matmul(symmetrized(a), factor))
    found = Eigh(True, not eigvals_only)(symmetrized(inner))
    if eigvals_only:
        return found[0]
    v, w = found
    v = la.matmul(factor, v) if type == 3 else TriangularSolve(True, True, True, True)(factor, v)
    return w, v


def eigh_tridiagonal(
    d: Any,
    e: Any,
    *,
    eigvals_only: bool = False,
    select: str = "a",
    select_range: tuple[float, float] | None = None,
    tol: float | None = None,
    key: Any = None,
) -> Any:
    """(eigenvalues, eigenvectors) of the Hermitian matrix with d on its diagonal, and e below it.

    `select` is 'a' for all, or 'i' for those in order from select_range[0] to select_range[1] (included).  With
    `eigvals_only` the eigenvalues alone.  `tol` and `key` are for other methods.  NotImplementedError for select='v'.

    >>> from covector import numpy as cnp, scipy
    >>> w, v = scipy.linalg.eigh_tridiagonal(cnp.array([2.0, 2.0]), cnp.array([1.0]))
    >>> print(w)
    [1. 3.]
    """
    d, e = together("eigh_tridiagonal", "inexact", d, e)
    if d.ndim != 1 or e.ndim != 1 or e.shape[0] != d.shape[0] - 1:
        raise ValueError(
            f"eigh_tridiagonal got shapes {d.shape} and {e.shape}{errors.at_user_line()}: d must be a vector with one "
            "element more than e"
        )
    if select == "v":
        raise NotImplementedError(f"eigh_tridiagonal with select='v'{errors.at_user_line()}")
    if select not in ("a", "i") or (select == "i" and select_range is None):
        raise ValueError(
            f"eigh_tridiagonal: select must be 'a', or 'i' with a select_range, got {select!r}"
            f"{errors.at_user_line()}"
        )
    below = pad(la.put_diagonal(e), ((1, 0), (0, 1)))
    found = Eigh(True, not eigvals_only)(prims.add(la.put_diagonal(d), below))
    w, v = found[-1], found[0]
    if select == "i":
        assert select_range is not None
        first, last = map(int, select_range)
        chosen = slice(first, last + 1)
        w, v = w[chosen], v if eigvals_only else v[:, chosen]
    return w if eigvals_only else (w, v)


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:
    """(Q, R) with a = Q R, or (R,) for mode 'r': 'full' and 'economic' say how many columns Q has, m or min(m, n).

    With `pivoting` also the order p of columns, a[:, p] = Q R.  ValueError for another mode.

    >>> from covector import numpy as cnp, scipy
    >>> q, r, p = scipy.linalg.qr(cnp.array([[1.0, 0.0], [0.0, 2.0]]), pivoting=True)
    >>> print(p)
    [1 0]
    """
    (a,) = matrices("scipy.linalg.qr", a)
    if mode not in ("full", "economic", "r"):
        raise ValueError(
            f"scipy.linalg.qr: mode must be 'full', 'economic' or 'r', got {mode!r}{errors.at_user_line()}"
        )
    found = Qr(mode != "economic", bool(pivoting))(a)
    return tuple(found[1:] if mode == "r" else found)


def qr_multiply(
    a: Any,
    c: Any,
    mode: str = "right",
    pivoting: bool = False,
    conjugate: bool = False,
    overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple[Any, ...]:
    """(c Q, R), or (Q c, R) for mode 'left', for the factors of a = Q R, where Q has min(m, n) columns.

    With `conjugate` Q is conjugated; with `pivoting` there is also the order of columns.  ValueError for another mode,
    or if c does not fit.

    >>> from covector import numpy as cnp, scipy
    >>> product, r = scipy.linalg.qr_multiply(cnp.eye(2), cnp.ones((1, 2)))
    >>> product.shape
    (1, 2)
    """
    a, c = together("scipy.linalg.qr_multiply", "inexact", a, c)
    (a,) = matrices("scipy.linalg.qr_multiply", a)
    if mode not in ("left", "right"):
        raise ValueError(
            f"scipy.linalg.qr_multiply: mode must be 'left' or 'right', got {mode!r}{errors.at_user_line()}"
        )
    q, *rest = Qr(False, bool(pivoting))(a)
    q = el.conj(q) if conjugate else q
    fits = c.ndim > 0 and (
        c.shape[-1] == q.shape[-2]
        if mode == "right"
        else c.shape[0 if c.ndim == 1 else -2] == q.shape[-1]
    )
    if not fits:
        raise ValueError(
            f"scipy.linalg.qr_multiply got shapes {a.shape} and {c.shape}{errors.at_user_line()}: c must fit Q on the "
            f"{mode}"
        )
    return (matmul(q, c) if mode == "left" else matmul(c, q), *rest)


def hessenberg(
    a: Any, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """H, zero below its subdiagonal, with a = Q H Q*; with `calc_q` (H, Q), Q being unitary.

    There is no derivative.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.hessenberg(cnp.eye(2))
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    (a,) = matrices("scipy.linalg.hessenberg", a, square=True)
    n = a.shape[-1]
    packed, taus = Hessenberg()(a)
    rows = np.arange(n)
    form = where(rows[:, None] <= rows + 1, packed, 0)
    if not calc_q:
        return form
    if n < 2:
        return form, la.identity_like(a)
    q = HouseholderProduct()(packed[..., 1:, :-1], taus)
    none = ((0, 0),) * (a.ndim - 2)
    corner = (rows[:, None] + rows == 0).astype(a.dtype)
    return form, el.add(pad(q, (*none, (1, 0), (1, 0))), corner)


def schur(a: Any, output: str = "real") -> tuple[Any, Any]:
    """(T, Z) with a = Z T Z*: T upper triangular, and Z unitary.

    Of a real matrix, 'real' leaves blocks of 2 by 2 on T's diagonal; with output='complex' both are complex.  There is
    no derivative.  ValueError for another output.

    >>> from covector import numpy as cnp, scipy
    >>> t, z = scipy.linalg.schur(cnp.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    """
    (a,) = matrices("scipy.linalg.schur", a, square=True)
    if output not in ("real", "complex"):
        raise ValueError(
            f"scipy.linalg.schur: output must be 'real' or 'complex', got {output!r}{errors.at_user_line()}"
        )
    if output == "complex":
        a = cast(a, dtypes.complex_of(a.dtype))
    t, z = Schur()(a)
    return t, z


def rsf2csf(T: Any, Z: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """A complex triangular form (T, Z) from a real one with blocks of 2 by 2, as `schur` gives it.

    ValueError unless both are square matrices of one shape.

    >>> from covector import numpy as cnp, scipy
    >>> a = cnp.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> t, z = scipy.linalg.rsf2csf(*scipy.linalg.schur(a))
    >>> print(cnp.round(abs(t), 3))
    [[1. 0.]
     [0. 1.]]
    """
    t, z = matrices("scipy.linalg.rsf2csf", T, Z, square=True)
    if t.ndim != 2 or t.shape != z.shape:
        raise ValueError(
            f"scipy.linalg.rsf2csf got shapes {t.shape} and {z.shape}{errors.at_user_line()}: they must be square "
            "matrices of one shape"
        )
    dtype, weak = dtypes.complex_of(t.dtype), t.weak_type and z.weak_type
    t, z = cast(t, dtype, weak), cast(z, dtype, weak)
    for m in range(t.shape[0] - 1, 0, -1):
        t, z = _without_block(t, z, m)
    return t, z


def _without_block(t: Any, z: Any, m: int) -> tuple[Any, Any]:
    """A rotation of rows and columns m - 1 and m that takes away the element below the diagonal."""
    a, b, c, d = t[m - 1, m - 1], t[m - 1, m], t[m, m - 1], t[m, m]
    half = (a - d) / 2
    shift = half + el.sqrt(half * half + b * c)  # an eigenvalue of the block, less d
    there = el.not_equal(c, 0)
    length = el.sqrt(el.absolute(shift) ** 2 + el.absolute(c) ** 2)
    safe = cast(where(there, length, 1.0), t.dtype)
    cosine, sine = where(there, shift / safe, 1.0), where(there, c / safe, 0.0)
    rotation = stack([stack([el.conj(cosine), sine]), stack([el.negative(sine), cosine])])
    pair = slice(m - 1, m + 1)
    t = t.at[pair].set(matmul(rotation, t[pair]))
    back = la.adjoint(rotation)
    t = t.at[:, pair].set(matmul(t[:, pair], back)).at[m, m - 1].set(0)
    return t, z.at[:, pair].set(matmul(z[:, pair], back))


def polar(
    a: Any,
    side: str = "right",
    *,
    method: str = "qdwh",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Any, Any]:
    """(u, p) with a = u p, or a = p u for side='left': u with orthonormal columns or rows, p positive semidefinite.

    Both methods, 'qdwh' and 'svd', are by singular values here.  ValueError for another side or method;
    NotImplementedError if 'qdwh' is to end after fewer than 10 iterations, JAX's own limit.

    >>> from covector import numpy as cnp, scipy
    >>> u, p = scipy.linalg.polar(cnp.array([[0.0, -2.0], [2.0, 0.0]]))
    >>> bool(cnp.allclose(p, 2 * cnp.eye(2)))
    True
    """
    (a,) = matrices("scipy.linalg.polar", a)
    a = prims.Convert(a.dtype, False)(a)
    if side not in ("left", "right") or method not in ("qdwh", "svd"):
        raise ValueError(
            f"scipy.linalg.polar: side must be 'left' or 'right' and method 'qdwh' or 'svd', got {side!r} and "
            f"{method!r}{errors.at_user_line()}"
        )
    if method == "qdwh":
        check_iterations("scipy.linalg.polar", max_iterations)
    s, u, vh = Svd(False)(a)
    unitary = la.matmul(u, vh)
    basis = la.adjoint(vh) if side == "right" else u
    p = la.matmul(el.multiply(basis, cast(expand_dims(s, -2), a.dtype)), la.adjoint(basis))
    return unitary, symmetrized(p)
