"""Flax: layers and training, in linen and in nnx."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from cases import case
from flax import nnx

KEY = jax.random.key(0)


def data(*shape: int) -> Any:
    x = jax.random.normal(jax.random.key(1), shape)
    return x, jnp.sin(x.reshape(len(x), -1).sum(1, keepdims=True))


def trained(model: Any, x: Any, y: Any) -> Any:
    """Five steps of a linen module, with what it keeps beside its parameters."""
    tx = optax.sgd(1e-2)

    @jax.jit
    def step(params: Any, rest: Any, state: Any, key: Any) -> Any:
        def loss(p: Any) -> Any:
            variables = {"params": p, **rest}
            out, changed = model.apply(variables, x, rngs={"dropout": key}, mutable=list(rest))
            return jnp.mean((out - y) ** 2), changed

        (value, rest), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(params, updates), rest, state, value

    def train(x: Any) -> Any:
        rest = dict(model.init({"params": KEY, "dropout": KEY}, x))
        params, values = rest.pop("params"), []
        state = tx.init(params)
        for i in range(5):
            key = jax.random.fold_in(KEY, i)
            params, rest, state, value = step(params, rest, state, key)
            values.append(value)
        return params, rest, jnp.stack(values)

    return train, (x,)


class Layers(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.LayerNorm()(nn.relu(nn.Dense(32)(x)))
        return nn.Dense(1)(nn.Dropout(0.1, deterministic=False)(x))


class Images(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.BatchNorm(use_running_average=False)(nn.Conv(8, (3, 3))(x)))
        x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = nn.GroupNorm(4)(nn.Conv(8, (3, 3), strides=2, feature_group_count=2)(x))
        return nn.Dense(1)(x.reshape(len(x), -1))


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.RNN(nn.LSTMCell(16))(x)
        x = nn.Bidirectional(nn.RNN(nn.GRUCell(8)), nn.RNN(nn.GRUCell(8)))(x)
        return nn.Dense(1)(x[:, -1])


class Attention(nn.Module):
    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        x, mask = nn.Embed(20, 16)(tokens), nn.make_causal_mask(tokens)
        x = nn.LayerNorm()(x + nn.MultiHeadDotProductAttention(4, qkv_features=16)(x, x, mask=mask))
        return nn.Dense(20)(x + nn.Dense(16)(nn.gelu(nn.Dense(32)(x)))).mean((1, 2))[:, None]


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: Any, _: Any) -> Any:
        return x + nn.tanh(nn.Dense(8)(x)), None


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        axes: dict[str, Any] = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        blocks = nn.scan(nn.remat(Block), length=3, **axes)()
        return nn.Dense(1)(blocks(x, None)[0])


@case(rtol=1e-4, atol=1e-5)
def linen_layers() -> Any:
    return trained(Layers(), *data(16, 8))


@case(rtol=1e-3, atol=1e-4)
def linen_images() -> Any:
    return trained(Images(), *data(4, 8, 8, 3))


@case(rtol=1e-4, atol=1e-5)
def linen_recurrence() -> Any:
    return trained(Recurrent(), *data(4, 6, 3))


@case(rtol=1e-4, atol=1e-5)
def linen_attention() -> Any:
    return trained(Attention(), jax.random.randint(KEY, (4, 7), 0, 20), jnp.ones((4, 1)))


@case(rtol=1e-4, atol=1e-5)
def linen_scan_of_remat() -> Any:
    return trained(Scanned(), *data(16, 8))


# --------------------------------------------------------------------------------------------------------- nnx


def trained_nnx(make: Any, x: Any, y: Any) -> Any:
    """Five steps of an nnx module."""

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any) -> Any:
        value, grads = nnx.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        optimizer.update(model, grads)
        return value

    def train(x: Any) -> Any:
        model = make(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.sgd(1e-2), wrt=nnx.Param)
        values = [step(model, optimizer, x) for _ in range(5)]
        return jnp.stack(values), nnx.state(model, nnx.Param)

    return train, (x,)


class Small(nnx.Module):
    def __init__(self, rngs: Any):
        self.first, self.last = nnx.Linear(8, 32, rngs=rngs), nnx.Linear(32, 1, rngs=rngs)
        self.norm, self.dropout = nnx.LayerNorm(32, rngs=rngs), nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


class Convolved(nnx.Module):
    def __init__(self, rngs: Any):
        self.conv, self.norm = nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.BatchNorm(8, rngs=rngs)
        self.last = nnx.Linear(8 * 16, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.avg_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), strides=(2, 2))
        return self.last(x.reshape(len(x), -1))


class Heads(nnx.Module):
    def __init__(self, rngs: Any):
        self.embed = nnx.Embed(20, 16, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, 16, 16, decode=False, rngs=rngs)
        self.rnn = nnx.RNN(nnx.LSTMCell(16, 8, rngs=rngs))

    def __call__(self, tokens: Any) -> Any:
        x = self.attention(self.embed(tokens), mask=nnx.make_causal_mask(tokens))
        return self.rnn(x).mean((1, 2))[:, None]


@case(rtol=1e-4, atol=1e-5)
def nnx_layers() -> Any:
    return trained_nnx(Small, *data(16, 8))


@case(rtol=1e-3, atol=1e-4)
def nnx_images() -> Any:
    return trained_nnx(Convolved, *data(4, 8, 8, 3))


@case(rtol=1e-4, atol=1e-5)
def nnx_attention_and_recurrence() -> Any:
    return trained_nnx(Heads, jax.random.randint(KEY, (4, 7), 0, 20), jnp.ones((4, 1)))


@case(rtol=1e-4, atol=1e-5)
def nnx_lifted() -> Any:
    def run(x: Any) -> Any:
        model = nnx.Linear(8, 8, rngs=nnx.Rngs(0))
        mapped = nnx.vmap(lambda m, x: m(x), in_axes=(None, 0))(model, x)
        chosen = nnx.cond(True, lambda m, x: m(x), lambda m, x: x, model, x)
        grads = nnx.grad(lambda m: nnx.remat(lambda m, x: m(x))(m, x).sum())(model)
        return (
            mapped,
            chosen,
            grads,
            nnx.fori_loop(0, 3, lambda i, c: (c[0], c[0](c[1])), (model, x))[1],
        )

    return run, (data(16, 8)[0],)


@case(rtol=1e-4, atol=1e-5, repeats=0)
def linen_step_by_step() -> Any:
    """Attention that decodes one token at a time, with what it keeps in a cache."""

    def run(x: Any) -> Any:
        module = nn.MultiHeadDotProductAttention(2, decode=True)
        variables = module.init(KEY, x, x)
        cache, found = jax.tree.map(jnp.zeros_like, variables["cache"]), []

        @jax.jit
        def step(cache: Any, token: Any) -> Any:
            held = {"params": variables["params"], "cache": cache}
            out, changed = module.apply(held, token, token, mutable=["cache"])
            return changed["cache"], out

        for i in range(3):
            cache, out = step(cache, x[:, i : i + 1])
            found.append(out)
        return found, cache

    return run, (jax.random.normal(KEY, (2, 6, 8)),)


@case(rtol=1e-4, atol=1e-5, repeats=0)
def linen_states_as_bytes() -> Any:
    from flax import serialization
    from flax.training import train_state

    def run(x: Any) -> Any:
        module = nn.Dense(3)
        state = train_state.TrainState.create(
            apply_fn=module.apply, params=module.init(KEY, x)["params"], tx=optax.adamw(1e-2)
        )

        @jax.jit
        def step(state: Any) -> Any:
            loss = lambda p: jnp.sum(state.apply_fn({"params": p}, x) ** 2)
            return state.apply_gradients(grads=jax.grad(loss)(state.params))

        trained = step(step(state))
        written = serialization.to_bytes(trained)
        half = serialization.msgpack_serialize({"half": jnp.ones(2, jnp.bfloat16), "n": 3})
        read = serialization.from_bytes(state, written)
        return len(written), read.params, read.opt_state, serialization.msgpack_restore(half)

    return run, (jax.random.normal(KEY, (4, 8)),)


@case(rtol=1e-4, atol=1e-5, repeats=0)
def linen_lifted() -> Any:
    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            axes: dict[str, Any] = {
                "variable_axes": {"params": 0}, "split_rngs": {"params": True}
            }  # fmt: skip
            y = nn.vmap(nn.Dense, in_axes=0, out_axes=0, **axes)(3)(x)
            z = nn.cond(True, lambda m, x: 2 * x, lambda m, x: x, self, y)
            w = nn.while_loop(
                lambda m, c: c[0] < 3, lambda m, c: (c[0] + 1, 1.5 * c[1]), self, (0, z)
            )
            twice = lambda held: jax.tree.map(lambda p: 2 * p, held)
            return nn.map_variables(nn.Dense, "params", twice, init=True)(2)(w[1])

    return lambda x: Lifted().init_with_output(KEY, x), (jax.random.normal(KEY, (4, 8)),)


@case(rtol=1e-4, atol=1e-5, repeats=0)
def nnx_layers_of_layers() -> Any:
    def run(x: Any) -> Any:
        make = nnx.vmap(lambda key: nnx.Linear(8, 8, rngs=nnx.Rngs(key)))
        layers = make(jax.random.split(KEY, 3))
        forward = nnx.scan(
            lambda x, layer: jnp.tanh(layer(x)), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry
        )
        slopes = nnx.grad(lambda layers: forward(x, layers).sum())(layers)
        low = nnx.LoRALinear(8, 3, lora_rank=2, rngs=nnx.Rngs(0))
        normal = nnx.SpectralNorm(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
        return forward(x, layers), jax.tree.leaves(slopes), low(x), normal(x)

    return run, (jax.random.normal(KEY, (4, 8)),)
