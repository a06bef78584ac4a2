"""SciPy's functions on Covector's arrays: names and meanings are those of `jax.scipy`."""

import typing as _typing
from importlib import import_module as _import_module

from covector._engine.base.public import publish as _publish

# Loaded when they are first used.
_LATER = ("fft", "linalg", "signal", "special", "stats")

if _typing.TYPE_CHECKING:
    from covector.scipy import (
        fft as fft,
        linalg as linalg,
        signal as signal,
        special as special,
        stats as stats,
    )

_publish(__name__, later=_LATER, load=lambda name: _import_module(f"covector.scipy.{name}"))
