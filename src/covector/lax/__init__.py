"""Operations close to the primitives, and control flow: names and meanings are those of `jax.lax`.

Operands of one operation have one dtype and one shape; only Python numbers, and arrays of shape (), go with any.
`covector.numpy` has the functions that promote and broadcast.
"""

import typing as _typing

from covector._engine.base.locks import import_late as _import_late
from covector._engine.base.public import publish as _publish
from covector.lax.names import HOMES as _HOMES, primitive as _primitive

if _typing.TYPE_CHECKING:
    from covector.lax import linalg as linalg
    from covector.lax.rng import *
    from covector.lax.scaled import *

from covector.lax.branches import *
from covector.lax.collectives import *
from covector.lax.control_flow import *
from covector.lax.convolution import *
from covector.lax.derivatives import *
from covector.lax.elementwise import *
from covector.lax.fourier import *
from covector.lax.indexing import *
from covector.lax.loops import *
from covector.lax.markers import *
from covector.lax.padding import padtype_to_pads as padtype_to_pads
from covector.lax.prefixes import *
from covector.lax.products import *
from covector.lax.ragged import *
from covector.lax.reductions import *
from covector.lax.shape import *
from covector.lax.sorting import *
from covector.lax.windows import *

# Those of control flow, and of trees, take objects as they are: they may be pytrees.
_OF_ARRAYS = (
    "convolution",
    "elementwise",
    "fourier",
    "indexing",
    "markers",
    "prefixes",
    "products",
    "ragged",
    "reductions",
    "rng",
    "scaled",
    "shape",
    "sorting",
    "windows",
)


def _load(name: str) -> _typing.Any:
    module = _import_late(f"covector.lax.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module


_publish(
    __name__,
    later=("linalg", *_HOMES),
    arrays=[f"{__name__}.{module}" for module in _OF_ARRAYS],
    load=_load,
    find=_primitive,
)
