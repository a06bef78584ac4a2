"""BlackJAX: samplers.  Long chains part by rounding, so what is compared of them is what they estimate."""

from __future__ import annotations

from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from cases import COVARIANCE, MEANS, as_the_gaussian, case


def logdensity(x: Any) -> Any:
    """A correlated Gaussian in two dimensions, with means 1 and -1."""
    d = x - jnp.array([1.0, -1.0])
    precision = jnp.array([[2.0, -0.8], [-0.8, 1.0]])
    return -0.5 * d @ precision @ d


def chain(kernel: Any, state: Any, key: Any, n: int) -> Any:
    def step(state: Any, key: Any) -> Any:
        state, info = kernel.step(key, state)
        return state, (state.position, info.acceptance_rate)

    return jax.lax.scan(step, state, jax.random.split(key, n))[1]


def moments(xs: Any) -> Any:
    return xs.mean(0), xs.std(0)


@case(rtol=1e-4, atol=1e-4)
def first_steps_of_nuts() -> Any:
    nuts = blackjax.nuts(logdensity, step_size=0.3, inverse_mass_matrix=jnp.ones(2))
    return jax.jit(lambda key: chain(nuts, nuts.init(jnp.zeros(2)), key, 5)), (jax.random.key(0),)


@case(rtol=0.1, atol=0.1)
def nuts_with_window_adaptation() -> Any:
    def f(key: Any) -> Any:
        warm, sample = jax.random.split(key)
        adapt = blackjax.window_adaptation(blackjax.nuts, logdensity)
        (state, parameters), _ = adapt.run(warm, jnp.zeros(2), num_steps=500)
        nuts = blackjax.nuts(logdensity, **parameters)
        xs, rates = chain(nuts, state, sample, 3000)
        return moments(xs), rates.mean()

    return jax.jit(f), (jax.random.key(1),)


@case(repeats=0)
def nuts_of_a_correlated_gaussian() -> Any:
    precision = np.linalg.inv(COVARIANCE)
    nuts = blackjax.nuts(
        lambda x: -0.5 * (x - MEANS) @ precision @ (x - MEANS),
        step_size=0.5,
        inverse_mass_matrix=jnp.ones(3),
    )
    f = jax.jit(lambda key: chain(nuts, nuts.init(jnp.zeros(3)), key, 1000)[0])
    size = lambda xs: blackjax.diagnostics.effective_sample_size(jnp.asarray(xs, "float32"))
    return lambda key: as_the_gaussian(f(key), size), (jax.random.key(6),)


@case(rtol=0.1, atol=0.1)
def hmc() -> Any:
    kernel = blackjax.hmc(
        logdensity, step_size=0.3, inverse_mass_matrix=jnp.ones(2), num_integration_steps=8
    )
    f = lambda key: moments(chain(kernel, kernel.init(jnp.zeros(2)), key, 4000)[0])
    return jax.jit(f), (jax.random.key(2),)


@case(rtol=1e-4, atol=1e-4)
def random_walks_side_by_side() -> Any:
    kernel = blackjax.rmh(logdensity, blackjax.mcmc.random_walk.normal(jnp.ones(2)))

    def f(keys: Any) -> Any:
        states = jax.vmap(lambda k: kernel.init(jnp.zeros(2)))(keys)
        return jax.vmap(lambda s, k: chain(kernel, s, k, 20)[0])(states, keys)

    return jax.jit(f), (jax.random.split(jax.random.key(3), 4),)


@case(rtol=1e-3, atol=1e-3)
def langevin_and_mclmc() -> Any:
    mala = blackjax.mala(logdensity, step_size=0.1)
    mclmc = blackjax.mclmc(logdensity, L=1.0, step_size=0.2)

    def f(key: Any) -> Any:
        first = chain(mala, mala.init(jnp.zeros(2)), key, 10)[0]
        state = mclmc.init(jnp.zeros(2), key)
        step = lambda s, k: (lambda out: (out[0], out[0].position))(mclmc.step(k, s))
        return first, jax.lax.scan(step, state, jax.random.split(key, 10))[1]

    return jax.jit(f), (jax.random.key(4),)


@case(rtol=1e-3, atol=1e-3)
def diagnostics() -> Any:
    xs = jax.random.normal(jax.random.key(5), (4, 200, 2))
    return lambda xs: (
        blackjax.diagnostics.effective_sample_size(xs),
        blackjax.diagnostics.potential_scale_reduction(xs),
    ), (xs,)
