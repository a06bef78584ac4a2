"""What libraries use of `jax.interpreters.xla`."""

from covector._engine.base.public import publish as _publish
from covector._engine.control.open import apply_primitive as apply_primitive

_publish(__name__)
