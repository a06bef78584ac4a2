"""Distributions, ranks, and densities: names and meanings are those of `jax.scipy.stats`."""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish
from covector.scipy.stats.density import gaussian_kde as gaussian_kde
from covector.scipy.stats.ranks import mode as mode, rankdata as rankdata, sem as sem

# A module a distribution, loaded when it is first used.
_DISTRIBUTIONS = (
    "bernoulli",
    "beta",
    "betabinom",
    "binom",
    "cauchy",
    "chi2",
    "dirichlet",
    "expon",
    "gamma",
    "gennorm",
    "geom",
    "gumbel_l",
    "gumbel_r",
    "laplace",
    "logistic",
    "multinomial",
    "multivariate_normal",
    "nbinom",
    "norm",
    "pareto",
    "poisson",
    "t",
    "truncnorm",
    "uniform",
    "vonmises",
    "wrapcauchy",
)

if _typing.TYPE_CHECKING:
    from covector.scipy.stats import (
        bernoulli as bernoulli,
        beta as beta,
        betabinom as betabinom,
        binom as binom,
        cauchy as cauchy,
        chi2 as chi2,
        dirichlet as dirichlet,
        expon as expon,
        gamma as gamma,
        gennorm as gennorm,
        geom as geom,
        gumbel_l as gumbel_l,
        gumbel_r as gumbel_r,
        laplace as laplace,
        logistic as logistic,
        multinomial as multinomial,
        multivariate_normal as multivariate_normal,
        nbinom as nbinom,
        norm as norm,
        pareto as pareto,
        poisson as poisson,
        t as t,
        truncnorm as truncnorm,
        uniform as uniform,
        vonmises as vonmises,
        wrapcauchy as wrapcauchy,
    )

_publish(
    __name__,
    later=_DISTRIBUTIONS,
    load=lambda name: _import_late(f"covector.scipy.stats.{name}"),
)
