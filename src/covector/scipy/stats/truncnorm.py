"""The normal distribution of those values that lie in [a, b]."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy import special
from covector.scipy.stats.families import Family
from covector.scipy.stats.norm import logpdf as logpdf_of_normal

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log_mass(a: Any, b: Any) -> Any:
    """The logarithm of the normal probability of [a, b], by the tails on that side where they are small."""
    right = el.greater(a, 0)
    low, high = where(right, el.negative(b), a), where(right, el.negative(a), b)
    up_to = special.log_ndtr(high)
    return el.add(up_to, log1mexp(el.subtract(up_to, special.log_ndtr(low))))


def _share(low: Any, high: Any, a: Any, b: Any) -> Any:
    return el.subtract(_log_mass(low, high), _log_mass(a, b))


def _between(a: Any, b: Any) -> Any:
    """A value in [a, b], which may have no bounds: at the bounds a part has no mass, and log no slope."""
    middle = el.multiply(el.add(a, b), 0.5)
    beside = where(el.isinf(a), el.subtract(b, 1), el.add(a, 1))
    return where(el.logical_or(el.isinf(a), el.isinf(b)), beside, middle)


_FAMILY = Family(
    "truncnorm",
    lambda z, a, b: el.subtract(logpdf_of_normal(z), _log_mass(a, b)),
    "a b",
    means=el.less,
    low=lambda a, b: a,
    high=lambda a, b: b,
    inner=_between,
    cdf=lambda z, a, b: el.exp(_share(a, z, a, b)),
    sf=lambda z, a, b: el.exp(_share(z, b, a, b)),
    logcdf=lambda z, a, b: _share(a, z, a, b),
    logsf=lambda z, a, b: _share(z, b, a, b),
)
cdf, logcdf, logpdf, logsf, pdf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf sf")
publish(__name__)
