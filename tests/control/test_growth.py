"""Control flow in long rows and deep nests: the code that comes out grows as the Program does, and nothing recurses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.counts import calls

import covector as cv
import covector.numpy as cnp
from covector import lax

Function = Callable[[Any], Any]


def counted(f: Function, n: int) -> Function:
    return lambda x: lax.fori_loop(0, n, lambda _, x: f(x), x)


def conditional(f: Function) -> Function:
    step = lambda c: (c[0] + 1, f(c[1]))  # noqa: E731
    return lambda x: lax.while_loop(lambda c: c[0] < 1, step, (0, x))[1]


def innermost(x: Any) -> Any:
    return x * 0.5 + 1


def nested(depth: int) -> Function:
    """Loops inside each other, of one step but for the innermost."""
    f = counted(innermost, 2)
    for _ in range(depth - 1):
        f = counted(f, 1)
    return f


def repeated(depth: int) -> Function:
    """The same with conditions."""
    f: Function = innermost
    for _ in range(depth):
        f = conditional(f)
    return f


def in_a_row(count: int) -> Function:
    """One choice after the other."""

    def f(x: Any) -> Any:
        for k in range(count):
            x = lax.cond(x > 0.1 * k, lambda x: cnp.sin(x) + 0.1, lambda x: x * 0.5 + 1, x)
        return x

    return f


def of_many(count: int) -> Function:
    """One choice between many."""
    ways = [lambda x, k=k: cnp.sin(x) * k + x for k in range(count)]
    return lambda x: lax.switch(cnp.int32(x * 3) % count, ways, x)


def long_body(count: int) -> Function:
    """A loop of many operations."""

    def step(c: Any, _: None) -> Any:
        for k in range(count):
            c = cnp.sin(c) * 0.9 + 0.01 * k
        return c, c

    return lambda x: lax.scan(step, x, None, length=3)[0]


CASES = (nested, repeated, in_a_row, of_many, long_body)
X = np.float64(0.7)


def over_a_batch(f: Function) -> Function:
    return cv.vmap(f)


def size(f: Function, x: Any) -> int:
    """How many lines the Kernel of a function has."""
    return len(cv.jit(f).lower(x).compile().as_text("kernels").splitlines())


def calls_of(f: Function, x: Any) -> int:
    """How many functions are called while a function is traced."""
    jitted = cv.jit(f)
    return calls(lambda: jitted.trace(x))[0]


@pytest.mark.parametrize("make", CASES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("change", [None, cv.grad, over_a_batch], ids=["itself", "slope", "batch"])
def test_code_grows_as_the_program(make: Callable[[int], Function], change: Any) -> None:
    x = np.linspace(0, 1, 5) if change is over_a_batch else X
    few, many = [size((change or (lambda f: f))(make(n)), x) for n in (8, 16)]
    assert many <= 2.3 * few + 20, (few, many)


@pytest.mark.parametrize("make", [nested, repeated], ids=lambda f: f.__name__)
def test_thirty_loops_inside_each_other(make: Callable[[int], Function]) -> None:
    f = make(30)
    wanted = X
    for _ in range(2 if make is nested else 1):
        wanted = wanted * 0.5 + 1
    assert float(cv.jit(f)(X)) == pytest.approx(wanted)
    assert float(cv.jit(cv.vmap(f))(np.array([X, X]))[1]) == pytest.approx(wanted)
    if make is nested:
        assert float(cv.jit(cv.grad(f))(X)) == pytest.approx(0.25)


def test_a_rule_that_is_used_often_is_followed_once_a_use() -> None:
    traced = list[str]()

    @cv.custom_vjp
    def f(x: Any) -> Any:
        return cnp.sin(x)

    def forward(x: Any) -> Any:
        traced.append("forward")
        return cnp.sin(x), x

    def backward(x: Any, ct: Any) -> Any:
        traced.append("backward")
        return (ct * cnp.cos(x),)

    f.defvjp(forward, backward)

    def run(x: Any) -> Any:
        for _ in range(200):
            x = f(x)
        return x

    cv.jit(cv.grad(run))(X)
    assert len(traced) <= 400, "each use follows the rule once at most"
    traced.clear()
    cv.grad(cv.jit(run))(X)
    assert traced == ["forward", "backward"], "where it is staged first, once for all uses"


@pytest.mark.parametrize("order", [1, 2])
def test_the_way_back_through_loops_in_loops_is_no_power_of_the_depth(order: int) -> None:
    """Each loop goes forwards three times in the way back of the one around it, which is one part of the next."""
    few, many = [
        size(cv.grad(repeated(depth)) if order == 1 else cv.grad(cv.grad(repeated(depth))), X)
        for depth in (2, 4)
    ]
    assert many <= (4.5 if order == 1 else 6) * few, (few, many)


def test_third_derivatives_of_a_loop() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 7, lambda _, y: y * x, 1.0)  # x ** 7

    third = cv.jit(cv.grad(cv.grad(cv.grad(f))))
    assert float(third(X)) == pytest.approx(210 * X**4)


def recomputed(depth: int) -> Function:
    """Loops inside each other, each of which is a checkpoint."""
    f: Function = cnp.sin
    for _ in range(depth):
        f = cv.checkpoint(lambda x, f=f: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0])
    return f


def test_checkpoints_in_checkpoints_are_the_same_programs_in_all_around() -> None:
    """Each wrote all those inside of it anew, where nothing was left to be changed in them."""

    def programs(depth: int) -> int:
        return len(cv.jit(cv.grad(recomputed(depth))).trace(X).program.within())

    few, many = programs(8), programs(16)
    assert many <= 2.1 * few, (few, many)
    slope = cv.jit(cv.grad(recomputed(3)))(X)
    wanted, at = 1.0, X
    for _ in range(8):
        wanted, at = wanted * np.cos(at), np.sin(at)
    assert float(slope) == pytest.approx(wanted)


def test_unknown_loops_in_unknown_loops_have_a_cost() -> None:
    """Each is guessed to have some turns: 200 of them overflowed."""
    assert float(cv.jit(repeated(200))(X)) == pytest.approx(X * 0.5 + 1)
    assert cv.jit(repeated(200)).lower(X).compile().cost_analysis()["nanoseconds"] < 1e19


def test_tracing_of_batches_of_choices_in_choices_is_near_linear_in_the_depth() -> None:
    """Each choice wrote all those inside of it anew, with its own truth value."""

    def chosen(depth: int) -> Function:
        f: Function = cnp.sin
        for _ in range(depth):
            f = lambda x, f=f: lax.cond(x > 0, f, lambda x: x, x) * 0.5  # noqa: E731
        return cv.vmap(f)

    few, many = [calls_of(chosen(depth), np.ones(3)) for depth in (16, 32)]
    assert many <= 2.6 * few, (few, many)


@pytest.mark.parametrize(
    "change", [cv.grad, lambda f: cv.vmap(cv.grad(f))], ids=["slope", "slopes"]
)
def test_tracing_of_slopes_of_loops_in_loops_is_linear_in_the_depth(change: Any) -> None:
    """Each loop asked all that is inside it for named axes, and each equation all frames for its place."""
    few, many = [
        calls_of(change(repeated(depth)), np.ones(3) if change is not cv.grad else X)
        for depth in (8, 16)
    ]
    assert many <= 2.3 * few, (few, many)


def choices(depth: int, way: Any = lax.cond) -> Function:
    """Choices inside each other, of which the second branch is taken at some depth or other."""
    f: Function = innermost
    for k in range(depth):
        f = lambda x, f=f, k=k: (  # noqa: E731
            way(x > 0.01 * k - 0.6, lambda x: f(cnp.sin(x)) * 1.5, lambda x: cnp.tanh(x * x) * k, x)
            * x
        )
    return f


def in_python(holds: Any, yes: Function, no: Function, x: Any) -> Any:
    return yes(x) if bool(holds) else no(x)


@pytest.mark.parametrize("change", [cv.grad, lambda f: cv.grad(cv.grad(f))], ids=["one", "two"])
def test_slopes_of_choices_in_choices_are_near_linear_in_the_depth(change: Any) -> None:
    """Each handed on the residuals of all inside of it one by one: 63,013 operands and results at a depth of 120."""

    def atoms(depth: int) -> int:
        program = cv.jit(change(choices(depth))).trace(X).program
        return sum([len(e.inputs) + len(e.outputs) for p in program.within() for e in p.eqns])

    few, many = atoms(60), atoms(120)
    assert many <= 2.6 * few, (few, many)


@pytest.mark.parametrize("at", [0.9, -0.2])
def test_slopes_of_choices_in_choices_are_those_of_the_ones_taken(at: float) -> None:
    """Of more residuals than are handed on one by one."""
    f, g = choices(32), choices(32, in_python)
    some = np.array([0.9, at])
    slopes = [cv.grad(g)(x) for x in some]
    np.testing.assert_allclose(cv.jit(cv.grad(f))(some[1]), slopes[1], rtol=1e-12)
    np.testing.assert_allclose(cv.jit(cv.vmap(cv.grad(f)))(some), slopes, rtol=1e-12)
