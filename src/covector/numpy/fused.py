"""Functions of several operations that, called outside any trace, run as one compiled Program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from covector._engine.api.jit import jit
from covector._engine.core import trace

F = TypeVar("F", bound=Callable[..., Any])


def fused(*static: str) -> Callable[[F], F]:
    """A decorator: outside any trace the function is jitted, with these arguments static; inside one it just runs."""

    def decorate(f: F) -> F:
        jitted = jit(f, static_argnames=static)

        @functools.wraps(f)
        def call(*args: Any, **kwargs: Any) -> Any:
            if trace.current() is trace.EVAL:
                return jitted(*args, **kwargs)
            return f(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
