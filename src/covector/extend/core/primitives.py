"""Covector's primitives by name: `sin_p`, `dot_general_p`, ..., as far as `jax.extend.core.primitives` has them.

>>> from covector.extend.core import primitives
>>> print(primitives.sin_p.bind(0.0))
0.0
"""

from covector._engine.base.public import publish as _publish
from covector._engine.control.names import names as _names
from covector.lax.composed import composed as _composed

globals().update(_names())
globals().update(_composed())
_publish(__name__)
