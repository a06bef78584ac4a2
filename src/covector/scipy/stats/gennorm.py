"""The generalized normal distribution, with the density of x proportional to exp(-|x|^β)."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy import special
from covector.scipy.stats.families import Family, all_positive

__all__ = ["cdf", "logpdf", "pdf"]


def _log(z: Any, beta: Any) -> Any:
    norm = el.subtract(el.log(el.multiply(beta, 0.5)), special.gammaln(el.divide(1, beta)))
    return el.subtract(norm, el.power(el.abs(z), beta))


def _up_to(z: Any, beta: Any) -> Any:
    tail = special.gammaincc(el.divide(1, beta), el.power(el.abs(z), beta))
    tail = el.multiply(tail, 0.5)
    return where(el.less(z, 0), tail, el.subtract(1, tail))


_FAMILY = Family(
    "gennorm",
    _log,
    "beta",
    means=all_positive,
    place="",
    cdf=_up_to,
)
cdf, logpdf, pdf = _FAMILY.functions("cdf logpdf pdf")
publish(__name__)
