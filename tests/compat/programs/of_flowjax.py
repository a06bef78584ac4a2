"""FlowJAX: normalizing flows and their training."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from cases import case
from flowjax.bijections import Affine, RationalQuadraticSpline
from flowjax.distributions import Normal, StudentT, Transformed
from flowjax.flows import coupling_flow, masked_autoregressive_flow

KEY = jr.key(0)
X = jr.normal(jr.key(1), (20, 2)) * jnp.array([1.0, 0.3]) + 0.5


@case(rtol=1e-4, atol=1e-5)
def distributions() -> Any:
    def run(x: Any) -> Any:
        shifted = Transformed(StudentT(jnp.full(2, 5.0)), Affine(jnp.ones(2), jnp.full(2, 0.5)))
        return shifted.log_prob(x), shifted.sample(KEY, (3,)), Normal(jnp.zeros(2)).log_prob(x)

    return jax.jit(run), (X,)


@case(rtol=1e-3, atol=1e-4, repeats=1)
def flows() -> Any:
    @eqx.filter_jit
    def run(x: Any) -> Any:
        found = []
        for make in (
            lambda: coupling_flow(KEY, base_dist=Normal(jnp.zeros(2)), flow_layers=2, nn_width=8),
            lambda: masked_autoregressive_flow(
                KEY,
                base_dist=Normal(jnp.zeros(2)),
                transformer=RationalQuadraticSpline(knots=4, interval=3),
                flow_layers=2,
                nn_width=8,
            ),
        ):
            flow = make()
            value, slopes = eqx.filter_value_and_grad(lambda f: -f.log_prob(x).mean())(flow)
            leaves = jax.tree.leaves(eqx.filter(slopes, eqx.is_inexact_array))
            found += [value, sum(jnp.sum(jnp.abs(leaf)) for leaf in leaves), flow.sample(KEY, (2,))]
        return found

    return run, (X,)
