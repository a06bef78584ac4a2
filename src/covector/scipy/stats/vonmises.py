"""Von Mises' distribution of angles, with the density of x proportional to exp(κ cos(x))."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family

__all__ = ["logpdf", "pdf"]


def _log(z: Any, kappa: Any) -> Any:
    norm = el.add(el.log(special.i0e(kappa)), math.log(2 * math.pi))
    return el.subtract(el.multiply(kappa, el.subtract(el.cos(z), 1)), norm)


_FAMILY = Family(
    "vonmises",
    _log,
    "kappa",
    place="",
)
logpdf, pdf = _FAMILY.functions("logpdf pdf")
publish(__name__)
