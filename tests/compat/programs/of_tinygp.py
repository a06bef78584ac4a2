"""tinygp: Gaussian processes, dense and of quasiseparable kernels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from cases import case
from tinygp import GaussianProcess, kernels

X = jnp.sort(jax.random.uniform(jax.random.PRNGKey(1), (30,), maxval=10))
Y = jnp.sin(X) + 0.1 * jax.random.normal(jax.random.PRNGKey(2), (30,))


@case(rtol=1e-3, atol=1e-3)
def a_dense_process() -> Any:
    def loss(parameters: Any, x: Any, y: Any) -> Any:
        kernel = jnp.exp(parameters["amplitude"]) * kernels.Matern52(jnp.exp(parameters["scale"]))
        kernel = kernel + kernels.ExpSquared(2.0) * kernels.Cosine(3.0)
        return -GaussianProcess(kernel, x, diag=0.05).log_probability(y)

    def run(parameters: Any, x: Any, y: Any) -> Any:
        process = GaussianProcess(kernels.Matern32(1.5), x, diag=0.05)
        log_p, conditioned = process.condition(y, jnp.linspace(0, 10, 7))
        return (
            jax.value_and_grad(loss)(parameters, x, y),
            log_p,
            conditioned.mean,
            conditioned.variance,
        )

    return jax.jit(run), ({"amplitude": jnp.float32(0.2), "scale": jnp.float32(0.1)}, X, Y)


@case(rtol=1e-3, atol=1e-3)
def a_quasiseparable_process() -> Any:
    def loss(scale: Any, x: Any, y: Any) -> Any:
        kernel = kernels.quasisep.Matern32(scale) + kernels.quasisep.SHO(1.0, 2.0)
        return GaussianProcess(kernel, x, diag=0.1).log_probability(y)

    return jax.jit(jax.value_and_grad(loss)), (jnp.float32(1.5), X, Y)
