"""What arrays say of the memory that they lie in: methods and properties for `methods`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.core.trace import Array
from covector._engine.runtime.device import default_device

__all__ = ["METHODS_OF_MEMORY", "PROPERTIES_OF_MEMORY", "described", "placement"]


@cache
def placement() -> Any:
    """The file that knows where arrays are, loaded when it is asked."""
    return import_late("covector._engine.runtime.placement")


def _devices(self: Any) -> Any:
    """The devices that have a part of the array.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).devices()
    {CpuDevice(id=0)}
    """
    return self.sharding.device_set


def _addressable_data(self: Any, index: int) -> Any:
    """The part of the array with this number among those of this process.

    IndexError if there is none such.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).addressable_data(0)
    Array([1., 1.], dtype=float32)
    """
    return placement().shard_data(self, index)


def _on_device_size_in_bytes(self: Any) -> int:
    """The bytes that the elements take on the device.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).on_device_size_in_bytes()
    8
    """
    return self.nbytes


def _copy_to_host_async(self: Any) -> None:
    """Begin to copy the elements to where NumPy can read them: they lie there already.

    RuntimeError if the array was deleted.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).copy_to_host_async()
    """
    if self.is_deleted():
        raise RuntimeError(
            f"copy_to_host_async of an array that was deleted or donated{errors.at_user_line()}"
        )


def _platform(self: Any) -> str:
    """The platform of the array's device.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).platform()
    'cpu'
    """
    return default_device().platform


METHODS_OF_MEMORY: dict[str, Callable[..., Any]] = {
    "addressable_data": _addressable_data,
    "copy_to_host_async": _copy_to_host_async,
    "devices": _devices,
    "on_device_size_in_bytes": _on_device_size_in_bytes,
    "platform": _platform,
}


def described(text: str, name: str, shown: str) -> str:
    """The text of a property, with an example."""
    return f"{text}\n\n>>> from covector import numpy as cnp\n>>> cnp.ones(2).{name}\n{shown}\n"


# Of arrays, and of tracers that have a value.
PROPERTIES_OF_MEMORY: dict[str, tuple[Callable[..., Any], str]] = {
    "addressable_shards": (
        lambda x: placement().shards_of(x),
        described(
            "The parts of the array that are in this process.",
            "addressable_shards[0].device",
            "CpuDevice(id=0)",
        ),
    ),
    "committed": (
        vars(Array)["committed"].__get__,
        described(
            "Whether its device was asked for, by `device_put`, or that of what it was made from.",
            "committed",
            "False",
        ),
    ),
    "format": (
        lambda x: placement().format_of(x),
        described(
            "The order of its axes in memory, and its sharding.",
            "format.layout.major_to_minor",
            "(0,)",
        ),
    ),
    "global_shards": (
        lambda x: placement().shards_of(x),
        described("All parts of the array.", "global_shards[0].device", "CpuDevice(id=0)"),
    ),
    "is_fully_addressable": (
        lambda x: True,
        described("Whether all parts are in this process.", "is_fully_addressable", "True"),
    ),
    "is_fully_replicated": (
        lambda x: True,
        described("Whether each device has all of the array.", "is_fully_replicated", "True"),
    ),
}
