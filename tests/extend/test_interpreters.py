"""Interpreters over `make_jaxpr(f)(x).jaxpr`, as users of JAX write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pytest

import covector
import covector.numpy as np
from covector import core, lax
from covector.extend import core as extend_core
from covector.interpreters import ad, batching, partial_eval, xla

X = numpy.array([0.5, 1.25, 2.0], numpy.float32)


def evaluated(jaxpr: core.Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """Every equation by `bind`."""
    env: dict[Any, Any] = {}

    def read(v: Any) -> Any:
        return v.val if type(v) is core.Literal else env[v]

    env.update(zip(jaxpr.invars, args, strict=True))
    env.update(zip(jaxpr.constvars, consts, strict=True))
    for eqn in jaxpr.eqns:
        out = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        outs = out if eqn.primitive.multiple_results else [out]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(v) for v in jaxpr.outvars]


@covector.custom_jvp
def smooth(x: Any) -> Any:
    return np.where(x > 0, x, 0.0)


smooth.defjvp(lambda primals, tangents: (smooth(*primals), tangents[0] * 0.5))


@covector.custom_vjp
def halved(x: Any) -> Any:
    return x / 2


halved.defvjp(lambda x: (x / 2, None), lambda _, ct: (ct / 2,))
TABLE = np.asarray([1.0, 2.0, 3.0], "float32")
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elements": lambda x: np.exp(np.tanh(x)) * x**2 + np.arctan2(x, 2.0),
    "shapes": lambda x: np.concatenate([x[::-1], np.pad(x[:2], 1)])[None] @ np.ones((7, 2)),
    "reductions": lambda x: (np.sum(x), np.argmax(x), np.cumsum(x), np.sort(-x), np.any(x > 1)),
    "constants": lambda x: x + TABLE,
    "indices": lambda x: x.at[np.array([0, 2])].add(1.0)[np.array([2, 2, 0])],
    "jit": lambda x: covector.jit(lambda y: np.sin(y) + x)(x),
    "scan": lambda x: lax.scan(lambda c, y: (c * y, c + y), x[0], x, reverse=True),
    "while": lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x)),
    "cond": lambda x: lax.cond(x[0] > 0, np.sin, np.cos, x),
    "switch": lambda x: lax.switch(1, [np.sin, np.cos, np.tan], x),
    "custom_jvp": smooth,
    "custom_vjp": halved,
    "checkpoint": covector.checkpoint(lambda x: np.sin(np.sin(x))),
    "grad": covector.grad(lambda x: np.sum(np.sin(x) ** 3)),
    "grad of a loop": covector.grad(
        lambda x: lax.fori_loop(0, 3, lambda i, c: np.sin(c) * x, x).sum()
    ),
    "vmap": covector.vmap(lambda y: lax.cond(y > 1, np.sin, np.cos, y)),
    "callback": lambda x: covector.pure_callback(lambda y: y + 1, x, x),
    "random": lambda x: covector.random.normal(covector.random.key(0), (3,)) + x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bind_does_what_the_equation_does(name: str) -> None:
    f = FUNCTIONS[name]
    wanted = covector.tree.leaves(f(np.asarray(X)))
    closed = covector.make_jaxpr(f)(X)
    assert isinstance(closed, core.ClosedJaxpr)
    runs = (
        evaluated(closed.jaxpr, closed.consts, X),
        covector.jit(lambda x: evaluated(closed.jaxpr, closed.literals, x))(X),
        core.eval_jaxpr(closed.jaxpr, closed.consts, X),
        core.jaxpr_as_fun(closed)(X),
    )
    for found in runs:
        for x, y in zip(found, wanted, strict=True):
            numpy.testing.assert_allclose(x, y, rtol=1e-6)
    again = covector.make_jaxpr(lambda x: evaluated(closed.jaxpr, closed.consts, x))(X)
    named = [[str(e.primitive) for e in c.jaxpr.eqns] for c in (closed, again)]
    assert named[0] == named[1]


@pytest.mark.parametrize("name", ["elements", "jit", "scan", "while", "cond", "custom_jvp"])
def test_what_is_interpreted_can_be_transformed(name: str) -> None:
    f = FUNCTIONS[name]
    closed = covector.make_jaxpr(f)(X)

    def total(g: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def summed(x: Any) -> Any:
            leaves = covector.tree.leaves(g(x))
            return sum(np.sum(v) for v in leaves if v.dtype.kind == "f")

        return summed

    other = lambda x: evaluated(closed.jaxpr, closed.consts, x)  # noqa: E731
    for transform in (covector.grad, lambda g: covector.jit(covector.grad(g))):
        numpy.testing.assert_allclose(transform(total(other))(X), transform(total(f))(X), rtol=1e-6)


def test_classes_that_libraries_call_arrays() -> None:
    class Held:
        def __array__(self, dtype: Any = None, copy: Any = None) -> numpy.ndarray:
            return numpy.arange(3.0, dtype=numpy.float32)

    for table in (xla.canonicalize_dtype_handlers, core.pytype_aval_mappings):
        table[Held] = table[numpy.ndarray]
    assert np.sum(Held()) == 3
    assert covector.grad(lambda x: np.sum(x * Held()))(np.ones(3)).tolist() == [0, 1, 2]


def test_an_inverse_interpreter() -> None:
    inverses = {
        lax.exp_p: np.log, lax.tanh_p: np.arctanh, lax.log_p: np.exp, lax.neg_p: lambda x: -x,
    }  # fmt: skip

    def inverse(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def inverted(y: Any) -> Any:
            closed = covector.make_jaxpr(f)(y)
            env: dict[Any, Any] = dict(zip(closed.jaxpr.outvars, [y], strict=True))
            for eqn in reversed(closed.jaxpr.eqns):
                if eqn.primitive.name == "jit":  # an inner function
                    (x,) = eqn.invars
                    inner = core.jaxpr_as_fun(eqn.params["jaxpr"])
                    env[x] = inverse(lambda z: inner(z)[0])(env[eqn.outvars[0]])  # noqa: B023
                    continue
                if eqn.primitive not in inverses:
                    raise NotImplementedError(f"{eqn.primitive} does not have a registered inverse")
                env[eqn.invars[0]] = inverses[eqn.primitive](env[eqn.outvars[0]])
            return env[closed.jaxpr.invars[0]]

        return inverted

    f = lambda x: np.exp(np.tanh(-x))  # noqa: E731
    numpy.testing.assert_allclose(inverse(f)(f(X)), X, rtol=1e-4)
    numpy.testing.assert_allclose(covector.jit(covector.vmap(inverse(f)))(f(X)), X, rtol=1e-4)
    g = lambda x: np.exp(covector.jit(np.tanh)(x))  # noqa: E731
    numpy.testing.assert_allclose(inverse(g)(g(X)), X, rtol=1e-4)
    slope = covector.grad(inverse(np.exp))(2.0)
    assert float(slope) == pytest.approx(0.5)
    with pytest.raises(NotImplementedError, match="sin does not have"):
        inverse(np.sin)(X)


def test_a_printing_interpreter() -> None:
    lines: list[str] = []

    def walk(jaxpr: core.Jaxpr, depth: int) -> None:
        for eqn in jaxpr.eqns:
            operands = [
                f"{v.val}" if isinstance(v, core.Literal) else v.aval.text() for v in eqn.invars
            ]
            lines.append(f"{'  ' * depth}{eqn.primitive} {' '.join(operands)}")
            for inner in extend_core.jaxprs_in_params(eqn.params):
                walk(inner, depth + 1)

    f = covector.jit(lambda x: lax.scan(lambda c, y: (c + y, -c), x[0] * 0.0, x)[0] * 2.0)
    walk(covector.make_jaxpr(f)(X).jaxpr, 0)
    text = "\n".join(lines)
    assert lines[0] == "jit float32[3]"
    assert "\n    add float32[] float32[]\n    neg float32[]" in text
    assert lines[-1] == "  mul float32[] 2.0"
    assert str(covector.make_jaxpr(f)(X)) == str(covector.make_jaxpr(f)(X).jaxpr)


def test_a_jaxpr_can_be_changed_and_put_together() -> None:
    closed = covector.make_jaxpr(lambda x: np.sin(x) + TABLE)(X)
    jaxpr = closed.jaxpr
    changed = jaxpr.replace(
        eqns=[e.replace(primitive=lax.cos_p) if e.primitive is lax.sin_p else e for e in jaxpr.eqns]
    )
    again = core.ClosedJaxpr(changed, closed.consts)
    for f in (core.jaxpr_as_fun(again), covector.jit(core.jaxpr_as_fun(again))):
        numpy.testing.assert_allclose(f(X)[0], numpy.cos(X) + numpy.asarray(TABLE), rtol=1e-6)
    numpy.testing.assert_allclose(
        core.eval_jaxpr(changed, closed.consts, X)[0],
        numpy.cos(X) + numpy.asarray(TABLE),
        rtol=1e-6,
    )
    extend_core.check_jaxpr(changed)
    y = extend_core.gensym()(jaxpr.outvars[0].aval)
    twice = extend_core.new_jaxpr_eqn([jaxpr.outvars[0]] * 2, [y], lax.add_p, {})
    longer = jaxpr.replace(eqns=[*jaxpr.eqns, twice], outvars=[y])
    numpy.testing.assert_allclose(
        core.eval_jaxpr(longer, closed.consts, X)[0],
        2 * (numpy.sin(X) + numpy.asarray(TABLE)),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="0 constants for a Jaxpr with 1"):
        core.ClosedJaxpr(jaxpr, ())


def test_a_loop_body_can_be_changed() -> None:
    def turned(jaxpr: core.Jaxpr) -> core.Jaxpr:
        eqns: list[core.JaxprEqn] = []
        for eqn in jaxpr.eqns:
            params = {
                k: core.ClosedJaxpr(turned(v.jaxpr), v.consts)
                if isinstance(v, core.ClosedJaxpr)
                else v
                for k, v in eqn.params.items()
            }
            primitive = lax.cos_p if eqn.primitive is lax.sin_p else eqn.primitive
            eqns.append(eqn.replace(primitive=primitive, params=params))
        return jaxpr.replace(eqns=eqns)

    def loop(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: lax.fori_loop(0, 3, lambda i, c: covector.jit(f)(c) * x, x)

    closed = covector.make_jaxpr(loop(np.sin))(X)
    changed = core.ClosedJaxpr(turned(closed.jaxpr), closed.consts)
    numpy.testing.assert_allclose(core.jaxpr_as_fun(changed)(X)[0], loop(np.cos)(X), rtol=1e-6)


def test_dead_code_and_tracing() -> None:
    jaxpr = covector.make_jaxpr(lambda x, y: (np.sin(x), np.cos(y) * 2))(X, X).jaxpr
    left, used = partial_eval.dce_jaxpr(jaxpr, [True, False])
    assert ([str(e.primitive) for e in left.eqns], used) == (["sin"], [True, False])
    left, used = partial_eval.dce_jaxpr(jaxpr, [True, False], instantiate=True)
    assert (len(left.invars), used) == (2, [True, True])
    numpy.testing.assert_allclose(core.eval_jaxpr(left, [], X, X)[0], numpy.sin(X), rtol=1e-6)


def test_rules_of_our_own_primitives_can_be_read_and_not_changed() -> None:
    out, slope = ad.primitive_jvps[lax.sin_p]((X,), (np.ones(3),))
    numpy.testing.assert_allclose(out, numpy.sin(X), rtol=1e-6)
    numpy.testing.assert_allclose(slope, numpy.cos(X), rtol=1e-6)
    (ct,) = ad.primitive_transposes[lax.neg_p](np.ones(3), ad.UndefinedPrimal(covector.typeof(X)))
    numpy.testing.assert_allclose(ct, -numpy.ones(3))
    rows = np.ones((2, 3))
    out, axis = batching.primitive_batchers[lax.reduce_sum_p]((rows,), (1,), axes=(0,))
    assert (out.shape, axis) == ((3,), 0)
    assert lax.sin_p in ad.primitive_jvps
    assert ad.primitive_jvps.get(extend_core.Primitive("nothing")) is None
    for change in (
        lambda: ad.defjvp(lax.sin_p, lambda t, x: t),
        lambda: lax.sin_p.def_impl(numpy.sin),
        lambda: batching.defvectorized(lax.sin_p),
    ):
        with pytest.raises(TypeError, match="sin is a primitive of Covector's"):
            change()
    with pytest.raises(AttributeError, match="no attribute 'dance_p'"):
        _ = lax.dance_p


def test_known_values_and_what_is_under_a_trace() -> None:
    assert extend_core.concrete_or_error(int, np.asarray(3)) == 3
    with pytest.raises(covector.errors.ConcretizationTypeError, match="the size"):
        covector.jit(lambda x: core.concrete_or_error(int, x, "the size"))(3)
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append((isinstance(x, core.Tracer), isinstance(x, partial_eval.DynamicJaxprTracer)))
        with extend_core.take_current_trace():
            seen.append(isinstance(np.sum(np.arange(3)), core.Tracer))
        return x

    covector.jit(f)(1)
    assert seen == [(True, True), False]
    assert isinstance(np.ones(2), tuple(extend_core.array_types))
