"""Grids of devices for meshes: names and meanings are those of `jax.experimental.mesh_utils`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covector._engine.api.sharded import grid
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.runtime.device import Device

__all__ = ["create_device_mesh", "create_hybrid_device_mesh"]


def create_device_mesh(
    mesh_shape: Sequence[int],
    devices: Sequence[Device] | None = None,
    *,
    contiguous_submeshes: bool = False,
    allow_split_physical_axes: bool = False,
) -> np.ndarray:
    """The devices as an array of this shape, for `Mesh`; ValueError if there are more or fewer.

    The options are about how devices are connected: there is one.

    >>> from covector.experimental import mesh_utils
    >>> mesh_utils.create_device_mesh((1, 1))
    array([[CpuDevice(id=0)]], dtype=object)
    """
    return grid("create_device_mesh", mesh_shape, devices, exact=True)


def create_hybrid_device_mesh(
    mesh_shape: Sequence[int],
    dcn_mesh_shape: Sequence[int],
    devices: Sequence[Device] | None = None,
    *,
    process_is_granule: bool = False,
    should_sort_granules_by_key: bool = True,
    allow_split_physical_axes: bool = False,
) -> np.ndarray:
    """The same, of groups of devices: the shape of the groups, times that in each group.

    ValueError if the shapes are of different rank, or there are more or fewer devices.

    >>> from covector.experimental import mesh_utils
    >>> mesh_utils.create_hybrid_device_mesh((1, 1), (1, 1)).shape
    (1, 1)
    """
    if len(mesh_shape) != len(dcn_mesh_shape):
        raise ValueError(
            f"create_hybrid_device_mesh: mesh_shape and dcn_mesh_shape have a size for each axis"
            f"{errors.at_user_line()}, got {tuple(mesh_shape)} and {tuple(dcn_mesh_shape)}"
        )
    sizes = [a * b for a, b in zip(mesh_shape, dcn_mesh_shape, strict=True)]
    return grid("create_hybrid_device_mesh", sizes, devices, exact=True)


publish(__name__)
