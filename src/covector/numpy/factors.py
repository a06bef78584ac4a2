"""Factors of matrices, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.control.composite import Composite
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_orthogonal import Geqrf, Qr
from covector._engine.primitives.linalg_solve import Cholesky
from covector._engine.primitives.linalg_spectral import Eig, Eigh, Svd
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, norms, reduce
from covector.numpy.fused import compiled
from covector.numpy.linear import matmul
from covector.numpy.operands import together
from covector.numpy.promotion import cast, lift
from covector.numpy.selection import where
from covector.numpy.shape import broadcast_shapes, broadcast_to, expand_dims, reshape
from covector.numpy.sorting import argsort
from covector.numpy.systems import inv, matrices, symmetrized
from covector.numpy.take import take_along_axis

__all__ = [
    "EigResult",
    "EighResult",
    "QRResult",
    "SVDResult",
    "cholesky",
    "cond",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "lstsq",
    "matrix_rank",
    "pinv",
    "qr",
    "svd",
    "svdvals",
]


class EigResult(NamedTuple):
    """What `eig` gives.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eig(cnp.eye(2)).eigenvalues
    Array([1.+0.j, 1.+0.j], dtype=complex64)
    """

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """What `eigh` gives.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eigh(cnp.eye(2)).eigenvalues
    Array([1., 1.], dtype=float32)
    """

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """What `qr` gives.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.qr(cnp.eye(2)).R.shape
    (2, 2)
    """

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` gives.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.svd(cnp.eye(2)).S
    Array([1., 1.], dtype=float32)
    """

    U: Any
    S: Any
    Vh: Any


