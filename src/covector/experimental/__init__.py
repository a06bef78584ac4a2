"""What may still change."""

import typing as _typing

from covector._engine.api.callbacks import io_callback as io_callback
from covector._engine.api.modes import disable_x64 as disable_x64, enable_x64 as enable_x64
from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish

if _typing.TYPE_CHECKING:
    from covector.experimental import (
        array_serialization as array_serialization,
        checkify as checkify,
        colocated_python as colocated_python,
        hijax as hijax,
        jet as jet,
        layout as layout,
        mesh_utils as mesh_utils,
        multihost_utils as multihost_utils,
        ode as ode,
        pjit as pjit,
        random as random,
        shard_map as shard_map,
        sparse as sparse,
    )

_LATER = (
    "array_serialization", "checkify", "colocated_python", "hijax", "jet", "layout", "mesh_utils", "multihost_utils",
    "ode", "pjit", "random", "shard_map", "sparse",
)  # fmt: skip


def _load(name: str) -> _typing.Any:
    return _import_late(f"covector.experimental.{name}")


_publish(__name__, later=_LATER, load=_load)
