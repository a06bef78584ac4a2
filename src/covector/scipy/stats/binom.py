"""The binomial distribution: how often of n times something of probability p happens."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family, is_share

__all__ = ["logpmf", "pmf"]


def _log(k: Any, n: Any, p: Any) -> Any:
    rest = el.subtract(n, k)
    ways = el.add(special.betaln(el.add(rest, 1), el.add(k, 1)), el.log1p(n))
    powers = el.add(special.xlogy(k, p), special.xlog1py(rest, el.negative(p)))
    return el.subtract(powers, ways)


_FAMILY = Family(
    "binom",
    _log,
    "n p",
    "loc=0",
    means=lambda n, p: is_share(p),
    low=0,
    high=lambda n, p: n,
    whole=True,
)
logpmf, pmf = _FAMILY.functions("logpmf pmf")
publish(__name__)
