"""Derivatives of derivatives of loops of unknown length: right with rules in them, and no larger than they need be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector.custom_derivatives import linear_call

Function = Callable[[Any], Any]
X = np.array([0.3, 0.7])


@cv.custom_jvp
def askew(x: Any, y: Any) -> Any:
    """Whose derivative in y is said to be none, so that its second derivatives are in no order the same."""
    return x * y * y


askew.defjvp(lambda primals, tangents: (askew(*primals), tangents[0] * primals[1] ** 2))


@cv.custom_vjp
def scaled(x: Any) -> Any:
    """With a derivative that is three times its own."""
    return cnp.sin(x)


scaled.defvjp(lambda x: (cnp.sin(x), x), lambda x, ct: (3 * ct * cnp.cos(x),))


def twofold(x: Any) -> Any:
    """A linear function whose transpose is said to be another one."""
    return linear_call(lambda _, t: 2 * t, lambda _, ct: 5 * ct, (), x)


def plain(c: Any) -> Any:
    return cnp.stack([cnp.sin(c[0] * c[1]), c[1] * 0.5 + c[0]])


def with_a_rule(c: Any) -> Any:
    return cnp.stack([askew(c[0], c[1]), cnp.cos(c[1]) * c[0]])


def with_a_rule_back(c: Any) -> Any:
    return cnp.stack([scaled(c[0]) * c[1], c[1] + scaled(c[0] * 0.3)])


def with_another_transpose(c: Any) -> Any:
    return cnp.stack([cnp.sin(twofold(c[0]) * c[1]), c[1] * c[0]])


def stopped(c: Any) -> Any:
    return cnp.stack([lax.stop_gradient(c[0]) * c[1] ** 2, c[0] * cnp.sin(c[1])])


def changed(c: Any) -> Any:
    return c.at[0].set(cnp.sin(c[1]) * c[0]).at[1].mul(c[0])


def with_a_loop(c: Any) -> Any:
    more = lambda s: s[0] < 2  # noqa: E731
    return lax.while_loop(more, lambda s: (s[0] + 1, plain(s[1]) * c[1]), (0, c))[1]


def with_loops_in_python(c: Any) -> Any:
    s = c
    for _ in range(2):
        s = plain(s) * c[1]
    return s


BODIES = [
    (plain, plain),
    (with_a_rule, with_a_rule),
    (with_a_rule_back, with_a_rule_back),
    (with_another_transpose, with_another_transpose),
    (stopped, stopped),
    (changed, changed),
    (with_a_loop, with_loops_in_python),
]


def looped(body: Function) -> Callable[[Any, Any], Any]:
    """A few steps that also read what does not change."""

    def f(n: Any, x: Any) -> Any:
        return cnp.sum(lax.fori_loop(0, n, lambda _, c: body(c) * x[1] + x, x))

    return f


def unrolled(body: Function) -> Function:
    def f(x: Any) -> Any:
        c = x
        for _ in range(3):
            c = body(c) * x[1] + x
        return cnp.sum(c)

    return f


def slope(f: Function) -> Function:
    return lambda x: cnp.sum(cnp.sin(cv.grad(f)(x)) * cnp.array([1.0, -0.5]))


@pytest.mark.parametrize(("body", "same"), BODIES, ids=lambda f: f.__name__)
def test_they_are_those_of_the_steps_one_by_one(body: Function, same: Function) -> None:
    f, g = looped(body), unrolled(same)
    found = cv.jit(lambda n, x: cv.grad(slope(lambda x: f(n, x)))(x))
    np.testing.assert_allclose(found(3, X), cv.grad(slope(g))(X), rtol=1e-9)
    assert not np.any(cv.grad(slope(lambda x: f(0, x)))(X)), "no step: the slope is constant"
    if body is not with_a_rule_back:
        v = np.array([0.2, -1.0])
        pushed = cv.jit(lambda n, x: cv.jvp(cv.grad(lambda x: f(n, x)), (x,), (v,))[1])
        np.testing.assert_allclose(pushed(3, X), cv.jvp(cv.grad(g), (X,), (v,))[1], rtol=1e-9)


@pytest.mark.parametrize(("body", "same"), [BODIES[0], BODIES[4]], ids=lambda f: f.__name__)
def test_third_derivatives(body: Function, same: Function) -> None:
    f, g = looped(body), unrolled(same)
    found = cv.jit(lambda n, x: cv.grad(slope(slope(lambda x: f(n, x))))(x))
    np.testing.assert_allclose(found(3, X), cv.grad(slope(slope(g)))(X), rtol=1e-8)


def test_of_a_batch_they_are_those_of_the_elements() -> None:
    f = looped(plain)
    counts, xs = np.array([3, 0, 2]), np.stack([X, 2 * X, X + 0.1])
    turn = lambda n, x: cv.grad(slope(lambda x: f(n, x)))(x)  # noqa: E731
    wanted = [cv.jit(turn)(n, x) for n, x in zip(counts, xs, strict=True)]
    np.testing.assert_allclose(cv.jit(cv.vmap(turn))(counts, xs), wanted, rtol=1e-9)
    every = lambda x: cnp.sum(cv.vmap(lambda n, x: slope(lambda x: f(n, x))(x))(counts, x))  # noqa: E731
    np.testing.assert_allclose(cv.jit(cv.grad(every))(xs), wanted, rtol=1e-9)


def test_the_tangents_of_a_way_back_may_be_asked_for_alone() -> None:
    f, v = looped(plain), np.array([0.2, -1.0])
    _, push = cv.linearize(cv.grad(lambda x: f(3, x)), X)
    wanted = cv.jvp(cv.grad(unrolled(plain)), (X,), (v,))[1]
    np.testing.assert_allclose(push(v), wanted, rtol=1e-9)


def written_out(program: Any, known: dict[Any, int]) -> int:
    """How many equations a Program has, those inside counted wherever they stand."""
    if program not in known:
        inside = [
            q for e in program.eqns if e.primitive.has_programs for q in e.primitive.programs()
        ]
        known[program] = len(program.eqns) + sum([written_out(q, known) for q in inside])
    return known[program]


def test_each_order_has_one_loop_and_its_way_back_more() -> None:
    """The way back was differentiated loop by loop: 185 equations, then 1,623, then 9,960."""

    def f(x: Any) -> Any:
        more = lambda c: c[0] < 5  # noqa: E731
        return lax.while_loop(more, lambda c: (c[0] + 1, cnp.sin(c[1]) * x), (0, x))[1]

    sizes = list[int]()
    for _ in range(4):
        f = cv.grad(f)
        sizes.append(written_out(cv.jit(f).trace(np.float64(0.7)).program, {}))
    for few, many in itertools.pairwise(sizes):
        assert many <= 2.6 * few, sizes
