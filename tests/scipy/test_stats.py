"""Distributions against SciPy: at ordinary values, at the edges of the support, outside, far out; derivatives."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
import scipy.stats

import covector
from covector import numpy as cnp
from covector.scipy import stats

INF, NAN = np.inf, np.nan
REAL = np.array([-30.0, -3.0, -0.5, 0.0, 0.2, 1.0, 4.0, 25.0, INF, -INF, NAN])
POSITIVE = np.array([-1.0, 0.0, 1e-4, 0.3, 1.0, 2.5, 8.0, 60.0, INF, NAN])
UNIT = np.array([-0.5, 0.0, 1e-3, 0.3, 0.5, 0.9, 1.0, 1.5, NAN])
COUNTS = np.array([-1.0, 0.0, 1.0, 2.0, 2.5, 4.0, 7.0, 9.0])

# The values, the shape parameters, and the place and scale where SciPy's functions take them.
FAMILIES: dict[str, tuple[np.ndarray, tuple[float, ...], tuple[float, ...]]] = {
    "bernoulli": (COUNTS, (0.3,), ()), "beta": (UNIT, (2.5, 1.5), (0.25, 2.0)), "cauchy": (REAL, (), (0.5, 2.0)),
    "betabinom": (COUNTS, (7.0, 1.5, 2.5), (1.0,)), "binom": (COUNTS, (7.0, 0.3), (1.0,)),
    "chi2": (POSITIVE, (3.5,), (0.5, 2.0)), "expon": (POSITIVE, (), (0.5, 2.0)),
    "gamma": (POSITIVE, (2.5,), (0.5, 2.0)),
    "gennorm": (REAL, (1.5,), ()), "geom": (COUNTS, (0.3,), (1.0,)), "gumbel_l": (REAL / 4, (), (0.5, 2.0)),
    "gumbel_r": (REAL / 4, (), (0.5, 2.0)), "laplace": (REAL, (), (0.5, 2.0)), "logistic": (REAL, (), (0.5, 2.0)),
    "nbinom": (COUNTS, (2.5, 0.3), (1.0,)), "norm": (REAL, (), (0.5, 2.0)), "pareto": (POSITIVE, (1.5,), (0.5, 2.0)),
    "poisson": (COUNTS, (2.5,), (1.0,)), "t": (REAL, (3.5,), (0.5, 2.0)), "truncnorm": (REAL, (-1.5, 3.0), (0.5, 2.0)),
    "uniform": (UNIT, (), (0.25, 0.5)), "vonmises": (np.array([-3.0, 0, 1, 3]), (1.5,), ()),
    "wrapcauchy": (np.array([-1.0, 0, 1, 3, 6, 7]), (0.4,), ()),
}  # fmt: skip
UNPLACED = {("bernoulli", "cdf"), ("bernoulli", "ppf")}


def functions(name: str) -> list[str]:
    module = getattr(stats, name)
    return [k for k in dir(module) if not k.startswith("_") and k != "entropy"]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_values(name: str) -> None:
    theirs = getattr(scipy.stats, name)
    kinds = functions(name)

    def ours(values: Any, share: Any, *rest: Any) -> list[Any]:
        count = len(FAMILIES[name][1])
        return [
            getattr(getattr(stats, name), kind)(
                share if kind in ("ppf", "isf") else values,
                *rest[: count if (name, kind) in UNPLACED else None],
            )
            for kind in kinds
        ]

    values, shapes, place = FAMILIES[name]
    for dtype, tolerance in (("float64", 1e-11), ("float32", 3e-5)):
        operands = [np.asarray(x, dtype) for x in (values, UNIT, *shapes, *place)]
        for kind, got in zip(kinds, covector.jit(ours)(*operands), strict=True):
            x = UNIT if kind in ("ppf", "isf") else values
            with np.errstate(all="ignore"):
                wanted = getattr(theirs, kind)(
                    *[np.asarray(v, dtype).astype(float) for v in (x, *shapes, *place)]
                )
            if kind in ("pdf", "logpdf"):  # NaN at infinity for some of SciPy's
                wanted = np.where(np.isinf(x), 0.0 if kind == "pdf" else -INF, wanted)
            assert got.dtype == dtype
            got = np.asarray(got, np.float64)
            keep = ~np.isnan(x)
            if (name, kind) == (
                "bernoulli",
                "ppf",
            ):  # SciPy's least value of discrete ones is one below all
                keep &= x != 0
            if dtype == "float32":  # what has no normal number of this dtype
                keep &= ~((np.abs(wanted) < 1e-37) & (wanted != 0))
            near = np.isclose(got, wanted, rtol=tolerance, atol=tolerance / 10, equal_nan=True)
            assert near[keep].all(), (kind, dtype, np.stack([x, got, wanted], -1)[~near])


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_derivatives(name: str) -> None:
    """Of the logarithm, inside of the support, by each parameter that is no whole number; outside they are 0."""
    _values, shapes, place = FAMILIES[name]
    module = getattr(stats, name)
    kind = "logpdf" if hasattr(module, "logpdf") else "logpmf"
    f = getattr(module, kind)
    x = np.array([{"logpmf": 1.0, "pareto": 4.0}.get(name if name == "pareto" else kind, 0.7)])
    at = [np.float64(v) for v in (*shapes, *place)]
    fixed = 1 if kind == "logpmf" else 0  # k
    whole = {"binom": 2, "betabinom": 2}.get(name, fixed)
    operands = [x + place[0] if kind == "logpmf" and place else x, *at]
    free = range(whole, len(operands) - (1 if kind == "logpmf" and place else 0))
    gradients = covector.grad(lambda *xs: f(*xs).sum(), tuple(free))(*map(cnp.asarray, operands))
    for i, got in zip(free, gradients, strict=True):
        step = 1e-6
        up, down = list(operands), list(operands)
        up[i], down[i] = operands[i] + step, operands[i] - step
        wanted = (f(*up).sum() - f(*down).sum()) / (2 * step)
        np.testing.assert_allclose(np.asarray(got).sum(), wanted, rtol=1e-5, atol=1e-7)


WITHOUT_MEANING: dict[str, list[tuple[float, ...]]] = {
    "bernoulli": [(-0.5,), (1.5,)], "beta": [(0.0, 1.0), (2.0, -1.0)], "binom": [(5.0, -0.1), (5.0, 1.1)],
    "chi2": [(0.0,), (-1.0,)], "gamma": [(0.0,), (-1.0,)], "gennorm": [(-1.0,)], "geom": [(-0.5,), (1.5,)],
    "nbinom": [(5.0, 1.5)], "norm": [], "pareto": [(0.0,), (-1.0,)], "poisson": [(-0.5,)], "t": [(0.0,), (-2.0,)],
    "truncnorm": [(2.0, -1.0)], "wrapcauchy": [(0.0,), (1.0,), (1.5,)],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WITHOUT_MEANING))
def test_parameters_without_a_meaning_give_nan(name: str) -> None:
    """As in SciPy, wherever the value lies; a scale that is not positive has none either."""
    values, shapes, place = FAMILIES[name]
    bad = [(*rest, *place) for rest in WITHOUT_MEANING[name]]
    bad += [(*shapes, 0.0, scale) for scale in (0.0, -1.0)] if len(place) == 2 else []
    rows = np.array(bad, np.float32).T[:, :, None]
    kinds = [k for k in functions(name) if (name, k) not in UNPLACED]
    got = covector.jit(
        lambda x, *rest: [getattr(getattr(stats, name), k)(x, *rest) for k in kinds]
    )(np.asarray(values, np.float32), *rows)
    for kind, found in zip(kinds, got, strict=True):
        with np.errstate(all="ignore"):
            wanted = getattr(getattr(scipy.stats, name), kind)(values, *rows.astype(float))
        assert np.isnan(wanted).all(), kind
        assert np.isnan(found).all(), (kind, found)


def test_outside_has_no_derivative() -> None:
    for name, x in (("gamma", -1.0), ("beta", 2.0), ("expon", -1.0), ("pareto", 0.5)):
        shapes = FAMILIES[name][1]
        f = getattr(stats, name).logpdf
        gradients = covector.grad(f, tuple(range(1 + len(shapes))))(x, *shapes)
        assert all(float(g) == 0 for g in gradients), name


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_all_is_flat_at_infinity(name: str) -> None:
    """In each argument: the value is that of the support's end, or of what is outside; far out there is a slope."""
    _, shapes, place = FAMILIES[name]
    for kind in {*functions(name)} - {"ppf", "isf"}:
        f = getattr(getattr(stats, name), kind)
        given = [*shapes, *([] if (name, kind) in UNPLACED else place)]
        # betainc has no derivatives in its shapes
        free = (
            [0, 3, 4]
            if name == "beta" and kind in ("cdf", "logcdf", "sf", "logsf")
            else range(1 + len(given))
        )
        every = covector.grad(f, tuple(free))
        for x in (-INF, INF):
            assert not np.any(every(*[cnp.float64(v) for v in (x, *given)])), (kind, x)


