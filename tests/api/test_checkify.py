"""`checkify`: what failed first is a result, with its message and the user's line, through all transformations."""

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
from covector.experimental import checkify as ck


def positive(x: Any) -> Any:
    ck.check(cnp.all(x > 0), "not positive: {} of {name}", cnp.min(x), name="x")
    return x * 2


LINE = inspect.getsourcelines(positive)[1] + 1
MESSAGE = "not positive: {} of x (`check` failed) (at test_checkify.py:" + f"{LINE} (positive))"


def failed(f: Callable[..., Any], *args: Any, errors: Any = ck.user_checks) -> str | None:
    """What is told; compiled, in and around, it is the same, and the results are those without checks."""
    found = [ck.checkify(g, errors)(*args) for g in (f, cv.jit(f))]
    found.append(cv.jit(ck.checkify(f, errors))(*args))
    texts = {err.get() for err, _ in found}
    assert len(texts) == 1
    for _, out in found[1:]:
        for a, b in zip(cv.tree.leaves(out), cv.tree.leaves(found[0][1]), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    return texts.pop()


@cv.custom_jvp
def with_jvp(x: Any) -> Any:
    return positive(x)


@with_jvp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return primals[0] * 2, tangents[0] * 3


@cv.custom_vjp
def with_vjp(x: Any) -> Any:
    return positive(x)


with_vjp.defvjp(lambda x: (x * 2, None), lambda _, ct: (ct * 5,))


@cv.custom_batching.custom_vmap
def with_vmap(x: Any) -> Any:
    return positive(x)


@with_vmap.def_vmap
def _(size: Any, batched: Any, x: Any) -> Any:
    return x * 2, True


def solved(x: Any) -> Any:
    return lax.custom_linear_solve(
        lambda y: y * 4, x, lambda matvec, b: positive(b) / 8, symmetric=True
    )


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "plain": positive,
    "jit": cv.jit(positive),
    "checkpoint": cv.checkpoint(positive),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "custom_vmap": with_vmap,
    "custom_linear_solve": solved,
    "cond": lambda x: lax.cond(cnp.sum(x) < 100, positive, lambda y: y, x),
    "switch": lambda x: lax.switch(1, [cnp.sin, positive, cnp.cos], x),
    "scan": lambda x: lax.scan(lambda c, t: (positive(c) / 2, t), x, cnp.arange(3))[0],
    "scan of xs": lambda x: lax.scan(lambda c, t: (c, positive(t)), 0, cnp.stack([x, x]))[1],
    "while": lambda x: lax.while_loop(
        lambda c: c[0] < 2, lambda c: (c[0] + 1, positive(c[1])), (0, x)
    )[1],
    "condition": lambda x: lax.while_loop(
        lambda c: (c[0] < 1) & (cnp.sum(positive(c[1])) > -1e9),
        lambda c: (c[0] + 1, c[1]),
        (0, x),
    )[1],
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: positive(c), x),
    "map": lambda x: lax.map(positive, cnp.stack([x, x])),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_check_inside(name: str) -> None:
    f = HOLDERS[name]
    assert failed(f, cnp.array([1.0, 2.0])) is None
    assert failed(f, cnp.array([1.0, -2.0])) == MESSAGE.format(-2.0)
    assert failed(f, cnp.array([1.0, -2.0]), errors=ck.nan_checks) is None
    # a batch on either side
    rows = cnp.array([[1.0, 2.0], [3.0, -4.0], [-5.0, 1.0]])
    if name != "custom_vmap":  # the rule takes the function's place
        assert failed(cv.vmap(f), rows) == MESSAGE.format(-4.0)
    err, out = cv.vmap(ck.checkify(f))(rows)
    lines = [f"at mapped index {i}: {MESSAGE.format(x)}" for i, x in ((1, -4.0), (2, -5.0))]
    assert err.get() == "\n".join(lines)
    np.testing.assert_allclose(out, [ck.checkify(f)(row)[1] for row in rows], rtol=1e-6)


