"""Eigenvalues of matrices that are given by what they do: of `jax.experimental.sparse.linalg`."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from covector import lax, numpy as cnp
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.primitives.linalg import adjoint
from covector.numpy.systems import symmetrized

__all__ = ["lobpcg_standard"]


def lobpcg_standard(A: Any, X: Any, m: int = 100, tol: float | None = None) -> tuple[Any, Any, Any]:
    """The largest eigenvalues of a Hermitian matrix, their eigenvectors, and how many steps that took.

    `A` is the matrix or a function that multiplies it by (n, k), `X` of shape (n, k) where to begin, with independent
    columns: k values are looked for, and 5 k must be less than n.  At most `m` steps are made; a pair (value, v) is
    good enough where the norm of A v - value v is below tol * 10 * n * (value + |A v|); `tol` is the dtype's rounding,
    unless it is given.  The values fall.  ValueError for shapes and dtypes that do not fit.

    >>> from covector import numpy as cnp, random
    >>> from covector.experimental.sparse import linalg
    >>> start = random.normal(random.key(0), (12, 2))
    >>> values, vectors, steps = linalg.lobpcg_standard(cnp.diag(cnp.arange(12.0)), start)
    >>> values.round(3)
    Array([11., 10.], dtype=float32)
    """
    start, product = cnp.asarray(X), _product(A)
    n, k = _checked(A, start)
    steps = index(m)
    eps = cnp.finfo(start.dtype).eps if tol is None else tol
    first = _orthonormal(start)
    values, vectors, image = _ritz(first, product(first), k)

    def good(values: Any, vectors: Any, image: Any) -> Any:
        rest = cnp.linalg.norm(image - vectors * values, axis=0)
        return cnp.all(rest < eps * 10 * n * (values + cnp.linalg.norm(image, axis=0)))

    def step(state: Any) -> Any:
        i, values, vectors, image, moved, _ = state
        residuals = image - vectors * values
        # All directions are orthonormal: residuals in the space left by vectors, the last step in what both leave.
        along = _orthonormal(_outside(residuals, vectors))
        basis = cnp.concatenate([vectors, along], 1)
        basis = cnp.concatenate([basis, _orthonormal(_outside(moved, basis))], 1)
        values, found, image = _ritz(basis, product(basis), k)
        moved = found - vectors @ (adjoint(vectors) @ found)
        return i + 1, values, found, image, moved, good(values, found, image)

    def goes_on(state: Any) -> Any:
        return (state[0] < steps) & ~state[-1]

    begin = (0, values, vectors, image, cnp.zeros_like(vectors), good(values, vectors, image))
    i, values, vectors, *_ = lax.while_loop(goes_on, step, begin)
    return values, vectors, i


def _product(A: Any) -> Callable[[Any], Any]:
    return A if callable(A) else lambda x: A @ x


def _checked(A: Any, start: Any) -> tuple[int, int]:
    """(n, k); ValueError for what does not fit."""
    where = f"lobpcg_standard{errors.at_user_line()}"
    if start.ndim != 2 or not cnp.issubdtype(start.dtype, cnp.inexact):
        raise ValueError(
            f"{where} needs X of floats with two axes, got {start.dtype} of shape {start.shape}"
        )
    n, k = start.shape
    if not 0 < 5 * k < n:
        raise ValueError(f"{where} needs 0 < 5 k < n, got X of shape (n, k) = {start.shape}")
    if not callable(A) and (tuple(A.shape) != (n, n) or A.dtype != start.dtype):
        raise ValueError(
            f"{where} needs A of shape ({n}, {n}) and dtype {start.dtype}, got {A.dtype} of shape {tuple(A.shape)}"
        )
    return n, k


def _outside(x: Any, basis: Any) -> Any:
    """What of some vectors is outside of an orthonormal basis; taken off twice, as once leaves rounding."""
    for _ in range(2):
        x = x - basis @ (adjoint(basis) @ x)
    return x


def _orthonormal(x: Any) -> Any:
    """An orthonormal basis of columns; zeros for those that depend on the others up to rounding."""
    for _ in range(2):
        length = cnp.linalg.norm(x, axis=0)
        x = x / cnp.where(length > 0, length, 1)
        w, v = cnp.linalg.eigh(adjoint(x) @ x)
        kept = w > x.shape[1] * cnp.finfo(x.dtype).eps * cnp.max(w)
        x = cnp.where(kept, (x @ v) / cnp.sqrt(cnp.where(kept, w, 1)), 0)
    return x


def _ritz(basis: Any, image: Any, k: int) -> tuple[Any, Any, Any]:
    """The largest values of a matrix in a space, their vectors and the images of these: of a basis and its image."""
    inside = symmetrized(adjoint(basis) @ image)
    # Columns of zeros are no directions: they are put below all values.
    empty = cnp.linalg.norm(basis, axis=0) == 0
    below = -(cnp.linalg.norm(inside) + 1) * 2
    values, vectors = cnp.linalg.eigh(inside + cnp.diag(cnp.where(empty, below, 0)))
    chosen = vectors[:, ::-1][:, :k]
    return values[::-1][:k], basis @ chosen, image @ chosen


publish(__name__)
