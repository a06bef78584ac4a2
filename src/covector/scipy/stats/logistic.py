"""The logistic distribution, with the density 1 / (4 cosh²(x/2))."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family

__all__ = ["cdf", "isf", "logpdf", "pdf", "ppf", "sf"]


def _log(z: Any) -> Any:
    far = el.negative(el.abs(z))
    return el.subtract(far, el.multiply(el.log1p(el.exp(far)), 2))


_FAMILY = Family(
    "logistic",
    _log,
    cdf=special.expit,
    sf=lambda z: special.expit(el.negative(z)),
    probability="x",
    ppf=special.logit,
    isf=lambda q: el.negative(special.logit(q)),
)
cdf, isf, logpdf, pdf, ppf, sf = _FAMILY.functions("cdf isf logpdf pdf ppf sf")
publish(__name__)
