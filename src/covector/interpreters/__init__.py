"""Tables of rules for primitives without a class: names are those of `jax.interpreters`.

`ad` has derivatives, `batching` has `vmap`, `mlir` how they are compiled, `partial_eval` and `xla` what libraries use.
"""

from covector._engine.base.public import publish as _publish
from covector.interpreters import (
    ad as ad,
    batching as batching,
    mlir as mlir,
    partial_eval as partial_eval,
    xla as xla,
)

_publish(__name__, modules=("ad", "batching", "mlir", "partial_eval", "xla"))
