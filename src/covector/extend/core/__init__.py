"""Primitives and jaxprs for libraries: names and meanings are those of `jax.extend.core`.

To write a primitive of your own, a class with all its rules is shorter: `covector.extend`.
"""

import contextlib as _contextlib
import typing as _typing
from collections.abc import Callable as _Callable, Generator as _Generator

import numpy as _np

from covector._engine.api.jaxprs import (
    ClosedJaxpr as ClosedJaxpr,
    Jaxpr as Jaxpr,
    JaxprEqn as JaxprEqn,
    jaxpr_as_fun as jaxpr_as_fun,
    jaxprs_in_params as jaxprs_in_params,
    new_jaxpr_eqn as new_jaxpr_eqn,
    subjaxprs as subjaxprs,
)
from covector._engine.base import errors as _errors
from covector._engine.base.public import publish as _publish
from covector._engine.control.open import OpenPrimitive as _OpenPrimitive
from covector._engine.control.open_trace import TraceTag as TraceTag
from covector._engine.core import trace as _trace
from covector._engine.ir import check as _check
from covector._engine.ir.effects import Effect as Effect
from covector._engine.ir.program import Literal as Literal, Program as _Program, Var as Var
from covector._engine.types import dtypes as _dtypes
from covector._engine.types.avals import ShapedArray as _ShapedArray
from covector.extend.core import primitives as primitives

Primitive = _OpenPrimitive
Effects = frozenset[Effect]
InconclusiveDimensionOperation = _errors.InconclusiveDimensionOperation
JaxprTypeError = _errors.VerificationError
array_types: frozenset[type] = frozenset(
    {_trace.Array, _np.ndarray, *[d.type for d in _dtypes.ALL]}
)
no_effects: frozenset[Effect] = frozenset()


class DropVar(Var):
    """A result of an equation that nobody reads, for Jaxprs that are put together; those of ours name all results.

    >>> import covector
    >>> from covector.extend import core
    >>> isinstance(core.DropVar(covector.typeof(1.0)), core.Var)
    True
    """

    __slots__ = ()


def concrete_or_error(
    force: _Callable[[_typing.Any], _typing.Any] | None, val: _typing.Any, context: str = ""
) -> _typing.Any:
    """The value, converted by `force` if that is given; ConcretizationTypeError if it is traced and has none.

    >>> from covector.extend import core
    >>> core.concrete_or_error(int, 3.0)
    3
    """
    if isinstance(val, _trace.Tracer):
        value = val.concrete()
        if value is None:
            text = _errors.traced_value(val.describe(), "a value that is known")
            raise _errors.ConcretizationTypeError(f"{text}\n{context}" if context else text)
        val = value
    return val if force is None else force(val)


def valid_jaxtype(x: object) -> bool:
    """Whether something can be an operand: an array, a number, a tracer.

    >>> from covector.extend import core
    >>> core.valid_jaxtype(1.0), core.valid_jaxtype("text")
    (True, False)
    """
    try:
        _trace.typeof(x)
    except TypeError:
        return False
    return True


def mapped_aval(size: int, axis: int | None, aval: _ShapedArray) -> _ShapedArray:
    """The type of one element along an axis.

    >>> import covector
    >>> from covector.extend import core
    >>> core.mapped_aval(3, 0, covector.typeof(covector.numpy.ones((3, 2))))
    ShapedArray(float32[2])
    """
    if axis is None:
        return aval
    return aval.with_shape((*aval.shape[:axis], *aval.shape[axis + 1 :]))


def unmapped_aval(
    size: int, axis: int | None, aval: _ShapedArray, explicit_mesh_axis: _typing.Any = None
) -> _ShapedArray:
    """The type of an array that has one more axis of this size.

    >>> import covector
    >>> from covector.extend import core
    >>> core.unmapped_aval(3, 1, covector.typeof(covector.numpy.ones(2)))
    ShapedArray(float32[2,3])
    """
    if axis is None:
        return aval
    return aval.with_shape((*aval.shape[:axis], size, *aval.shape[axis:]))


def primal_dtype_to_tangent_dtype(dtype: _typing.Any) -> _typing.Any:
    """The dtype of tangents of values of a dtype.

    >>> import numpy
    >>> from covector.extend import core
    >>> core.primal_dtype_to_tangent_dtype(numpy.dtype("float32"))
    dtype('float32')
    """
    known = _dtypes.named_dtype(dtype)
    return known if _dtypes.is_inexact(known) else _dtypes.float0


