"""Linear algebra: names and meanings are those of `jax.scipy.linalg`."""

from covector._engine.base.public import publish
from covector.scipy.linear_systems import *

publish(__name__, arrays=(__name__, "covector.scipy"))
