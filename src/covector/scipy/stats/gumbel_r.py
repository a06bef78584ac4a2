"""Gumbel's distribution of maxima, with the density exp(-x - exp(-x))."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family
from covector.scipy.stats.gumbel_l import log_up_to, power

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _power(z: Any) -> Any:
    return power(el.negative(z))


_FAMILY = Family(
    "gumbel_r",
    lambda z: el.negative(el.add(z, el.exp(el.negative(z)))),
    cdf=lambda z: el.exp(el.negative(_power(z))),
    sf=lambda z: el.negative(el.expm1(el.negative(_power(z)))),
    logcdf=lambda z: el.negative(el.exp(el.negative(z))),
    logsf=lambda z: log_up_to(el.negative(z)),
    probability="p",
    ppf=lambda q: el.negative(el.log(el.negative(el.log(q)))),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
