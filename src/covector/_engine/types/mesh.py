"""Meshes: grids of devices with a name for each axis.  Plain data, and which of them a thread is in the context of.

There is one device, so a mesh of devices has one too, and its axes have size 1.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.public import bounded
from covector._engine.base.record import record


class AxisType(enum.Enum):
    """Who decides how arrays are spread over an axis of a mesh; of an axis of size 1 it changes nothing.

    >>> from covector.sharding import AxisType
    >>> [kind.name for kind in AxisType]
    ['Auto', 'Explicit', 'Manual']
    """

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()

    def __repr__(self) -> str:
        return self.name


class UnreducedKind(enum.Enum):
    """How the parts of an array that is not reduced yet would be: with one part they are the array.

    >>> from covector.sharding import UnreducedKind
    >>> [kind.name for kind in UnreducedKind]
    ['sum', 'max', 'min']
    """

    sum = enum.auto()
    max = enum.auto()
    min = enum.auto()


@record
class AbstractDevice:
    """The kind of the devices of a mesh that has none yet: their name, their number of cores, their platform.

    >>> from covector.sharding import AbstractDevice
    >>> AbstractDevice("cpu", None, "cpu").platform
    'cpu'
    """

    device_kind: str
    num_cores: int | None
    platform: str


@record
class ManualAxisType:
    """How the parts of an array differ along the axes that a program itself decides over.

    `varying`: along which the parts are different values; `unreduced`, `reduced`: as those of a `PartitionSpec`.

    >>> from covector.sharding import ManualAxisType
    >>> ManualAxisType(varying=frozenset({"x"})).invarying
    False
    """

    varying: frozenset[str] = frozenset()
    unreduced: frozenset[str] = frozenset()
    reduced: frozenset[str] = frozenset()
    unreduced_kind: UnreducedKind | None = None

    @property
    def empty(self) -> bool:
        """Whether it says nothing.

        >>> from covector.sharding import ManualAxisType
        >>> ManualAxisType().empty
        True
        """
        return not (self.varying or self.unreduced or self.reduced)

    @property
    def invarying(self) -> bool:
        """Whether all parts are one value.

        >>> from covector.sharding import ManualAxisType
        >>> ManualAxisType().invarying
        True
        """
        return not self.varying


@bounded
class AbstractMesh:
    """The axes of a mesh without its devices: sizes, names, and who decides over each.

    >>> from covector.sharding import AbstractMesh
    >>> dict(AbstractMesh((1, 1), ("rows", "columns")).shape)
    {'rows': 1, 'columns': 1}
    """

    __slots__ = ("abstract_device", "axis_names", "axis_sizes", "axis_types")
    _BY_DEFAULT = AxisType.Explicit

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: Sequence[str],
        axis_types: Sequence[AxisType] | AxisType | None = None,
        *,
        abstract_device: AbstractDevice | None = None,
    ):
        self.abstract_device = abstract_device
        self.axis_sizes, self.axis_names = tuple(axis_sizes), tuple(axis_names)
        if isinstance(axis_types, AxisType):
            axis_types = (axis_types,) * len(self.axis_names)
        self.axis_types = tuple(axis_types or (self._BY_DEFAULT,) * len(self.axis_names))
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
        False
        """
        return self._all(AxisType.Auto)

    @property
    def are_all_axes_explicit(self) -> bool:
        """Whether types say over all axes how arrays are spread.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).are_all_axes_explicit
        True
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

    def _of_type(self, kind: AxisType) -> tuple[str, ...]:
        found = zip(self.axis_names, self.axis_types, strict=True)
        return tuple([name for name, given in found if given is kind])

    @property
    def auto_axes(self) -> tuple[str, ...]:
        """The axes that the compiler decides over.

        >>> from covector.sharding import AbstractMesh, AxisType
        >>> AbstractMesh((1, 1), ("a", "b"), (AxisType.Auto, AxisType.Explicit)).auto_axes
        ('a',)
        """
        return self._of_type(AxisType.Auto)

    @property
    def explicit_axes(self) -> tuple[str, ...]:
        """The axes that types speak of.

        >>> from covector.sharding import AbstractMesh
        >>> AbstractMesh((1,), ("a",)).explicit_axes
        ('a',)
        """
        return self._of_type(AxisType.Explicit)

    @property
    def manual_axes(self) -> tuple[str, ...]:
        """The axes that the program itself decides over.

        >>> from covector.sharding import AbstractMesh
        >>> AbstractMesh((1,), ("a",)).manual_axes
        ()
        """
        return self._of_type(AxisType.Manual)

    @property
    def shape_tuple(self) -> tuple[tuple[str, int], ...]:
        """Names and sizes.

        >>> from covector.sharding import AbstractMesh
        >>> AbstractMesh((1,), ("a",)).shape_tuple
        (('a', 1),)
        """
        return tuple(self.shape.items())

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """Its axes alone.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).abstract_mesh
        AbstractMesh('a': 1, axis_types=(Explicit,))
        """
        return self

    def update_axis_types(self, name_to_type: Mapping[str, AxisType]) -> AbstractMesh:
        """The axes with other types for some.

        >>> from covector.sharding import AbstractMesh, AxisType
        >>> AbstractMesh((1,), ("a",)).update_axis_types({"a": AxisType.Auto})
        AbstractMesh('a': 1, axis_types=(Auto,))
        """
        types = dict(zip(self.axis_names, self.axis_types, strict=True)) | dict(name_to_type)
        if unknown := [name for name in types if name not in self.axis_names]:
            raise ValueError(
                f"update_axis_types: {unknown[0]!r} is not an axis of the mesh{errors.at_user_line()}; it has "
                f"{self.axis_names}"
            )
        return self._with_types([types[name] for name in self.axis_names])

    def _with_types(self, types: Sequence[AxisType]) -> AbstractMesh:
        return AbstractMesh(
            self.axis_sizes, self.axis_names, types, abstract_device=self.abstract_device
        )

    def _key(self) -> tuple[Any, ...]:
        return self.axis_sizes, self.axis_names, self.axis_types

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"AbstractMesh({self._axes()}, axis_types={self.axis_types})"

    def _axes(self) -> str:
        return ", ".join([f"{name!r}: {size}" for name, size in self.shape.items()]) or "()"


@bounded
class Mesh(AbstractMesh):
    """A grid of devices with a name for each axis; in a `with` block it is written for programs that say so.

    >>> import covector, numpy
    >>> covector.sharding.Mesh(numpy.array(covector.devices()), ("x",))
    Mesh(axis_sizes=(1,), axis_names=('x',), axis_types=(Auto,))
    """

    __slots__ = ("_before", "devices")
    _BY_DEFAULT = AxisType.Auto

    def __init__(
        self,
        devices: Any,
        axis_names: str | Sequence[str],
        axis_types: Sequence[AxisType] | AxisType | None = None,
    ):
        self._before: list[Hashable] = []
        self.devices = np.asarray(devices, dtype=object)
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        super().__init__(self.devices.shape, names, axis_types)
        if len({*self.devices.flat}) < self.devices.size:
            raise ValueError(f"Mesh: a device is there more than once{errors.at_user_line()}")

    @property
    def device_ids(self) -> np.ndarray:
        """The devices' numbers, in the shape of the mesh.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).device_ids
        array([0])
        """
        found = [device.id for device in self.devices.flat]
        return np.array(found, int).reshape(self.devices.shape)

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """Its axes alone, and the kind of its devices.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).abstract_mesh.abstract_device.platform
        'cpu'
        """
        first = self.devices.flat[0] if self.devices.size else None
        kind = first and AbstractDevice(first.device_kind, None, first.platform)
        return AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types, abstract_device=kind)

    @property
    def local_devices(self) -> list[Any]:
        """The devices of this process: all.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).local_devices
        [CpuDevice(id=0)]
        """
        return list(self.devices.flat)

    @property
    def local_mesh(self) -> Mesh:
        """The part of this process: all.

        >>> import covector
        >>> mesh = covector.make_mesh((1,), ("a",))
        >>> mesh.local_mesh is mesh
        True
        """
        return self

    @property
    def is_multi_process(self) -> bool:
        """Whether other processes have a part.

        >>> import covector
        >>> covector.make_mesh((1,), ("a",)).is_multi_process
        False
        """
        return False

    def _with_types(self, types: Sequence[AxisType]) -> Mesh:
        return Mesh(self.devices, self.axis_names, types)

    def _key(self) -> tuple[Any, ...]:
        return (*super()._key(), *self.devices.flat)

    def __enter__(self) -> Mesh:
        self._before.append(config.enter_mesh(self))
        return self

    def __exit__(self, *exception: object) -> None:
        config.enter_mesh(self._before.pop())

    def __repr__(self) -> str:
        if self.empty:
            return "Mesh(axis_sizes=(), axis_names=())"
        return f"Mesh(axis_sizes={self.axis_sizes}, axis_names={self.axis_names}, axis_types={self.axis_types})"


NO_MESH = AbstractMesh((), ())


@contextmanager
def within(mesh: AbstractMesh) -> Generator[AbstractMesh]:
    """A block in the context of a mesh."""
    before = config.enter_mesh(mesh)
    try:
        yield mesh
    finally:
        config.enter_mesh(before)


def context_mesh() -> AbstractMesh | None:
    """The mesh in whose context this thread is."""
    found = config.mesh
    return found if isinstance(found, AbstractMesh) else None
