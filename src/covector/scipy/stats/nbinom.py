"""The negative binomial distribution: how often something fails before it succeeds n times."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, is_share

__all__ = ["logpmf", "pmf"]


def _log(k: Any, n: Any, p: Any) -> Any:
    ways = el.add(special.betaln(el.add(k, 1), n), el.log(el.add(k, n)))
    powers = el.add(el.multiply(n, el.log(p)), special.xlog1py(k, el.negative(p)))
    return el.subtract(powers, ways)


_FAMILY = Family(
    "nbinom",
    _log,
    "n p",
    "loc=0",
    means=lambda n, p: is_share(p),
    low=0,
    whole=True,
)
logpmf, pmf = _FAMILY.functions("logpmf pmf")
publish(__name__)
