"""`custom_jvp` and `custom_vjp`: the rule is used, under every transformation, and what is wrong with it is told."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest
from tests.amount import some

import covector as cv
import covector.numpy as np
from covector import lax
from covector.custom_derivatives import CustomVJPPrimal, SymbolicZero, custom_vjp_primal_tree_values

FLOAT0 = onp.zeros((), cv.dtypes.float0)
Function = Callable[[Any], Any]


def plain(x: Any) -> Any:
    return np.sin(x) * x


def with_jvp() -> Any:
    f = cv.custom_jvp(plain)
    f.defjvp(lambda p, t: (f(*p), (np.cos(p[0]) * p[0] + np.sin(p[0])) * t[0]))
    return f


def with_vjp() -> Any:
    f = cv.custom_vjp(plain)
    f.defvjp(lambda x: (plain(x), x), lambda x, ct: ((np.cos(x) * x + np.sin(x)) * ct,))
    return f


def pushed(f: Function) -> Function:
    return lambda x: cv.jvp(f, (x,), (x * 0 + 1,))[1]


def pulled(f: Function) -> Function:
    def g(x: Any) -> Any:
        y, pullback = cv.vjp(f, x)
        return pullback(y)[0]

    return g


def scanned(f: Function) -> Function:
    def g(x: Any) -> Any:
        c, ys = cv.lax.scan(lambda c, k: (f(c) * 0.7 + k * x, f(k)), x, np.arange(3.0))
        return c + ys.sum() * x

    return g


def mapped(f: Function) -> Function:
    return lambda x: cv.vmap(lambda a, b: f(a) * b, (0, None))(np.stack([x, x * 1.1]), x).sum()


WRAPPERS: dict[str, Callable[[Function], Function]] = {
    "jit": cv.jit, "grad": cv.grad, "jvp": pushed, "vjp": pulled, "scan": scanned, "vmap": mapped,
}  # fmt: skip
CHAINS = [c for n in (1, 2, 3) for c in itertools.product(WRAPPERS, repeat=n)]
DERIVATIVES = ("grad", "jvp", "vjp")


@pytest.mark.parametrize("chain", some(CHAINS, 30, 1), ids="-".join)
def test_a_right_rule_changes_nothing(chain: tuple[str, ...]) -> None:
    first = next((name for name in chain if name in DERIVATIVES), "")
    for make in (with_jvp, with_vjp):
        f, expected = make(), plain
        for name in chain:
            f, expected = WRAPPERS[name](f), WRAPPERS[name](expected)
        if make is with_vjp and first == "jvp":
            with pytest.raises(TypeError, match="can't apply forward-mode"):
                f(0.3)
        else:
            with cv.enable_x64(True):  # third derivatives in float32 are of few digits
                onp.testing.assert_allclose(f(0.3), expected(0.3), 1e-9)


@pytest.mark.parametrize(
    "outer", [lambda f: f, cv.jit, scanned, mapped], ids=["", "jit", "scan", "vmap"]
)
def test_the_rule_is_what_counts(outer: Any) -> None:
    """A rule that is not the derivative is found in every context."""
    f = cv.custom_jvp(plain)
    f.defjvp(lambda p, t: (f(*p), 5.0 * t[0]))
    g = cv.custom_vjp(plain)
    g.defvjp(lambda x: (g(x), None), lambda _, ct: (5.0 * ct,))

    def five(x: Any) -> Any:
        return cv.lax.stop_gradient(plain(x) - 5.0 * x) + 5.0 * x

    expected = cv.grad(outer(five))(0.3)
    for h in (f, g):
        onp.testing.assert_allclose(cv.grad(outer(h))(0.3), expected, 1e-5)
        onp.testing.assert_allclose(cv.jit(cv.grad(outer(h)))(0.3), expected, 1e-5)
    onp.testing.assert_allclose(cv.jvp(outer(f), (0.3,), (1.0,))[1], expected, 1e-5)


def test_trees_integers_keywords_and_defaults() -> None:
    @cv.custom_vjp
    def f(params: Any, i: Any, scale: Any = 2.0) -> Any:
        return {"y": params["w"] * i * scale, "i": i + 1}

    def fwd(params: Any, i: Any, scale: Any) -> Any:
        return f(params, i, scale), (i, scale)

    f.defvjp(fwd, lambda r, ct: ({"w": ct["y"] * r[0] * r[1], "b": None}, None, None))
    params = {"w": 3.0, "b": np.ones(2)}
    for h in (f, cv.jit(f)):
        gradient = cv.grad(lambda p, h=h: h(p, i=4)["y"])(params)
        assert float(gradient["w"]) == 8
        assert gradient["b"].tolist() == [0, 0]
        out, pullback = cv.vjp(lambda i, h=h: h(params, i), 4)
        assert int(out["i"]) == 5
        assert pullback({"y": 1.0, "i": FLOAT0})[0].dtype == cv.dtypes.float0

    g = cv.custom_jvp(lambda x, i: (x * i, i + 1))
    g.defjvp(lambda p, t: (g(*p), (t[0] * p[1], t[1])))
    assert float(cv.grad(lambda x: cv.jit(g)(x, 3)[0])(2.0)) == 3
    (_, i), (t, zero) = cv.jvp(g, (2.0, 3), (1.0, FLOAT0))
    assert (int(i), float(t), zero.dtype) == (4, 3.0, cv.dtypes.float0)


def test_defjvps() -> None:
    f = cv.custom_jvp(lambda x, y, z: np.sin(x) * y + z)
    f.defjvps(lambda t, out, x, y, z: np.cos(x) * y * t, lambda t, out, x, y, z: 7.0 * t, None)
    assert [float(g) for g in cv.grad(f, (1, 2))(1.0, 2.0, 3.0)] == [7.0, 0.0]
    onp.testing.assert_allclose(cv.grad(cv.jit(f))(1.0, 2.0, 3.0), onp.cos(1.0) * 2, 1e-6)


def test_arguments_that_are_not_differentiated() -> None:
    @functools.partial(cv.custom_jvp, nondiff_argnums=(0,))
    def apply(f: Any, x: Any) -> Any:
        return f(x)

    apply.defjvp(lambda f, p, t: (f(p[0]), 2 * f(p[0]) * t[0]))

    @functools.partial(cv.custom_vjp, nondiff_argnames=("low", "high"))
    def clipped(low: float, high: float, x: Any) -> Any:
        return x

    clipped.defvjp(
        lambda low, high, x: (x, None), lambda low, high, _, ct: (np.clip(ct, low, high),)
    )
    for wrap in (lambda f: f, cv.jit):
        found = cv.grad(wrap(lambda x: apply(np.exp, x)))(0.0)
        assert float(found) == 2.0
        assert float(cv.grad(wrap(lambda x: 9 * clipped(-1.0, high=2.0, x=x)))(0.0)) == 2.0
    with pytest.raises(cv.errors.UnexpectedTracerError, match="argument 0 of clipped"):
        cv.jit(lambda low: clipped(low, 1.0, 1.0))(0.0)
    with pytest.raises(ValueError, match="has no argument 'q'"):
        cv.custom_vjp(plain, nondiff_argnames="q")
    g = cv.custom_vjp(plain, nondiff_argnums=(3,))
    g.defvjp(lambda x: (x, x), lambda r, ct: ct)
    with pytest.raises(ValueError, match="nondiff_argnums="):
        g(1.0)


def test_symbolic_zeros() -> None:
    seen: list[Any] = []
    f = cv.custom_jvp(lambda x, y: x * y)

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append([isinstance(t, SymbolicZero) for t in tangents])
        (x, y), (t, _) = primals, tangents
        return x * y, t * y

    f.defjvp(rule, symbolic_zeros=True)
    g = cv.custom_vjp(lambda x, y: (x * y, x + y))

    def fwd(x: CustomVJPPrimal, y: CustomVJPPrimal) -> Any:
        seen.append([x.perturbed, y.perturbed])
        a, b = custom_vjp_primal_tree_values((x, y))
        return (a * b, a + b), b

    def bwd(b: Any, cts: Any) -> Any:
        seen.append([isinstance(c, SymbolicZero) and c.shape == () for c in cts])
        return cts[0] * b, cts[1]

    g.defvjp(fwd, bwd, symbolic_zeros=True)
    for wrap in (lambda h: h, cv.jit):
        seen.clear()
        assert float(cv.grad(wrap(lambda x: f(x, 3.0)))(2.0)) == 3.0
        assert seen == [[False, True]]
        seen.clear()
        assert float(cv.grad(wrap(lambda x: g(x, 3.0)[0]))(2.0)) == 3.0
        assert seen == [[True, False], [False, True]]


def test_pythons_control_flow_on_values() -> None:
    f = cv.custom_jvp(lambda x: x if x > 0 else 2 * x)
    f.defjvp(lambda p, t: (f(*p), t[0] if p[0] > 0 else 3 * t[0]))
    assert [float(cv.grad(f)(x)) for x in (1.0, -1.0)] == [1.0, 3.0]


@pytest.mark.parametrize("make", [with_jvp, with_vjp, lambda: cv.checkpoint(plain)])
def test_rules_in_branches_and_loops(make: Any) -> None:
    def uses(f: Function) -> list[Function]:
        return [
            lambda x: cv.lax.cond(x > 0.2, f, np.cos, x),
            lambda x: cv.lax.switch(np.int32(1), [np.sin, f], x),
            lambda x: cv.lax.fori_loop(0, 3, lambda _, c: f(c), x),
            lambda x: cv.lax.scan(
                lambda c, k: (cv.lax.cond(k > 0, f, np.cos, c), None), x, np.array([1, 0, 1])
            )[0],
        ]

    for f, g in zip(uses(make()), uses(plain), strict=True):
        onp.testing.assert_allclose(cv.jit(cv.grad(f))(0.3), cv.grad(g)(0.3), 1e-5)
        onp.testing.assert_allclose(cv.grad(cv.grad(f))(0.3), cv.grad(cv.grad(g))(0.3), 1e-4)
        xs = onp.array([0.3, 0.1], "float32")
        onp.testing.assert_allclose(cv.vmap(cv.grad(f))(xs), cv.vmap(cv.grad(g))(xs), 1e-5)


# --------------------------------------------------------------------------------------------------------- closures


def closing(kind: str, c: Any, x: Any) -> Any:
    def fun(x: Any) -> Any:
        return np.sin(x) * c

    if kind == "jvp":
        f = cv.custom_jvp(fun)
        f.defjvp(lambda p, t: (f(*p), np.cos(p[0]) * c * t[0]))
        return f(x)
    g = cv.custom_vjp(fun)
    g.defvjp(lambda x: (fun(x), x), lambda r, ct: (np.cos(r) * c * ct,))
    return g(x)


def _root(f: Function) -> Function:
    return lambda x: lax.custom_root(
        lambda y: y - f(f(f(x))), x, lambda r, y: y - r(y), lambda line, y: y / line(1.0)
    )


# What holds a function that has no forward mode, three times; each pushes tangents on the way to a gradient.
HOLDERS: dict[str, Callable[[Function], Function]] = {
    "times": lambda f: lambda x: lax.fori_loop(0, np.int32(x * 0 + 3), lambda _, c: f(c), x),
    "while": lambda f: (
        lambda x: lax.while_loop(
            lambda c: c[0] < 3,
            lambda c: (c[0] + 1, lax.cond(c[0] >= 0, f, lambda x: x, c[1])),
            (0, x),
        )[1]
    ),
    "scan_in_while": lambda f: (
        lambda x: lax.while_loop(
            lambda c: c[0] < 1,
            lambda c: (c[0] + 1, lax.scan(lambda c, _: (f(c), None), c[1], length=3)[0]),
            (0, x),
        )[1]
    ),
    "switch": lambda f: lambda x: lax.switch(np.int32(x * 0) + 1, [f, lambda x: f(f(f(x)))], x),
    "sequential_vmap": lambda f: cv.custom_batching.sequential_vmap(lambda x: f(f(f(x)))),
    "custom_root": _root,
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_gradient_needs_no_forward_mode(holder: str) -> None:
    f, g = HOLDERS[holder](with_vjp()), lambda x: plain(plain(plain(x)))
    wanted = cv.grad(g)(0.5)
    rows = np.array([0.5, 0.7])
    for found in (
        cv.grad(f)(0.5),
        cv.jit(cv.grad(f))(0.5),
        cv.vmap(cv.grad(f))(rows)[0],
        cv.grad(lambda x: np.sum(cv.vmap(f)(x)))(rows)[0],
        cv.grad(cv.checkpoint(f))(0.5),
    ):
        onp.testing.assert_allclose(found, wanted, 2e-5)
    onp.testing.assert_allclose(cv.grad(cv.grad(f))(0.5), cv.grad(cv.grad(g))(0.5), 1e-4)
    with pytest.raises(TypeError, match="can't apply forward-mode"):
        cv.jvp(f, (0.5,), (1.0,))


def _by_reference(x: Any) -> Any:
    ref = cv.new_ref(x)
    lax.fori_loop(0, 2, lambda i, _: ref.__setitem__(..., plain(ref[...])), None)
    return ref[...]


# What a rule may hand its tangents to, beside values: loops and branches that compute both at once.
JOINT: dict[str, Function] = {
    "jit": cv.jit(plain),
    "cond": lambda x: lax.cond(x > 0.2, plain, np.cos, x),
    "scan": lambda x: lax.fori_loop(
        0, 2, lambda i, c: lax.cond(c > 0.1, lambda: plain(c), lambda: c * i), x
    ),
    "while": lambda x: lax.while_loop(lambda c: c > 0.01, plain, x),
    "reference": _by_reference,
}


@pytest.mark.parametrize("name", JOINT)
def test_a_rule_may_be_the_jvp_of_the_function(name: str) -> None:
    f = JOINT[name]
    g = cv.custom_jvp(f)
    g.defjvp(lambda primals, tangents: cv.jvp(f, primals, tangents))
    wanted = cv.grad(f)(0.5)
    for found in (cv.grad(g)(0.5), cv.jit(cv.grad(g))(0.5), cv.grad(cv.jit(g))(0.5)):
        onp.testing.assert_allclose(found, wanted, 2e-5)
    onp.testing.assert_allclose(cv.vmap(cv.grad(g))(np.array([0.5, 0.5])), [wanted] * 2, 2e-5)
    onp.testing.assert_allclose(cv.grad(cv.grad(g))(0.5), cv.grad(cv.grad(f))(0.5), 1e-4)


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_closures_over_traced_values(kind: str) -> None:
    def h(c: Any, x: Any) -> Any:
        return closing(kind, c, x)

    slope = onp.cos(1.0)
    for f in (h, cv.jit(h)):
        assert cv.jit(cv.grad(f, 1))(2.0, 1.0) == pytest.approx(2 * slope)
        assert cv.grad(f, 1)(2.0, 1.0) == pytest.approx(2 * slope)
        found = cv.vmap(cv.grad(f, 1), (0, None))(np.arange(3.0), 1.0)
        onp.testing.assert_allclose(found, onp.arange(3) * slope, 1e-6)
        for g in (cv.vmap(f, (0, None)), cv.jit(cv.vmap(f, (0, None)))):
            found = cv.grad(lambda x, g=g: g(np.arange(3.0), x).sum())(1.0)
            assert found == pytest.approx(3 * slope)

    def looped(x: Any) -> Any:
        c = cv.lax.stop_gradient(x) + 1.0
        return cv.lax.scan(lambda y, _: (h(c, y), None), x, None, length=3)[0]

    def expected(x: Any) -> Any:
        c = cv.lax.stop_gradient(x) + 1.0
        for _ in range(3):
            x = np.sin(x) * c
        return x

    assert cv.grad(looped)(1.0) == pytest.approx(cv.grad(expected)(1.0))


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_what_is_closed_over_is_not_differentiated_in_silence(kind: str) -> None:
    def h(c: Any, x: Any) -> Any:
        return closing(kind, c, x)

    def looped(c: Any) -> Any:
        return cv.lax.scan(lambda y, _: (h(c, y), None), 1.0, None, length=3)[0]

    for f in (h, cv.jit(h), lambda c, x: looped(c)):
        for g in (cv.grad(f), cv.jit(cv.grad(f))):
            with pytest.raises(cv.errors.ClosedOverError, match=r"\(at test_custom.* closes over"):
                g(2.0, 1.0)


def test_an_exception_of_ours_alone_may_pass_two_boundaries() -> None:
    """The traceback of the first exception, all of our frames, was left as None, and read again."""

    def h(c: Any, x: Any) -> Any:
        return closing("jvp", c, x)

    with cv.config.override(trim_tracebacks=True), pytest.raises(cv.errors.ClosedOverError):
        cv.jit(cv.grad(h))(2.0, 1.0)


# ------------------------------------------------------------------------------------------------------------- cost


def test_a_function_is_staged_once_for_each_signature() -> None:
    calls: list[str] = []

    def fun(x: Any) -> Any:
        calls.append("fun")
        return np.sin(x)

    f = cv.custom_vjp(fun)
    f.defvjp(
        lambda x: (calls.append("fwd"), (np.sin(x), x))[1],
        lambda x, ct: (calls.append("bwd"), (np.cos(x) * ct,))[1],
    )

    def many(x: Any) -> Any:
        for _ in range(300):
            x = f(x)
        return x

    cv.jit(cv.grad(cv.jit(many)))(0.5)
    assert calls == ["fun", "fwd", "bwd"]
    program = cv.make_jaxpr(many)(0.5).program
    assert len(program.eqns) == 300
    assert len({id(eqn.primitive.program) for eqn in program.eqns}) == 1


def test_a_dropped_function_goes_with_its_rules() -> None:
    f = with_vjp()
    cv.grad(cv.jit(f))(0.5)
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None


# --------------------------------------------------------------------------------------------------- wrong rules


def jvp_rule(rule: Any) -> Any:
    f = cv.custom_jvp(lambda x: {"a": x, "b": 2 * x})
    f.defjvp(rule)
    return cv.grad(lambda x: f(x)["a"]), cv.grad(cv.jit(lambda x: f(x)["a"]))


WRONG_JVPS = {
    "must return a pair": lambda p, t: 1,
    r"structure of its results .*\n.*'b': \*": lambda p, t: ({"a": p[0], "b": p[0]}, {"a": t[0]}),
    r"result\['b'\] is float32\*\[\], its tangent float32\[2\]": lambda p, t: (
        {"a": p[0], "b": p[0]},
        {"a": t[0], "b": np.ones(2)},
    ),
    "depend on the tangents": lambda p, t: ({"a": p[0], "b": t[0]}, {"a": t[0], "b": t[0]}),
    "its tangent int32": lambda p, t: ({"a": p[0], "b": p[0]}, {"a": t[0], "b": np.ones((), int)}),
    "'s' of type str": lambda p, t: ({"a": p[0], "b": "s"}, {"a": t[0], "b": t[0]}),
}


@pytest.mark.parametrize("message", WRONG_JVPS)
def test_wrong_jvp_rules(message: str) -> None:
    for gradient in jvp_rule(WRONG_JVPS[message]):
        with pytest.raises(TypeError, match=message) as caught:
            gradient(1.0)
        assert "test_custom_rules.py" in str(caught.value)


def right_fwd(x: Any, w: Any) -> Any:
    return x * w["a"], (x, w)


WRONG_VJPS: dict[str, tuple[Any, Any]] = {
    "must return a pair": (lambda x, w: 1, lambda r, ct: (ct, None)),
    r"the residual\[1\] of .* is 's'": (lambda x, w: (x, (x, "s")), lambda r, ct: (ct, None)),
    "must return a tuple of 2 cotangents": (right_fwd, lambda r, ct: ct),
    r"tuple of 2 .* it returned \(": (right_fwd, lambda r, ct: (ct,)),
    r"structure of the arguments .*\n.*\n": (right_fwd, lambda r, ct: (ct, ct)),
    r"structure of the arguments": (right_fwd, lambda r, ct: (ct, {"a": ct})),
    r"w\['b'\] is float32\[2\], its cotangent float32\[3\]": (
        right_fwd,
        lambda r, ct: (ct, {"a": None, "b": np.ones(3)}),
    ),
    r"w\['a'\] is float32\*\[\], its cotangent complex64": (
        right_fwd,
        lambda r, ct: (ct, {"a": np.ones((), complex), "b": None}),
    ),
}


@pytest.mark.parametrize("message", WRONG_VJPS)
def test_wrong_vjp_rules(message: str) -> None:
    f = cv.custom_vjp(lambda x, w: x * w["a"])
    f.defvjp(*WRONG_VJPS[message])
    w = {"a": 2.0, "b": np.ones(2)}
    for h in (lambda x: f(x, w), cv.jit(lambda x: f(x, w))):
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            cv.grad(h)(1.0)
        assert "test_custom_rules.py" in str(caught.value)


def test_other_misuse() -> None:
    with pytest.raises(AttributeError, match="no rule is defined for the custom_jvp function"):
        cv.custom_jvp(plain)(1.0)
    with pytest.raises(AttributeError, match="give it one with defvjp"):
        cv.custom_vjp(plain)(1.0)
    with pytest.raises(TypeError, match="x is 'a' of type str"):
        with_vjp()("a")
    with pytest.raises(TypeError, match="custom_jvp takes a function"):
        cv.custom_jvp(3)  # type: ignore[arg-type]
    f = cv.custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: t)
    with pytest.raises(TypeError, match="rules were given to defjvps"):
        cv.grad(f)(1.0, 2.0)
    with pytest.raises(NotImplementedError, match="optimize_remat"):
        with_vjp().defvjp(
            lambda x: (x, x), lambda r, ct: ct, symbolic_zeros=True, optimize_remat=True
        )


@pytest.mark.parametrize(
    "tangent",
    [
        lambda t: t**2, lambda t: t * t, np.sin, lambda t: 1 / t, abs, lambda t: np.maximum(t, 0),
        lambda t: np.where(t > 0, t, 0), lambda t: np.vdot(t, t),
    ],
)  # fmt: skip
def test_a_rule_that_is_not_linear_is_told(tangent: Any) -> None:
    f = cv.custom_jvp(lambda x: x * 2)
    f.defjvp(lambda primals, tangents: (primals[0], tangent(tangents[0])))
    for slope in (cv.grad(f), cv.jit(cv.grad(f)), cv.grad(cv.jit(f))):
        with pytest.raises(TypeError, match=r"test_custom_rules.*that is not linear: a custom_jvp"):
            slope(1.0)


def counted(f: Any, *args: Any) -> dict[str, int]:
    """How often functions are computed, loops and branches counted once."""
    found: dict[str, int] = {}

    def walk(jaxpr: Any) -> None:
        for eqn in jaxpr.eqns:
            name = eqn.primitive.name
            if name in ("exp", "tanh", "log"):
                found[name] = found.get(name, 0) + 1
            for inner in eqn.params.values():
                for x in inner if isinstance(inner, tuple | list) else [inner]:
                    if hasattr(x, "jaxpr"):
                        walk(x.jaxpr)

    walk(cv.make_jaxpr(f)(*args).jaxpr)
    return found


def both_at_once(x: Any, t: Any) -> Any:
    y = np.exp(np.tanh(x))
    return y * 0.5, np.log(y) * t


BOTH: dict[str, Any] = {
    "jit": cv.jit(both_at_once),
    "scan": lambda x, t: lax.scan(lambda c, k: (both_at_once(*c), k * c[1]), (x, t), x[:2])[0],
    "scan over tangents": lambda x, t: lax.scan(
        lambda c, s: (np.exp(c), (np.tanh(c), s * np.log(c))), x[0], t
    )[1],
    "cond": lambda x, t: lax.cond(x[0] > 0, both_at_once, lambda x, t: (x, t * x), x, t),
    "loop in a branch": lambda x, t: lax.switch(
        1, [lambda x, t: (x, t), lambda x, t: BOTH["scan"](x, t)], x, t
    ),
}


@pytest.mark.parametrize("name", BOTH)
def test_what_rules_compute_beside_tangents_is_computed_once(name: str) -> None:
    """In one loop, one choice, or one call with what is done to tangents."""
    rule = BOTH[name]
    f = cv.custom_jvp(lambda x: rule(x, x)[0])
    f.defjvp(lambda primals, tangents: rule(primals[0], tangents[0]))
    x, ones = np.array([0.3, 0.7, 1.1]), np.ones(3)
    loss = lambda x: np.sum(f(x))  # noqa: E731
    assert counted(cv.grad(loss), x) == {"exp": 1, "tanh": 1, "log": 1}
    _, wanted = cv.jvp(f, (x,), (ones,))
    onp.testing.assert_allclose(cv.linearize(f, x)[1](ones), wanted, 1e-5)
    for slope in (cv.grad(loss), cv.jit(cv.grad(loss)), cv.grad(cv.jit(loss))):
        onp.testing.assert_allclose(slope(x).sum(), wanted.sum(), 1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit])
def test_a_custom_vjp_in_the_rule_of_a_custom_jvp(wrap: Any) -> None:
    """Some of its arguments have the tangents that the rule was given, which are zeros."""

    def f(t: Any) -> Any:
        return {"a": np.sin(t["a"]), "b": (t["b"][0] * t["a"], t["b"][1])}

    pulled = cv.custom_vjp(f)
    pulled.defvjp(lambda t: cv.vjp(f, t), lambda pullback, ct: pullback(ct))
    pushed = cv.custom_jvp(lambda t: pulled(t))
    pushed.defjvp(lambda p, t: cv.jvp(pulled, p, t))
    x, b = np.arange(3.0), (np.ones(3), np.array(1))
    g = wrap(pushed)
    for slope in (
        cv.grad(lambda a: g({"a": a, "b": b})["a"].sum())(x),
        cv.jit(cv.grad(lambda a: g({"a": a, "b": b})["a"].sum()))(x),
        cv.vjp(lambda a: g({"a": a, "b": b})["a"], x)[1](np.ones(3))[0],
        np.diag(cv.jacrev(lambda a: g({"a": a, "b": b})["a"])(x)),
    ):
        onp.testing.assert_allclose(slope, onp.cos(x), rtol=1e-6)
