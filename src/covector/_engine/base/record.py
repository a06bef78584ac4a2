"""Records: frozen data classes that cost nothing to define.

The standard library's `dataclass` compiles source text for each class, which is 0.8 ms a class and would be a fifth
of the time that `import covector` takes.  A record has the same look and meaning: annotated fields in order, with
defaults; equal by type and fields, which must be the same bit for bit (`exact`); hashable; immutable.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, dataclass_transform

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


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a record.  Fields are its annotations but those of class variables, after those of its bases."""
    own = [n for n, a in inspect.get_annotations(cls).items() if not str(a).startswith("ClassVar")]
    inherited = [n for base in reversed(cls.__mro__[1:]) for n in base.__dict__.get("_fields", ())]
    cls._fields = tuple(dict.fromkeys((*inherited, *own)))  # type: ignore[attr-defined]
    for name, method in _METHODS.items():
        setattr(cls, name, method)
    return cls


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    names = self._fields
    values = self.__dict__
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__} takes {len(names)} values, got {len(args)}")
    values.update(zip(names, args, strict=False))
    if len(args) == len(names) and not kwargs:
        return
    for name in names[len(args) :]:
        if name in kwargs:
            values[name] = kwargs.pop(name)
        elif hasattr(type(self), name):
            values[name] = getattr(type(self), name)
        else:
            raise TypeError(f"{type(self).__name__} needs a value for {name!r}")
    if kwargs:
        raise TypeError(f"{type(self).__name__} has no field {next(iter(kwargs))!r}")


def _eq(self: Any, other: object) -> Any:
    if self is other:
        return True
    if type(other) is not type(self):
        return NotImplemented
    mine, others = self.__dict__, other.__dict__
    for n in self._fields:
        a, b = mine[n], others[n]
        if a is b:
            continue
        if type(a) is not type(b) or (a != b if type(a) in _PLAIN else exact(a) != exact(b)):
            return False
    return True


def _hash(self: Any) -> int:
    values = self.__dict__
    found = values.get("_hash")
    if found is None:  # kept: primitives are keys of caches, looked up with each eager operation
        content = [values[n] for n in self._fields]
        found = values["_hash"] = hash(
            (type(self), *[v if type(v) in _PLAIN else exact(v) for v in content])
        )
    return found


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{n}={self.__dict__[n]!r}' for n in self._fields)})"


def _frozen(self: Any, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be changed")


_METHODS: dict[str, Any] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _frozen,
    "__delattr__": _frozen,
}


def fields(x: Any) -> tuple[str, ...]:
    """The names of a record's fields, in order; none if it is not one."""
    return getattr(type(x), "_fields", ())


def replace(x: T, **changes: Any) -> T:
    """A copy of a record with other values of some fields."""
    return type(x)(
        **{n: changes.pop(n) if n in changes else x.__dict__[n] for n in fields(x)}, **changes
    )
