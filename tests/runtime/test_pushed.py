"""Eager `jvp` by compiled calls does what its twin, the rules one by one, does; and so do its nestings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.amount import some
from tests.runtime.test_tape import BINARY, REDUCTIONS, SHAPES, UNARY, array, assert_close

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.base.config import config
from covector._engine.runtime import pushed

Function = Callable[..., Any]


def assert_twins(f: Function, *args: Any) -> list[Any]:
    """The same types and values on both paths, three times on the fast one; the leaves."""
    found: list[list[Any]] = []
    for fast in (True, True, True, False):
        with config.override(fast_paths=fast):
            found.append(cv.tree.leaves(f(*args)))
    for leaves in found[:3]:
        assert [(x.shape, x.dtype) for x in leaves] == [(x.shape, x.dtype) for x in found[3]]
        assert_close(numbers(leaves), numbers(found[3]))
        weak = [x.weak_type for x in numbers(found[3])]
        assert [x.weak_type for x in numbers(leaves)] == weak
    return found[0]


def numbers(leaves: list[Any]) -> list[Any]:
    """Those that are no tangents of integers."""
    return [x for x in leaves if x.dtype != cv.dtypes.float0]


def pushes(f: Function) -> Function:
    """`jvp` of a function along its arguments turned by one."""

    def run(*args: Any) -> Any:
        return cv.jvp(f, args, tuple([cnp.roll(x, 1).astype(x.dtype) for x in args]))

    return run


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name: str) -> None:
    for dtype in ("float32", "float64"):
        assert_twins(pushes(UNARY[name]), array((4, 3), dtype))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name: str) -> None:
    f = BINARY[name]
    for first, second in some(SHAPES, 4):
        x, y = array(first), array(second, seed=1)
        assert_twins(pushes(f), x, y)
        assert_twins(pushes(lambda x, y=y: f(x, y)), x)
        assert_twins(pushes(lambda y, x=x: f(x, y)), y)


@pytest.mark.parametrize("name", some(REDUCTIONS, 6))
def test_reductions(name: str) -> None:
    f = REDUCTIONS[name]
    for axis in (0, -1, None):
        assert_twins(pushes(lambda x, a=axis: f(x, axis=a)), array((5, 4, 3)))


SEVERAL: dict[str, Function] = {
    "numbers": lambda x: 3 * x + 0.5 - x * True,
    "constants": lambda x: x * np.float32(2) + np.arange(3.0),
    "integers": lambda x: (cnp.argmax(x), x.astype("int32"), x > 1),
    "no slope": lambda x: cnp.floor(x) * x,
    "several results": lambda x: lax.sort((x, x * 2), num_keys=1),
    "largest": lambda x: lax.top_k(x, 2),
    "running": lambda x: cnp.cumsum(x) + cnp.cumprod(x),
    "indices": lambda x: x[1:] * x.at[0].set(2.0)[cnp.array([2, 0])],
    "products": lambda x: cnp.outer(x, x) @ x + cnp.einsum("i,j->ij", x, x)[0],
    "solutions": lambda x: cnp.linalg.solve(cnp.diag(x + 3) + 1, x),
    "jitted": cv.jit(lambda x: (cnp.sin(x), cnp.sum(x * x))),
    "loops": lambda x: lax.fori_loop(0, 3, lambda i, x: x * x + i, x),
    "choices": lambda x: lax.cond(x[0] > 0, cnp.sin, cnp.cos, x),
    "unchanged": lambda x: (x, x + 1, cnp.zeros(3)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_what_has_tangents_and_what_has_none(name: str) -> None:
    for dtype in ("float32", "complex64") if name == "products" else ("float32",):
        assert_twins(pushes(SEVERAL[name]), array((3,), dtype))
    weak = array((3,), weak=True)
    assert_twins(lambda: cv.jvp(SEVERAL[name], (weak,), (weak,)))


@pytest.mark.parametrize("name", some(SEVERAL, 6))
def test_nestings(name: str) -> None:
    def f(x: Any) -> Any:
        found = [a for a in cv.tree.leaves(SEVERAL[name](x)) if a.dtype == x.dtype]
        return sum(cnp.sum(cnp.sin(a)) for a in found) if found else cnp.sum(x * x)

    x, xs = array((3,)), array((4, 3), seed=2)
    assert_twins(pushes(pushes(f)), x)
    assert_twins(cv.vmap(pushes(f)), xs)
    assert_twins(pushes(cv.vmap(f)), xs)
    assert_twins(pushes(cv.grad(f)), x)
    assert_twins(cv.grad(lambda x: pushes(f)(x)[1]), x)
    assert_twins(cv.jacfwd(f), x)
    assert_twins(cv.hessian(f), x)
    assert_twins(cv.jit(pushes(f)), x)


def test_jacobians_by_columns() -> None:
    x, y = array((3,)), array((2, 2), seed=1)

    def f(x: Any, y: Any) -> Any:
        return {"a": cnp.outer(x, y), "b": cnp.sum(x) * y, "n": cnp.argmax(x)}

    assert_twins(cv.jacfwd(f, (0, 1)), x, y)
    assert_twins(cv.jacfwd(cv.jacfwd(lambda x: cnp.sum(x**3))), x)
    assert_twins(cv.vmap(cv.jacfwd(lambda x: x * cnp.sum(x))), array((4, 3)))
    assert_twins(cv.jacfwd(lambda x: x * 2.0, holomorphic=True), array((3,), "complex64"))


def test_a_primitive_with_tangents_is_one_compiled_call(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_program = pushed.compile_program

    def counted(program: Any) -> Any:
        compiled.append(program.name)
        return compile_program(program)

    monkeypatch.setattr(pushed, "compile_program", counted)
    x = array((7, 11))
    for _ in range(4):
        cv.jvp(lambda x: cnp.sum(lax.sin(x)), (x,), (x,))
    assert len(compiled) == 2
    cv.jvp(lambda x: cnp.sum(lax.sin(x)), (x[1:],), (x[1:],))
    assert len(compiled) == 2  # shapes that occur once compile nothing


def test_flags_that_want_each_operation_looked_at() -> None:
    x = array((3,))
    for _ in range(3):
        with cv.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
            cv.jvp(cnp.log, (-x,), (x,))


def test_errors_are_those_of_the_rules() -> None:
    x = array((4,))
    for _ in range(3):
        with pytest.raises(TypeError, match="shape"):
            cv.jvp(lambda x: lax.mul(x, cnp.ones(3)), (x,), (x,))
