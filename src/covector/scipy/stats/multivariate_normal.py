"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.linalg import cholesky
from covector.numpy.matrices import diagonal
from covector.numpy.operands import together
from covector.numpy.promotion import broadcast_shapes, spread
from covector.numpy.reduce import sum
from covector.numpy.shape import expand_dims
from covector.scipy.linalg import solve_triangular
from covector.scipy.stats.families import function

__all__ = ["logpdf", "pdf"]

_NAME = "multivariate_normal.logpdf"


def _log(x: Any, mean: Any, cov: Any, allow_singular: Any) -> Any:
    if allow_singular:
        raise NotImplementedError(
            f"{_NAME} with allow_singular={allow_singular!r}{errors.at_user_line()}: the covariance must be positive "
            "definite"
        )
    x, mean, cov = together(_NAME, "inexact", x, mean, cov)
    if mean.ndim == 0:
        if cov.ndim:
            raise ValueError(
                f"{_NAME}: a mean of one number needs a covariance of one, got the shape {cov.shape}"
                f"{errors.at_user_line()}"
            )
        distance = el.divide(el.square(el.subtract(x, mean)), cov)
        return el.multiply(el.add(el.add(distance, el.log(cov)), math.log(2 * math.pi)), -0.5)
    n = mean.shape[-1]
    if cov.ndim < 2 or cov.shape[-2:] != (n, n) or (x.ndim and x.shape[-1] not in (1, n)):
        raise ValueError(
            f"{_NAME}: a mean of the shape {mean.shape} needs x (..., {n}) and a covariance (..., {n}, {n}), got "
            f"{x.shape} and {cov.shape}{errors.at_user_line()}"
        )
    lower = cholesky(cov)
    off = el.subtract(x, mean)
    front = broadcast_shapes(off.shape[:-1], cov.shape[:-2])
    off = expand_dims(spread(off, (*front, n)), -1)
    scaled = solve_triangular(spread(lower, (*front, n, n)), off, lower=True)[..., 0]
    volume = sum(el.log(diagonal(lower, axis1=-2, axis2=-1)), axis=-1)
    distance = sum(el.square(scaled), axis=-1)
    half = el.multiply(el.add(distance, n * math.log(2 * math.pi)), 0.5)
    return el.negative(el.add(half, volume))


_DOC = """of the vectors x (..., n), for a mean (..., n) and a covariance (..., n, n); or of numbers, for one of each.

Float dtypes, promoted together.  ValueError for other shapes{}."""
logpdf = function(
    _NAME,
    "x mean cov allow_singular=None",
    _log,
    f"The logarithm of the density {_DOC.format(', NotImplementedError with `allow_singular`')}",
)
pdf = function(
    "multivariate_normal.pdf",
    "x mean cov",
    lambda x, mean, cov: el.exp(_log(x, mean, cov, None)),
    f"The density {_DOC.format('')}",
)
publish(__name__)
