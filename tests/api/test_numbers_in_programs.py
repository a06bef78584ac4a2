"""Python numbers keep their 64 bits through everything that holds a Program: as operands, inside, and as results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import config, lax
from covector.extend import Composite, record
from covector.extend.core import Primitive
from covector.interpreters import mlir

Function = Callable[[Any, Any], Any]


def _custom_jvp(f: Function) -> Function:
    custom = cv.custom_jvp(f)
    custom.defjvp(lambda p, t: cv.jvp(f, p, t))
    return cv.jit(custom)


def _custom_vjp(f: Function) -> Function:
    custom = cv.custom_vjp(f)
    custom.defvjp(lambda s, x: cv.vjp(f, s, x), lambda back, ct: back(ct))
    return cv.jit(custom)


def _custom_vmap(f: Function) -> Function:
    custom = cv.custom_batching.custom_vmap(f)
    custom.def_vmap(lambda size, mapped, s, x: (cv.vmap(f, (None, 0))(s, x), True))
    return cv.jit(custom)


@record
class Mine(Composite):
    """A user's own primitive that is a function of others."""

    f: Any
    name = "mine"

    def compute(self, s: Any, x: Any) -> Any:
        return self.f(s, x)


def _open(f: Function) -> Function:
    primitive = Primitive("opened")
    primitive.def_abstract_eval(lambda s, x: x)
    mlir.register_lowering(primitive, mlir.lower_fun(f, multiple_results=False))
    return primitive.bind


def _scan(f: Function) -> Function:
    def scanned(s: Any, x: Any) -> Any:
        return lax.scan(lambda c, _: ((c[0], f(*c)), None), (s, x), None, length=1)[0][1]

    return scanned


def _while(f: Function) -> Function:
    def looped(s: Any, x: Any) -> Any:
        init = (s, x, 0)
        return lax.while_loop(lambda c: c[2] < 1, lambda c: (c[0], f(c[0], c[1]), c[2] + 1), init)[
            1
        ]

    return looped


def _fori(f: Function) -> Function:
    return lambda s, x: lax.fori_loop(0, 1, lambda i, c: (c[0], f(*c)), (s, x))[1]


def _between(f: Function) -> Function:
    run = cv.jit(lambda n, s, x: lax.fori_loop(0, n, lambda i, c: (c[0], f(*c)), (s, x))[1])
    return lambda s, x: run(1, s, x)


# What makes a function of a number and an array of another that must give the same.
FORMS: dict[str, Callable[[Function], Function]] = {
    "checkpoint": cv.checkpoint, "custom_jvp": _custom_jvp, "custom_vjp": _custom_vjp, "custom_vmap": _custom_vmap,
    "composite": lambda f: Mine(f), "open primitive": _open,
    "cond": lambda f: lambda s, x: lax.cond(x.sum() > 0, f, lambda s, x: x, s, x),
    "switch": lambda f: lambda s, x: lax.switch(1, [lambda s, x: x, f, f], s, x),
    "scan": _scan, "while": _while, "fori": _fori, "fori, unknown bound": _between,
    "map": lambda f: lambda s, x: lax.map(lambda x: f(s, x), x),
    "mapped while": lambda f: cv.vmap(_while(f), (None, 0)),
    "closure_convert": lambda f: lambda s, x: cv.closure_convert(f, s, x)[0](s, x),
    "pure_callback": lambda f: lambda s, x: cv.pure_callback(f, cv.ShapeDtypeStruct(x.shape, x.dtype), s, x),
    "optimization_barrier": lambda f: cv.jit(lambda s, x: f(*lax.optimization_barrier((s, x)))),
    "jit": cv.jit, "vmap": lambda f: cv.vmap(f, (None, 0)),
    "jvp": lambda f: lambda s, x: cv.jvp(lambda x: f(s, x), (x,), (x,))[0],
    "vjp": lambda f: lambda s, x: cv.vjp(lambda x: f(s, x), x)[0],
    "residual": lambda f: lambda s, x: cv.linearize(lambda y: y * f(s, x), cnp.ones_like(x))[1](cnp.ones_like(x)),
}  # fmt: skip

# Functions of a number and an array of 64 bits, each with the number.
KINDS: dict[str, tuple[Function, Any]] = {
    "float": (lambda s, x: x * s, 0.1), "chain": (lambda s, x: x * (s * 0.7 + 0.3), 0.1),
    "int": (lambda s, x: x * (s * 4), 2**30 + 1), "complex": (lambda s, x: x * (s * 0.1), 0.1 + 0.3j),
}  # fmt: skip

ARRAYS = {"float": np.array([1.0, 3.0]), "chain": np.array([1.0, 3.0]),
          "int": np.array([1, 3]), "complex": np.array([1.0 + 1j, 3.0])}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_of_operands(form: str, kind: str) -> None:
    (f, s), x = KINDS[kind], ARRAYS[kind]
    if kind == "int" and form in ("jvp", "vjp", "residual"):
        pytest.skip("integers have no derivatives")
    found, wanted = FORMS[form](f)(s, cnp.asarray(x)), f(s, x)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=5e-16)


