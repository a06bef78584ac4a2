"""Where arrays are: names and meanings are those of `jax.sharding`, for one device."""

from covector._engine.base.public import publish as _publish
from covector._engine.runtime.placement import SingleDeviceSharding as SingleDeviceSharding
from covector._engine.types.sharding import (
    AbstractMesh as AbstractMesh,
    AxisType as AxisType,
    Mesh as Mesh,
    NamedSharding as NamedSharding,
    PartitionSpec as PartitionSpec,
    Sharding as Sharding,
)

_publish(__name__)
