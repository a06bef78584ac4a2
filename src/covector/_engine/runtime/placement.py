"""Where arrays are: shardings, shards, and the arrays that are alive.  There is one device: an array is one shard."""

from __future__ import annotations

import gc
import sys
from threading import get_ident
from types import FrameType
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import boundary, bounded
from covector._engine.core.trace import Array
from covector._engine.runtime.device import Device, check_memory, default_device, devices
from covector._engine.types.layout import Format, Layout
from covector._engine.types.sharding import Index, Sharding


@bounded
class SingleDeviceSharding(Sharding):
    """All of an array is on one device.

    >>> import covector
    >>> from covector.sharding import SingleDeviceSharding
    >>> SingleDeviceSharding(covector.devices()[0])
    SingleDeviceSharding(device=CpuDevice(id=0))
    """

    __slots__ = ("_device",)

    def __init__(self, device: Device, *, memory_kind: str | None = None):
        if device not in devices():
            raise ValueError(
                f"SingleDeviceSharding: {device!r} is not a device here{errors.at_user_line()}; the devices are "
                f"{devices()}"
            )
        check_memory(memory_kind)
        self._device = device

    @property
    def device_set(self) -> set[Device]:
        """The devices that have a part: the one.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.device_set
        {CpuDevice(id=0)}
        """
        return {self._device}

    def with_memory_kind(self, kind: str) -> SingleDeviceSharding:
        """The same with another kind of memory; ValueError if there is none such.

        >>> import covector.numpy as np
        >>> np.ones(2).sharding.with_memory_kind("device").memory_kind
        'device'
        """
        check_memory(kind)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SingleDeviceSharding) and other._device == self._device

    def __hash__(self) -> int:
        return hash(self._device)

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r})"


class Shard:
    """The part of an array that a device has.

    >>> import covector.numpy as np
    >>> np.arange(2).addressable_shards[0]
    Shard(device=CpuDevice(id=0), index=(slice(None, None, None),), replica_id=0, data=[0 1])
    """

    __slots__ = ("data", "device", "index", "replica_id")

    def __init__(self, device: Device, index: Index, data: Any):
        self.device, self.index, self.data, self.replica_id = device, index, data, 0

    def __repr__(self) -> str:
        return f"Shard(device={self.device!r}, index={self.index}, replica_id=0, data={self.data})"


def sharding_of(x: Any) -> SingleDeviceSharding:
    """Where an array is."""
    return SingleDeviceSharding(default_device())


def format_of(x: Any) -> Format:
    """How an array lies in memory: by rows."""
    return Format(Layout(tuple(range(len(x.shape)))), sharding_of(x))


def shards_of(x: Any) -> list[Shard]:
    """The parts of an array."""
    return [Shard(default_device(), (slice(None),) * len(x.shape), x)]


def shard_data(x: Any, index: int) -> Any:
    """The part of an array with this number."""
    if index not in (0, -1):
        raise IndexError(
            f"addressable_data: there is one part, not one with number {index}{errors.at_user_line()}"
        )
    return x


@boundary
def live_arrays(platform: str | None = None) -> list[Any]:
    """The arrays that something refers to, but for deleted ones.  It looks at all objects, which takes a while.

    >>> import covector
    >>> import covector.numpy as np
    >>> x = np.ones(3)
    >>> any(y is x for y in covector.live_arrays())
    True
    """
    if platform not in (None, default_device().platform):
        devices(platform)  # RuntimeError if there is no such one
        return []
    found: dict[int, Any] = {}
    seen: set[int] = set()
    pending = gc.get_objects()  # extended, as a list that is being written out would be in itself
    pending.extend(_running())
    frozen = gc.get_freeze_count() > 0
    if frozen:  # the collector keeps such objects to itself: they are found by what refers to them
        seen.update(map(id, pending))
        pending.append(sys.modules)
    while pending:
        more: list[Any] = []
        for x in gc.get_referents(*pending):
            if type(x) is Array:
                found[id(x)] = x
                continue
            # The collector leaves out what only refers to what refers to nothing.
            followed = frozen if gc.is_tracked(x) else type(x) in (tuple, dict)
            if followed and id(x) not in seen:
                seen.add(id(x))
                more.append(x)
        pending = more
    return [x for x in found.values() if not x.is_deleted()]


def _running() -> list[tuple[Any, ...]]:
    """The local values of the functions that run, but for ours: while they run the collector does not know them."""
    frames: dict[int, FrameType | None] = {**sys._current_frames()}
    frames[get_ident()] = sys._getframe(1).f_back  # ours would refer to what is collected here
    values: list[tuple[Any, ...]] = []
    for frame in frames.values():
        while frame is not None:
            values.append(tuple(frame.f_locals.values()))
            frame = frame.f_back
    return values
