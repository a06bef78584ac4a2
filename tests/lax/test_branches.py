"""`cond`, `switch`, `platform_dependent` over pytrees: what they compute, take, close over, refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.counts import calls, lines_in_loops

import covector
from covector import grad, jit, lax, make_jaxpr, numpy as cnp, vmap
from covector._engine.base.config import config
from covector._engine.core.trace import typeof

X = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("wrap", [lambda f: f, jit])
@pytest.mark.parametrize(
    "pred", [True, False, 1, 0, 2.5, np.bool_(True), np.float32(0), np.int8(-3), np.uint8(0)]
)
def test_both_forms_of_cond(wrap: Any, pred: Any) -> None:
    def f(pred: Any, x: Any) -> Any:
        return lax.cond(
            pred, lambda a, b: {"s": a["v"] + b}, lambda a, b: {"s": a["v"] * b}, x, 3.0
        )

    def old(pred: Any, x: Any) -> Any:
        return lax.cond(pred, x["v"], lambda v: v + 3.0, x, lambda x: x["v"] * 3.0)

    wanted = X + 3 if pred else X * 3
    np.testing.assert_array_equal(np.asarray(wrap(f)(pred, {"v": X})["s"]), wanted)
    np.testing.assert_array_equal(np.asarray(wrap(old)(pred, {"v": X})), wanted)


def test_operands_are_optional() -> None:
    assert float(lax.cond(True, lambda: 1.0, lambda: 2.0)) == 1.0
    assert int(lax.cond(False, lambda x: x, lambda x: -x, operand=3)) == -3
    assert lax.cond(True, lambda x: x, lambda x: None, operand=None) is None
    assert int(lax.switch(1, [lambda x: x, lambda x: -x], operand=3)) == -3


@pytest.mark.parametrize("index", [-(2**40), -1, 0, 1, 2, 3, np.uint8(200), np.int64(2**40)])
def test_switch_clamps_its_index(index: Any) -> None:
    branches = [lambda x, n=n: x + n for n in range(3)]
    wanted = min(max(int(index), 0), 2)
    assert int(lax.switch(index, branches, 0)) == wanted
    assert int(jit(lambda i: lax.switch(i, branches, 0))(np.asarray(index))) == wanted
    assert int(lax.switch(index, branches[:1], 5)) == 5


def test_weakly_typed_results_take_the_type_of_the_others() -> None:
    def f(p: Any, x: Any) -> Any:
        return lax.cond(p, lambda: x, lambda: 0), lax.cond(p, lambda: 1.5, lambda: 2)

    for p in (True, False):
        a, b = jit(f)(p, np.array(3.0))
        assert (typeof(a).text(), typeof(b).text()) == ("float64[]", "float32*[]")
        assert (float(a), float(b)) == ((3, 1.5) if p else (0, 2))


def test_values_of_outer_transformations_are_closed_over() -> None:
    def f(w: Any, p: Any) -> Any:
        return lax.cond(p, lambda x: cnp.sin(x * w), lambda x: x * w * w, X).sum()

    for p in (True, False):
        wanted = (X * np.cos(2 * X)).sum() if p else (X * 4).sum()
        for g in (grad(f), jit(grad(f)), grad(jit(f))):
            np.testing.assert_allclose(float(g(np.float32(2), p)), wanted, rtol=1e-5)
    ws, ps = np.arange(3, dtype=np.float32), np.array([True, False, True])
    one_by_one = [float(grad(f)(w, p)) for w, p in zip(ws, ps, strict=True)]
    np.testing.assert_allclose(vmap(grad(f))(ws, ps), one_by_one, rtol=1e-5)
    np.testing.assert_allclose(jit(vmap(grad(f)))(ws, ps), one_by_one, rtol=1e-5)


def test_only_the_chosen_branch_runs() -> None:
    """A branch that would index out of bounds, or never end, costs nothing."""
    endless = lambda x: lax.while_loop(lambda x: x[0] == x[0], lambda x: x * 0.5, x)  # noqa: E731
    f = jit(lambda p, x: lax.cond(p, endless, lambda x: x, x))
    np.testing.assert_array_equal(f(False, X), X)
    seen: list[float] = []
    told = lambda x: (covector.debug.callback(lambda v: seen.append(float(v)), x[0]), x + 1)[1]  # noqa: E731
    g = jit(lambda p, x: lax.cond(p, told, lambda x: x, x))
    for p in (False, True):
        np.testing.assert_array_equal(g(p, X), X + p)
        covector.effects_barrier()
        assert seen == [float(X[0])] * p


def test_platform_dependent() -> None:
    assert lax.platform_dependent(2, cuda=lambda x: x, default=lambda x: -x) == -2
    assert lax.platform_dependent(2, cpu=lambda x: x, default=lambda x: -x) == 2
    with pytest.raises(
        NotImplementedError, match="nothing is given for the platform cpu, only for"
    ):
        lax.platform_dependent(2, cuda=lambda x: x)


# ------------------------------------------------------------------------------------------- updates, growth


def _fill(n: int) -> Any:
    def body(i: Any, x: Any) -> Any:
        return lax.cond(i % 3 == 0, lambda x: x.at[i].set(1.0), lambda x: x, x)

    return jit(lambda x: lax.fori_loop(0, n, body, x), donate_argnums=0)


def test_branches_update_in_place() -> None:
    """A loop over a long array: a copy in each step would make its time quadratic."""
    inside = lines_in_loops(_fill(2000), cnp.zeros(2000))
    assert any(":= 1.0" in line for line in inside)
    assert not any("(2000)" in line or line.startswith("for") for line in inside), inside
    np.testing.assert_array_equal(_fill(2000)(cnp.zeros(2000)), np.arange(2000) % 3 == 0)


def test_many_branches_and_many_choices_compile_in_linear_time() -> None:
    def many(n: int) -> Any:
        def f(p: Any, x: Any) -> Any:
            for i in range(n):
                x = lax.cond(p, lambda x, i=i: x * 0.5 + i, lambda x, i=i: x - i, x)
            return x

        return f, True

    def wide(n: int) -> Any:
        return lambda i, x: lax.switch(i, [lambda x, c=c: x * c for c in range(n)], x), 3

    with config.override(verify=False):
        for make, small in ((many, 50), (wide, 25)):
            counts: list[int] = []
            for n in (small, 4 * small):
                f, operand = make(n)
                slope = jit(grad(lambda p, x, f=f: f(p, x), 1))
                counts.append(calls(lambda: slope(operand, np.float32(1)))[0])  # noqa: B023
            assert counts[1] < 4.5 * counts[0]


# --------------------------------------------------------------------------------------------------- messages


def message(f: Any, *args: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        f(*args)
    return str(caught.value)


def yes(x: Any) -> Any:
    return {"u": x}


def test_branches_of_other_types() -> None:
    text = message(lax.cond, True, yes, lambda x: {"u": x[:2]}, X)
    assert (
        "cond: the functions to choose from must return the same types (at test_branches.py:"
        in text
    )
    assert "result['u'] is\n    float32[4] of true_fun yes (test_branches.py:" in text
    assert "float32[2] of false_fun <lambda>" in text
    text = message(lax.switch, 1, [yes, yes, lambda x: {"u": x.astype(np.int32)}], X)
    assert "int32[4] of branch 2" in text
    text = message(lax.cond, True, yes, lambda x: x, X)
    assert "must return one structure" in text
    assert "PyTreeSpec({'u': *})" in text


def test_what_cannot_choose() -> None:
    f = lambda: 1  # noqa: E731
    assert "cond: the condition must be a scalar, got float32[4]" in message(lax.cond, X, f, f)
    assert "covector.numpy.where, or vmap" in message(lax.cond, X, f, f)
    assert "a truth value or a real number, got complex64" in message(lax.cond, 1j, f, f)
    assert "got 'x' of type str" in message(lax.cond, "x", f, f)
    assert "the index must be an integer, got float32" in message(lax.switch, 1.0, [f, f])
    assert "the index must be an integer, got bool" in message(lax.switch, True, [f, f])
    assert "needs a sequence of functions to choose from, got []" in message(lax.switch, 0, [])
    assert "cond (false_fun) takes a function, got 3" in message(lax.cond, True, f, 3)
    assert "operand= stands for the only operand" in message(
        lambda: lax.cond(True, f, f, 1, operand=2)
    )
    assert "operands[0]['a'] is 'text' of type str" in message(
        lax.cond, True, yes, yes, {"a": "text"}
    )
    assert "result of <lambda>" in message(lax.cond, True, lambda: "a", lambda: "b")


def test_a_choice_is_one_equation() -> None:
    program = make_jaxpr(lambda p: lax.cond(p, lambda: X, lambda: 2 * X))(True)
    assert [e.primitive.name for e in program.eqns][-1] == "cond"
    assert covector.lax.cond is lax.cond


def test_slopes_of_the_branch_that_is_not_chosen_do_not_matter() -> None:
    """The root has an infinite slope at 0, where the other branch is chosen: 0 times that would be NaN."""

    def f(x: Any) -> Any:
        return lax.cond(x > 0, cnp.sqrt, lambda x: 0 * x, x)

    x = np.array([0, 4], np.float32)
    wanted = [0, 0.25]
    np.testing.assert_array_equal(np.asarray(grad(lambda x: vmap(f)(x).sum())(x)), wanted)
    np.testing.assert_array_equal(np.asarray(vmap(grad(f))(x)), wanted)
    np.testing.assert_array_equal(np.asarray(vmap(grad(grad(f)))(x)), [0, -1 / 32])
