"""Groups of vectors: names and meanings are those of `jax.scipy.cluster`."""

from covector._engine.base.public import publish as _publish
from covector.scipy.cluster import vq as vq

_publish(__name__, modules=("vq",))