@pytest.mark.parametrize(
    "inner", ["checkpoint", "cond", "scan", "while", "custom_vjp", "composite"]
)
@pytest.mark.parametrize("outer", ["checkpoint", "custom_jvp", "switch", "scan", "while", "jit"])
def test_one_in_another(outer: str, inner: str) -> None:
    f, s = KINDS["chain"]
    x = ARRAYS["chain"]
    found = FORMS[outer](FORMS[inner](f))(s, cnp.asarray(x))
    np.testing.assert_allclose(np.asarray(found), f(s, x), rtol=5e-16)


# What gives a weakly typed result, with what that is in Python's numbers.
RESULTS: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "cond": (lambda s: lax.cond(s > 0, lambda s: s * 3, lambda s: s, s), lambda s: s * 3),
    "literals": (lambda s: lax.cond(s > 0, lambda: 0.7, lambda: 0.3), lambda s: 0.7),
    "where": (lambda s: cnp.where(s > 0, 0.7, 0.3), lambda s: 0.7),
    "switch": (lambda s: lax.switch(2, [lambda s: s, lambda s: s, lambda s: 0.3 - s], s), lambda s: 0.3 - s),
    "fori": (lambda s: lax.fori_loop(0, 3, lambda i, c: c * 1.1, s), lambda s: s * 1.1 * 1.1 * 1.1),
    "scan": (lambda s: lax.scan(lambda c, _: (c + 0.1, c), s, None, length=3)[1][2], lambda s: s + 0.1 + 0.1),
    "while": (lambda s: lax.while_loop(lambda c: c < 1, lambda c: c * 3, s), lambda s: s * 3 * 3 * 3),
    "checkpoint": (cv.checkpoint(lambda s: s * 3), lambda s: s * 3),
    "gather": (lambda s: cnp.stack([s, s * 3])[cnp.asarray(1)], lambda s: s * 3),
    "barrier": (lambda s: lax.optimization_barrier(s * 3), lambda s: s * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_of_results(name: str) -> None:
    """A number that comes out of one and meets 64 bits later, inside what is compiled."""
    f, plain = RESULTS[name]
    x = np.array([1.0, 3.0])
    found = cv.jit(lambda s, x: f(s) * x)(0.1, cnp.asarray(x))
    np.testing.assert_allclose(np.asarray(found), plain(0.1) * x, rtol=5e-16)


GRADIENTS: dict[str, Callable[[Function], Function]] = {
    "kept": lambda f: cv.checkpoint(
        lambda s, x: f(s * 0.5 + s * 0.5, x), policy=cv.checkpoint_policies.everything_saveable
    ),
    **{
        n: FORMS[n]
        for n in ("checkpoint", "cond", "scan", "while", "custom_vjp", "composite", "jit", "fori")
    },
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_of_gradients(name: str) -> None:
    f = GRADIENTS[name](lambda s, x: x * cnp.sin(x * s))
    x, s = np.array([1.0, 3.0]), 0.1
    wanted = np.sin(x * s) + x * s * np.cos(x * s)
    for grad in (cv.grad, lambda f, i: cv.jit(cv.grad(f, i))):
        found = grad(lambda s, x: f(s, x).sum(), 1)(s, cnp.asarray(x))
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-15)


def test_narrow_results_stay_what_they_were() -> None:
    """Whether something wants 64 bits changes nothing of what is computed in 32."""

    def f(s: Any, x: Any) -> Any:
        def body(c: Any) -> Any:
            a, y, n = c
            return a * 1.1, y * a, n + 1

        return lax.while_loop(lambda c: c[0] < 3, body, (s, x, 0))

    wide, narrow = cv.jit(f)(0.1, cnp.asarray(np.float64(1))), cv.jit(f)(0.1, cnp.ones(()))
    assert [float(wide[0]), int(wide[2])] == [float(narrow[0]), int(narrow[2])]
    assert wide[0].dtype == "float32"


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
@pytest.mark.parametrize("form", ["cond", "checkpoint", "scan", "jit"])
def test_integers_that_do_not_fit(form: str, fast: bool) -> None:
    """Where 64 bits are wanted alone they do; else it is an error, never another number."""
    x = cnp.asarray(np.array([1, 3]))
    with config.override(fast_paths=fast):
        assert cv.jit(FORMS[form](lambda s, x: x * s))(2**40, x).tolist() == [2**40, 3 * 2**40]
        with pytest.raises(OverflowError):
            FORMS[form](lambda s, x: (x.astype("int32") * s).astype("int64"))(2**40, x)
        with pytest.raises(OverflowError):
            cv.jit(lambda s, x: (FORMS[form](lambda s, x: x * s)(s, x), s + 1))(2**40, x)


def test_what_is_no_number_alone_is_of_32_bits() -> None:
    """A constant that met an array of 32 bits is of 32 bits, as it is outside what is compiled."""
    x, n = cnp.asarray(np.array([1.0, 2.0])), cnp.asarray(np.int32(3))
    for f in (lambda x, n: x * (1 + 0.1 * n), lambda x, n: x * cnp.sin(0.1 * n + 0.3)):
        assert cv.jit(f)(x, n).tolist() == f(x, n).tolist()


def test_what_meets_no_64_bits_is_compiled_as_it_was_traced() -> None:
    traced = cv.jit(lambda s, x: lax.cond(s > 0, lambda x: x * s, lambda x: x, x)).trace(
        0.1, cnp.ones(3)
    )
    assert traced.compiled_program is traced.program