def test_nothing_is_flat_at_an_end_without_a_density() -> None:
    for name, x in (("gamma", 0.0), ("chi2", 0.0), ("beta", 0.0)):
        f = getattr(stats, name).logcdf
        assert float(covector.grad(f)(x, *FAMILIES[name][1])) == 0
    assert float(stats.cauchy.ppf(-0.0)) == -INF


def test_bounds_that_are_parameters_have_finite_slopes_outside() -> None:
    """Backwards too, where a value outside would take the logarithm of nothing."""
    for name in ("cdf", "logcdf", "sf", "logsf"):
        f = getattr(stats.truncnorm, name)
        for x in (-3.0, 2.0):
            slopes = covector.grad(f, (1, 2))(cnp.float64(x), cnp.float64(-1), cnp.float64(1))
            assert [float(s) for s in slopes] == [0, 0], (name, x)
        assert np.isfinite(float(covector.grad(f)(-3.0, -1.0, np.inf)))


def test_far_out() -> None:
    """What 1 - cdf would lose."""
    for name, kind, x, wanted in (
        ("norm", "sf", 12.0, 1.776482112077679e-33), ("norm", "logsf", 40.0, -804.6084420137538),
        ("norm", "logcdf", -40.0, -804.6084420137538), ("logistic", "sf", 80.0, 1.8048513878454153e-35),
        ("cauchy", "cdf", -1e20, 3.183098861837907e-21), ("expon", "logsf", 500.0, -500.0),
        ("gumbel_l", "logcdf", -800.0, -800.0), ("gumbel_r", "logsf", 800.0, -800.0),
    ):  # fmt: skip
        got = getattr(getattr(stats, name), kind)(cnp.float64(x))
        np.testing.assert_allclose(float(got), wanted, rtol=1e-12)
    with np.errstate(all="ignore"):
        wanted = scipy.stats.truncnorm.logpdf([9.0, 11.5], 9.0, 12.0)
    got = stats.truncnorm.logpdf(cnp.asarray(np.array([9.0, 11.5])), 9.0, 12.0)
    np.testing.assert_allclose(got, wanted, rtol=1e-11)


