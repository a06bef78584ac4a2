"""The exceptions of Covector's own: names and meanings are those of `jax.errors` where it has them."""

from __future__ import annotations

from covector._engine.base import exceptions as _exceptions
from covector._engine.base.exceptions import *
from covector._engine.base.public import publish

# JAX's names for what is another exception here.
JAXIndexError = _exceptions.NonConcreteBooleanIndexError
JAXTypeError = _exceptions.ConcretizationTypeError
JaxRuntimeError = RuntimeError
JaxprTypeError = _exceptions.VerificationError

__all__ = ["JAXIndexError", "JAXTypeError", "JaxRuntimeError", "JaxprTypeError"]
__all__ += _exceptions.__all__
for _name in _exceptions.__all__:
    globals()[_name].__module__ = __name__  # what tracebacks show
publish(__name__)
