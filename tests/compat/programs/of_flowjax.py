"""FlowJAX: distributions that are functions of simple ones."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from cases import case
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow, masked_autoregressive_flow
from flowjax.train import fit_to_data

KEY = jax.random.key(0)


def drawn(make: Any) -> Any:
    @eqx.filter_jit
    def draw(key: Any) -> Any:
        flow = make(key, base_dist=Normal(jnp.zeros(2)), nn_width=8)
        xs = flow.sample(key, (3,))
        return xs, flow.log_prob(xs), flow.bijection.inverse(xs[0])

    return draw, (KEY,)


@case(rtol=1e-4, atol=1e-5)
def autoregressive() -> Any:
    return drawn(masked_autoregressive_flow)


@case(rtol=1e-4, atol=1e-5)
def coupling() -> Any:
    return drawn(coupling_flow)


@case(rtol=1e-3, atol=1e-4, repeats=0)
def training() -> Any:
    def run(key: Any) -> Any:
        flow = coupling_flow(key, base_dist=Normal(jnp.zeros(2)), nn_width=8, flow_layers=2)
        data = jax.random.normal(key, (200, 2)) * 2
        flow, losses = fit_to_data(key, flow, data, max_epochs=3, show_progress=False)
        return losses, flow.log_prob(data[:3])

    return run, (KEY,)
