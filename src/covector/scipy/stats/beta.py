"""The beta distribution, with the density x^(a - 1) (1 - x)^(b - 1) / B(a, b) on [0, 1]."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, all_positive

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log(z: Any, a: Any, b: Any) -> Any:
    left = special.xlogy(el.subtract(a, 1), z)
    right = special.xlog1py(el.subtract(b, 1), el.negative(z))
    return el.subtract(el.add(left, right), special.betaln(a, b))


_FAMILY = Family(
    "beta",
    _log,
    "a b",
    means=all_positive,
    low=0,
    high=1,
    inner=0.5,
    cdf=lambda z, a, b: special.betainc(a, b, z),
    sf=lambda z, a, b: special.betainc(b, a, el.subtract(1, z)),
)
cdf, logcdf, logpdf, logsf, pdf, sf = _FAMILY.functions("cdf logcdf logpdf logsf pdf sf")
publish(__name__)
