"""Cauchy's distribution on the circle, with 0 <= c < 1."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy.stats.families import Family

__all__ = ["logpdf", "pdf"]


def _log(z: Any, c: Any) -> Any:
    top = el.subtract(el.log1p(el.negative(el.square(c))), math.log(2 * math.pi))
    return el.subtract(top, el.log1p(el.multiply(c, el.subtract(c, el.multiply(el.cos(z), 2)))))


_FAMILY = Family(
    "wrapcauchy",
    _log,
    "c",
    means=lambda c: el.logical_and(el.greater_equal(c, 0), el.less(c, 1)),
    place="",
    low=0,
    high=2 * math.pi,
)
logpdf, pdf = _FAMILY.functions("logpdf pdf")
publish(__name__)
