"""Linear algebra: names and meanings are those of `jax.scipy.linalg`."""

from covector._engine.base.public import publish as _publish
from covector.scipy.decompositions import *
from covector.scipy.linear_systems import *
from covector.scipy.matrix_functions import *
from covector.scipy.special_matrices import *

_publish(__name__, arrays=(__name__, "covector.scipy"))
