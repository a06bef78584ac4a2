"""Student's distribution of df degrees of freedom."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, all_positive

__all__ = ["logpdf", "pdf"]


def _log(z: Any, df: Any) -> Any:
    half = el.multiply(df, 0.5)
    power = el.multiply(el.add(half, 0.5), el.log1p(el.divide(el.square(z), df)))
    norm = el.add(el.multiply(el.log(df), 0.5), special.betaln(0.5, half))
    return el.negative(el.add(power, norm))


_FAMILY = Family(
    "t",
    _log,
    "df",
    means=all_positive,
)
logpdf, pdf = _FAMILY.functions("logpdf pdf")
publish(__name__)
