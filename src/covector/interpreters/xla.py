"""What libraries use of `jax.interpreters.xla`.

Objects of a class that is written into `canonicalize_dtype_handlers` may stand wherever an array may: that which NumPy
makes of them.

>>> import numpy
>>> from covector import numpy as cnp
>>> from covector.interpreters import xla
>>> class Held:
...     def __array__(self, dtype=None, copy=None):
...         return numpy.arange(3, dtype=dtype)
>>> xla.canonicalize_dtype_handlers[Held] = xla.canonicalize_dtype_handlers[numpy.ndarray]
>>> print(cnp.sum(Held()))
3
"""

import numpy as _np

from covector._engine.api.array_classes import ArrayClasses as _ArrayClasses
from covector._engine.base.public import publish as _publish
from covector._engine.control.open import apply_primitive as apply_primitive
from covector.numpy import asarray as _asarray

canonicalize_dtype_handlers = _ArrayClasses({_np.ndarray: _asarray})

_publish(__name__)
