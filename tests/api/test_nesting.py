"""Functions in functions: how deep they may nest, of those that trace what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp

Function = Callable[[Any], Any]
X = np.ones(3, np.float32)


def nested(wrap: Callable[[Function], Function], depth: int, inner: Function) -> Function:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def looped(f: Function) -> Function:
    return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0]


def chosen(f: Function) -> Function:
    return lambda x: lax.cond(x.sum() > 0, f, lambda x: x, x)


def repeated(f: Function) -> Function:
    return lambda x: lax.while_loop(lambda c: c.sum() < 4, f, x)


def of_all_kinds(f: Function) -> Function:
    return looped(chosen(repeated(lambda x: covector.jit(f)(x))))


def test_jitted_functions_nest_200_deep() -> None:
    """Three frames of ours a level, beside the one of the user's: 1,000 are what Python gives."""
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 200, cnp.negative)
    np.testing.assert_array_equal(np.asarray(run(X)), X * 199)


@pytest.mark.parametrize(
    ("wrap", "depth"),
    [(looped, 100), (repeated, 100), (chosen, 100), (covector.checkpoint, 100), (of_all_kinds, 25)],
    ids=["scan", "while", "cond", "checkpoint", "all"],
)
def test_what_holds_programs_nests(wrap: Callable[[Function], Function], depth: int) -> None:
    run = covector.jit(nested(wrap, depth, lambda x: x + 1))
    np.testing.assert_array_equal(np.asarray(run(X)), X * 2)


DERIVED: dict[str, Callable[[Function], Any]] = {
    "grad": lambda f: covector.grad(lambda x: f(x).sum())(X),
    "jit of grad": lambda f: covector.jit(covector.grad(lambda x: f(x).sum()))(X),
    "grad of jvp": lambda f: covector.grad(lambda x: covector.jvp(f, (x,), (x,))[1].sum())(X),
    "vmap of grad": lambda f: covector.vmap(covector.grad(f))(X),
}


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_of_what_is_nested_100_deep(name: str) -> None:
    """What is derived from Programs inside of Programs goes by the bottom of the stack."""
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 100, lambda x: x * 3)
    np.testing.assert_array_equal(np.asarray(DERIVED[name](run)), X * 3)


@pytest.mark.parametrize(
    ("wrap", "depth"),
    [(looped, 100), (repeated, 6), (chosen, 40), (covector.checkpoint, 100), (of_all_kinds, 3)],
    ids=["scan", "while", "cond", "checkpoint", "all"],
)
def test_gradients_of_what_holds_programs_nest(
    wrap: Callable[[Function], Function], depth: int
) -> None:
    run = nested(wrap, depth, lambda x: x * 3)
    found = covector.jit(covector.grad(lambda x: run(x).sum()))(X)
    np.testing.assert_array_equal(np.asarray(found), X * 3)


def test_an_error_far_inside_is_the_users() -> None:
    """Of a rule, which runs when something is derived, wherever that is."""

    @covector.custom_jvp
    def f(x: Any) -> Any:
        return x * 3

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        raise KeyError("the user's")

    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 60, f)
    for _ in range(2):  # the second time as well
        with pytest.raises(KeyError, match="the user's"):
            covector.grad(lambda x: run(x).sum())(X)
    assert float(covector.grad(covector.jit(lambda x: x * x))(3.0)) == 6.0


def test_named_axes_reach_far_inside() -> None:
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 40, lambda x: lax.psum(x * x, "i"))
    found = covector.vmap(covector.grad(run), axis_name="i")(cnp.arange(3.0))
    np.testing.assert_array_equal(np.asarray(found), [0, 6, 12])


def test_too_deep_is_pythons_own_error() -> None:
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 2000, cnp.negative)
    with pytest.raises(RecursionError):
        run(X)
    np.testing.assert_array_equal(np.asarray(covector.jit(cnp.negative)(X)), -X)  # goes on
