"""Functions of neural networks: names and meanings are those of `jax.nn`."""

from covector.nn import initializers as initializers
from covector.nn.activations import *
from covector.nn.functions import *
