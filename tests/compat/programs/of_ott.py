"""OTT: optimal transport, its costs and gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from cases import case

X = jax.random.normal(jax.random.PRNGKey(0), (12, 2))
Y = jax.random.normal(jax.random.PRNGKey(1), (15, 2)) + 1


@case(rtol=1e-3, atol=1e-4)
def sinkhorn_of_points() -> Any:
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    def cost(x: Any, y: Any) -> Any:
        problem = linear_problem.LinearProblem(pointcloud.PointCloud(x, y, epsilon=0.5))
        out = sinkhorn.Sinkhorn()(problem)
        return out.reg_ot_cost, (out.matrix, out.f, out.g, out.converged)

    return jax.jit(jax.value_and_grad(cost, has_aux=True)), (X, Y)


@case(rtol=1e-3, atol=1e-4)
def divergences() -> Any:
    from ott.geometry import pointcloud
    from ott.tools.sinkhorn_divergence import sinkhorn_divergence

    def cost(x: Any, y: Any) -> Any:
        return sinkhorn_divergence(pointcloud.PointCloud, x, y, epsilon=0.5)[0]

    return jax.jit(jax.value_and_grad(cost)), (X, Y)


@case(rtol=1e-3, atol=1e-3)
def soft_sorts() -> Any:
    from ott.tools import soft_sort

    def run(x: Any) -> Any:
        return soft_sort.sort(x, axis=0), soft_sort.ranks(x), soft_sort.quantile(x, q=0.5)

    return jax.jit(run), (jnp.array([3.0, -1.0, 2.5, 0.0, 1.0]),)


@case(rtol=1e-3, atol=1e-3)
def other_spaces() -> Any:
    from ott.geometry import pointcloud
    from ott.problems.quadratic import quadratic_problem
    from ott.solvers.linear import sinkhorn
    from ott.solvers.quadratic import gromov_wasserstein

    solver = gromov_wasserstein.GromovWasserstein(
        linear_solver=sinkhorn.Sinkhorn(), epsilon=1.0, max_iterations=10
    )

    def run(x: Any, y: Any) -> Any:
        problem = quadratic_problem.QuadraticProblem(
            pointcloud.PointCloud(x), pointcloud.PointCloud(y)
        )
        out = solver(problem)
        return out.matrix, out.reg_gw_cost

    return jax.jit(run), (X, jnp.concatenate([Y, Y[:, :1]], 1))


@case(rtol=1e-3, atol=1e-3)
def low_ranks() -> Any:
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn_lr

    def run(x: Any, y: Any) -> Any:
        problem = linear_problem.LinearProblem(pointcloud.PointCloud(x, y))
        out = sinkhorn_lr.LRSinkhorn(rank=3, max_iterations=60)(problem)
        return out.matrix.sum(0), out.primal_cost

    return jax.jit(run), (X, Y)
