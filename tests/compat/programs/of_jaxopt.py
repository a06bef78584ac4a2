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


@case(rtol=5e-3, atol=5e-3, repeats=0)
def other_solvers() -> Any:
    def f(l2: Any) -> Any:
        lasso = jaxopt.ProximalGradient(objective, jaxopt.prox.prox_lasso, maxiter=50)
        plain = jaxopt.projection.projection_non_negative
        zeros, bounds = jnp.zeros(4), (jnp.zeros(4), jnp.ones(4))
        sides, numbers = jnp.ones((1, 3)), jnp.ones(1)
        return [
            jaxopt.BFGS(objective, maxiter=20).run(zeros, l2).params,
            jaxopt.LBFGSB(objective, maxiter=20).run(zeros, bounds, l2).params,
            jaxopt.NonlinearCG(objective, maxiter=20).run(zeros, l2).params,
            jaxopt.ProjectedGradient(objective, plain, maxiter=50).run(zeros, l2=l2).params,
            lasso.run(zeros, hyperparams_prox=0.1, l2=l2).params,
            jaxopt.ArmijoSGD(objective, maxiter=20).run(zeros, l2).params,
            jaxopt.Broyden(lambda x, l2: x**3 - l2).run(jnp.ones(3) * 0.6, l2).params,
            jaxopt.AndersonAcceleration(lambda x, l2: jnp.cos(x) * l2, history_size=3, maxiter=20)
            .run(jnp.zeros(3), l2)
            .params,
            jaxopt.EqualityConstrainedQP()
            .run(params_obj=(jnp.eye(3) * 2, jnp.ones(3)), params_eq=(sides, numbers))
            .params.primal,
        ]

    return f, (jnp.float32(0.3),)


@case(rtol=1e-3, atol=1e-4, repeats=0)
def projections_and_their_slopes() -> Any:
    to = jaxopt.projection

    def f(x: Any) -> Any:
        ways = [
            to.projection_simplex, lambda x: to.projection_l1_ball(x, 1.0),
            lambda x: to.projection_l2_ball(x, 0.5), lambda x: to.projection_box(x, (-0.1, 0.4)),
            lambda x: to.projection_hyperplane(x, (jnp.ones(4), 1.0)),
            lambda x: to.projection_box_section(x, (jnp.zeros(4), jnp.ones(4), jnp.ones(4), 1.0)),
            lambda x: to.projection_birkhoff(x.reshape(2, 2)),
            lambda x: jaxopt.prox.prox_elastic_net(x, (0.1, 0.2)),
            lambda x: jaxopt.loss.multiclass_sparsemax_loss(1, x),
            jaxopt.isotonic.isotonic_l2_pav,
        ]  # fmt: skip
        return [way(x) for way in ways], [jax.jacrev(way)(x) for way in ways[:5]]

    return f, (jnp.array([0.3, -0.8, 1.5, 0.2]),)
