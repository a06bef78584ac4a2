"""The uniform distribution on [loc, loc + scale]."""

from __future__ import annotations

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logpdf", "pdf", "ppf"]


_FAMILY = Family(
    "uniform",
    lambda z: el.multiply(z, 0.0),
    low=0,
    high=1,
    cdf=lambda z: z,
    ppf=lambda q: q,
)
cdf, logpdf, pdf, ppf = _FAMILY.functions("cdf logpdf pdf ppf")
publish(__name__)
