"""Dirichlet's distribution of vectors of positive numbers that add up to 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.join import concatenate
from covector.numpy.operands import together
from covector.numpy.reduce import all, sum
from covector.numpy.selection import where
from covector.numpy.shape import expand_dims
from covector.scipy import special
from covector.scipy.stats.families import joint

__all__ = ["logpdf", "pdf"]


def _log(x: Any, alpha: Any) -> Any:
    x, alpha = together("dirichlet.logpdf", "inexact", x, alpha)
    if alpha.ndim != 1:
        raise ValueError(
            f"dirichlet.logpdf: alpha has the shape {alpha.shape}{errors.at_user_line()}; it must be a vector"
        )
    n = alpha.shape[0]
    if x.ndim == 0 or x.shape[0] not in (n, n - 1):
        raise ValueError(
            f"dirichlet.logpdf: alpha has {n} elements, and x the shape {x.shape}{errors.at_user_line()}; along its "
            f"first axis x needs {n}, or {n - 1} and the last one is what is missing from 1"
        )
    if x.shape[0] != n:
        x = concatenate([x, expand_dims(el.subtract(1, sum(x, axis=0)), 0)])
    alphas = alpha.reshape((n,) + (1,) * (x.ndim - 1))
    norm = el.subtract(sum(special.gammaln(alpha)), special.gammaln(sum(alpha)))
    # As near to 1 as numbers of this dtype add up.
    eps = 10 * n * float(dtypes.finfo(x.dtype).eps)
    inside = el.logical_and(
        all(el.greater_equal(x, 0), axis=0),
        el.less_equal(el.abs(el.subtract(sum(x, axis=0), 1)), eps),
    )
    safe = where(inside, x, 1 / n)
    found = el.subtract(sum(special.xlogy(el.subtract(alphas, 1), safe), axis=0), norm)
    return where(inside, found, -np.inf)


logpdf, pdf = joint(
    "dirichlet",
    "x alpha",
    _log,
    "logpdf pdf",
    "the density of the vectors x (n, ...), or of what is left of them without the last number, for alpha (n,).\n\n"
    "ValueError for other shapes.",
)
publish(__name__)
