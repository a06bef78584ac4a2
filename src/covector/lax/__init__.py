"""Operations close to the primitives, of equal dtypes and shapes: names and meanings are those of `jax.lax`."""

from covector.lax.control_flow import *