@pytest.mark.parametrize("name", HOLDERS)
def test_derivatives_are_those_without_checks(name: str) -> None:
    f = HOLDERS[name]
    bare = lambda x: cnp.sum(ck.checkify(f)(x)[1])  # noqa: E731
    x = cnp.array([1.0, 2.0])
    wanted = np.asarray(cv.grad(lambda x: cnp.sum(f_of(name)(x)))(x))
    np.testing.assert_allclose(cv.grad(bare)(x), wanted)
    err, found = ck.checkify(cv.grad(lambda x: cnp.sum(f(x))))(x)
    assert err.get() is None
    np.testing.assert_allclose(found, wanted)
    err, _ = ck.checkify(cv.grad(lambda x: cnp.sum(f(x))))(-x)
    ruled = name in ("custom_jvp", "custom_vjp")  # the rule takes the function's place
    assert err.get() == (None if ruled else MESSAGE.format(-2.0))


def f_of(name: str) -> Callable[[Any], Any]:
    """The derivatives by hand: what each of the functions is without its check."""
    factor = {"custom_jvp": 3, "custom_vjp": 5, "custom_linear_solve": 0.25, "scan": 1, "while": 4}
    factor |= {"condition": 1, "fori": 8, "scan of xs": 4, "map": 4}
    return lambda x: x * factor.get(name, 2)


@cv.custom_jvp
def pushed_with_checks(x: Any) -> Any:
    return x * 2


@pushed_with_checks.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    ck.check(x > 0, "in the rule {x:.2f}", x=x)
    return x * 2, t * cnp.log(x)


@cv.custom_vjp
def pulled_with_checks(x: Any) -> Any:
    return x * 2


def _forward(x: Any) -> Any:
    ck.check(x > 0, "in the rule {x:.2f}", x=x)
    return x * 2, x


pulled_with_checks.defvjp(_forward, lambda x, ct: (ct * cnp.log(x),))


@pytest.mark.parametrize("f", [pushed_with_checks, pulled_with_checks])
@pytest.mark.parametrize(
    "around", [lambda f: f, lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, 2)[0]]
)
@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit])
def test_a_check_in_a_rule(f: Any, around: Any, wrap: Any) -> None:
    """It is told where the derivative is that of a function with checks, and where a derivative is checked."""

    def told(checked: Any, x: float) -> str:
        """Of the gradient of a function with checks, of one that is checked, and of its batch."""
        slope, err = cv.grad(lambda x: checked(x)[::-1], has_aux=True)(x)
        outer, same = ck.checkify(wrap(cv.grad(around(f))))(x)
        assert err.get() == outer.get()
        np.testing.assert_allclose(slope, same, rtol=1e-6)
        _, errs = cv.vmap(cv.grad(lambda x: checked(x)[::-1], has_aux=True))(np.array([x, 1.0]))
        assert str(errs.get()).replace("at mapped index 0: ", "") == str(err.get())
        return str(err.get())

    for errors in (ck.user_checks, ck.all_checks):
        checked = wrap(ck.checkify(around(f), errors))
        assert checked(-1.5)[0].get() is None  # the function itself has none
        assert told(checked, 1.5) == "None"
        assert told(checked, -1.5).startswith(
            "in the rule -1.50 (`check` failed) (at test_checkify.py"
        )
    err, _ = cv.jvp(ck.checkify(pushed_with_checks), (-1.5,), (1.0,))[0]
    assert str(err.get()).startswith("in the rule -1.50")


def test_a_rule_that_refuses_is_not_asked_for_by_checks() -> None:
    @cv.custom_jvp
    def f(x: Any) -> Any:
        return positive(x)

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise RuntimeError("no derivative")

    x = cnp.array([1.0, -2.0])
    assert failed(f, x) == MESSAGE.format(-2.0)
    with pytest.raises(RuntimeError, match="no derivative"):
        cv.grad(lambda x: ck.checkify(f)(x)[1].sum())(x)


def test_the_first_failure_stays() -> None:
    def f(x: Any) -> Any:
        ck.check(x < 3, "first {}", x)
        y = cnp.log(x - 10)
        ck.check(x < 2, "second")
        return y

    assert failed(f, 1.0) is None
    assert str(failed(f, 2.5)).startswith("second (`check` failed)")
    assert str(failed(f, 5.0, errors=ck.all_checks)).startswith("first 5.0 (`check` failed)")
    text = failed(f, 2.5, errors=ck.all_checks)
    assert str(text).startswith("nan generated by primitive: log. (at test_checkify.py:")


