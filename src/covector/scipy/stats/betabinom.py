"""The binomial distribution with a probability that is itself of the beta distribution."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.scipy import special
from covector.scipy.stats.families import Family

__all__ = ["logpmf", "pmf"]


def _log(k: Any, n: Any, a: Any, b: Any) -> Any:
    rest = el.subtract(n, k)
    ways = el.add(special.betaln(el.add(rest, 1), el.add(k, 1)), el.log1p(n))
    share = el.subtract(special.betaln(el.add(k, a), el.add(rest, b)), special.betaln(a, b))
    return el.subtract(share, ways)


_FAMILY = Family(
    "betabinom",
    _log,
    "n a b",
    "loc=0",
    low=0,
    high=lambda n, a, b: n,
    whole=True,
)
logpmf, pmf = _FAMILY.functions("logpmf pmf")
publish(__name__)
