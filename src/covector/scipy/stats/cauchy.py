"""Cauchy's distribution, with the density 1 / (π (1 + x²))."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy.stats.families import Family

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _up_to(z: Any) -> Any:
    """By the angle whose tangent is -1/z, which is exact where it is small."""
    return el.divide(el.arctan2(1, el.negative(z)), math.pi)


def _log(z: Any) -> Any:
    return el.negative(el.add(el.log1p(el.square(z)), math.log(math.pi)))


def _above(q: Any) -> Any:
    """The cotangent of π q, from the end that is nearer."""
    upper = el.less_equal(q, 0.5)
    near = el.abs(where(upper, q, el.subtract(1, q)))  # no -0.0
    found = el.divide(1, el.tan(el.multiply(near, math.pi)))
    return where(upper, found, el.negative(found))


_FAMILY = Family(
    "cauchy",
    _log,
    cdf=_up_to,
    sf=lambda z: _up_to(el.negative(z)),
    ppf=lambda q: el.negative(_above(q)),
    isf=_above,
)
cdf, isf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions(
    "cdf isf logcdf logpdf logsf pdf ppf sf"
)
publish(__name__)
