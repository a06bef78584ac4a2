"""Functions in functions: how deep they may nest, of those that trace what they are given."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp
from covector._engine.control.flat import bytes_kept, has_large_loop
from covector._engine.types.avals import FEW
from covector.errors import NestingError

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


def jitted(depth: int, inner: Function) -> Function:
    return nested(lambda f: covector.jit(lambda x: f(x) + 1), depth, inner)


def with_jvp(f: Function) -> Function:
    g = covector.custom_jvp(lambda x: f(x) + 1)
    g.defjvp(lambda p, t: (f(p[0]) + 1, t[0]))
    return g


def with_vjp(f: Function) -> Function:
    g = covector.custom_vjp(lambda x: f(x) + 1)
    g.defvjp(lambda x: (f(x) + 1, None), lambda _, ct: (ct,))
    return g


@pytest.mark.parametrize("depth", [1, 10, 100, 1000])
def test_jitted_functions_nest(depth: int) -> None:
    """Python has room for 1,000 frames: each call of ours counts them anew where they become few."""
    run = jitted(depth, cnp.negative)
    np.testing.assert_array_equal(np.asarray(run(X)), X * (depth - 1))
    np.testing.assert_array_equal(np.asarray(covector.vmap(run)(X)), X * (depth - 1))
    slope = covector.grad(lambda x: run(x).sum())
    np.testing.assert_array_equal(np.asarray(slope(X)), -X)
    np.testing.assert_array_equal(np.asarray(covector.jit(covector.vmap(slope))(X)), -X)


@pytest.mark.parametrize("wrap", [chosen, covector.checkpoint, with_jvp, with_vjp])
def test_rules_and_choices_nest_300_deep(wrap: Callable[[Function], Function]) -> None:
    run = nested(wrap, 300, lambda x: x * 2)
    more = 300 if wrap in (with_jvp, with_vjp) else 0
    np.testing.assert_array_equal(np.asarray(run(X)), X * (2 + more))
    np.testing.assert_array_equal(np.asarray(covector.jit(run)(X)), X * (2 + more))


def test_slopes_of_100_loops_outside_of_jit() -> None:
    """Each loop gave the residuals of its steps one more axis, of which an array has at most 64."""
    run = nested(looped, 100, lambda x: cnp.sin(x) * 2)
    slope = covector.grad(run)
    assert float(slope(0.5)) == pytest.approx(2 * np.cos(0.5))
    assert float(covector.grad(slope)(0.5)) == pytest.approx(-2 * np.sin(0.5))


def test_functions_nest_on_a_thread_with_a_small_stack() -> None:
    """Where the thread's stack ends a call goes on in other memory."""
    before = threading.stack_size(256 << 10)
    found: list[Any] = []
    try:
        thread = threading.Thread(target=lambda: found.append(jitted(300, cnp.negative)(X)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    np.testing.assert_array_equal(np.asarray(found[0]), X * 299)


def test_python_counts_on_between_calls() -> None:
    """A user's function that calls itself without an end still ends by Python's limit, however deep it stands."""

    def endless(n: int) -> int:
        return endless(n + 1)

    depth: list[int] = []

    def inner(x: Any) -> Any:
        with pytest.raises(RecursionError):
            endless(0)
        frame, frames = sys._getframe(), 0
        while frame is not None:
            frame, frames = frame.f_back, frames + 1
        depth.append(frames)
        compile("x + 1", "text", "eval")  # it asks how deep it stands
        return -x

    jitted(400, inner)(X)
    assert depth[0] > sys.getrecursionlimit()


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


@pytest.mark.parametrize("wrap", [looped, chosen, lambda f: lambda x: lax.map(f, x[None])[0]])
def test_what_loops_keep_is_found_900_deep(wrap: Callable[[Function], Function]) -> None:
    """Each level found it in the next one by itself, and Python's frames ended."""
    x = np.ones(FEW + 1, np.float32)
    program = covector.make_jaxpr(nested(wrap, 900, repeated(lambda x: x * 2)))(x).program
    assert has_large_loop(program)
    assert bytes_kept(program, (True,)) == x.nbytes


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


def test_what_has_no_end_says_so() -> None:
    def endless(x: Any) -> Any:
        return covector.jit(endless)(x) + 1

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)  # fewer levels until it is told
    try:
        with pytest.raises(
            NestingError, match=r"times the function at test_nesting.py:\d+ \(endless\)"
        ):
            endless(X)
    finally:
        sys.setrecursionlimit(limit)
    np.testing.assert_array_equal(np.asarray(covector.jit(cnp.negative)(X)), -X)  # goes on


def chain(levels: int) -> Any:
    """Lists inside each other."""
    tree: Any = 1.0
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    "use",
    [
        covector.tree.leaves,
        lambda t: covector.tree.map(lambda x: x, t),
        covector.tree_util.tree_flatten_with_path,
        covector.jit(lambda t: 1.0),
        covector.jit(lambda t: {"a": t}["a"]),
        lambda t: covector.jit(lambda x: t)(1.0),
        covector.grad(lambda t: 1.0),
        covector.vmap(lambda t: t, in_axes=None, axis_size=2),
        covector.block_until_ready,
        lambda t: lax.scan(lambda c, _: (c, None), t, None, 2),
        lambda t: lax.cond(True, lambda t: t, lambda t: t, t),
    ],
)
@pytest.mark.parametrize("levels", [3_000, 50_000])
def test_trees_that_are_too_deep_say_what_to_do(use: Function, levels: int) -> None:
    with pytest.raises(
        NestingError, match=r"deeper than there is room for \(at .*\); .*one flat list.*lax.scan"
    ):
        use(chain(levels))
    assert covector.tree.leaves(chain(900)) == [1.0]  # goes on


def test_recursion_of_the_users_stays() -> None:
    def endless(x: Any) -> Any:
        return endless(x)

    with pytest.raises(RecursionError) as caught:
        covector.tree.map(endless, [1.0])
    assert not isinstance(caught.value, NestingError)


def test_limits_that_are_set_meanwhile_stay() -> None:
    before = sys.getrecursionlimit()

    def inner(x: Any) -> Any:
        sys.setrecursionlimit(before + 500)
        return -x

    try:
        jitted(300, inner)(X)
        assert sys.getrecursionlimit() == before + 500
    finally:
        sys.setrecursionlimit(before)
    run = jitted(300, cnp.negative)
    np.testing.assert_array_equal(np.asarray(run(X)), X * 299)


def test_nested_functions_are_freed() -> None:
    """Without recursion: what is 20,000 deep would take all of the stack."""
    run = jitted(20_000, cnp.negative)
    gone = weakref.ref(run)
    del run
    gc.collect()
    assert gone() is None
