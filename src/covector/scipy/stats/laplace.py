"""Laplace's distribution, with the density exp(-|x|) / 2."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy.stats.families import Family

__all__ = ["cdf", "logpdf", "pdf"]


def _up_to(z: Any) -> Any:
    tail = el.multiply(el.exp(el.negative(el.abs(z))), 0.5)
    return where(el.less(z, 0), tail, el.subtract(1, tail))


_FAMILY = Family(
    "laplace",
    lambda z: el.subtract(el.negative(el.abs(z)), math.log(2)),
    cdf=_up_to,
)
cdf, logpdf, pdf = _FAMILY.functions("cdf logpdf pdf")
publish(__name__)
