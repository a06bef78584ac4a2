"""The gamma distribution, with the density x^(a - 1) exp(-x) / Γ(a) for x >= 0."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, all_positive

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log(z: Any, a: Any) -> Any:
    power = el.subtract(special.xlogy(el.subtract(a, 1), z), z)
    return el.subtract(power, special.gammaln(a))


_FAMILY = Family(
    "gamma",
    _log,
    "a",
    means=all_positive,
    low=0,
    inner=1,
    cdf=lambda z, a: special.gammainc(a, z),
    sf=lambda z, a: special.gammaincc(a, z),
)
cdf, logcdf, logpdf, logsf, pdf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf sf")
publish(__name__)
