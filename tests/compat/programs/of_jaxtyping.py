"""jaxtyping: shapes and dtypes in annotations, checked when a function is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from beartype import beartype
from cases import case
from jaxtyping import (
    Array,
    ArrayLike,
    Bool,
    Float,
    Float32,
    Int,
    Integer,
    Key,
    PRNGKeyArray,
    PyTree,
    Shaped,
    jaxtyped,
)


@jaxtyped(typechecker=beartype)
def product(x: Float[Array, "m k"], y: Float[Array, "k n"]) -> Float[Array, "m n"]:
    return x @ y


@jaxtyped(typechecker=beartype)
def wrong(x: Float[Array, " n"]) -> Float[Array, "n n"]:
    return x


def outcome(f: Callable[..., Any], *args: Any) -> str:
    try:
        f(*args)
    except Exception as error:
        return type(error).__name__
    return "holds"


@case(repeats=0)
def functions() -> Any:
    a, b = jnp.ones((2, 3)), jnp.ones((3, 4))

    def all_of() -> list[str]:
        return [
            outcome(product, a, b),
            outcome(product, a, a),
            outcome(product, a, b.astype(int)),
            outcome(wrong, jnp.ones(3)),
            outcome(jax.jit(product), a, b),
            outcome(jax.jit(product), a, a),
            outcome(jax.vmap(product), a[None], b[None]),
            outcome(jax.grad(lambda x: product(x, b).sum()), a),
        ]

    return all_of, ()


@case(repeats=0)
def instances() -> Any:
    x, k = jnp.ones((2, 3)), jax.random.key(0)

    def all_of() -> list[bool]:
        return [
            isinstance(x, Float[Array, "a b"]),
            isinstance(x, Float32[Array, "2 3"]),
            isinstance(x, Float[Array, "a a"]),
            isinstance(x, Int[Array, "..."]),
            isinstance(x > 0, Bool[Array, "*n 3"]),
            isinstance(x.astype(jnp.int8), Integer[Array, "_ _"]),
            isinstance(x.astype(jnp.bfloat16), Float[Array, "2 c"]),
            isinstance({"a": [x, x]}, PyTree[Float[Array, "2 3"]]),
            isinstance({"a": [x, 1]}, PyTree[Float[Array, "2 3"]]),
            isinstance(k, PRNGKeyArray),
            isinstance(k, Key[Array, ""]),
            isinstance(k, Shaped[Array, ""]),
            isinstance(1.0, ArrayLike),
            isinstance(x, Float[ArrayLike, "2 3"]),
            isinstance(jax.eval_shape(lambda: x), Float[jax.ShapeDtypeStruct, "2 3"]),
        ]

    return all_of, ()


@case(repeats=0)
def traced() -> Any:
    def all_of() -> list[bool]:
        found = []

        def f(x: Any) -> Any:
            found.extend(
                [
                    isinstance(x, jax.Array),
                    isinstance(x, Float[Array, " n"]),
                    isinstance(x, Int[Array, " n"]),
                ]
            )
            return x.sum()

        jax.jit(f)(jnp.ones(3))
        jax.grad(f)(jnp.ones(3))
        jax.vmap(f)(jnp.ones((2, 3)))
        return found

    return all_of, ()
