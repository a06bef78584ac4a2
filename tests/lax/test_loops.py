"""`while_loop` and `fori_loop` over pytrees: what they compute, close over, refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.counts import lines_in_loops

from covector import grad, jacfwd, jit, jvp, lax, make_jaxpr, numpy as cnp, vmap
from covector._engine.base.config import config
from covector._engine.core.trace import typeof

F32 = np.float32


@pytest.mark.parametrize("wrap", [lambda f: f, jit])
def test_values_are_trees(wrap: Any) -> None:
    def f(n: Any, x: Any) -> Any:
        return lax.while_loop(
            lambda c: c["n"] > 0,
            lambda c: {"n": c["n"] - 1, "x": (c["x"][0] * 2, c["x"][1] + c["x"][0][0])},
            {"n": n, "x": (x, 0.0)},
        )

    for n in (0, 1, 5):
        found = wrap(f)(n, np.ones(2, F32))
        assert int(found["n"]) == 0
        np.testing.assert_array_equal(np.asarray(found["x"][0]), np.full(2, 2.0**n))
        assert float(found["x"][1]) == 2.0**n - 1


def test_a_number_that_meets_an_array_takes_its_type() -> None:
    found = lax.while_loop(lambda c: c < 3, lambda c: c + np.array(1.0), 0)
    assert typeof(found).text() == "float64[]"


def collatz(n: Any) -> Any:
    def step(c: Any) -> Any:
        return lax.cond(c[0] % 2 == 0, lambda x: x // 2, lambda x: 3 * x + 1, c[0]), c[1] + 1

    return lax.while_loop(lambda c: c[0] != 1, step, (n, 0))[1]


def steps_of(n: int) -> int:
    count = 0
    while n != 1:
        n, count = (n // 2 if n % 2 == 0 else 3 * n + 1), count + 1
    return count


def test_loops_of_their_own_for_each_element() -> None:
    n = np.arange(1, 1000, dtype=np.int32)
    wanted = [steps_of(int(i)) for i in n]
    np.testing.assert_array_equal(np.asarray(jit(vmap(collatz))(n)), wanted)
    rows = n[:900].reshape(30, 30)
    found = jit(vmap(vmap(collatz), 1))(rows)
    np.testing.assert_array_equal(np.asarray(found), np.reshape(wanted[:900], (30, 30)).T)


@pytest.mark.parametrize("bounds", [(0, 5), (2, 5), (5, 2), (-3, 0), (np.int8(1), np.int8(4))])
def test_bounds_that_are_traced(bounds: Any) -> None:
    def f(low: Any, high: Any, x: Any) -> Any:
        return lax.fori_loop(low, high, lambda i, x: x * 2 + i, x)

    wanted = 1.5
    for i in range(int(bounds[0]), int(bounds[1])):
        wanted = wanted * 2 + i
    assert float(jit(f)(*bounds, 1.5)) == wanted
    assert float(jit(lambda n, x: f(int(bounds[0]), n, x))(bounds[1], 1.5)) == wanted
    assert float(f(*bounds, 1.5)) == wanted
    found = vmap(f, (None, 0, None))(*[cnp.asarray(b) for b in (bounds[0], [bounds[1]] * 2)], 1.5)
    np.testing.assert_array_equal(np.asarray(found), [wanted] * 2)
    assert float(jvp(lambda x: f(*bounds, x), (1.5,), (1.0,))[1]) == 2.0 ** max(
        int(bounds[1]) - int(bounds[0]), 0
    )


def test_values_of_outer_transformations_are_closed_over() -> None:
    def f(w: Any, n: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * w), (0, w))[1]

    w = np.float64(1.5)
    assert float(jacfwd(f)(w, 3)) == 4 * w**3
    assert float(jit(jacfwd(f))(w, 3)) == 4 * w**3
    counts = np.arange(4, dtype=np.int32)
    np.testing.assert_allclose(np.asarray(vmap(f, (None, 0))(w, counts)), w ** (counts + 1.0))
    found = jit(vmap(jacfwd(f), (None, 0)))(w, counts)
    np.testing.assert_allclose(np.asarray(found), (counts + 1) * w**counts)


def test_gradients_against_finite_differences() -> None:
    """Newton's method, with as many steps as it takes; of batches, nested, and compiled."""

    def root(a: Any) -> Any:
        def step(x: Any) -> Any:
            return x - (x * x * x - a) / (3 * x * x)

        return lax.while_loop(lambda x: abs(x * x * x - a) > 1e-12, step, a / 2 + 1)

    for wrap in (lambda f: f, jit):
        for a in (0.5, 3.0, 40.0):
            found = wrap(grad(root))(np.float64(a))
            np.testing.assert_allclose(float(found), a ** (-2 / 3) / 3, rtol=1e-6)
    a = np.array([0.5, 3, 40])
    np.testing.assert_allclose(np.asarray(jit(vmap(grad(root)))(a)), a ** (-2 / 3) / 3, rtol=1e-6)
    found = grad(lambda a: vmap(root)(a).sum())(a)
    np.testing.assert_allclose(np.asarray(found), a ** (-2 / 3) / 3, rtol=1e-6)