def test_vectors() -> None:
    rng = np.random.default_rng(0)
    alpha = np.array([0.5, 2.0, 3.0])
    x = rng.dirichlet(alpha, 5).T
    wanted = scipy.stats.dirichlet.logpdf(x, alpha)
    np.testing.assert_allclose(stats.dirichlet.logpdf(x, alpha), wanted, rtol=1e-12)
    np.testing.assert_allclose(stats.dirichlet.logpdf(x[:2], alpha), wanted, rtol=1e-9)
    assert stats.dirichlet.logpdf(x[:, 0] * 1.1, alpha) == -INF
    halves = stats.dirichlet.logpdf(
        cnp.array([0.25, 0.25, 0.5], "bfloat16"), cnp.ones(3, "bfloat16")
    )
    assert (str(halves.dtype), float(halves)) == ("bfloat16", 0.69140625)
    counts, p = np.array([[1, 2, 0], [3, 0, 0], [1, 1, 0]]), np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        stats.multinomial.logpmf(counts, 3, p),
        scipy.stats.multinomial.logpmf(counts, 3, p),
        rtol=1e-12,
    )
    a = rng.normal(size=(3, 3))
    mean, cov, x = rng.normal(size=3), a @ a.T + np.eye(3), rng.normal(size=(4, 3))
    theirs = scipy.stats.multivariate_normal.logpdf(x, mean, cov)
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(x, mean, cov), theirs, rtol=1e-12)
    stacked = stats.multivariate_normal.pdf(x, mean, np.stack([cov, cov, cov, cov]))
    np.testing.assert_allclose(stacked, np.exp(theirs), rtol=1e-12)
    one = scipy.stats.multivariate_normal.logpdf(0.5, 0.2, 2.0)
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(0.5, 0.2, 2.0), one, rtol=1e-6)


def test_entropy_of_poisson() -> None:
    mu = np.array([1e-3, 0.5, 3.0, 40.0, 99.0, 101.0, 1e4])
    k = np.arange(20000.0)[:, None]
    logs = scipy.stats.poisson.logpmf(k, mu)
    wanted = -np.sum(np.exp(logs) * logs, axis=0)
    np.testing.assert_allclose(stats.poisson.entropy(mu), wanted, rtol=1e-10)
    assert stats.poisson.entropy(0.0) == 0
    assert np.isnan(stats.poisson.entropy(-1.0))


