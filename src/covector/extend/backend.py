"""What there is to compute on: names and meanings are those of `jax.extend.backend`, as far as libraries use them."""

from __future__ import annotations

from covector._engine.base.caches import clear_caches
from covector._engine.base.public import publish
from covector._engine.runtime.device import Client, Device, default_device, devices

__all__ = ["backends", "clear_backends", "get_backend", "get_default_device"]


def get_backend(platform: str | None = None) -> Client:
    """A platform, that of the default device if none is named; RuntimeError if there is no such one.

    >>> from covector.extend import backend
    >>> backend.get_backend("cpu").platform
    'cpu'
    """
    return Client(devices(platform)[0].platform)


def backends() -> dict[str, Client]:
    """The platforms by name.

    >>> from covector.extend import backend
    >>> list(backend.backends())
    ['cpu']
    """
    return {device.platform: Client(device.platform) for device in devices()}


def get_default_device() -> Device:
    """The device that arrays are made on.

    >>> from covector.extend import backend
    >>> backend.get_default_device()
    CpuDevice(id=0)
    """
    return default_device()


def clear_backends() -> None:
    """Forget what was compiled; the device stays, and so do arrays.

    >>> from covector.extend import backend
    >>> backend.clear_backends()
    """
    clear_caches()


publish(__name__)
