"""What stands for values in rules of derivatives: symbolic zeros, linear operands, slopes that are not there."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from covector._engine.base import errors
from covector._engine.core import trace
from covector._engine.types.avals import ShapedArray


class _Typed:
    """Known by type alone.  Made from a type, or from a value whose type is looked up when it is asked for."""

    __slots__ = ("_of",)

    def __init__(self, of: Any):
        self._of = of

    @property
    def aval(self) -> ShapedArray:
        if type(self._of) is not ShapedArray:
            self._of = trace.typeof(self._of)
        return self._of

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.aval.text()})"


class Zero(_Typed):
    """A symbolic zero: a tangent or cotangent that is known to be zero and never materialised."""

    __slots__ = ()

    @staticmethod
    def from_primal_value(value: Any) -> Zero:
        """The zero tangent of a value."""
        return Zero(trace.typeof(value).tangent())


class Linear(_Typed):
    """In a transpose rule: the place of an operand that the operation is linear in, known by type alone."""

    __slots__ = ()

    _is_linear: ClassVar[bool] = True  # for messages, which are below

    @property
    def dtype(self) -> np.dtype:
        """That of its type."""
        return self.aval.dtype


class NoSlope:
    """In place of a partial derivative: it is zero wherever there is one, as of what is piecewise constant."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_SLOPE"


NO_SLOPE = NoSlope()


class NotDifferentiable:
    """In place of a partial derivative: there is none on purpose.  A tangent that is not zero is an error."""

    __slots__ = ("argument", "why")

    def __init__(self, argument: str, why: str):
        self.argument, self.why = argument, why

    def error(self, primitive: str) -> errors.NotDifferentiableError:
        """What to raise."""
        return errors.NotDifferentiableError(
            errors.not_differentiable(primitive, self.argument, self.why, trace._state.source)
        )


def is_zero(x: Any) -> bool:
    """Whether a tangent or cotangent is a symbolic zero."""
    return type(x) is Zero
