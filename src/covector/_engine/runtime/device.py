"""Devices, and moving arrays to and from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.backends import registry
from covector._engine.base import errors, tree
from covector._engine.base.config import config
from covector._engine.base.record import record
from covector._engine.core.numbers import entered
from covector._engine.core.trace import Array, Tracer
from covector._engine.runtime.eager import as_array


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

    def memory_stats(self) -> dict[str, int]:
        """The allocator's counts, in bytes: in use, peak, cached."""
        return _native.memory_stats()


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


def local_devices() -> list[Device]:
    """The devices of this process.

    >>> import covector
    >>> covector.local_devices() == covector.devices()
    True
    """
    return devices()


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
        if any(d not in devices() for d in getattr(place, "device_set", (place,))):
            raise ValueError(
                f"{api}: {what}={place!r} is not a device here, nor a sharding over such{errors.at_user_line()}; "
                f"the devices are {devices()}"
            )


def device_put(x: Any, device: object = None) -> Any:
    """The pytree with its leaves as arrays on the device, or as a sharding says.  Shapes and dtypes stay.

    With a device they are `committed`, and so is what is computed from them.

    >>> import covector as cv, numpy as np
    >>> cv.device_put({"a": np.arange(3)})["a"].dtype
    dtype('int64')
    """
    check_places("device_put", "device", device)
    asked = bool(tree.leaves(device))

    def put(leaf: Any) -> Any:
        if isinstance(leaf, Tracer):
            return leaf
        array = as_array(entered(np.asarray(leaf) if isinstance(leaf, np.generic) else leaf))
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
