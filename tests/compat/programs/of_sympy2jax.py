"""sympy2jax: expressions of SymPy's as modules."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import sympy
import sympy2jax
from cases import case


@case()
def expressions() -> Any:
    x, y = sympy.symbols("x y")
    module = sympy2jax.SymbolicModule([sympy.cos(x) ** 2 + 1.5 * y, sympy.exp(-x * y) / (1 + x**2)])

    @eqx.filter_jit
    def run(module: Any, x: Any, y: Any) -> Any:
        def loss(module: Any) -> Any:
            return sum(jnp.sum(v) for v in module(x=x, y=y))

        slopes = eqx.filter_grad(loss)(module)
        return module(x=x, y=y), jax.tree.leaves(eqx.filter(slopes, eqx.is_array))

    return run, (module, jnp.linspace(-1, 1, 5), jnp.float32(0.3))
