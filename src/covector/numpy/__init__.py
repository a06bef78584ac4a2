"""NumPy's functions on Covector's arrays: names and meanings are those of `jax.numpy`."""

import typing as _typing
from importlib import import_module as _import_module

import numpy as _np

from covector._engine import _native
from covector._engine.base.public import publish as _publish
from covector.numpy import interop as _interop, methods as _methods
from covector.numpy.creation import *
from covector.numpy.dtype import *
from covector.numpy.einsum import *
from covector.numpy.elementwise import *
from covector.numpy.join import *
from covector.numpy.linear import *
from covector.numpy.matrices import *
from covector.numpy.ordering import *
from covector.numpy.ranges import *
from covector.numpy.reduce import *
from covector.numpy.selection import *
from covector.numpy.shape import *
from covector.numpy.sorting import *
from covector.numpy.statistics import *
from covector.numpy.take import *
from covector.numpy.without_nan import *

ndarray = _native.Array
e, pi, euler_gamma = _np.e, _np.pi, _np.euler_gamma
inf, nan, newaxis = _np.inf, _np.nan, None
array_repr, array_str = _methods.represent, _methods.text

_LATER = ("fft", "linalg")  # loaded when they are first used, which keeps `import covector` short

if _typing.TYPE_CHECKING:
    from covector.numpy import fft as fft, linalg as linalg
else:  # for a type checker it would mean that every name is there

    def __getattr__(name: str) -> _typing.Any:
        if name not in _LATER:
            raise AttributeError(f"module 'covector.numpy' has no attribute {name!r}")
        return _import_module(f"covector.numpy.{name}")


_publish(__name__, later=_LATER, arrays=(__name__,))
_interop.offer(globals())
