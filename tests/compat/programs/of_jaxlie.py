"""jaxlie: rotations and rigid motions, their exponentials, and optimization over them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jaxlie
from cases import case

TANGENT = jnp.array([0.1, -0.2, 0.3, 0.4, -0.5, 0.6])


@case()
def motions() -> Any:
    def run(tangent: Any, point: Any) -> Any:
        motion = jaxlie.SE3.exp(tangent)
        turn = jaxlie.SO3.from_rpy_radians(*tangent[:3])
        flat = jaxlie.SE2.exp(tangent[:3])
        return (
            motion.as_matrix(), motion.log(), motion.inverse() @ motion, motion @ point, motion.adjoint(),
            turn.as_matrix(), turn.as_quaternion_xyzw(), turn @ point, flat.as_matrix(), flat.log(),
            jaxlie.SO2.from_radians(tangent[0]).as_matrix(),
        )  # fmt: skip

    return jax.jit(run), (TANGENT, jnp.array([1.0, 2.0, 3.0]))


@case()
def many_motions_and_their_slopes() -> Any:
    def loss(tangent: Any, point: Any) -> Any:
        return jnp.sum((jaxlie.SE3.exp(tangent) @ point) ** 2)

    tangents = TANGENT * jnp.linspace(0.0, 1.0, 5)[:, None]
    return jax.jit(jax.vmap(jax.grad(loss), (0, None))), (tangents, jnp.array([1.0, 2.0, 3.0]))


@case(rtol=1e-4, atol=1e-5, repeats=1)
def optimization_on_a_manifold() -> Any:
    def run(target: Any) -> Any:
        def loss(turn: Any) -> Any:
            return jnp.sum((turn.as_matrix() - target) ** 2)

        turn = jaxlie.SO3.identity()
        for _ in range(20):
            slope = jaxlie.manifold.grad(loss)(turn)
            turn = jaxlie.manifold.rplus(turn, -0.1 * slope)
        return turn.as_matrix(), loss(turn)

    return jax.jit(run), (jaxlie.SO3.exp(TANGENT[:3]).as_matrix(),)
