"""Equinox: modules that are pytrees, filtered transformations, layers, training."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from cases import case


class Scaled(eqx.Module):
    """A module with a child, an array and what is no array."""

    inner: eqx.nn.MLP
    scale: jax.Array
    activation: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return self.activation(self.scale * self.inner(x))


def model() -> Scaled:
    inner = eqx.nn.MLP(4, 2, 32, 2, activation=jax.nn.gelu, key=jax.random.key(0))
    return Scaled(inner, jnp.array(0.5), jnp.tanh)


def data() -> tuple[Any, Any]:
    x = jax.random.normal(jax.random.key(1), (64, 4))
    return x, jnp.stack([jnp.sin(x.sum(1)), jnp.cos(x[:, 0])], 1)


def loss(m: Any, x: Any, y: Any) -> Any:
    return jnp.mean((jax.vmap(m)(x) - y) ** 2)


@case()
def filtered_transformations() -> Any:
    @eqx.filter_jit
    def f(m: Any, x: Any, y: Any) -> Any:
        value, grads = eqx.filter_value_and_grad(loss)(m, x, y)
        each = eqx.filter_vmap(m)(x)
        moved = eqx.filter_jvp(
            lambda m: loss(m, x, y), (m,), (eqx.filter(m, eqx.is_inexact_array),)
        )
        return value, eqx.filter(grads, eqx.is_array), each, moved

    return f, (model(), *data())


@case(rtol=1e-3, atol=1e-4)
def training() -> Any:
    optimizer = optax.adamw(1e-2)

    @eqx.filter_jit
    def step(m: Any, state: Any, x: Any, y: Any) -> Any:
        value, grads = eqx.filter_value_and_grad(loss)(m, x, y)
        updates, state = optimizer.update(grads, state, eqx.filter(m, eqx.is_array))
        return eqx.apply_updates(m, updates), state, value

    def train(m: Any, x: Any, y: Any) -> Any:
        state, values = optimizer.init(eqx.filter(m, eqx.is_array)), []
        for _ in range(50):
            m, state, value = step(m, state, x, y)
            values.append(value)
        return eqx.filter(m, eqx.is_array), jnp.stack(values)

    return train, (model(), *data())


@case()
def an_ensemble() -> Any:
    def make(key: Any) -> Any:
        return eqx.nn.MLP(4, 2, 8, 1, key=key)

    @eqx.filter_jit
    def f(keys: Any, x: Any) -> Any:
        models = eqx.filter_vmap(make)(keys)
        return eqx.filter_vmap(lambda m, x: jax.vmap(m)(x), in_axes=(eqx.if_array(0), None))(
            models, x
        )

    return f, (jax.random.split(jax.random.key(2), 5), data()[0])


@case(rtol=1e-4, atol=1e-5)
def layers() -> Any:
    keys = jax.random.split(jax.random.key(3), 12)
    conv = eqx.nn.Conv2d(3, 4, 3, padding=1, key=keys[0])
    up = eqx.nn.ConvTranspose2d(4, 3, 2, stride=2, key=keys[1])
    attention = eqx.nn.MultiheadAttention(2, 8, key=keys[2])
    cell = eqx.nn.GRUCell(8, 8, key=keys[3])
    lstm = eqx.nn.LSTMCell(8, 8, key=keys[4])
    norm, group, rms = eqx.nn.LayerNorm(8), eqx.nn.GroupNorm(2, 4), eqx.nn.RMSNorm(8)
    embedding = eqx.nn.Embedding(10, 8, key=keys[5])
    pool, drop = eqx.nn.MaxPool2d(2, 2), eqx.nn.Dropout(0.5)
    rotary = eqx.nn.RotaryPositionalEmbedding(8)

    @eqx.filter_jit
    def f(image: Any, text: Any, key: Any) -> Any:
        hidden = group(conv(image))
        tokens = jax.vmap(norm)(jax.vmap(embedding)(text))
        mixed = jax.vmap(rms)(attention(rotary(tokens), tokens, tokens))
        h, _ = jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(8), mixed)
        c, _ = jax.lax.scan(lambda c, x: (lstm(x, c), None), (jnp.zeros(8), jnp.zeros(8)), mixed)
        return pool(jax.nn.relu(hidden)), up(hidden), mixed, h, c, drop(h, key=key)

    image = jax.random.normal(keys[6], (3, 8, 8))
    return f, (image, jnp.arange(7) % 10, keys[7])


@case(rtol=1e-4, atol=1e-5)
def state_in_batch_norm() -> Any:
    @eqx.filter_jit
    def f(norm: Any, state: Any, x: Any) -> Any:
        out, state = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(
            x, state
        )
        return out, state

    def run(x: Any) -> Any:
        norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, "batch", mode="batch")
        for _ in range(3):
            out, state = f(norm, state, x)
        return out, eqx.filter(state, eqx.is_array)

    return run, (data()[0],)


@case()
def surgery_and_files() -> Any:
    def f(m: Any, x: Any) -> Any:
        other = eqx.tree_at(lambda m: m.scale, m, jnp.array(2.0))
        file = io.BytesIO()
        eqx.tree_serialise_leaves(file, other)
        file.seek(0)
        read = eqx.tree_deserialise_leaves(file, m)
        return jax.vmap(read)(x), eqx.tree_equal(read, other), str(m)[:40], eqx.tree_pformat(x)

    return f, (model(), data()[0])


@case(repeats=0)
def errors_at_run_time() -> Any:
    @eqx.filter_jit
    def f(x: Any) -> Any:
        return eqx.error_if(x, x < 0, "x must be at least 0")

    def outcome(x: float) -> str:
        try:
            f(jnp.array(x))
        except Exception as error:
            return f"{type(error).__name__}: {'x must be at least 0' in str(error)}"
        return "holds"

    return lambda: [outcome(1.0), outcome(-1.0)], ()


@case()
def bounded_loops() -> Any:
    def f(x: Any, kind: str) -> Any:
        def body(carry: Any) -> Any:
            i, x = carry
            return i + 1, jnp.sin(x) * 1.1

        _, y = eqx.internal.while_loop(
            lambda c: c[0] < 10, body, (0, x), max_steps=16, kind=kind, checkpoints=4
        )
        return jnp.sum(y)

    @jax.jit
    def all_of(x: Any) -> Any:
        return [jax.value_and_grad(f)(x, kind) for kind in ("checkpointed", "bounded")] + [
            f(x, "lax")
        ]

    return all_of, (jnp.arange(3.0),)


@case()
def rules_of_its_own() -> Any:
    @eqx.filter_custom_vjp
    def square(x: Any, flag: Any) -> Any:
        return x * x

    square.def_fwd(lambda perturbed, x, flag: (x * x, x))
    square.def_bwd(lambda residual, g, perturbed, x, flag: 3.0 * residual * g)
    closed = eqx.filter_closure_convert(lambda x: jnp.sin(x), jnp.ones(3))
    return jax.jit(lambda x: (jax.grad(lambda x: square(x, True).sum())(x), closed(x))), (
        jnp.arange(3.0),
    )


@case(rtol=1e-4, atol=1e-5, repeats=0)
def convolutions_pools_and_norms() -> Any:
    nn, keys = eqx.nn, jax.random.split(jax.random.key(4), 9)

    def outputs(image: Any, sequence: Any) -> Any:
        of_images = [
            nn.Conv2d(3, 4, (3, 2), padding="SAME", dilation=2, key=keys[0]),
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="REFLECT", key=keys[1]),
            nn.ConvTranspose2d(3, 6, 3, stride=2, padding="SAME", groups=3, key=keys[2]),
            nn.ConvTranspose2d(3, 2, 3, padding="SAME", padding_mode="CIRCULAR", key=keys[3]),
            nn.AvgPool2d(3, 2, padding=1, use_ceil=True),
            nn.AdaptiveMaxPool2d((3, 4)),
        ]
        of_sequences = [
            nn.Conv1d(3, 6, 3, stride=2, padding=1, groups=3, key=keys[4]),
            nn.ConvTranspose1d(3, 4, 3, stride=2, output_padding=1, key=keys[5]),
            nn.MaxPool1d(2, use_ceil=True),
            nn.AdaptivePool(4, 1, jnp.mean),
            nn.PReLU(0.2),
        ]
        return [m(image) for m in of_images] + [m(sequence) for m in of_sequences]

    def f(image: Any, sequence: Any) -> Any:
        total = lambda *args: sum(jnp.sum(x**2) for x in outputs(*args))
        return outputs(image, sequence), jax.grad(total, argnums=(0, 1))(image, sequence)

    image, sequence = (
        jax.random.normal(keys[6], (3, 10, 10)),
        jax.random.normal(keys[7], (3, 12)),
    )
    return eqx.filter_jit(f), (image, sequence)


@case(repeats=0)
def state_of_ones_own() -> Any:
    class Counter(eqx.Module):
        index: eqx.nn.StateIndex

        def __init__(self) -> None:
            self.index = eqx.nn.StateIndex(jnp.array(0))

        def __call__(self, x: Any, state: Any) -> Any:
            count = state.get(self.index)
            return x + count, state.set(self.index, count + 1)

    def run(x: float) -> Any:
        counter, state = eqx.nn.make_with_state(Counter)()
        call = eqx.filter_jit(lambda c, s, x: c(x, s))
        first, second = call(counter, state, x)
        third, last = call(counter, second, x)
        try:
            state.get(counter.index)
        except ValueError as error:
            return first, third, last.get(counter.index), "old state" in str(error)
        return first, third, last.get(counter.index), "is held"

    return run, (1.0,)


@case(rtol=1e-4, repeats=0)
def loops_that_fill_buffers() -> Any:
    def f(x: Any, kind: str) -> Any:
        def body(carry: Any) -> Any:
            i, y, buffer = carry
            return i + 1, y * 1.1, buffer.at[i].set(y)

        start = (0, x.sum(), jnp.zeros(8))
        _, _, filled = eqx.internal.while_loop(
            lambda c: c[0] < 5, body, start, buffers=lambda c: c[2], kind=kind, max_steps=8
        )
        return jnp.sum(filled**2)

    def run(x: Any) -> Any:
        both = ("checkpointed", "bounded")
        slopes = [jax.vmap(jax.grad(lambda x, k=k: f(x, k)))(jnp.stack([x, 3 * x])) for k in both]
        return [jax.value_and_grad(f)(x, kind) for kind in both], slopes

    return jax.jit(run), (jnp.arange(1.0, 4.0) / 10,)
