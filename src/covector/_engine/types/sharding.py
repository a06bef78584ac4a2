"""Where the parts of an array are: meshes of devices, specs that spread axes over them, shardings.  Plain data.

There is one device, so a mesh has one too, and its axes have size 1: programs that spread arrays over a mesh run, and
each part is the whole.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.public import bounded

Index = tuple[slice, ...]


@bounded
class Sharding:
    """Which part of an array each device has.

    >>> import covector.numpy as np
    >>> from covector.sharding import Sharding
    >>> isinstance(np.ones(2).sharding, Sharding)
    True
    """

    __slots__ = ()

    @property
    def device_set(self) -> set[Any]:
        """The devices that have a part.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.device_set
        {CpuDevice(id=0)}
        """
        raise NotImplementedError

    @property
    def addressable_devices(self) -> set[Any]:
        """Those of this process: all.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.addressable_devices
        {CpuDevice(id=0)}
        """
        return self.device_set

    @property
    def num_devices(self) -> int:
        """How many devices have a part.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.num_devices
        1
        """
        return len(self.device_set)

    @property
    def is_fully_addressable(self) -> bool:
        """Whether all parts are in this process.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.is_fully_addressable
        True
        """
        return True

    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device has all of the array.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.is_fully_replicated
        True
        """
        return True

    @property
    def has_addressable_devices(self) -> bool:
        """Whether a part is in this process.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.has_addressable_devices
        True
        """
        return True

    @property
    def memory_kind(self) -> str:
        """The kind of memory on the device.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.memory_kind
        'device'
        """
        return "device"

    def devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Any, Index]:
        """The part of an array of this shape that each device has.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.devices_indices_map((2,))
        {CpuDevice(id=0): (slice(None, None, None),)}
        """
        return {device: (slice(None),) * len(global_shape) for device in self.device_set}

    def addressable_devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Any, Index]:
        """The same for the devices of this process.

        >>> import covector.numpy as np
        >>> len(np.ones(2).sharding.addressable_devices_indices_map((2,)))
        1
        """
        return self.devices_indices_map(global_shape)

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part that each device has.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.shard_shape((2, 3))
        (2, 3)
        """
        return tuple(global_shape)

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether an array of so many axes lies in the same way: on the same devices, as each has all of it.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.is_equivalent_to(np.ones(3).sharding, 1)
        True
        """
        return self.device_set == other.device_set


class AxisType(enum.Enum):
    """Who decides how arrays are spread over an axis of a mesh; of an axis of size 1 it changes nothing.

    >>> from covector.sharding import AxisType
    >>> [kind.name for kind in AxisType]
    ['Auto', 'Explicit', 'Manual']
    """

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()


class PartitionSpec(tuple[Any, ...]):
    """Over which axes of a mesh each axis of an array is spread: a name, a tuple of names, or None.

    >>> from covector.sharding import PartitionSpec as P
    >>> P("rows", None), len(P("rows", None))
    (PartitionSpec('rows', None), 2)
    """

    __slots__ = ()

    def __new__(cls, *partitions: Hashable) -> PartitionSpec:
        for entry in partitions:
            names = entry if isinstance(entry, tuple) else (entry,)
            if not all(name is None or isinstance(name, str) for name in names):
                raise TypeError(
                    f"PartitionSpec: entries are names of a mesh's axes, tuples of them, or None, got {entry!r}"
                    f"{errors.at_user_line()}"
                )
        return super().__new__(cls, partitions)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"PartitionSpec({', '.join(map(repr, self))})"

    def names(self) -> Iterator[str]:
        """All names in it, in order.

        >>> from covector.sharding import PartitionSpec as P
        >>> list(P("a", None, ("b", "c")).names())
        ['a', 'b', 'c']
        """
        for entry in self:
            yield from (n for n in (entry if isinstance(entry, tuple) else (entry,)) if n)


P = PartitionSpec


