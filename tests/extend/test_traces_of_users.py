"""Traces that users write, as libraries for JAX do: a class with `process_primitive`, and tracers of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import core, lax
from covector.extend.core import TraceTag, set_current_trace, take_current_trace


class Counted(core.Tracer):
    """A value, as a trace has it."""

    __slots__ = ("value",)

    def __init__(self, trace: Any, value: Any):
        self._trace, self.value = trace, value

    @property
    def aval(self) -> Any:
        return cv.typeof(self.value)


class Counting(core.Trace):
    """Does what is asked for, where it stands, and keeps the names."""

    def __init__(self, below: Any):
        super().__init__()
        self.below, self.tag = below, TraceTag()
        self.names: list[str] = []

    def plain(self, x: Any) -> Any:
        return x.value if isinstance(x, Counted) and x._trace is self else x

    def process_primitive(self, primitive: Any, tracers: Any, params: Any) -> Any:
        self.names.append(primitive.name)
        with set_current_trace(self.below):
            out = primitive.bind(*map(self.plain, tracers), **params)
        if primitive.multiple_results:
            return [Counted(self, x) for x in out]
        return Counted(self, out)


def counted(f: Callable[..., Any], *xs: Any) -> tuple[Any, list[str]]:
    with take_current_trace() as below:
        trace = Counting(below)
        with set_current_trace(trace):
            out = f(*[Counted(trace, x) for x in xs])
        return cv.tree.map(trace.plain, out), trace.names


@cv.custom_jvp
def with_rule(x: Any) -> Any:
    return cnp.sin(x)


with_rule.defjvps(lambda t, ans, x: 100.0 * t)
X = cnp.array([0.5, -2.0, 3.0])

PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "operators": lambda x: lax.sin(x) * 2.0 + x[0],
    "functions": lambda x: cnp.where(x > 0, cnp.cos(x), x) + x.sum(),
    "slices": lambda x: lax.dynamic_update_slice(
        x, lax.dynamic_slice_in_dim(x, 1, 2), (cnp.int32(0),)
    ),
    "products": lambda x: cnp.einsum("i,j->ji", x, cnp.arange(2.0)),
    "jit": lambda x: cv.jit(lambda y: cnp.sin(y) + 1)(x),
    "scan": lambda x: lax.scan(lambda c, y: (c * 2 + y, c), x[0], x),
    "while": lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: c + 1, x),
    "cond": lambda x: lax.cond(x[0] > 0, lambda y: y * 2, lambda y: y, x),
    "slope": lambda x: cv.grad(lambda y: (y**2).sum())(x),
    "batch": lambda x: cv.vmap(lambda y: y * x[0])(x),
    "rule": with_rule,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_operations_are_the_traces(program: str) -> None:
    f = PROGRAMS[program]
    found, names = counted(f, X)
    assert names
    for a, b in zip(cv.tree.leaves(found), cv.tree.leaves(f(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_traces_of_users_inside_transformations() -> None:
    def f(x: Any) -> Any:
        return counted(lambda y: lax.sin(y) * 2.0, x)[0]

    assert cv.jit(f)(1.0) == pytest.approx(2 * np.sin(1.0))
    assert cv.grad(f)(1.0) == pytest.approx(2 * np.cos(1.0))
    np.testing.assert_allclose(cv.vmap(f)(X), 2 * np.sin(X), rtol=1e-6)
    np.testing.assert_allclose(cv.jit(cv.vmap(cv.grad(f)))(X), 2 * np.cos(X), rtol=1e-6)


def test_a_scan_says_how_its_operands_fall_into_groups() -> None:
    closed = cv.make_jaxpr(lambda x: lax.scan(lambda c, y: (c + y * x, c), 0.0, X))(2.0)
    eqn = next(e for e in closed.eqns if e.primitive is lax.scan_p)
    consts, carry, xs = [g.vals for g in eqn.params["ft_in"].update(eqn.invars).unpack()]
    assert [len(consts), len(carry), len(xs)] == [1, 1, 1]
    assert eqn.params["ft_out"].sizes == (1, 1)
    again = {k: v for k, v in eqn.params.items() if k not in ("num_consts", "num_carry")}
    last, ys = lax.scan_p.bind(np.float32(2), np.float32(0), X, **again)
    np.testing.assert_allclose(last, 2 * X.sum(), rtol=1e-6)
    np.testing.assert_allclose(ys, 2 * (np.cumsum(X) - X), rtol=1e-6)


def test_what_a_trace_is_given_is_taken_as_it_is() -> None:
    assert core.Trace().full_raise(X) is X


def test_a_trace_must_say_what_operations_do() -> None:
    class Silent(core.Trace):
        pass

    with (
        set_current_trace(Silent()),
        pytest.raises(NotImplementedError, match=r"Silent does not say .* process_primitive"),
    ):
        lax.sin_p.bind(1.0)
