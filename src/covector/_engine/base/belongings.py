"""What was made of a callable and is to last as long as it: kept by its identity, without keeping it alive."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from covector._engine import _native

# The attribute under which functions hold theirs.  What a function's own attributes refer to goes with it,
# also where that refers back to the function: as callbacks do, and rules, and static arguments.
_NAME = "__covector__"
_DATA = frozenset({int, float, complex, bool, str, bytes})
_HOLDERS: set[type] = {FunctionType, functools.partial, _native.JitFunction, _native.Boundary}


class Belongings(dict[Any, Any]):
    """What belongs to one callable, by keys.

    Copies of a callable's attributes (`functools.wraps`, pickles) may have it too: there it belongs to nobody.
    """

    __slots__ = ("__weakref__", "held", "of", "open")

    def __init__(self, of: Callable[[], Any] = lambda: None, held: bool = True):
        self.of = of
        # Whether the callable holds it.  Else nothing may be in it that could refer to the callable.
        self.held = held
        self.open = True

    def __reduce__(self) -> Any:
        return Belongings, ()


class _Watch(weakref.ref[Any]):
    """A reference to a callable that holds nothing itself, whose attributes are the user's state."""

    __slots__ = ("number",)
    number: int


_apart: dict[int, Belongings] = {}


def _gone(watch: Any, apart: dict[int, Belongings] = _apart) -> None:
    """The callable is gone.  It may be when Python has ended this module, so no name of it is read here."""
    apart.pop(watch.number, None)


def holds(cls: type) -> None:
    """Let callables of a class of ours hold what belongs to them: they are no data of users'."""
    _HOLDERS.add(cls)


def belongings(fun: Any) -> Belongings | None:
    """What belongs to a callable; None if it can be neither asked to hold it nor watched, or was let go."""
    if type(fun) in _HOLDERS:
        space = fun.__dict__
        found = space.get(_NAME)
        if found is None or found.of() is not fun:
            found = space[_NAME] = Belongings(weakref.ref(fun))
        return found
    found = _apart.get(id(fun))
    if found is not None and found.of() is fun:
        return found if found.open else None
    try:
        watch = _Watch(fun, _gone)
    except TypeError:
        return None
    watch.number = id(fun)
    found = _apart[id(fun)] = Belongings(watch, held=False)
    return found


def let_go(found: Belongings) -> None:
    """Keep nothing for its callable any more: what was made of it may refer to it, and would keep it alive."""
    found.open = False
    found.clear()


def refers_to_nothing(data: Any) -> bool:
    """Whether nothing of a user's is reached from it: numbers, texts, tuples of these, classes of Python's own."""
    if isinstance(data, tuple):
        return all(map(refers_to_nothing, data))
    if isinstance(data, type):
        return data.__module__ == "builtins"
    return data is None or type(data) in _DATA
