"""Methods and properties of arrays of keys: those of arrays that move elements, and those that ask where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.core.trace import Tracer
from covector.numpy.shape import matrix_transpose, transpose
from covector.numpy.updates import AtIndex
from covector.random.key_functions import move
from covector.random.keys import Key


def _moving(name: str) -> Callable[..., Any]:
    """The method of arrays, which moves elements."""
    of_arrays = vars(Tracer)[name]

    def method(self: Key, *args: Any, **kwargs: Any) -> Any:
        return move(of_arrays, (self, *args), kwargs)

    method.__name__ = method.__qualname__ = name
    method.__wrapped__ = of_arrays  # type: ignore[attr-defined] -- `inspect` shows its parameters
    return method


def _copied(self: Key) -> Key:
    return self.like(self.words.copy())


def _item(self: Key, *args: Any) -> Key:
    if args:
        return (self if len(args) > 1 else self.ravel())[args]
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
        return self.keys.like(self._words().get(**options))

    def set(self, values: Any, **options: Any) -> Key:
        """The keys with these there; options as those of arrays.  TypeError for what is no key.

        >>> from covector import random
        >>> keys = random.split(random.key(0))
        >>> keys.at[0].set(keys[1])[0] == keys[1]
        Array(True, dtype=bool)
        """
        if not isinstance(values, Key) or values.generator is not self.keys.generator:
            raise TypeError(
                f"keys are set to keys of their type, {self.keys.dtype}, not to {values!r}{errors.at_user_line()}"
            )
        return self.keys.like(self._words().set(values.words, **options))


class KeyAt:
    """keys.at: indexed, it gives the place to be read or set."""

    __slots__ = ("keys",)

    def __init__(self, keys: Key):
        self.keys = keys

    def __getitem__(self, index: Any) -> KeyAtIndex:
        return KeyAtIndex(self.keys, index)


def _of_words(name: str) -> Any:
    return property(lambda self: getattr(self.words, name))


def _to_device(self: Key, device: Any, *, stream: Any = None) -> Key:
    return self


# The method or property; what it is; an example with six keys of shape (2, 3), and what that gives.
_METHODS: dict[str, tuple[Any, str, str, str]] = {
    "T": (
        property(lambda self: move(transpose, (self,), {})),
        "The axes in the opposite order.",
        "keys.T.shape",
        "(3, 2)",
    ),
    "addressable_data": (
        lambda self, index: self.like(self.words.addressable_data(index)),
        "The keys on one of the devices: all of them are on the one there is.",
        "keys.addressable_data(0).shape",
        "(2, 3)",
    ),
    "at": (property(KeyAt), "Reading and setting.", "keys.at[0].set(keys[1]).shape", "(2, 3)"),
    "clone": (_copied, "The same keys in memory of their own.", "keys.clone().shape", "(2, 3)"),
    "compress": (
        _moving("compress"),
        "The keys, or slices along an axis, where a vector of conditions is true.",
        "keys.compress(numpy.array([True, False]), axis=0).shape",
        "(1, 3)",
    ),
    "copy": (_copied, "The same keys in memory of their own.", "keys.copy().shape", "(2, 3)"),
    "diagonal": (
        _moving("diagonal"),
        "The keys on a diagonal of two axes, on the last axis of the result.",
        "keys.diagonal().shape",
        "(2,)",
    ),
    "flat": (
        property(lambda self: self.ravel()),
        "The keys on one axis, in row-major order: to be iterated over, or indexed.",
        "keys.flat[4] == keys[1, 1]",
        "Array(True, dtype=bool)",
    ),
    "item": (
        _item,
        "The key of an array of one; ValueError for others.",
        "keys[:1, :1].item().shape",
        "()",
    ),
    "itemsize": (
        property(lambda self: self.dtype.itemsize),
        "The bytes of a key.",
        "keys.itemsize",
        "8",
    ),
    "mT": (
        property(lambda self: move(matrix_transpose, (self,), {})),
        "The last two axes exchanged.",
        "keys.mT.shape",
        "(3, 2)",
    ),
    "repeat": (
        _moving("repeat"),
        "Each key so many times, along an axis or of all.",
        "keys.repeat(2, axis=0).shape",
        "(4, 3)",
    ),
    "squeeze": (
        _moving("squeeze"),
        "The keys without axes of length 1: these, or all.",
        "keys[:1].squeeze().shape",
        "(3,)",
    ),
    "swapaxes": (_moving("swapaxes"), "Two axes exchanged.", "keys.swapaxes(0, 1).shape", "(3, 2)"),
    "take": (
        _moving("take"),
        "The keys at indices along an axis, or of all.",
        "keys.take(numpy.array([2, 0]), axis=1).shape",
        "(2, 2)",
    ),
    "to_device": (
        _to_device,
        "The keys on a device: where they are.",
        "keys.to_device(None) is keys",
        "True",
    ),
    "transpose": (
        _moving("transpose"),
        "The axes in another order, given as one tuple or axis by axis; reversed by default.",
        "keys.transpose(1, 0).shape",
        "(3, 2)",
    ),
    "weak_type": (
        property(lambda self: False),
        "Whether the dtype gives way to others: that of keys does not.",
        "keys.weak_type",
        "False",
    ),
}

# What the words say of themselves; the ones with a call are methods.
_OF_WORDS: dict[str, tuple[str, str]] = {
    "addressable_shards": ("len(keys.addressable_shards)", "1"),
    "committed": ("keys.committed", "False"),
    "copy_to_host_async": ("keys.copy_to_host_async()", ""),
    "delete": ("keys.delete()", ""),
    "device": ("keys.device", "CpuDevice(id=0)"),
    "devices": ("keys.devices()", "{CpuDevice(id=0)}"),
    "global_shards": ("len(keys.global_shards)", "1"),
    "is_deleted": ("keys.is_deleted()", "False"),
    "is_fully_addressable": ("keys.is_fully_addressable", "True"),
    "is_fully_replicated": ("keys.is_fully_replicated", "True"),
    "is_ready": ("keys.block_until_ready().is_ready()", "True"),
    "nbytes": ("keys.nbytes", "48"),
    "on_device_size_in_bytes": ("keys.on_device_size_in_bytes()", "48"),
    "sharding": ("keys.sharding", "SingleDeviceSharding(device=CpuDevice(id=0))"),
    "unsafe_buffer_pointer": ("keys.unsafe_buffer_pointer() > 0", "True"),
}


def _described(text: str, call: str, shown: str) -> str:
    """The text of a method, with an example."""
    lines = [
        "from covector import numpy, random",
        "keys = random.split(random.key(0), (2, 3))",
        call,
    ]
    return f"{text}\n\n" + "\n".join([f">>> {line}" for line in lines]) + f"\n{shown}\n"


def install() -> None:
    """Give keys their methods."""
    for name, (call, shown) in _OF_WORDS.items():
        _METHODS[name] = _of_words(name), f"`{name}` of the words.", call, shown
    setattr(Key, "__copy__", _copied)  # noqa: B010 -- a class with slots, as the methods below
    setattr(Key, "__deepcopy__", lambda self, memo: _copied(self))  # noqa: B010
    for name, (method, text, call, shown) in _METHODS.items():
        text = _described(text, call, shown)
        if isinstance(method, property):
            method = property(method.fget, doc=text)
        else:
            method.__doc__ = text
        setattr(Key, name, method)
