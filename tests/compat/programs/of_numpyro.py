"""NumPyro: models, Markov chains, variational inference, distributions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from cases import COVARIANCE, MEANS, as_the_gaussian, case
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import (
    HMC,
    MCMC,
    NUTS,
    SVI,
    DiscreteHMCGibbs,
    Predictive,
    Trace_ELBO,
    autoguide,
)

KEY = jax.random.PRNGKey(0)


def data() -> tuple[Any, Any]:
    x = jax.random.normal(KEY, (50, 3))
    noise = jax.random.normal(jax.random.PRNGKey(1), (50,))
    return x, x @ jnp.array([1.0, -2.0, 0.5]) + 0.1 * noise


def regression(x: Any, y: Any = None) -> None:
    weights = numpyro.sample("weights", dist.Normal(0, 1).expand([3]).to_event(1))
    bias = numpyro.sample("bias", dist.Normal(0, 1))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(x @ weights + bias, scale), obs=y)


@case(rtol=2e-2, atol=2e-2, repeats=0)
def nuts() -> Any:
    # Two chains from other roundings part; what they are samples of is the same.
    def run(x: Any, y: Any) -> Any:
        chain = MCMC(NUTS(regression), num_warmup=200, num_samples=500, progress_bar=False)
        chain.run(KEY, x, y)
        return {k: v.mean(0) for k, v in chain.get_samples().items()}

    return run, data()


@case(repeats=0)
def nuts_of_a_correlated_gaussian() -> Any:
    def model() -> None:
        numpyro.sample("x", dist.MultivariateNormal(MEANS, COVARIANCE))

    def run(key: Any) -> Any:
        chain = MCMC(NUTS(model), num_warmup=200, num_samples=1000, progress_bar=False)
        chain.run(key)
        return as_the_gaussian(chain.get_samples()["x"], effective_sample_size)

    return run, (KEY,)


@case(rtol=1e-3, atol=1e-3, repeats=0)
def hmc() -> Any:
    def run(x: Any, y: Any) -> Any:
        kernel = HMC(regression, step_size=0.01, num_steps=10, adapt_step_size=False)
        chain = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
        chain.run(KEY, x, y)
        samples = chain.get_samples()
        return samples, Predictive(regression, samples)(KEY, x)

    return run, data()


def guided(guide: Any) -> Any:
    def run(x: Any, y: Any) -> Any:
        made = guide(regression)
        svi = SVI(regression, made, numpyro.optim.Adam(0.01), Trace_ELBO())
        found = svi.run(KEY, 40, x, y, progress_bar=False)
        return found.losses, made.sample_posterior(KEY, found.params, sample_shape=(3,))

    return run, data()


@case(rtol=1e-3, atol=1e-3, repeats=0)
def variational_normal() -> Any:
    return guided(autoguide.AutoNormal)


@case(rtol=1e-3, atol=1e-3, repeats=0)
def variational_multivariate() -> Any:
    return guided(autoguide.AutoMultivariateNormal)


@case(rtol=1e-3, atol=1e-3, repeats=0)
def variational_flow() -> Any:
    return guided(autoguide.AutoBNAFNormal)


@case(rtol=1e-4, atol=1e-5)
def distributions() -> Any:
    def run() -> Any:
        family = [
            dist.Beta(2.0, 3.0),
            dist.Gamma(2.0, 1.0),
            dist.StudentT(4.0),
            dist.Weibull(1.0, 2.0),
            dist.Poisson(3.0),
            dist.BinomialProbs(0.3, 10),
            dist.NegativeBinomial2(3.0, 2.0),
            dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])),
            dist.MultivariateNormal(jnp.zeros(3), 2 * jnp.eye(3)),
            dist.LKJCholesky(3, 1.5),
            dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=2.0),
        ]
        samples = [d.sample(KEY, (7,)) for d in family]
        return samples, [d.log_prob(x) for d, x in zip(family, samples, strict=True)]

    return run, ()


@case(rtol=1e-3, atol=1e-3, repeats=0)
def discrete_latent_variables() -> Any:
    """A mixture whose assignments are summed over (by Funsor), and chains over such variables."""

    def mixture(x: Any) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
        with numpyro.plate("components", 2):
            means = numpyro.sample("means", dist.Normal(0, 5))
        with numpyro.plate("rows", len(x)):
            z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
            numpyro.sample("x", dist.Normal(means[z], 1.0), obs=x)

    def chosen(probs: Any, means: Any) -> None:
        c = numpyro.sample("c", dist.Categorical(probs))
        numpyro.sample("x", dist.Normal(means[c], 0.5))

    def run(x: Any, probs: Any, means: Any) -> Any:
        fixed: dict[str, Any] = {"adapt_step_size": False, "adapt_mass_matrix": False}
        summed = MCMC(
            NUTS(mixture, step_size=0.02, max_tree_depth=3, **fixed),
            num_warmup=2, num_samples=5, progress_bar=False,
        )  # fmt: skip
        summed.run(KEY, x)
        gibbs = MCMC(
            DiscreteHMCGibbs(HMC(chosen, step_size=0.3, num_steps=3, **fixed), modified=True),
            num_warmup=2, num_samples=10, progress_bar=False,
        )  # fmt: skip
        gibbs.run(KEY, probs, means)
        return summed.get_samples(), gibbs.get_samples()

    x = jnp.concatenate([jax.random.normal(KEY, (10,)) - 3, jax.random.normal(KEY, (10,)) + 3])
    return run, (x, jnp.array([0.15, 0.3, 0.3, 0.25]), jnp.array([-2.0, 0, 2, 4]))


@case(rtol=1e-4, atol=1e-4, repeats=0)
def transformations_of_variables() -> Any:
    transforms = dist.transforms

    def run(x: Any) -> Any:
        made = [
            transforms.AffineTransform(1.0, 2.0), transforms.ExpTransform(),
            transforms.StickBreakingTransform(), transforms.OrderedTransform(),
            transforms.CorrCholeskyTransform(), transforms.LowerCholeskyTransform(),
            transforms.SoftplusTransform(), transforms.RealFastFourierTransform((3,)),
            transforms.ZeroSumTransform(1), transforms.L1BallTransform(),
        ]  # fmt: skip
        found = []
        for t in made:
            y = t(x)
            found.append((y, t.inv(y), t.log_abs_det_jacobian(x, y)))
        return found

    return jax.jit(run), (jnp.array([0.3, -0.5, 0.8]),)
