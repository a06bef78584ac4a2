"""Public functions that few programs ask for, each against a formula of NumPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import covector as cv
from covector import core, lax, nn, numpy as cnp, random, sharding, tree, tree_util
from covector.example_libraries import optimizers, stax
from covector.experimental import multihost_utils, ode
from covector.extend import core as extend_core
from covector.interpreters import ad, batching, partial_eval

X = np.linspace(-3, 3, 7, dtype=np.float32)
GRID = np.arange(12, dtype=np.float32).reshape(3, 4)


def hard_swish(x: np.ndarray) -> np.ndarray:
    return x * np.clip(x + 3, 0, 6) / 6


FORMULAS: dict[str, tuple[Callable[[], Any], Any]] = {
    "celu": (lambda: nn.celu(X, 2.0), np.where(X > 0, X, 2 * np.expm1(X / 2))),
    "hard_swish": (lambda: nn.hard_swish(X), hard_swish(X)),
    "squareplus": (lambda: nn.squareplus(X, 3.0), (X + np.sqrt(X * X + 3)) / 2),
    "swish": (lambda: nn.swish(X), X * scipy.special.expit(X)),
    "is_finite": (lambda: lax.is_finite(np.array([1, np.inf, np.nan])), [True, False, False]),
    "reduce_precision": (lambda: lax.reduce_precision(np.float32(1 / 3), 8, 7), 0.333984375),
    "dynamic_update_slice_in_dim": (
        lambda: lax.dynamic_update_slice_in_dim(GRID, np.zeros((3, 2), np.float32), 9, 1),
        np.concatenate([GRID[:, :2], np.zeros((3, 2))], 1),
    ),
    "conv_with_general_padding": (
        lambda: lax.conv_with_general_padding(
            GRID[None, None], np.ones((1, 1, 2, 2), np.float32), (1, 2), [(0, 1), (0, 0)], None, None
        )[0, 0],
        [[10, 18], [26, 34], [17, 21]],
    ),
    "pmf": (lambda: cv.scipy.stats.binom.pmf(2, 4, 0.5), math.comb(4, 2) / 16),
    "key_impl": (lambda: [random.key_impl(random.key(0)) == "threefry2x32"], [True]),
    "add_jaxvals": (lambda: ad.add_jaxvals(X, X), 2 * X),
    "zeros_like_aval": (lambda: ad.zeros_like_aval(cv.typeof(X)), 0 * X),
    "add_tangents": (lambda: ad.add_tangents(X, ad.Zero(cv.typeof(X))), X),
    "global_array_to_host_local_array": (
        lambda: multihost_utils.global_array_to_host_local_array(
            multihost_utils.host_local_array_to_global_array(
                X, cv.make_mesh((1,), ("x",)), sharding.PartitionSpec("x")
            ),
            cv.make_mesh((1,), ("x",)),
            sharding.PartitionSpec("x"),
        ),
        X,
    ),
    "mean_error_ratio": (lambda: ode.mean_error_ratio(X, 0.0, 0.5, X, X), 4.0),
    "optimal_step_size": (lambda: ode.optimal_step_size(1.0, 32.0, order=5.0), 0.45),
    "fit_4th_order_polynomial": (
        lambda: np.polyval(ode.fit_4th_order_polynomial(1.0, 31.0, 4.0625, 2.0, 78.0, 1.0), 0.25),
        np.polyval(np.linalg.solve(
            [[0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], [0, 0, 0, 1, 0], [4, 3, 2, 1, 0]],
            [1.0, 31.0, 4.0625, 2.0, 78.0],
        ), 0.25),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name: str) -> None:
    call, wanted = FORMULAS[name]
    np.testing.assert_allclose(call(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["kaiming_normal", "kaiming_uniform", "xavier_uniform"])
def test_initializers(name: str) -> None:
    drawn = getattr(nn.initializers, name)()(random.key(0), (100, 300), cnp.float32)
    variance = 2 / 100 if name.startswith("kaiming") else 2 / 400
    np.testing.assert_allclose(np.var(drawn), variance, rtol=0.05)
    assert abs(float(drawn.mean())) < 1e-2


# ------------------------------------------------------------------------------------------- example libraries


def two_steps(name: str) -> Any:
    """What two steps of an optimizer make of x, whose gradient is x, in NumPy."""
    x, m, s = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for i in range(2):
        g = x
        if name == "nesterov":
            m = 0.5 * m + g
            x = x - 0.1 * (0.5 * m + g)
        elif name in ("adagrad", "sm3"):
            s = s + g * g
            m = 0.1 * g / np.sqrt(s) + 0.9 * m
            x = x - 0.1 * m
        elif name == "rmsprop_momentum":
            s = 0.9 * s + 0.1 * g * g
            m = 0.9 * m + 0.1 * g / np.sqrt(s + 1e-8)
            x = x - m
        else:
            m = 0.1 * g + 0.9 * m
            s = np.maximum(0.999 * s, np.abs(g))
            x = x - 0.1 / (1 - 0.9 ** (i + 1)) * m / (s + 1e-8)
    return x


@pytest.mark.parametrize("name", ["nesterov", "adagrad", "sm3", "rmsprop_momentum", "adamax"])
def test_optimizers(name: str) -> None:
    mass = (0.5,) if name == "nesterov" else ()
    init, update, params = getattr(optimizers, name)(0.1, *mass)
    state = init({"x": cnp.array([1.0, -2.0])})
    assert isinstance(state, optimizers.OptimizerState)
    for i in range(2):
        state = update(i, params(state), state)
    np.testing.assert_allclose(params(state)["x"], two_steps(name), rtol=1e-5)
    taken = optimizers.unpack_optimizer_state(state)
    assert isinstance(taken["x"], optimizers.JoinPoint)
    again = optimizers.pack_optimizer_state(taken)
    assert tree.map(np.array_equal, params(again), params(state)) == {"x": True}


def test_schedules_and_norms() -> None:
    rates = {
        0.7: optimizers.make_schedule(0.7),
        0.25: optimizers.inverse_time_decay(1.0, 2, 3.0, staircase=True),
        0.4375: optimizers.polynomial_decay(1.0, 4, 0.25, power=2.0),
        3.0: optimizers.piecewise_constant([0, 5], [1.0, 3.0, 9.0]),
    }
    for wanted, schedule in rates.items():
        assert float(schedule(2)) == pytest.approx(wanted)
    given = {"a": np.float32(3), "b": np.array([4.0], np.float32)}
    assert float(optimizers.l2_norm(given)) == 5
    assert float(optimizers.l2_norm(optimizers.clip_grads(given, 2.0))) == pytest.approx(2)


IMAGE = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
LAYERS: dict[str, Any] = {
    "AvgPool": stax.AvgPool((2, 2)),
    "MaxPool": stax.MaxPool((2, 2), (2, 2)),
    "SumPool": stax.SumPool((2, 2), padding="SAME"),
    "Conv1DTranspose": stax.Conv1DTranspose(3, (2,), (2,)),
    "ConvTranspose": stax.ConvTranspose(3, (2, 2), (2, 2)),
    "GeneralConv": stax.GeneralConv(("NCHW", "OIHW", "NHWC"), 3, (2, 2)),
    "GeneralConvTranspose": stax.GeneralConvTranspose(("NHWC", "HWIO", "NHWC"), 3, (2, 2)),
    "two ways": stax.serial(stax.FanOut(2), stax.parallel(stax.Relu, stax.Tanh), stax.FanInConcat()),
    "shape_dependent": stax.serial(stax.Flatten, stax.shape_dependent(lambda s: stax.Dense(s[-1] // 2))),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_the_shapes_that_they_say(name: str) -> None:
    init, apply = LAYERS[name]
    given = IMAGE[0] if name == "Conv1DTranspose" else IMAGE
    shape, weights = init(random.key(0), given.shape)
    out = apply(weights, given, rng=random.key(1))
    assert out.shape == tuple(shape)
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE, (2, 2), (1, 2))
    if name == "AvgPool":
        np.testing.assert_allclose(out, windows.mean((-1, -2)))
    elif name == "MaxPool":
        np.testing.assert_array_equal(out, windows.max((-1, -2))[:, ::2, ::2])


# ---------------------------------------------------------------------------------------------- for libraries


def test_types_and_jaxprs_for_libraries() -> None:
    aval = cv.typeof(GRID)
    assert core.get_aval(GRID) == aval == core.raise_to_shaped(aval)
    assert core.mapped_aval(3, 0, aval).shape == (4,)
    assert core.unmapped_aval(5, 1, aval).shape == (3, 5, 4)
    assert core.unmapped_aval(5, None, aval) == core.mapped_aval(3, None, aval) == aval
    assert (core.max_dim(2, 3), core.min_dim(2, 3)) == (3, 2)
    assert issubclass(core.ShapedArray, core.AbstractValue)
    assert extend_core.valid_jaxtype(GRID)
    assert not extend_core.valid_jaxtype("text")
    assert extend_core.primal_dtype_to_tangent_dtype(np.dtype("int32")) == cv.float0
    closed = cv.make_jaxpr(lambda x: lax.fori_loop(0, x, lambda i, c: c + i, 0))(3)
    assert len(list(extend_core.subjaxprs(closed.jaxpr))) >= 1
    assert all(isinstance(v, core.Var) for v in closed.jaxpr.invars)
    plain = cv.make_jaxpr(lambda x: x * x)(1.0).jaxpr
    assert partial_eval.close_jaxpr(plain).consts == []
    assert partial_eval.abstract_eval_fun(lambda x: [x > 1], aval)[0].dtype == np.bool_
    both = [aval, aval]
    traced, _, _ = partial_eval.trace_to_jaxpr_dynamic(
        lambda x: [(x + 1, x * x)[1]], both, keep_inputs=[False, True]
    )
    assert len(traced.invars) == 2
    assert traced.eqns[-1].invars == [traced.invars[1]] * 2
    less, _, _ = partial_eval.trace_to_jaxpr_dynamic(
        lambda x, y: [(x + 1, x * y)[1]], both, auto_dce=True
    )
    assert [len(traced.eqns), len(less.eqns)] == [2, 1]
    found, avals, _ = partial_eval.trace_to_jaxpr_dynamic(lambda x: [x * x], [aval])
    assert (len(found.eqns), avals) == (1, [aval])
    with core.eval_context():
        assert float(cnp.sum(GRID)) == 66


def test_gradients_take_no_axes_to_sum_over() -> None:
    for of in (cv.grad, cv.value_and_grad, lambda f, **k: cv.vjp(f, 1.0, **k)):
        assert of(cnp.sin, reduce_axes=()) is not None
        with pytest.raises(NotImplementedError, match="with reduce_axes="):
            of(cnp.sin, reduce_axes=("i",))
    with pytest.raises(NotImplementedError, match="linear_transpose with reduce_axes"):
        cv.linear_transpose(lambda x: x, 1.0, reduce_axes=("i",))


def test_functions_whose_name_is_no_text() -> None:
    class Module:
        __name__ = 3
        __annotations__ = property(lambda self: 5)  # type: ignore[assignment]

        def __call__(self, x: Any) -> Any:
            return x * x

    f = Module()
    assert cv.vmap(f)(cnp.arange(3)).tolist() == [0, 1, 4]
    assert float(cv.grad(f)(3.0)) == float(cv.jacfwd(f)(3.0)) == 6
    assert float(cv.checkpoint(f)(3.0)) == float(cv.jit(f)(3.0)) == 9


def test_where_one_is() -> None:
    seen: list[tuple[bool, bool, Any, Any]] = []

    def f(x: Any) -> Any:
        under_jit = extend_core.unsafe_am_i_under_a_jit_DO_NOT_USE()
        under_vmap = extend_core.unsafe_am_i_under_a_vmap_DO_NOT_USE()
        names = extend_core.unsafe_get_axis_names_DO_NOT_USE()
        seen.append((under_jit, under_vmap, list(names), extend_core.get_opaque_trace_state()))
        return x

    f(1.0)
    cv.make_jaxpr(f)(1.0)
    cv.vmap(f, axis_name="i")(cnp.ones(2))
    assert [s[:3] for s in seen] == [(False, False, []), (True, False, []), (False, True, ["i"])]
    assert seen[0][3] == extend_core.get_opaque_trace_state() != seen[1][3]


def test_rules_by_table() -> None:
    scaled = extend_core.Primitive("scaled")
    scaled.def_impl(lambda x, *, by: x * by)
    scaled.def_abstract_eval(lambda x, *, by: x)
    ad.deflinear2(scaled, lambda ct, x, *, by: [scaled.bind(ct, by=by)])
    batching.defbroadcasting(scaled)
    assert float(cv.grad(lambda x: scaled.bind(x, by=3.0))(1.0)) == 3
    assert cv.vmap(lambda x: scaled.bind(x, by=2.0))(X).tolist() == (2 * X).tolist()
    assert ad.get_primitive_transpose(scaled) is not None
    squared = extend_core.Primitive("squared")
    squared.def_impl(lambda x: x * x)
    squared.def_abstract_eval(lambda x: x)
    ad.defjvp2(squared, lambda t, out, x: 2 * t * out / x)
    assert float(cv.grad(squared.bind)(3.0)) == 6
    with pytest.raises(NotImplementedError, match="transpose"):
        ad.get_primitive_transpose(squared)


def test_places() -> None:
    one = sharding.make_single_device_sharding(cv.devices()[0])
    assert one.device_set == {cv.devices()[0]}
    assert cv.device_count() == 1
    x = cv.device_put(GRID, one)
    (shard,) = x.addressable_shards
    assert isinstance(shard, cv.Shard)
    np.testing.assert_array_equal(shard.data, GRID)
    for guard in ("device_to_device", "device_to_host", "host_to_device"):
        with getattr(cv, f"transfer_guard_{guard}")("allow"):
            assert float(cnp.sum(x)) == 66


def test_the_trees_of_tree_util_are_those_of_tree() -> None:
    given = {"b": [1, 2], "a": (3,)}
    assert tree_util.tree_leaves(given) == tree.leaves(given) == [3, 1, 2]
    assert tree_util.tree_structure(given) == tree.structure(given)
    assert tree_util.tree_map(lambda x: x + 1, given) == {"b": [2, 3], "a": (4,)}
    assert tree_util.tree_reduce(max, given) == 3
    assert tree_util.tree_reduce_associative(max, given) == 3
    assert tree_util.tree_all({"x": True})
    assert tree_util.tree_broadcast(0, given) == {"b": [0, 0], "a": (0,)}
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_leaves_with_path(given)]
    assert paths == ["['a'][0]", "['b'][0]", "['b'][1]"]
    assert [p for p, _ in tree_util.tree_flatten_with_path(given)[0]] == [
        p for p, _ in tree_util.tree_leaves_with_path(given)
    ]
    found = tree_util.tree_map_with_path(lambda path, x: (len(path), x), given)
    assert found == {"b": [(2, 1), (2, 2)], "a": ((2, 3),)}
    outer, inner = tree.structure([0, 0]), tree.structure({"x": 0})
    assert tree_util.tree_transpose(outer, inner, [{"x": 1}, {"x": 2}]) == {"x": [1, 2]}


def test_what_is_left_of_a_division_is_no_number_if_that_was_none() -> None:
    of = [4, -1, -3]
    for u, v in ((of, [np.nan]), (of, [np.nan, 1]), (of, [np.inf]), ([4, np.inf, -3], [2, 1])):
        quotient, left = cnp.polydiv(np.float32(u), np.float32(v))
        with np.errstate(all="ignore"):
            wanted, _ = np.polydiv(u, v)
        np.testing.assert_allclose(quotient, wanted[: len(quotient)])
        assert np.isnan(left).any()
    assert cnp.polydiv(cnp.array([1.0, 3, 3]), cnp.array([0.1, 0.7]))[1].tolist()[:2] == [0, 0]


def test_covariances_of_too_few_observations() -> None:
    assert np.isnan(cnp.cov(cnp.zeros((2, 0)))).all()
    assert np.isnan(cnp.cov(cnp.ones((2, 1)))).all()
    assert cnp.cov(cnp.array([1.0, 2.0]), ddof=3) == np.inf


@pytest.mark.parametrize("name", ["median", "quantile", "percentile", "nanmedian", "nanquantile"])
def test_middles_of_no_rows(name: str) -> None:
    f = getattr(cnp, name)
    q = () if "median" in name else (0.5,)
    x = cnp.zeros((0, 3))
    assert f(x, *q, axis=1).shape == (0,)
    assert f(x, *q, axis=-1, keepdims=True).shape == (0, 1)
    assert f(cnp.zeros((2, 0, 0)), *q, axis=2).shape == (2, 0)
    if "nan" not in name:
        with pytest.raises(ValueError, match="without elements"):
            f(x, *q, axis=0)


def test_ufuncs_with_methods_of_their_own() -> None:
    seen: list[Any] = []

    def noted(name: str) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            seen.append((name, len(args), kwargs))
            return args[0]

        return function

    x = cnp.ones(3)
    names = ("call", "reduce", "accumulate", "at", "reduceat")
    f = cnp.ufunc(lambda a, b: a, 2, 1, nargs=3, **{n: noted(n) for n in names})
    f(x, x)
    f.reduce(x, keepdims=True)
    f.accumulate(x, -1)
    f.at(x, cnp.array(0), 1.0, inplace=False)
    f.reduceat(x, cnp.array([0]))
    options = {"axis": 0, "dtype": None}
    assert seen == [
        ("call", 2, {}),
        ("reduce", 1, {**options, "keepdims": True, "initial": None, "where": None}),
        ("accumulate", 1, {**options, "axis": -1}),
        ("at", 3, {}),
        ("reduceat", 2, options),
    ]
    assert f.nargs == 3
    with pytest.raises(ValueError, match="inplace=False"):
        f.at(x, cnp.array(0), 1.0)
    assert f.outer(x, x).shape == (3, 1)  # of the call, which gives the first operand as it is
