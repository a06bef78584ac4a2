"""quax: arrays with units, by rules for operations; low-rank additions to layers of Equinox; zeros and names."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import quax
from cases import case
from jaxtyping import Array
from quax.examples import lora, named, zero


class Measured(quax.ArrayValue):
    """An array in a unit."""

    array: Array
    unit: str = eqx.field(static=True)

    def aval(self) -> Any:
        return jax.core.ShapedArray(self.array.shape, self.array.dtype)

    def materialise(self) -> Any:
        return self.array


@quax.register(jax.lax.add_p)
def _(x: Measured, y: Measured) -> Measured:
    if x.unit != y.unit:
        raise ValueError(f"{x.unit} and {y.unit}")
    return Measured(x.array + y.array, x.unit)


@quax.register(jax.lax.mul_p)
def _(x: Measured, y: Measured, **params: Any) -> Measured:
    return Measured(x.array * y.array, f"{x.unit} {y.unit}")


def lengths() -> tuple[Measured, Measured]:
    return Measured(jnp.arange(3.0), "m"), Measured(jnp.full(3, 2.0), "s")


@case()
def units() -> Any:
    def f(x: Any, y: Any) -> Any:
        return x * y + x * y

    def run(x: Measured, y: Measured) -> Any:
        ways = quax.quaxify(f), jax.jit(quax.quaxify(f)), quax.quaxify(jax.jit(f))
        found = [way(x, y) for way in ways]
        try:
            quax.quaxify(lambda x, y: x + y)(x, y)
            refused = False
        except ValueError:
            refused = True
        slope = jax.grad(lambda v: quax.quaxify(f)(Measured(v, "m"), y).array.sum())(x.array)
        mapped = jax.vmap(quax.quaxify(f))(x, y)
        return [r.array for r in found], [r.unit for r in found], refused, slope, mapped.array

    return run, lengths()


@case()
def units_in_loops() -> Any:
    def run(x: Measured) -> Any:
        def counted(x: Any) -> Any:
            return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + c[1]), (0, x))

        def scanned(x: Any) -> Any:
            return jax.lax.scan(lambda c, _: (c + c, c), x, None, length=3)

        chosen = quax.quaxify(lambda x, c: jax.lax.cond(c, lambda z: z * z, lambda z: z * z, x))(
            x, jnp.array(True)
        )
        loops = quax.quaxify(counted)(x)[1], *quax.quaxify(scanned)(x), chosen
        return [r.array for r in loops], [r.unit for r in loops]

    return run, (lengths()[0],)


@case()
def low_rank_additions() -> Any:
    mlp = eqx.nn.MLP(4, 3, 8, 2, key=jax.random.key(0))
    moving, still = eqx.partition(
        lora.loraify(mlp, rank=2, key=jax.random.key(1)), eqx.is_inexact_array
    )

    def loss(moving: Any, x: Any) -> Any:
        return jnp.mean(jax.vmap(quax.quaxify(eqx.combine(moving, still)))(x) ** 2)

    return jax.jit(jax.value_and_grad(loss)), (moving, jnp.ones((5, 4)))


@case()
def zeros_and_names() -> Any:
    def run(x: Any) -> Any:
        nothing = zero.Zero((3,), jnp.float32)
        rows, columns = named.Axis(2), named.Axis(3)
        matrix = named.NamedArray(jnp.arange(6.0).reshape(2, 3), (rows, columns))
        vector = named.NamedArray(x, (columns,))
        product = quax.quaxify(lambda a, b: a @ b)(matrix, vector).array
        return quax.quaxify(lambda a, b: a + b)(nothing, x), product

    return run, (jnp.arange(3.0),)
