"""Equations as interpreters for JAX read them: names of primitives, parameters and operands; and binding with these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import covector
import covector.numpy as np
from covector import core, lax
from covector.extend import core as extend_core
from covector.interpreters import ad, batching, mlir, partial_eval

X = np.arange(12.0).reshape(3, 4)
V = np.arange(4.0)

# What is called, and of the last equation of that name the parameters, as text.
READ: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("dot_general", lambda x: x @ x.T, {"dimension_numbers": (((1,), (0,)), ((), ())), "precision": None}),
    ("reduce_sum", lambda x: x.sum(0), {"axes": (0,)}),
    ("argmax", lambda x: x.argmax(1), {"axes": (1,), "index_dtype": np.int32}),
    ("reshape", lambda x: x.reshape(4, 3), {"new_sizes": (4, 3), "dimensions": None}),
    ("broadcast_in_dim", lambda x: np.broadcast_to(x, (2, 3, 4)), {"shape": (2, 3, 4), "broadcast_dimensions": (1, 2)}),
    ("convert_element_type", lambda x: x.astype(int), {"new_dtype": np.int32, "weak_type": False}),
    ("slice", lambda x: lax.slice(x, (0, 1), (3, 4)), {"start_indices": (0, 1), "strides": None}),
    ("slice", lambda x: lax.slice(x, (0, 1), (3, 4), (2, 1)), {"strides": (2, 1)}),
    ("dynamic_slice", lambda x: lax.dynamic_slice(x, (x[0, 0].astype(int), 0), (1, 2)), {"slice_sizes": (1, 2)}),
    ("concatenate", lambda x: np.concatenate([x, x], 1), {"dimension": 1}),
    ("pad", lambda x: np.pad(x, ((1, 0), (0, 2))), {"padding_config": ((1, 0, 0), (0, 2, 0))}),
    ("rev", lambda x: x[::-1], {"dimensions": (0,)}),
    ("iota", lambda x: x + lax.broadcasted_iota(np.float32, (3, 4), 1), {"dimension": 1, "shape": (3, 4)}),
    ("integer_pow", lambda x: x**3, {"y": 3}),
    ("integer_pow", lambda x: x**2, {"y": 2}),
    ("bitcast_convert_type", lambda x: lax.bitcast_convert_type(x, np.int32), {"new_dtype": np.int32}),
    ("gather", lambda x: x[np.array([0, 2])], {"slice_sizes": (1, 4), "indices_are_sorted": False}),
    ("scatter-add", lambda x: x.at[np.array([0, 2])].add(1.0), {"unique_indices": False}),
    ("select_n", lambda x: np.where(x > 1, x, 0.0), {}),
    ("jit", covector.jit(np.sin), {"name": "sin", "inline": False}),
    ("scan", lambda x: lax.scan(lambda c, a: (c + a, c), V, x), {"length": 3, "reverse": False, "num_carry": 1}),
    ("while", lambda x: lax.while_loop(lambda c: c.sum() < x.sum(), lambda c: c + x, x - 1), {"body_nconsts": 1}),
    ("cond", lambda x: lax.cond(x[0, 0] > 0, np.sin, np.cos, x), {}),
    ("custom_jvp_call", lambda x: covector.nn.relu6(SMOOTH(x)), {}),
    ("name", lambda x: covector.ad_checkpoint.checkpoint_name(x, "here"), {"name": "here"}),
    ("pure_callback", lambda x: covector.pure_callback(lambda a: a, x, x), {"vmap_method": None}),
    ("triangular_solve", lambda x: lax.linalg.triangular_solve(x.T @ x, x), {"left_side": False, "lower": False}),
]  # fmt: skip
SMOOTH = covector.custom_jvp(lambda x: x * 2)
SMOOTH.defjvp(lambda primals, tangents: (SMOOTH(*primals), tangents[0] * 2))


def evaluated(jaxpr: core.Jaxpr, consts: Any, *args: Any) -> list[Any]:
    """Equation by equation, into loops with a condition as interpreters go there."""
    env: dict[Any, Any] = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True)
    )
    for eqn in jaxpr.eqns:
        xs = [v.val if isinstance(v, core.Literal) else env[v] for v in eqn.invars]
        params = eqn.primitive.get_bind_params(eqn.params)
        if eqn.primitive.name == "while":
            n, m = params["cond_nconsts"], params["body_nconsts"]
            holds, step = params["cond_jaxpr"], params["body_jaxpr"]
            outs = xs[n + m :]
            while evaluated(holds.jaxpr, holds.consts, *xs[:n], *outs)[0]:
                outs = evaluated(step.jaxpr, step.consts, *xs[n : n + m], *outs)
        else:
            out = eqn.primitive.bind(*xs, **params)
            outs = out if eqn.primitive.multiple_results else [out]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [v.val if isinstance(v, core.Literal) else env[v] for v in jaxpr.outvars]


@pytest.mark.parametrize("number", range(len(READ)), ids=lambda i: READ[i][0])
def test_parameters_are_those_of_jax(number: int) -> None:
    name, f, wanted = READ[number]
    closed = covector.make_jaxpr(f)(X)
    eqns = [e for e in closed.jaxpr.eqns if e.primitive.name == name]
    assert eqns, [e.primitive.name for e in closed.jaxpr.eqns]
    found = eqns[-1].params
    assert {key: found.get(key, "nothing") for key in wanted} == wanted
    outs = evaluated(closed.jaxpr, closed.consts, X)
    for x, y in zip(outs, covector.tree.leaves(f(X)), strict=True):
        numpy.testing.assert_allclose(x, y, rtol=1e-6)
    for table in (ad.primitive_jvps, batching.primitive_batchers):
        assert eqns[-1].primitive in table


def test_a_loop_is_bound_with_constants_of_each_side() -> None:
    f = lambda x, y: lax.while_loop(lambda c: c < x, lambda c: c + y, 0.0)  # noqa: E731
    closed = covector.make_jaxpr(f)(5.0, 2.0)
    (eqn,) = closed.jaxpr.eqns
    n, m = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    assert len(eqn.invars) == n + m + 1
    assert eqn.invars[:n] == eqn.invars[n : n + m]
    order = [eqn.invars[:n].index(v) for v in closed.jaxpr.invars]
    if order == [1, 0]:
        apart = lambda a, b: eqn.primitive.bind(b, a, a, b + 1, 0.0, **eqn.params)[0]  # noqa: E731
    else:
        apart = lambda a, b: eqn.primitive.bind(a, b, a, b + 1, 0.0, **eqn.params)[0]  # noqa: E731
    assert float(apart(5.0, 2.0)) == float(covector.jit(apart)(5.0, 2.0)) == 6.0
    numpy.testing.assert_allclose(covector.grad(apart, 1)(5.0, 2.0), 2.0)


def test_a_choice_has_its_cases_in_the_order_of_their_numbers() -> None:
    which, a, b = V > 1, V, -V
    assert lax.select_n_p.bind(which, a, b).tolist() == [0, 1, -2, -3]
    assert lax.select_n_p.bind(np.array([0, 2, 1, 2]), a, b, a + 9).tolist() == [0, 10, -2, 12]
    (eqn,) = covector.make_jaxpr(lambda p, x, y: np.where(p, x, y))(which, a, b).jaxpr.eqns
    assert eqn.primitive is lax.select_n_p
    assert [v.aval.dtype for v in eqn.invars] == [np.bool_, np.float32, np.float32]
    out, tangent = ad.primitive_jvps[lax.select_n_p]((which, a, b), (ad.Zero(which.aval), a, b))
    assert out.tolist() == tangent.tolist() == [0, 1, -2, -3]
    out, axis = batching.primitive_batchers[lax.select_n_p]((which, a, b), (0, 0, 0))
    assert (out.tolist(), axis) == ([0, 1, -2, -3], 0)
    linear = ad.UndefinedPrimal(a.aval)
    backs = ad.primitive_transposes[lax.select_n_p](np.ones(4), which, linear, linear)
    assert [None if x is None else x.tolist() for x in backs] == [None, [1, 1, 0, 0], [0, 0, 1, 1]]


def test_options_of_jax_that_say_nothing_here() -> None:
    assert float(lax.exp_p.bind(0.0, accuracy=None)) == 1.0
    assert float(lax.mul_p.bind(2.0, 3.0, out_dtype=None)) == 6.0
    assert lax.reduce_sum_p.bind(V, axes=(0,), out_sharding=None) == 6
    with pytest.raises(TypeError, match="accuracy"):
        lax.exp_p.bind(0.0, accuracy="high")


def test_a_class_of_a_users_keeps_its_own_names() -> None:
    @covector.extend.record
    class Pad(covector.extend.Composite):
        low: int
        name = "pad"

        def compute(self, x: Any) -> Any:
            return x + self.low

    (eqn,) = covector.make_jaxpr(Pad(2))(1.0).jaxpr.eqns
    assert eqn.params == {"low": 2}
    assert float(eqn.primitive.bind(1.0, **eqn.params)) == 3.0


@pytest.mark.parametrize("effect", [False, True])
def test_a_python_function_is_a_lowering(effect: bool) -> None:
    calls: list[Any] = []
    both_p = extend_core.Primitive("both")
    both_p.multiple_results = True
    both_p.def_abstract_eval(lambda x: [x, x.update(shape=())])

    def rule(ctx: Any, x: Any) -> Any:
        def run(x: Any) -> tuple[Any, ...]:
            calls.append(type(x))
            return numpy.sort(x), numpy.sum(x)

        outs, token, _ = mlir.emit_python_callback(
            ctx, run, "token", [x], ctx.avals_in, ctx.avals_out, has_side_effect=effect
        )
        assert token == "token"
        return outs

    mlir.register_lowering(both_p, rule)
    ordered, total = covector.jit(both_p.bind)(-V)
    assert (ordered.tolist(), float(total)) == ([-3, -2, -1, 0], -6)
    assert len(calls) == 1


def test_parts_of_interpreters() -> None:
    closed = covector.make_jaxpr(lambda x, y: (x * y, y + V))(2.0, 3.0)
    moved = partial_eval.convert_constvars_jaxpr(closed.jaxpr)
    assert (len(moved.constvars), len(moved.invars)) == (0, 3)
    again = core.eval_jaxpr(moved, [], *closed.consts, 2.0, 3.0)
    numpy.testing.assert_array_equal(again[1], 3 + V)
    pruned = partial_eval.prune_closed_jaxpr_outputs(closed, [False, True])
    numpy.testing.assert_array_equal(core.jaxpr_as_fun(pruned)(2.0, 3.0)[0], 3 + V)
    pushed, live = ad.jvp_jaxpr(closed, [False, True], [True, False])
    assert live == [True, True]
    assert float(core.jaxpr_as_fun(pushed)(2.0, 3.0, 1.0)[2]) == 2.0
    total_p = extend_core.Primitive("total")
    total_p.def_impl(lambda x, *, axes: numpy.sum(x, axes))
    total_p.def_abstract_eval(lambda x, *, axes: x.update(shape=tuple(
        [n for i, n in enumerate(x.shape) if i not in axes]
    )))  # fmt: skip
    batching.defreducer(total_p)
    x = np.arange(24.0).reshape(2, 3, 4)
    for axis in range(3):
        found = covector.vmap(lambda v: total_p.bind(v, axes=(1,)), in_axes=axis)(x)
        numpy.testing.assert_array_equal(found, covector.vmap(lambda v: v.sum(1), in_axes=axis)(x))


# Texts are JAX's own.
TEXTS: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (lax.sin, (V,), "{ lambda ; a:f32[4]. let b:f32[4] = sin a in (b,) }"),
    (lambda x: lax.integer_pow(x, 3), (V,), "{ lambda ; a:f32[4]. let b:f32[4] = integer_pow[y=3] a in (b,) }"),
    (lambda x: 1, (V,), "{ lambda ; a:f32[4]. let  in (1:i32[],) }"),
    (lambda x: lax.reduce_sum(x, (0,)), (X,), """
{ lambda ; a:f32[3,4]. let
    b:f32[4] = reduce_sum[axes=(0,) out_sharding=None] a
  in (b,) }"""),
    (lambda x: lax.sort(x), (V,), """
{ lambda ; a:f32[4]. let
    b:f32[4] = sort[dimension=0 is_stable=True num_keys=1] a
  in (b,) }"""),
    (lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ()))), (X, X.T), """
{ lambda ; a:f32[3,4] b:f32[4,3]. let
    c:f32[3,3] = dot_general[dimension_numbers=(([1], [0]), ([], []))] a b
  in (c,) }"""),
    (covector.checkpoint(np.sin), (1.0,), """
{ lambda ; a:f32[]. let
    b:f32[] = remat2[
      differentiated=False
      jaxpr={ lambda ; c:f32[]. let d:f32[] = sin c in (d,) }
      policy=None
      prevent_cse=True
    ] a
  in (b,) }"""),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_texts_are_those_of_jax(number: int) -> None:
    f, args, wanted = TEXTS[number]
    closed = covector.make_jaxpr(f)(*args)
    assert closed.pretty_print() == closed.jaxpr.pretty_print() == wanted.strip()


def test_texts_tell_lines_and_names() -> None:
    def f(x: Any) -> Any:
        with covector.named_scope("outer"), covector.named_scope("inner"):
            return np.sin(x)

    closed = covector.make_jaxpr(f)(1.0)
    (eqn,) = closed.jaxpr.eqns
    assert eqn.source_info.name_stack == "outer/inner"
    assert "# [outer/inner]" in closed.pretty_print(name_stack=True)
    assert "test_parameters.py:" in closed.pretty_print(source_info=True)
    assert "outer/inner" in covector.jit(f).lower(1.0).as_text()
    shapeless = closed.pretty_print(print_shapes=False)
    assert shapeless == "{ lambda ; a. let b = sin a in (b,) }"


def test_what_follows_from_operands_is_bound_with_no_other_value() -> None:
    x = np.array([[3.0, 1.0], [0.0, 2.0]])
    (eqn,) = covector.make_jaxpr(lambda x: lax.sort(x))(x).jaxpr.eqns
    assert eqn.params == {"dimension": 1, "is_stable": True, "num_keys": 1}
    assert eqn.primitive.bind(x, **eqn.params)[0].tolist() == [1.0, 3.0]
    with pytest.raises(NotImplementedError, match="dimension=0"):
        eqn.primitive.bind(x, dimension=0, is_stable=True, num_keys=1)
    assert lax.sort_p.bind(x, dimension=0, is_stable=True, num_keys=1)[0].tolist()[0] == [0.0, 1.0]
    (eqn,) = covector.make_jaxpr(lambda x: lax.top_k(x, 1))(x).jaxpr.eqns
    assert eqn.params == {"k": 1, "axis": 1, "is_stable": True}
    assert eqn.primitive.bind(x, **eqn.params)[0].tolist() == [[3.0], [2.0]]
    given = {"dimension": 0, "is_stable": True, "num_keys": 1}
    (eqn,) = covector.make_jaxpr(lambda x: lax.sort(x))(x[0]).jaxpr.eqns
    out, axis = batching.primitive_batchers[eqn.primitive]((x,), (0,), **given)
    assert (out.tolist(), axis) == ([[1.0, 3.0], [0.0, 2.0]], 0)


def test_effects_of_views_are_what_is_done_anyhow() -> None:
    closed = covector.make_jaxpr(lambda x: covector.pure_callback(lambda a: a, x, x))(X)
    assert not closed.jaxpr.effects
    shown = covector.make_jaxpr(lambda x: covector.debug.print("{}", x))(X)
    assert shown.jaxpr.effects


def test_equations_of_closed_jaxprs_have_the_names_of_jax_too() -> None:
    def f(x: Any) -> Any:
        return lax.cond(x[0, 0] > 0, np.sin, np.cos, np.broadcast_to(x.sum(0), (2, 4)))

    closed = covector.make_jaxpr(f)(X)
    for ours, theirs in zip(closed.eqns, closed.jaxpr.eqns, strict=True):
        assert ours.invars == theirs.invars
        assert ours.outvars == theirs.outvars
        assert str(ours.params) == str(theirs.params)
        assert ours.source_info is theirs.source_info
    outs = core.eval_jaxpr(closed, closed.consts, X)
    numpy.testing.assert_allclose(outs[0], f(X), rtol=1e-6)
