"""The core for libraries: names and meanings are those of `jax.core`, and of what `jax.extend.core` took over."""

from typing import Any as _Any

import numpy as _np

from covector._engine.api.array_classes import ArrayClasses as _ArrayClasses
from covector._engine.api.evaluation import ensure_compile_time_eval as ensure_compile_time_eval
from covector._engine.api.jaxprs import (
    ClosedJaxpr as ClosedJaxpr,
    Jaxpr as Jaxpr,
    JaxprEqn as JaxprEqn,
    eval_jaxpr as eval_jaxpr,
    jaxpr_as_fun as jaxpr_as_fun,
)
from covector._engine.base.public import publish as _publish
from covector._engine.control.open import OpenPrimitive as _OpenPrimitive
from covector._engine.control.open_trace import OpenTrace as _OpenTrace
from covector._engine.core.trace import Tracer as Tracer, typeof as _typeof
from covector._engine.ir.program import Atom as Atom, Literal as Literal, Var as Var
from covector._engine.types.avals import ShapedArray as ShapedArray
from covector._engine.types.dims import maximum as _maximum, minimum as _minimum
from covector.extend.core import (
    concrete_or_error as concrete_or_error,
    mapped_aval as mapped_aval,
    unmapped_aval as unmapped_aval,
)

AbstractValue = ShapedArray
ParamDict = dict[str, _Any]
Primitive = _OpenPrimitive
Trace = _OpenTrace
max_dim, min_dim = _maximum, _minimum
eval_context = ensure_compile_time_eval


def get_aval(x: _Any) -> ShapedArray:
    """The type of a value.

    >>> from covector import core
    >>> core.get_aval(1.0)
    ShapedArray(float32*[])
    """
    return _typeof(x)


pytype_aval_mappings = _ArrayClasses({_np.ndarray: get_aval})


def raise_to_shaped(aval: ShapedArray, weak_type: bool | None = None) -> ShapedArray:
    """The type itself, which knows no value; weakly typed or not, if that is said.

    >>> from covector import core
    >>> core.raise_to_shaped(core.get_aval(1.0), weak_type=False)
    ShapedArray(float32[])
    """
    return aval if weak_type is None else aval.update(weak_type=weak_type)


_publish(__name__)
