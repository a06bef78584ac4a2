"""Programs for many devices and processes on one of each: they run, and each part is the whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import lax, numpy as cnp
from covector.experimental import mesh_utils, multihost_utils
from covector.experimental.layout import Format, Layout, with_layout_constraint
from covector.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec as P,
    UnreducedKind,
    auto_axes,
    explicit_axes,
    get_abstract_mesh,
    use_abstract_mesh,
)

EXPLICIT = cv.make_mesh((1,), ("x",))
AUTO = cv.make_mesh((1,), ("x",), (AxisType.Auto,))
OVER = NamedSharding(EXPLICIT, P("x"))
X = cnp.arange(4.0)


def test_the_mesh_of_the_context() -> None:
    assert cv.get_mesh().empty
    assert get_abstract_mesh().empty
    with cv.set_mesh(AUTO):
        assert cv.get_mesh() == AUTO
        with use_abstract_mesh(EXPLICIT.abstract_mesh), EXPLICIT:
            assert cv.get_abstract_mesh().are_all_axes_explicit
        assert cv.get_abstract_mesh() == AUTO.abstract_mesh
    assert cv.get_mesh().empty
    cv.set_mesh(AUTO)
    assert cv.get_mesh() == AUTO
    cv.set_mesh(None)
    assert cv.get_mesh().empty


def test_a_function_is_traced_for_each_mesh() -> None:
    f = cv.jit(lambda x: x * (2 if cv.get_abstract_mesh().empty else 3))
    for _ in range(2):
        assert f(1.0) == 2
        with cv.set_mesh(AUTO):
            assert f(1.0) == 3


def test_what_is_spread_is_there() -> None:
    for mesh in (EXPLICIT, AUTO):
        over = NamedSharding(mesh, P("x"))
        made = [
            cv.make_array_from_callback((4,), over, lambda index: np.asarray(X)[index]),
            cv.make_array_from_process_local_data(over, np.asarray(X), (4,)),
            cv.make_array_from_single_device_arrays((4,), over, [X], dtype=X.dtype),
            cv.device_put(X, over, src=over, donate=True, may_alias=True),
            cv.jit(lambda x: x, out_shardings=over)(X),
        ]
        for x in made:
            np.testing.assert_array_equal(x, X)
        with cv.set_mesh(mesh):
            np.testing.assert_array_equal(cv.device_put(X, P("x")), X)
            np.testing.assert_array_equal(cv.jit(lambda x: x, in_shardings=P("x"))(X), X)
    assert cv.make_array_from_process_local_data(OVER, {"a": np.asarray(X)})["a"].shape == (4,)
    with cv.set_mesh(EXPLICIT):
        spread = cv.reshard({"a": X}, P("x"))["a"]
        assert spread.committed
        np.testing.assert_array_equal(spread, X)
        total = cv.shard_map(lambda x: lax.psum(x.sum(), "x"), in_specs=P("x"), out_specs=P())
        assert total(X) == 6
        doubled = cv.smap(lambda x: 2 * x, in_axes=0, out_axes=0, axis_name="x")
        np.testing.assert_array_equal(doubled(X), 2 * X)


def test_who_decides_over_axes() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(cv.get_abstract_mesh().axis_types)
        return x

    with cv.set_mesh(EXPLICIT):
        auto_axes(f, out_sharding=P("x"))(X)
        auto_axes(f)(X, out_sharding=P("x"))
        explicit_axes(f, in_sharding=P("x"))(X)
        cv.shard_map(f, in_specs=P("x"), out_specs=P("x"))(X)
    auto, explicit, manual = ((kind,) for kind in AxisType)
    assert seen == [auto, auto, explicit, manual]


def test_specs() -> None:
    spec = P(None, ("x", "y"), unreduced={"z"}, unreduced_kind=UnreducedKind.sum)
    assert repr(spec) == "P(None, ('x', 'y'), unreduced={'z'})"
    assert pickle.loads(pickle.dumps(spec)) == spec != P(None, ("x", "y"))
    assert P("x") + P("y") == P("x", "y") == ("x", "y")
    assert spec.update(partitions=("a",)).unreduced == {"z"}
    assert list(P(P.UNCONSTRAINED, "x").names()) == ["x"]
    assert OVER.update(spec=P()).spec == P()
    assert repr(EXPLICIT) == "Mesh(axis_sizes=(1,), axis_names=('x',), axis_types=(Explicit,))"
    assert repr(AbstractMesh((), ())) == "AbstractMesh((), axis_types=())"


def test_one_process() -> None:
    assert (cv.process_index(), cv.process_count(), cv.process_indices()) == (0, 1, [0])
    assert (cv.host_id(), cv.host_count(), cv.host_ids()) == (0, 1, [0])
    assert cv.local_device_count("cpu") == len(cv.local_devices(process_index=0))
    device = cv.devices()[0]
    assert device.default_memory() == device.memory("device") == device.addressable_memories()[0]
    assert (device.host_id, device.local_hardware_id) == (0, 0)
    assert cv.copy_to_host_async(X) is X
    multihost_utils.sync_global_devices("here")
    multihost_utils.assert_equal(X)
    assert multihost_utils.process_allgather(X).shape == (1, 4)
    assert multihost_utils.process_allgather(X, tiled=True).shape == (4,)
    assert multihost_utils.broadcast_one_to_all([1])[0] == 1
    assert Mesh(mesh_utils.create_device_mesh((1,)), "x") == AUTO


def test_layouts() -> None:
    form = Format(Layout((0,)), OVER)
    assert cv.device_put(X, form).tolist() == X.tolist()
    assert with_layout_constraint(X, form) is X


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: cv.set_mesh("x"), TypeError, "must be a Mesh"),
    (lambda: use_abstract_mesh(None), TypeError, "must be an AbstractMesh"),
    (lambda: cv.device_put(X, P("x")), ValueError, r"P\('x',\).*there is none"),
    (lambda: cv.reshard(X, P("x")), ValueError, "there is none"),
    (lambda: cv.reshard(X, NamedSharding(AUTO, P("x"))), ValueError, "type Auto"),
    (lambda: cv.reshard(X, "x"), TypeError, "is no sharding"),
    (lambda: cv.reshard(X, NamedSharding(EXPLICIT, P(None, "x"))), ValueError, "2 entries"),
    (lambda: lax.with_sharding_constraint(X, OVER), ValueError, "type Explicit"),
    (lambda: lax.with_sharding_constraint(X, P("x")), ValueError, "there is none"),
    (lambda: P("x", unreduced={"x"}), ValueError, "'x' is an axis of the array and"),
    (lambda: cv.local_devices(process_index=1), ValueError, "no process 1"),
    (lambda: cv.devices()[0].memory("pinned_host"), ValueError, "no memory of kind"),
    (lambda: auto_axes(lambda x: x, out_sharding=P("x"))(X), ValueError, "there is none"),
    (lambda: auto_axes(lambda x: x)(X), TypeError, "needs an out_sharding"),
    (lambda: explicit_axes(lambda x: x)(X), TypeError, "needs an in_sharding"),
    (lambda: EXPLICIT.update_axis_types({"y": AxisType.Auto}), ValueError, "'y' is not an axis"),
    (
        lambda: cv.smap(lambda x: x, out_axes=0, axis_name="x")(X),
        ValueError,
        "smap is about the mesh",
    ),
    (
        lambda: cv.make_array_from_callback((4,), OVER, lambda i: np.zeros(3)),
        ValueError,
        r"has that shape, got \(3,\)",
    ),
    (
        lambda: cv.make_array_from_callback((4,), OVER, lambda i: np.asarray(X), dtype=int),
        ValueError,
        "the part has float32",
    ),
    (
        lambda: cv.make_array_from_process_local_data(OVER, np.zeros(3), (4,)),
        ValueError,
        r"got \(4,\)",
    ),
    (
        lambda: cv.make_array_from_single_device_arrays((4,), OVER, X),
        TypeError,
        "a list or a tuple",
    ),
    (
        lambda: cv.make_array_from_single_device_arrays((4,), OVER, [X, X]),
        ValueError,
        "one part, got 2",
    ),
    (
        lambda: cv.make_array_from_callback((4,), P("x"), lambda i: X),  # type: ignore[arg-type]
        TypeError,
        "must be a Sharding",
    ),
    (lambda: mesh_utils.create_device_mesh((2,)), ValueError, "takes 2 devices"),
    (lambda: mesh_utils.create_hybrid_device_mesh((1,), (1, 1)), ValueError, "for each axis"),
    (lambda: with_layout_constraint(X[None], Layout((1, 0))), ValueError, "lie by rows"),
    (lambda: with_layout_constraint(X, 3), TypeError, "must be Layouts"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_wrong_places(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
    assert cv.get_mesh().empty
