"""Gumbel's distribution of minima, with the density exp(x - exp(x))."""

from __future__ import annotations

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


_FAMILY = Family(
    "gumbel_l",
    lambda z: el.subtract(z, el.exp(z)),
    cdf=lambda z: el.negative(el.expm1(el.negative(el.exp(z)))),
    sf=lambda z: el.exp(el.negative(el.exp(z))),
    logcdf=lambda z: log1mexp(el.exp(z)),
    logsf=lambda z: el.negative(el.exp(z)),
    probability="p",
    ppf=lambda q: el.log(el.negative(el.log1p(el.negative(q)))),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
