"""Functions of neural networks: names and meanings are those of `jax.nn`."""

from covector._engine.base.public import publish as _publish
from covector.nn import initializers as initializers
from covector.nn.activations import *
from covector.nn.functions import *

_publish(__name__, modules=("initializers",), arrays=(__name__,))