def gensym() -> _Callable[[_ShapedArray], Var]:
    """A function that makes new variables of a type.

    >>> import covector
    >>> from covector.extend import core
    >>> core.gensym()(covector.typeof(1.0)).aval
    ShapedArray(float32*[])
    """
    return Var


def check_jaxpr(jaxpr: Jaxpr | _Program) -> None:
    """VerificationError if a Jaxpr is not well formed.

    >>> import covector
    >>> from covector.extend import core
    >>> core.check_jaxpr(covector.make_jaxpr(lambda x: x + 1)(2.0).jaxpr)
    """
    _check.verify_program(jaxpr.program if isinstance(jaxpr, Jaxpr) else jaxpr)


@_contextlib.contextmanager
def take_current_trace() -> _Generator[_typing.Any]:
    """A block in which no trace is current: what is computed in it is computed now.

    >>> from covector.extend import core
    >>> with core.take_current_trace() as trace:
    ...     with core.set_current_trace(trace):
    ...         pass
    """
    before = _trace.current()
    with _trace.using(_trace.EVAL):
        yield before


@_contextlib.contextmanager
def set_current_trace(trace: _typing.Any, check_leaks: bool = False) -> _Generator[None]:
    """A block in which a trace is the current one.

    >>> from covector.extend import core
    >>> with core.take_current_trace() as trace, core.set_current_trace(trace):
    ...     pass
    """
    with _trace.using(trace):
        yield


def find_top_trace(xs: _typing.Any) -> _typing.Any:
    """The innermost of the traces that some values are of; the bottom, which computes, if they are of none.

    >>> import covector
    >>> from covector.extend import core
    >>> found = []
    >>> _ = covector.jvp(lambda x: found.append(core.find_top_trace([x, 1.0]) is x._trace) or x, (1.0,), (1.0,))
    >>> found
    [True]
    """
    traces = [x._trace for x in xs if isinstance(x, _trace.Tracer)]
    return max(traces, key=_depth, default=_trace.EVAL)


def _depth(trace: _trace.Trace | None) -> int:
    depth = 0
    while trace is not None:
        depth, trace = depth + 1, trace.parent
    return depth


def get_opaque_trace_state(convention: str = "jax") -> _typing.Any:
    """Something that is equal as long as the same trace is current.

    >>> from covector.extend import core
    >>> core.get_opaque_trace_state() == core.get_opaque_trace_state()
    True
    """
    return _trace.current(), _trace.named_axes()


def unsafe_am_i_under_a_jit_DO_NOT_USE() -> bool:
    """Whether operations are recorded and not computed.

    >>> import covector
    >>> from covector.extend import core
    >>> seen = []
    >>> _ = covector.jit(lambda x: seen.append(core.unsafe_am_i_under_a_jit_DO_NOT_USE()) or x)(1)
    >>> seen
    [True]
    """
    return _trace.current().staging


def unsafe_am_i_under_a_vmap_DO_NOT_USE() -> bool:
    """Whether operations are batched.

    >>> import covector
    >>> from covector.extend import core
    >>> seen = []
    >>> def f(x):
    ...     seen.append(core.unsafe_am_i_under_a_vmap_DO_NOT_USE())
    ...     return x
    >>> _ = covector.vmap(f)(covector.numpy.ones(2))
    >>> seen
    [True]
    """
    trace: _trace.Trace | None = _trace.current()
    while trace is not None:
        if trace.mapping:
            return True
        trace = trace.parent
    return False


def unsafe_get_axis_names_DO_NOT_USE() -> list[_typing.Any]:
    """The names of the named axes in scope, the innermost last.

    >>> import covector
    >>> from covector.extend import core
    >>> seen = []
    >>> def f(x):
    ...     seen.extend(core.unsafe_get_axis_names_DO_NOT_USE())
    ...     return x
    >>> _ = covector.vmap(f, axis_name="batch")(covector.numpy.ones(2))
    >>> seen
    ['batch']
    """
    return [name for name, _ in _trace.named_axes()]


def nonempty_axis_env_DO_NOT_USE() -> bool:
    """Whether there is a named axis in scope.

    >>> from covector.extend import core
    >>> core.nonempty_axis_env_DO_NOT_USE()
    False
    """
    return bool(_trace.named_axes())


_publish(__name__, modules=("primitives",))
