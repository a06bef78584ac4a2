"""Traces of users': a class says what each operation does that meets its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from covector._engine.base import errors
from covector._engine.base.record import fields
from covector._engine.control.composite import Expanded
from covector._engine.control.open import (
    OpenPrimitive,
    OwnPrimitive,
    open_form,
    params_of,
)
from covector._engine.control.parameters import picked
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.trace import Trace, current, typeof, using


class OpenTrace(Trace):
    """An interpretation of operations by a user's class, whose `process_primitive` is called with each of them.

    While it is the current trace (`extend.core.set_current_trace`) operations are its own.  It gets a primitive, its
    operands and its parameters, and gives a result, or a list where the primitive has several.  Values of its own are
    of a subclass of `core.Tracer`, with the trace as `_trace`, and an `aval`.  What a function with rules of its own
    computes is traced as any other function is.

    >>> import covector
    >>> from covector import core, lax
    >>> from covector.extend.core import set_current_trace, take_current_trace
    >>> class Named(core.Trace):
    ...     def process_primitive(self, primitive, tracers, params):
    ...         print(primitive)
    ...         with set_current_trace(self.below):
    ...             return primitive.bind(*tracers, **params)
    >>> with take_current_trace() as below:
    ...     trace = Named()
    ...     trace.below = below
    ...     with set_current_trace(trace):
    ...         y = lax.sin_p.bind(lax.cos_p.bind(0.0))
    cos
    sin
    """

    def __init__(self) -> None:
        below = current()
        super().__init__(below, below.staging)

    def process_primitive(
        self, primitive: OpenPrimitive, tracers: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        """The result of a primitive; a list if it has several.  A subclass must say it."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what an operation does{errors.at_user_line()}: define "
            "process_primitive(primitive, tracers, params)"
        )

    def full_raise(self, x: Any) -> Any:
        """A value as it meets the trace: it is taken as it is."""
        return x

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        if primitive.online:
            with using(self):
                return cast("Online", primitive).run(*args)
        form, operands = open_form(primitive), list(args)
        if isinstance(primitive, Expanded):
            operands = operands[: primitive.count]
        elif isinstance(form, OwnPrimitive):
            given = {name: getattr(primitive, name) for name in fields(primitive)}
            operands = list(picked(operands, form.form.sees(given)))
        out = self.process_primitive(
            form, operands, params_of(primitive, list(map(typeof, operands)))
        )
        return tuple(out) if primitive.multiple else out


class TraceTag:
    """What traces of users' may be known by: one is equal to itself alone.

    >>> from covector.extend.core import TraceTag
    >>> TraceTag() == TraceTag()
    False
    """

    __slots__ = ()
