"""Covector's primitives by name: `sin_p`, `dot_general_p`, ..., as far as `jax.extend.core.primitives` has them.

>>> from covector.extend.core import primitives
>>> print(primitives.sin_p.bind(0.0))
0.0
"""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from covector._engine.base.public import publish as _publish
from covector._engine.control.names import names as _names
from covector._engine.control.open import OpenPrimitive as _OpenPrimitive
from covector.lax.composed import composed as _composed


class _Inlined(_OpenPrimitive):
    """A call of a function of flat values, which no Jaxpr has: what the function does is recorded in its place."""

    def bind(self, fun: _Any, *args: _Any, **params: _Any) -> _Any:
        call: _Callable[..., _Any] = getattr(fun, "call_wrapped", fun)
        return call(*args)


globals().update(_names())
globals().update(_composed())
call_p = _Inlined("call")
closed_call_p = _Inlined("closed_call")
add_jaxvals_p = _names()["add_p"]
_publish(__name__)