def test_the_first_step_stays() -> None:
    def step(c: Any, t: Any) -> Any:
        ck.check(c < 3, "c is {c:.1f} at {t}", c=c, t=t)
        return c + 1, t

    text = failed(lambda x: lax.scan(step, x, cnp.arange(6))[0], 1.5)
    assert str(text).startswith("c is 3.5 at 2 (`check` failed)")


@pytest.mark.parametrize(
    ("f", "args", "start"),
    [
        (lambda x, i: x[i], (np.ones(3), 5), "index 5 is out of bounds for axis 0 with size 3."),
        (lambda x, i: x[i], (np.ones(3), -4), "index -1 is out of bounds for axis 0 with size 3."),
        (lambda x, i: x[1, i], (np.ones((2, 3)), np.array([1, 4, 9])), "index 4 is out of bounds for axis 1 "),
        (lambda x, i: x[i, i], (np.ones((2, 3)), np.array([1, 2])), "index 2 is out of bounds for axis 0 with size 2."),
        (lambda x, i: x[i], (np.ones(300), np.array([7, 255], np.uint8)), None),
        (lambda x, i: x[i], (np.ones(9), np.array([7, 255], np.uint8)), "index 255 is out of bounds for axis 0 "),
        (lambda x, i: x.at[i].add(1.0), (np.ones(3), np.array([0, 3])), "index 3 is out of bounds for axis 0 "),
        (lambda x, i: x.at[i].set(0.0, mode="drop"), (np.ones((3, 2)), 7), "index 7 is out of bounds for axis 0 "),
        (lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 2)), (np.ones((3, 3)), 2), "index 2 is out of bounds for"),
        (lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 2)), (np.ones((3, 3)), 1), None),
        (lambda x, i: lax.dynamic_update_slice(x, x[:2], (i,)), (np.ones(3), 2), "index 2 is out of bounds for"),
        (lambda x, i: cnp.take(x, i), (np.ones(4), np.array([0, 3])), None),
        (lambda x, i: x[i], (np.ones((3, 2)), np.zeros(0, np.int32)), None),
    ],
)  # fmt: skip
def test_indices(f: Any, args: tuple[Any, ...], start: str | None) -> None:
    given_ = [cnp.asarray(x) for x in args]
    for errors in (ck.index_checks, ck.automatic_checks):
        text = failed(f, *given_, errors=errors)
        if start is None:
            assert text is None
        else:
            shape = str(args[0].shape)
            assert str(text).startswith(
                f"out-of-bounds indexing for array of shape {shape}: {start}"
            )
    assert failed(f, *given_, errors=ck.float_checks) is None


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.complex64])
def test_division(dtype: Any) -> None:
    x = np.ones(3, dtype)
    f = lambda x, y: lax.div(x, y)  # noqa: E731
    bad = np.array([1, 0, 2], dtype)
    assert failed(f, x, x, errors=ck.div_checks) is None
    for errors in (ck.div_checks, ck.float_checks, ck.all_checks):
        assert str(failed(f, x, bad, errors=errors)).startswith("division by zero (at ")


