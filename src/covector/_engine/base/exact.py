"""`exact`: keys of caches.  Two values that compile to different code never have equal keys.

In Python 1 == 1.0 == True, 0.0 == -0.0, and NaN differs from itself; all caches of Programs and compiled code go by
`exact(value)` instead, where numbers are equal by class and bits, also inside tuples, frozen sets and dataclasses.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Hashable
from typing import Any

import numpy as np

# Their own keys.  All other values are marked with their class, and a class is none of these.
_PLAIN = frozenset({int, str, bytes, type(None)})


def exact(x: Any) -> Hashable:
    """A key that is equal for values of one class that are the same bit for bit.  Hashable if the value is."""
    cls = type(x)
    if cls in _PLAIN:
        return x
    if cls is tuple:
        for item in x:
            if type(item) not in _PLAIN:
                return (cls, *map(exact, x))
        return x
    if cls is bool:
        return (cls, x)
    if isinstance(x, float):
        return (cls, struct.pack("d", x))
    if isinstance(x, complex):
        return (cls, struct.pack("dd", x.real, x.imag))
    if isinstance(x, np.generic):
        return (cls, x.dtype, x.tobytes())
    return _exact_structure(cls, x)


def _exact_structure(cls: type, x: Any) -> Hashable:
    if isinstance(x, tuple):
        return (cls, *map(exact, x))
    if isinstance(x, frozenset):
        return (cls, frozenset(map(exact, x)))
    if cls is range:
        return (cls, x.start, x.stop, x.step)
    if dataclasses.is_dataclass(cls):  # beside its own meaning of equality
        content = [_inside(getattr(x, f.name)) for f in dataclasses.fields(cls) if f.compare]
        return (cls, x, *content)
    return (cls, x)


def _inside(x: Any) -> Hashable:
    """The key of a field.  An instance may say itself how it is hashed, and then have fields that are not hashable."""
    if isinstance(x, list):
        return (list, *map(_inside, x))
    if isinstance(x, dict):
        return (dict, *[(exact(key), _inside(value)) for key, value in x.items()])
    key = exact(x)
    try:
        hash(key)
    except TypeError:
        return None  # the instance's own meaning of equality is all that there is
    return key
