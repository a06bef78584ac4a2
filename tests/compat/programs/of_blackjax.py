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


@case(rtol=2e-3, atol=2e-3, repeats=0)
def first_steps_of_others() -> Any:
    one = jnp.ones(2)

    def f(key: Any) -> Any:
        def positions(kernel: Any, *start: Any) -> Any:
            def step(state: Any, key: Any) -> Any:
                state, _ = kernel.step(key, state)
                return state, state.position

            state = kernel.init(jnp.zeros(2), *start)
            return jax.lax.scan(step, state, jax.random.split(key, 5))[1]

        target = lambda x: -jnp.sum((x - 1) ** 2)
        return [
            positions(blackjax.ghmc(logdensity, 0.2, one, 0.9, 0.2), key),
            positions(blackjax.dynamic_hmc(logdensity, 0.2, one), key),
            positions(blackjax.barker_proposal(logdensity, 0.3)),
            positions(blackjax.elliptical_slice(target, mean=0 * one, cov=jnp.eye(2))),
            positions(blackjax.irmh(logdensity, lambda key: 2 * jax.random.normal(key, (2,)))),
            positions(blackjax.nuts(logdensity, 0.2, jnp.array([[1.0, 0.2], [0.2, 2.0]]))),
        ]

    return jax.jit(f), (jax.random.key(7),)


@case(rtol=1e-2, atol=1e-2, repeats=0)
def gradients_of_parts_of_the_data() -> Any:
    data = jax.random.normal(jax.random.key(8), (40, 2)) + jnp.array([1.0, 2.0])
    estimate = blackjax.sgmcmc.gradients.grad_estimator(
        lambda p: -jnp.sum(p**2) / 200, lambda p, row: -0.5 * jnp.sum((row - p) ** 2), 40
    )

    def run(key: Any) -> Any:
        found = []
        for made in (blackjax.sgld(estimate), blackjax.sghmc(estimate, 3)):
            state, step = made.init(jnp.zeros(2)), jax.jit(made.step)
            for i in range(4):
                part = data[8 * i : 8 * i + 8]
                state = step(jax.random.fold_in(key, i), state, part, 1e-3)
            found.append(state)
        weights = jnp.array([0.1, 0.2, 0.3, 0.4])
        names = ("systematic", "stratified", "multinomial", "residual")
        ways = [getattr(blackjax.smc.resampling, name) for name in names]
        return found, [way(key, weights, 6) for way in ways]

    return run, (jax.random.key(9),)
