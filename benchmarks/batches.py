"""Transformations outside `jit`, as define-by-run frameworks run them: batches, derivatives forwards, of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.cases import GRADIENTS, case
from benchmarks.frameworks import Framework

BATCH = 128


def network(f: Framework) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A network of 8-16-4 as a function of its parameters and one sample, and the parameters."""
    shapes = {"w": (8, 16), "b": (16,), "v": (16, 4), "c": (4,)}
    params = {k: f.random(*shape, seed=i) for i, (k, shape) in enumerate(shapes.items())}
    return lambda p, x: f.np.tanh(x @ p["w"] + p["b"]) @ p["v"] + p["c"], params


def samples(f: Framework) -> tuple[Callable[..., Any], dict[str, Any], Any, Any]:
    """The squared error of the network at one sample, its parameters, and a batch of samples."""
    apply, params = network(f)

    def error(p: Any, x: Any, y: Any) -> Any:
        difference = apply(p, x) - y
        return f.np.sum(difference * difference)

    return error, params, f.random(BATCH, 8, seed=5), f.random(BATCH, 4, seed=6)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def vmap_chain(f: Framework) -> Any:
    """`vmap` of five times sin(x) * 2 + x, 128 x 8, not compiled."""

    def chain(x: Any) -> Any:
        for _ in range(5):
            x = f.np.sin(x) * 2.0 + x
        return x

    run, x = f.vmap(chain), f.random(BATCH, 8)
    return lambda: run(x)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def vmap_columns(f: Framework) -> Any:
    """`vmap` of a softmax of a product along axis 1, with the results there, 16 x 128, not compiled."""
    w = f.random(16, 8)

    def weights(x: Any) -> Any:
        product = x @ w
        powers = f.np.exp(product - f.np.mean(product))
        return powers / f.np.sum(powers)

    run, x = f.vmap(weights, 1, 1), f.random(16, BATCH)
    return lambda: run(x)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def vmap_network(f: Framework) -> Any:
    """`vmap` of an 8-16-4 network, 128 samples, not compiled."""
    apply, params = network(f)
    run, x = f.vmap(apply, (None, 0)), f.random(BATCH, 8)
    return lambda: run(params, x)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def vmap_nested(f: Framework) -> Any:
    """`vmap` of `vmap` of x * y + x, 16 x 8, not compiled."""
    run = f.vmap(f.vmap(lambda x, y: x * y + x, (None, 0)), (0, None))
    x, y = f.random(16), f.random(8, seed=1)
    return lambda: run(x, y)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def sample_gradients(f: Framework) -> Any:
    """`vmap` of `grad`: 128 gradients of an 8-16-4 network, not compiled."""
    error, params, x, y = samples(f)
    run = f.vmap(f.grad(error), (None, 0, 0))
    return lambda: run(params, x, y)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def gradient_of_batch(f: Framework) -> Any:
    """`grad` of the sum of a `vmap`: an 8-16-4 network, 128 samples, not compiled."""
    error, params, x, y = samples(f)
    run = f.grad(lambda p: f.np.sum(f.vmap(error, (None, 0, 0))(p, x, y)))
    return lambda: run(params)


def functions(f: Framework) -> Any:
    """The module with the transformations of a framework."""
    return f.module.func if f.name == "torch" else f.module


def error_at(f: Framework) -> tuple[Callable[[Any], Any], Any]:
    """The squared size of the network's result as a function of one sample, and a sample."""
    apply, params = network(f)
    return lambda x: f.np.sum(apply(params, x) ** 2), f.random(8, seed=5)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def tangent_eager(f: Framework) -> Any:
    """`jvp` of the squared result of an 8-16-4 network in one sample, not compiled."""
    (error, x), jvp = error_at(f), functions(f).jvp
    return lambda: jvp(error, (x,), (x,))


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def forward_jacobian_eager(f: Framework) -> Any:
    """`jacfwd` of an 8-16-4 network in one sample, not compiled."""
    (apply, params), x = network(f), f.random(8, seed=5)
    jacobian = functions(f).jacfwd(lambda x: apply(params, x))
    return lambda: jacobian(x)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def hessian_eager(f: Framework) -> Any:
    """`hessian` of the squared result of an 8-16-4 network in one sample, not compiled."""
    error, x = error_at(f)
    hessian = functions(f).hessian(error)
    return lambda: hessian(x)


@case("batches", GRADIENTS, jax=0.2, torch=1.0)
def tangents_of_batch(f: Framework) -> Any:
    """`vmap` of `jvp`: the squared result of an 8-16-4 network, 128 samples, not compiled."""
    (error, _), of = error_at(f), functions(f)
    run, x = of.vmap(lambda x: of.jvp(error, (x,), (x,))), f.random(BATCH, 8, seed=5)
    return lambda: run(x)
