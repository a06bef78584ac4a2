"""Densities estimated from samples by Gaussian kernels."""

from __future__ import annotations

import math
from typing import Any

from covector._engine.base import errors, tree
from covector._engine.base.public import bounded
from covector._engine.types import dtypes
from covector.lax.control_flow import map as map_
from covector.nn.functions import logsumexp
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import array, full
from covector.numpy.estimates import cov as covariance_of
from covector.numpy.linalg import cholesky, inv
from covector.numpy.linear import dot
from covector.numpy.matrices import diagonal
from covector.numpy.operands import converted, together
from covector.numpy.shape import atleast_2d, reshape
from covector.random.choices import choice
from covector.random.keys import split
from covector.random.matrices import multivariate_normal
from covector.scipy import special
from covector.scipy.linalg import cho_solve, solve_triangular

__all__ = ["gaussian_kde"]


@bounded
class gaussian_kde:
    """The density of samples (d, n), or (n,): a normal distribution around each, all of one covariance.

    The covariance is that of the samples times the square of a factor: 'scott', n^(-1/(d + 4)), the default,
    'silverman', (n (d + 2) / 4)^(-1/(d + 4)), a number, or a function of this object.  `weights` (n,) say how often
    each sample counts; n is then (Σ w)² / Σ w².  A pytree, so it goes through `jit` and `vmap`.  ValueError for other
    shapes, complex samples, fewer than two of them, and another bandwidth (D. W. Scott, "Multivariate Density
    Estimation", 1992).

    >>> from covector.scipy import stats
    >>> import covector.numpy as np
    >>> density = stats.gaussian_kde(np.array([0.0, 1.0, 3.0]))
    >>> density(np.array([1.0])).round(4)
    Array([0.2149], dtype=float32)
    """

    __slots__ = ("covariance", "dataset", "inv_cov", "neff", "weights")

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None):
        (samples,) = together("gaussian_kde", "inexact", array(dataset))
        samples = atleast_2d(samples)
        if dtypes.is_complex(samples.dtype) or samples.ndim != 2 or samples.shape[1] < 2:
            raise ValueError(
                f"gaussian_kde takes two or more real samples (d, n), got {samples.dtype.name} of the shape "
                f"{samples.shape}{errors.at_user_line()}"
            )
        n = samples.shape[1]
        if weights is None:
            weights = full(n, 1 / n, samples.dtype)
        else:
            weights = converted(array(weights), samples.dtype)
            if weights.shape != (n,):
                raise ValueError(
                    f"gaussian_kde: {n} samples need as many weights, got the shape {weights.shape}"
                    f"{errors.at_user_line()}"
                )
            weights = el.divide(weights, reduce.sum(weights))
        self.dataset, self.weights = samples, weights
        self.neff = el.divide(1, reduce.sum(el.square(weights)))
        factor = self._factor(bw_method)
        spread = atleast_2d(covariance_of(samples, rowvar=True, bias=False, aweights=weights))
        self.covariance = el.multiply(el.multiply(spread, factor), factor)
        self.inv_cov = el.divide(el.divide(inv(spread), factor), factor)

    def _factor(self, method: Any) -> Any:
        scale = -1 / (self.d + 4)
        if method is None or method == "scott":
            return el.power(self.neff, scale)
        if method == "silverman":
            return el.power(el.divide(el.multiply(self.neff, self.d + 2), 4), scale)
        if callable(method):
            return method(self)
        if isinstance(method, str):
            raise ValueError(
                f"gaussian_kde: bw_method is {method!r}{errors.at_user_line()}; it is 'scott', 'silverman', a number "
                "or a function"
            )
        return method

    @property
    def d(self) -> int:
        """How many numbers a sample has.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([[0.0, 1.0, 2.0]])).d
        1
        """
        return self.dataset.shape[0]

    @property
    def n(self) -> int:
        """How many samples there are.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([[0.0, 1.0, 2.0]])).n
        3
        """
        return self.dataset.shape[1]

    def _points(self, name: str, points: Any) -> Any:
        points = atleast_2d(converted(array(points), self.dataset.dtype))
        if points.ndim == 2 and self.d == points.shape[1] and points.shape[0] == 1 != self.d:
            points = reshape(points, (self.d, 1))
        if points.ndim != 2 or points.shape[0] != self.d:
            raise ValueError(
                f"gaussian_kde.{name} takes points ({self.d}, m), got the shape {points.shape}{errors.at_user_line()}"
            )
        return points

    def _logs(self, points: Any) -> Any:
        """The logarithm of the density at points (d, m): one after the other, so nothing of m x n is stored."""
        lower = cholesky(self.covariance)
        volume = reduce.sum(el.log(diagonal(lower)))
        norm = el.add(volume, self.d * math.log(2 * math.pi) / 2)
        samples = solve_triangular(lower, self.dataset, lower=True)
        places = solve_triangular(lower, points, lower=True)
        logs = el.log(self.weights)

        def at(place: Any) -> Any:
            distance = reduce.sum(el.square(el.subtract(samples, place[:, None])), axis=0)
            return logsumexp(el.subtract(logs, el.multiply(distance, 0.5)))

        return el.subtract(map_(at, places.T), norm)

    def evaluate(self, points: Any) -> Any:
        """The density at points (d, m).

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).evaluate(np.array([0.0, 1.0])).shape
        (2,)
        """
        return el.exp(self._logs(self._points("evaluate", points)))

    __call__ = evaluate

    def pdf(self, x: Any) -> Any:
        """The density at points (d, m): `evaluate`.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).pdf(0.5).shape
        (1,)
        """
        return el.exp(self._logs(self._points("pdf", x)))

    def logpdf(self, x: Any) -> Any:
        """The logarithm of the density at points (d, m).

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).logpdf(100.0).item() < -1000
        True
        """
        return self._logs(self._points("logpdf", x))

    def integrate_gaussian(self, mean: Any, cov: Any) -> Any:
        """The integral of this density times a normal one, of this mean (d,) and covariance (d, d).

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).integrate_gaussian(0.0, 1.0).shape
        ()
        """
        dtype = self.dataset.dtype
        mean = reshape(converted(array(mean), dtype), (-1,))
        cov = atleast_2d(converted(array(cov), dtype))
        if mean.shape != (self.d,) or cov.shape != (self.d, self.d):
            raise ValueError(
                f"gaussian_kde.integrate_gaussian takes a mean ({self.d},) and a covariance ({self.d}, {self.d}), got "
                f"{mean.shape} and {cov.shape}{errors.at_user_line()}"
            )
        return _overlap(
            self.dataset,
            self.weights,
            mean[:, None],
            full(1, 1.0, dtype),
            el.add(self.covariance, cov),
        )

    def integrate_box_1d(self, low: Any, high: Any) -> Any:
        """The probability of values in [low, high], of a density of numbers.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).integrate_box_1d(-np.inf, 0.5).round(3)
        Array(0.5, dtype=float32)
        """
        if self.d != 1:
            raise ValueError(
                f"gaussian_kde.integrate_box_1d is of numbers, and these samples have {self.d}{errors.at_user_line()}"
            )
        width = el.sqrt(self.covariance[0, 0])
        up_to = [
            special.ndtr(el.divide(el.subtract(edge, self.dataset[0]), width))
            for edge in (low, high)
        ]
        return dot(self.weights, el.subtract(up_to[1], up_to[0]))

    def integrate_kde(self, other: Any) -> Any:
        """The integral of the product of two densities.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> density = stats.gaussian_kde(np.array([0.0, 1.0]))
        >>> density.integrate_kde(density).shape
        ()
        """
        if other.d != self.d:
            raise ValueError(
                f"gaussian_kde.integrate_kde: densities of {self.d} and of {other.d} numbers{errors.at_user_line()}"
            )
        total = el.add(self.covariance, other.covariance)
        return _overlap(self.dataset, self.weights, other.dataset, other.weights, total)

    def integrate_box(self, low_bounds: Any, high_bounds: Any, maxpts: Any = None) -> Any:
        """Not there: NotImplementedError.  `integrate_box_1d` is, for numbers.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([[0.0, 1.0, 2.0]])).integrate_box(0, 1)
        Traceback (most recent call last):
            ...
        NotImplementedError: ...
        """
        raise NotImplementedError(
            f"gaussian_kde.integrate_box{errors.at_user_line()}: use integrate_box_1d, for densities of numbers"
        )

    def set_bandwidth(self, bw_method: Any = None) -> None:
        """Not there, as densities do not change: NotImplementedError.  Make another one.

        >>> from covector.scipy import stats
        >>> import covector.numpy as np
        >>> stats.gaussian_kde(np.array([[0.0, 1.0, 2.0]])).set_bandwidth(0.5)
        Traceback (most recent call last):
            ...
        NotImplementedError: ...
        """
        raise NotImplementedError(
            f"gaussian_kde.set_bandwidth{errors.at_user_line()}: densities do not change; make one with "
            "gaussian_kde(dataset, bw_method)"
        )

    def resample(self, key: Any, shape: Any = ()) -> Any:
        """Random values of this density, (d, *shape).

        >>> from covector import numpy as np, random
        >>> from covector.scipy import stats
        >>> stats.gaussian_kde(np.array([0.0, 1.0])).resample(random.key(0), (5,)).shape
        (1, 5)
        """
        which, how = split(key)
        of = choice(which, self.n, shape, p=self.weights)
        zero = full(self.d, 0.0, self.dataset.dtype)
        noise = multivariate_normal(how, zero, self.covariance, shape, self.dataset.dtype)
        picked = self.dataset.T[of]
        found = el.add(picked, noise)
        return found.transpose((found.ndim - 1, *range(found.ndim - 1)))


def _overlap(a: Any, wa: Any, b: Any, wb: Any, cov: Any) -> Any:
    """The integral of the product of two sums of normal densities, whose covariances add up to this one."""
    d = a.shape[0]
    lower = cholesky(cov)
    off = reshape(el.subtract(a[:, :, None], b[:, None, :]), (d, -1))
    energy = reduce.sum(el.multiply(off, cho_solve((lower, True), off)), axis=0)
    energy = reshape(el.multiply(energy, 0.5), (a.shape[1], b.shape[1]))
    norm = el.exp(reduce.sum(el.log(diagonal(lower))))
    scale = el.multiply(norm, (2 * math.pi) ** (d / 2))
    return el.divide(dot(wa, dot(el.exp(el.negative(energy)), wb)), scale)


def _made(_: None, children: Any) -> gaussian_kde:
    made = object.__new__(gaussian_kde)
    made.neff, made.dataset, made.weights, made.covariance, made.inv_cov = children
    return made


tree.register_node(
    gaussian_kde,
    lambda x: ((x.neff, x.dataset, x.weights, x.covariance, x.inv_cov), None),
    _made,
)
