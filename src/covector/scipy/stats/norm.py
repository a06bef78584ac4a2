"""The normal distribution, with the density exp(-x²/2) / √(2π)."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]

_LOG = 0.5 * math.log(2 * math.pi)


def _log(z: Any) -> Any:
    return el.subtract(el.multiply(el.square(z), -0.5), _LOG)


_FAMILY = Family(
    "norm",
    _log,
    cdf=special.ndtr,
    sf=lambda z: special.ndtr(el.negative(z)),
    logcdf=special.log_ndtr,
    logsf=lambda z: special.log_ndtr(el.negative(z)),
    ppf=special.ndtri,
    isf=lambda q: el.negative(special.ndtri(q)),
)
cdf, isf, logcdf, logpdf, logsf, pdf, ppf, sf = _FAMILY.functions(
    "cdf isf logcdf logpdf logsf pdf ppf sf"
)
publish(__name__)
