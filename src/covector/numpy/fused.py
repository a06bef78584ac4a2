"""Functions of several operations that, called outside any trace, run as one compiled Program.

On the native tape of an eager derivative, too, each call of such a function is one node, and so is a ufunc's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from covector._engine import _native
from covector._engine.api.jit import Jitted, jit
from covector._engine.api.options import Chosen
from covector._engine.base.public import set_native_form
from covector._engine.core import trace
from covector._engine.core.levels import LevelTracer
from covector._engine.core.trace import Array
from covector._engine.runtime.linearized import met_again

F = TypeVar("F", bound=Callable[..., Any])


def outside() -> bool:
    """Whether operations are computed at once: outside any trace but those of native levels."""
    return trace.current().native


def fused(*static: str) -> Callable[[F], F]:
    """A decorator: outside any trace, and on the native tape, the function is jitted, with these arguments static.

    Inside of other traces it just runs.
    """

    def decorate(f: F) -> F:
        jitted = jit(f, static_argnames=static)

        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            if outside():
                return jitted(*args, **kwargs)
            return f(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def compiled(*data: str) -> Callable[[F], F]:
    """A decorator: users' calls with arrays alone, outside any trace or on the tape, are one compiled Program.

    `data` are the arguments that are arrays.  No Python of ours runs in such a call, which takes a tenth of the time.
    """

    def decorate(f: F) -> F:
        code = f.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        static = [name for name in names if name not in data]
        owner = Direct(f, Chosen("static", tuple(map(names.index, static)), tuple(static)))
        set_native_form(f, owner.native())
        return f

    return decorate


class Direct(Jitted):
    """A function of ours that runs in Python where native code does not serve: it is its own specification."""

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        data = [x for i, x in enumerate(args) if i not in self.static_argnums]
        data += [x for name, x in kwargs.items() if name not in self.static_names]
        if not all(type(x) is Array or isinstance(x, LevelTracer) for x in data if x is not None):
            return None
        return super().miss(args, kwargs)

    def bypass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.fun(*args, **kwargs)


class OfLevels(Jitted):
    """A ufunc of values of native levels.  Its Python form runs where native code does not serve, and at first."""

    def __init__(self, python: Callable[..., Any]):
        super().__init__(python)
        self.seen: set[Any] = set()

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        on_tape = isinstance(_native.level(), _native.Tape)
        return super().miss(args, kwargs) if not on_tape or met_again(self.seen, args) else None

    def bypass(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.fun(*args, **kwargs)


def _of_levels(python: Callable[..., Any]) -> Any:
    """The function by which a ufunc is called with values of native levels, from its Python form."""
    return OfLevels(python).native()


_native.set_hooks(traced=_of_levels)
