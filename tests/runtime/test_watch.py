"""`debug_nans` and `debug_infs`: what made a NaN or an infinity is named, with its line; nothing else changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.compile.programs import functions, operands

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.core import trace
from covector._engine.runtime.watch import Watched, Watcher
from covector._engine.types.avals import ShapedArray


def in_scan(x: Any) -> Any:
    def step(c: Any, t: Any) -> Any:
        c = c - 1
        return c, cnp.sqrt(c) + t  # here

    return lax.scan(step, cnp.sum(x), cnp.arange(6.0))[1]


def in_while(x: Any) -> Any:
    def step(c: Any) -> Any:
        n, y = c
        return n + 1, cnp.log(y - 1)  # here

    return lax.while_loop(lambda c: c[0] < 5, step, (0, cnp.sum(x)))[1]


def in_cond(x: Any) -> Any:
    return lax.cond(
        cnp.sum(x) > 0,
        lambda y: cnp.arcsin(y + 10),  # here
        lambda y: cnp.log(y),
        x,
    )


def in_jit_in_scan(x: Any) -> Any:
    @cv.jit
    def inner(y: Any) -> Any:
        return cnp.arccosh(y - 3)  # here

    return lax.scan(lambda c, _: (inner(c), None), x, None, length=2)[0]


def in_checkpoint(x: Any) -> Any:
    @cv.checkpoint
    def inner(y: Any) -> Any:
        return cnp.sin(cnp.log(y - 10))  # here

    return inner(x)


def in_custom_jvp(x: Any) -> Any:
    @cv.custom_jvp
    def f(y: Any) -> Any:
        return cnp.log(-y) * 2  # here

    f.defjvps(lambda t, out, y: t)
    return f(x)


def in_a_gradient(x: Any) -> Any:
    return cv.grad(lambda y: cnp.sum(cnp.sqrt(y - y)) * 0)(x)  # here


def beside_a_masked_one(x: Any) -> Any:
    y = cnp.where(x > 100, cnp.log(x - 100), 0)
    z = cnp.sqrt(x - 50) + 1  # here
    return cnp.where(x < 0, 0, y + z)


def after_a_nan_that_is_chosen_away(x: Any) -> Any:
    y = cnp.log(x - 100)
    z = cnp.arcsin(x + 1)  # here
    return cnp.where(x > 100, y, z)


PLACES = [
    (in_scan, "sqrt"), (in_while, "log"), (in_cond, "asin"), (in_jit_in_scan, "acosh"),
    (in_checkpoint, "log"), (in_custom_jvp, "log"), (in_a_gradient, "mul"),
    (beside_a_masked_one, "sqrt"), (after_a_nan_that_is_chosen_away, "asin"),
]  # fmt: skip


def place_of(f: Callable[..., Any]) -> str:
    lines, first = inspect.getsourcelines(f)
    offset = next(i for i, line in enumerate(lines) if "# here" in line)
    return f"test_watch.py:{first + offset} "


@pytest.mark.parametrize(("f", "primitive"), PLACES, ids=[f.__name__ for f, _ in PLACES])
@pytest.mark.parametrize("how", ["eager", "jit", "vmap", "jit of vmap"])
def test_what_made_it_is_named_with_its_line(
    f: Callable[..., Any], primitive: str, how: str
) -> None:
    x = cnp.array([2.5, 1.5])
    run, args = f, x
    if "vmap" in how:
        run, args = cv.vmap(f), cnp.stack([x, x])
    if "jit" in how:
        run = cv.jit(run)
    assert np.isnan(np.asarray(run(args))).any()
    masked = f in (beside_a_masked_one, after_a_nan_that_is_chosen_away)
    with cv.debug_nans(), pytest.raises(FloatingPointError) as caught:
        run(args)
    text = str(caught.value)
    if masked and "jit" not in how:  # each operation is looked at when it has run, chosen or not
        assert text.startswith("invalid value (nan) encountered in log (at test_watch.py:")
        return
    assert text.startswith("invalid value (nan) encountered in ")
    assert place_of(f) in text
    if f is not in_a_gradient:
        assert f"encountered in {primitive} (at" in text


def test_what_is_told() -> None:
    def step(c: Any, t: Any) -> Any:
        return c - 1, cnp.sqrt(c + cnp.zeros((2, 3)))

    with cv.debug_nans(), pytest.raises(FloatingPointError) as caught:
        cv.jit(lambda x: lax.scan(step, x, None, length=9))(2.5)
    assert " of float32[2,3], which gave float32[2,3]: 6 of 6 elements are nan" in str(caught.value)
    assert str(caught.value).endswith("the first at [0, 0], in step 3 of step")
    bad = cnp.array([1.0, cnp.nan])
    with cv.debug_nans(), pytest.raises(FloatingPointError, match=r"operand 1, float32\[2\]: 1 of"):
        cv.jit(lambda x, y: x + y)(1.0, bad)
    with cv.debug_nans(), pytest.raises(FloatingPointError, match=r"in sub \(at test_watch.py"):
        cnp.array([1.0, cnp.inf]) - cnp.inf


@pytest.mark.parametrize("values", [[1.0, 0.0, -3.0], [np.inf, 2.0, 1.0], [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("name", ["log", "reciprocal", "sqrt", "arccosh", "exp", "expm1", "tan"])
@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_it_is_raised_where_numpy_has_one(name: str, values: list[float], kind: str) -> None:
    x = np.array(values, np.float32)
    with np.errstate(all="ignore"):
        wanted = {"nan": np.isnan, "inf": np.isinf}[kind](getattr(np, name)(x))
    f: Any = getattr(cnp, name)
    given = cnp.asarray(x)
    with cv.config.override(**{f"debug_{kind}s": True}):
        for run in (f, cv.jit(f), cv.vmap(f)):
            if wanted.any():
                with pytest.raises(FloatingPointError) as caught:
                    run(given)
                count = f"{wanted.sum()} of 3 elements are {kind}, the first at [{wanted.argmax()}]"
                assert count in str(caught.value)
            else:
                run(given)


@given(st.data())
@settings(max_examples=25)
def test_values_stay_the_same(data: Any) -> None:
    """Random functions, compiled, and as they are followed equation by equation."""
    f = data.draw(functions(most=5))
    xs = [cnp.asarray(x) for x in operands(f, data.draw(st.integers(0, 99)))]
    wanted = cv.jit(f)(*xs)
    program = trace.stage(f, [ShapedArray(v.shape, v.dtype) for v in f.inputs])
    given_ = [Watched(x, None) for x in (*xs, *program.constants)]
    followed = Watcher(("nan", "inf")).run(program.close(), given_)
    with cv.debug_nans(), cv.debug_infs():
        watched = cv.jit(f)(*xs)
    for a, b, c in zip(wanted, watched, followed, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(c.value), strict=True)


def test_donated_arguments_stay() -> None:
    f = cv.jit(lambda x: cnp.log(x), donate_argnums=0)
    x = cnp.array([-1.0, 2.0])
    with cv.debug_nans():
        with pytest.raises(FloatingPointError):
            f(x)
        np.testing.assert_array_equal(x, [-1, 2])
        y = cnp.ones(2)
        f(y)
        assert not y.is_deleted()
    f(y)
    assert y.is_deleted()


def test_effects_happen_once(capsys: Any) -> None:
    def f(x: Any) -> Any:
        cv.debug.print("x is {}", x)
        return lax.scan(lambda c, _: (cnp.log(c), None), x, None, length=2)[0]

    with cv.debug_nans():
        assert float(cv.jit(f)(8.0)) == pytest.approx(np.log(np.log(8.0)))
        with pytest.raises(FloatingPointError, match="step 1 of"):
            cv.jit(f)(0.5)
    assert capsys.readouterr().out == "x is 8.0\nx is 0.5\n"


def test_callbacks_and_stages_are_looked_at() -> None:
    def f(x: Any) -> Any:
        shape = cv.ShapeDtypeStruct((), np.float32)
        return cv.pure_callback(lambda y: np.float32(np.nan), shape, x)

    compiled = cv.jit(lambda x: cnp.log(x)).lower(1.0).compile()
    with cv.debug_nans():
        for run in (f, cv.jit(f)):
            with pytest.raises(FloatingPointError, match="encountered in pure_callback"):
                run(1.0)
        with pytest.raises(FloatingPointError, match="encountered in log"):
            compiled(-1.0)


def test_the_flag_of_jax_acts() -> None:
    cv.config.update("jax_debug_nans", True)
    try:
        with pytest.raises(FloatingPointError):
            cnp.log(-1.0)
    finally:
        cv.config.update("jax_debug_nans", False)
    assert np.isnan(cnp.log(-1.0))
    with cv.debug_nans(False):
        assert np.isnan(cnp.log(-1.0))
