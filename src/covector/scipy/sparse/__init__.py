"""Solutions of linear systems that are known as functions: names and meanings are those of `jax.scipy.sparse`."""

from covector._engine.base.public import publish as _publish
from covector.scipy.sparse import linalg as linalg

_publish(__name__, modules=("linalg",))
