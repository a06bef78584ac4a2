"""Rules of users' stay theirs inside loops and branches, batched, differentiated, compiled, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import extend, lax
from covector.extend.core import Primitive
from covector.interpreters import batching, mlir

STARTS = cnp.array([1.0, 2.0, -1.0])


@cv.custom_vjp
def by_vjp(x: Any) -> Any:
    return cnp.sin(x)


by_vjp.defvjp(lambda x: (cnp.sin(x), None), lambda _, ct: (ct * 100.0,))


@cv.custom_jvp
def by_jvp(x: Any) -> Any:
    return cnp.sin(x)


by_jvp.defjvps(lambda t, ans, x: t * 100.0)

# Around a function with a rule: the function, and its slope where that of the rule is 100, as a polynomial in it.
FORMS: dict[str, tuple[Callable[[Any], Callable[[Any], Any]], list[float]]] = {
    "cond": (lambda f: lambda x: lax.cond(x > 0, f, lambda y: y, x), [100, 100, 1]),
    "switch": (
        lambda f: lambda x: lax.switch((x > 0).astype("int32"), [lambda y: y, f, f], x),
        [100, 100, 1],
    ),
    "scan in cond": (
        lambda f: (
            lambda x: lax.cond(
                x > 0,
                lambda y: lax.scan(lambda c, _: (f(c), None), y, None, length=2)[0],
                lambda y: y,
                x,
            )
        ),
        [1e4, 1e4, 1],
    ),
    "update in cond": (
        lambda f: (
            lambda x: lax.cond(
                x > 0, lambda a: a.at[0].set(f(a[0])), lambda a: a, cnp.ones(100) * x
            )[0]
        ),
        [100, 100, 1],
    ),
    "while": (
        lambda f: lambda x: lax.while_loop(lambda c: c < 0.5, lambda c: f(c) + 1.0, x),
        [1, 1, 1e4],
    ),
    "while in cond": (
        lambda f: (
            lambda x: lax.cond(
                x > 0,
                lambda y: lax.while_loop(lambda c: c < 3.0, lambda c: f(c) + 2.5, y),
                lambda y: y,
                x,
            )
        ),
        [100, 100, 1],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fun", [by_vjp, by_jvp], ids=["vjp", "jvp"])
def test_slopes_of_rules(form: str, fun: Any) -> None:
    """A batched `cond` has lost them: `grad(vmap(cond))` differentiated the function itself."""
    make, slopes = FORMS[form]
    f = make(fun)
    total = cv.grad(lambda x: cv.vmap(f)(x).sum())
    for gradient in (total, cv.jit(total), cv.vmap(cv.grad(f))):
        np.testing.assert_allclose(gradient(STARTS), slopes, rtol=1e-5)


@cv.custom_batching.custom_vmap
def by_vmap(x: Any) -> Any:
    return cnp.sin(x)


@by_vmap.def_vmap
def _(axis_size: Any, in_batched: Any, x: Any) -> Any:
    return cnp.cos(x), True


opened = Primitive("opened_sine")
opened.def_abstract_eval(lambda x: x)
mlir.register_lowering(opened, mlir.lower_fun(cnp.sin, multiple_results=False))
batching.primitive_batchers[opened] = lambda args, dims: (cnp.cos(args[0]), dims[0])


@extend.record
class Composed(extend.Composite):
    """A sine that is a cosine for a batch."""

    name: ClassVar[str] = "composed_sine"

    def compute(self, x: Any) -> Any:
        return cnp.sin(x)

    def batch(self, args: Any, dims: Any, size: Any) -> Any:
        return cnp.cos(args[0]), dims[0]


BATCHED = {
    "custom_vmap": by_vmap,
    "open primitive": opened.bind,
    "composite": lambda x: Composed()(x),
}


def results(form: str) -> list[float]:
    """What a form gives where the function is the cosine: all elements together."""
    if form == "while":
        return [1.0, 2.0, np.cos(-1.0) + 1.0]
    once, twice = np.cos([1.0, 2.0]), np.cos(np.cos([1.0, 2.0]))
    return [*(twice if form == "scan in cond" else once), -1.0]


@pytest.mark.parametrize("form", [f for f in FORMS if f != "while in cond"])
@pytest.mark.parametrize("kind", BATCHED)
def test_rules_for_batches(form: str, kind: str) -> None:
    """Elements that ran each on its own never met the rule: in loops, and where branches differ."""
    f = cv.vmap(FORMS[form][0](BATCHED[kind]))
    for run in (f, cv.jit(f)):
        np.testing.assert_allclose(run(STARTS), results(form), rtol=1e-5)


def test_pure_callbacks_take_the_batch() -> None:
    """A callback that says that it takes batches is called once a step for all, also in a loop."""
    seen: list[tuple[int, ...]] = []

    def double(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return 2 * np.asarray(x)

    def step(x: Any) -> Any:
        shape = cv.ShapeDtypeStruct((), cnp.float32)
        return cv.pure_callback(double, shape, x, vmap_method="expand_dims")

    found = cv.vmap(lambda x: lax.while_loop(lambda c: c < 10.0, step, x))(cnp.arange(1.0, 4.0))
    np.testing.assert_array_equal(found, [16, 16, 12])
    assert seen == [(3,)] * 4


# What a rule for a batch of float32[] may not return, and what is told.
WRONG: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "structure": (
        lambda x: ({"a": x}, {"a": True}),
        ["must return the structure that the function returns", "{'a': *}"],
    ),
    "shape": (lambda x: (cnp.ones((2, 3)), True), ["float32[2,3]", "it must be float32[2]"]),
    "dtype": (lambda x: (x.astype("int32"), True), ["int32[2]", "it must be float32[2]"]),
    "no axis": (lambda x: (cnp.float32(1), True), ["a leading axis of size 2"]),
    "flags": (lambda x: (x, (True,)), ["out_batched with the structure of the result"]),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("case", WRONG)
def test_wrong_rules_for_batches(case: str, compiled: bool) -> None:
    wrong, told = WRONG[case]
    f = cv.custom_batching.custom_vmap(lambda x: cnp.sin(x))
    f.def_vmap(lambda axis_size, in_batched, x: wrong(x))
    run = cv.vmap(lambda x: f(x))
    with pytest.raises(ValueError, match="custom_vmap") as caught:
        (cv.jit(run) if compiled else run)(cnp.ones(2, "float32"))
    for text in (*told, "test_rules_in_control_flow.py"):
        assert text in str(caught.value)


def test_solvers_of_roots_return_the_structure_of_the_guess() -> None:
    with pytest.raises(TypeError, match="structure of initial_guess"):
        lax.custom_root(lambda x: x, 1.0, lambda f, x: {"a": x}, lambda g, y: y / g(1.0))
    with pytest.raises(TypeError, match="has_aux=True"):
        lax.custom_root(lambda x: x, 1.0, lambda f, x: x, lambda g, y: y, has_aux=True)


def test_checkpoints_keep_effects() -> None:
    """A checkpointed function without results was dropped, with what it did."""
    seen: list[str] = []
    kept = cv.checkpoint(lambda: cv.debug.callback(lambda: seen.append("acted")))
    kept()
    cv.jit(kept)()
    cv.effects_barrier()
    assert seen == ["acted"] * 2


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
@pytest.mark.parametrize("form", ["loop", "in a loop", "in a branch"])
def test_second_derivatives_of_loops_begin_with_what_rules_give(kind: str, form: str) -> None:
    """A rule's value is followed as its own operations: here it is another function's than the slope is."""
    if kind == "jvp":
        rounded = cv.custom_jvp(lambda x: cnp.round(x))
        rounded.defjvp(lambda p, t: (cnp.sin(p[0]), t[0] * 1.5))
    else:
        rounded = cv.custom_vjp(lambda x: cnp.round(x))
        rounded.defvjp(lambda x: (cnp.sin(x), x), lambda x, ct: (ct * cnp.cos(x) * 1.5,))

    def step(x: Any) -> Any:
        return rounded(x) * 0.7 + x * x

    def looped(n: Any, x: Any) -> Any:
        if form == "in a branch":
            one = lambda _, x: lax.cond(x > -9, step, lambda x: x, x)  # noqa: E731
            return cnp.sin(lax.fori_loop(0, n, one, x))
        loop = lambda x: lax.fori_loop(0, n, lambda _, x: step(x), x)  # noqa: E731
        many = lax.fori_loop(0, n - 1, lambda _, x: loop(x), x) if form == "in a loop" else loop(x)
        return cnp.sin(many)

    def plain(n: Any, x: Any) -> Any:
        for _ in range(n):
            x = step(x)
        return cnp.sin(x)

    def second(f: Any, n: Any) -> Any:
        slope = cv.grad(lambda x: f(n, x))
        return cv.grad(slope) if kind == "vjp" else lambda x: cv.jvp(slope, (x,), (x,))[1] / x

    xs, n = np.array([0.4, 0.7, -0.2]), 2
    wanted = [cv.jit(second(plain, n))(x) for x in xs]
    np.testing.assert_allclose(cv.jit(lambda n, x: second(looped, n)(x))(n, xs[0]), wanted[0])
    slopes = cv.jit(cv.vmap(lambda n, x: second(looped, n)(x)))(np.full(3, n), xs)
    np.testing.assert_allclose(slopes, wanted)
    twice = lambda n, x: cv.grad(cv.grad(lambda x: looped(n, x)))(x)  # noqa: E731
    np.testing.assert_allclose(cv.jit(twice)(n, xs[1]), wanted[1])
