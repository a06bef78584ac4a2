"""What to say of arguments that a public function could not take: which they were, and what went wrong with them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from covector._engine.base import errors
from covector._engine.base.errors import at_user_line

__all__ = ["unforeseen"]

_CALL = "; called as "
_LONGEST = 40  # letters of a value


# Errors of ours that are about arguments; the others say what a value is that they have met, or what was computed.
_ABOUT_ARGUMENTS = (
    errors.DtypeError,
    errors.ShapeError,
    errors.AxisError,
    errors.TypePromotionError,
)


def unforeseen(
    error: Exception,
    planned: bool,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Exception:
    """The error that users see in the place of one that a public function ends with.

    If no `raise` of ours meant it, one of its kind, or a TypeError, which says the function and its arguments; native
    code gives it the other one as its cause.  If one did, it is the same, and says them at its end unless it names
    the function.
    """
    name = getattr(fun, "__name__", repr(fun))
    given = ", ".join([f"{key}={_text(value)}" for key, value in _named(fun, args, kwargs)])
    if planned:
        return _with_call(error, name, given)
    kinds = (ValueError, IndexError, OverflowError)
    kind = next((k for k in kinds if isinstance(error, k)), TypeError)
    why = str(error) if isinstance(error, kind) else f"{type(error).__name__}: {error}"
    return kind(f"{name} cannot take {given or 'no arguments'}{at_user_line()}: {why}")


def _with_call(error: Exception, name: str, given: str) -> Exception:
    """The error, whose text says at its end how the function was called, unless it names it."""
    foreign = isinstance(error, errors.CovectorError) and not isinstance(error, _ABOUT_ARGUMENTS)
    text = error.args[0] if len(error.args) == 1 else None
    if foreign or not isinstance(text, str):
        return error
    said = text.partition(_CALL)[0]  # not which function of ours that one called
    named = re.search(rf"\b{re.escape(name)}\b", said)
    error.args = (said if named else f"{said}{_CALL}{name}({given})",)
    return error


def _named(
    fun: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments by the names of the parameters that they are for."""
    bound = inspect.signature(fun).bind_partial(*args, **kwargs)
    return list(bound.arguments.items())


def _text(value: Any) -> str:
    """A value in a few letters; of an array its type."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{dtype}[{','.join(map(str, shape))}]"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
