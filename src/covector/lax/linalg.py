"""Factors of matrices and linear systems, close to the primitives: names and meanings are those of `jax.lax.linalg`.

Matrices lie along the last two axes; the axes in front are a batch.  They are of float32, float64, complex64 or
complex128: TypeError for other dtypes, ShapeError for other shapes.  What cannot be factored gives NaN.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.base.public import publish
from covector._engine.base.single import single
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_orthogonal import HouseholderProduct, Ormqr, Qr
from covector._engine.primitives.linalg_solve import (
    Cholesky,
    Lu,
    PivotsToPermutation,
    TriangularSolve,
)
from covector._engine.primitives.linalg_spectral import (
    CholeskyUpdate,
    Eig,
    Eigh,
    Hessenberg,
    Schur,
    Svd,
    Tridiagonal,
    TridiagonalSolve,
)
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.lax.operations import Composed
from covector.numpy.factors import part
from covector.numpy.operands import converted, together
from covector.numpy.promotion import constant, integer_of
from covector.numpy.systems import check_iterations, symmetrized

__all__ = [
    "EigImplementation",
    "EighImplementation",
    "SvdAlgorithm",
    "cholesky",
    "cholesky_update",
    "eig",
    "eigh",
    "hessenberg",
    "householder_product",
    "lu",
    "lu_pivots_to_permutation",
    "ormqr",
    "qdwh",
    "qr",
    "schur",
    "svd",
    "symmetric_product",
    "triangular_solve",
    "tridiagonal",
    "tridiagonal_solve",
]

_PRIMITIVES = (
    "cholesky_p",
    "cholesky_update_p",
    "eig_p",
    "eigh_p",
    "hessenberg_p",
    "householder_product_p",
    "lu_p",
    "lu_pivots_to_permutation_p",
    "ormqr_p",
    "qr_p",
    "schur_p",
    "svd_p",
    "triangular_solve_p",
    "tridiagonal_p",
    "tridiagonal_solve_p",
)


class EigImplementation(enum.Enum):
    """How `eig` is computed: by LAPACK here, whatever is asked for.

    >>> from covector import lax
    >>> lax.linalg.EigImplementation.LAPACK.value
    'lapack'
    """

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


class EighImplementation(enum.Enum):
    """How `eigh` is computed: by LAPACK's way here, whatever is asked for.

    >>> from covector import lax
    >>> lax.linalg.EighImplementation.QR.value
    'qr'
    """

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


class SvdAlgorithm(enum.Enum):
    """How `svd` is computed: by LAPACK's gesdd here, whatever is asked for.

    >>> from covector import lax
    >>> lax.linalg.SvdAlgorithm.DEFAULT.value
    'default'
    """

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "Polar"


def _checked(name: str, value: Any, kind: type[enum.Enum]) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(
            f"{name}: {value!r} is no {kind.__name__}{errors.at_user_line()}; it is None or one of "
            f"{', '.join(str(k) for k in kind)}"
        )


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L L* = x, for positive definite x; NaN for others.

    Only the Hermitian part of x counts, for which integers become floats; without `symmetrize_input`, only its lower
    triangle.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.cholesky(cnp.array([[4.0, 2.0], [2.0, 5.0]]))
    Array([[2., 0.],
           [1., 2.]], dtype=float32)
    """
    if not symmetrize_input:
        return Cholesky()(array("cholesky", x))
    return Cholesky()(symmetrized(_checked_matrix("cholesky", Cholesky(), x)))


def _checked_matrix(name: str, primitive: Any, x: Any) -> Any:
    """An operand of which half the sum with its adjoint counts: its errors name what was given."""
    (x,) = together(name, "inexact", array(name, x))
    primitive.type(typeof(x))
    return x


