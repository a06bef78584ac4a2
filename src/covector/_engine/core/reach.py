"""What Python objects a function may use: those that it closes over, its global names, and what these refer to."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from covector._engine.core.trace import Array, Tracer
from covector._engine.ir.program import Program

# What refers to none of the user's objects, and what is too much to look through.
_ENDS = (type, ModuleType, str, bytes, int, float, complex, np.ndarray, Array, Tracer, Program)
# What was made of a function, which is no part of it.
_KEPT = frozenset({"_staged", "__covector__"})
MOST = 2000


def may_reach(start: Any, wanted: type) -> bool:
    """Whether an object of a class may be reached from another; True too where there is too much to look at."""
    seen, pending = {id(start)}, [start]
    while pending:
        for x in _referents(pending.pop()):
            if isinstance(x, wanted):
                return True
            if not isinstance(x, _ENDS) and id(x) not in seen:
                seen.add(id(x))
                pending.append(x)
        if len(seen) > MOST:
            return True
    return False


def _referents(x: Any) -> Iterator[Any]:
    if isinstance(x, FunctionType):
        yield from (x.__defaults__, x.__kwdefaults__)
        yield from _closed_over(x)
        if not str(x.__module__).startswith("covector."):
            yield from _named(x)
    elif isinstance(x, dict):
        yield from x.values()
    elif isinstance(space := getattr(x, "__dict__", None), dict):
        yield from [value for name, value in space.items() if name not in _KEPT]
        yield from [y for y in gc.get_referents(x) if y is not space]  # slots, native fields
    else:
        yield from gc.get_referents(x)


def _closed_over(f: FunctionType) -> Iterator[Any]:
    for cell in f.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    yield from [value for name, value in f.__dict__.items() if name not in _KEPT]


def _named(f: FunctionType) -> Iterator[Any]:
    """The values of the global names in its code; of modules, of what has a name in the code too."""
    names = set[str]()
    codes = [f.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, CodeType)]
    for name in names:
        value = f.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from [value.__dict__[n] for n in names if n in value.__dict__]
