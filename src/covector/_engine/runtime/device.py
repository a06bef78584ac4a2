"""Devices, and moving arrays to and from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.backends import registry
from covector._engine.base import errors, tree
from covector._engine.base.config import config
from covector._engine.base.public import bounded
from covector._engine.base.record import record
from covector._engine.base.version import VERSION
from covector._engine.core.numbers import as_entered
from covector._engine.core.trace import Array, Tracer
from covector._engine.runtime.eager import as_array
from covector._engine.types.mesh import AbstractMesh, context_mesh
from covector._engine.types.sharding import NamedSharding, PartitionSpec


@bounded
class Client:
    """A platform and its devices.

    >>> from covector.extend import backend
    >>> backend.get_backend().platform
    'cpu'
    """

    def __init__(self, platform: str):
        self.platform, self.platform_version, self.runtime_type = platform, VERSION, "covector"

    def devices(self) -> list[Device]:
        """The devices.

        >>> from covector.extend import backend
        >>> backend.get_backend().devices()
        [CpuDevice(id=0)]
        """
        return devices(self.platform)

    local_devices = devices

    def device_count(self) -> int:
        """How many devices there are.

        >>> from covector.extend import backend
        >>> backend.get_backend().device_count()
        1
        """
        return device_count(self.platform)

    local_device_count = device_count

    def process_index(self) -> int:
        """The number of this process.

        >>> from covector.extend import backend
        >>> backend.get_backend().process_index()
        0
        """
        return process_index()


@record
class Device:
    """A place where arrays live and Programs run.

    >>> import covector
    >>> covector.devices()[0]
    CpuDevice(id=0)
    """

    platform: str
    id: int
    process_index: int = 0

    @property
    def device_kind(self) -> str:
        """The kind of hardware: that of the platform."""
        return self.platform

    def __repr__(self) -> str:
        return f"{self.platform.capitalize()}Device(id={self.id})"

    def __str__(self) -> str:
        return f"{self.platform}:{self.id}"

    @property
    def host_id(self) -> int:
        """The process that it belongs to, under an older name.

        >>> import covector
        >>> covector.devices()[0].host_id
        0
        """
        return self.process_index

    @property
    def local_hardware_id(self) -> int:
        """Its number in this process.

        >>> import covector
        >>> covector.devices()[0].local_hardware_id
        0
        """
        return self.id

    @property
    def client(self) -> Client:
        """Its platform.

        >>> import covector
        >>> covector.devices()[0].client.platform
        'cpu'
        """
        return Client(self.platform)

    def memory(self, kind: str) -> Memory:
        """Its memory of a kind; ValueError if it has none such.

        >>> import covector
        >>> covector.devices()[0].memory("device").kind
        'device'
        """
        check_memory(kind)
        return self.default_memory()

    def default_memory(self) -> Memory:
        """The memory that arrays are in.

        >>> import covector
        >>> covector.devices()[0].default_memory().kind
        'device'
        """
        return Memory("device", self)

    def addressable_memories(self) -> list[Memory]:
        """Its memories: the one.

        >>> import covector
        >>> len(covector.devices()[0].addressable_memories())
        1
        """
        return [self.default_memory()]

    def memory_stats(self) -> dict[str, int]:
        """The allocator's counts, in bytes: in use, peak, cached."""
        return _native.memory_stats()


@record
class Memory:
    """A memory of a device.

    >>> import covector
    >>> covector.devices()[0].default_memory().device
    CpuDevice(id=0)
    """

    kind: str
    device: Device


def check_memory(kind: str | None) -> None:
    """ValueError for a kind of memory that there is not."""
    if kind not in (None, "device"):
        raise ValueError(
            f"there is no memory of kind {kind!r}{errors.at_user_line()}; there is 'device'"
        )


def devices(backend: str | None = None) -> list[Device]:
    """The devices of a backend (None: of the one that Programs run on); RuntimeError for one that is not there.

    >>> import covector
    >>> covector.devices()[0].platform
    'cpu'
    """
    name = default_backend() if backend is None else backend
    return [Device(name, number) for number in range(registry.backend(name).device_count())]


def platforms() -> tuple[str, ...]:
    """The names of the backends that are there."""
    return tuple(registry.MODULES)


def default_device() -> Device:
    """Where arrays are made."""
    return Device(default_backend(), 0)


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices of this process, or of one with another number: ValueError if there is none such.

    >>> import covector
    >>> covector.local_devices() == covector.devices()
    True
    """
    wanted = host_id if process_index is None else process_index
    if wanted not in (None, 0):
        raise ValueError(
            f"local_devices: there is no process {wanted!r}{errors.at_user_line()}; there is one, 0"
        )
    return devices(backend)


def local_device_count(backend: str | None = None) -> int:
    """How many devices this process has.

    >>> import covector
    >>> covector.local_device_count()
    1
    """
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    """The number of this process among those that compute together: it is alone.

    >>> import covector
    >>> covector.process_index()
    0
    """
    devices(backend)
    return 0


def process_count(backend: str | None = None) -> int:
    """How many processes compute together: one.

    >>> import covector
    >>> covector.process_count()
    1
    """
    return len(process_indices(backend))


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of all processes.

    >>> import covector
    >>> covector.process_indices()
    [0]
    """
    return [process_index(backend)]


