"""penzai: selectors, named arrays, layers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from cases import case
from penzai import pz


@case()
def named_arrays() -> Any:
    def run(x: Any, y: Any) -> Any:
        a = pz.nx.wrap(x).tag("row", "column")
        b = pz.nx.wrap(y).tag("column")
        product = pz.nx.nmap(jnp.dot)(a.untag("column"), b.untag("column"))
        total = a + b
        return product.untag("row").unwrap(), total.untag("row", "column").unwrap()

    return jax.jit(run), (jnp.arange(6.0).reshape(2, 3), jnp.array([1.0, 2.0, 3.0]))


@case()
def selections() -> Any:
    def run(tree: Any) -> Any:
        picked = pz.select(tree).at_instances_of(jax.Array).where(lambda x: x.ndim == 1)
        return picked.apply(jnp.sin), picked.count(), picked.get_sequence()

    return run, ({"a": jnp.ones(3), "b": [jnp.arange(4.0), jnp.ones((2, 2))]},)


@case()
def layers() -> Any:
    from penzai.models import simple_mlp

    def run(x: Any) -> Any:
        made = simple_mlp.MLP.from_config(
            name="mlp",
            init_base_rng=jax.random.key(0),
            feature_sizes=[3, 8, 2],
            activation_fn=jax.nn.relu,
        )
        named = pz.nx.wrap(x).tag("batch", "features")
        out = made(named)
        return out.untag("batch", "features").unwrap()

    return run, (jnp.arange(6.0).reshape(2, 3),)
