"""Records: frozen data classes that cost next to nothing to define.

The standard library's `dataclass` compiles source text for each class, which is 0.4 to 0.9 ms a class; with 100 of them
that would be a third of the time that `import covector` takes.  A record's `__init__` is compiled when the first one is
made.  Records have the same look and meaning: annotated fields in order, with defaults; immutable; equal by type and
fields, which must be the same bit for bit (`exact`), and hashable; or equal only to themselves, with `eq=False`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform, overload

import numpy as np

from covector._engine.base.exact import exact

T = TypeVar("T")

# Of fields: equal within their class only where they are the same, so `exact` would only cost time.
_PLAIN = frozenset(
    {
        bool,
        int,
        str,
        type(None),
        *[type(np.dtype(t)) for t in np.sctypeDict.values() if t is not np.void],
    }
)


@overload
def record(cls: type[T], /) -> type[T]:
    """The class, whose records are equal by value."""


@overload
def record(*, eq: bool) -> Callable[[type[T]], type[T]]:
    """With a choice: a decorator."""


@dataclass_transform(frozen_default=True)
def record(cls: Any = None, /, *, eq: bool = True) -> Any:
    """Make a class a record.  Fields are its annotations but those of class variables, after those of its bases.

    With `eq=False` each record is equal to itself only.
    """
    if cls is None:
        return lambda c: _as_record(c, eq)  # pyright: ignore[reportUnknownLambdaType]
    return _as_record(cls, eq)


def _as_record(cls: Any, eq: bool) -> Any:
    own = [n for n, a in inspect.get_annotations(cls).items() if not str(a).startswith("ClassVar")]
    inherited = [n for base in reversed(cls.__mro__[1:]) for n in base.__dict__.get("_fields", ())]
    cls._fields = cls.__match_args__ = tuple(dict.fromkeys((*inherited, *own)))
    cls._compared = cls._fields if eq else ()
    for name, method in {**_METHODS, **(_BY_VALUE if eq else {})}.items():
        if cls.__dict__.get(name) is None:  # where a class has its own `__eq__`, `__hash__` is None
            setattr(cls, name, method)
    return cls


def _first(self: Any, *args: Any, **kwargs: Any) -> None:
    """Every record's `__init__` until it is first called, which is when it is written for the class."""
    cls = next(c for c in type(self).__mro__ if c.__dict__.get("__init__") is _first)
    known: dict[str, Any] = {
        f"default_{n}": getattr(cls, n) for n in cls._fields if hasattr(cls, n)
    }
    parameters = [f"{n}=default_{n}" if f"default_{n}" in known else n for n in cls._fields]
    body = "; ".join(f"set(self, {n!r}, {n})" for n in cls._fields) or "pass"
    known["set"] = (
        object.__setattr__
    )  # through `__dict__` is quicker, but reading is slower after it (3.11)
    exec(f"def __init__({', '.join(('self', *parameters))}): {body}", known)
    init = cls.__init__ = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"  # which messages of wrong calls show
    init(self, *args, **kwargs)


class _Shown:
    """What `inspect` shows of a class of records whose `__init__` is not written yet: its fields."""

    def __get__(self, instance: Any, cls: Any) -> inspect.Signature:
        if instance is not None or cls.__init__ is not _first:
            raise AttributeError("__signature__")
        empty, kind = inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD
        found = [inspect.Parameter(n, kind, default=getattr(cls, n, empty)) for n in cls._fields]
        return inspect.Signature(found)


def _eq(self: Any, other: object) -> Any:
    if self is other:
        return True
    if type(other) is not type(self):
        return NotImplemented
    for n in self._fields:
        a, b = getattr(self, n), getattr(other, n)
        if a is b:
            continue
        if type(a) is not type(b) or (a != b if type(a) in _PLAIN else exact(a) != exact(b)):
            return False
    return True


def _hash(self: Any) -> int:
    found = self._kept_hash
    if found is None:  # kept: primitives are keys of caches, looked up with each eager operation
        content = [getattr(self, n) for n in self._fields]
        found = hash((type(self), *[v if type(v) in _PLAIN else exact(v) for v in content]))
        object.__setattr__(self, "_kept_hash", found)
    return found


def _repr(self: Any) -> str:
    content = ", ".join(f"{n}={getattr(self, n)!r}" for n in self._fields)
    return f"{type(self).__name__}({content})"


def _frozen(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be changed")


def _state(self: Any) -> dict[str, Any]:
    """What a copy gets, and a pickle: hashes of texts differ from process to process."""
    return {n: getattr(self, n) for n in self._fields}


_METHODS: dict[str, Any] = {
    "__init__": _first,
    "__signature__": _Shown(),
    "__repr__": _repr,
    "__setattr__": _frozen,
    "__delattr__": _frozen,
    "__getstate__": _state,
}
_BY_VALUE: dict[str, Any] = {"__eq__": _eq, "__hash__": _hash, "_kept_hash": None}


def fields(x: Any) -> tuple[str, ...]:
    """The names of the fields that make a record equal to another, in order: none if it is equal to itself only.

    What is no record has none.
    """
    return getattr(type(x), "_compared", ())


def replace(x: T, **changes: Any) -> T:
    """A copy of a record with other values of some fields."""
    names: tuple[str, ...] = type(x)._fields  # type: ignore[attr-defined]
    return type(x)(**{n: getattr(x, n) for n in names} | changes)


def is_only_fields(x: Any) -> bool:
    """Whether a record holds nothing else than the fields that make it equal to another."""
    held = getattr(x, "__dict__", None)
    return held is not None and {"_kept_hash", *fields(x)}.issuperset(held)