def lu(x: Any) -> tuple[Any, Any, Any]:
    """The factors of x with rows exchanged: (lu, pivots, permutation), of shapes (m, n), (min(m, n),), (m,).

    `lu` has U on and above its diagonal, and L, which has ones on its diagonal, below.  Row i was exchanged with row
    pivots[i], one after the other; so row i of L U is row permutation[i] of x.

    >>> from covector import lax, numpy as cnp
    >>> factors, pivots, permutation = lax.linalg.lu(cnp.array([[1.0, 2.0], [4.0, 4.0]]))
    >>> print(factors, pivots, permutation)
    [[4.   4.  ]
     [0.25 1.  ]] [1 1] [1 0]
    """
    return Lu()(array("lu", x))


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The order of rows that exchanges make: of (..., k) pivots as (..., permutation_size) int32.

    TypeError unless the pivots are int32; ShapeError if there are more of them than rows.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.lu_pivots_to_permutation(cnp.array([2, 2]), 3)
    Array([2, 0, 1], dtype=int32)
    """
    size = integer_of(permutation_size, "permutation_size")
    return PivotsToPermutation(size)(array("lu_pivots_to_permutation", pivots))


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """The x of op(a) x = b (`left_side`), or of x op(a) = b, for triangular a.

    op transposes, conjugates, or does both, as asked.  Only the lower or upper triangle of a is read, and not the
    diagonal with `unit_diagonal`, which then counts as ones.  b may be of one axis less than a: a vector each.
    16-bit floats are solved in float32.

    >>> from covector import lax, numpy as cnp
    >>> a = cnp.array([[2.0, 0.0], [1.0, 4.0]])
    >>> lax.linalg.triangular_solve(a, cnp.array([[2.0], [9.0]]), left_side=True, lower=True)
    Array([[1.],
           [2.]], dtype=float32)
    """
    conjugated = bool(conjugate_a)
    a, b = together(
        "triangular_solve", "inexact", array("triangular_solve", a), array("triangular_solve", b)
    )
    solve = TriangularSolve(
        bool(left_side), bool(lower), bool(transpose_a), conjugated, bool(unit_diagonal)
    )
    dtype, shape = b.dtype, b.shape
    if dtype in dtypes.FLOATS[:2]:
        a, b = (converted(x, dtypes.float32, x.weak_type) for x in (a, b))
    if b.ndim == a.ndim - 1:
        b = b.reshape((*shape, 1) if left_side else (*shape[:-1], 1, shape[-1]))
    x = solve(a, b)
    return converted(x.reshape(shape), dtype, x.weak_type)


def cholesky_update(r_matrix: Any, w_vector: Any) -> Any:
    """The upper triangular factor of R* R + w w*, from R; it costs n² instead of n³.

    There is no derivative.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.cholesky_update(3 * cnp.eye(2), cnp.array([4.0, 0.0]))
    Array([[5., 0.],
           [0., 3.]], dtype=float32)
    """
    return CholeskyUpdate()(array("cholesky_update", r_matrix), array("cholesky_update", w_vector))


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Any]:
    """[eigenvalues, left eigenvectors, right eigenvectors] of square matrices, as far as asked for; all complex.

    Vectors are columns of length 1.  Their derivatives are there if `enable_eigvec_derivs`: they keep their lengths,
    and what is turned is at right angles to what was there.  NotImplementedError otherwise.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.eig(cnp.array([[0.0, 1.0], [-1.0, 0.0]]))[0]
    Array([0.+1.j, 0.-1.j], dtype=complex64)
    """
    _checked("eig", implementation, EigImplementation)
    left, right = bool(compute_left_eigenvectors), bool(compute_right_eigenvectors)
    return list(Eig(left, right, bool(enable_eigvec_derivs))(array("eig", x)))


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Any, Any]:
    """(eigenvectors, eigenvalues) of Hermitian matrices: orthonormal columns, and real numbers in order.

    Only the Hermitian part of x counts, for which integers become floats; without `symmetrize_input`, only its lower
    or upper triangle.
    `subset_by_index` names a range of eigenvalues.

    >>> from covector import lax, numpy as cnp
    >>> v, w = lax.linalg.eigh(cnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(w)
    [1. 3.]
    """
    _checked("eigh", implementation, EighImplementation)
    primitive = Eigh(bool(lower))
    if symmetrize_input:
        v, w = primitive(symmetrized(_checked_matrix("eigh", primitive, x)))
    else:
        v, w = primitive(array("eigh", x))
    if subset_by_index is not None:
        v, w = part("eigh", v, -1, subset_by_index), part("eigh", w, -1, subset_by_index)
    return v, w


def hessenberg(a: Any) -> tuple[Any, Any]:
    """(packed, taus): square matrices in Hessenberg form, and below the subdiagonal the reflectors that lead there.

    `householder_product` makes the orthogonal matrix of them.  There is no derivative.

    >>> from covector import lax, numpy as cnp
    >>> packed, taus = lax.linalg.hessenberg(cnp.eye(3))
    >>> print(taus)
    [0. 0.]
    """
    return Hessenberg()(array("hessenberg", a))


def householder_product(a: Any, taus: Any) -> Any:
    """The first columns of a product of reflectors, as many as `a` (m, n) has.

    Reflector k is 1 - taus[k] v v*, where v is 0 above row k, 1 in it, and column k of `a` below.  ShapeError for more
    columns than rows, or more reflectors than columns.

    >>> from covector import lax, numpy as cnp
    >>> q = lax.linalg.householder_product(cnp.zeros((2, 2)), cnp.array([2.0, 0.0]))
    >>> print(cnp.diag(q))
    [-1.  1.]
    """
    return HouseholderProduct()(array("householder_product", a), array("householder_product", taus))


def ormqr(a: Any, taus: Any, c: Any, *, left: bool = True, transpose: bool = False) -> Any:
    """Q c (or c Q, without `left`) for the Q of reflectors, as in `householder_product`; Q* instead with `transpose`.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.ormqr(cnp.zeros((2, 2)), cnp.array([2.0, 0.0]), cnp.ones((2, 1)))
    Array([[-1.],
           [ 1.]], dtype=float32)
    """
    return Ormqr(bool(left), bool(transpose))(*[array("ormqr", x) for x in (a, taus, c)])


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, ...]:
    """(Q, R) with x = Q R: Q of orthonormal columns, min(m, n) or with `full_matrices` m, and R upper triangular.

    With `pivoting` (Q, R, p), where x[:, p] = Q R and R's diagonal falls.

    >>> from covector import lax, numpy as cnp
    >>> q, r, p = lax.linalg.qr(cnp.array([[1.0, 0.0], [0.0, 2.0]]), pivoting=True)
    >>> print(p)
    [1 0]
    """
    return Qr(bool(full_matrices), bool(pivoting))(array("qr", x))


def schur(
    x: Any,
    *,
    compute_schur_vectors: bool = True,
    sort_eig_vals: bool = False,
    select_callable: Callable[..., Any] | None = None,
) -> tuple[Any, Any]:
    """(T, Z) with x = Z T Z*: T upper triangular, of real x with blocks of 2 by 2 on its diagonal, and Z unitary.

    There is no derivative.  NotImplementedError for `sort_eig_vals`.

    >>> from covector import lax, numpy as cnp
    >>> t, z = lax.linalg.schur(cnp.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    """
    if sort_eig_vals or select_callable is not None:
        raise NotImplementedError(f"schur with eigenvalues in an order{errors.at_user_line()}")
    found = Schur(bool(compute_schur_vectors))(array("schur", x))
    return tuple(found)  # type: ignore[return-value]


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Any:
    """(U, s, V*) with x = U diag(s) V*, or s alone without `compute_uv`; singular values fall.

    Of the vectors there are min(m, n), or all with `full_matrices`.  `subset_by_index` names a range of singular
    values; ValueError if it is asked for with full matrices.

    >>> from covector import lax, numpy as cnp
    >>> u, s, vt = lax.linalg.svd(cnp.array([[3.0, 0.0], [0.0, -4.0]]))
    >>> print(s)
    [4. 3.]
    """
    _checked("svd", algorithm, SvdAlgorithm)
    if subset_by_index is not None and full_matrices and compute_uv:
        raise ValueError(
            f"svd: full_matrices and subset_by_index exclude each other{errors.at_user_line()}"
        )
    s, *vectors = Svd(bool(full_matrices), bool(compute_uv))(array("svd", x))
    if subset_by_index is not None:
        s = part("svd", s, -1, subset_by_index)
        axes = (-1, -2)
        vectors = [part("svd", v, a, subset_by_index) for v, a in zip(vectors, axes, strict=False)]
    return (vectors[0], s, vectors[1]) if compute_uv else s


def symmetric_product(
    a_matrix: Any,
    c_matrix: Any,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    symmetrize_output: bool = False,
) -> Any:
    """alpha a aᵀ + beta c; with `symmetrize_output` the lower triangle of it counts, on both sides.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.symmetric_product(cnp.ones((2, 3)), cnp.eye(2), beta=2.0)
    Array([[5., 3.],
           [3., 5.]], dtype=float32)
    """
    a, c = array("symmetric_product", a_matrix), array("symmetric_product", c_matrix)
    product = la.matmul(a, la.matrix_transpose(a))
    total = prims.add(_times(alpha, product), _times(beta, c))
    if not symmetrize_output:
        return total
    below = la.triangle(total, lower=True, strict=True)
    return prims.add(la.triangle(total, lower=True), la.matrix_transpose(below))


def _times(factor: Any, x: Any) -> Any:
    return prims.mul(x, constant(factor, x.dtype, x.weak_type))


@single
def _symmetric_product_p() -> Composed:
    return Composed("symmetric_product", symmetric_product)


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Any, Any, Any, Any]:
    """(packed, d, e, taus): Hermitian matrices in tridiagonal form, with the reflectors that bring them there.

    d is the diagonal, e what is beside it; one triangle of `a` is read, and holds the reflectors then.  There is no
    derivative.

    >>> from covector import lax, numpy as cnp
    >>> packed, d, e, taus = lax.linalg.tridiagonal(cnp.eye(3))
    >>> print(d, e)
    [1. 1. 1.] [0. 0.]
    """
    return Tridiagonal(bool(lower))(array("tridiagonal", a))


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Any:
    """The x of A x = b, where A has dl below its diagonal d, and du above.

    All three have shape (..., n); dl[..., 0] and du[..., -1] are not read.  b is (..., n, k).  NotImplementedError for
    `perturb_singular`.

    >>> from covector import lax, numpy as cnp
    >>> zero, two = cnp.zeros(3), cnp.full(3, 2.0)
    >>> lax.linalg.tridiagonal_solve(zero, two, zero, cnp.ones((3, 1))).ravel()
    Array([0.5, 0.5, 0.5], dtype=float32)
    """
    if perturb_singular:
        raise NotImplementedError(f"tridiagonal_solve with perturb_singular{errors.at_user_line()}")
    name = "tridiagonal_solve"
    return TridiagonalSolve()(*together(name, "inexact", *[array(name, x) for x in (dl, d, du, b)]))


def qdwh(
    x: Any,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[int, int] | None = None,
) -> tuple[Any, Any, Any, Any]:
    """(u, h, iterations, converged) of the polar decomposition x = u h: u with orthonormal columns, h positive.

    It is computed from singular values, so the iterations are 0.  ValueError unless x (m, n) has m >= n;
    NotImplementedError for `dynamic_shape`, and for fewer than 10 as `max_iterations`, JAX's own limit: there they
    may end before they converge.

    >>> from covector import lax, numpy as cnp
    >>> u, h, *_ = lax.linalg.qdwh(cnp.array([[0.0, -2.0], [2.0, 0.0]]))
    >>> bool(cnp.allclose(h, 2 * cnp.eye(2)))
    True
    """
    if dynamic_shape is not None:
        raise NotImplementedError(f"qdwh with dynamic_shape{errors.at_user_line()}")
    check_iterations("qdwh", max_iterations)
    x = array("qdwh", x)
    if x.ndim != 2 or x.shape[0] < x.shape[1]:
        raise ValueError(
            f"qdwh takes one matrix with no more columns than rows, got shape {x.shape}{errors.at_user_line()}"
        )
    s, u, vt = Svd(False)(x)
    h = la.matmul(la.adjoint(vt), prims.mul(_on_rows(s, vt), vt))
    return la.matmul(u, vt), symmetrized(h), 0, True


def _on_rows(s: Any, rows: Any) -> Any:
    """A real number for each row of a matrix, in its dtype."""
    shape = typeof(rows).shape
    return prims.convert(prims.Broadcast(shape, (len(shape) - 1,))(s), typeof(rows).dtype)


def _primitive(name: str) -> Any:
    if name == "symmetric_product_p":
        return _symmetric_product_p()
    return import_late("covector._engine.control.names").named(name)


publish(__name__, later=(*_PRIMITIVES, "symmetric_product_p"), arrays=(__name__,), load=_primitive)
