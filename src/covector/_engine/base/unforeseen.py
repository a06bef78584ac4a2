"""What to say of arguments that a public function did not foresee: which they were, and what went wrong with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from covector._engine.base.errors import at_user_line

__all__ = ["foreseen", "unforeseen"]

_LONGEST = 40  # letters of a value


def unforeseen(
    error: Exception, fun: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Exception:
    """The error that users see in the place of one that no `raise` of ours meant: of its kind, or a TypeError.

    It says the function and its arguments; native code gives it the other one as its cause.
    """
    name = getattr(fun, "__name__", repr(fun))
    given = ", ".join([f"{key}={_text(value)}" for key, value in _named(fun, args, kwargs)])
    kind = next((k for k in (ValueError, IndexError) if isinstance(error, k)), TypeError)
    why = str(error) if isinstance(error, kind) else f"{type(error).__name__}: {error}"
    return kind(f"{name} cannot take {given or 'no arguments'}{at_user_line()}: {why}")


def foreseen(error: Exception, fun: Callable[..., Any]) -> None:
    """Put a public function's name in front of what an error of ours says, which what it calls does not know.

    The first function on the error's way does; one whose name is there already needs none.
    """
    name = getattr(fun, "__name__", "")
    if not name or not error.args or getattr(error, _TOLD, False):
        return
    setattr(error, _TOLD, True)
    message = error.args[0]
    if isinstance(message, str) and name not in message:
        error.args = (f"{name}: {message}", *error.args[1:])


_TOLD = "_covector_function_is_told"


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
