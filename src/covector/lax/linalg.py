"""Factors of matrices and linear systems, close to the primitives: names and meanings are those of `jax.lax.linalg`.

Matrices lie along the last two axes; the axes in front are a batch.  They are of float32, float64, complex64 or
complex128: TypeError for other dtypes, ShapeError for other shapes.  What cannot be factored gives NaN.
"""

from __future__ import annotations

import typing
from importlib import import_module
from typing import Any

from covector._engine.base.public import missing, publish
from covector._engine.core.trace import typeof
from covector._engine.primitives.linalg_solve import (
    Cholesky,
    Lu,
    PivotsToPermutation,
    TriangularSolve,
)
from covector.lax.operands import array
from covector.numpy.operands import together
from covector.numpy.promotion import integer_of
from covector.numpy.systems import symmetrized

__all__ = ["cholesky", "lu", "lu_pivots_to_permutation", "triangular_solve"]

if not typing.TYPE_CHECKING:  # for a type checker it would mean that every name is there

    def __getattr__(name: str) -> Any:
        if name not in _PRIMITIVES:
            raise missing("covector.lax.linalg", name)
        return import_module("covector._engine.control.names").named(name)


_PRIMITIVES = ("cholesky_p", "lu_p", "lu_pivots_to_permutation_p", "triangular_solve_p")


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L L* = x, for positive definite x; NaN for others.

    Only the Hermitian part of x counts; without `symmetrize_input`, only its lower triangle.

    >>> from covector import lax, numpy as cnp
    >>> lax.linalg.cholesky(cnp.array([[4.0, 2.0], [2.0, 5.0]]))
    Array([[2., 0.],
           [1., 2.]], dtype=float32)
    """
    x = array("cholesky", x)
    Cholesky().type(typeof(x))
    return Cholesky()(symmetrized(x) if symmetrize_input else x)


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
    if b.ndim != a.ndim - 1:
        return solve(a, b)
    shape = b.shape
    column = (*shape, 1) if left_side else (*shape[:-1], 1, shape[-1])
    return solve(a, b.reshape(column)).reshape(shape)


publish(__name__, later=_PRIMITIVES, arrays=(__name__,))
