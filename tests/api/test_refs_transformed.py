"""Mutable references under `vmap`, derivatives, custom rules and `checkpoint`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.api.test_refs import refused

import covector as cv
import covector.numpy as cnp
from covector import lax

# -------------------------------------------------------------------------------------------------------- vmap


def test_vmap_over_refs() -> None:
    def distance(x: Any, y: Any, out: Any) -> None:
        assert out.shape == ()
        out[...] = cnp.sum((x - y) ** 2)

    points = cnp.arange(12.0).reshape(3, 4)
    wanted = ((np.asarray(points)[:, None] - np.asarray(points)[None]) ** 2).sum(-1)
    for wrap in (lambda f: f, cv.jit):
        out = cv.new_ref(cnp.zeros((3, 3)))
        wrap(cv.vmap(cv.vmap(distance, (0, None, 0)), (None, 0, 1)))(points, points, out)
        np.testing.assert_allclose(out[...], wanted)


def test_each_element_has_its_part() -> None:
    ref = cv.new_ref(cnp.zeros((2, 3)))

    def f(i: Any, r: Any) -> Any:
        r[i] = 1.0
        lax.fori_loop(0, i, lambda j, _: r.__setitem__(j, 5.0 + r[j]), None)
        return r[...].sum()

    sums = cv.vmap(f, (0, 1))(cnp.array([0, 1, 1]), ref)
    assert ref[...].tolist() == [[1, 5, 5], [0, 1, 1]]
    assert sums.tolist() == [1, 6, 6]
    ref[...] = 0.0
    cv.vmap(lambda x, r: r.__setitem__(..., 2.0))(cnp.arange(2), ref)
    assert ref[...].tolist() == [[2, 2, 2]] * 2


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit])
def test_what_vmap_refuses(wrap: Any) -> None:
    ref, xs = cv.new_ref(0.0), cnp.arange(3.0)
    outside = wrap(lambda x: ref.__setitem__(..., x))
    refused(ValueError, "that it closes over", cv.vmap(outside), xs)
    refused(
        ValueError, "that it closes over", cv.vmap(wrap(lambda x: ref.__setitem__(..., 1.0))), xs
    )
    given = wrap(lambda x, r: r.__setitem__(..., x))
    refused(ValueError, "in_axes entry None", cv.vmap(given, (0, None)), xs, ref)
    cv.vmap(wrap(lambda x, r: r.__setitem__(..., 4.0)), (0, None))(xs, ref)
    assert float(ref[...]) == 4
    assert cv.vmap(wrap(lambda x: x * ref[...]))(xs).tolist() == [0, 4, 8]


# ------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("outer", [lambda f: f, cv.jit])
@pytest.mark.parametrize("inner", [lambda f: f, cv.jit])
def test_what_is_differentiated_does_not_leave(outer: Any, inner: Any) -> None:
    ref = cv.new_ref(0.0)

    def writes(x: Any) -> Any:
        ref[...] += x * 2
        return x * x

    def detached(x: Any) -> Any:
        ref[...] += lax.stop_gradient(x * 2)
        return x * x + ref[...] * x

    refused(TypeError, "being differentiated", outer(cv.grad(inner(writes))), 3.0)
    assert float(ref[...]) == 0
    assert float(outer(cv.grad(inner(detached)))(3.0)) == 12
    assert float(ref[...]) == 6
    passed = outer(cv.grad(inner(lambda x, r: x * r[...])))
    assert float(passed(3.0, ref)) == 6
    refused(TypeError, "being differentiated", lambda: cv.jvp(inner(writes), (1.0,), (1.0,)))


def test_second_derivatives_through_refs() -> None:
    def f(x: Any) -> Any:
        ref = cv.new_ref(cnp.zeros(3))
        ref[0] = x

        def step(c: Any, i: Any) -> Any:
            ref[i + 1] = ref[i] * ref[i] * c
            return c, None

        lax.scan(step, x, cnp.arange(2))
        return ref[2]  # x ** 7

    x = 1.3
    assert np.isclose(cv.grad(f)(x), 7 * x**6)
    assert np.isclose(cv.grad(cv.grad(f))(x), 42 * x**5)
    assert np.isclose(cv.jit(cv.hessian(f))(x), 42 * x**5)
    assert np.isclose(cv.jacfwd(cv.grad(cv.jit(f)))(x), 42 * x**5)


@cv.custom_vjp
def stash(ref: Any, x: Any) -> Any:
    return x


def _backward(ref: Any, ct: Any) -> Any:
    ref[...] = ct
    return None, ct


stash.defvjp(lambda ref, x: (x, ref), _backward)


def test_gradients_are_taken_out_on_the_way_back() -> None:
    ref = cv.new_ref(0.0)

    def f(x: Any, ref: Any) -> Any:
        return cnp.sin(stash(ref, x))

    for wrap in (lambda g: g, cv.jit):
        ref[...] = 0.0
        np.testing.assert_allclose(wrap(cv.grad(f))(1.0, ref), np.cos(1.0), rtol=1e-6)
        np.testing.assert_allclose(ref[...], np.cos(1.0), rtol=1e-6)
    assert f(1.0, ref) == cv.jit(f)(1.0, ref)
    _, pullback = cv.vjp(lambda x: f(x, ref), cnp.float32(2.0))
    pullback(cnp.float32(3.0))
    np.testing.assert_allclose(ref[...], 3 * np.cos(2.0), rtol=1e-6)
    many = cv.new_ref(cnp.zeros(3))
    xs = cnp.arange(3.0)
    cv.vmap(cv.grad(f))(xs, many)
    np.testing.assert_allclose(many[...], np.cos(np.arange(3.0)), rtol=1e-6)


WRAPS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda f: cv.grad(f),
    "jit inside": lambda f: cv.grad(cv.jit(f)),
    "jits inside": lambda f: cv.grad(cv.jit(lambda *xs: cv.jit(f)(*xs))),
    "jit outside": lambda f: cv.jit(cv.grad(f)),
    "jit on both sides": lambda f: cv.jit(cv.grad(cv.jit(f))),
}


@pytest.mark.parametrize("where", ["function", "forward", "backward"])
@pytest.mark.parametrize("how", WRAPS)
@pytest.mark.parametrize("argument", [False, True])
def test_custom_rules_touch_refs_wherever_they_are_staged(
    how: str, where: str, argument: bool
) -> None:
    """A function with a custom rule, or its rule, reads a Ref and adds to it: as often as it would without jit."""
    outside = cv.new_ref(5.0)

    def touch(at: str, ref: Any, x: Any) -> Any:
        if at == where:
            ref[...] += x
        return ref[...]

    @cv.custom_vjp
    def f(ref: Any, x: Any) -> Any:
        return x * touch("function", ref, x)

    def forward(ref: Any, x: Any) -> Any:
        return f(ref, x), (ref, touch("forward", ref, x))

    def backward(kept: Any, ct: Any) -> Any:
        ref, value = kept
        return None, value * ct + touch("backward", ref, ct)

    f.defvjp(forward, backward)
    if argument:
        call = WRAPS[how](lambda x, ref: 3 * f(ref, x))
        found = [float(call(2.0, outside)), float(call(2.0, outside))]
    else:
        call = WRAPS[how](lambda x: 3 * f(outside, x))
        found = [float(call(2.0)), float(call(2.0))]
    each = 3.0 if where == "backward" else 2.0
    assert float(outside[...]) == 5 + 2 * each
    value = 5.0 if where == "backward" else 7.0
    assert found == [3 * value + 5 + each, 3 * (value + each) + 5 + 2 * each]
    plain = cv.jit(lambda x: f(outside, x))
    before = float(outside[...])
    assert float(plain(2.0)) == 2 * float(outside[...])
    assert float(outside[...]) == before + (2.0 if where == "function" else 0.0)


def test_custom_rules_of_every_kind_read_refs_under_jit() -> None:
    ref = cv.new_ref(5.0)

    @cv.custom_jvp
    def pushed(x: Any) -> Any:
        return x * ref[...]

    pushed.defjvp(lambda p, t: (pushed(p[0]), t[0] * 2 * ref[...]))

    @cv.custom_batching.custom_vmap
    def mapped(x: Any) -> Any:
        return x * ref[...]

    mapped.def_vmap(lambda size, batched, x: (x * ref[...] + 1, True))
    for f in (pushed, cv.jit(pushed), cv.jit(lambda x: cv.jit(pushed)(x))):
        assert float(f(3.0)) == 15
        assert float(cv.jit(cv.grad(f))(3.0)) == float(cv.grad(f)(3.0)) == 10
        np.testing.assert_array_equal(cv.vmap(cv.grad(f))(np.ones(2)), [10, 10])
        assert tuple(map(float, cv.jvp(f, (3.0,), (1.0,)))) == (15, 10)
    for f in (mapped, cv.jit(mapped)):
        assert float(f(3.0)) == 15
        assert float(cv.grad(f)(3.0)) == 5
        np.testing.assert_array_equal(cv.vmap(f)(np.ones(2)), [6, 6])
        np.testing.assert_array_equal(cv.jit(cv.vmap(f))(np.ones(2)), [6, 6])
    ref[...] = 6.0  # it is read when the function is called, not when it was compiled
    assert float(cv.grad(cv.jit(pushed))(3.0)) == 12


def test_a_rule_says_nothing_of_the_cotangent_of_a_ref() -> None:
    @cv.custom_vjp
    def f(ref: Any, x: Any) -> Any:
        return x

    f.defvjp(lambda ref, x: (x, None), lambda _, ct: (ct, ct))
    refused(TypeError, "None for the cotangent", cv.grad(lambda x: f(cv.new_ref(0.0), x)), 1.0)


def test_custom_jvp_takes_refs() -> None:
    @cv.custom_jvp
    def f(ref: Any, x: Any) -> Any:
        return ref[...] * x

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (ref, x), (_, t) = primals, tangents
        return f(ref, x), 2 * ref[...] * t

    ref = cv.new_ref(3.0)
    assert float(f(ref, 2.0)) == 6
    assert float(cv.grad(lambda x: f(ref, x))(2.0)) == 6


def test_a_checkpointed_function_writes_once() -> None:
    count, out = cv.new_ref(0), cv.new_ref(0.0)

    @cv.checkpoint
    def f(x: Any, out: Any) -> Any:
        count[...] += 1
        inner = cv.new_ref(x)
        inner[...] = cnp.sin(inner[...])
        out[...] = 7.0
        return inner[...] * inner[...]

    for n, run in enumerate((f, cv.grad(f), cv.jit(cv.grad(f)), cv.grad(cv.jit(f))), start=1):
        out[...] = 0.0
        found = float(run(1.0, out))
        wanted = np.sin(1.0) ** 2 if n == 1 else np.sin(2.0)
        assert np.isclose(found, wanted)
        assert int(count[...]) == n
        assert float(out[...]) == 7


# ------------------------------------------------------------------------------------- gradients put in references


@pytest.mark.parametrize("wrap", [lambda f: f, cv.jit])
def test_gradients_of_refs_are_added_to_refs(wrap: Any) -> None:
    def f(ref: Any) -> Any:
        return ref[...] ** 2

    def g(ref: Any) -> Any:
        ref[...] = cnp.sin(ref[...])
        return ref[...] ** 2

    ref, gradient = cv.new_ref(2.0), cv.new_ref(100.0)
    _, pullback = cv.vjp(wrap(f), ref)
    assert repr(pullback.with_refs(gradient)(1.0)) == "(GradRef(),)"
    assert float(gradient[...]) == 104
    pullback.with_refs(gradient)(0.5)
    assert float(gradient[...]) == 106
    assert float(ref[...]) == 2
    refused(TypeError, "with_refs", pullback, 1.0)
    gradient[...] = 0.0
    y, pullback = cv.vjp(wrap(g), ref)
    np.testing.assert_allclose([y, ref[...]], [np.sin(2.0) ** 2, np.sin(2.0)], rtol=1e-6)
    pullback.with_refs(gradient)(1.0)  # with respect to the first value
    np.testing.assert_allclose(gradient[...], 2 * np.sin(2.0) * np.cos(2.0), rtol=1e-6)
    assert repr(pullback.with_refs(cv.ad.DontWant())(1.0)) == "(DidntWant(),)"
    refused(TypeError, "cannot be added", pullback.with_refs, cv.new_ref(cnp.zeros(2)))
    refused(TypeError, "with_refs takes", pullback.with_refs, 3.0)


def test_gradients_of_arrays_are_added_to_refs() -> None:
    total = cv.new_ref(cnp.zeros(10))
    take = cv.jit(lambda x, i: x[i])
    for i in (3, 5, 3):
        _, pullback = cv.vjp(take, cnp.arange(10.0), i)
        pullback.with_refs(total, cv.ad.GradValue())(1.0)
    assert total[...].tolist() == [0, 0, 0, 2, 0, 1, 0, 0, 0, 0]
    _, pullback = cv.vjp(lambda p, x: p["w"] * p["b"] * x, {"w": 2.0, "b": 3.0}, 5.0)
    w = cv.new_ref(1.0)
    got, x = pullback.with_refs({"w": w, "b": cv.ad.DontWant()}, cv.ad.GradValue())(1.0)
    assert repr(got["w"]) == "GradRef()"
    assert repr(got["b"]) == "DidntWant()"
    assert float(x) == 6
    assert float(w[...]) == 16


def test_gradients_accumulate_over_small_batches() -> None:
    def loss(w: Any, x: Any) -> Any:
        return cnp.mean(cnp.tanh(x @ w))

    def accumulated(w: Any, batches: Any) -> Any:
        total = cv.new_ref(cnp.zeros_like(w))

        def one(_: Any, x: Any) -> Any:
            value, pullback = cv.vjp(lambda w: loss(w, x), w)
            pullback.with_refs(total)(cnp.ones_like(value))
            return None, value

        lax.scan(one, None, batches)
        return cv.freeze(total)

    w, batches = cnp.ones((4, 3)), cnp.arange(60.0).reshape(5, 3, 4) / 60
    wanted = cv.grad(lambda w: sum(loss(w, x) for x in batches))(w)
    for run in (accumulated, cv.jit(accumulated)):
        np.testing.assert_allclose(run(w, batches), wanted, rtol=1e-5)


def test_a_pullback_with_refs_goes_through_jit() -> None:
    fwd = cv.jit(lambda x: cv.vjp(lambda x: cnp.sin(x) * x, x))
    total = cv.new_ref(0.0)

    @cv.jit
    def back(pullback: Any, ct: Any, total: Any) -> Any:
        pullback.with_refs(total)(ct)

    for _ in range(2):
        back(fwd(1.0)[1], 1.0, total)
    np.testing.assert_allclose(total[...], 2 * (np.sin(1.0) + np.cos(1.0)), rtol=1e-6)


def test_functions_of_a_root_may_read() -> None:
    """They are applied at once; what a Ref holds is a constant for them, and they may not write it."""
    ref = cv.new_ref(2.0)

    def root(a: Any) -> Any:
        return lax.custom_root(
            lambda x: x * ref[...] - a,
            1.0,
            lambda f, x: x - f(x) / ref[...],
            lambda g, y: y / g(1.0),
        )

    def twice(a: Any) -> Any:
        return lax.scan(lambda c, _: (root(c), None), a, None, length=2)[0]

    for factor in (2.0, 4.0):
        ref[...] = factor
        for run, wanted in (
            (root, 3 / factor), (cv.jit(root), 3 / factor), (twice, 3 / factor**2),
            (cv.grad(root), 1 / factor), (cv.jit(cv.grad(root)), 1 / factor), (cv.grad(twice), 1 / factor**2),
        ):  # fmt: skip
            assert float(run(3.0)) == wanted
        assert cv.vmap(root)(cnp.ones(2)).tolist() == [1 / factor] * 2

    def writing(x: Any) -> Any:
        ref[...] = 3.0
        return x * 2

    def solve() -> Any:
        return lax.custom_linear_solve(writing, 1.0, lambda f, b: b / 2, symmetric=True)

    refused(TypeError, "a Ref made outside of", solve)
