"""Rules for batching, for linear maps, for solutions; closures as arguments; derivatives of all orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp
import pytest

import covector as cv
import covector.numpy as np
from covector.custom_batching import custom_vmap, sequential_vmap
from covector.custom_derivatives import custom_transpose, linear_call
from covector.experimental.jet import jet, jet2

A = onp.array([[4.0, 1, 0], [2, 5, 1], [0, 1, 3]], "float32")
B = onp.array([1.0, 2, 3], "float32")


def jacobi(a: Any, b: Any) -> Any:
    return cv.lax.fori_loop(0, 60, lambda _, x: x + (b - a @ x) / np.diag(a), b * 0)


def solved(a: Any, b: Any) -> Any:
    return cv.lax.custom_linear_solve(
        lambda x: a @ x, b, lambda _, b: jacobi(a, b), lambda _, b: jacobi(a.T, b)
    )


def close(found: Any, expected: Any) -> None:
    for x, y in zip(cv.tree.leaves(found), cv.tree.leaves(expected), strict=True):
        onp.testing.assert_allclose(x, y, 2e-4, 2e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit], ids=["", "jit"])
def test_linear_systems(wrap: Any) -> None:
    def norm(f: Any) -> Any:
        return lambda a, b: (f(a, b) ** 2).sum()

    f, g = norm(wrap(solved)), norm(jacobi)
    close(wrap(solved)(A, B), onp.linalg.solve(A, B))
    close(cv.grad(f, (0, 1))(A, B), cv.grad(g, (0, 1))(A, B))
    close(cv.jvp(f, (A, B), (A, B))[1], cv.jvp(g, (A, B), (A, B))[1])
    close(cv.hessian(f)(A, B), cv.hessian(g)(A, B))
    batch = onp.stack([A, 1.3 * A])
    for t in (f, g):
        t.batched = cv.vmap(t, (0, None))  # type: ignore[attr-defined]
    close(cv.vmap(cv.grad(f), (0, None))(batch, B), cv.vmap(cv.grad(g), (0, None))(batch, B))
    both = [cv.grad(lambda b, t=t: t.batched(batch, b).sum())(B) for t in (f, g)]
    close(*both)


def test_solvers_with_auxiliary_data_and_without_a_transpose() -> None:
    def f(b: Any) -> Any:
        return cv.lax.custom_linear_solve(
            lambda x: {"k": 3.0 * x["k"]}, b, lambda _, b: ({"k": b["k"] / 3.0}, 7), has_aux=True
        )

    x, aux = cv.jit(f)({"k": 6.0})
    assert float(x["k"]) == 2
    assert int(aux) == 7
    assert float(cv.jvp(lambda b: f({"k": b})[0]["k"], (6.0,), (1.0,))[1]) == pytest.approx(1 / 3)
    with pytest.raises(TypeError, match=r"transpose_solve is required .*differentiation"):
        cv.grad(lambda b: f({"k": b})[0]["k"])(6.0)
    with pytest.raises(TypeError, match=r"matvec .* must return the structure and types of b"):
        cv.lax.custom_linear_solve(lambda x: x[0], B, lambda _, b: b)
    with pytest.raises(TypeError, match="with has_aux=True"):
        cv.lax.custom_linear_solve(lambda x: x, B, lambda _, b: b, has_aux=True)


def cube_root(a: Any) -> Any:
    def newton(f: Any, x: Any) -> Any:
        return cv.lax.fori_loop(0, 30, lambda _, x: x - f(x) / cv.grad(f)(x), x) + 0 * a

    return cv.lax.custom_root(lambda x: x**3 - a, 1.0, newton, lambda g, y: y / g(1.0))


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit], ids=["", "jit"])
def test_roots(wrap: Any) -> None:
    f = wrap(cube_root)
    close(f(8.0), 2.0)
    close(cv.grad(f)(8.0), 1 / 12)
    close(cv.grad(cv.grad(f))(8.0), -2 / 9 * 8 ** (-5 / 3))
    close(cv.jvp(f, (8.0,), (3.0,))[1], 0.25)
    close(cv.vmap(cv.grad(f))(np.array([1.0, 8.0])), onp.array([1 / 3, 1 / 12]))


# ------------------------------------------------------------------------------------------- closures, linear maps


def test_custom_gradient() -> None:
    @cv.custom_gradient
    def f(x: Any, y: Any) -> Any:
        c = np.sin(x)
        return x * y, lambda ct: (ct * c, 5 * ct)

    for g in (f, cv.jit(f)):
        close(cv.grad(g, (0, 1))(1.0, 2.0), (math.sin(1), 5.0))
        close(cv.grad(cv.grad(g))(1.0, 2.0), math.cos(1))
        close(cv.vmap(cv.grad(g), (0, None))(B, 2.0), onp.sin(B))
    with pytest.raises(TypeError, match="must return \\(result, rule\\)"):
        cv.grad(cv.custom_gradient(lambda x: x))(1.0)


def test_closures_become_arguments() -> None:
    def f(c: Any) -> Any:
        pure, values = cv.closure_convert(lambda x: np.sin(x) * c, 1.0)
        assert len(values) == 1
        with pytest.raises(TypeError, match="was converted for arguments"):
            pure((1.0, 2.0), *values)
        return pure(3.0, *values)

    close(cv.grad(f)(2.0), math.sin(3))
    close(cv.jit(cv.grad(f))(2.0), math.sin(3))
    assert cv.closure_convert(lambda x: x + A, 1.0)[1] == []  # what cannot be differentiated stays


def test_linear_calls() -> None:
    def scaled(r: Any, x: Any) -> Any:
        return linear_call(lambda r, x: x * r, lambda r, ct: ct * r * 10, r, x)

    for g in (lambda x: scaled(3.0, x), cv.jit(lambda x: scaled(3.0, x))):
        close([g(2.0), cv.grad(g)(2.0), cv.jvp(g, (2.0,), (1.0,))[1]], [6.0, 30.0, 3.0])
        transposed = cv.linear_transpose(g, 1.0)
        close(transposed(2.0)[0], 60.0)
        close(cv.linear_transpose(lambda y, t=transposed: t(y)[0], 1.0)(2.0)[0], 6.0)
        close(cv.vmap(cv.grad(g))(B), onp.full(3, 30.0))
    close(cv.grad(lambda x: cv.vmap(lambda r: scaled(r, x))(B).sum())(1.0), 60.0)
    with pytest.raises(NotImplementedError, match="with respect to a residual"):
        cv.grad(scaled)(3.0, 2.0)

    f = custom_transpose(lambda r, x: x * r)
    with pytest.raises(AttributeError, match="no transpose is defined"):
        f(cv.typeof(B), 2.0, B)
    f.def_transpose(lambda types, r, ct: ct * r * 7)
    close(cv.grad(lambda x: f(cv.typeof(B), 2.0, x).sum())(B), onp.full(3, 14.0))
    f.def_transpose(lambda r, ct: ct * r * 5)
    close(cv.jit(cv.grad(lambda x: f(cv.typeof(B), 2.0, x).sum()))(B), onp.full(3, 10.0))
    h = cv.custom_jvp(np.sin)
    h.defjvp(lambda p, t: (np.sin(p[0]), f(cv.typeof(t[0]), np.cos(p[0]), t[0])))
    looped = lambda x: cv.lax.scan(lambda c, _: (h(c), None), x, None, length=2)[0]  # noqa: E731
    slope = 25 * onp.cos(onp.sin(1.0)) * onp.cos(1.0)
    close([cv.grad(looped)(1.0), cv.vmap(cv.grad(looped))(onp.ones(1))[0]], [slope, slope])
    close(cv.jvp(looped, (1.0,), (1.0,))[1], slope / 25)
    with pytest.raises(TypeError, match=r"result types float32\[2\].*float32\[3\]"):
        f(cv.typeof(B[:2]), 2.0, B)


# ---------------------------------------------------------------------------------------------------------- batching


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit], ids=["", "jit"])
def test_custom_vmap(wrap: Any) -> None:
    seen: list[Any] = []

    @custom_vmap
    def f(x: Any, y: Any) -> Any:
        return np.sin(x) * y, y

    @f.def_vmap
    def rule(size: Any, batched: Any, x: Any, y: Any) -> Any:
        seen.append((size, batched))
        return (np.sin(x) * y, y), (batched[0] or batched[1], batched[1])

    g = wrap(f)
    values, same = cv.vmap(g, (0, None), (0, None))(B, 2.0)
    close([values, same], [onp.sin(B) * 2, 2.0])
    assert seen == [(3, [True, False])]
    first = lambda x, y: g(x, y)[0]  # noqa: E731
    close(cv.vmap(cv.grad(first), (0, None))(B, 2.0), onp.cos(B) * 2)
    close(cv.grad(lambda y: cv.vmap(first, (0, None))(B, y).sum())(2.0), onp.sin(B).sum())
    close(cv.jvp(lambda y: cv.vmap(first, (0, None))(B, y), (2.0,), (1.0,))[1], onp.sin(B))
    seen.clear()
    pushed = cv.vmap(lambda x: cv.jvp(lambda x: first(x, 2.0), (x,), (1.0,))[1])(B)
    close(pushed, onp.cos(B) * 2)
    assert seen
    nested = cv.vmap(cv.vmap(first, (None, 0)), (0, None))(B, B)
    close(nested, onp.sin(B)[:, None] * B)


def test_sequential_vmap_and_wrong_rules() -> None:
    f = sequential_vmap(lambda x, y: x * y)
    close(cv.vmap(f, (0, None))(B, 2.0), 2 * B)
    close(cv.jit(cv.vmap(f))(B, B), B * B)
    close(cv.grad(lambda x: cv.vmap(f)(x, x).sum())(B), 2 * B)
    wrong = {
        "must return a pair": lambda n, b, x: x,
        "out_batched with the structure": lambda n, b, x: (x, (True, False)),
        "leading axis of size 3": lambda n, b, x: (x[0], True),
    }
    for message, rule in wrong.items():
        g = custom_vmap(lambda x: x)
        with pytest.raises(AttributeError, match="give it one with def_vmap"):
            g(1.0)
        g.def_vmap(rule)
        with pytest.raises(ValueError, match=message):
            cv.vmap(g)(B)


# --------------------------------------------------------------------------------------------------------- Taylor mode

FUNCTIONS: dict[str, Any] = {
    name: getattr(np, name)
    for name in ("sin", "tan", "tanh", "exp", "log", "sqrt", "arctan", "log1p", "cbrt", "sinh")
}
FUNCTIONS |= {
    "power": lambda x: x**2.5,
    "tower": lambda x: x**x,
    "quotient": lambda x: np.sin(x) / (1 + x * x),
    "erf": cv.lax.erf,
    "lgamma": cv.lax.lgamma,
    "maximum": lambda x: np.maximum(x, 0.1) * x,
    "softmax": lambda x: cv.nn.softmax(np.stack([x, 2 * x]))[0],
    "product": lambda x: np.stack([x, x * x]) @ np.stack([np.sin(x), x]),
    "jit": cv.jit(lambda x: np.sin(x) * np.exp(x)),
    "checkpoint": cv.checkpoint(lambda x: np.sin(x) * np.exp(x)),
    "scan": lambda x: cv.lax.scan(lambda c, k: (np.sin(c) * k, None), x, np.arange(3.0))[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jets_are_derivatives_of_derivatives(name: str) -> None:
    f, order = FUNCTIONS[name], 3

    def path(t: Any) -> Any:
        return f(0.4 + t + t**2)

    _, found = cv.jit(lambda x: jet(f, (x,), ([1.0, 2.0, 0.0],)))(0.4)
    for n in range(order):
        path = (lambda g: lambda t: cv.jvp(g, (t,), (1.0,))[1])(path)
        onp.testing.assert_allclose(found[n], cv.jit(path)(0.0), 1e-3, 1e-4)


def test_jets_of_high_order_take_little_work() -> None:
    program = cv.make_jaxpr(lambda x: jet(FUNCTIONS["quotient"], (x,), ([1.0] + [0.0] * 11,)))(0.3)
    assert len(program.eqns) < 2000
    y, found = jet(np.exp, (0.0,), ([1.0] + [0.0] * 7,))
    assert [float(t) for t in (y, *found)] == [1.0] * 9


def test_jets_of_several_arguments_and_results() -> None:
    y, series = jet(
        lambda x, k: {"a": x * k, "b": np.floor(x), "c": k}, (1.5, 2), ([1.0, 0.5], [0, 0])
    )
    assert float(y["a"]) == 3
    assert [float(t) for t in series["a"]] == [2.0, 1.0]
    assert [float(t) for t in series["b"]] == [0.0, 0.0]
    assert series["c"][0].dtype == cv.dtypes.float0
    _, coefficients = jet2(np.exp, (0.0,), ([1.0, 0.0, 0.0],))
    onp.testing.assert_allclose(coefficients, [1, 1 / 2, 1 / 6], 1e-6)
    f = cv.custom_jvp(np.sin)
    f.defjvp(lambda p, t: (f(*p), 3 * np.cos(p[0]) * t[0]))
    _, found = jet(f, (0.4,), ([1.0, 0.0],))
    onp.testing.assert_allclose(found, [3 * math.cos(0.4), -3 * math.sin(0.4)], 1e-6)
    assert cv.grad(lambda x: jet(np.sin, (x,), ([1.0, 0.0],))[1][1])(1.0) == pytest.approx(
        -math.cos(1)
    )
    with pytest.raises(ValueError, match="must have one length"):
        jet(np.multiply, (1.0, 2.0), ([1.0], [1.0, 2.0]))
    with pytest.raises(ValueError, match=r"term 0 of argument 0 is float32\[3\]"):
        jet(np.sin, (1.0,), ([B],))


# ------------------------------------------------------------------------------------------------- arguments of others


def test_two_passes() -> None:
    for jitted in (True, False):
        forward, backward = cv.fwd_and_bwd(lambda x, y: (x * y).sum(), (0, 1), jitted=jitted)
        z, residuals = forward(B, 2.0)
        close([z, *backward(residuals, 1.0)], [12.0, onp.full(3, 2.0), 6.0])
    forward, backward = cv.fwd_and_bwd(lambda x, y: (x * y, {"y": y}), 0, has_aux=True)
    z, residuals, aux = forward(3.0, 2.0)
    close([z, backward(residuals, 1.0), aux["y"]], [6.0, 2.0, 2.0])


def test_complex_derivatives() -> None:
    z = onp.array([1 + 2j, 0.3 - 1j], "complex64")
    for f, slope in (
        (np.exp, onp.exp),
        (lambda z: z * z, lambda z: 2 * z),
        (np.log, lambda z: 1 / z),
    ):
        close(cv.grad(f, holomorphic=True)(z[0]), slope(z[0]))
        for jacobian in (cv.jacfwd, cv.jacrev):
            close(jacobian(f, holomorphic=True)(z), onp.diag(slope(z)))
    close(cv.hessian(lambda z: (z**3).sum(), holomorphic=True)(z), onp.diag(6 * z))
    close(cv.grad(lambda z: np.abs(z) ** 2)(z[0]), 2 * onp.conj(z[0]))
    x = onp.array([0.5, -1.2], "float32")
    close(cv.jacfwd(lambda x: np.exp(1j * x))(x), onp.diag(1j * onp.exp(1j * x)))
    with pytest.raises(TypeError, match="jacrev needs real floating-point results"):
        cv.jacrev(lambda x: np.round(x).astype(int))(x)


def test_integers_among_results_have_jacobians_of_zeros_in_forward_mode() -> None:
    x = onp.array([[0.5, -1.2]], "float32")
    found = cv.jit(cv.jacfwd(lambda x: {"i": np.argsort(x), "b": x > 0, "x": 2 * x, "n": 3}))(x)
    types = {k: (v.shape, v.dtype.name) for k, v in found.items()}
    assert types == {
        "i": ((1, 2, 1, 2), "int32"),
        "b": ((1, 2, 1, 2), "bool"),
        "x": ((1, 2, 1, 2), "float32"),
        "n": ((1, 2), "int32"),
    }
    assert not any(onp.any(found[k]) for k in "ibn")
    close(found["x"].reshape(2, 2), 2 * onp.eye(2))


def test_hessians_of_several_arguments_with_auxiliary_data() -> None:
    def f(x: Any, i: Any, p: Any) -> Any:
        return (p["a"] * x**2 * i).sum(), {"i": i}

    p = {"a": onp.array([1.0, 2.0], "float32")}
    found, aux = cv.hessian(f, (0, 2), has_aux=True)(B[:2], 3, p)
    assert int(aux["i"]) == 3
    close(found[0][0], onp.diag([6.0, 12.0]))
    close(found[0][1]["a"], onp.diag(6 * B[:2]))
    close(found[1]["a"][1]["a"], onp.zeros((2, 2)))


def test_a_solver_of_tangents_may_close_over_what_is_differentiated() -> None:
    def root(a: Any) -> Any:
        """u = a v and v = a²: u = a³"""
        return cv.lax.custom_root(
            lambda d: {"u": d["u"] - a * d["v"], "v": d["v"] - a**2},
            {"u": 1.0, "v": 1.0},
            lambda f, start: {"u": a**3, "v": a**2},
            lambda g, y: {"u": y["u"] + a * y["v"], "v": y["v"]},
        )["u"]

    for run in (lambda f: f, cv.jit):
        onp.testing.assert_allclose(
            [float(x) for x in run(lambda a: (cv.grad(root)(a), cv.grad(cv.grad(root))(a)))(2.0)],
            [12, 12],
        )