@pytest.mark.parametrize("method", ["average", "min", "max", "dense", "ordinal"])
def test_ranks(method: str) -> None:
    rng = np.random.default_rng(1)
    for x in (
        rng.integers(0, 4, (3, 8)),
        rng.normal(size=(2, 5)),
        np.zeros((2, 0)),
        np.array([2.0]),
    ):
        for axis in (None, 0, -1):
            wanted = scipy.stats.rankdata(x, method, axis=axis)
            got = stats.rankdata(x, method, axis=axis)
            np.testing.assert_array_equal(got, wanted)
            assert np.issubdtype(got.dtype, np.floating)
    assert np.isnan(stats.rankdata(cnp.array([1.0, NAN]))).all()


def test_most_frequent_and_errors_of_means() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, (4, 6)).astype(float)
    for axis in (0, 1, None):
        for keepdims in (False, True):
            wanted = scipy.stats.mode(x, axis=axis, keepdims=keepdims)
            got = covector.jit(lambda x, a=axis, k=keepdims: stats.mode(x, axis=a, keepdims=k))(x)
            np.testing.assert_array_equal(got.mode, wanted.mode)
            np.testing.assert_array_equal(got.count, wanted.count)
            error = stats.sem(x, axis=axis, keepdims=keepdims)
            np.testing.assert_allclose(error, scipy.stats.sem(x, axis=axis, keepdims=keepdims))
    gap = np.where(x == 2, NAN, x)
    np.testing.assert_allclose(
        stats.sem(gap, axis=1, nan_policy="omit"), scipy.stats.sem(gap, axis=1, nan_policy="omit")
    )
    assert np.isnan(stats.mode(cnp.zeros(0)).mode)
    assert stats.mode(cnp.zeros(0)).count == 0


@pytest.mark.parametrize("method", [None, "silverman", 0.4])
def test_density(method: Any) -> None:
    rng = np.random.default_rng(3)
    for d in (1, 2):
        x, weights, points = rng.normal(size=(d, 12)), rng.random(12), rng.normal(size=(d, 5))
        theirs = scipy.stats.gaussian_kde(x, method, weights)
        ours = stats.gaussian_kde(x, method, weights)
        np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=1e-12)
        np.testing.assert_allclose(ours.pdf(points), theirs.pdf(points), rtol=1e-10)
        np.testing.assert_allclose(ours.logpdf(points), theirs.logpdf(points), rtol=1e-10)
        np.testing.assert_allclose(
            ours.integrate_kde(ours), theirs.integrate_kde(theirs), rtol=1e-10
        )
        gauss = (np.zeros(d), 2 * np.eye(d))
        np.testing.assert_allclose(
            ours.integrate_gaussian(*gauss), theirs.integrate_gaussian(*gauss), rtol=1e-10
        )
        if d == 1:
            np.testing.assert_allclose(
                ours.integrate_box_1d(-1, 0.5), theirs.integrate_box_1d(-1, 0.5), rtol=1e-10
            )
        assert covector.jit(lambda k, p: k(p))(ours, points).shape == (5,)
        sample = ours.resample(covector.random.key(0), (4000,))
        np.testing.assert_allclose(
            np.cov(sample),
            np.asarray(ours.covariance + np.cov(x, aweights=weights, bias=True)).squeeze(),
            atol=0.2,
        )


def test_wrong_arguments() -> None:
    for call, message in (
        (lambda: stats.norm.pdf(1j), "norm.pdf takes real numbers"),
        (lambda: stats.gamma.logpdf(1.0), "gamma.logpdf: missing a required argument: 'a'"),
        (lambda: stats.norm.pdf(1.0, mu=2), "norm.pdf: got an unexpected keyword argument 'mu'"),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    for call, message in (
        (lambda: stats.dirichlet.logpdf(cnp.ones(5), cnp.ones(3)), "alpha has 3 elements"),
        (lambda: stats.multivariate_normal.pdf(cnp.ones(3), cnp.ones(2), cnp.eye(2)), "needs x"),
        (lambda: stats.rankdata(cnp.ones(3), "worst"), "method is 'worst'"),
        (lambda: stats.mode(cnp.ones(3), nan_policy="drop"), "nan_policy is 'drop'"),
        (lambda: stats.gaussian_kde(cnp.ones(1)), "two or more real samples"),
        (lambda: stats.gaussian_kde(cnp.arange(3.0)).pdf(cnp.ones((2, 2))), "takes points"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(NotImplementedError, match="look for NaNs before"):
        stats.rankdata(cnp.ones(3), nan_policy="omit")


def test_each_is_a_module() -> None:
    for name in FAMILIES:
        module = importlib.import_module(f"covector.scipy.stats.{name}")
        assert module is getattr(stats, name)
        for kind in functions(name):
            assert "x" in inspect.signature(getattr(module, kind)).parameters or kind