@compiled("a")
def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The triangular factors L with L L* = a of positive definite matrices, or R with R* R = a if `upper`.

    Only the Hermitian part of `a` counts; without `symmetrize_input`, only its lower triangle.  NaN where a matrix is
    not positive definite.  ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.cholesky(cnp.array([[4.0, 2.0], [2.0, 5.0]]))
    Array([[2., 0.],
           [1., 2.]], dtype=float32)
    """
    (a,) = matrices("linalg.cholesky", a, square=True)
    factor = Cholesky()(symmetrized(a) if symmetrize_input else a)
    return la.adjoint(factor) if upper else factor


@compiled("a")
def qr(a: Any, mode: str = "reduced") -> Any:
    """The factors of a = Q R, with orthonormal columns of Q and upper triangular R.

    `mode` is 'reduced' (Q of shape (..., m, k), R of (..., k, n), with k = min(m, n)), 'complete' (m instead of k), 'r'
    (R alone) or 'raw' (LAPACK's reflectors in columns, transposed, and their factors).  ValueError for another one.

    >>> from covector import numpy as cnp
    >>> q, r = cnp.linalg.qr(cnp.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> bool(cnp.allclose(q @ r, cnp.array([[3.0, 1.0], [4.0, 2.0]]), atol=1e-5))
    True
    """
    (a,) = matrices("linalg.qr", a)
    if mode not in ("reduced", "complete", "full", "r", "raw"):
        raise ValueError(
            f"linalg.qr: mode must be 'reduced', 'complete', 'r' or 'raw', got {mode!r}{errors.at_user_line()}"
        )
    if mode == "raw":
        packed, taus = Geqrf()(a)
        return QRResult(la.matrix_transpose(packed), taus)
    q, r = Qr(mode in ("complete", "full"))(a)
    return r if mode == "r" else QRResult(q, r)


def part(name: str, x: Any, axis: int, bounds: tuple[int, int]) -> Any:
    """The elements along an axis, counted from the end, from bounds[0] to bounds[1] (not included)."""
    start, stop = bounds
    if not 0 <= start <= stop <= x.shape[axis]:
        raise ValueError(
            f"{name}: subset_by_index {bounds} is not within {x.shape[axis]} values{errors.at_user_line()}"
        )
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, stop)
    return x[tuple(index)]


@compiled("a")
def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """The factors of a = U diag(S) Vh: singular values, the largest first, and orthonormal singular vectors.

    U has shape (..., m, k) and Vh (..., k, n), with k = min(m, n), or all of them with `full_matrices`; without
    `compute_uv` the singular values alone are given.  `hermitian` says that `a` is, which is quicker.
    `subset_by_index` names a range of singular values, for full_matrices=False.  ValueError if both are asked for.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.svd(cnp.array([[3.0, 0.0], [0.0, -4.0]]), compute_uv=False)
    Array([4., 3.], dtype=float32)
    """
    (a,) = matrices("linalg.svd", a, square=hermitian)
    if subset_by_index is not None and full_matrices and compute_uv:
        raise ValueError(
            f"linalg.svd: full_matrices and subset_by_index exclude each other{errors.at_user_line()}"
        )
    found = _svd_hermitian(a) if hermitian else Svd(full_matrices, compute_uv)(a)
    s, *vectors = found
    if subset_by_index is not None:
        s = part("linalg.svd", s, -1, subset_by_index)
    if not compute_uv:
        return s
    u, vh = vectors
    if subset_by_index is not None:
        u = part("linalg.svd", u, -1, subset_by_index)
        vh = part("linalg.svd", vh, -2, subset_by_index)
    return SVDResult(u, s, vh)


def _svd_hermitian(a: Any) -> tuple[Any, Any, Any]:
    """By eigenvalues, in order of their size; a negative one turns the right vector around."""
    v, w = Eigh()(symmetrized(a))
    size = el.absolute(w)
    order = argsort(el.negative(size), axis=-1)
    moved = take_along_axis(w, order, -1)
    u = take_along_axis(v, expand_dims(order, -2), -1)
    turned = el.multiply(u, expand_dims(where(moved < 0, -1.0, 1.0).astype(a.dtype), -2))
    return el.absolute(moved), u, la.adjoint(turned)


@compiled("x")
def svdvals(x: Any, /) -> Any:
    """The singular values of matrices, the largest first.

    Of shape (..., min(m, n)) for (..., m, n), real.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.svdvals(cnp.array([[3.0, 0.0], [0.0, -4.0]]))
    Array([4., 3.], dtype=float32)
    """
    (x,) = matrices("linalg.svdvals", x)
    return Svd(False, False)(x)[0]


def _lower(name: str, UPLO: str | None) -> bool:
    if UPLO not in (None, "L", "U"):
        raise ValueError(
            f"{name}: UPLO must be 'L', 'U' or None, got {UPLO!r}{errors.at_user_line()}"
        )
    return UPLO != "U"


@compiled("a")
def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """The eigenvalues of Hermitian matrices, in order, and eigenvectors, as orthonormal columns.

    Only the Hermitian part of `a` counts; without `symmetrize_input`, only the triangle that `UPLO` names, 'L' or 'U'.
    ValueError for another name, or unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eigh(cnp.array([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    Array([1., 3.], dtype=float32)
    """
    (a,) = matrices("linalg.eigh", a, square=True)
    lower = _lower("linalg.eigh", UPLO)
    v, w = Eigh(lower)(symmetrized(a) if symmetrize_input else a)
    return EighResult(w, v)


@compiled("a")
def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """The eigenvalues of Hermitian matrices, in order, as `eigh` gives them.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eigvalsh(cnp.array([[2.0, 1.0], [1.0, 2.0]]))
    Array([1., 3.], dtype=float32)
    """
    (a,) = matrices("linalg.eigvalsh", a, square=True)
    lower = _lower("linalg.eigvalsh", UPLO)
    return Eigh(lower, False)(symmetrized(a) if symmetrize_input else a)[0]


@compiled("a")
def eig(a: Any) -> EigResult:
    """The eigenvalues of square matrices, and right eigenvectors of length 1, as columns; both complex.

    ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eig(cnp.array([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    Array([0.+1.j, 0.-1.j], dtype=complex64)
    """
    (a,) = matrices("linalg.eig", a, square=True)
    return EigResult(*Eig(False, True)(a))


@compiled("a")
def eigvals(a: Any) -> Any:
    """The eigenvalues of square matrices, complex.

    ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.eigvals(cnp.array([[0.0, 1.0], [-1.0, 0.0]]))
    Array([0.+1.j, 0.-1.j], dtype=complex64)
    """
    (a,) = matrices("linalg.eigvals", a, square=True)
    return Eig(False, False)(a)[0]


# ------------------------------------------------------------------------------------ made of factors


@record
class Pinv(Composite):
    """The pseudo-inverse, without singular values up to a part of the largest.  Operands: matrices, that part."""

    hermitian: bool
    name: ClassVar[str] = "pinv"

    def compute(self, *xs: Any) -> Any:
        a, least = xs
        s, u, vh = _svd_hermitian(a) if self.hermitian else Svd(False)(a)
        kept = el.greater(s, el.multiply(_each(least), reduce.max(s, -1, keepdims=True)))
        inverse = where(kept, el.divide(1.0, where(kept, s, 1.0)), 0.0)
        return la.matmul(
            la.adjoint(vh), el.multiply(expand_dims(inverse, -1).astype(a.dtype), la.adjoint(u))
        )

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """p' = -p a' p + p p* a'* (1 - a p) + (1 - p a) a'* p* p, for a constant rank (Golub, Pereyra 1973)."""
        (a, least), t = primals, tangents[0]
        p = self(a, least)
        if is_zero(t):
            return p, Zero(typeof(p))
        ph, th, mul, sub = la.adjoint(p), la.adjoint(t), la.matmul, prims.sub
        first = prims.neg(mul(p, mul(t, p)))
        left = mul(p, mul(ph, th))
        right = mul(th, mul(ph, p))
        across = sub(left, mul(mul(left, a), p))
        along = sub(right, mul(p, mul(a, right)))
        return p, prims.add(first, prims.add(across, along))


def _epsilon(dtype: np.dtype) -> float:
    return float(np.finfo(dtypes.real_of(dtype)).eps)


def cond(x: Any, p: Any = None) -> Any:
    """The condition numbers of matrices: how much the norm of order `p` can grow, there and back.

    For None, 2 and -2 it is the largest singular value over the smallest, or the other way round; for other orders
    norm(x) norm(inv(x)), of square matrices.  ValueError for empty ones.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.cond(cnp.array([[4.0, 0.0], [0.0, 2.0]]))
    Array(2., dtype=float32)
    """
    general = p not in (None, 2, -2)
    (x,) = matrices("linalg.cond", x, square=general)
    if 0 in x.shape[-2:]:
        raise ValueError(f"linalg.cond of an empty matrix {x.shape}{errors.at_user_line()}")
    if general:
        ratio = el.multiply(*[norms.norm(y, p, (-2, -1)) for y in (x, inv(x))])
    else:
        s = svdvals(x)
        ratio = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    # Of singular matrices it is 0 / 0, or the inverse is NaN: without bounds; NaN stays NaN.
    known = reduce.any(el.isnan(x), (-2, -1))
    return where(el.logical_and(el.isnan(ratio), el.logical_not(known)), np.inf, ratio)


def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """How many singular values of matrices are above a tolerance, as int32.

    It is `tol`, or `rtol` times the largest singular value; by default rtol is max(m, n) eps.  A vector has rank 1, or
    0 if all of it is 0.  `hermitian` says that matrices are, which is quicker.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.matrix_rank(cnp.ones((3, 3)))
    Array(1, dtype=int32)
    """
    (x,) = together("linalg.matrix_rank", "inexact", M)
    if x.ndim < 2:
        return cast(reduce.any(el.not_equal(x, 0)), dtypes.of_number(int))
    s = svd(x, full_matrices=False, compute_uv=False, hermitian=hermitian)
    if tol is None:
        factor = max(x.shape[-2:]) * _epsilon(x.dtype) if rtol is None else rtol
        tol = _each(factor) * reduce.max(s, -1, keepdims=True, initial=0)
    else:
        tol = _each(tol)
    return reduce.sum(el.greater(s, tol), -1, dtype=dtypes.of_number(int))


def _each(x: Any) -> Any:
    """A tolerance for each matrix of a stack, beside its singular values; a number as it is."""
    return x if np.ndim(x) == 0 else expand_dims(lift("tolerance", x), -1)


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The pseudo-inverses of matrices (Moore and Penrose), of shape (..., n, m) for (..., m, n).

    Singular values up to `rtol` (or `rcond`) times the largest count as 0; by default 10 max(m, n) eps.  `hermitian`
    says that matrices are, which is quicker.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.pinv(cnp.array([[2.0, 0.0], [0.0, 0.0]]))
    Array([[0.5, 0. ],
           [0. , 0. ]], dtype=float32)
    """
    (a,) = matrices("linalg.pinv", a, square=hermitian)
    if rtol is not None and rcond is not None:
        raise ValueError(
            f"linalg.pinv: rtol and rcond are one; give one of them{errors.at_user_line()}"
        )
    least = rcond if rtol is None else rtol
    least = 10 * max(a.shape[-2:]) * _epsilon(a.dtype) if least is None else least
    least = cast(lift("linalg.pinv", least), dtypes.real_of(a.dtype))
    if least.ndim > a.ndim - 2:
        a = broadcast_to(a, broadcast_shapes(least.shape, a.shape[:-2]) + a.shape[-2:])
    if 0 in a.shape:
        return prims.full((*a.shape[:-2], a.shape[-1], a.shape[-2]), 0, a.dtype)
    return Pinv(hermitian)(a, least)


def lstsq(
    a: Any, b: Any, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Any, Any, Any, Any]:
    """The x with the smallest |a x - b|, and of those the shortest: (x, residuals, rank, singular values of a).

    `a` has shape (m, n), `b` (m,) or (m, k).  Singular values up to `rcond` times the largest count as 0; by default
    max(m, n) eps.  The residuals are the sums of squares of a x - b, for each column; with `numpy_resid` there are none
    if the rank is not n, or m <= n.  ValueError for other shapes.

    >>> from covector import numpy as cnp
    >>> a = cnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> x, residuals, rank, s = cnp.linalg.lstsq(a, cnp.array([1.0, 3.0, 5.0]))
    >>> print(cnp.round(x, 3), rank)
    [1. 2.] 2
    """
    a, b = together("linalg.lstsq", "inexact", a, b)
    (a,) = matrices("linalg.lstsq", a)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError(
            f"linalg.lstsq got shapes {a.shape} and {b.shape}{errors.at_user_line()}: they must be (m, n), and (m,) or "
            "(m, k)"
        )
    m, n = a.shape
    right = reshape(b, (m, 1)) if b.ndim == 1 else b
    u, s, vh = svd(a, full_matrices=False)
    least = max(m, n) * _epsilon(a.dtype) if rcond is None else rcond
    least = _epsilon(a.dtype) if isinstance(least, int | float) and least < 0 else least
    kept = el.greater(s, least * s[0]) if min(m, n) else el.greater(s, 0)
    rank = reduce.sum(kept, dtype=dtypes.of_number(int))
    inverse = where(kept, el.divide(1.0, where(kept, s, 1.0)), 0.0)
    x = matmul(
        la.adjoint(vh), el.multiply(inverse[:, None].astype(a.dtype), matmul(la.adjoint(u), right))
    )
    if numpy_resid and (m <= n or int(rank) < n):
        residuals = prims.full((0,), 0, s.dtype)
    else:
        wrong = el.absolute(el.subtract(right, matmul(a, x)))
        residuals = reduce.sum(el.multiply(wrong, wrong), 0)
    return (reshape(x, (n,)) if b.ndim == 1 else x), residuals, rank, s
