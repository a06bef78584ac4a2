"""Where arrays are, in pictures and messages: there is one device, which has all of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.arguments import as_array, check_callable
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.runtime.device import check_places, default_device
from covector._engine.runtime.placement import sharding_of


def inspect_array_sharding(value: Any, *, callback: Callable[[Any], Any]) -> None:
    """Hand the sharding of an array, traced or not, to a function.

    >>> import covector
    >>> covector.debug.inspect_array_sharding(covector.numpy.ones(2), callback=print)
    SingleDeviceSharding(device=CpuDevice(id=0))
    """
    check_callable(callback, "inspect_array_sharding")
    callback(sharding_of(as_array(value)))


def visualize_array_sharding(arr: Any, **options: Any) -> None:
    """Print which device has which part of an array of one or two axes; ValueError for others.

    >>> import covector
    >>> covector.debug.visualize_array_sharding(covector.numpy.ones(2))
    ┌───────┐
    │ CPU 0 │
    └───────┘
    """
    array = as_array(arr)
    visualize_sharding(typeof(array).shape, sharding_of(array), **options)


def visualize_sharding(
    shape: Sequence[Any],
    sharding: Any,
    *,
    use_color: bool = True,
    scale: float = 1.0,
    min_width: int = 9,
    max_width: int = 80,
    color_map: Any = None,
) -> None:
    """Print which device has which part of an array of a shape, of one or two axes; ValueError for others.

    The options are for pictures of several devices.

    >>> import covector
    >>> covector.debug.visualize_sharding((2, 3), covector.numpy.ones(1).sharding)
    ┌───────┐
    │ CPU 0 │
    └───────┘
    """
    if len(shape) not in (1, 2):
        raise ValueError(
            f"visualize_sharding: a picture has one or two axes, got the shape {tuple(shape)}{errors.at_user_line()}"
        )
    check_places("visualize_sharding", "sharding", sharding)
    device = default_device()
    name = f" {device.platform.upper()} {device.id} "
    line = "─" * len(name)
    sys.stdout.write(f"┌{line}┐\n│{name}│\n└{line}┘\n")
