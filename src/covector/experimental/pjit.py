"""The older name of `jit`, which takes shardings: `jax.experimental.pjit`."""

from covector._engine.api.jit import jit as pjit
from covector._engine.base.public import publish

__all__ = ["pjit"]

publish(__name__)
