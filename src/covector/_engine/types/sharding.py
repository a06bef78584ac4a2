"""Where the parts of an array are: specs that spread axes over those of a mesh, shardings.  Plain data.

There is one device, so programs that spread arrays over a mesh run, and each part is the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.types.mesh import NO_MESH, AbstractMesh, Mesh, UnreducedKind

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
    def _device_assignment(self) -> tuple[Any, ...]:
        """The devices in order, under the name that Orbax and others know."""
        return tuple(sorted(self.device_set, key=lambda device: device.id))

    _addressable_device_assignment = _device_assignment

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


class _Unconstrained:
    """The entry of a spec that leaves an axis to the compiler."""

    def __repr__(self) -> str:
        return "UNCONSTRAINED"


class PartitionSpec(tuple[Any, ...]):
    """Over which axes of a mesh each axis of an array is spread: a name, a tuple of names, or None.

    `P.UNCONSTRAINED` leaves it open.  `unreduced` are axes over which the parts are still to be combined, in the
    way of `unreduced_kind`, and `reduced` those over which they were: with one part that changes no value.

    >>> from covector.sharding import PartitionSpec as P
    >>> P("rows", None), len(P("rows", None))
    (P('rows', None), 2)
    """

    UNCONSTRAINED: Any = _Unconstrained()

    unreduced: frozenset[str]
    reduced: frozenset[str]
    unreduced_kind: UnreducedKind | None

    def __new__(
        cls,
        *partitions: Any,
        unreduced: Iterable[str] = (),
        reduced: Iterable[str] = (),
        unreduced_kind: UnreducedKind | None = None,
    ) -> PartitionSpec:
        for entry in partitions:
            names = entry if isinstance(entry, tuple) else (entry,)
            if not all(n is None or n is cls.UNCONSTRAINED or isinstance(n, str) for n in names):
                raise TypeError(
                    f"PartitionSpec: entries are names of a mesh's axes, tuples of them, or None, got {entry!r}"
                    f"{errors.at_user_line()}"
                )
        made = super().__new__(cls, partitions)
        made.unreduced, made.reduced = frozenset(unreduced), frozenset(reduced)
        made.unreduced_kind = unreduced_kind
        if twice := {*made.names()} & (made.unreduced | made.reduced):
            raise ValueError(
                f"PartitionSpec: {min(twice)!r} is an axis of the array and of unreduced or reduced"
                f"{errors.at_user_line()}"
            )
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _partition_spec, (tuple(self), self.unreduced, self.reduced, self.unreduced_kind)

    def __add__(self, other: tuple[Any, ...]) -> PartitionSpec:  # type: ignore[override]
        return self.update(partitions=(*self, *other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartitionSpec):
            return super().__eq__(other)
        return super().__eq__(other) and self._rest() == other._rest()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), *self._rest()))

    def _rest(self) -> tuple[Any, ...]:
        return self.unreduced, self.reduced, self.unreduced_kind

    def __repr__(self) -> str:
        sets = {"unreduced": self.unreduced, "reduced": self.reduced}
        named = [f"{k}={{{', '.join(map(repr, sorted(v)))}}}" for k, v in sets.items() if v]
        alone = "," if len(self) == 1 and not named else ""
        return f"P({', '.join([*map(repr, self), *named])}{alone})"

    def update(
        self,
        partitions: Sequence[Any] | None = None,
        unreduced: Iterable[str] | None = None,
        reduced: Iterable[str] | None = None,
    ) -> PartitionSpec:
        """The spec with these parts in place of its own.

        >>> from covector.sharding import PartitionSpec as P
        >>> P("x").update(partitions=("y", None))
        P('y', None)
        """
        return PartitionSpec(
            *(self if partitions is None else partitions),
            unreduced=self.unreduced if unreduced is None else unreduced,
            reduced=self.reduced if reduced is None else reduced,
            unreduced_kind=self.unreduced_kind,
        )

    @property
    def partitions(self) -> tuple[Any, ...]:
        """The entries.

        >>> from covector.sharding import PartitionSpec as P
        >>> P("x", None).partitions
        ('x', None)
        """
        return tuple(self)

    def names(self) -> Iterator[str]:
        """All names in it, in order.

        >>> from covector.sharding import PartitionSpec as P
        >>> list(P("a", None, ("b", "c")).names())
        ['a', 'b', 'c']
        """
        for entry in self:
            names = entry if isinstance(entry, tuple) else (entry,)
            yield from (n for n in names if isinstance(n, str))


def _partition_spec(
    entries: tuple[Any, ...], unreduced: Any, reduced: Any, kind: UnreducedKind | None
) -> PartitionSpec:
    return PartitionSpec(*entries, unreduced=unreduced, reduced=reduced, unreduced_kind=kind)


P = PartitionSpec


@bounded
class NamedSharding(Sharding):
    """The axes of an array spread over the axes of a mesh, as a `PartitionSpec` says.

    >>> import covector
    >>> from covector.sharding import NamedSharding, PartitionSpec
    >>> NamedSharding(covector.make_mesh((1,), ("x",)), PartitionSpec("x"))
    NamedSharding(mesh=Mesh('x': 1, axis_types=(Explicit,)), spec=P('x',))
    """

    __slots__ = ("mesh", "spec")

    def __init__(
        self, mesh: Mesh | AbstractMesh, spec: Sequence[Any], *, memory_kind: str | None = None
    ):
        self.mesh = mesh
        self.spec = spec if isinstance(spec, PartitionSpec) else PartitionSpec(*spec)
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
        kind = type(self.mesh).__name__
        mesh = f"{kind}({self.mesh._axes()}, axis_types={self.mesh.axis_types})"
        return f"NamedSharding(mesh={mesh}, spec={self.spec!r})"

    def update(self, **changes: Any) -> NamedSharding:
        """The same with another `mesh`, `spec` or `memory_kind`.

        >>> import covector
        >>> from covector.sharding import NamedSharding, PartitionSpec
        >>> NamedSharding(covector.make_mesh((1,), ("x",)), PartitionSpec()).update(spec=PartitionSpec("x")).spec
        P('x',)
        """
        given: dict[str, Any] = {"mesh": self.mesh, "spec": self.spec, **changes}
        return NamedSharding(**given)

    def with_memory_kind(self, kind: str) -> NamedSharding:
        """The same with another kind of memory; ValueError if there is none such.

        >>> import covector
        >>> from covector.sharding import NamedSharding, PartitionSpec
        >>> NamedSharding(covector.make_mesh((1,), ("x",)), PartitionSpec()).with_memory_kind("device").spec
        P()
        """
        return self.update(memory_kind=kind)


def over_no_mesh(ndim: int) -> NamedSharding:
    """The sharding in the type of an array, which says nothing."""
    return NamedSharding(NO_MESH, (None,) * ndim)
