"""Functions of neural networks: names and meanings are those of `jax.nn`."""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish
from covector.nn import initializers as initializers
from covector.nn.activations import *
from covector.nn.attention import *
from covector.nn.functions import *

if _typing.TYPE_CHECKING:
    from covector.nn.scaled import *

_publish(
    __name__,
    modules=("initializers",),
    arrays=(__name__,),
    later=("get_scaled_dot_general_config", "scaled_dot_general", "scaled_matmul"),
    load=lambda name: getattr(_import_late("covector.nn.scaled"), name),
)
