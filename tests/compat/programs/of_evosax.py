"""evosax: evolution strategies and what they are tried on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from cases import case

KEY = jax.random.PRNGKey(3)


def sphere(x: Any) -> Any:
    return jnp.sum((x - jnp.arange(x.size)) ** 2)


def evolved(name: str, steps: int, **options: Any) -> Any:
    """What a strategy has found after some steps, in one loop."""
    from evosax import algorithms

    strategy = getattr(algorithms, name)(population_size=16, solution=jnp.zeros(4), **options)
    parameters = strategy.default_params

    def step(carry: Any, key: Any) -> Any:
        ask, tell = jax.random.split(key)
        population, state = strategy.ask(ask, carry, parameters)
        fitness = jax.vmap(sphere)(population)
        state, _ = strategy.tell(tell, population, fitness, state, parameters)
        return state, fitness.min()

    def run(key: Any) -> Any:
        state = strategy.init(key, jnp.ones(4), parameters)
        state, best = jax.lax.scan(step, state, jax.random.split(key, steps))
        return best, strategy.get_mean(state)

    return jax.jit(run), (KEY,)


@case(rtol=1e-3, atol=1e-3)
def covariances_adapted() -> Any:
    return evolved("CMA_ES", 12)


@case(rtol=1e-3, atol=1e-3)
def gradients_estimated() -> Any:
    import optax

    return evolved("Open_ES", 20, optimizer=optax.adam(0.1))


@case(rtol=1e-3, atol=1e-3)
def natural_strategies() -> Any:
    return evolved("SNES", 20)


@case(rtol=1e-3, atol=1e-3)
def populations() -> Any:
    from evosax.algorithms import PSO, DifferentialEvolution

    def after(cls: Any, key: Any) -> Any:
        strategy = cls(population_size=16, solution=jnp.zeros(4))
        parameters = strategy.default_params
        start = jax.random.normal(key, (16, 4))
        state = strategy.init(key, start, jax.vmap(sphere)(start), parameters)

        def step(state: Any, key: Any) -> Any:
            population, state = strategy.ask(key, state, parameters)
            fitness = jax.vmap(sphere)(population)
            state, _ = strategy.tell(key, population, fitness, state, parameters)
            return state, fitness.mean()

        state, means = jax.lax.scan(step, state, jax.random.split(key, 10))
        return means, state.best_fitness

    return jax.jit(lambda key: [after(cls, key) for cls in (PSO, DifferentialEvolution)]), (KEY,)
