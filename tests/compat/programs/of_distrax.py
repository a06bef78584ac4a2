"""Distrax: distributions, their densities, samples and divergences, and bijections."""

from __future__ import annotations

from typing import Any

import distrax
import jax
import jax.numpy as jnp
from cases import case

KEY = jax.random.PRNGKey(0)


@case(rtol=1e-4, atol=1e-5)
def densities_and_samples() -> Any:
    def run(loc: Any, scale: Any) -> Any:
        normal = distrax.MultivariateNormalDiag(loc, scale)
        mixture = distrax.MixtureSameFamily(
            distrax.Categorical(logits=loc), distrax.Normal(loc, scale)
        )
        x, log_p = normal.sample_and_log_prob(seed=KEY, sample_shape=(4,))
        other = distrax.MultivariateNormalDiag(loc + 1, 2 * scale)
        gumbel = distrax.Gumbel(loc, scale)
        return (
            x, log_p, normal.entropy(), normal.kl_divergence(other), mixture.log_prob(x[:, 0]),
            gumbel.log_prob(x), gumbel.cdf(x), distrax.Beta(scale, 2 * scale).log_prob(0.3),
            jax.grad(lambda s: mixture.log_prob(s))(0.5),
        )  # fmt: skip

    return jax.jit(run), (jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, 0.5, 2.0]))


@case(rtol=1e-4, atol=1e-5)
def a_flow() -> Any:
    def run(shift: Any, x: Any) -> Any:
        layer = distrax.ScalarAffine(shift, log_scale=jnp.float32(0.3))
        flow = distrax.Transformed(
            distrax.Independent(distrax.Normal(jnp.zeros(3), jnp.ones(3)), 1),
            distrax.Block(distrax.Chain([distrax.Tanh(), layer]), 1),
        )
        spline = distrax.RationalQuadraticSpline(jnp.linspace(-1, 1, 16), -3.0, 3.0)
        return (
            flow.log_prob(x),
            flow.sample(seed=KEY, sample_shape=(2,)),
            spline.forward_and_log_det(x),
            spline.inverse(x),
        )

    return jax.jit(jax.value_and_grad(lambda s, x: sum(jnp.sum(jax.tree.leaves(v)[0]) for v in run(s, x)))), (
        jnp.array([0.1, 0.2, 0.3]),
        jnp.array([[0.1, 0.5, -0.2], [0.9, 0.3, 0.0]]),
    )  # fmt: skip


@case(rtol=1e-4, atol=1e-5)
def a_hidden_markov_model() -> Any:
    model = distrax.HMM(
        distrax.Categorical(probs=jnp.array([0.6, 0.4])),
        distrax.Categorical(probs=jnp.array([[0.7, 0.3], [0.2, 0.8]])),
        distrax.Normal(jnp.array([0.0, 2.0]), jnp.array([1.0, 0.5])),
    )
    seen = jnp.array([0.1, 1.8, 2.2, -0.3, 0.2])
    return jax.jit(lambda x: (model.forward_backward(x), model.viterbi(x))), (seen,)


@case(rtol=1e-3, atol=1e-4, repeats=0)
def other_distributions() -> Any:
    def run(loc: Any, scale: Any) -> Any:
        made = [
            distrax.Categorical(logits=loc), distrax.OneHotCategorical(logits=loc),
            distrax.Gamma(scale, scale), distrax.Laplace(loc, scale), distrax.Logistic(loc, scale),
            distrax.Dirichlet(scale), distrax.VonMises(loc, scale), distrax.Uniform(loc, loc + scale),
            distrax.Multinomial(total_count=5, logits=loc), distrax.EpsilonGreedy(loc, 0.1),
            distrax.MultivariateNormalFullCovariance(loc, jnp.eye(3) + 0.2),
            distrax.Quantized(distrax.Normal(loc, scale), low=-3.0, high=3.0),
            distrax.ClippedNormal(loc, scale, -1.0, 1.0),
        ]  # fmt: skip
        samples = [d.sample(seed=KEY, sample_shape=(4,)) for d in made]
        return samples, [d.log_prob(x) for d, x in zip(made, samples, strict=True)]

    return run, (jnp.array([0.3, -0.5, 1.2]), jnp.array([0.5, 1.0, 2.0]))


@case(rtol=1e-4, atol=1e-4, repeats=0)
def bijections() -> Any:
    def run(x: Any) -> Any:
        made = [
            distrax.Sigmoid(), distrax.DiagLinear(jnp.array([0.5, 1.0, 2.0])),
            distrax.LowerUpperTriangularAffine(2 * jnp.eye(3) + 0.2, jnp.ones(3)),
            distrax.UnconstrainedAffine(jnp.eye(3) + 0.1, jnp.ones(3)), distrax.GumbelCDF(),
            distrax.Inverse(distrax.Tanh()), distrax.Block(distrax.Lambda(jnp.exp), 1),
            distrax.MaskedCoupling(
                jnp.array([True, False, True]), lambda x: x, distrax.ScalarAffine
            ),
        ]  # fmt: skip
        forwards = [b.forward_and_log_det(x) for b in made]
        return forwards, [b.inverse(y) for b, (y, _) in zip(made, forwards, strict=True)]

    return run, (jnp.array([[0.1, -0.2, 0.3], [0.5, 0.2, -0.4]]),)
