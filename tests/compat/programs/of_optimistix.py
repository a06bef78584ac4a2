"""Optimistix: roots, least squares, minima and fixed points, and derivatives through them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optimistix as optx
from cases import case


def with_derivatives(solve: Any, a: Any) -> Any:
    """The solution as a function of a parameter, its gradient, and several at once."""

    def f(a: Any) -> Any:
        total = lambda a: jnp.sum(solve(a))
        return solve(a), jax.grad(total)(a), jax.vmap(solve)(jnp.stack([a, 1.1 * a]))

    return jax.jit(f), (a,)


def rooted(solver: Any) -> Any:
    def fn(y: Any, a: Any) -> Any:
        return jnp.tanh(y) + 0.1 * y**3 - a

    return with_derivatives(
        lambda a: optx.root_find(fn, solver, jnp.zeros(3), a).value, jnp.array([0.1, 0.2, 0.3])
    )


@case(rtol=1e-3, atol=1e-4)
def newton() -> Any:
    return rooted(optx.Newton(rtol=1e-6, atol=1e-6))


@case(rtol=1e-3, atol=1e-4)
def chord() -> Any:
    return rooted(optx.Chord(rtol=1e-6, atol=1e-6))


@case(rtol=1e-3, atol=1e-4)
def bisection() -> Any:
    solver = optx.Bisection(rtol=1e-5, atol=1e-5)

    def solve(a: Any) -> Any:
        found = optx.root_find(
            lambda y, a: y**3 - a, solver, jnp.array(1.0), a, options={"lower": 0.0, "upper": 3.0}
        )
        return found.value

    return with_derivatives(solve, jnp.array(2.0))


def fitted(solver: Any) -> Any:
    t = jnp.linspace(0.0, 3.0, 20)
    data = 2.0 * jnp.exp(-0.7 * t) + 0.05 * jnp.sin(9 * t)

    def residuals(y: Any, a: Any) -> Any:
        return y[0] * jnp.exp(-y[1] * t) - a * data

    return with_derivatives(
        lambda a: optx.least_squares(residuals, solver, jnp.ones(2), a).value, jnp.array(1.2)
    )


@case(rtol=1e-2, atol=1e-3)
def levenberg_marquardt() -> Any:
    return fitted(optx.LevenbergMarquardt(rtol=1e-6, atol=1e-6))


@case(rtol=1e-2, atol=1e-3)
def gauss_newton() -> Any:
    return fitted(optx.GaussNewton(rtol=1e-6, atol=1e-6))


@case(rtol=1e-2, atol=1e-3)
def dogleg() -> Any:
    return fitted(optx.Dogleg(rtol=1e-6, atol=1e-6))


def minimised(solver: Any) -> Any:
    def fn(y: Any, a: Any) -> Any:
        return jnp.sum((y - a) ** 2) + 0.1 * jnp.sum((y[1:] - y[:-1] ** 2) ** 2)

    return with_derivatives(
        lambda a: optx.minimise(fn, solver, jnp.zeros(4), a).value, jnp.array([0.5, 0.2, 0.7, 1.0])
    )


@case(rtol=1e-2, atol=1e-3)
def bfgs() -> Any:
    return minimised(optx.BFGS(rtol=1e-5, atol=1e-6))


@case(rtol=1e-2, atol=1e-3)
def nonlinear_conjugate_gradients() -> Any:
    return minimised(optx.NonlinearCG(rtol=1e-5, atol=1e-6))


@case(rtol=1e-1, atol=1e-2)
def nelder_mead() -> Any:
    solver = optx.NelderMead(rtol=1e-4, atol=1e-4)
    fn = lambda y, a: jnp.sum((y - a) ** 2)
    return jax.jit(lambda a: optx.minimise(fn, solver, jnp.zeros(2), a, max_steps=500).value), (
        jnp.array([0.5, 1.0]),
    )


@case(rtol=1e-3, atol=1e-4)
def fixed_point() -> Any:
    solver = optx.FixedPointIteration(rtol=1e-6, atol=1e-6)
    fn = lambda y, a: 0.5 * jnp.cos(y) + a
    return with_derivatives(
        lambda a: optx.fixed_point(fn, solver, jnp.zeros(3), a).value, jnp.arange(3.0)
    )


@case(rtol=1e-2, atol=1e-3)
def an_optimizer_of_optax() -> Any:
    import optax

    return minimised(optx.OptaxMinimiser(optax.adam(0.05), rtol=1e-4, atol=1e-4))


@case(repeats=0)
def too_few_steps() -> Any:
    def f(a: Any) -> Any:
        fn = lambda y, a: jnp.exp(y) - a
        found = optx.root_find(
            fn, optx.Newton(1e-8, 1e-8), jnp.array(30.0), a, max_steps=3, throw=False
        )
        return found.result == optx.RESULTS.nonlinear_max_steps_reached, found.stats["num_steps"]

    return jax.jit(f), (jnp.array(2.0),)
