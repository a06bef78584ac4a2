"""Pareto's distribution, with the density b / x^(b + 1) for x >= 1."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.nn.activations import log1mexp
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family, all_positive

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def _log(z: Any, b: Any) -> Any:
    return el.subtract(el.log(b), el.multiply(el.add(b, 1), el.log(z)))


def _steps(z: Any, b: Any) -> Any:
    """-log of the probability of values above z."""
    return el.multiply(b, el.log(z))


_FAMILY = Family(
    "pareto",
    _log,
    "b",
    means=all_positive,
    low=1,
    inner=2,
    cdf=lambda z, b: el.negative(el.expm1(el.negative(_steps(z, b)))),
    sf=lambda z, b: el.exp(el.negative(_steps(z, b))),
    logcdf=lambda z, b: log1mexp(_steps(z, b)),
    logsf=lambda z, b: el.negative(_steps(z, b)),
    ppf=lambda q, b: el.exp(el.divide(el.negative(el.log1p(el.negative(q))), b)),
)
cdf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf ppf sf")
publish(__name__)
