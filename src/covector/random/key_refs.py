"""References to arrays of keys: they hold the words, and give and take keys."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray
from covector.numpy.dtype import prng_key
from covector.random.generators import THREEFRY, Generator
from covector.random.keys import Key
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
    generator: ClassVar[Generator] = THREEFRY

    @classmethod
    def holding(cls, value: Key) -> KeyRef:
        """A reference that begins with these keys.

        >>> import covector
        >>> covector.new_ref(covector.random.key(0)).shape
        ()
        """
        return _class_of(value.generator)(typeof(value.words), value.words)

    @classmethod
    def empty(cls, of: Any) -> KeyRef:
        """A reference for keys, to be written before it is read.

        >>> import covector
        >>> keys = covector.random.split(covector.random.key(0), 3)
        >>> covector.empty_ref(covector.typeof(keys)).shape
        (3,)
        """
        generator = of.dtype.generator
        words = prims.zeros(ShapedArray((*of.shape, generator.length), np.dtype(np.uint32)))
        return cls.holding(Key(words, generator))

    @property
    def aval(self) -> AbstractRef:
        """Its type."""
        return AbstractRef(ShapedArray(self.shape, self.dtype))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the array of keys."""
        return self._inner.shape[:-1]

    @property
    def dtype(self) -> Any:
        """The dtype of keys."""
        return self.generator.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._inner.ndim - 1

    @property
    def size(self) -> Any:
        """The number of keys."""
        return self.aval.size

    def _shown(self, array: Any) -> Any:
        return Key(array, self.generator)

    def _held_as(self, value: Any, combine: str) -> Any:
        if not isinstance(value, Key) or value.generator is not self.generator:
            raise TypeError(
                f"{value!r} of type {type(value).__name__} is written to a Ref of {self.aval.inner_aval.text()}"
                f"{errors.at_user_line()}; it holds keys of that type"
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


# References to keys of other generators are of classes of their own: the class of a reference is part of a call's key.
_classes: dict[Generator, type[KeyRef]] = {THREEFRY: KeyRef}


def _class_of(generator: Generator) -> type[KeyRef]:
    if generator not in _classes:
        made = type(KeyRef.__name__, (KeyRef,), {"__slots__": (), "generator": generator})
        return _classes.setdefault(generator, made)
    return _classes[generator]


def install() -> None:
    """Let `new_ref` of keys give these."""
    register_kind(prng_key, KeyRef)
