"""Lineax: linear solves of every kind, and their derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from cases import case


def system(n: int = 8) -> tuple[Any, Any]:
    a = jax.random.normal(jax.random.key(0), (n, n))
    return a @ a.T / n + jnp.eye(n), jax.random.normal(jax.random.key(1), (n,))


POSITIVE = lx.positive_semidefinite_tag


def solved(solver: Any, *tags: Any) -> Any:
    def solution(a: Any, b: Any) -> Any:
        return lx.linear_solve(lx.MatrixLinearOperator(a, tags), b, solver).value

    def f(a: Any, b: Any) -> Any:
        grads = jax.grad(lambda a, b: jnp.sum(solution(a, b) ** 2), argnums=(0, 1))(a, b)
        pushed = jax.jvp(solution, (a, b), (jnp.eye(len(b)), b))[1]
        return (
            solution(a, b),
            grads,
            pushed,
            jax.vmap(solution, (None, 0))(a, jnp.stack([b, 2 * b])),
        )

    return jax.jit(f), system()


@case(rtol=1e-3, atol=1e-4)
def lu() -> Any:
    return solved(lx.LU())


@case(rtol=1e-3, atol=1e-4)
def qr() -> Any:
    return solved(lx.QR())


@case(rtol=1e-3, atol=1e-4)
def svd() -> Any:
    return solved(lx.SVD())


@case(rtol=1e-3, atol=1e-4)
def cholesky() -> Any:
    return solved(lx.Cholesky(), POSITIVE)


@case(rtol=1e-3, atol=1e-4)
def conjugate_gradients() -> Any:
    return solved(lx.CG(rtol=1e-6, atol=1e-6), POSITIVE)


@case(rtol=1e-3, atol=1e-4)
def gmres() -> Any:
    return solved(lx.GMRES(rtol=1e-6, atol=1e-6))


@case(rtol=1e-3, atol=1e-4)
def bicgstab() -> Any:
    return solved(lx.BiCGStab(rtol=1e-6, atol=1e-6))


@case(rtol=1e-3, atol=1e-4)
def least_squares() -> Any:
    def f(a: Any, b: Any) -> Any:
        def fit(a: Any) -> Any:
            operator = lx.MatrixLinearOperator(a)
            return lx.linear_solve(operator, b, lx.AutoLinearSolver(well_posed=None)).value

        return fit(a), jax.jacrev(fit)(a)

    a, b = system()
    return jax.jit(f), (a[:, :4], b)


@case(rtol=1e-3, atol=1e-4)
def normal_equations_and_lsmr() -> Any:
    def f(a: Any, b: Any) -> Any:
        def fit(a: Any, solver: Any) -> Any:
            return lx.linear_solve(lx.MatrixLinearOperator(a), b, solver).value

        solvers = lx.Normal(lx.Cholesky()), lx.Normal(lx.CG(1e-6, 1e-6)), lx.LSMR(1e-6, 1e-6)
        return [(fit(a, s), jax.jacfwd(lambda a, s=s: fit(a, s))(a)) for s in solvers]

    a, b = system()
    return jax.jit(f), (a[:, :4], b)


@case(rtol=1e-3, atol=1e-4)
def complex_systems() -> Any:
    def f(a: Any, b: Any) -> Any:
        def solution(a: Any, solver: Any) -> Any:
            return lx.linear_solve(lx.MatrixLinearOperator(a), b + 0j, solver).value

        def total(a: Any, solver: Any) -> Any:
            return jnp.sum(jnp.abs(solution(a, solver)) ** 2)

        return [(solution(a, s), jax.grad(total)(a, s)) for s in (lx.LU(), lx.QR(), lx.SVD())]

    a, b = system()
    return jax.jit(f), (a + 0.1j * a[::-1], b)


@case(rtol=1e-3, atol=1e-4)
def a_start_and_a_preconditioner() -> Any:
    def f(a: Any, b: Any) -> Any:
        operator = lx.MatrixLinearOperator(a, POSITIVE)
        nearly = lx.MatrixLinearOperator(jnp.diag(1 / jnp.diag(a)), POSITIVE)
        options = {"y0": b, "preconditioner": nearly}
        lu = lx.LU()
        state = lu.init(operator, {})
        return [
            lx.linear_solve(operator, b, lx.CG(1e-6, 1e-6), options=options).value,
            lx.linear_solve(operator, b, lx.GMRES(1e-6, 1e-6), options=options).value,
            lx.linear_solve(operator, b, lu, state=state).value,
        ]

    return jax.jit(f), system()


@case(rtol=1e-3, atol=1e-4)
def operators() -> Any:
    def f(d: Any, b: Any) -> Any:
        diagonal = lx.DiagonalLinearOperator(d)
        tridiagonal = lx.TridiagonalLinearOperator(d + 2, d[1:], d[1:])
        triangular = lx.MatrixLinearOperator(
            jnp.tril(jnp.outer(d, d)) + jnp.eye(len(d)), lx.lower_triangular_tag
        )
        function = lx.FunctionLinearOperator(lambda x: 3 * x + jnp.roll(x, 1), b)
        total = diagonal + 2 * lx.IdentityLinearOperator(jax.eval_shape(lambda: b))
        solutions = [
            lx.linear_solve(o, b).value
            for o in (diagonal, tridiagonal, triangular, function, total)
        ]
        return solutions, total.as_matrix(), (diagonal @ tridiagonal).mv(b), function.T.mv(b)

    return jax.jit(f), (jnp.arange(1.0, 6.0), jnp.ones(5))


@case(rtol=1e-3, atol=1e-4)
def implicit_jacobian() -> Any:
    def f(x: Any) -> Any:
        operator = lx.JacobianLinearOperator(lambda x, _: jnp.tanh(x) + 2 * x, x)
        return lx.linear_solve(operator, jnp.ones_like(x)).value

    return jax.jit(lambda x: (f(x), jax.jacfwd(f)(x))), (jnp.linspace(-1.0, 1.0, 5),)


@case(repeats=0)
def a_singular_system_is_an_error() -> Any:
    def outcome(throw: bool) -> str:
        operator = lx.MatrixLinearOperator(jnp.zeros((3, 3)))
        try:
            solution = lx.linear_solve(operator, jnp.ones(3), lx.LU(), throw=throw)
        except Exception as error:
            return f"{isinstance(error, RuntimeError)} {'singular' in str(error)}"
        return str(solution.result == lx.RESULTS.singular)

    return lambda: [outcome(True), outcome(False)], ()
