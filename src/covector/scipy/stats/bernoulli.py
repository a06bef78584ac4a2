"""Bernoulli's distribution: 1 of probability p, else 0."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.selection import where
from covector.scipy import special
from covector.scipy.stats.families import Family, is_share

__all__ = ["cdf", "logpmf", "pmf", "ppf"]


def _log(k: Any, p: Any) -> Any:
    return el.add(special.xlogy(k, p), special.xlog1py(el.subtract(1, k), el.negative(p)))


def _up_to(k: Any, p: Any) -> Any:
    return where(el.less(k, 1), el.subtract(1, p), el.add(el.multiply(k, 0), 1))


def _at(q: Any, p: Any) -> Any:
    return where(el.less_equal(q, el.subtract(1, p)), 0.0, 1.0)


_FAMILY = Family(
    "bernoulli",
    _log,
    "p",
    "loc=0",
    means=is_share,
    low=0,
    high=1,
    whole=True,
)
logpmf, pmf = _FAMILY.functions("logpmf pmf")
# Without a place, as JAX has these two.
cdf, ppf = _FAMILY._replace(place="", cdf=_up_to, ppf=_at).functions("cdf ppf")
publish(__name__)
