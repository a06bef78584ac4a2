"""The exponential distribution, with the density exp(-x) for x >= 0."""

from __future__ import annotations

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


_FAMILY = Family(
    "expon",
    el.negative,
    low=0,
    cdf=lambda z: el.negative(el.expm1(el.negative(z))),
    sf=lambda z: el.exp(el.negative(z)),
    logcdf=log1mexp,
    logsf=el.negative,
    ppf=lambda q: el.negative(el.log1p(el.negative(q))),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
