"""The geometric distribution: at which try something of probability p happens first."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, is_share

__all__ = ["logpmf", "pmf"]


def _log(k: Any, p: Any) -> Any:
    return el.add(special.xlog1py(el.subtract(k, 1), el.negative(p)), el.log(p))


_FAMILY = Family(
    "geom",
    _log,
    "p",
    "loc=0",
    means=is_share,
    low=1,
    whole=True,
)
logpmf, pmf = _FAMILY.functions("logpmf pmf")
publish(__name__)
