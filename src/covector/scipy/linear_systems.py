"""Solutions of linear systems, and the factors for them."""

from __future__ import annotations

from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import (
    Lu,
    PivotsToPermutation,
    TriangularSolve,
)
from covector._engine.types import dims, dtypes
from covector.numpy import factors, systems
from covector.numpy.operands import together
from covector.numpy.promotion import broadcast_shapes, cast, lift, spread
from covector.numpy.shape import reshape
from covector.numpy.systems import (
    inverse_order,
    lu_solve as solve_by_factors,
    matrices,
)

__all__ = [
    "cho_factor",
    "cho_solve",
    "cholesky",
    "det",
    "inv",
    "lu",
    "lu_factor",
    "lu_solve",
    "solve",
    "solve_triangular",
]


def _right_side(name: str, a: Any, b: Any) -> tuple[Any, Any, bool]:
    """The matrices, right-hand sides as their columns, and whether these were one vector each."""
    a, b = together(name, "inexact", a, b)
    (a,) = matrices(name, a, square=True)
    vector = b.ndim == 1 or b.ndim == a.ndim - 1
    if b.ndim == 0 or b.shape[-1 if vector else -2] != a.shape[-1]:
        raise ValueError(
            f"{name} got shapes {a.shape} and {b.shape}{errors.at_user_line()}: b must be (n,) or (..., n, k) for "
            "matrices (..., n, n)"
        )
    b = reshape(b, (*b.shape, 1)) if vector else b
    front = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return spread(a, (*front, *a.shape[-2:])), spread(b, (*front, *b.shape[-2:])), vector


def _as_given(x: Any, vector: bool) -> Any:
    return reshape(x, x.shape[:-1]) if vector else x


def cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """The triangular factor of positive definite matrices: R with R* R = a, or L with L L* = a if `lower`.

    NaN where a matrix is not positive definite.  ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.cholesky(cnp.array([[4.0, 2.0], [2.0, 5.0]]))
    Array([[2., 1.],
           [0., 2.]], dtype=float32)
    """
    (a,) = matrices("scipy.linalg.cholesky", a, square=True)
    return factors.cholesky(a, upper=not lower)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """(factor, lower), for `cho_solve`: the factor of `cholesky`.

    ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp, scipy
    >>> factor, lower = scipy.linalg.cho_factor(cnp.array([[4.0, 2.0], [2.0, 5.0]]))
    >>> print(scipy.linalg.cho_solve((factor, lower), cnp.array([8.0, 8.0])))
    [1.5 1. ]
    """
    return cholesky(a, lower), lower


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """The x of a x = b, from what `cho_factor` gives of a.

    b is (n,) or (..., n, k).  ValueError for other shapes.

    >>> from covector import numpy as cnp, scipy
    >>> factor = scipy.linalg.cho_factor(4 * cnp.eye(2))
    >>> print(scipy.linalg.cho_solve(factor, cnp.array([8.0, 4.0])))
    [2. 1.]
    """
    c, lower = c_and_lower
    c, b, vector = _right_side("scipy.linalg.cho_solve", c, b)
    x = TriangularSolve(True, bool(lower), not lower, not lower)(c, b)
    return _as_given(TriangularSolve(True, bool(lower), bool(lower), bool(lower))(c, x), vector)


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinants of square matrices.

    ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.det(cnp.array([[1.0, 2.0], [3.0, 4.0]]))
    Array(-2., dtype=float32)
    """
    return systems.det(a)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverses of square matrices; inf or NaN where one is singular.

    ValueError unless the last two axes have one length.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.inv(2 * cnp.eye(2))
    Array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    return systems.inv(a)


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """(lu, pivots), for `lu_solve`: both factors in one matrix, and the rows that were exchanged, as int32.

    >>> from covector import numpy as cnp, scipy
    >>> factors = scipy.linalg.lu_factor(cnp.array([[1.0, 2.0], [4.0, 4.0]]))
    >>> print(scipy.linalg.lu_solve(factors, cnp.array([3.0, 8.0])))
    [1. 1.]
    """
    (a,) = matrices("scipy.linalg.lu_factor", a)
    lu, pivots, _ = Lu()(a)
    return lu, pivots


def lu_solve(
    lu_and_piv: tuple[Any, Any],
    b: Any,
    trans: int = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """The x of a x = b (or of aᵀ x = b, a* x = b with `trans` 1, 2), from what `lu_factor` gives of a.

    b is (n,) or (..., n, k).  ValueError for other shapes or another `trans`.

    >>> from covector import numpy as cnp, scipy
    >>> factors = scipy.linalg.lu_factor(cnp.array([[1.0, 2.0], [4.0, 4.0]]))
    >>> print(scipy.linalg.lu_solve(factors, cnp.array([5.0, 6.0]), trans=1))
    [1. 1.]
    """
    if trans not in (0, 1, 2):
        raise ValueError(
            f"scipy.linalg.lu_solve: trans must be 0, 1 or 2, got {trans!r}{errors.at_user_line()}"
        )
    lu, pivots = lu_and_piv
    lu, b, vector = _right_side("scipy.linalg.lu_solve", lu, b)
    permutation = PivotsToPermutation(dims.least(lu.shape[-1]))(
        lift("scipy.linalg.lu_solve", pivots)
    )
    permutation = spread(permutation, lu.shape[:-1])
    return _as_given(solve_by_factors(lu, permutation, b, trans), vector)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, ...]:
    """(P, L, U) with a = P L U, or (P L, U) if `permute_l`: of shapes (m, m), (m, k), (k, n), with k = min(m, n).

    >>> from covector import numpy as cnp, scipy
    >>> p, lower, upper = scipy.linalg.lu(cnp.array([[1.0, 2.0], [4.0, 4.0]]))
    >>> print(p @ lower @ upper)
    [[1. 2.]
     [4. 4.]]
    """
    (a,) = matrices("scipy.linalg.lu", a)
    both, _, permutation = Lu()(a)
    m, n = a.shape[-2:]
    k = dims.minimum(m, n)
    lower = la.triangle(both[..., :k], lower=True, strict=True)
    lower = prims.add(lower, la.identity_like(lower))
    upper = la.triangle(both[..., :k, :], lower=False)
    back = inverse_order(permutation)
    if permute_l:
        return la.take_rows(lower, back), upper
    identity = la.identity_like(prims.full((*a.shape[:-2], m, m), 0, dtypes.real_of(a.dtype)))
    return la.take_rows(identity, back), lower, upper


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Any:
    """The x of a x = b.

    `assume_a` says what a is: 'gen', 'sym', 'her' (general, by LU factors) or 'pos' (positive definite, by
    Cholesky's, of its lower or upper triangle, as `lower` says).  b is (n,) or (..., n, k).  ValueError for other
    shapes, or for another `assume_a`.

    >>> from covector import numpy as cnp, scipy
    >>> print(scipy.linalg.solve(4 * cnp.eye(2), cnp.array([8.0, 4.0]), assume_a="pos"))
    [2. 1.]
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ValueError(
            f"scipy.linalg.solve: assume_a must be 'gen', 'sym', 'her' or 'pos', got {assume_a!r}"
            f"{errors.at_user_line()}"
        )
    a, b, vector = _right_side("scipy.linalg.solve", a, b)
    if assume_a != "pos":
        return _as_given(systems.solve_general(a, b), vector)
    return _as_given(systems.solve_positive(a, b, bool(lower)), vector)


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Any:
    """The x of a x = b for triangular a; of aᵀ x = b for `trans` 1 or 'T', of a* x = b for 2 or 'C'.

    Only the upper triangle of a is read, or the lower one if `lower`.  b is (n,) or (..., n, k).  ValueError for other
    shapes or another `trans`.

    >>> from covector import numpy as cnp, scipy
    >>> a = cnp.array([[2.0, 0.0], [1.0, 4.0]])
    >>> print(scipy.linalg.solve_triangular(a, cnp.array([2.0, 9.0]), lower=True))
    [1. 2.]
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(
            f"scipy.linalg.solve_triangular: trans must be 0, 1, 2, 'N', 'T' or 'C', got {trans!r}"
            f"{errors.at_user_line()}"
        )
    a, b = together("scipy.linalg.solve_triangular", "inexact", a, b)
    given = a.dtype
    if given in (dtypes.float16, dtypes.bfloat16):
        a, b = cast(a, dtypes.float32), cast(b, dtypes.float32)
    a, b, vector = _right_side("scipy.linalg.solve_triangular", a, b)
    step = TriangularSolve(
        True, bool(lower), trans not in (0, "N"), trans in (2, "C"), bool(unit_diagonal)
    )
    return cast(_as_given(step(a, b), vector), given)