@pytest.mark.parametrize("values", [[1.0, 0.0, -3.0], [np.inf, 2.0, 1.0], [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("name", ["log", "sqrt", "arccosh", "exp", "tan", "arcsin"])
def test_nans_are_where_numpy_has_them(name: str, values: list[float]) -> None:
    x = np.array(values, np.float32)
    with np.errstate(all="ignore"):
        wanted = np.isnan(getattr(np, name)(x)).any()
    text = failed(lambda y: getattr(cnp, name)(y), x, errors=ck.nan_checks)
    assert (text is not None) == wanted
    assert text is None or text.startswith("nan generated by primitive: ")


@given(st.data())
@settings(max_examples=20)
def test_random_programs(data: Any) -> None:
    """Values stay, compiled or not; each element of a batch fails as it does alone."""
    f = data.draw(functions(most=5))
    rows = [[cnp.asarray(x) for x in operands(f, seed)] for seed in range(2)]
    alone = []
    for row in rows:
        err, out = ck.checkify(f, ck.all_checks)(*row)
        inside, _ = ck.checkify(cv.jit(f), ck.all_checks)(*row)
        assert err.get() == inside.get()
        for a, b in zip(cv.jit(f)(*row), out, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        alone.append(err.get())
    batch = [cnp.stack(column) for column in zip(*rows, strict=True)]
    err, _ = cv.vmap(ck.checkify(f, ck.all_checks))(*batch)
    lines = [f"at mapped index {i}: {text}" for i, text in enumerate(alone) if text is not None]
    assert err.get() == ("\n".join(lines) or None)


def test_outside_of_checkify() -> None:
    assert float(positive(cnp.float32(1.0))) == 2.0
    with pytest.raises(ck.JaxRuntimeError, match=r"not positive: -1\.0 of x"):
        positive(cnp.float32(-1.0))
    with pytest.raises(ValueError, match=r"not positive: -2\.0 of x"):
        cv.grad(positive)(-2.0)
    with pytest.raises(ValueError, match=r"at mapped index 1: not positive: -2\.0"):
        cv.vmap(positive)(cnp.array([1.0, -2.0]))
    with pytest.raises(ValueError, match=r"positive.*\n.*\n    right:  err, out = checkify"):
        cv.jit(positive)(cnp.array([1.0]))
    for f in (HOLDERS["scan"], HOLDERS["while"]):  # no `jit` around them
        f(cnp.array([1.0]))
        with pytest.raises(ck.JaxRuntimeError, match="not positive"):
            f(cnp.array([-1.0]))
    silent = cv.jit(lambda x: (ck.debug_check(x > 0, "no"), x + 1)[1])
    assert float(silent(-1.0)) == 0.0
    ck.debug_check(False, "no")
    assert str(failed(silent, -1.0)).startswith("no (`check` failed)")


def test_errors_are_values() -> None:
    err, _ = ck.checkify(positive)(cnp.array([-1.0]))
    again = cv.jit(lambda e: e)(err)
    assert again.get() == err.get() == MESSAGE.format(-1.0)
    with pytest.raises(cv.errors.FailedCheckError):
        again.throw()
    ck.check_error(ck.init_error)
    ck.init_error.throw()
    assert ck.init_error.get() is None

    def outer(x: Any) -> Any:
        inner, y = ck.checkify(cnp.log, ck.nan_checks)(x)
        ck.check_error(inner)
        return y

    assert str(failed(outer, -1.0, errors=ck.nan_checks)).startswith("nan generated by primitive")
    assert failed(outer, -1.0, errors=ck.user_checks) is None

    def of_batch(x: Any) -> Any:
        inner, y = cv.vmap(ck.checkify(positive))(x)
        ck.check_error(inner)
        return y

    assert failed(of_batch, cnp.array([3.0, -6.0, -7.0])) == MESSAGE.format(-6.0)


def test_arguments_of_any_kind() -> None:
    def f(x: Any, *, flag: Any) -> Any:
        values = {"a": x, "b": 2}
        ck.check(flag, "{0[a]:.2f} {0[b]} {1!r} {w}", values, "text", w=x.astype(cnp.int32))
        return x

    err, _ = ck.checkify(f)(cnp.float32(1.25), flag=False)
    assert str(err.get()).startswith("1.25 2 'text' 1 (`check` failed)")
    with pytest.raises(TypeError, match="check takes one truth value"):
        ck.check(cnp.array([True, False]), "no")
    with pytest.raises(TypeError, match="check takes one truth value"):
        ck.check(1, "no")
    with pytest.raises(TypeError, match="check_error takes an Error"):
        ck.check_error(None)  # type: ignore[arg-type]


def test_named_axes_and_callbacks() -> None:
    def f(x: Any) -> Any:
        y = x / lax.psum(x, "i")
        ck.check(y < 0.6, "share {}", y)
        cv.debug.callback(seen.append, y)
        return y

    seen: list[Any] = []
    err, out = cv.vmap(ck.checkify(f), axis_name="i")(cnp.array([1.0, 3.0]))
    assert str(err.get()).startswith("at mapped index 1: share 0.75")
    np.testing.assert_allclose(out, [0.25, 0.75])
    cv.effects_barrier()
    assert len(seen) == 2
    assert str(failed(cv.vmap(f, axis_name="i"), cnp.array([1.0, 3.0]))).startswith("share 0.75")


def test_it_is_compiled_once() -> None:
    f = ck.checkify(positive, ck.all_checks)
    f(cnp.ones(3))
    with cv.config.override(explain="compile"):
        import contextlib
        import io

        text = io.StringIO()
        with contextlib.redirect_stderr(text):
            f(cnp.ones(3))
            f(cnp.zeros(3))
    assert "equations" not in text.getvalue()


def checks_in_rules() -> dict[str, tuple[Any, Any]]:
    """Functions of a vector whose rules check something, with what they give where the checks hold."""

    @cv.custom_vjp
    def backward(x: Any) -> Any:
        return cnp.sin(x)

    def pull(x: Any, ct: Any) -> Any:
        ck.check((x > 0).all(), "on the way back {x}", x=x)
        return (ct * x,)

    backward.defvjp(lambda x: (cnp.sin(x), x), pull)

    @cv.custom_batching.custom_vmap
    def mapped(x: Any) -> Any:
        return x * 2

    @mapped.def_vmap
    def rule(n: int, batched: Any, x: Any) -> Any:
        ck.check((x > 0).all(), "in the rule of {n}", n=n)
        return x * 2, True

    def checked(f: Any) -> Any:
        return lambda x: ck.checkify(f, ck.all_checks)(x)[1]

    def total(f: Any) -> Any:
        return cv.grad(lambda x: f(x).sum())

    def each(f: Any) -> Any:
        return cv.grad(lambda x: cv.lax.scan(lambda c, a: (c + f(a), None), 0.0, x)[0])

    same, twice = (lambda x: x), (lambda x: 2 * x)
    return {
        "grad": (total(backward), same),
        "vjp": (lambda x: cv.vjp(backward, x)[1](x)[0], lambda x: x * x),
        "grad of jit": (total(cv.jit(backward)), same),
        "grad of checkify": (total(checked(backward)), same),
        "grad of jit of checkify": (total(cv.jit(checked(backward))), same),
        "grad in scan": (each(backward), same),
        "vmap": (cv.vmap(mapped), twice),
        "vmap of jit": (cv.vmap(cv.jit(mapped)), twice),
        "vmap of checkify": (cv.vmap(checked(mapped)), twice),
        "vmap of grad": (cv.vmap(cv.grad(backward)), same),
    }


@pytest.mark.parametrize("name", checks_in_rules())
def test_checks_in_rules(name: str) -> None:
    f, want = checks_in_rules()[name]
    x = cnp.array([1.0, 2.0])
    assert f(x).tolist() == want(x).tolist()
    with pytest.raises(cv.errors.CheckError, match=r"on the way back|in the rule of 2"):
        f(-x)  # outside of jit a check raises, wherever it is
    err, out = ck.checkify(f)(x)
    assert (err.get(), out.tolist()) == (None, want(x).tolist())
    for run in (ck.checkify(f), cv.jit(ck.checkify(f)), ck.checkify(cv.jit(f))):
        err, out = run(-x)
        if "of checkify" in name:  # whose error was thrown away
            assert out.tolist() == want(-x).tolist()
        else:
            assert "(`check` failed)" in err.get()
    with pytest.raises(ValueError, match="right:  err, out = checkify"):
        cv.jit(f)(x)


def test_rules_that_call_their_own_function() -> None:
    """As most do: a check in it is found, and looking for it ends."""
    reverse = cv.custom_vjp(cnp.log)
    reverse.defvjp(lambda x: (reverse(x), x), lambda x, ct: (2.0 * ct / x,))
    forward = cv.custom_jvp(cnp.log)
    forward.defjvp(lambda xs, ts: (forward(*xs), 2.0 * ts[0] / xs[0]))

    def steps(f: Any) -> Any:
        return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0]

    for g in (reverse, forward):
        for f in (g, cv.jit(g), steps(g)):
            checked = ck.checkify(f, errors=ck.nan_checks)
            assert float(cv.grad(lambda x, f=checked: f(x)[1])(4.0)) == 0.5
            error, slope = ck.checkify(cv.grad(f), errors=ck.nan_checks)(-4.0)
            assert "nan generated by primitive: log" in str(error.get()), f
            assert float(slope) == -0.5
