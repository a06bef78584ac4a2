"""Random programs with named axes mean what the same steps mean on an array of all elements; derivatives too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

Function = Callable[[Any], Any]
ROWS, COLUMNS, K = 2, 3, 6  # elements along "i" and "j"; what each element has
SIZES = {"i": ROWS, "j": COLUMNS}
NAMES = (("i",), ("j",), ("i", "j"), ("j", "i"))


class Elements:
    """An array of all elements, (ROWS, COLUMNS, ...), as one with those along some named axes in front, and back."""

    def __init__(self, names: tuple[str, ...]):
        self.names = names
        self.size = int(np.prod([SIZES[n] for n in names]))
        own = ["ij".index(n) for n in names]
        self.order = [*own, *[a for a in (0, 1) if a not in own]]
        self.shape = [(ROWS, COLUMNS)[a] for a in self.order]

    def front(self, x: Any) -> Any:
        """(elements that meet, the others, ...)"""
        moved = cnp.transpose(x, (*self.order, *range(2, x.ndim)))
        return moved.reshape(self.size, -1, *x.shape[2:])

    def back(self, x: Any) -> Any:
        """The other way."""
        whole = x.reshape(*self.shape, *x.shape[2:])
        return cnp.transpose(whole, (*np.argsort(self.order), *range(2, whole.ndim)))


def step(rng: np.random.Generator) -> tuple[Function, Function]:
    """A step of one element, and the same of all elements."""
    names = NAMES[rng.integers(len(NAMES))]
    axes = Elements(names)
    n, name = axes.size, names if len(names) > 1 or rng.random() < 0.5 else names[0]
    perm = rng.permutation(n).tolist()
    pairs = [(int(s), int(d)) for s, d in zip(perm, rng.permutation(n), strict=True)][: n - 1]
    weights = rng.normal(size=n).astype("float32")
    source = int(rng.integers(n))

    def everywhere(fold: Function) -> Function:
        return lambda x: cnp.broadcast_to(fold(x)[None], x.shape)

    def sent(x: Any) -> Any:
        to = cnp.zeros_like(x)
        return to.at[np.array([d for _, d in pairs])].set(x[np.array([s for s, _ in pairs])])

    def exchanged(x: Any) -> Any:
        parts = x.reshape(n, x.shape[1], n, K // n)
        return cnp.transpose(parts, (2, 1, 0, 3)).reshape(x.shape)

    def scattered(x: Any) -> Any:
        parts = x.sum(0).reshape(x.shape[1], n, K // n)
        return cnp.tile(cnp.transpose(parts, (1, 0, 2)), (1, 1, n))

    steps: list[tuple[Function, Function]] = [
        (lambda x: lax.psum(x, name), everywhere(lambda x: x.sum(0))),
        (lambda x: lax.pmean(x, name), everywhere(lambda x: x.mean(0))),
        (lambda x: lax.pmax(x, name), everywhere(lambda x: x.max(0))),
        (lambda x: lax.pmin(x, name), everywhere(lambda x: x.min(0))),
        (lambda x: lax.ppermute(x, name, pairs), sent),
        (lambda x: lax.pshuffle(x, name, perm), lambda x: x[np.array(perm)]),
        (lambda x: lax.pbroadcast(x, name, source), everywhere(lambda x: x[source])),
        (
            lambda x: cnp.tensordot(weights, lax.all_gather(x, name), 1),
            everywhere(lambda x: cnp.tensordot(weights, x, 1)),
        ),
        (lambda x: lax.all_to_all(x, name, 0, 0, tiled=True), exchanged),
        (lambda x: cnp.tile(lax.psum_scatter(x, name, tiled=True), n), scattered),
        (
            lambda x: x * (1 + lax.axis_index(name)) / lax.axis_size(name),
            lambda x: x * (1 + cnp.arange(n)).reshape(n, 1, *[1] * (x.ndim - 2)) / n,
        ),
    ]
    one, whole = steps[rng.integers(len(steps))]
    return one, lambda x: axes.back(whole(axes.front(x)))


def around(f: Function, how: int) -> Function:
    """The same function, inside of something."""
    custom_jvp, custom_vjp = cv.custom_jvp(f), cv.custom_vjp(f)
    custom_jvp.defjvp(lambda primals, tangents: cv.jvp(f, primals, tangents))
    custom_vjp.defvjp(lambda x: (f(x), x), lambda x, ct: cv.vjp(f, x)[1](ct))
    forms: list[Function] = [
        f,
        cv.jit(f),
        cv.checkpoint(f),
        custom_jvp,
        lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0],
        lambda x: lax.fori_loop(0, 2, lambda _, c: f(c), x),
        lambda x: lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, f(c[1])), (0, x))[1],
        lambda x: lax.cond(lax.stop_gradient(cnp.zeros(()) < 1), f, lambda x: x, x),
        custom_vjp,  # the last: it has no forward mode
    ]
    return forms[how]


def program(rng: np.random.Generator, forms: int) -> tuple[Function, Function]:
    """Four steps, each inside of something, with what is smooth and not linear between them."""
    one, whole = (lambda x: x), (lambda x: x)
    for _ in range(4):
        (f, g), how = step(rng), int(rng.integers(forms))

        def both(before: Function, f: Function, how: int = how) -> Function:
            inside = around(lambda x: cnp.sin(f(x)) + 0.5 * x, how)
            return lambda x: inside(before(x))

        one, whole = both(one, f), both(whole, g)
    return one, whole


@pytest.mark.parametrize("seed", range(6))
def test_elements_that_meet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, whole = program(rng, 8)
    x, v, w = (rng.normal(size=(ROWS, COLUMNS, K)).astype("float32") for _ in range(3))
    mapped = cv.vmap(cv.vmap(one, axis_name="j"), axis_name="i")

    def measured(f: Function) -> Function:
        def second(x: Any) -> Any:
            def gradient(x: Any) -> Any:
                return cv.grad(lambda x: cnp.vdot(f(x), w))(x)

            return f(x), cv.jvp(f, (x,), (v,))[1], *cv.jvp(gradient, (x,), (v,))

        return second

    wanted = cv.jit(measured(whole))(x)
    for run in (
        (cv.jit(measured(mapped)), measured(mapped)) if seed < 1 else (cv.jit(measured(mapped)),)
    ):
        for found, right in zip(run(x), wanted, strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_inside_of_the_axes(seed: int) -> None:
    """The pullback of one element is what the elements get together, as the results are sent back."""
    rng = np.random.default_rng(100 + seed)
    one, whole = program(rng, 9)
    x, ct = (rng.normal(size=(ROWS, COLUMNS, K)).astype("float32") for _ in range(2))

    def back(x: Any, ct: Any) -> Any:
        return cv.vjp(one, x)[1](ct)[0]

    found = cv.jit(cv.vmap(cv.vmap(back, axis_name="j"), axis_name="i"))(x, ct)
    np.testing.assert_allclose(found, cv.vjp(whole, x)[1](ct)[0], rtol=2e-4, atol=2e-4)
