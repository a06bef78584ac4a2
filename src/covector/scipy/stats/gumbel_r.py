"""Gumbel's distribution of maxima, with the density exp(-x - exp(-x))."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _power(z: Any) -> Any:
    return el.exp(el.negative(z))


_FAMILY = Family(
    "gumbel_r",
    lambda z: el.negative(el.add(z, _power(z))),
    cdf=lambda z: el.exp(el.negative(_power(z))),
    sf=lambda z: el.negative(el.expm1(el.negative(_power(z)))),
    logcdf=lambda z: el.negative(_power(z)),
    logsf=lambda z: log1mexp(_power(z)),
    probability="p",
    ppf=lambda q: el.negative(el.log(el.negative(el.log(q)))),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
