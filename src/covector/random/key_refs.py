"""References to arrays of keys: they hold the words, and give and take keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray
from covector.numpy.dtype import prng_key
from covector.random.keys import KEY_TYPE, Key
from covector.ref import AbstractRef, Ref, register_kind


class KeyRef(Ref):
    """A mutable reference to keys: what `new_ref(key)` gives.

    >>> import covector
    >>> from covector import random
    >>> ref = covector.new_ref(random.key(0))
    >>> @covector.jit
    ... def draw():
    ...     ref[...], key = random.split(ref[...])
    ...     return random.uniform(key)
    >>> draw() == draw()
    Array(False, dtype=bool)
    """

    __slots__ = ()

    @classmethod
    def holding(cls, value: Key) -> KeyRef:
        """A reference that begins with these keys.

        >>> import covector
        >>> covector.new_ref(covector.random.key(0)).shape
        ()
        """
        return cls(typeof(value.words), value.words)

    @classmethod
    def empty(cls, shape: tuple[Any, ...]) -> KeyRef:
        """A reference for keys, to be written before it is read.

        >>> import covector
        >>> keys = covector.random.split(covector.random.key(0), 3)
        >>> covector.empty_ref(covector.typeof(keys)).shape
        (3,)
        """
        return cls.holding(Key(prims.zeros(ShapedArray((*shape, 2), np.dtype(np.uint32)))))

    @property
    def aval(self) -> AbstractRef:
        """Its type."""
        return AbstractRef(ShapedArray(self.shape, KEY_TYPE))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the array of keys."""
        return self._inner.shape[:-1]

    @property
    def dtype(self) -> Any:
        """The dtype of keys."""
        return KEY_TYPE

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._inner.ndim - 1

    @property
    def size(self) -> Any:
        """The number of keys."""
        return self.aval.size

    def _shown(self, array: Any) -> Any:
        return Key(array)

    def _held_as(self, value: Any, combine: str) -> Any:
        if not isinstance(value, Key):
            raise TypeError(
                f"{value!r} of type {type(value).__name__} is written to a Ref of {self.aval.inner_aval.text()}"
                f"{errors.at_user_line()}; it holds keys"
            )
        if combine != "set":
            raise TypeError(
                f"keys are added to a Ref{errors.at_user_line()}: there are no sums of keys"
            )
        return value.words

    def _place(self, index: Any) -> Any:
        entries = index if isinstance(index, tuple) else (index,)
        rest = () if any(e is Ellipsis for e in entries) else (Ellipsis,)
        return (*entries, *rest, slice(None))


def install() -> None:
    """Let `new_ref` of keys give these."""
    register_kind(prng_key, KeyRef)
