"""Operations close to the primitives, and control flow: names and meanings are those of `jax.lax`.

Operands of one operation have one dtype and one shape; only Python numbers, and arrays of shape (), go with any.
`covector.numpy` has the functions that promote and broadcast.
"""

import typing as _typing
from importlib import import_module as _import_module

from covector._engine.base.public import publish as _publish
from covector.lax.branches import *
from covector.lax.collectives import *
from covector.lax.control_flow import *
from covector.lax.derivatives import *
from covector.lax.elementwise import *
from covector.lax.indexing import *
from covector.lax.loops import *
from covector.lax.prefixes import *
from covector.lax.products import *
from covector.lax.reductions import *
from covector.lax.shape import *

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> _typing.Any:
        if not name.endswith("_p") or name.startswith("_"):
            raise AttributeError(f"module 'covector.lax' has no attribute {name!r}")
        return _import_module("covector._engine.control.names").named(name)


_publish(__name__)
