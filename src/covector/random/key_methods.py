"""Methods and properties of arrays of keys: those of arrays that move elements, and those that ask where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.base.public import bounded
from covector.numpy.join import repeat
from covector.numpy.matrices import diagonal
from covector.numpy.promotion import axes_of, axis_of
from covector.numpy.shape import moveaxis, squeeze, swapaxes, transpose
from covector.numpy.take import take
from covector.numpy.updates import AtIndex
from covector.random.keys import Key


def _transposed(self: Key, *args: Any) -> Key:
    """The keys with their axes in another order, given as one tuple or axis by axis; reversed by default."""
    given = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    axes = axes_of(tuple(given), self.ndim) if given else tuple(reversed(range(self.ndim)))
    return Key(transpose(self.words, (*axes, self.ndim)))


def _swapped(self: Key, axis1: int, axis2: int) -> Key:
    """The keys with two axes exchanged."""
    a, b = (axis_of(axis, self.ndim) for axis in (axis1, axis2))
    return Key(swapaxes(self.words, a, b))


def _squeezed(self: Key, axis: Any = None) -> Key:
    """The keys without axes of length 1: these, or all."""
    ones = tuple([a for a, n in enumerate(self.shape) if n == 1])
    return Key(squeeze(self.words, ones if axis is None else axes_of(axis, self.ndim)))


def _along(name: str, f: Callable[..., Any]) -> Callable[..., Key]:
    """A function along one axis, or of the flattened array."""

    def method(self: Key, what: Any, axis: int | None = None, **options: Any) -> Key:
        keys = self.ravel() if axis is None else self
        return Key(f(keys.words, what, axis=axis_of(axis or 0, keys.ndim), **options))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"As `covector.numpy.{name}`, of keys."
    return method


def _diagonal(self: Key, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Key:
    """The keys on a diagonal of two axes, which is the last axis of the result."""
    a, b = (axis_of(axis, self.ndim) for axis in (axis1, axis2))
    return Key(moveaxis(diagonal(self.words, offset, a, b), -1, -2))


def _copied(self: Key) -> Key:
    """The same keys in memory of their own."""
    return Key(self.words.copy())


def _item(self: Key) -> Key:
    """The key of an array of one; ValueError for others."""
    if self.size != 1:
        raise ValueError(f"item of {self.size} keys")
    return self.reshape(())


@bounded
class KeyAtIndex:
    """One place in an array of keys: what keys.at[index] gives; it can be read and set."""

    __slots__ = ("index", "keys")

    def __init__(self, keys: Key, index: Any):
        self.keys, self.index = keys, index

    def _words(self) -> AtIndex:
        entries = self.index if isinstance(self.index, tuple) else (self.index,)
        rest = () if any(e is Ellipsis for e in entries) else (Ellipsis,)
        return AtIndex(self.keys.words, (*entries, *rest, slice(None)))

    def get(self, **options: Any) -> Key:
        """The keys there; options as those of arrays.

        >>> from covector import random
        >>> random.split(random.key(0)).at[1].get() == random.split(random.key(0))[1]
        Array(True, dtype=bool)
        """
        return Key(self._words().get(**options))

    def set(self, values: Any, **options: Any) -> Key:
        """The keys with these there; options as those of arrays.  TypeError for what is no key.

        >>> from covector import random
        >>> keys = random.split(random.key(0))
        >>> keys.at[0].set(keys[1])[0] == keys[1]
        Array(True, dtype=bool)
        """
        if not isinstance(values, Key):
            raise TypeError(f"keys are set to keys, not to {values!r}")
        return Key(self._words().set(values.words, **options))


class KeyAt:
    """keys.at: indexed, it gives the place to be read or set."""

    __slots__ = ("keys",)

    def __init__(self, keys: Key):
        self.keys = keys

    def __getitem__(self, index: Any) -> KeyAtIndex:
        return KeyAtIndex(self.keys, index)


def _of_words(name: str) -> Any:
    return property(lambda self: getattr(self.words, name), doc=f"`{name}` of the words.")


# What the words say of themselves; some are methods.
_OF_MEMORY = (
    "addressable_data",
    "addressable_shards",
    "committed",
    "copy_to_host_async",
    "delete",
    "device",
    "devices",
    "global_shards",
    "is_deleted",
    "is_fully_addressable",
    "is_fully_replicated",
    "is_ready",
    "nbytes",
    "on_device_size_in_bytes",
    "sharding",
    "unsafe_buffer_pointer",
)

_METHODS: dict[str, Any] = {
    "T": property(lambda self: _transposed(self), doc="The axes in the opposite order."),
    "at": property(KeyAt, doc="Reading and setting at an index."),
    "copy": _copied,
    "diagonal": _diagonal,
    "item": _item,
    "itemsize": property(lambda self: self.dtype.itemsize, doc="The bytes of a key."),
    "mT": property(lambda self: _swapped(self, -1, -2), doc="The last two axes exchanged."),
    "repeat": _along("repeat", repeat),
    "squeeze": _squeezed,
    "swapaxes": _swapped,
    "take": _along("take", take),
    "to_device": lambda self, device, *, stream=None: self,
    "transpose": _transposed,
    **{name: _of_words(name) for name in _OF_MEMORY},
}


def install() -> None:
    """Give keys their methods."""
    for name, method in _METHODS.items():
        setattr(Key, name, method)
