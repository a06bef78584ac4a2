"""The multinomial distribution: how often of n times each of some things happens."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base.public import publish
from covector.numpy import elementwise as el
from covector.numpy.operands import together
from covector.numpy.reduce import all, sum
from covector.numpy.selection import where
from covector.scipy import special
from covector.scipy.stats.families import joint

__all__ = ["logpmf", "pmf"]


def _log(x: Any, n: Any, p: Any) -> Any:
    x, n, p = together("multinomial.logpmf", "inexact", x, n, p)
    valid = el.logical_and(all(el.greater_equal(x, 0), axis=-1), el.equal(sum(x, axis=-1), n))
    safe = where(valid[..., None], x, 0.0)
    ways = el.subtract(
        special.gammaln(el.add(n, 1)), sum(special.gammaln(el.add(safe, 1)), axis=-1)
    )
    return where(valid, el.add(ways, sum(special.xlogy(safe, p), axis=-1)), -np.inf)


logpmf, pmf = joint(
    "multinomial",
    "x n p",
    _log,
    "logpmf pmf",
    "the probability of the counts x (..., k), of n in all, for things of the probabilities p (..., k).",
)
publish(__name__)
