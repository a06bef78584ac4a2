"""Primitives of JAX's that are several operations here: bound by name, they are these operations.

An equation of a Program shows the operations and not the name; whoever interprets Programs meets the former.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.base import errors
from covector._engine.control.open import OpenPrimitive

__all__ = ["Composed"]


class Composed(OpenPrimitive):
    """A name for operations: `bind` applies them under the current trace."""

    def __init__(self, name: str, function: Callable[..., Any], multiple: bool = False):
        super().__init__(name)
        self.multiple_results = multiple
        self.impl = function

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the operations under the current trace.

        >>> from covector import lax, numpy as cnp
        >>> lax.squeeze_p.bind(cnp.ones((1, 2)), dimensions=(0,))
        Array([1., 1.], dtype=float32)
        """
        assert self.impl is not None
        out = self.impl(*args, **params)
        return list(out) if self.multiple_results else out

    def _check_open(self) -> None:
        raise TypeError(errors.own_primitive(self.name))
