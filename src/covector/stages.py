"""A jitted function on its way to machine code: names and meanings are those of `jax.stages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from covector._engine.api.stages import (
    ArgInfo as ArgInfo,
    Compiled as Compiled,
    Lowered as Lowered,
    Traced as Traced,
)
from covector._engine.base.public import publish

__all__ = ["ArgInfo", "Compiled", "CompilerOptions", "Lowered", "Traced", "Wrapped"]

CompilerOptions = dict[str, Any]


@runtime_checkable
class Wrapped(Protocol):
    """A function that `jit` made: called, or taken through the stages by hand.

    >>> import covector
    >>> isinstance(covector.jit(lambda x: x), covector.stages.Wrapped)
    True
    """

    @property
    def __call__(self) -> Callable[..., Any]:
        """Runs the function."""
        ...

    @property
    def trace(self) -> Callable[..., Traced]:
        """The function as a Program, for arguments like these."""
        ...

    @property
    def lower(self) -> Callable[..., Lowered]:
        """The Program, ready to be compiled."""
        ...


publish(__name__)
