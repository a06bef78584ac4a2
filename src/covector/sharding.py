"""Where arrays are: names and meanings are those of `jax.sharding`, for one device."""

from covector._engine.base.public import publish as _publish
from covector._engine.runtime.placement import (
    Sharding as Sharding,
    SingleDeviceSharding as SingleDeviceSharding,
)

_publish(__name__)
