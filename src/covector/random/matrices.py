"""Random vectors with a covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import errors
from covector.numpy import elementwise as el, linalg
from covector.numpy.einsum import einsum
from covector.numpy.fused import fused
from covector.numpy.operands import converted, together
from covector.numpy.promotion import Shape, broadcast_shapes, shape_of
from covector.random.keys import words_of
from covector.random.samplers import float_dtype, normal_floats

__all__ = ["multivariate_normal"]


@fused("shape", "dtype")
def _multivariate(words: Any, mean: Any, cov: Any, shape: Shape, dtype: np.dtype) -> Any:
    numbers = normal_floats(words, (*shape, mean.shape[-1]), dtype)
    return el.add(mean, einsum("...ij,...j->...i", linalg.cholesky(cov), numbers))


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

    `shape` is that of the batch of vectors, or that of the leading axes of the parameters together; float32 unless a
    dtype is given.  The covariance must be positive definite.  ValueError for one that is not (..., n, n), and for a
    shape that the parameters do not broadcast to; NotImplementedError for another method than "cholesky".

    >>> from covector import numpy as cnp, random
    >>> random.multivariate_normal(random.key(0), cnp.zeros(2), cnp.eye(2), (3,)).shape
    (3, 2)
    """
    wanted = float_dtype("multivariate_normal", dtype)
    if method != "cholesky":
        raise NotImplementedError(
            f"multivariate_normal with method={method!r}{errors.at_user_line()}; there is 'cholesky'"
        )
    mean, cov = (
        converted(x, wanted) for x in together("multivariate_normal", "inexact", mean, cov)
    )
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
    words = words_of("multivariate_normal", key)
    return _multivariate(words, mean, cov, shape=batch, dtype=wanted)
