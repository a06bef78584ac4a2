"""Looking at values while programs run, also inside compiled code."""

from covector._engine.api.callbacks import (
    debug_callback as callback,
    debug_print as print,
)
from covector._engine.api.debugger import debug_breakpoint as breakpoint
from covector._engine.api.pictures import (
    inspect_array_sharding as inspect_array_sharding,
    visualize_array_sharding as visualize_array_sharding,
    visualize_sharding as visualize_sharding,
)
from covector._engine.base.public import publish as _publish

__all__ = [
    "breakpoint",
    "callback",
    "inspect_array_sharding",
    "print",
    "visualize_array_sharding",
    "visualize_sharding",
]

_publish(__name__)