def host_id(backend: str | None = None) -> int:
    """`process_index` under an older name.

    >>> import covector
    >>> covector.host_id()
    0
    """
    return process_index(backend)


def host_count(backend: str | None = None) -> int:
    """`process_count` under an older name.

    >>> import covector
    >>> covector.host_count()
    1
    """
    return process_count(backend)


def host_ids(backend: str | None = None) -> list[int]:
    """`process_indices` under an older name.

    >>> import covector
    >>> covector.host_ids()
    [0]
    """
    return process_indices(backend)


def device_count(backend: str | None = None) -> int:
    """How many devices there are.

    >>> import covector
    >>> covector.device_count() == len(covector.devices())
    True
    """
    return len(devices(backend))


def default_backend() -> str:
    """The platform that arrays are made on.

    >>> import covector
    >>> covector.default_backend()
    'cpu'
    """
    return config.backend


def check_places(api: str, what: str, places: object) -> None:
    """ValueError unless the devices and shardings in a pytree are of devices that there are.

    There is one device, so that is all that they say.
    """
    for place in tree.leaves(places):
        place = resolved(api, place)
        if isinstance(getattr(place, "mesh", None), AbstractMesh) and not place.device_set:
            continue  # axes alone, which mean the devices that there are
        if any(d not in devices() for d in getattr(place, "device_set", (place,))):
            raise ValueError(
                f"{api}: {what}={place!r} is not a device here, nor a sharding over such{errors.at_user_line()}; "
                f"the devices are {devices()}"
            )


def committed(x: Any) -> Any:
    """An array that is said to be where it is; what is traced is nowhere yet."""
    return _native.commit(x) if type(x) is Array and not x.committed else x


def resolved(api: str, place: Any) -> Any:
    """The sharding that a PartitionSpec stands for, over the mesh of the context; another place as it is.

    ValueError if there is no mesh, or it has no such axis.
    """
    if not isinstance(place, PartitionSpec):
        return place
    mesh = context_mesh()
    if mesh is None:
        raise ValueError(
            f"{api} got {place!r}{errors.at_user_line()}, which is about the mesh of the context, and there is none: "
            "call set_mesh(mesh), or give a NamedSharding"
        )
    return NamedSharding(mesh, place)


def device_put(
    x: Any,
    device: object = None,
    *,
    src: object = None,
    donate: Any = False,
    may_alias: bool | None = None,
) -> Any:
    """The pytree with its leaves as arrays on the device, or as a sharding says.  Shapes and dtypes stay.

    With a device they are `committed`, and so is what is computed from them.  `src` is where they are now.  The memory
    of an array that is given is that of the result, whether it may be donated or shared.  ValueError for a device or a
    sharding that is not there.

    >>> import covector as cv, numpy as np
    >>> cv.device_put({"a": np.arange(3)})["a"].dtype
    dtype('int64')
    """
    check_places("device_put", "device", device)
    check_places("device_put", "src", src)
    asked = bool(tree.leaves(device))

    def put(leaf: Any) -> Any:
        if isinstance(leaf, Tracer):
            return leaf
        if isinstance(leaf, np.ndarray | np.generic):
            if config.transfer_guard.endswith("explicit"):
                errors.guard_transfer(config.transfer_guard, leaf)
            leaf = as_entered(leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf))
        array = as_array(leaf)
        return _native.commit(array) if asked else array

    return tree.map(put, x)


def device_get(x: Any) -> Any:
    """The pytree with its leaves as NumPy arrays.

    >>> import covector as cv, covector.numpy as cnp
    >>> cv.device_get(cnp.arange(3))
    array([0, 1, 2], dtype=int32)
    """
    return tree.map(
        lambda leaf: np.asarray(leaf) if type(leaf) is Array or isinstance(leaf, Tracer) else leaf,
        x,
    )


def copy_to_host_async(x: Any) -> Any:
    """The pytree, whose arrays will soon be asked for by the host: they are in its memory.

    >>> import covector
    >>> covector.copy_to_host_async(covector.numpy.ones(2))
    Array([1., 1.], dtype=float32)
    """
    return x


def block_until_ready(x: Any) -> Any:
    """Wait until every array of the pytree is computed, and return it; what went wrong computing is raised here.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.block_until_ready({'a': cnp.ones(2)})
    {'a': Array([1., 1.], dtype=float32)}
    """
    for leaf in tree.leaves(x):
        if type(leaf) is Array:
            leaf.block_until_ready()
    return x
