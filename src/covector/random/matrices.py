"""Random vectors with a covariance, and random orthogonal matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, linalg
from covector.numpy.einsum import einsum
from covector.numpy.fused import fused
from covector.numpy.operands import converted, together
from covector.numpy.promotion import Shape, broadcast_shapes, integer_of, shape_of
from covector.numpy.shape import expand_dims, matrix_transpose
from covector.random.keys import key_of
from covector.random.samplers import check_real, float_dtype, normal_floats

__all__ = ["multivariate_normal", "orthogonal"]

METHODS = ("cholesky", "eigh", "svd")


def _factor(cov: Any, method: str) -> Any:
    """A matrix whose product with its transpose is the covariance."""
    if method == "cholesky":
        return linalg.cholesky(cov)
    if method == "eigh":
        values, vectors = linalg.eigh(cov)
    else:
        vectors, values, _ = linalg.svd(cov)
    return el.multiply(vectors, expand_dims(el.sqrt(values), -2))


@fused("shape", "dtype", "method")
def _multivariate(key: Any, mean: Any, cov: Any, shape: Shape, dtype: np.dtype, method: str) -> Any:
    numbers = normal_floats(key, (*shape, mean.shape[-1]), dtype)
    turned = einsum("...ij,...j->...i", _factor(cov, method), converted(numbers, cov.dtype))
    return converted(el.add(mean, turned), dtype)


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    out_sharding: Any = None,
) -> Any:
    """Vectors with the normal distribution of this mean and covariance.

    `shape` is that of the batch of vectors, or that of the leading axes of the parameters together.  The dtype is
    that of the parameters, a float one for integers, unless one is given.  `method` says how the covariance is
    factored: "cholesky" for one that is positive definite, or "eigh" or "svd".  ValueError for another method, a
    covariance that is not (..., n, n), and other shapes.

    >>> from covector import numpy as cnp, random
    >>> random.multivariate_normal(random.key(0), cnp.zeros(2), cnp.eye(2), (3,)).shape
    (3, 2)
    """
    if method not in METHODS:
        raise ValueError(
            f"multivariate_normal: method is {method!r}{errors.at_user_line()}; it is one of {METHODS}"
        )
    check_real("multivariate_normal", mean, cov)
    mean, cov = together("multivariate_normal", "inexact", mean, cov)
    wanted = float_dtype("multivariate_normal", mean.dtype if dtype is None else dtype)
    wide = (
        dtypes.float32 if wanted in dtypes.FLOATS[:2] else wanted
    )  # matrices have no factors in 16 bits
    mean, cov = (converted(x, wide) for x in (mean, cov))
    if mean.ndim < 1 or cov.ndim < 2 or cov.shape[-2:] != (mean.shape[-1],) * 2:
        raise ValueError(
            f"multivariate_normal: a mean of the shape {mean.shape} needs a covariance (..., n, n), "
            f"got {cov.shape}{errors.at_user_line()}"
        )
    own = broadcast_shapes(mean.shape[:-1], cov.shape[:-2])
    batch = own if shape is None else shape_of(shape)
    if broadcast_shapes(own, batch) != batch:
        raise ValueError(
            f"multivariate_normal: parameters of the batch {own} do not broadcast to the shape {batch}"
            f"{errors.at_user_line()}"
        )
    key = key_of("multivariate_normal", key)
    return _multivariate(key, mean, cov, shape=batch, dtype=wanted, method=method)


@fused("shape", "dtype", "n", "m")
def _orthogonal(key: Any, shape: Shape, dtype: np.dtype, n: int, m: int) -> Any:
    z = normal_floats(key, (*shape, max(n, m), min(n, m)), dtype)
    q, r = linalg.qr(z)
    q = el.multiply(q, expand_dims(el.sign(linalg.diagonal(r)), -2))
    return matrix_transpose(q) if n < m else q


def orthogonal(
    key: Any,
    n: int,
    shape: Any = (),
    dtype: Any = None,
    m: int | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Orthogonal matrices (n, n), or (n, m) with orthonormal rows or columns, spread evenly; complex ones are unitary.

    float32 unless a dtype is given.  By the QR factors of normal numbers (F. Mezzadri, "How to generate random matrices
    from the classical compact groups", 2007).  TypeError for an n or m that is no integer.

    >>> from covector import random
    >>> q = random.orthogonal(random.key(0), 3)
    >>> abs(q @ q.T - random.orthogonal(random.key(0), 3) @ q.T).max() < 1e-6
    Array(True, dtype=bool)
    """
    wanted = float_dtype("orthogonal", dtype, allow_complex=True)
    n = integer_of(n, "n of orthogonal")
    m = n if m is None else integer_of(m, "m of orthogonal")
    key = key_of("orthogonal", key)
    return _orthogonal(key, shape=shape_of(shape), dtype=wanted, n=n, m=m)
