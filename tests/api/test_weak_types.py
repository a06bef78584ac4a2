"""A derivative has the type of the argument it is with respect to, the weak type of Python's numbers included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector._engine.core.numbers import number
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.scipy import special

STRONG = cnp.asarray(np.float32(2.0))

# The result of each is weakly typed for a Python number.
WEAK: dict[str, Callable[[Any], Any]] = {
    "x**3": lambda x: x**3, "x**2.5": lambda x: x**2.5, "2**x": lambda x: 2.0**x, "x**x": lambda x: x**x,
    "1/x": lambda x: 1 / x, "x % 3": lambda x: x % 3, "sin": cnp.sin, "exp": cnp.exp, "log": cnp.log,
    "tanh": cnp.tanh, "sqrt": cnp.sqrt, "abs": abs, "relu": nn.relu, "softplus": nn.softplus,
    "maximum": lambda x: cnp.maximum(x, 1.0), "where": lambda x: cnp.where(x > 0, x, 0.0),
    "clip": lambda x: cnp.clip(x, 0.0, 1.0), "hypot": lambda x: cnp.hypot(x, x), "sinc": cnp.sinc,
    "logaddexp": lambda x: cnp.logaddexp(x, 1.0), "lgamma": lax.lgamma, "digamma": lax.digamma,
    "rsqrt": lax.rsqrt, "cbrt": cnp.cbrt, "floor": lambda x: cnp.floor(x) * x, "real": lambda x: cnp.real(x + 0j),
    "|z|": lambda x: cnp.abs(x + 1j), "reshape": lambda x: cnp.reshape(x, (1,))[0],
    "scan": lambda x: lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: c * 2.0, x),
}  # fmt: skip
# The result of each is an array like others.
MIXED: dict[str, Callable[[Any], Any]] = {
    "strong": lambda x: x * STRONG, "sum": lambda x: cnp.broadcast_to(x, (3,)).sum(),
    "prod": lambda x: cnp.broadcast_to(x, (3,)).prod(), "max": lambda x: cnp.broadcast_to(x, (3,)).max(),
    "mean": lambda x: cnp.broadcast_to(x, (3,)).mean(), "cumsum": lambda x: cnp.cumsum(x)[0],
    "astype": lambda x: cnp.asarray(x).astype("float32"), "softmax": lambda x: nn.softmax(cnp.stack([x, x]))[0],
    "concatenate": lambda x: cnp.concatenate([cnp.reshape(x, (1,)), cnp.ones(2)]).sum(),
}  # fmt: skip
MODES: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "grad": cv.grad, "grad of jit": lambda f: cv.grad(cv.jit(f)), "jit of grad": lambda f: cv.jit(cv.grad(f)),
    "grad of grad": lambda f: cv.grad(cv.grad(f)), "hessian": cv.hessian, "jacfwd": cv.jacfwd,
    "jacrev": cv.jacrev, "value_and_grad": lambda f: lambda x: cv.value_and_grad(f)(x)[1],
    "vjp": lambda f: lambda x: (lambda y, back: back(y)[0])(*cv.vjp(f, x)),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", {**WEAK, **MIXED})
def test_a_derivative_has_the_argument_s_type(name: str, mode: str) -> None:
    derivative = MODES[mode]({**WEAK, **MIXED}[name])
    for x in (2.0, cnp.asarray(2.0), STRONG):
        found = typeof(derivative(x))
        assert found == typeof(x), found.text()


@pytest.mark.parametrize("name", {**WEAK, **MIXED})
def test_a_result_has_one_type_in_all_modes(name: str) -> None:
    f = {**WEAK, **MIXED}[name]
    for x in (2.0, cnp.asarray(2.0), STRONG):
        weak = name in WEAK and x is not STRONG
        for run in (f, cv.jit(f), lambda x, f=f: cv.jvp(f, (x,), (cnp.ones_like(x),))[0]):
            assert typeof(run(x)) == ShapedArray((), dtypes.float32, weak)


@pytest.mark.parametrize("name", WEAK)
def test_a_tangent_given_as_a_number_is_as_weak_as_the_value(name: str) -> None:
    for x in (2.0, STRONG):
        value, tangent = cv.jvp(WEAK[name], (x,), (1.0,))
        assert typeof(tangent) == typeof(value)


def test_constants_of_rules() -> None:
    """As weakly typed as the operand, and literals of the Program."""
    weak, double = ShapedArray((), dtypes.float32, True), ShapedArray((3,), dtypes.float64)
    assert typeof(number(2, weak)) == weak
    assert number(2, weak) == 2.0
    assert type(number(2, double)) is np.float64
    assert typeof(number(2, ShapedArray((), dtypes.float64, True))).dtype == dtypes.float64
    program = cv.make_jaxpr(cv.grad(lambda x: x**3))(2.0)
    assert not program.consts
    assert program.out_avals == [weak]


# Of weak arrays: what is weak as they are, and what only is for the shape ().
_WEAKLY: dict[str, Callable[[Any], Any]] = {
    "lax.add": lambda x: lax.add(2.0, x), "lax.mul": lambda x: lax.mul(x, 2), "lax.conj": lax.conj,
    "lax.gt": lambda x: lax.gt(x, 1.0), "lax.clamp": lambda x: lax.clamp(0.0, x, 1.0),
    "lax.pad": lambda x: lax.pad(x, 0.0, [(1, 0, 0)] * np.ndim(x)), "lax.pow": lambda x: lax.pow(x, cnp.asarray(2)),
    "lax.polynomial": lambda x: lax.polynomial(x, [1.0, 2.0]), "lax.polygamma": lambda x: lax.polygamma(1.0, x),
}  # fmt: skip
_BY_SHAPE: dict[str, Callable[[Any], Any]] = {
    "logit": special.logit, "kl_div": lambda x: special.kl_div(x, 0.5), "rel_entr": lambda x: special.rel_entr(x, x),
}  # fmt: skip


@pytest.mark.parametrize("name", {**_WEAKLY, **_BY_SHAPE})
def test_results_of_weak_arrays(name: str) -> None:
    """In every mode the same; numbers beside weak arrays are weak, strong ones make a result strong."""
    f = {**_WEAKLY, **_BY_SHAPE}[name]
    number = cnp.asarray(0.5)
    for x, weak in ((number, True), (cnp.broadcast_to(number, (2,)), name in _WEAKLY)):
        assert {typeof(run(x)).weak_type for run in (f, cv.jit(f))} == {weak}
    if name != "lax.pow":
        assert not typeof(f(STRONG)).weak_type
