"""Rotations: names and meanings are those of `jax.scipy.spatial`."""

from covector._engine.base.public import publish as _publish
from covector.scipy.spatial import transform as transform

_publish(__name__, modules=("transform",))