def test_updates_run_in_place() -> None:
    """Nothing is copied in a step that updates one element, in a choice: the time would be quadratic."""

    def fill(n: int) -> Any:
        def step(c: Any) -> Any:
            i, x = c
            return i + 1, lax.cond(i % 3 == 0, lambda x: x.at[i].set(i), lambda x: x, x)

        return jit(lambda x: lax.while_loop(lambda c: c[0] < n, step, (0, x))[1], donate_argnums=0)

    inside = lines_in_loops(fill(2000), cnp.zeros(2000))
    assert any("convert<float32>" in line for line in inside)
    assert not any("(2000)" in line or line.startswith("for") for line in inside), inside
    n = np.arange(2000)
    np.testing.assert_array_equal(fill(2000)(cnp.zeros(2000)), np.where(n % 3 == 0, n, 0))


def test_loops_nested_deep() -> None:
    def nested(depth: int) -> Any:
        if not depth:
            return lambda x: x + 1.0
        inner = nested(depth - 1)
        return lambda x: lax.while_loop(
            lambda c: c[0] < 1, lambda c: (c[0] + 1, inner(c[1])), (0, x)
        )[1]

    with config.override(verify=False):
        assert float(jit(nested(30))(1.0)) == 2.0


# --------------------------------------------------------------------------------------------------- messages


def message(*args: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        lax.while_loop(*args)
    return str(caught.value)


def test_a_condition_that_is_no_truth_value() -> None:
    x = np.ones(2, F32)
    text = message(lambda c: c > 0, lambda c: c, x)
    assert "while_loop: the condition <lambda> (test_loops.py:" in text
    assert "must return a scalar, it returned bool[2] (at test_loops.py:" in text
    assert "covector.numpy.any or all" in text
    text = message(lambda c: c[0], lambda c: c, x)
    assert "must return a truth value, it returned float32[]" in text
    assert "must return one truth value, it returned a PyTreeSpec((*, *))" in message(
        lambda c: (True, False), lambda c: c, x
    )


def test_a_value_that_changes_its_type() -> None:
    text = message(lambda c: True, lambda c: {"h": c["h"][:1]}, {"h": np.ones(2, F32)})
    assert "while_loop: the carry that <lambda> (test_loops.py:" in text
    assert "carry['h']: takes float32[2], returns float32[1]" in text
    assert "must have the structure" in message(lambda c: True, lambda c: (c, c), 1.0)
    assert "init_val['a'] is 'text' of type str" in message(lambda c: 1, lambda c: c, {"a": "text"})
    assert "while_loop (cond_fun) takes a function, got 3" in message(3, lambda c: c, 1)


def test_bounds_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match=r"the upper bound must be an integer, got float32\*?\[\]"):
        jit(lambda n: lax.fori_loop(0, n, lambda i, x: x, 1.0))(2.5)
    with pytest.raises(ValueError, match="needs bounds that are known when the function is traced"):
        jit(lambda n: lax.fori_loop(0, n, lambda i, x: x, 1.0, unroll=4))(2)
    assert "while" in str(make_jaxpr(lambda n: lax.fori_loop(0, n, lambda i, x: x + i, 1.0))(3))


