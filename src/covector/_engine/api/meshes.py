"""The mesh in whose context a program runs, and arrays that are made from parts: there is one device, and one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from covector._engine.api.arguments import check_callable
from covector._engine.api.sharded import INFER, shard_map
from covector._engine.base import errors, tree
from covector._engine.base.config import config
from covector._engine.base.public import bounded, wraps
from covector._engine.core.trace import Array, Tracer, typeof
from covector._engine.runtime.device import Device, check_places, committed, device_put, resolved
from covector._engine.runtime.placement import SingleDeviceSharding
from covector._engine.types import dtypes
from covector._engine.types.mesh import (
    NO_MESH,
    AbstractMesh,
    AxisType,
    Mesh,
    context_mesh,
    within,
)
from covector._engine.types.sharding import NamedSharding, PartitionSpec, Sharding


@bounded
class set_mesh:
    """Make a mesh that of the context from now on, in this thread; in a `with` block until its end.  None: no mesh.

    `PartitionSpec`s that stand for shardings are about it, and `shard_map` maps over it.  TypeError for another thing.

    >>> import covector
    >>> with covector.set_mesh(covector.make_mesh((1,), ("x",))):
    ...     print(covector.get_mesh().axis_names)
    ('x',)
    """

    def __init__(self, mesh: object):
        if mesh is not None and not isinstance(mesh, Mesh):
            raise TypeError(
                f"set_mesh: mesh must be a Mesh, as make_mesh makes one, or None, got {mesh!r}{errors.at_user_line()}"
            )
        self._before = config.enter_mesh(mesh)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        config.enter_mesh(self._before)


def use_abstract_mesh(mesh: object) -> AbstractContextManager[AbstractMesh]:
    """In a `with` block the axes of a mesh are those of the context; TypeError for another thing.

    >>> from covector.sharding import AbstractMesh, get_abstract_mesh, use_abstract_mesh
    >>> with use_abstract_mesh(AbstractMesh((1,), ("x",))):
    ...     print(get_abstract_mesh().axis_names)
    ('x',)
    """
    if not isinstance(mesh, AbstractMesh):
        raise TypeError(
            f"use_abstract_mesh: mesh must be an AbstractMesh, got {mesh!r}{errors.at_user_line()}"
        )
    return within(mesh)


def get_mesh() -> Mesh:
    """The mesh of the context; an empty one if there is none.

    >>> import covector
    >>> covector.get_mesh().empty
    True
    """
    found = context_mesh()
    return found if isinstance(found, Mesh) else Mesh(np.empty((), object), ())


def get_abstract_mesh() -> AbstractMesh:
    """The axes of the mesh of the context; without axes if there is none.

    >>> import covector
    >>> covector.get_abstract_mesh()
    AbstractMesh((), axis_types=())
    """
    found = context_mesh()
    return NO_MESH if found is None else found.abstract_mesh


def reshard(xs: Any, out_shardings: Any) -> Any:
    """The values of a pytree, spread so, as types say: with one device they are.

    `out_shardings` are shardings or `PartitionSpec`s, a prefix of the tree; they name axes of the mesh that are
    `Explicit`.

    Raises:
        TypeError: something else than a sharding.
        ValueError: a spec without a mesh, with more entries than the value has axes, or over other axes.

    >>> import covector
    >>> from covector import P
    >>> with covector.set_mesh(covector.make_mesh((1,), ("x",))):
    ...     print(covector.reshard(covector.numpy.ones(2), P("x")))
    [1. 1.]
    """
    check_spread("reshard", xs, out_shardings, (AxisType.Explicit,))
    return tree.map(lambda x: committed(x if isinstance(x, Tracer) else device_put(x)), xs)


def check_spread(api: str, xs: Any, places: Any, kinds: Sequence[AxisType]) -> None:
    """Raise what is wrong about the shardings that the values of a pytree get; axes are of one of these types."""
    found = tree.broadcast_prefix(places, xs, f"{api}: shardings", is_leaf=_is_place)
    for place, x in zip(found, tree.leaves(xs), strict=True):
        if place is None:
            continue
        if not _is_place(place):
            raise TypeError(f"{api} got {place!r}{errors.at_user_line()}, which is no sharding")
        named = resolved(api, place)
        if not isinstance(named, NamedSharding):
            continue
        if len(named.spec) > typeof(x).ndim:
            raise ValueError(
                f"{api}: {named.spec} has {len(named.spec)} entries, for a value of type {typeof(x).text()}"
                f"{errors.at_user_line()}"
            )
        types = dict(zip(named.mesh.axis_names, named.mesh.axis_types, strict=True))
        for name in named.spec.names():
            if types[name] not in kinds:
                raise ValueError(
                    f"{api}: the axis {name!r} of {named.mesh!r} is of type {types[name]!r}{errors.at_user_line()}; "
                    f"{api} takes axes of type {' or '.join(map(repr, kinds))}"
                )


def _is_place(x: object) -> bool:
    return isinstance(x, Sharding | PartitionSpec)


def make_array_from_callback(
    shape: Sequence[int],
    sharding: Sharding,
    data_callback: Callable[[Any], Any],
    dtype: Any = None,
) -> Any:
    """The array whose parts a function makes: it is called with the index of each part, a tuple of slices.

    ValueError if a part has another shape, or another dtype than `dtype`; TypeError if `sharding` is none.

    >>> import covector, numpy
    >>> x = numpy.arange(4, dtype="int32")
    >>> covector.make_array_from_callback((4,), covector.numpy.ones(4).sharding, lambda index: x[index])
    Array([0, 1, 2, 3], dtype=int32)
    """
    _check_sharding("make_array_from_callback", sharding)
    check_callable(data_callback, "make_array_from_callback")
    (index,) = sharding.addressable_devices_indices_map(tuple(shape)).values()
    part = device_put(data_callback(index))
    return _whole("make_array_from_callback", tuple(shape), [part], dtype)


def make_array_from_process_local_data(
    sharding: Sharding, local_data: Any, global_shape: Any = None
) -> Any:
    """The arrays of a pytree that the processes have parts of: there is one process, which has all.

    ValueError if `global_shape` is another than the data's.

    >>> import covector, numpy
    >>> covector.make_array_from_process_local_data(covector.numpy.ones(2).sharding, numpy.ones(2, "float32"))
    Array([1., 1.], dtype=float32)
    """
    _check_sharding("make_array_from_process_local_data", sharding)

    def made(x: Any, shape: Any = None) -> Any:
        if shape is not None and tuple(shape) != np.shape(x):
            raise ValueError(
                f"make_array_from_process_local_data: there is one process, so global_shape is the shape of its data, "
                f"{np.shape(x)}, got {tuple(shape)}{errors.at_user_line()}"
            )
        return device_put(x, sharding)

    if global_shape is None or isinstance(local_data, np.ndarray) or type(local_data) is Array:
        return tree.map(lambda x: made(x, global_shape), local_data)
    return tree.map(made, local_data, global_shape)


def make_array_from_single_device_arrays(
    shape: Sequence[int], sharding: Sharding, arrays: Sequence[Any], *, dtype: Any = None
) -> Any:
    """The array that has these parts, one for each device: it is the one part.

    TypeError unless they are a list or a tuple; ValueError if there is not one, or it has another shape or dtype.

    >>> import covector
    >>> x = covector.numpy.ones(2)
    >>> covector.make_array_from_single_device_arrays((2,), x.sharding, [x]) is x
    False
    """
    api = "make_array_from_single_device_arrays"
    _check_sharding(api, sharding)
    if not isinstance(arrays, list | tuple):
        raise TypeError(f"{api}: arrays must be a list or a tuple, got {type(arrays).__name__}")
    return _whole(api, tuple(shape), arrays, dtype)


def _check_sharding(api: str, sharding: object) -> None:
    if not isinstance(sharding, Sharding):
        raise TypeError(
            f"{api}: sharding must be a Sharding, got {sharding!r}{errors.at_user_line()}"
        )
    check_places(api, "sharding", sharding)


def _whole(api: str, shape: tuple[int, ...], parts: Sequence[Any], dtype: Any) -> Any:
    if len(parts) != 1:
        raise ValueError(
            f"{api}: there is one device, which has one part, got {len(parts)}{errors.at_user_line()}"
        )
    (part,) = parts
    if part.shape != shape:
        raise ValueError(
            f"{api}: the part of an array of shape {shape} has that shape, got {part.shape}{errors.at_user_line()}"
        )
    if dtype is not None and dtypes.as_dtype(dtype) != part.dtype:
        raise ValueError(
            f"{api}: dtype={np.dtype(dtype).name}, but the part has {part.dtype.name}{errors.at_user_line()}"
        )
    return committed(part)


def make_single_device_sharding(
    device: Device, *, memory_kind: str | None = None
) -> SingleDeviceSharding:
    """The sharding that has all of an array on a device.

    >>> import covector
    >>> covector.sharding.make_single_device_sharding(covector.devices()[0])
    SingleDeviceSharding(device=CpuDevice(id=0))
    """
    return SingleDeviceSharding(device, memory_kind=memory_kind)


def smap(
    f: Callable[..., Any] | None = None,
    /,
    *,
    in_axes: Any = INFER,
    out_axes: Any,
    axis_name: str,
) -> Any:
    """A function that applies `f` to the parts of its arguments along one axis of the mesh of the context.

    `in_axes` and `out_axes` say which axis of each argument and result is spread over it, None for none.  ValueError
    if there is no mesh or it has no such axis.  Without `f`, a decorator is returned.

    >>> import covector
    >>> with covector.set_mesh(covector.make_mesh((1,), ("x",))):
    ...     print(covector.smap(lambda x: x + 1, in_axes=0, out_axes=0, axis_name="x")(covector.numpy.ones(2)))
    [2. 2.]
    """
    if f is None:
        return partial(smap, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name)
    check_callable(f, "smap")

    def spec(axis: int | None) -> PartitionSpec:
        if axis is None:
            return PartitionSpec()
        return PartitionSpec(*(None,) * axis, axis_name)

    def specs(axes: Any) -> Any:
        return tree.map(spec, axes, is_leaf=lambda x: x is None)

    @wraps(f)
    def smap_f(*args: Any) -> Any:
        mapped = shard_map(
            f,
            in_specs=INFER if in_axes is INFER else specs(in_axes),
            out_specs=specs(out_axes),
            mesh=_mesh_of("smap", [axis_name]),
            axis_names={axis_name},
        )
        return mapped(*args)

    return smap_f


def _mesh_of(api: str, names: Sequence[str]) -> AbstractMesh:
    """The mesh of the context, which has axes of these names."""
    mesh = context_mesh()
    if mesh is None:
        raise ValueError(
            f"{api} is about the mesh of the context, and there is none{errors.at_user_line()}: call set_mesh(mesh)"
        )
    if unknown := [name for name in names if name not in mesh.axis_names]:
        raise ValueError(
            f"{api}: {unknown[0]!r} is not an axis of the mesh{errors.at_user_line()}; it has {mesh.axis_names}"
        )
    return mesh


def auto_axes(
    f: Callable[..., Any] | None = None,
    /,
    *,
    axes: str | tuple[str, ...] | None = None,
    out_sharding: Any = None,
) -> Any:
    """A function in which these axes of the mesh, or all, are left to the compiler: of type `Auto`.

    `out_sharding` says how its results are spread, and is needed; it may be given when the function is called.
    Without `f`, a decorator is returned.

    Raises:
        TypeError: there is no `out_sharding`.
        ValueError: there is no mesh in the context, or no such axis in it.

    >>> import covector
    >>> from covector.sharding import PartitionSpec as P, auto_axes
    >>> with covector.set_mesh(covector.make_mesh((1,), ("x",))):
    ...     print(auto_axes(lambda x: x + 1, out_sharding=P("x"))(covector.numpy.ones(2)))
    [2. 2.]
    """
    if f is None:
        return partial(auto_axes, axes=axes, out_sharding=out_sharding)
    return _on_axes("auto_axes", f, axes, AxisType.Auto, "out_sharding", out_sharding)


def explicit_axes(
    f: Callable[..., Any] | None = None,
    /,
    *,
    axes: str | tuple[str, ...] | None = None,
    in_sharding: Any = None,
) -> Any:
    """A function in which these axes of the mesh, or all, are told by types: of type `Explicit`.

    `in_sharding` says how its arguments are spread, and is needed; it may be given when the function is called.
    Without `f`, a decorator is returned.

    Raises:
        TypeError: there is no `in_sharding`.
        ValueError: there is no mesh in the context, or no such axis in it.

    >>> import covector
    >>> from covector.sharding import AxisType, PartitionSpec as P, explicit_axes
    >>> with covector.set_mesh(covector.make_mesh((1,), ("x",), (AxisType.Auto,))):
    ...     print(explicit_axes(lambda x: x + 1, in_sharding=P("x"))(covector.numpy.ones(2)))
    [2. 2.]
    """
    if f is None:
        return partial(explicit_axes, axes=axes, in_sharding=in_sharding)
    return _on_axes("explicit_axes", f, axes, AxisType.Explicit, "in_sharding", in_sharding)


def _on_axes(
    api: str,
    f: Callable[..., Any],
    axes: str | tuple[str, ...] | None,
    kind: AxisType,
    side: str,
    sharding: Any,
) -> Any:
    """`f` where these axes of the mesh are of a type; `side` names the sharding that it needs.

    That of arguments is told under the new types, that of results under those around.
    """
    check_callable(f, api)
    of_arguments = side == "in_sharding"

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = kwargs.pop(side, sharding)
        if given is None:
            raise TypeError(f"{api} needs an {side}{errors.at_user_line()}")
        mesh = _mesh_for(api, axes, (args, given))
        with within(mesh.update_axis_types(_all(mesh, axes, kind))):
            if of_arguments:
                check_spread(f"{api}: {side}", args, given, tuple(AxisType))
            out = f(*args, **kwargs)
        if not of_arguments:
            with within(mesh):
                check_spread(f"{api}: {side}", out, given, tuple(AxisType))
        return out

    return call


def _mesh_for(api: str, axes: str | tuple[str, ...] | None, places: Any) -> AbstractMesh:
    """The mesh that a function's axes are of: that of the context, or of a sharding that is given."""
    for place in tree.leaves(places, is_leaf=_is_place):
        if isinstance(place, NamedSharding) and context_mesh() is None:
            return place.mesh
    return _mesh_of(api, () if axes is None else (axes,) if isinstance(axes, str) else axes)


def _all(
    mesh: AbstractMesh, axes: str | tuple[str, ...] | None, kind: AxisType
) -> dict[str, AxisType]:
    names = mesh.axis_names if axes is None else (axes,) if isinstance(axes, str) else axes
    return dict.fromkeys(names, kind)
