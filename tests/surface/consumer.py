"""A user's program, read by pyright in test_typing.py: each `reveal_type` has what it must be in its comment."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, reveal_type

import covector as cv
import covector.numpy as cnp


class Params(NamedTuple):
    """A user's container."""

    w: cv.Array
    b: cv.Array


def loss(params: Params, x: cv.Array, scale: float = 1.0) -> cv.Array:
    """A user's function."""
    return ((x @ params.w + params.b) ** 2).sum() * scale


def with_aux(params: Params, x: cv.Array) -> tuple[cv.Array, dict[str, int]]:
    """One with auxiliary data."""
    return loss(params, x), {"n": 1}


@cv.jit
def plain(v: cv.Array, n: int) -> cv.Array:
    """Decorated."""
    return v * n


@partial(cv.jit, static_argnums=1)
def with_partial(v: cv.Array, n: int) -> cv.Array:
    """Decorated with options, as many write it."""
    return v * n


@cv.jit(static_argnums=1)
def with_options(v: cv.Array, n: int) -> cv.Array:
    """Decorated with options."""
    return v * n


class Model:
    """A class with a compiled method."""

    @cv.jit
    def step(self, v: cv.Array) -> cv.Array:
        """The method."""
        return v


def use(p: Params, x: cv.Array) -> None:
    """What is asked of the checker."""
    reveal_type(cv.jit(loss)(p, x, scale=2.0))  # Array
    reveal_type(plain)  # JitFunction[(v: Array, n: int), Array]
    reveal_type(with_partial)  # JitFunction[(v: Array, n: int), Array]
    reveal_type(with_options)  # JitFunction[(v: Array, n: int), Array]
    reveal_type(Model().step)  # (v: Array) -> Array
    reveal_type(plain.lower(x, 1).compile())  # Compiled
    reveal_type(cv.grad(loss))  # (params: Params, x: Array, scale: float = 1) -> Any
    reveal_type(cv.value_and_grad(loss)(p, x))  # tuple[Array, Any]
    reveal_type(
        cv.value_and_grad(with_aux, has_aux=True)(p, x)
    )  # tuple[tuple[Array, dict[str, int]], Any]
    reveal_type(cv.vmap(loss, in_axes=(None, 0))(p, x))  # Array
    reveal_type(cv.jvp(loss, (p, x), (p, x)))  # tuple[Array, Array]
    reveal_type(cv.vjp(loss, p, x)[0])  # Array
    reveal_type(cv.vjp(with_aux, p, x, has_aux=True)[2])  # dict[str, int]
    reveal_type(cv.linearize(loss, p, x)[1])  # (...) -> Array
    reveal_type(cv.make_jaxpr(loss)(p, x))  # ClosedJaxpr
    reveal_type(x.at[0].set(1.0).reshape(3).T.mean(axis=0))  # Array
    reveal_type(cnp.pi)  # float
    cv.jit(loss)(p)  # error: Argument missing for parameter "x"
    cv.vmap(loss)(p, x, 1.0, 2.0)  # error: Expected 3 positional arguments
    _ = cv.api  # error: "api" is not a known attribute of module "covector"
    _ = cnp.np  # error: "np" is not a known attribute of module "covector.numpy"
