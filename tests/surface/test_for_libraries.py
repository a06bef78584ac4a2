"""What libraries for JAX ask for beside its functions: trees with keys, types, flags, rules, one-device meshes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import flatten_util, lax, numpy as cnp, random, test_util, tree, tree_util
from covector.custom_derivatives import zero_from_primal
from covector.extend import core, linear_util
from covector.interpreters import batching
from covector.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec as P

MESH = cv.make_mesh((1, 1), ("x", "y"), (AxisType.Auto,) * 2)


# ------------------------------------------------------------------------------------------------------- keys


def test_keys_are_leaves_and_transformations_take_them_apart() -> None:
    key = random.key(0)
    held = {"key": key, "x": cnp.ones(2)}
    assert tree.structure(key) == tree.structure(0)
    assert [type(x) for x in tree.leaves(held)] == [random.Key, cv.Array]
    assert tree.map(lambda k, s: s, key, "text") == "text"
    assert tree.broadcast(1, held) == {"key": 1, "x": 1}
    assert [path[0].key for path, _ in tree.leaves_with_path(held)] == ["key", "x"]
    drawn = cv.jit(lambda held: random.normal(held["key"]) + held["x"])(held)
    assert (drawn == random.normal(key) + 1).all()


def test_ways_to_leaves_of_trees_with_keys() -> None:
    held = {"keys": [random.key(0)], "x": (1, 2)}
    seen = []

    def is_leaf(path: Any, x: Any) -> bool:
        seen.append(len(path))
        return isinstance(x, tuple)

    pairs, structure = tree.flatten_with_path(held, is_leaf, is_leaf_takes_path=True)
    assert [(tree_util.keystr(path), type(x)) for path, x in pairs] == [
        ("['keys'][0]", random.Key),
        ("['x']", tuple),
    ]
    assert structure == tree.structure({"keys": [0], "x": 0})
    assert len(seen) == 4  # each value once


MOVES: dict[str, Any] = {
    "where": lambda keys: cnp.where(cnp.array([True, False, True]), keys, keys[::-1]),
    "where of one": lambda keys: cnp.where(False, keys, keys[0, 0]),
    "reshape": lambda keys: cnp.reshape(keys, (3, 2)),
    "squeeze": lambda keys: cnp.squeeze(keys[:1], axis=0),
    "expand_dims": lambda keys: cnp.expand_dims(keys, -1),
    "broadcast_to": lambda keys: cnp.broadcast_to(keys, (4, 2, 3)),
    "select": lambda keys: lax.select(cnp.ones((2, 3), bool), keys, keys[::-1]),
    "dynamic_index": lambda keys: lax.dynamic_index_in_dim(keys, 1, axis=1),
}


@pytest.mark.parametrize("name", MOVES)
def test_functions_that_move_elements_move_keys(name: str) -> None:
    words = np.arange(12, dtype=np.uint32).reshape(2, 3, 2)
    keys, move = random.wrap_key_data(words), MOVES[name]
    each = [move(cnp.asarray(words[..., i])) for i in range(2)]
    for found in (move(keys), cv.jit(move)(keys)):
        np.testing.assert_array_equal(random.key_data(found), np.stack(each, -1))


def test_other_functions_refuse_keys() -> None:
    with pytest.raises(TypeError, match="sin got Key"):
        cnp.sin(random.key(0))


# ------------------------------------------------------------------------------------------- types and flags


def test_structs_stand_for_results_and_carry_shardings() -> None:
    struct = cv.ShapeDtypeStruct((3,), "float32", sharding=NamedSharding(MESH, P("x")))
    assert cv.eval_shape(lambda: struct) == cv.ShapeDtypeStruct((3,), "float32")
    assert struct != cv.ShapeDtypeStruct((3,), "float32")
    assert struct.update(shape=(2,)).sharding == struct.sharding
    assert len(struct) == 3
    with pytest.raises(TypeError, match=r"len\(\)"):
        len(struct.update(shape=()))
    aval = cv.typeof(cnp.ones((2, 3)))
    assert aval.sharding.spec == P(None, None)
    assert aval.sharding.mesh.empty
    assert not aval.sharding.mesh.are_all_axes_explicit
    assert aval.sharding.is_fully_replicated
    assert aval.to_tangent_aval() == aval.at_least_vspace() == aval


def test_what_tells_of_an_array_has_its_dtype() -> None:
    struct = cv.ShapeDtypeStruct((2,), "float16")
    assert cnp.result_type(struct) == cnp.result_type(struct, 1.0) == np.float16
    assert cnp.result_type(struct, "float32") == np.float32
    assert cnp.promote_types(struct, "int64") == np.float16
    assert cnp.result_type(cv.typeof(1.0), "bfloat16") == np.float32  # as strong, as in JAX
    with cv.enable_x64(False):
        assert cnp.result_type(cv.ShapeDtypeStruct((2,), "float64")) == np.float32


def test_flags_of_jax_can_be_read() -> None:
    assert cv.config.jax_debug_nans is False
    with cv.debug_nans():
        assert cv.config.jax_debug_nans is True
    assert cv.config.jax_default_matmul_precision is None
    assert cv.config.jax_traceback_filtering in ("auto", "off")
    assert cv.config.jax_default_prng_impl == "threefry2x32"
    assert cv.config.jax_use_shardy_partitioner is True  # about the inside of JAX: its default
    with pytest.raises(AttributeError, match="there is no flag 'jax_nothing'"):
        cv.config.jax_nothing  # noqa: B018


# ----------------------------------------------------------------------------------------------------- rules


def test_numbers_among_residuals_stay_numbers() -> None:
    kinds: list[Any] = []

    @cv.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    def fwd(x: Any) -> Any:
        return x * x, (True, 2, 0.1, x)

    def bwd(residuals: Any, ct: Any) -> Any:
        flag, two, tenth, x = residuals
        kinds.append([type(v) for v in (flag, two, tenth)])
        return (ct * two * tenth * x if flag else ct,)

    f.defvjp(fwd, bwd)
    x = np.float64(3.0) * cnp.ones((), "float64")
    for grad in (cv.grad(f), cv.jit(cv.grad(f)), cv.grad(cv.jit(f))):
        assert float(grad(x)) == 2 * 0.1 * 3.0
    assert cv.vmap(cv.grad(f))(cnp.ones(2)).tolist() == pytest.approx([0.2, 0.2])
    assert all(found == [bool, int, float] for found in kinds)


def test_zeros_of_values() -> None:
    found = zero_from_primal({"a": cnp.ones(2), "b": 3})
    assert found["a"].tolist() == [0, 0]
    assert found["b"].dtype == cv.float0
    assert zero_from_primal([1.0], symbolic_zeros=True)[0].shape == ()


def test_the_transpose_of_stop_gradient_is_the_identity() -> None:
    (back,) = cv.linear_transpose(lambda x: 2 * lax.stop_gradient(x), 1.0)(3.0)
    assert float(back) == 6.0
    assert float(cv.grad(lambda x: x * lax.stop_gradient(x))(3.0)) == 3.0


def test_batching_rules_that_take_the_axis_apart() -> None:
    seen = []
    p = core.Primitive("twice")
    p.def_impl(lambda x: 2 * x)
    p.def_abstract_eval(lambda x: x)

    def rule(size: Any, name: Any, kind: Any, args: Any, dims: Any) -> Any:
        seen.append((size, name, kind))
        return p.bind(*args), dims[0]

    batching.axis_primitive_batchers[p] = rule
    assert cv.vmap(p.bind, axis_name="i")(cnp.arange(3)).tolist() == [0, 2, 4]
    assert seen == [(3, "i", None)]


def test_the_top_trace() -> None:
    found = []

    def f(x: Any) -> Any:
        def g(y: Any) -> Any:
            top = core.find_top_trace([1.0, x, y])
            found.append((top.main is y._trace.main, top.main is x._trace.main))
            return y * x

        return cv.jvp(g, (x,), (x,))[1]

    cv.jvp(f, (2.0,), (1.0,))
    assert found == [(True, False)]
    assert core.find_top_trace([1.0]) is core.find_top_trace([])


def test_transformations_of_wrapped_functions() -> None:
    @linear_util.transformation_with_aux
    def flattened(structure: Any, *leaves: Any) -> Any:
        args, kwargs = tree.unflatten(structure, leaves)
        out = yield args, kwargs
        yield tree.flatten(out)

    given = ({"a": 1}, 2), {}
    f, out_tree = flattened(
        linear_util.wrap_init(lambda d, x: (d, d["a"] + x)), tree.structure(given)
    )
    with pytest.raises(RuntimeError, match="was not called yet"):
        out_tree()
    assert f.call_wrapped(*tree.leaves(given)) == [1, 3]
    assert tree.unflatten(out_tree(), [1, 3]) == ({"a": 1}, 3)


# ------------------------------------------------------------------------------------------------ flatten_util


def test_ravel() -> None:
    given = {"b": cnp.arange(3), "a": cnp.array([[1.5]], "float16")}
    vector, unravel = flatten_util.ravel_pytree(given)
    assert vector.dtype == cnp.result_type("int32", "float16")
    assert vector.tolist() == [1.5, 0, 1, 2]
    back = unravel(vector)
    assert {k: (x.dtype, x.tolist()) for k, x in back.items()} == {
        k: (x.dtype, x.tolist()) for k, x in given.items()
    }
    with pytest.raises(TypeError, match="must have the dtype"):
        unravel(vector.astype("float64"))
    with pytest.raises(ValueError, match=r"must have the shape \(4,\), got \(3,\)"):
        unravel(vector[:3])
    same, undo = flatten_util.ravel_pytree([1.0, cnp.ones(2)])
    assert undo(same.astype("float16"))[1].dtype == "float16"  # of one dtype: any
    nothing, undo = flatten_util.ravel_pytree({})
    assert nothing.shape == (0,)
    assert undo(nothing) == {}
    f = cv.jit(lambda v: flatten_util.ravel_pytree(unravel(v))[0].sum())
    assert cv.grad(f)(vector).shape == vector.shape


# --------------------------------------------------------------------------------------------------- test_util


def test_right_derivatives_pass() -> None:
    test_util.check_grads(lambda x, n: cnp.sum(cnp.sin(x)) * n, (cnp.ones(3), 2), order=2)
    test_util.check_grads(lambda z: cnp.abs(z**2) ** 2, (cnp.array(1 + 2j, "complex128"),), order=1)


def test_wrong_ones_do_not() -> None:
    @cv.custom_jvp
    def f(x: Any) -> Any:
        return x * x

    f.defjvps(lambda t, y, x: 3 * x * t)
    for modes in (["fwd"], ["rev"]):
        with pytest.raises(AssertionError, match="check_"):
            test_util.check_grads(f, (2.0,), order=1, modes=modes)
    with pytest.raises(ValueError, match="got 'back'"):
        test_util.check_grads(f, (2.0,), order=1, modes=["back"])


# ------------------------------------------------------------------------------------------------------ meshes


def test_meshes_and_shardings() -> None:
    assert Mesh(np.array(cv.devices()).reshape(1, 1), ("x", "y")) == MESH
    assert (MESH.size, MESH.axis_names, MESH.shape["y"]) == (1, ("x", "y"), 1)
    assert AbstractMesh((1, 1), ("x", "y"), AxisType.Auto) == MESH.abstract_mesh != MESH
    explicit = cv.make_mesh((1,), ("z",), (AxisType.Explicit,))
    assert explicit.are_all_axes_explicit
    assert not explicit.are_all_axes_auto
    assert P("x", None) == ("x", None)
    spread = NamedSharding(MESH, P(("x", "y")))
    assert spread == cv.NamedSharding(MESH, cv.P(("x", "y")))
    assert hash(spread) == hash(NamedSharding(MESH, P(("x", "y"))))
    assert spread.device_set == set(cv.devices())
    assert spread.shard_shape((4, 2)) == (4, 2)
    x = cv.device_put(cnp.ones(3), spread)
    assert x.sharding.is_equivalent_to(spread, 1)
    assert cv.jit(lambda x: x + 1, in_shardings=spread)(x).tolist() == [2, 2, 2]
    assert lax.with_sharding_constraint(x, spread) is x
    with cv.set_mesh(MESH):
        assert lax.with_sharding_constraint({"a": x}, P("x")) == {"a": x}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cv.make_mesh((2,), ("x",)), ValueError, "takes 2 devices"),
        (lambda: Mesh(np.array(cv.devices() * 2), ("x",)), ValueError, "more than once"),
        (lambda: Mesh(np.array(cv.devices()), ("x", "y")), ValueError, "for each axis"),
        (lambda: cv.make_mesh((1, 1), ("x", "x")), ValueError, "names of their own"),
        (lambda: NamedSharding(MESH, P("z")), ValueError, "'z' is not an axis"),
        (lambda: NamedSharding(MESH, P("x", "x")), ValueError, "there twice"),
        (lambda: NamedSharding(MESH, P(), memory_kind="disk"), ValueError, "no memory of kind"),
        (lambda: P(1), TypeError, "names of a mesh's axes"),
        (lambda: cv.pmap(lambda x: x)(cnp.ones(3)), ValueError, "axis of size 3"),
        (lambda: cv.pmap(lambda x: x, axis_size=2), ValueError, "axis of size 2"),
        (
            lambda: cv.shard_map(lambda x: x, in_specs=P(), out_specs=P()),
            TypeError,
            "must be a Mesh",
        ),
        (
            lambda: cv.shard_map(lambda x: x, mesh=MESH, in_specs=P("x"), out_specs=P())(1.0),
            ValueError,
            "in_specs",
        ),
        (
            lambda: cv.shard_map(lambda x: x, mesh=MESH, in_specs=P(), out_specs=P("z")),
            ValueError,
            "not an axis",
        ),
    ],
)
def test_wrong_meshes(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_shard_map() -> None:
    @cv.shard_map(mesh=MESH, in_specs=(P("x"), P()), out_specs=(P(), P("x")))
    def f(x: Any, y: Any) -> Any:
        return lax.psum(x.sum() * y, ("x", "y")), x + lax.axis_index("x") + lax.axis_size("y")

    x = cnp.arange(3.0)
    for g in (f, cv.jit(f)):
        total, moved = g(x, 2.0)
        assert (float(total), moved.tolist()) == (6.0, [1, 2, 3])
    assert cv.grad(lambda x: f(x, 2.0)[0])(x).tolist() == [2, 2, 2]
    assert cv.vmap(lambda y: f(x, y)[0])(cnp.arange(2.0)).tolist() == [0, 3]


def test_pmap() -> None:
    def f(x: Any, n: int, y: Any) -> Any:
        return lax.psum(x, "i") * n + y

    mapped = cv.pmap(f, "i", in_axes=(0, None, None), static_broadcasted_argnums=1)
    assert mapped(cnp.ones((1, 2)), 3, 1.0).tolist() == [[4, 4]]
    assert cv.pmap(lambda d: d["a"] + 1)({"a": cnp.zeros((1,))}).tolist() == [1]


def test_classes_of_classes_of_a_librarys_own() -> None:
    """TensorFlow Probability derives one from the class of Array."""
    kind: Any = type(cv.Array)

    class Kind(kind):
        pass

    class Plain(metaclass=Kind):
        pass

    class Of(metaclass=Kind):
        @classmethod
        def __instancecheck__(cls, x: Any) -> bool:
            return False

    assert isinstance(Plain(), Plain)
    assert not isinstance(cnp.ones(2), Plain)
    assert issubclass(Plain, Plain)
    assert not issubclass(cv.Array, Plain)
    assert isinstance(cnp.ones(2), cv.Array)
    with pytest.raises(TypeError, match="is for Array"):
        Plain.register(int)


# --------------------------------------------------------------------------- what vmap takes apart as it is told


class Bag:
    """No pytree; `y` is the same for all."""

    def __init__(self, x: Any, y: Any):
        self.x, self.y = x, y


def bagged(x: Bag) -> tuple[Any, Any]:
    return np.asarray(x.x).tolist(), x.y


BAG = (
    lambda enter, index, b, axis: Bag(enter(b.x, axis), index() if b.y == "places" else b.y),
    lambda leave, size, b, axis: Bag(leave(size, b.x, axis), b.y),
)
ROWS = np.arange(6.0).reshape(3, 2).astype("float32")


def test_vmap_takes_apart_what_was_registered() -> None:
    batching.register_vmappable(Bag, int, int, *BAG, None)
    over = cnp.arange(3.0)

    def f(bag: Bag, z: Any) -> Bag:
        return Bag(bag.x * z, "made")

    scaled = (ROWS * np.arange(3.0)[:, None]).tolist()
    assert bagged(cv.vmap(f)(Bag(ROWS, 1), over)) == (scaled, "made")
    assert bagged(cv.vmap(f, (1, None), axis_size=2)(Bag(ROWS, 1), 2.0))[0] == (2 * ROWS.T).tolist()
    assert bagged(cv.vmap(f, (-1, None), 1, axis_size=2)(Bag(ROWS, 1), 1.0))[0] == ROWS.tolist()
    assert bagged(cv.vmap(f, (None, 0))(Bag(ROWS[:, 0], 1), over))[0] == [
        [0, 0, 0],
        [0, 2, 4],
        [0, 4, 8],
    ]
    twice = cv.vmap(cv.vmap(f, (0, None), axis_size=2))(Bag(ROWS, 1), over)
    assert bagged(twice) == (scaled, "made")
    assert cv.jit(lambda x: cv.vmap(f)(Bag(x, 1), over).x)(ROWS).tolist() == scaled
    slopes = cv.grad(lambda x: cv.vmap(f)(Bag(x, 1), over).x.sum())(cnp.asarray(ROWS))
    assert slopes.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_what_was_registered_among_other_results_and_by_keyword() -> None:
    batching.register_vmappable(Bag, int, int, *BAG, None)
    out = cv.vmap(lambda z, bag: {"b": [Bag(z + bag.y, 0)], "c": (z, Bag(cnp.ones(2), 1))})(
        cnp.arange(3), bag=Bag(cnp.zeros(3), "places")
    )
    assert bagged(out["b"][0]) == ([0, 2, 4], 0)
    assert out["c"][0].tolist() == [0, 1, 2]
    assert bagged(out["c"][1]) == ([[1.0, 1.0]] * 3, 1)
    placed = cv.vmap(lambda z: (z, Bag(cnp.stack([z, z]), 0)), out_axes=(0, 1))(cnp.arange(3))
    assert bagged(placed[1])[0] == [[0, 1, 2], [0, 1, 2]]


def test_what_was_registered_needs_what_vmap_needs() -> None:
    batching.register_vmappable(Bag, int, int, *BAG, None)
    with pytest.raises(ValueError, match="nothing to map over"):
        cv.vmap(lambda bag: bag.x)(Bag(ROWS, 1))
    with pytest.raises(ValueError, match="out_axes entry is None"):
        cv.vmap(lambda z: Bag(z, 1), out_axes=None)(cnp.arange(3))
    with pytest.raises(TypeError, match="axis_size_type must be int, got <class 'tuple'>"):
        batching.register_vmappable(Bag, int, tuple, *BAG, None)
