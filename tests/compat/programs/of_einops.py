"""einops: rearrangements, under transformations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from cases import case
from einops import einsum, pack, rearrange, reduce, repeat, unpack


def images() -> Any:
    return jax.random.normal(jax.random.key(0), (4, 8, 8, 3))


@case()
def patches_and_back() -> Any:
    @jax.jit
    def f(x: Any) -> Any:
        patches = rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=2, q=2)
        back = rearrange(patches, "b (h w) (p q c) -> b (h p) (w q) c", h=4, p=2, q=2)
        return (
            patches,
            back,
            reduce(x, "b (h 2) (w 2) c -> b h w c", "max"),
            repeat(x, "b h w c -> b (h 2) w c"),
        )

    return f, (images(),)


@case()
def derivatives_of_them() -> Any:
    def f(x: Any) -> Any:
        pooled = reduce(x, "(h 4) w c -> h c w", "mean")
        return jnp.sum(einsum(pooled, pooled, "h c w, k c w -> h k") ** 2)

    return jax.jit(jax.vmap(jax.grad(f))), (images(),)


@case()
def packing() -> Any:
    def f(x: Any) -> Any:
        packed, shapes = pack([x, x[:, 0], x[:, 0, 0]], "b * c")
        return packed, unpack(packed, shapes, "b * c")

    return f, (images(),)


@case(repeats=0)
def wrong_patterns() -> Any:
    def f(x: Any) -> list[str]:
        found = []
        for pattern in ("b h w -> b", "b h w c -> b h w", "b (h 3) w c -> b h w c"):
            try:
                rearrange(x, pattern)
            except Exception as error:
                found.append(type(error).__name__)
        return found

    return f, (images(),)
