"""Primitives by name, whose rules are put into tables, as libraries for JAX define them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy
import pytest

import covector
import covector.numpy as np
from covector import core, lax
from covector.errors import MissingRuleError
from covector.extend.core import Effect, Primitive
from covector.interpreters import ad, batching, mlir, xla

X = numpy.array([0.5, 1.25, 2.0])


def multiply_add() -> Primitive:
    """x * y + z, with all rules, as the tutorial of primitives has it."""
    p = Primitive("multiply_add")
    p.def_impl(lambda x, y, z: numpy.add(numpy.multiply(x, y), z))
    p.def_abstract_eval(lambda x, y, z: core.ShapedArray(x.shape, x.dtype))
    mlir.register_lowering(
        p, mlir.lower_fun(lambda x, y, z: x * y + z, multiple_results=False), platform="cpu"
    )

    def jvp(primals: Any, tangents: Any) -> Any:
        x, y, z = primals
        xt, yt, zt = map(ad.instantiate_zeros, tangents)
        return p.bind(x, y, z), p.bind(xt, y, p.bind(x, yt, zt))

    def transpose(ct: Any, x: Any, y: Any, z: Any) -> Any:
        if not ad.is_undefined_primal(x):
            assert ad.is_undefined_primal(y)
            ct_y = ad.Zero(y.aval) if type(ct) is ad.Zero else p.bind(x, ct, np.zeros_like(x))
            return None, ct_y, ct
        ct_x = ad.Zero(x.aval) if type(ct) is ad.Zero else p.bind(ct, y, np.zeros_like(y))
        return ct_x, None, ct

    def batch(args: Any, axes: Any) -> Any:
        size = next(x.shape[a] for x, a in zip(args, axes, strict=True) if a is not None)
        front = [batching.bdim_at_front(x, a, size) for x, a in zip(args, axes, strict=True)]
        return p.bind(*front), 0

    ad.primitive_jvps[p] = jvp
    ad.primitive_transposes[p] = transpose
    batching.primitive_batchers[p] = batch
    return p


MULTIPLY_ADD = multiply_add()


def square_add(a: Any, b: Any) -> Any:
    return MULTIPLY_ADD.bind(a, a, b)


def plain(a: Any, b: Any) -> Any:
    return a * a + b


def total(h: Any) -> Any:
    return lambda a, b: np.sum(np.sin(h(a, b)))


TRANSFORMS: dict[str, Any] = {
    "eager": lambda h: h,
    "jit": covector.jit,
    "vmap": lambda h: covector.vmap(h, (0, 0)),
    "grad": lambda h: covector.grad(total(h), argnums=(0, 1)),
    "jit grad": lambda h: covector.jit(covector.grad(total(h), argnums=(0, 1))),
    "vmap grad": lambda h: covector.vmap(covector.grad(total(h))),
    "jvp": lambda h: lambda a, b: covector.jvp(h, (a, b), (a, b)),
    "hessian": lambda h: covector.hessian(total(h)),
    "scan": lambda h: lambda a, b: lax.scan(lambda c, x: (h(c, x), h(x, c)), b[0], a),
    "grad of a loop": lambda h: covector.grad(
        lambda a, b: lax.fori_loop(0, 3, lambda i, c: h(c, a), b).sum()
    ),
    "checkpoint": lambda h: covector.grad(covector.checkpoint(total(h))),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_primitive_of_the_tutorial(name: str) -> None:
    ours, theirs = (
        covector.tree.leaves(TRANSFORMS[name](h)(X, X + 1)) for h in (square_add, plain)
    )
    for x, y in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(x, y, rtol=1e-9)


def test_axes_of_a_batch_rule() -> None:
    rows = X[None] + X[:, None]
    found = covector.vmap(square_add, (1, 0), 1)(rows, rows)
    numpy.testing.assert_allclose(found, (rows.T**2 + rows).T)


def test_views_of_its_equations() -> None:
    closed = covector.make_jaxpr(square_add)(X, X)
    (eqn,) = closed.jaxpr.eqns
    assert eqn.primitive is MULTIPLY_ADD
    assert eqn.params == {}
    numpy.testing.assert_allclose(core.eval_jaxpr(closed.jaxpr, [], X, X)[0], X * X + X)
    numpy.testing.assert_allclose(eqn.primitive.bind(X, X, X), X * X + X)
    assert "multiply_add" in str(closed)


def test_linear_and_bilinear_primitives_with_parameters() -> None:
    scale = Primitive("scale")
    scale.def_abstract_eval(lambda x, *, by: x)
    mlir.register_lowering(scale, mlir.lower_fun(lambda x, *, by: x * by, multiple_results=False))
    ad.deflinear(scale, lambda ct, *, by: [scale.bind(ct, by=by)])
    batching.defvectorized(scale)
    f = lambda x: np.sum(scale.bind(x, by=3.0) ** 2)  # noqa: E731
    numpy.testing.assert_allclose(covector.grad(f)(X), 18 * X)
    numpy.testing.assert_allclose(covector.jit(covector.grad(f))(X), 18 * X)
    numpy.testing.assert_allclose(
        covector.vmap(lambda x: scale.bind(x, by=2.0), 1, 1)(X[None] + X[:, None]),
        2 * (X[None] + X[:, None]),
    )
    numpy.testing.assert_allclose(
        covector.linear_transpose(lambda x: scale.bind(x, by=2.0), X)(X)[0], 2 * X
    )
    outer = Primitive("outer")
    outer.def_abstract_eval(lambda x, y: x.update(shape=(*x.shape, *y.shape)))
    mlir.register_lowering(outer, lambda ctx, x, y: [x[:, None] * y[None]])
    ad.defbilinear(outer, lambda ct, x, y: ct @ y, lambda ct, x, y: x @ ct)
    g = lambda x, y: np.sum(np.sin(outer.bind(x, y)))  # noqa: E731
    h = lambda x, y: np.sum(np.sin(x[:, None] * y[None]))  # noqa: E731
    for argnums in (0, 1):
        numpy.testing.assert_allclose(
            covector.jit(covector.grad(g, argnums))(X, X + 1),
            covector.grad(h, argnums)(X, X + 1),
            rtol=1e-9,
        )


def test_several_results() -> None:
    p = Primitive("sin_cos")
    p.multiple_results = True
    p.def_impl(partial(xla.apply_primitive, p))
    p.def_abstract_eval(lambda x: [x, x])
    mlir.register_lowering(p, mlir.lower_fun(lambda x: (np.sin(x), np.cos(x))))

    def jvp(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        s, c = p.bind(x)
        return [s, c], [t * c, -t * s]

    ad.primitive_jvps[p] = jvp
    batching.primitive_batchers[p] = lambda args, dims: (p.bind(*args), [dims[0], dims[0]])
    found = p.bind(X)
    assert type(found) is list
    for x, y in zip(
        (*found, *covector.jit(p.bind)(X)), (numpy.sin(X), numpy.cos(X)) * 2, strict=True
    ):
        numpy.testing.assert_allclose(x, y, rtol=1e-9)
    f = lambda x: p.bind(x)[0] * 2 + p.bind(x)[1]  # noqa: E731
    wanted = 2 * numpy.cos(X) - numpy.sin(X)
    for g in (covector.vmap(covector.grad(f)), covector.jit(covector.grad(lambda x: np.sum(f(x))))):
        numpy.testing.assert_allclose(g(X), wanted, rtol=1e-9)


def test_the_named_axis_reaches_a_fancy_batcher() -> None:
    p = Primitive("shifted")
    p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(p, mlir.lower_fun(lambda x: x, multiple_results=False))
    seen: list[Any] = []

    def batch(axis: Any, args: Any, dims: Any) -> Any:
        seen.append((axis.size, axis.name))
        return np.roll(args[0], 1, dims[0]), dims[0]

    batching.fancy_primitive_batchers[p] = batch
    numpy.testing.assert_allclose(covector.vmap(p.bind, axis_name="i")(X), numpy.roll(X, 1))
    assert seen == [(3, "i")]


def test_only_an_implementation_on_arrays() -> None:
    p = Primitive("median")
    calls: list[str] = []

    def median(x: Any, *, axis: int) -> Any:
        calls.append(type(x).__name__)
        return numpy.median(numpy.asarray(x), axis)

    p.def_impl(median)
    assert float(p.bind(X, axis=0)) == 1.25  # no type is needed there
    with pytest.raises(MissingRuleError, match=r"median.*no type rule.*def_abstract_eval"):
        covector.jit(lambda x: p.bind(x, axis=0))(X)
    p.def_abstract_eval(lambda x, *, axis: core.ShapedArray(x.shape[:-1], x.dtype))
    assert float(covector.jit(lambda x: p.bind(x * 2, axis=0) + 1)(X)) == 3.5
    last, _ = lax.scan(
        lambda c, r: (c + p.bind(r, axis=0), None), 0.0 * X[0], numpy.stack([X, X + 1])
    )
    assert float(last) == 3.5
    before = len(calls)
    covector.jit(lambda x: (p.bind(x, axis=0), x)[1])(X)
    assert len(calls) == before  # nobody reads the result


def test_effects_are_kept() -> None:
    p, seen = Primitive("note"), []

    def note(x: Any) -> Any:
        seen.append(float(x))
        return x

    p.def_impl(note)
    p.def_effectful_abstract_eval(lambda x: (x, {Effect("note")}))
    covector.block_until_ready(covector.jit(lambda x: (p.bind(x), x + 1)[1])(2.0))
    assert seen == [2.0]


def test_missing_rules_and_wrong_lowerings_are_named() -> None:
    p = Primitive("bare")
    p.def_abstract_eval(lambda x: x)
    with pytest.raises(MissingRuleError, match=r"bare.*no implementation.*register_lowering"):
        covector.jit(p.bind)(1.0)
    mlir.register_lowering(p, lambda ctx, x: [x])
    assert float(covector.jit(p.bind)(1.0)) == 1
    with pytest.raises(MissingRuleError, match=r"bare.*no jvp rule.*primitive_jvps"):
        covector.grad(p.bind)(1.0)
    with pytest.raises(MissingRuleError, match=r"bare.*no batch rule.*primitive_batchers"):
        covector.vmap(p.bind)(X)
    q = Primitive("wrong")
    q.def_abstract_eval(lambda x: x)
    mlir.register_lowering(q, lambda ctx, x: [x[:1]])
    with pytest.raises(
        TypeError, match=r"the lowering of 'wrong' gives float64\[1\]; by its.*float64\[3\]"
    ):
        covector.jit(q.bind)(X)
    r = Primitive("dialect")
    r.def_abstract_eval(lambda x: x)
    mlir.register_lowering(r, lambda ctx, x: mlir.hlo.AddOp(x, x).results)  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"no MLIR in Covector.*lower_fun"):
        covector.jit(r.bind)(1.0)


def test_array_parameters_and_functions_as_parameters() -> None:
    p = Primitive("applied")
    p.def_abstract_eval(lambda x, *, f, table: x)
    mlir.register_lowering(
        p, mlir.lower_fun(lambda x, *, f, table: f(x) + np.asarray(table), multiple_results=False)
    )
    found = covector.jit(lambda x: p.bind(x, f=np.sin, table=X))(X)
    numpy.testing.assert_allclose(found, numpy.sin(X) + X)
    closed = covector.make_jaxpr(lambda x: p.bind(x, f=np.sin, table=X))(X)
    (eqn,) = closed.jaxpr.eqns
    assert (len(eqn.invars), sorted(eqn.params)) == (1, ["f", "table"])
    numpy.testing.assert_allclose(eqn.primitive.bind(X, **eqn.params), numpy.sin(X) + X)
    numpy.testing.assert_allclose(
        core.eval_jaxpr(closed.jaxpr, closed.consts, X)[0], numpy.sin(X) + X
    )
