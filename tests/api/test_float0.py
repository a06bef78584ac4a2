"""Arrays of float0, the derivatives of integers, pass through everything that stages a function: they hold nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.dtypes import float0

X = cnp.arange(3.0), cnp.arange(3)
NOTHING = np.zeros(3, float0)


def product(t: Any) -> Any:
    return t[0] * t[1]


gradient = cv.grad(lambda t: product(t).sum(), allow_int=True)
elements = cv.grad(product, allow_int=True)


def scaled(a: Any, b: Any) -> Any:
    return a * 2, b * 2


def pushed(z: Any) -> Any:
    return cv.jvp(scaled, X, (X[0], z))[1]


GRADIENT = ("float32", (3,)), ("float0", (3,))
CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "grad": (lambda: gradient(X), GRADIENT),
    "jit": (lambda: cv.jit(gradient)(X), GRADIENT),
    "jit twice": (lambda: cv.jit(lambda x: cv.jit(gradient)(x))(X), GRADIENT),
    "vmap": (lambda: cv.vmap(elements)(X), GRADIENT),
    "vmap of jit": (lambda: cv.vmap(cv.jit(elements))(X), GRADIENT),
    "jit of vmap": (lambda: cv.jit(cv.vmap(elements))(X), GRADIENT),
    "vmap to an axis": (
        lambda: cv.vmap(lambda x: gradient((x, X[1])), out_axes=1)(cnp.ones((2, 3))),
        (("float32", (3, 2)), ("float0", (3, 2))),
    ),
    "checkpoint": (lambda: cv.checkpoint(gradient)(X), GRADIENT),
    "cond": (lambda: lax.cond(True, gradient, gradient, X), GRADIENT),
    "scan": (
        lambda: lax.scan(lambda c, _: (c, gradient(c)), X, np.zeros(2))[1],
        (("float32", (2, 3)), ("float0", (2, 3))),
    ),
    "value_and_grad": (
        lambda: cv.jit(cv.value_and_grad(lambda t: product(t).sum(), allow_int=True))(X),
        (("float32", ()), *GRADIENT),
    ),
    "eval_shape": (lambda: cv.eval_shape(gradient, X), GRADIENT),
    "vjp in jit": (
        lambda: cv.jit(lambda: cv.vjp(scaled, *X)[1]((X[0], np.zeros(3, float0))))(),
        GRADIENT,
    ),
    "jacrev": (
        lambda: cv.jit(cv.jacrev(product, allow_int=True))(X),
        (("float32", (3, 3)), ("int32", (3, 3))),
    ),
    "argument": (lambda: cv.jit(pushed)(NOTHING), GRADIENT),
    "argument and result": (lambda: cv.jit(lambda z, a: (a, z))(NOTHING, X[0]), GRADIENT),
    "argument of vmap": (lambda: cv.vmap(lambda z, a: (a, z))(NOTHING, X[0]), GRADIENT),
}


@pytest.mark.parametrize("name", CASES)
def test_float0_passes(name: str) -> None:
    run, wanted = CASES[name]
    for _ in range(2):
        found = tuple([(x.dtype.name or "", x.shape) for x in cv.tree.leaves(run())])
        assert [s for _, s in found] == [s for _, s in wanted]
        for x, (dtype, _) in zip(cv.tree.leaves(run()), wanted, strict=True):
            assert x.dtype == (float0 if dtype == "float0" else np.dtype(dtype))


def test_results_with_float0_are_native() -> None:
    """The second call of a jitted gradient compiles nothing, and gives the same."""
    f = cv.jit(gradient)
    first, second = f(X), f(X)
    assert f.cache_size() == 1
    np.testing.assert_array_equal(first[0], second[0])
    assert second[1].dtype == float0
    assert cv.make_jaxpr(gradient)(X).out_avals[0].shape == (3,)
