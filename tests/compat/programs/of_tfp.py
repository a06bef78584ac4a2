"""TensorFlow Probability on JAX: distributions, Markov chains, optimizers, kernels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import tensorflow_probability.substrates.jax as tfp
from cases import case

KEY = jax.random.PRNGKey(0)
tfd, tfb, psd = tfp.distributions, tfp.bijectors, tfp.math.psd_kernels


@case(rtol=1e-3, atol=1e-4, repeats=0)
def densities_and_samples() -> Any:
    def run(loc: Any, scale: Any) -> Any:
        made = [
            tfd.Normal(loc, scale), tfd.Gamma(scale, scale), tfd.Beta(scale, scale),
            tfd.Poisson(scale), tfd.StudentT(4.0, loc, scale), tfd.VonMises(loc, scale),
            tfd.TruncatedNormal(0.0, 1.0, -1.0, 2.0), tfd.Dirichlet(scale),
            tfd.MultivariateNormalTriL(loc, jnp.eye(3)), tfd.WishartTriL(5.0, jnp.eye(2)),
            tfd.MixtureSameFamily(tfd.Categorical(logits=loc), tfd.Normal(loc, scale)),
            tfd.TransformedDistribution(tfd.Normal(loc, scale), tfb.Exp()),
        ]  # fmt: skip
        samples = [d.sample(4, seed=KEY) for d in made]
        return samples, [d.log_prob(x) for d, x in zip(made, samples, strict=True)]

    return run, (jnp.array([0.3, -0.5, 1.2]), jnp.array([0.5, 1.0, 2.0]))


@case(rtol=1e-3, atol=1e-3, repeats=0)
def chains_and_minima() -> Any:
    def run(x: Any) -> Any:
        density = lambda x: -0.5 * jnp.sum(x**2)
        kernels = [
            tfp.mcmc.HamiltonianMonteCarlo(density, 0.3, 3),
            tfp.mcmc.NoUTurnSampler(density, 0.3, max_tree_depth=3),
            tfp.mcmc.RandomWalkMetropolis(density),
        ]
        chains = [
            tfp.mcmc.sample_chain(4, x, kernel=kernel, seed=KEY, trace_fn=None)
            for kernel in kernels
        ]
        slope = lambda x: tfp.math.value_and_gradient(lambda x: jnp.sum((x - 1) ** 2), x)
        return chains, [
            tfp.optimizer.lbfgs_minimize(slope, jnp.zeros(3)).position,
            tfp.optimizer.bfgs_minimize(slope, jnp.zeros(3)).position,
        ]

    return run, (jnp.ones(2),)


@case(rtol=1e-3, atol=1e-4, repeats=0)
def processes_and_functions() -> Any:
    def run(x: Any) -> Any:
        points = x[:, None]
        process = tfd.GaussianProcessRegressionModel(
            psd.MaternThreeHalves(), points, points[:2], jnp.ones(2), 0.1
        )
        return (
            process.mean(), psd.RationalQuadratic(1.0, 0.5).matrix(points, points),
            tfp.math.fill_triangular(jnp.arange(6.0)), tfp.stats.percentile(x, 30.0),
            tfp.math.scan_associative(jnp.add, x), tfp.math.bessel_ive(0.5, x + 0.1),
            tfp.math.find_root_chandrupatla(lambda x: x**3 - 2, 0.0, 3.0).estimated_root,
            jax.grad(lambda s: tfd.Normal(0.0, s).cdf(0.3))(1.5),
        )  # fmt: skip

    return run, (jnp.linspace(0.0, 1.0, 5),)
