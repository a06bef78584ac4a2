"""Distributions by rejection, compiled: the samples are JAX's (golden.json has their bits), and distributed so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import covector as cv
from covector import numpy as cnp, random

K = random.key(42)
A = cnp.array([0.1, 0.5, 1.0, 3.0, 50.0])
P = cnp.array([0.5, 0.25, 0.25])
ODD = np.array([np.nan, -1, np.inf, 5, 5, 5], np.float32)
ODD_P = np.array([0.5, 0.5, 0.5, np.nan, 0, 1], np.float32)
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())

SAMPLES: dict[str, Any] = {
    "gamma": lambda: random.gamma(K, A),
    "gamma shape": lambda: random.gamma(K, 2.5, (7,)),
    "gamma broadcast": lambda: random.gamma(K, cnp.array([0.5, 2.0, 3.0]), (2, 3)),
    "gamma scalar": lambda: random.gamma(K, 2.0),
    "gamma float16": lambda: random.gamma(K, 2.0, (3,), "float16"),
    "gamma mapped": lambda: cv.vmap(lambda k: random.gamma(k, 2.0, (2,)))(random.split(K, 3)),
    "gamma slope": lambda: cv.grad(lambda a: cnp.sum(random.gamma(K, a)))(A),
    "loggamma": lambda: random.loggamma(K, A),
    "loggamma slope": lambda: cv.grad(lambda a: cnp.sum(random.loggamma(K, a)))(A),
    "beta": lambda: random.beta(K, A, 2.0),
    "dirichlet": lambda: random.dirichlet(K, A),
    "dirichlet batch": lambda: random.dirichlet(K, A[:3], (4,)),
    "chisquare": lambda: random.chisquare(K, 3.0, (5,)),
    "f": lambda: random.f(K, 3.0, 5.0, (5,)),
    "t": lambda: random.t(K, 3.0, (5,)),
    "generalized_normal": lambda: random.generalized_normal(K, 1.5, (5,)),
    "ball": lambda: random.ball(K, 3, shape=(4,)),
    "ball 1": lambda: random.ball(K, 2, 1.0, (3,)),
    "poisson": lambda: random.poisson(K, cnp.array([0.0, 0.5, 3.0, 9.0, 11.0, 100.0, 1e4])),
    "poisson shape": lambda: random.poisson(K, 4.0, (6,)),
    "poisson mapped": lambda: cv.vmap(lambda k: random.poisson(k, 12.0, (2,)))(random.split(K, 3)),
    "binomial": lambda: random.binomial(K, cnp.array([0.0, 5.0, 10.0, 100.0, 1000.0]), 0.3),
    "binomial broadcast": lambda: random.binomial(K, 50, cnp.array([0.1, 0.5, 0.9, 0.99]), (3, 4)),
    "binomial odd": lambda: random.binomial(K, cnp.array(ODD), cnp.array(ODD_P)),
    "multinomial": lambda: random.multinomial(K, 20, P),
    "multinomial batch": lambda: random.multinomial(K, cnp.array([20.0, 30.0]), P, shape=(2,)),
    "geometric": lambda: random.geometric(K, cnp.array([0.1, 0.5, 1.0])),
    "triangular": lambda: random.triangular(K, 0.0, 1.0, 3.0, (5,)),
    "wald": lambda: random.wald(K, 2.0, (5,)),
    "multivariate_normal": lambda: random.multivariate_normal(
        K, cnp.array([1.0, 2.0]), cnp.array([[2.0, 0.5], [0.5, 1.0]]), (3,)
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_jaxs(name: str) -> None:
    dtype, shape, bits = GOLDEN[name]
    wanted = np.array(bits, f"u{np.dtype(dtype).itemsize}" if "float" in dtype else dtype)
    wanted = wanted.view(dtype).reshape(shape)
    got = np.asarray(SAMPLES[name]())
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=8 * np.finfo(np.float32).eps)


def test_all_recorded_samples_are_drawn() -> None:
    assert set(GOLDEN) == set(SAMPLES)


N = 3000
CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "gamma": (lambda k: random.gamma(k, 0.3, (N,), "float64"), stats.gamma(0.3)),
    "gamma large": (lambda k: random.gamma(k, 40.0, (N,), "float64"), stats.gamma(40.0)),
    "beta": (lambda k: random.beta(k, 0.7, 2.0, (N,), "float64"), stats.beta(0.7, 2.0)),
    "chisquare": (lambda k: random.chisquare(k, 5.0, (N,)), stats.chi2(5.0)),
    "f": (lambda k: random.f(k, 4.0, 7.0, (N,)), stats.f(4.0, 7.0)),
    "t": (lambda k: random.t(k, 3.0, (N,)), stats.t(3.0)),
    "generalized_normal": (lambda k: random.generalized_normal(k, 3.0, (N,)), stats.gennorm(3.0)),
    "triangular": (lambda k: random.triangular(k, 0.0, 1.0, 4.0, (N,)), stats.triang(0.25, 0, 4)),
    "wald": (lambda k: random.wald(k, 2.0, (N,)), stats.invgauss(2.0)),
    "radius in a ball": (
        lambda k: cnp.linalg.norm(random.ball(k, 3, shape=(N,)), axis=-1) ** 3,
        stats.uniform(),
    ),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_distribution(name: str) -> None:
    """By Kolmogorov's and Smirnov's test."""
    draw, distribution = CONTINUOUS[name]
    x = np.asarray(cv.jit(draw)(random.key(1)))
    assert stats.kstest(x.astype(np.float64), distribution.cdf).pvalue > 1e-3


COUNTS: dict[str, tuple[Any, Any]] = {
    "poisson": (lambda k: random.poisson(k, 4.0, (N,)), stats.poisson(4.0)),
    "poisson large": (lambda k: random.poisson(k, 60.0, (N,)), stats.poisson(60.0)),
    "binomial": (lambda k: random.binomial(k, 12, 0.3, (N,)), stats.binom(12, 0.3)),
    "binomial large": (lambda k: random.binomial(k, 200, 0.7, (N,)), stats.binom(200, 0.7)),
    "geometric": (lambda k: random.geometric(k, 0.2, (N,)), stats.geom(0.2)),
    "multinomial": (
        lambda k: random.multinomial(k, 30, cnp.array([0.2, 0.3, 0.5]), shape=(N,))[:, 1],
        stats.binom(30, 0.3),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    """By the largest difference of the distribution functions, and the moments."""
    draw, distribution = COUNTS[name]
    x = np.asarray(cv.jit(draw)(random.key(2))).astype(np.float64)
    assert (x == np.floor(x)).all()
    places = np.arange(x.max() + 1)
    found = np.searchsorted(np.sort(x), places, side="right") / N
    assert np.abs(found - distribution.cdf(places)).max() < 1.95 / np.sqrt(N)
    assert abs(x.mean() - distribution.mean()) < 4 * distribution.std() / np.sqrt(N)
    assert abs(x.var() / distribution.var() - 1) < 0.2


def test_sums() -> None:
    x = np.asarray(random.dirichlet(random.key(3), cnp.array([0.5, 1.0, 2.5]), (N,)))
    np.testing.assert_allclose(x.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(x.mean(0), np.array([0.5, 1.0, 2.5]) / 4, atol=0.02)
    cov = np.array([[2.0, 0.5], [0.5, 1.0]], np.float32)
    y = random.multivariate_normal(random.key(4), cnp.array([1.0, -1.0]), cnp.array(cov), (N,))
    np.testing.assert_allclose(np.cov(np.asarray(y).T), cov, atol=0.15)
    np.testing.assert_allclose(np.asarray(y).mean(0), [1, -1], atol=0.1)


def test_slope_of_a_sample_is_that_of_its_quantile() -> None:
    a = 1.7
    x = random.gamma(K, np.float64(a).item(), dtype="float64")
    slope = cv.grad(lambda a: random.gamma(K, a, dtype="float64"))(cnp.array(a, "float64"))
    level, h = stats.gamma(a).cdf(float(x)), 1e-5
    ends = [stats.gamma(a + e).ppf(level) for e in (-h, h)]
    np.testing.assert_allclose(float(slope), (ends[1] - ends[0]) / (2 * h), rtol=1e-6)


def test_dtypes_of_results() -> None:
    """Counts in any dtype; complex numbers where they are asked for."""
    counts = random.multinomial(K, 4, P, dtype="int8")
    assert (counts.dtype, int(counts.sum())) == ("int8", 4)
    assert random.lognormal(K, 0.5, (2,), "complex64").dtype == "complex64"


# With a parameter that is 1 but for its dtype.
OF_COMPLEX: dict[str, Any] = {
    "pareto": lambda p: random.pareto(K, p),
    "gamma": lambda p: random.gamma(K, p),
    "beta": lambda p: random.beta(K, 1.0, p),
    "t": lambda p: random.t(K, p),
    "uniform": lambda p: random.uniform(K, (), maxval=p),
    "truncated_normal": lambda p: random.truncated_normal(K, -1.0, p),
    "weibull_min": lambda p: random.weibull_min(K, p, 1.0),
    "double_sided_maxwell": lambda p: random.double_sided_maxwell(K, 0.0, p),
    "multivariate_normal": lambda p: random.multivariate_normal(K, p[None], p[None, None]),
}


@pytest.mark.parametrize("name", OF_COMPLEX)
def test_complex_parameters_are_refused(name: str) -> None:
    """Their imaginary parts would be dropped."""
    with pytest.raises(TypeError, match=f"{name} has real parameters, got complex64"):
        OF_COMPLEX[name](cnp.complex64(1))


ERRORS = [
    (lambda: random.gamma(K, 1.0, dtype="int32"), ValueError, "gamma gives floats, not int32"),
    (lambda: random.gamma(K, 1.0, method="fast"), ValueError, "gamma: method is 'fast'"),
    (lambda: random.gamma(K, cnp.ones(3), (2,)), ValueError, "gamma: parameters of the shape"),
    (lambda: random.poisson(K, 1.0, dtype="float32"), TypeError, "poisson gives integers"),
    (lambda: random.poisson(K, 1.0, method="approximate"), NotImplementedError, "approximate"),
    (lambda: random.dirichlet(K, 1.0), ValueError, "dirichlet: alpha has no axes"),
    (lambda: random.multinomial(K, 3, 1.0), ValueError, "multinomial: p has no axes"),
    (lambda: random.ball(K, 1.5), TypeError, "d of ball"),
    (lambda: random.geometric(K, 0.5, dtype="float32"), TypeError, "geometric gives integers"),
    (lambda: random.beta("key", 1.0, 1.0), TypeError, "beta takes a key"),
    (lambda: random.key_dtype("dice"), ValueError, "there is no generator 'dice'"),
    (
        lambda: random.multivariate_normal(K, cnp.ones(2), cnp.eye(3)),
        ValueError,
        "multivariate_normal: a mean of the shape",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_orthogonal_matrices_are_orthogonal(n: int, m: int, dtype: str) -> None:
    q = np.asarray(random.orthogonal(K, n, (2,), dtype, m))
    assert q.shape == (2, n, m)
    assert q.dtype == dtype
    q = q if n >= m else np.swapaxes(q, -1, -2)
    product = np.swapaxes(q.conj(), -1, -2) @ q
    np.testing.assert_allclose(
        product, np.broadcast_to(np.eye(min(n, m)), product.shape), atol=2e-6
    )


@pytest.mark.parametrize("method", ["eigh", "svd"])
def test_a_covariance_that_is_only_semidefinite(method: str) -> None:
    cov = np.array([[1.0, 1.0], [1.0, 1.0]])
    y = np.asarray(random.multivariate_normal(K, np.zeros(2), cov, (500,), method=method))
    np.testing.assert_allclose(y[:, 0], y[:, 1], atol=2e-3)
    assert abs(y[:, 0].var() - 1) < 0.2
