"""RLax: returns, temporal differences, policies, value transformations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import rlax
from cases import case

REWARDS = jnp.array([1.0, 0.0, -0.5, 2.0])
DISCOUNTS = jnp.array([0.9, 0.9, 0.0, 0.9])
VALUES = jnp.array([0.2, 0.4, -0.1, 0.6])
LOGITS = jnp.array([[0.1, 0.5, -0.2], [1.0, 0.0, 0.3], [0.2, 0.2, 0.1], [-1.0, 0.4, 0.0]])
ACTIONS = jnp.array([0, 2, 1, 1])


@case()
def returns_and_errors() -> Any:
    def run(r: Any, d: Any, v: Any) -> Any:
        ratios = jnp.array([1.2, 0.8, 1.0, 0.5])
        return (
            rlax.lambda_returns(r, d, v, 0.8),
            rlax.n_step_bootstrapped_returns(r, d, v, 2),
            rlax.truncated_generalized_advantage_estimation(r, d, 0.9, jnp.append(v, 0.1)),
            rlax.vtrace(v, jnp.roll(v, -1), r, d, ratios),
            rlax.td_learning(v[0], r[0], d[0], v[1]),
            rlax.discounted_returns(r, d, v),
        )

    return jax.jit(run), (REWARDS, DISCOUNTS, VALUES)


@case()
def learning() -> Any:
    def loss(logits: Any) -> Any:
        double = jax.vmap(rlax.double_q_learning)(
            logits, ACTIONS, REWARDS, DISCOUNTS, jnp.roll(logits, 1, 0), logits
        )
        policy = rlax.policy_gradient_loss(logits, ACTIONS, VALUES, jnp.ones(4))
        entropy = rlax.entropy_loss(logits, jnp.ones(4))
        return jnp.mean(rlax.l2_loss(double)) + policy + 0.1 * entropy

    return jax.jit(jax.value_and_grad(loss)), (LOGITS,)


@case(rtol=1e-3, atol=1e-4)  # signed_parabolic is a difference of large numbers
def policies_and_transformations() -> Any:
    def run(logits: Any) -> Any:
        key = jax.random.PRNGKey(0)
        greedy, softmax = rlax.epsilon_greedy(0.1), rlax.softmax(0.5)
        support = rlax.categorical_l2_project(
            jnp.linspace(-1, 1, 3), jax.nn.softmax(logits[0]), jnp.linspace(-2, 2, 5)
        )
        return (
            greedy.probs(logits), softmax.logprob(ACTIONS, logits), softmax.sample(key, logits),
            rlax.signed_hyperbolic(logits), rlax.signed_parabolic(logits), support,
            rlax.transform_to_2hot(0.3, -1.0, 1.0, 5),
        )  # fmt: skip

    return jax.jit(run), (LOGITS,)
