"""What processes tell each other: names and meanings are those of `jax.experimental.multihost_utils`, for one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from covector._engine.base import tree
from covector._engine.base.public import publish
from covector._engine.runtime.device import check_places, device_get

__all__ = [
    "ProcessFailureError",
    "assert_equal",
    "broadcast_one_to_all",
    "global_array_to_host_local_array",
    "host_local_array_to_global_array",
    "live_devices",
    "process_allgather",
    "reached_preemption_sync_point",
    "sync_global_devices",
]


def sync_global_devices(name: str) -> None:
    """Wait until all processes are here: there is one, and it is.

    >>> from covector.experimental import multihost_utils
    >>> multihost_utils.sync_global_devices("saved")
    """


def broadcast_one_to_all(in_tree: Any, is_source: bool | None = None) -> Any:
    """What the first process has, as NumPy arrays.

    >>> from covector.experimental import multihost_utils
    >>> multihost_utils.broadcast_one_to_all({"seed": 1})
    {'seed': array(1)}
    """
    return tree.map(np.asarray, device_get(in_tree))


def process_allgather(in_tree: Any, tiled: bool = False) -> Any:
    """What all processes have, stacked along a new first axis, or joined along the first one if it is `tiled`.

    >>> from covector.experimental import multihost_utils
    >>> multihost_utils.process_allgather(1.0)
    array([1.])
    """
    found = tree.map(np.asarray, device_get(in_tree))
    return found if tiled else tree.map(lambda x: x[None], found)


def assert_equal(in_tree: Any, fail_message: str = "") -> None:
    """AssertionError unless all processes have the same: there is one.

    >>> from covector.experimental import multihost_utils
    >>> multihost_utils.assert_equal(1)
    """


def host_local_array_to_global_array(local_inputs: Any, global_mesh: Any, pspecs: Any) -> Any:
    """The arrays that the processes have parts of, from those of this one: the same.

    >>> import covector
    >>> from covector.experimental.multihost_utils import host_local_array_to_global_array
    >>> x, mesh = covector.numpy.ones(2), covector.make_mesh((1,), ("x",))
    >>> host_local_array_to_global_array(x, mesh, covector.P("x")) is x
    True
    """
    return _spread("host_local_array_to_global_array", local_inputs, global_mesh, pspecs)


def global_array_to_host_local_array(global_inputs: Any, global_mesh: Any, pspecs: Any) -> Any:
    """The parts that this process has of arrays: the same.

    >>> import covector
    >>> from covector.experimental.multihost_utils import global_array_to_host_local_array
    >>> x, mesh = covector.numpy.ones(2), covector.make_mesh((1,), ("x",))
    >>> global_array_to_host_local_array(x, mesh, covector.P("x")) is x
    True
    """
    return _spread("global_array_to_host_local_array", global_inputs, global_mesh, pspecs)


def reached_preemption_sync_point(step_id: int) -> bool:
    """Whether all processes have come to the step after which they are ended: nobody ends this one.

    >>> from covector.experimental.multihost_utils import reached_preemption_sync_point
    >>> reached_preemption_sync_point(3)
    False
    """
    return False


class ProcessFailureError(Exception):
    """Raised where processes have failed, whose devices are `failed_devices`: there is one process.

    >>> from covector.experimental.multihost_utils import ProcessFailureError
    >>> ProcessFailureError({"cpu:1"}).failed_devices
    {'cpu:1'}
    """

    def __init__(self, failed_devices: set[Any]):
        self.failed_devices = failed_devices
        super().__init__(f"Devices failed: {failed_devices}")


@contextmanager
def live_devices(devices: Any) -> Generator[Any]:
    """Of these devices, those whose processes are alive: all.

    >>> import covector
    >>> from covector.experimental.multihost_utils import live_devices
    >>> with live_devices(covector.devices()) as alive:
    ...     print(len(alive))
    1
    """
    yield devices


def _spread(api: str, x: Any, mesh: Any, specs: Any) -> Any:
    with mesh:
        check_places(api, "pspecs", specs)
    return x


publish(__name__)
