"""Where arrays are: names and meanings are those of `jax.sharding`, for one device."""

from covector._engine.api.meshes import (
    auto_axes as auto_axes,
    explicit_axes as explicit_axes,
    get_abstract_mesh as get_abstract_mesh,
    get_mesh as get_mesh,
    make_single_device_sharding as make_single_device_sharding,
    reshard as reshard,
    set_mesh as set_mesh,
    use_abstract_mesh as use_abstract_mesh,
)
from covector._engine.base.public import publish as _publish
from covector._engine.runtime.placement import SingleDeviceSharding as SingleDeviceSharding
from covector._engine.types.mesh import (
    AbstractDevice as AbstractDevice,
    AbstractMesh as AbstractMesh,
    AxisType as AxisType,
    ManualAxisType as ManualAxisType,
    Mesh as Mesh,
    UnreducedKind as UnreducedKind,
)
from covector._engine.types.sharding import (
    NamedSharding as NamedSharding,
    PartitionSpec as PartitionSpec,
    Sharding as Sharding,
)

_publish(__name__)
