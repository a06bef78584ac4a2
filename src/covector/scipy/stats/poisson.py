"""Poisson's distribution, with the probability of k proportional to μ^k / k!."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.operands import together
from covector.numpy.ranges import arange
from covector.numpy.reduce import sum
from covector.numpy.selection import where
from covector.scipy import special
from covector.scipy.stats.families import Family, function

__all__ = ["cdf", "entropy", "logpmf", "pmf"]


def _log(k: Any, mu: Any) -> Any:
    return el.subtract(el.subtract(special.xlogy(k, mu), special.gammaln(el.add(k, 1))), mu)


_TERMS = 256  # at the largest μ that is summed up, 100, the probability of more is 1e-36
_ENTROPY = """The entropy of the distribution, in nats; NaN for negative μ.

Up to μ = 100 the sum over k, further out the asymptotic series, whose remainder is below 1e-13 there
(R. J. Evans and J. Boersma, "The entropy of a Poisson distribution", SIAM Review 30, 1988)."""
_SERIES = (1 / 12, 1 / 24, 19 / 360, 9 / 80, 863 / 2520, 1375 / 1008)


def _entropy(mu: Any, loc: Any) -> Any:
    mu, _ = together("poisson.entropy", "inexact", mu, loc)
    near = el.less_equal(mu, 100)
    small, large = where(near, mu, 1.0), where(near, 200.0, mu)
    k = arange(_TERMS, dtype=small.dtype)
    logs = _log(k, small[..., None])
    exact = sum(
        el.negative(el.multiply(el.exp(logs), where(el.isneginf(logs), 0.0, logs))), axis=-1
    )
    series: Any = 0.0
    for c in reversed(_SERIES):
        series = el.divide(el.add(series, c), large)
    far = el.subtract(el.multiply(el.log(el.multiply(large, 2 * math.pi * math.e)), 0.5), series)
    return where(el.less(mu, 0), math.nan, where(near, exact, far))


_FAMILY = Family(
    "poisson",
    _log,
    "mu",
    "loc=0",
    means=lambda mu: el.greater_equal(mu, 0),
    low=0,
    whole=True,
    cdf=lambda k, mu: special.gammaincc(el.add(k, 1), mu),
)
cdf, logpmf, pmf = _FAMILY.functions("cdf logpmf pmf")
entropy = function("poisson.entropy", "mu loc=0", _entropy, _ENTROPY)
publish(__name__)
