"""Smaller libraries: mctx's tree search, quadax's integrals, matfree's functions of matrices, interpax's splines."""

from __future__ import annotations

from typing import Any

import interpax
import jax
import jax.numpy as jnp
import mctx
import quadax
from cases import case
from matfree import decomp, funm, stochtrace


@case(rtol=1e-4, atol=1e-5)
def a_tree_search() -> Any:
    def step(params: Any, key: Any, action: Any, state: Any) -> Any:
        state = state + action[:, None] + 1
        output = mctx.RecurrentFnOutput(
            reward=jnp.tanh(state[:, 0] - 3.0),
            discount=jnp.full(state.shape[0], 0.9),
            prior_logits=jnp.sin(state + jnp.arange(3.0)),
            value=jnp.cos(state[:, 0]),
        )
        return output, state

    def run(logits: Any) -> Any:
        root = mctx.RootFnOutput(
            prior_logits=logits, value=jnp.zeros(2), embedding=jnp.zeros((2, 1))
        )
        found = mctx.gumbel_muzero_policy((), jax.random.PRNGKey(0), root, step, num_simulations=16)
        other = mctx.muzero_policy((), jax.random.PRNGKey(1), root, step, num_simulations=8)
        return found.action, found.action_weights, other.action_weights

    return jax.jit(run), (jnp.array([[0.1, 0.2, 0.3], [1.0, 0.0, -1.0]]),)


@case(rtol=1e-4, atol=1e-5)
def integrals() -> Any:
    def run(a: Any) -> Any:
        f = lambda x: jnp.exp(-a * x) * jnp.sin(3 * x)
        adaptive, _ = quadax.quadgk(f, jnp.array([0.0, 2.0]), epsabs=1e-5, epsrel=1e-5)
        tanhsinh, _ = quadax.quadts(f, jnp.array([0.0, 2.0]), epsabs=1e-5, epsrel=1e-5)
        return adaptive, tanhsinh, quadax.simpson(f(jnp.linspace(0, 2, 21)), dx=0.1)

    return jax.jit(run), (jnp.float32(0.7),)


@case(rtol=1e-3, atol=1e-3)
def functions_of_matrices() -> Any:
    a = jax.random.normal(jax.random.PRNGKey(0), (6, 6)) / 3
    a = a @ a.T + jnp.eye(6)

    def run(a: Any) -> Any:
        tridiagonal = decomp.tridiag_sym(4)
        integrand = funm.integrand_funm_sym_logdet(tridiagonal)
        estimate = stochtrace.estimator(
            integrand, sampler=stochtrace.sampler_rademacher(jnp.ones(6), num=8)
        )
        return estimate(lambda v, p: p @ v, jax.random.PRNGKey(1), a)

    return jax.jit(run), (a,)


@case(rtol=1e-4, atol=1e-5)
def splines() -> Any:
    x = jnp.linspace(0, 3, 9)

    def run(y: Any) -> Any:
        at = jnp.linspace(0.1, 2.9, 11)
        methods = ("linear", "cubic", "cubic2", "catmull-rom", "monotonic")
        found = [interpax.interp1d(at, x, y, method=m) for m in methods]
        return found, interpax.CubicSpline(x, y)(at), interpax.PchipInterpolator(x, y)(at)

    return jax.jit(run), (jnp.sin(x),)
