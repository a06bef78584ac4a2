"""mctx: searches in trees of what may be done."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import mctx
from cases import case

REWARDS = jnp.array([0.1, 0.5, 0.2, 0.3])
ROOT = mctx.RootFnOutput(
    prior_logits=jnp.zeros((2, 4)), value=jnp.zeros(2), embedding=jnp.zeros((2, 1))
)


def step(rewards: Any, key: Any, action: Any, embedding: Any) -> Any:
    """What an action brings: its reward, less the longer the game has gone on."""
    reward = rewards[action] / (1 + embedding[:, 0])
    out = mctx.RecurrentFnOutput(
        reward=reward,
        discount=jnp.full_like(reward, 0.9),
        prior_logits=jnp.zeros((len(action), 4)),
        value=jnp.zeros_like(reward),
    )
    return out, embedding + 1


def searched(policy: Any, **options: Any) -> Any:
    @jax.jit
    def search(rewards: Any, key: Any) -> Any:
        run = functools.partial(policy, recurrent_fn=step, num_simulations=16, **options)
        out = run(rewards, key, ROOT)
        return out.action, out.action_weights, out.search_tree.summary().qvalues

    return search, (REWARDS, jax.random.key(1))


@case()
def muzero() -> Any:
    return searched(mctx.muzero_policy)


@case()
def gumbel_muzero() -> Any:
    return searched(mctx.gumbel_muzero_policy, gumbel_scale=1.0)
