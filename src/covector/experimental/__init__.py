"""What may still change."""

import typing as _typing
from importlib import import_module as _import_module

from covector._engine.api.callbacks import io_callback as io_callback
from covector._engine.base.public import publish as _publish

if _typing.TYPE_CHECKING:
    from covector.experimental import checkify as checkify, jet as jet

_LATER = ("checkify", "jet")

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> _typing.Any:
        if name not in _LATER:
            raise AttributeError(f"module 'covector.experimental' has no attribute {name!r}")
        module = globals()[name] = _import_module(f"covector.experimental.{name}")
        return module


_publish(__name__, later=_LATER)
