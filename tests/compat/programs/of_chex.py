"""Chex: data classes that are pytrees, and assertions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from cases import case


@chex.dataclass(frozen=True)
class State:
    position: Any
    velocity: Any
    time: Any = 0.0


@chex.dataclass
class Mappable:
    a: Any
    b: Any


@case()
def data_classes() -> Any:
    @jax.jit
    def move(state: State) -> State:
        return state.replace(position=state.position + 0.1 * state.velocity, time=state.time + 0.1)

    def moved(state: State) -> Any:
        for _ in range(3):
            state = move(state)
        both = jax.tree.map(lambda *xs: jnp.stack(xs), state, state)
        mapped = Mappable(a=1.0, b={"c": jnp.ones(2)})
        return both, jax.vmap(move)(both), dict(mapped), jax.tree.structure(mapped).num_leaves

    return moved, (State(position=jnp.arange(3.0), velocity=jnp.ones(3)),)


def outcome(f: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Whether an assertion held."""
    try:
        f(*args, **kwargs)
    except AssertionError:
        return "fails"
    return "holds"


@case(repeats=0)
def assertions() -> Any:
    x, y = jnp.ones((2, 3)), jnp.zeros((2, 3), jnp.int32)

    def all_of() -> list[str]:
        return [
            outcome(chex.assert_shape, x, (2, 3)),
            outcome(chex.assert_shape, x, (None, 4)),
            outcome(chex.assert_rank, [x, y], 2),
            outcome(chex.assert_rank, x, {1, 3}),
            outcome(chex.assert_type, [x, y], [float, int]),
            outcome(chex.assert_type, x, jnp.bfloat16),
            outcome(chex.assert_equal_shape, [x, y]),
            outcome(chex.assert_equal_shape_prefix, [x, x[:, 0]], 1),
            outcome(chex.assert_axis_dimension, x, 0, 3),
            outcome(chex.assert_tree_all_finite, {"a": x / 0}),
            outcome(chex.assert_trees_all_close, {"a": x}, {"a": x + 1e-9}),
            outcome(chex.assert_trees_all_equal, {"a": x}, {"a": x + 1}),
            outcome(chex.assert_trees_all_equal_structs, [x], (x,)),
            outcome(chex.assert_trees_all_equal_shapes_and_dtypes, [x], [y]),
            outcome(chex.assert_scalar_positive, 1.0),
            outcome(chex.assert_is_broadcastable, (3,), (2, 3)),
            outcome(chex.assert_numerical_grads, jnp.sin, (jnp.float32(1.0),), order=1),
            outcome(chex.assert_tree_is_on_device, x, platform="cpu"),
            outcome(chex.assert_devices_available, 1, "cpu"),
        ]

    return all_of, ()


@case(repeats=0)
def counted_traces() -> Any:
    def all_of() -> list[str]:
        chex.clear_trace_counter()

        @jax.jit
        @chex.assert_max_traces(n=1)
        def f(x: Any) -> Any:
            return x + 1

        return [outcome(f, jnp.ones(n)) for n in (2, 2, 3)]

    return all_of, ()


@case(repeats=0)
def checks_of_values_in_jit() -> Any:
    def all_of() -> list[str]:
        @chex.chexify
        @jax.jit
        def log(x: Any) -> Any:
            chex.assert_tree_all_finite(jnp.log(x))
            return jnp.log(x)

        def run(x: Any) -> None:
            log(x)
            chex.block_until_chexify_assertions_complete()

        return [outcome(run, jnp.ones(3)), outcome(run, jnp.zeros(3))]

    return all_of, ()


@case(repeats=0)
def fakes() -> Any:
    def all_of() -> list[str]:
        seen = []

        @jax.jit
        def f(x: Any) -> Any:
            seen.append(isinstance(x, jax.core.Tracer))
            return x

        with chex.fake_jit():
            f(1.0)
        with chex.fake_pmap():
            y = jax.pmap(lambda x: x * 2)(jnp.ones(3))
        return [str(seen), y]

    return all_of, ()


@case(repeats=0)
def restricted_backends() -> Any:
    def run() -> Any:
        found = []
        for options in ({"allowed": ["cpu"]}, {"forbidden": ["cpu"]}, {"allowed": ["tpu"]}, {}):
            try:
                with chex.restrict_backends(**options):
                    found.append(float(jax.jit(lambda x: jnp.sin(x) * 2)(1.0)))
            except (RuntimeError, ValueError) as error:
                found.append(type(error).__name__)
        return [*found, float(jax.jit(lambda x: jnp.cos(x))(1.0))]

    return run, ()
