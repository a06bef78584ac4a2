"""What JAX has under the same name: callbacks with effects."""

from covector._engine.api.callbacks import io_callback as io_callback
from covector._engine.base.public import publish as _publish

__all__ = ["io_callback"]

_publish(__name__)
