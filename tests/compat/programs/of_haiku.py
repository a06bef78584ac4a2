"""Haiku: functions with parameters and state, layers, recurrence."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from cases import case


def data() -> tuple[Any, Any]:
    x = jax.random.normal(jax.random.PRNGKey(1), (32, 4))
    return x, jnp.sin(x.sum(1, keepdims=True))


@case(rtol=1e-3, atol=1e-4)
def training() -> Any:
    def network(x: Any) -> Any:
        return hk.Sequential(
            [hk.Linear(16), jax.nn.relu, hk.LayerNorm(-1, True, True), hk.Linear(1)]
        )(x)

    net, optimizer = hk.without_apply_rng(hk.transform(network)), optax.adam(1e-2)

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss = lambda p: jnp.mean((net.apply(p, x) - y) ** 2)
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def train(x: Any, y: Any) -> Any:
        params = net.init(jax.random.PRNGKey(0), x)
        state, values = optimizer.init(params), []
        for _ in range(20):
            params, state, value = step(params, state, x, y)
            values.append(value)
        return params, jnp.stack(values)

    return train, data()


@case(rtol=1e-4, atol=1e-5)
def state() -> Any:
    net = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, True))

    def run(x: Any) -> Any:
        params, state = net.init(jax.random.PRNGKey(0), x)
        return jax.jit(net.apply)(params, state, None, x)

    return run, (data()[0],)


@case(rtol=1e-4, atol=1e-5)
def recurrence_and_dropout() -> Any:
    def network(xs: Any) -> Any:
        core = hk.LSTM(8)
        hidden, _ = hk.dynamic_unroll(core, xs, core.initial_state(4))
        return hk.dropout(hk.next_rng_key(), 0.5, hidden)

    net = hk.transform(network)

    def run(xs: Any) -> Any:
        params = net.init(jax.random.PRNGKey(0), xs)
        loss = lambda p: jnp.sum(net.apply(p, jax.random.PRNGKey(1), xs) ** 2)
        return jax.jit(jax.value_and_grad(loss))(params)

    return run, (jnp.ones((5, 4, 3)),)


@case(rtol=1e-4, atol=1e-5, repeats=0)
def layers() -> Any:
    def network(image: Any, sequence: Any) -> Any:
        of_images = [
            hk.Conv2D(3, 3, stride=2), hk.Conv2DTranspose(3, 3, stride=2), hk.DepthwiseConv2D(2, 3),
            hk.GroupNorm(2), hk.InstanceNorm(True, True), hk.AvgPool(2, 2, "SAME"),
        ]  # fmt: skip
        deep = hk.DeepRNN([hk.VanillaRNN(4), jax.nn.relu, hk.GRU(3)])
        start = deep.initial_state(2)
        attention = hk.MultiHeadAttention(2, 4, w_init=hk.initializers.VarianceScaling(1.0))
        stack = hk.experimental.layer_stack(3)(lambda x: jnp.tanh(hk.Linear(8, name="stacked")(x)))
        normal = hk.SpectralNorm()(sequence[0], update_stats=True)
        codes = hk.nets.VectorQuantizerEMA(8, 5, 0.25, 0.9)(sequence, True)
        return [layer(image) for layer in of_images], (
            hk.dynamic_unroll(deep, sequence, start, time_major=False)[0],
            attention(sequence, sequence, sequence), stack(sequence), normal, codes["quantize"],
        )  # fmt: skip

    transformed = hk.transform_with_state(network)

    def run(*inputs: Any) -> Any:
        key = jax.random.PRNGKey(0)
        params, state = transformed.init(key, *inputs)
        return jax.jit(transformed.apply)(params, state, key, *inputs)

    keys = jax.random.split(jax.random.PRNGKey(1))
    return run, (
        jax.random.normal(keys[0], (2, 8, 8, 4)),
        jax.random.normal(keys[1], (2, 6, 8)),
    )
