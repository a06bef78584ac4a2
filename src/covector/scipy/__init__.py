"""SciPy's functions on Covector's arrays: names and meanings are those of `jax.scipy`."""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish

# Loaded when they are first used.
_LATER = (
    "cluster",
    "fft",
    "integrate",
    "interpolate",
    "linalg",
    "ndimage",
    "optimize",
    "signal",
    "sparse",
    "spatial",
    "special",
    "stats",
)

if _typing.TYPE_CHECKING:
    from covector.scipy import (
        cluster as cluster,
        fft as fft,
        integrate as integrate,
        interpolate as interpolate,
        linalg as linalg,
        ndimage as ndimage,
        optimize as optimize,
        signal as signal,
        sparse as sparse,
        spatial as spatial,
        special as special,
        stats as stats,
    )

_publish(__name__, later=_LATER, load=lambda name: _import_late(f"covector.scipy.{name}"))
