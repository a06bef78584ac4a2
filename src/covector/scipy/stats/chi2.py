"""The distribution of the sum of the squares of df normal numbers."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, all_positive

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log(z: Any, df: Any) -> Any:
    half = el.multiply(df, 0.5)
    power = el.subtract(special.xlogy(el.subtract(half, 1), z), el.multiply(z, 0.5))
    return el.subtract(power, el.add(special.gammaln(half), el.multiply(half, math.log(2))))


def _halves(z: Any, df: Any) -> tuple[Any, Any]:
    return el.multiply(df, 0.5), el.multiply(z, 0.5)


_FAMILY = Family(
    "chi2",
    _log,
    "df",
    means=all_positive,
    low=0,
    inner=1,
    cdf=lambda z, df: special.gammainc(*_halves(z, df)),
    sf=lambda z, df: special.gammaincc(*_halves(z, df)),
)
cdf, logcdf, logpdf, logsf, pdf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf sf")
publish(__name__)