@bounded
class AbstractMesh:
    """The axes of a mesh without its devices: sizes, names, and who decides over each.

    >>> from covector.sharding import AbstractMesh
    >>> dict(AbstractMesh((1, 1), ("rows", "columns")).shape)
    {'rows': 1, 'columns': 1}
    """

    __slots__ = ("axis_names", "axis_sizes", "axis_types")

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: Sequence[str],
        axis_types: Sequence[AxisType] | None = None,
    ):
        self.axis_sizes, self.axis_names = tuple(axis_sizes), tuple(axis_names)
        self.axis_types = tuple(axis_types or (AxisType.Auto,) * len(self.axis_names))
        if not len(self.axis_sizes) == len(self.axis_names) == len(self.axis_types):
            raise ValueError(
                f"a mesh has a size, a name and a type for each axis{errors.at_user_line()}, got sizes "
                f"{self.axis_sizes}, names {self.axis_names}, types {self.axis_types}"
            )
        if len({*self.axis_names}) < len(self.axis_names):
            raise ValueError(
                f"a mesh's axes have names of their own{errors.at_user_line()}, got {self.axis_names}"
            )

    @property
    def shape(self) -> OrderedDict[str, int]:
        """The sizes by name.

        >>> import covector
        >>> dict(covector.make_mesh((1,), ("a",)).shape)
        {'a': 1}
        """
        return OrderedDict(zip(self.axis_names, self.axis_sizes, strict=True))

    @property
    def size(self) -> int:
        """How many devices it has.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).size
        1
        """
        return prod(self.axis_sizes)

    @property
    def empty(self) -> bool:
        """Whether it has no axes.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).empty
        False
        """
        return not self.axis_names

    def _all(self, kind: AxisType) -> bool:
        return not self.empty and all(t is kind for t in self.axis_types)

    @property
    def are_all_axes_auto(self) -> bool:
        """Whether the compiler decides over all axes.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).are_all_axes_auto
        True
        """
        return self._all(AxisType.Auto)

    @property
    def are_all_axes_explicit(self) -> bool:
        """Whether types say over all axes how arrays are spread.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).are_all_axes_explicit
        False
        """
        return self._all(AxisType.Explicit)

    @property
    def are_all_axes_manual(self) -> bool:
        """Whether the program itself decides over all axes.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).are_all_axes_manual
        False
        """
        return self._all(AxisType.Manual)

    def _key(self) -> tuple[Any, ...]:
        return self.axis_sizes, self.axis_names, self.axis_types

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"AbstractMesh({self._axes()})"

    def _axes(self) -> str:
        return ", ".join([f"{name!r}: {size}" for name, size in self.shape.items()])


@bounded
class Mesh(AbstractMesh):
    """A grid of devices with a name for each axis; in a `with` block it is written for programs that say so.

    >>> import covector, numpy
    >>> covector.sharding.Mesh(numpy.array(covector.devices()), ("x",))
    Mesh('x': 1)
    """

    __slots__ = ("devices",)

    def __init__(
        self,
        devices: Any,
        axis_names: str | Sequence[str],
        axis_types: Sequence[AxisType] | None = None,
    ):
        self.devices = np.asarray(devices, dtype=object)
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        super().__init__(self.devices.shape, names, axis_types)
        if len({*self.device_ids}) < self.devices.size:
            raise ValueError(f"Mesh: a device is there more than once{errors.at_user_line()}")

    @property
    def device_ids(self) -> list[int]:
        """The devices' numbers.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).device_ids
        [0]
        """
        return [device.id for device in self.devices.flat]

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """Its axes alone.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).abstract_mesh
        AbstractMesh('a': 1)
        """
        return AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types)

    def _key(self) -> tuple[Any, ...]:
        return (*super()._key(), *self.devices.flat)

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def __repr__(self) -> str:
        return f"Mesh({self._axes()})"


NO_MESH = AbstractMesh((), ())


@bounded
class NamedSharding(Sharding):
    """The axes of an array spread over the axes of a mesh, as a `PartitionSpec` says.

    >>> import covector
    >>> from covector.sharding import NamedSharding, PartitionSpec
    >>> NamedSharding(covector.make_mesh((1,), ("x",)), PartitionSpec("x"))
    NamedSharding(mesh=Mesh('x': 1), spec=PartitionSpec('x',))
    """

    __slots__ = ("mesh", "spec")

    def __init__(
        self, mesh: Mesh | AbstractMesh, spec: Sequence[Any], *, memory_kind: str | None = None
    ):
        self.mesh, self.spec = mesh, PartitionSpec(*spec)
        names = list(self.spec.names())
        if unknown := [n for n in names if n not in mesh.axis_names]:
            raise ValueError(
                f"NamedSharding: {unknown[0]!r} is not an axis of the mesh{errors.at_user_line()}; it has "
                f"{mesh.axis_names}"
            )
        if len({*names}) < len(names):
            raise ValueError(
                f"NamedSharding: an axis of the mesh is there twice in {self.spec}{errors.at_user_line()}"
            )
        if memory_kind not in (None, "device"):
            raise ValueError(
                f"there is no memory of kind {memory_kind!r}{errors.at_user_line()}; there is 'device'"
            )

    @property
    def device_set(self) -> set[Any]:
        """The devices of the mesh.

        >>> import covector
        >>> from covector.sharding import NamedSharding, PartitionSpec
        >>> NamedSharding(covector.make_mesh((1,), ("x",)), PartitionSpec()).device_set
        {CpuDevice(id=0)}
        """
        return {*self.mesh.devices.flat} if isinstance(self.mesh, Mesh) else set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedSharding) and (self.mesh, self.spec) == (
            other.mesh,
            other.spec,
        )

    def __hash__(self) -> int:
        return hash((self.mesh, self.spec))

    def __repr__(self) -> str:
        entries = ", ".join(map(repr, self.spec)) + ("," if len(self.spec) == 1 else "")
        return f"NamedSharding(mesh={self.mesh!r}, spec=PartitionSpec({entries}))"


def over_no_mesh(ndim: int) -> NamedSharding:
    """The sharding in the type of an array, which says nothing."""
    return NamedSharding(NO_MESH, (None,) * ndim)
