"""Functions of users' that are machine code: their addresses, and those of them that are routines by name."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

_FUNCTION: Any = ctypes.CFUNCTYPE(None).__base__  # of all functions of ctypes
_PREFIX = "user."
_registered: dict[str, tuple[int, Any]] = {}  # with what keeps the code alive

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype, _capsule_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def address_of(function: Any) -> int:
    """The address of a function in memory.

    It is one of `ctypes`, a capsule with a pointer to it, an integer, or something that has it as its `address`.

    >>> import ctypes
    >>> from covector import extend
    >>> extend.address_of(ctypes.CDLL(None).abs) != 0
    True
    """
    found: Any = getattr(function, "address", function)
    if isinstance(found, _FUNCTION):
        found = ctypes.cast(found, ctypes.c_void_p).value
    elif type(found).__name__ == "PyCapsule":
        found = _capsule_pointer(found, _capsule_name(found))
    if not isinstance(found, int) or found <= 0:
        raise TypeError(
            f"{function!r} is no function in memory: give a function of ctypes, a capsule with a pointer to it, or "
            "its address"
        )
    return found


def register_routine(name: str, function: Any) -> str:
    """Make a C function a routine, which `RoutineCall`s call by the name that this returns.

    The function is `int32_t f(const T* operand, ..., T* result, ..., void* scratch, int64_t parameter, ...)`: first
    the places that the call names, then its parameters.  It is called without the GIL, on any thread if calls may be
    `side_by_side`, and returns 0; what else it returns ends the program with an exception.

    >>> import ctypes
    >>> from covector import extend
    >>> extend.register_routine("documentation.absolute", ctypes.CDLL(None).abs)
    'user.documentation.absolute'
    """
    if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
        raise ValueError(f"{name!r} is no name of a routine: use letters, digits, '_' and '.'")
    address, full = address_of(function), _PREFIX + name
    known = _registered.setdefault(full, (address, function))
    if known[0] != address:
        raise ValueError(
            f"there is a routine {name!r} already, and compiled code calls it; give this one another name"
        )
    return full


class MachineFunction:
    """A target of the FFI, with its attributes, that compiled code calls itself; called from Python it takes Arrays."""

    __slots__ = ("aliases", "native", "results")

    def __init__(
        self,
        native: _native.Foreign,
        results: Sequence[ShapedArray],
        aliases: Sequence[tuple[int, int]],
    ):
        self.native, self.results, self.aliases = native, tuple(results), tuple(aliases)

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        given = [np.array(x, order="C") for x in arrays]
        made = [np.empty([int(n) for n in t.shape], t.dtype) for t in self.results]
        for operand, out in self.aliases:
            made[out] = given[operand]
        self.native.call(len(given), [_in_memory(x) for x in (*given, *made)])
        return made


def _in_memory(x: np.ndarray) -> tuple[int, int, tuple[int, ...]]:
    return x.ctypes.data, dtypes.CODES[x.dtype], x.shape


def is_users(routine: str) -> bool:
    """Whether a routine is one that a user registered."""
    return routine.startswith(_PREFIX)


def routine_symbols() -> dict[str, int]:
    """The addresses of users' routines by the names that emitted code calls."""
    return {f"cv_{name}": address for name, (address, _) in _registered.items()}
