"""JAXopt: minima, projections, roots, and derivatives through them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
from cases import case


def data() -> tuple[Any, Any]:
    x = jax.random.normal(jax.random.key(1), (32, 4))
    return x, x @ jnp.arange(4.0)


def objective(w: Any, l2: Any) -> Any:
    x, y = data()
    return jnp.mean((x @ w - y) ** 2) + l2 * jnp.sum(w**2)


@case(rtol=1e-3, atol=1e-4)
def lbfgs_and_its_gradient() -> Any:
    def solution(l2: Any) -> Any:
        return jaxopt.LBFGS(objective, maxiter=50).run(jnp.zeros(4), l2).params

    return lambda l2: (solution(l2), jax.grad(lambda l2: solution(l2).sum())(l2)), (0.1,)


@case(rtol=1e-3, atol=1e-3)
def gradient_descent() -> Any:
    return lambda l2: jaxopt.GradientDescent(objective, maxiter=100).run(jnp.zeros(4), l2).params, (
        0.1,
    )


@case(rtol=1e-3, atol=1e-4)
def roots_and_residuals() -> Any:
    x, y = data()

    def f() -> Any:
        root = jaxopt.Bisection(lambda a: a**3 - 2, 0.0, 3.0).run().params
        fit = jaxopt.GaussNewton(lambda w: x @ w - y).run(jnp.zeros(4)).params
        return root, fit, jaxopt.projection.projection_simplex(jnp.arange(4.0) / 4)

    return f, ()
