"""Factors of matrices."""

from __future__ import annotations

from typing import Any

from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import Cholesky
from covector.numpy.fused import compiled
from covector.numpy.systems import matrices, symmetrized

__all__ = ["cholesky"]


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