def test_loops_and_choices_inside_small_loops() -> None:
    """They are written out with the loop around them, on numbers in locals."""

    def f(n: Any, x: Any) -> Any:
        def outer(c: Any) -> Any:
            i, total = c
            inner = lax.while_loop(lambda c: c[0] < i, lambda c: (c[0] + 1, c[1] * x), (0, total))[
                1
            ]
            return i + 1, lax.cond(
                i % 2 == 0, lambda t: t + inner, lambda t: t - 0.5 * inner, total
            )

        return lax.while_loop(lambda c: c[0] < n, outer, (0, 1.0))[1]

    def wanted(n: int, x: float) -> float:
        total = 1.0
        for i in range(n):
            inner = total * x**i
            total = total + inner if i % 2 == 0 else total - 0.5 * inner
        return total

    for n in (0, 1, 2, 7):
        np.testing.assert_allclose(float(jit(f)(n, np.float64(0.9))), wanted(n, 0.9), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "float16", "bfloat16"])
@pytest.mark.parametrize("wrap", [lambda f: f, jit])
def test_the_counter_gives_way_where_the_lower_bound_does(wrap: Any, dtype: str) -> None:
    """As a Python number would: so sums of narrow types keep them."""
    init = cnp.ones(2, dtype)
    for upper in (3, np.int32(3)):
        found = wrap(lambda n: lax.fori_loop(0, n, lambda i, c: c * 2 + i, init))(upper)
        assert str(found.dtype) == dtype
        np.testing.assert_array_equal(np.asarray(found, "f8"), [12, 12])
    assert lax.fori_loop(0, 3, lambda i, c: i, 0).weak_type
    assert not lax.fori_loop(np.int32(0), 3, lambda i, c: i, np.int32(0)).weak_type
    if "int" in dtype:
        with pytest.raises(TypeError, match="carry"):
            jit(lambda n: lax.fori_loop(n, 3, lambda i, c: c + i, init))(np.int32(0))


@pytest.mark.parametrize("traced", [False, True])
def test_messages_of_fori_loop_speak_of_the_users_value(traced: bool) -> None:
    """Not of the counter and the bound that stand before it."""
    cases: list[tuple[Any, Any, str]] = [
        (lambda i, c: {"a": c["a"][:1]}, {"a": cnp.ones(2)}, r"carry\['a'\]: takes float32\[2\]"),
        (
            lambda i, c: [c["a"]],
            {"a": cnp.ones(2)},
            r"takes .*'a'.*\n.*returns PyTreeSpec\(\[\*\]\)",
        ),
        (lambda i, c: c, {"a": "x"}, r"init_val\['a'\] is 'x'"),
    ]
    for body, init, text in cases:
        run = lambda n, body=body, init=init: lax.fori_loop(0, n, body, init)  # noqa: E731
        with pytest.raises(TypeError, match="(?s)^fori_loop: .*" + text) as caught:
            (jit(run) if traced else run)(3)
        assert "scan" not in str(caught.value)


@pytest.mark.parametrize("unroll", [-1, 1.5, "2"])
def test_an_unroll_that_is_no_number_of_steps(unroll: Any) -> None:
    with pytest.raises(ValueError, match="unroll must be True, False or a positive int"):
        lax.scan(lambda c, x: (c + x, x), 0.0, cnp.ones(3), unroll=unroll)
    with pytest.raises(ValueError, match=r"^fori_loop: unroll"):
        lax.fori_loop(0, 3, lambda i, c: c, 0, unroll=unroll)


def test_what_a_weak_carry_becomes_and_a_counter_beside_other_bounds() -> None:
    grown = lax.while_loop(lambda c: c < 3, lambda c: c + 1.5, 0)
    scanned, _ = lax.scan(lambda c, _: (c * 2.5, None), 1, length=2)
    assert [(x.dtype.name, x.weak_type) for x in (grown, scanned)] == [("float32", False)] * 2
    kept = lax.fori_loop(0, 3, lambda i, c: c + i, 0)
    assert (int(kept), kept.weak_type) == (3, True)
    upper = np.int8(3)
    for run in (count, jit(count)):
        found = run(cnp.asarray(upper))
        assert (int(found), found.dtype, found.weak_type) == (3, np.int8, False)


def count(n: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, c: c + i, 0)
