"""References that custom rules touch, wherever they run: the values are those of the same steps in Python."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp

Function = Callable[[Any], Any]
PARTS = ["function", "forward", "backward"]
SOME = [[p for i, p in enumerate(PARTS) if n >> i & 1] for n in range(1, 8)]


def touching(ref: Any, parts: list[str]) -> Function:
    """sin with a rule: the function and the parts of its rule write the reference, in ways that do not commute."""

    @cv.custom_vjp
    def f(x: Any) -> Any:
        if "function" in parts:
            ref[0] = 3 * ref[0] + 1
        return cnp.sin(x)

    def forward(x: Any) -> tuple[Any, Any]:
        if "forward" in parts:
            ref[1] = ref[0] + 2 * ref[1] + lax.stop_gradient(x)
        return cnp.sin(x), (x, ref[1])

    def backward(res: Any, ct: Any) -> Any:
        x, before = res
        if "backward" in parts:
            ref[2] = ref[1] - 2 * ref[2] + ct + before
        return (ct * cnp.cos(x),)

    f.defvjp(forward, backward)
    return f


def by_steps(f: Function, n: int) -> Function:
    def run(x: Any) -> Any:
        for _ in range(n):
            x = f(x)
        return x

    return run


def scanned(f: Function, n: int) -> Function:
    return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=n)[0]


def counted(f: Function, n: int) -> Function:
    return lambda x: lax.fori_loop(0, n, lambda i, c: f(c), x)


def conditional(f: Function, n: int) -> Function:
    def run(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, f(c[1])), (0, x))[1]

    return run


def chosen(f: Function, n: int) -> Function:
    def step(c: Any, i: Any) -> tuple[Any, None]:
        return lax.cond(i < n, f, lambda x: x, c), None

    return lambda x: lax.scan(step, x, cnp.arange(n + 2))[0]


def nested(f: Function, n: int) -> Function:
    assert n == 4
    return scanned(lambda x: counted(cv.jit(f), 2)(x), 2)


def checkpointed(f: Function, n: int) -> Function:
    return cv.checkpoint(scanned(f, n))


def in_steps_checkpointed(f: Function, n: int) -> Function:
    return scanned(cv.checkpoint(f), n)


LOOPS = [scanned, counted, chosen, nested, checkpointed, in_steps_checkpointed]


def outcome(make: Callable[[Function], Function], parts: list[str]) -> list[Any]:
    ref = cv.new_ref(cnp.array([1.0, 2.0, 3.0]))
    g = make(touching(ref, parts))
    return [np.asarray(g(0.7)), np.asarray(ref[...])]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("parts", SOME, ids="-".join)
def test_a_loop_does_what_its_steps_do(loop: Any, parts: list[str]) -> None:
    expected = outcome(lambda f: cv.grad(by_steps(f, 4)), parts)
    for made in (
        lambda f: cv.grad(loop(f, 4)),
        lambda f: cv.jit(cv.grad(loop(f, 4))),
        lambda f: cv.grad(cv.jit(loop(f, 4))),
        lambda f: cv.grad(cv.jit(lambda x: cv.jit(loop(f, 4))(x))),
    ):
        for got, want in zip(outcome(made, parts), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("parts", SOME, ids="-".join)
def test_a_loop_with_a_condition_has_the_results_of_its_functions(parts: list[str]) -> None:
    expected = outcome(lambda f: lambda x: by_steps(f, 4)(x), parts)
    for got, want in zip(outcome(lambda f: conditional(f, 4), parts), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    for made in (
        lambda f: cv.grad(conditional(f, 4)),
        lambda f: cv.grad(cv.jit(conditional(f, 4))),
    ):
        if parts != ["backward"]:
            with pytest.raises(cv.errors.OutsideRefError, match="custom rules"):
                outcome(made, parts)

    def alone(loop: Any) -> list[Any]:
        ref = cv.new_ref(0.0)
        return [cv.grad(lambda x: loop(lambda c: cnp.sin(stash(ref, c)), 4)(x))(0.7), ref[...]]

    np.testing.assert_allclose(alone(conditional), alone(by_steps), rtol=1e-6)


@pytest.mark.parametrize("parts", SOME, ids="-".join)
def test_it_is_done_in_its_place(parts: list[str]) -> None:
    def around(f: Function, ref: Any, loop: Any) -> Function:
        def run(x: Any) -> Any:
            ref[...] = ref[...] * 2
            y = loop(f, 3)(x)
            ref[0] = ref[0] + 10
            return loop(f, 2)(y) * lax.stop_gradient(ref[1])

        return run

    found = []
    for loop, jit in ((by_steps, lambda f: f), (scanned, cv.jit), (counted, lambda f: f)):
        ref = cv.new_ref(cnp.array([1.0, 2.0, 3.0]))
        f = around(touching(ref, parts), ref, loop)
        found.append((cv.grad(jit(f))(0.7), ref[...]))
        ref[...] = cnp.ones(3)
        y, pullback = cv.vjp(jit(f), 0.7)
        middle = ref[...]
        ref[2] = 100.0
        found[-1] += (y, middle, *pullback(2.0), ref[...])
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-6)


@cv.custom_vjp
def stash(ref: Any, x: Any) -> Any:
    return x


def _stashed(ref: Any, ct: Any) -> Any:
    ref[...] = ref[...] * 2 + ct
    return None, ct


stash.defvjp(lambda ref, x: (x, ref), _stashed)


def stashing(loop: Any) -> Callable[[Any, Any], Any]:
    return lambda ref, x: loop(lambda c: cnp.sin(stash(ref, c)), 4)(x)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_references_that_are_arguments(loop: Any) -> None:
    expected: Any = None
    for f, g in (
        (stashing(by_steps), lambda h: lambda r, x: cv.grad(lambda y: h(r, y))(x)),
        (stashing(loop), lambda h: lambda r, x: cv.grad(lambda y: h(r, y))(x)),
        (stashing(loop), lambda h: cv.jit(lambda r, x: cv.grad(lambda y: h(r, y))(x))),
        (stashing(loop), lambda h: lambda r, x: cv.grad(lambda y: cv.jit(h)(r, y))(x)),
    ):
        call = g(f)
        for start in (0.0, 1.0):  # the second time with another reference
            ref = cv.new_ref(start)
            got = call(ref, 0.7), ref[...]
            if expected is None or len(expected) < 2:
                expected = [*(expected or []), got]
            np.testing.assert_allclose(got, expected[int(start)], rtol=1e-6)


@pytest.mark.parametrize("loop", [scanned, counted, chosen], ids=lambda f: f.__name__)
def test_a_reference_with_an_axis(loop: Any) -> None:
    def slope(f: Any) -> Any:
        return lambda r, x: cv.grad(lambda y: f(r, y))(x)

    xs = cnp.array([0.3, 0.7, 1.1])
    refs = cv.new_ref(cnp.arange(3.0))
    got = cv.vmap(slope(stashing(loop)))(refs, xs)
    for i, x in enumerate(xs):
        ref = cv.new_ref(float(i))
        np.testing.assert_allclose(got[i], slope(stashing(by_steps))(ref, x), rtol=1e-6)
        np.testing.assert_allclose(refs[i], ref[...], rtol=1e-6)


def test_what_one_element_writes_for_all_is_refused() -> None:
    ref = cv.new_ref(cnp.zeros(3))
    f = scanned(touching(ref, ["backward"]), 3)
    for g in (cv.vmap(cv.grad(f)), cv.grad(lambda x: cnp.sum(cv.vmap(f)(x)))):
        with pytest.raises(ValueError, match="vmap writes a Ref"):
            g(cnp.arange(2.0))
    with pytest.raises(TypeError, match="being differentiated is written to a Ref"):
        cv.grad(cv.grad(f))(0.7)
    np.testing.assert_array_equal(ref[...], np.zeros(3))
    assert cv.grad(f)(0.7) is not None


def test_second_derivatives_where_values_alone_are_written() -> None:
    def slopes(loop: Any) -> list[Any]:
        ref = cv.new_ref(cnp.array([1.0, 2.0, 3.0]))
        count = cv.new_ref(0)

        @cv.custom_vjp
        def f(x: Any) -> Any:
            return cnp.sin(x)

        def backward(x: Any, ct: Any) -> Any:
            count[...] = count[...] + 1
            return (ct * cnp.cos(x) * ref[1],)

        f.defvjp(lambda x: (cnp.sin(x), x), backward)
        return [cv.grad(cv.grad(loop(f, 3)))(0.7), count[...]]

    expected = slopes(by_steps)
    np.testing.assert_allclose(slopes(scanned), expected, rtol=1e-5)
    np.testing.assert_allclose(slopes(counted), expected, rtol=1e-5)


@pytest.mark.parametrize("loop", [*LOOPS[:4], conditional], ids=lambda f: f.__name__)
def test_rules_forwards(loop: Any) -> None:
    def run(loop: Any, transform: Any) -> list[Any]:
        ref = cv.new_ref(cnp.array([1.0, 2.0]))

        @cv.custom_jvp
        def f(x: Any) -> Any:
            ref[0] = 2 * ref[0]
            return cnp.sin(x)

        @f.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            (x,), (t,) = primals, tangents
            ref[1] = ref[0] + 3 * ref[1]
            return f(x), cnp.cos(x) * t * ref[1]

        return [np.asarray(x) for x in (*transform(loop(f, 4)), ref[...])]

    for transform in (
        lambda f: cv.jvp(f, (0.7,), (1.0,)),
        lambda f: cv.jvp(cv.jit(f), (0.7,), (1.0,)),
        lambda f: [cv.jit(cv.grad(f))(0.7)],
        lambda f: [cv.grad(cv.jit(f))(0.7)],
        lambda f: [f(0.7), 0.0],
    ):
        want = run(by_steps, transform)
        if loop is conditional and len(want) == 2:  # in reverse mode
            with pytest.raises(cv.errors.OutsideRefError, match="custom rules"):
                run(loop, transform)
            continue
        got = run(loop, transform)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_rules_close_over_references_and_traced_values() -> None:
    def slope(loop: Any, jit: Any) -> list[Any]:
        ref = cv.new_ref(cnp.zeros(()))

        def f(x: Any, scale: Any) -> Any:
            @cv.custom_vjp
            def g(y: Any) -> Any:
                return y * scale

            def backward(y: Any, ct: Any) -> Any:
                ref[...] = 2 * ref[...] + scale * ct
                return (ct * scale,)

            g.defvjp(lambda y: (y * scale, y), backward)
            return loop(g, 3)(x)

        return [jit(cv.grad(f))(0.7, 2.0), ref[...]]

    expected = slope(by_steps, lambda f: f)
    for loop in (scanned, counted, chosen):
        np.testing.assert_allclose(slope(loop, cv.jit), expected)
        np.testing.assert_allclose(slope(loop, lambda f: f), expected)


def test_a_rule_that_raises_leaves_the_reference() -> None:
    ref = cv.new_ref(1.0)

    @cv.custom_vjp
    def f(x: Any) -> Any:
        return cnp.sin(x)

    def backward(x: Any, ct: Any) -> Any:
        ref[...] = 5.0
        raise ZeroDivisionError("in the rule")

    f.defvjp(lambda x: (cnp.sin(x), x), backward)
    with pytest.raises(ZeroDivisionError, match="in the rule"):
        cv.grad(scanned(f, 3))(0.7)
    assert ref[...] == 1.0
    ref[...] = 2.0
    assert float(cv.jit(scanned(f, 3))(0.7)) > 0
    assert ref[...] == 2.0


def test_rules_of_linear_calls_touch_references_on_the_way_back() -> None:
    from covector.custom_derivatives import linear_call

    ref = cv.new_ref(0.0)

    def transposed(res: Any, ct: Any) -> Any:
        ref[...] = 3 * ref[...] + ct
        return res * ct

    def f(x: Any) -> Any:
        return linear_call(lambda r, y: r * y, transposed, 2.0, x)

    assert cv.grad(scanned(f, 3))(1.0) == 8.0
    assert ref[...] == 9 * 1 + 3 * 2 + 4


class _Holder:
    __slots__ = ("ref",)


class _Module:
    def __init__(self, ref: Any):
        self.state = {"ref": [ref]}

    def forward(self, x: Any) -> Any:
        self.state["ref"][0][...] += 1
        return cnp.sin(x), x


@pytest.mark.parametrize(
    "how", ["closure", "default", "method", "slot", "partial", "global", "jit"]
)
def test_rules_reach_references_in_many_ways(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = cv.new_ref(0)
    holder = _Holder()
    holder.ref = ref
    monkeypatch.setitem(globals(), "KEPT", holder)

    def plain(x: Any, ref: Any = ref) -> Any:
        ref[...] += 1
        return cnp.sin(x), x

    def from_slot(x: Any) -> Any:
        holder.ref[...] += 1
        return cnp.sin(x), x

    def from_global(x: Any) -> Any:
        KEPT.ref[...] += 1  # type: ignore[name-defined] # noqa: F821
        return cnp.sin(x), x

    forwards: dict[str, Any] = {
        "closure": lambda x: plain(x, ref),
        "default": plain,
        "method": _Module(ref).forward,
        "slot": from_slot,
        "partial": functools.partial(plain, ref=ref),
        "global": from_global,
        "jit": cv.jit(lambda x: plain(x, ref)),
    }
    f = cv.custom_vjp(cnp.sin)
    f.defvjp(forwards[how], lambda x, ct: (ct * cnp.cos(x),))
    assert cv.grad(scanned(f, 3))(0.7) == cv.grad(by_steps(cnp.sin, 3))(0.7)
    assert ref[...] == 3


def test_rules_that_reach_no_reference_are_staged_when_they_are_asked_for() -> None:
    ref, calls = cv.new_ref(0), list[str]()
    f = cv.custom_vjp(cnp.sin)
    f.defvjp(
        lambda x: (calls.append("forward"), (cnp.sin(x), x))[1],
        lambda x, ct: (ct * cnp.cos(x),),
    )
    cv.jit(scanned(f, 3))(0.7)
    assert calls == []
    cv.grad(scanned(f, 3))(0.7)
    assert calls == ["forward"]
    assert ref[...] == 0


def rule(forward: Any, backward: Any) -> Function:
    """sin, with the parts of a rule that do something beside."""
    f = cv.custom_vjp(cnp.sin)

    def forwards(x: Any) -> Any:
        forward(x)
        return cnp.sin(x), x

    def backwards(x: Any, ct: Any) -> Any:
        backward(x, ct)
        return (ct * cnp.cos(x),)

    f.defvjp(forwards, backwards)
    return f


def add_to(ref: Any, value: Any) -> None:
    ref[...] = 2 * ref[...] + value


def rules_in_rules(loop: Any) -> list[Any]:
    first, second = cv.new_ref(0.0), cv.new_ref(0.0)
    inner = rule(lambda x: None, lambda x, ct: add_to(first, ct))
    f = cv.custom_vjp(lambda x: cnp.sin(inner(x)))

    def forward(x: Any) -> Any:
        y, pullback = cv.vjp(inner, x)
        add_to(second, y)
        return cnp.sin(y), (y, pullback)

    def backward(res: Any, ct: Any) -> Any:
        add_to(second, ct)
        return res[1](cnp.cos(res[0]) * ct)

    f.defvjp(forward, backward)
    return [cv.grad(loop(f, 3))(0.5), first[...], second[...]]


def derivatives_in_rules(loop: Any) -> list[Any]:
    ref = cv.new_ref(0.0)
    inner = rule(lambda x: None, lambda x, ct: add_to(ref, ct))
    f = cv.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, cv.grad(loop(inner, 2))(x)), lambda slope, ct: (slope * ct,))
    return [cv.grad(loop(f, 3))(0.5), ref[...]]


def two_rules(loop: Any) -> list[Any]:
    ref = cv.new_ref(1.0)
    f = rule(lambda x: add_to(ref, 3.0), lambda x, ct: add_to(ref, ct))
    g = rule(lambda x: add_to(ref, x), lambda x, ct: add_to(ref, -ct))
    slope = cv.grad(loop(lambda x: g(f(x)), 3))(0.5)
    return [slope, ref[...], loop(lambda x: f(g(x)), 2)(1.0), ref[...]]


def keys(loop: Any) -> list[Any]:
    ref = cv.new_ref(cv.random.key(0))

    def backward(x: Any, ct: Any) -> None:
        ref[...] = cv.random.split(ref[...])[0]

    return [cv.grad(loop(rule(lambda x: None, backward), 3))(0.5), cv.random.key_data(ref[...])]


def loops_in_rules(loop: Any) -> list[Any]:
    ref = cv.new_ref(cnp.zeros(3))
    add = cv.jit(lambda ref, i, value: ref.__setitem__(i, ref[i] + value))

    def backward(x: Any, ct: Any) -> None:
        add(ref, 1, ct)
        lax.fori_loop(0, 3, lambda i, _: ref.__setitem__(i, ref[i] * 1.5 + i), None)

    return [cv.jit(cv.grad(loop(rule(lambda x: None, backward), 3)))(0.5), ref[...]]


def own_references(loop: Any) -> list[Any]:
    f = cv.custom_vjp(lambda ref, x: (add_to(ref, 1), cnp.sin(x))[1])
    f.defvjp(lambda ref, x: (cnp.sin(x), x), lambda x, ct: (None, ct * cnp.cos(x)))

    def g(x: Any) -> Any:
        ref = cv.new_ref(0.0)
        return loop(lambda y: f(ref, y), 3)(x) * lax.stop_gradient(ref[...] + 1)

    return [g(0.5), cv.grad(g)(0.5), cv.jit(cv.grad(g))(0.5), cv.grad(cv.jit(g))(0.5)]


def pullbacks(loop: Any) -> list[Any]:
    ref = cv.new_ref(0.0)
    f = rule(lambda x: add_to(ref, x), lambda x, ct: add_to(ref, ct))
    y, pullback = cv.vjp(cv.jit(loop(f, 2)), 0.5)
    return [y, ref[...], *pullback(1.0), ref[...], *pullback(2.0), ref[...]]


@pytest.mark.parametrize(
    "program",
    [
        rules_in_rules, derivatives_in_rules, two_rules, keys, loops_in_rules, own_references,
        pullbacks,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_compositions(program: Any) -> None:
    expected = program(by_steps)
    for loop in (scanned, counted):
        for got, want in zip(program(loop), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5)
