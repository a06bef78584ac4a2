"""Brax: rigid bodies under its own physics and MuJoCo's."""

from __future__ import annotations

from typing import Any

import jax
from cases import case


def steps(name: str, backend: str, count: int) -> Any:
    from brax import envs

    environment = envs.get_environment(name, backend=backend)

    def run(key: Any) -> Any:
        state = environment.reset(key)

        def step(state: Any, key: Any) -> Any:
            action = jax.random.uniform(key, (environment.action_size,), minval=-1, maxval=1)
            state = environment.step(state, action)
            return state, (state.obs, state.reward)

        return jax.lax.scan(step, state, jax.random.split(key, count))[1]

    return jax.jit(run), (jax.random.PRNGKey(0),)


@case(rtol=1e-2, atol=1e-3)
def an_inverted_pendulum() -> Any:
    return steps("inverted_pendulum", "generalized", 10)


@case(rtol=1e-2, atol=1e-3)
def springs() -> Any:
    return steps("inverted_pendulum", "spring", 5)
