"""Gumbel's distribution of minima, with the density exp(x - exp(x))."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


_FAR, _LITTLE = 10, -30  # above, exp(-exp(z)) is 0 in any dtype; below, log(1 - exp(-exp(z))) is z


def power(z: Any) -> Any:
    """exp(z) for z up to where nothing is left of exp(-exp(z)): no infinity comes into its derivative."""
    return el.exp(el.minimum(z, _FAR))


def log_up_to(z: Any) -> Any:
    """log(1 - exp(-exp(z)))."""
    little = el.less(z, _LITTLE)
    return where(little, z, log1mexp(power(where(little, _LITTLE, z))))


_FAMILY = Family(
    "gumbel_l",
    lambda z: el.subtract(z, el.exp(z)),
    cdf=lambda z: el.negative(el.expm1(el.negative(power(z)))),
    sf=lambda z: el.exp(el.negative(power(z))),
    logcdf=log_up_to,
    logsf=lambda z: el.negative(el.exp(z)),
    probability="p",
    ppf=lambda q: el.log(el.negative(el.log1p(el.negative(q)))),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
