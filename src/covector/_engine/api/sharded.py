"""Functions of parts of arrays, on a mesh: `shard_map`, `pmap`, and what makes meshes.

There is one device: the axes of a mesh have size 1, and each part is the whole array.  Collectives over these axes mean
what they mean over one part.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from covector._engine.api.arguments import check_callable
from covector._engine.api.jit import jit
from covector._engine.api.transforms import vmap
from covector._engine.base import errors, tree
from covector._engine.base.public import boundary, wraps
from covector._engine.core.trace import typeof
from covector._engine.runtime.device import Device, check_places, committed, devices
from covector._engine.types.mesh import AbstractMesh, AxisType, Mesh, context_mesh, within
from covector._engine.types.sharding import NamedSharding, PartitionSpec


class _Infer:
    def __repr__(self) -> str:
        return "Infer"


INFER = _Infer()
_EMPTY: frozenset[Any] = frozenset()


def make_mesh(
    axis_sizes: Sequence[int],
    axis_names: Sequence[str],
    axis_types: Sequence[AxisType] | None = None,
    *,
    devices: Sequence[Device] | None = None,
) -> Mesh:
    """A mesh of these sizes over the devices; ValueError if there are not as many as it takes.

    >>> import covector
    >>> covector.make_mesh((1, 1), ("rows", "columns"))
    Mesh(axis_sizes=(1, 1), axis_names=('rows', 'columns'), axis_types=(Explicit, Explicit))
    """
    places = grid("make_mesh", axis_sizes, devices)
    return Mesh(places, axis_names, axis_types or AxisType.Explicit)


_devices = devices  # which the functions have as an argument


def grid(
    api: str, sizes: Sequence[int], devices: Sequence[Device] | None, exact: bool = False
) -> np.ndarray:
    """The devices, or as many of them as it takes, as an array of this shape."""
    found = _devices() if devices is None else list(devices)
    wanted = int(np.prod(sizes))
    if wanted > len(found) or (exact and wanted != len(found)):
        raise ValueError(
            f"{api}: a mesh of sizes {tuple(sizes)} takes {wanted} devices{errors.at_user_line()}; there are "
            f"{len(found)}"
        )
    places = np.empty(wanted, object)
    places[:] = found[:wanted]
    return places.reshape(tuple(sizes))


def _is_spec(x: object) -> bool:
    return isinstance(x, PartitionSpec)


def _check_rank(api: str, spec: PartitionSpec, x: Any) -> None:
    if len(spec) > typeof(x).ndim:
        raise ValueError(
            f"{api}: {spec} has {len(spec)} entries, for a value of type {typeof(x).text()}{errors.at_user_line()}"
        )


def shard_map(
    f: Callable[..., Any] | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = INFER,
    mesh: AbstractMesh | None = None,
    axis_names: Iterable[Hashable] = _EMPTY,
    check_vma: bool = True,
) -> Any:
    """A function that applies `f` to the part of its arguments that each device of a mesh has.

    `in_specs` and `out_specs` are pytrees of `PartitionSpec`s, prefixes of the arguments and of the results: they say
    over which axes of the mesh each array is spread.  In `f` the axes of the mesh are axes of collectives, as
    `lax.psum`; all of them, or those in `axis_names`.  `check_vma` is accepted: with one part there is nothing to
    check.  Without `f`, a decorator is returned.

    ValueError for a spec that names no axis of the mesh or has more entries than its array has axes; TypeError
    without a mesh.

    >>> import covector
    >>> from covector import lax
    >>> mesh, P = covector.make_mesh((1,), ("x",)), covector.P
    >>> total = covector.shard_map(lambda x: lax.psum(x.sum(), "x"), mesh=mesh, in_specs=P("x"), out_specs=P())
    >>> print(total(covector.numpy.ones(3)))
    3.0
    """
    if f is None:
        return partial(
            shard_map,
            out_specs=out_specs,
            in_specs=in_specs,
            mesh=mesh,
            axis_names=axis_names,
            check_vma=check_vma,
        )
    check_callable(f, "shard_map")
    if mesh is None:
        mesh = context_mesh()
    if not isinstance(mesh, AbstractMesh):
        raise TypeError(
            f"shard_map: mesh must be a Mesh, as make_mesh makes one, or that of set_mesh, got {mesh!r}"
            f"{errors.at_user_line()}"
        )
    for spec in tree.leaves((in_specs, out_specs), is_leaf=_is_spec):
        if _is_spec(spec):
            NamedSharding(mesh, spec)
    names = tuple(axis_names) or mesh.axis_names

    @boundary
    @wraps(f)
    def shard_map_f(*args: Any) -> Any:
        if in_specs is not INFER:
            _check_ranks("in_specs", in_specs, args)
        manual = mesh.update_axis_types({str(name): AxisType.Manual for name in names})
        with within(manual):
            out = _on_one_part(lambda: f(*args), names)
        _check_ranks("out_specs", out_specs, out)
        return tree.map(committed, out)

    return shard_map_f


def _check_ranks(what: str, specs: Any, values: Any) -> None:
    found = tree.broadcast_prefix(specs, values, what, is_leaf=_is_spec)
    for spec, x in zip(found, tree.leaves(values), strict=True):
        if _is_spec(spec):
            _check_rank(f"shard_map: {what}", spec, x)


def _on_one_part(f: Callable[[], Any], names: Sequence[Hashable]) -> Any:
    """What `f` gives where each of these axes has size 1: it is mapped over what it does not depend on."""
    for name in names:
        f = partial(_mapped_once, f, name)
    return f()


def _mapped_once(f: Callable[[], Any], name: Hashable) -> Any:
    out = vmap(f, in_axes=(), axis_name=name, axis_size=1)()
    return tree.map(lambda x: x[0], out)


def pmap(
    fun: Callable[..., Any],
    axis_name: Hashable = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[Device] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
) -> Callable[..., Any]:
    """A compiled function that applies `fun` to the element of an axis of its arguments that each device has.

    There is one device, so the axis has size 1: another size is a ValueError, and `vmap` is for such.  Arguments are
    those of `vmap` and `jit`; those in `static_broadcasted_argnums` are compile-time constants.

    >>> import covector
    >>> print(covector.pmap(lambda x: x + 1)(covector.numpy.zeros((1, 2))))
    [[1. 1.]]
    """
    check_callable(fun, "pmap")
    check_places("pmap", "devices", list(devices or ()))
    numbers = static_broadcasted_argnums
    static = (numbers,) if isinstance(numbers, int) else tuple(numbers)

    def on_one(*args: Any, **kwargs: Any) -> Any:
        chosen = {i % len(args) for i in static}
        dynamic = [x for i, x in enumerate(args) if i not in chosen]

        def put(*values: Any, **keywords: Any) -> Any:
            rest = iter(values)
            return fun(*[x if i in chosen else next(rest) for i, x in enumerate(args)], **keywords)

        axes = in_axes
        if isinstance(axes, tuple | list):
            axes = tuple([a for i, a in enumerate(axes) if i not in chosen])
        _check_one(axes, dynamic)
        return vmap(put, axes, out_axes, axis_name, axis_size)(*dynamic, **kwargs)

    place = _devices(backend)[0]
    donated = donate_argnums if isinstance(donate_argnums, int) else tuple(donate_argnums)
    if axis_size not in (None, 1):
        raise ValueError(_too_many(axis_size))
    return jit(wraps(fun)(on_one), static_argnums=static, donate_argnums=donated, device=place)


def _check_one(in_axes: Any, args: Sequence[Any]) -> None:
    leaves = tree.leaves(tuple(args))
    for axis, x in zip(tree.broadcast_prefix(in_axes, tuple(args), "in_axes"), leaves, strict=True):
        shape = typeof(x).shape
        if axis is not None and -len(shape) <= axis < len(shape) and shape[axis] != 1:
            raise ValueError(_too_many(shape[axis]))


def _too_many(size: object) -> str:
    return (
        f"pmap over an axis of size {size} takes as many devices{errors.at_user_line()}; there is one, so use vmap, "
        "or a jitted vmap"
    )
