"""Collectives where elements of the axis choose different branches, or end at different steps: gradients are those of
what all elements get together, inside of the axis and outside of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Function = Callable[[Any], Any]
X = np.array([0.3, -0.7, 1.1, 1.9])
WEIGHTS = np.array([1.0, 0.5, -0.3, 0.7])  # by which the results of elements count
RING = [(0, 1), (1, 2), (2, 3), (3, 0)]


def choice(test: Function, yes: Function, no: Function) -> Function:
    return lambda x: lax.cond(test(x), yes, no, x)


def total(x: Any) -> Any:
    return lax.psum(x * x, "i")


def gathered(x: Any) -> Any:
    return cnp.sum(lax.all_gather(x * x, "i") * cnp.arange(4.0))


def positive(x: Any) -> Any:
    return x > 0


def large(x: Any) -> Any:
    return x > 1


def three(x: Any) -> Any:
    return 3 * x


def looped(step: Function) -> Function:
    """Steps of which each element has its own number."""
    return lambda x: lax.while_loop(
        lambda c: c[0] < 3 * x, lambda c: (c[0] + 1, step(c[1])), (0.0, x)
    )[1]


def mixed(x: Any) -> Any:
    return 0.9 * x + 0.1 * lax.psum(cnp.sin(x), "i")


CASES: dict[str, Function] = {
    "a sum": choice(positive, total, three),
    "a sum in a nested choice": choice(positive, choice(large, total, lambda x: 2 * x), three),
    "a choice that is one for all around": choice(
        lambda x: lax.psum(x, "i") > 0, choice(large, total, lambda x: 2 * x), three
    ),
    "all elements": choice(positive, gathered, three),
    "all in both": choice(positive, choice(large, gathered, lambda x: lax.pmean(x**3, "i")), three),
    "a neighbour": choice(positive, lambda x: lax.ppermute(x * x, "i", RING), three),
    "the largest": choice(positive, lambda x: lax.pmax(x * x, "i"), three),
    "three branches": lambda x: lax.switch(
        positive(x).astype("int32") + large(x),
        [total, lambda x: lax.pmean(cnp.sin(x), "i") * x, three],
        x,
    ),
    "a loop": looped(mixed),
    "a choice in a loop": looped(choice(lambda x: x > 0.5, mixed, lambda x: 1.5 * x)),
    "a loop in a choice": choice(positive, looped(mixed), total),
    "a choice in a scan": lambda x: lax.scan(
        lambda c, t: (choice(lambda c: c > t, mixed, lambda c: c + 0.3 * t)(c), None),
        x,
        cnp.arange(3.0),
    )[0],
}


def pulled(f: Function) -> Function:
    """What the elements get back, each from its own pullback."""
    return cv.vmap(lambda x, w: cv.vjp(f, x)[1](w)[0], axis_name="i")


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_whole(name: str) -> None:
    f = CASES[name]

    def whole(x: Any) -> Any:
        return cnp.vdot(cv.vmap(f, axis_name="i")(x), WEIGHTS)

    h = 1e-6
    wanted = [(whole(X + h * d) - whole(X - h * d)) / (2 * h) for d in np.eye(4)]
    found = {
        "inside": pulled(f)(X, WEIGHTS),
        "inside, compiled": cv.jit(pulled(f))(X, WEIGHTS),
        "with a checkpoint": pulled(cv.checkpoint(f))(X, WEIGHTS),
        "around": cv.jit(cv.grad(whole))(X),
        "forwards": cv.jacfwd(whole)(X),
        "transposed": cv.vmap(
            lambda x, w: cv.linear_transpose(cv.linearize(f, x)[1], x)(w)[0], axis_name="i"
        )(X, WEIGHTS),
    }
    for how, slopes in found.items():
        np.testing.assert_allclose(slopes, wanted, atol=1e-5, err_msg=how)
    second = cv.jit(cv.jacfwd(lambda x: pulled(f)(x, WEIGHTS)))(X)
    np.testing.assert_allclose(second, cv.jit(cv.jacfwd(cv.grad(whole)))(X), atol=1e-8)


def test_also_where_another_axis_is_mapped_too() -> None:
    """A branch asks those of one axis, and elements choose along both."""
    f, x = CASES["a sum"], np.stack([X, X[::-1] - 0.5])

    def whole(x: Any) -> Any:
        return cnp.sum(cv.vmap(cv.vmap(f), axis_name="i", in_axes=1)(x))

    h = 1e-6
    wanted = [(whole(x + h * d) - whole(x - h * d)) / (2 * h) for d in np.eye(8).reshape(8, 2, 4)]
    inside = cv.vmap(cv.vmap(cv.grad(f)), axis_name="i", in_axes=1, out_axes=1)(x)
    np.testing.assert_allclose(inside.ravel(), wanted, atol=1e-5)
    np.testing.assert_allclose(cv.grad(whole)(x).ravel(), wanted, atol=1e-5)


def test_what_no_element_chooses_is_not_run() -> None:
    f = choice(
        lambda x: lax.psum(x, "i") > 0, lambda x: x * total(x), lambda x: lax.psum(1 / (0 * x), "i")
    )
    slopes = cv.jit(cv.vmap(cv.grad(f), axis_name="i"))(X)
    np.testing.assert_allclose(slopes, np.sum(X * X) + 2 * X * X.sum())
