"""SciPy's functions on Covector's arrays: names and meanings are those of `jax.scipy`."""

import typing as _typing
from importlib import import_module as _import_module

from covector._engine.base.public import publish as _publish

# Loaded when they are first used.
_LATER = ("fft", "special")

if _typing.TYPE_CHECKING:
    from covector.scipy import fft as fft, special as special
else:  # for a type checker it would mean that every name is there

    def __getattr__(name: str) -> _typing.Any:
        if name not in _LATER:
            raise AttributeError(f"module 'covector.scipy' has no attribute {name!r}")
        return _import_module(f"covector.scipy.{name}")


_publish(__name__, later=_LATER)
