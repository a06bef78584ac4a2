"""The version of the package: names and meanings are those of `jax.version`."""

from covector._engine.base.public import publish as _publish
from covector._engine.base.version import VERSION as _VERSION

__version__ = _VERSION
__version_info__ = tuple([int(n) for n in _VERSION.split(".")])

_publish(__name__)
