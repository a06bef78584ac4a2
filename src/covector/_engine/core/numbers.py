"""Numbers: Python's, those with a dtype that rules compute with, and what NumPy's values are where they come in."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.types import dtypes

SCALARS = (bool, int, float, complex)


def _weak_number(base: type, dtype: np.dtype) -> type:
    """The class of weakly typed numbers of a dtype."""
    content = {"__slots__": (), "dtype": dtype, "shape": (), "ndim": 0, "weak_type": True}
    return type(f"Weak{base.__name__.title()}", (base,), content)


_WEAK_NUMBERS: dict[np.dtype, type] = {
    dtype: _weak_number(base, dtype)
    for base, narrow in dtypes.PYTHON_SCALARS.items()
    if base is not bool
    for dtype in (narrow, dtypes.WIDE[narrow])
}

# Each with the Python number that it is.
WEAK_NUMBERS: dict[type, type] = {cls: cls.__bases__[0] for cls in _WEAK_NUMBERS.values()}
_LIKE_PYTHON = frozenset(dtypes.WIDE.values())
NUMBERS = frozenset((*dtypes.PYTHON_SCALARS, *WEAK_NUMBERS))


def number_type(kind: type) -> np.dtype:
    """The dtype of numbers of a class in `NUMBERS`."""
    return dtypes.of_number(kind) if kind in dtypes.PYTHON_SCALARS else kind.dtype  # type: ignore[attr-defined]


def plain_number(x: Any) -> Any:
    """A number of a rule, or one that NumPy gave, as Python's own; other values as they are."""
    kind = WEAK_NUMBERS.get(type(x))
    return x if kind is None else kind(x)


def entered(x: Any) -> Any:
    """A value that a user gives, as operations take it: what the flag `enable_x64` means for values, in one place.

    NumPy's scalars that arithmetic with Python's numbers makes (`np.sqrt(64)`) are numbers with their 64 bits, weakly
    typed as Python's are.  Where 64 bits are switched off, NumPy's values have 32; where they are switched on, all of
    NumPy's values keep their types.  Arrays and what is traced stay as they are, and so do Python's numbers; those of
    a class of the user's (`enum.IntEnum`) become Python's.
    """
    if not isinstance(x, np.ndarray | np.generic):
        if type(x) in NUMBERS or not isinstance(x, SCALARS):
            return x
        kind = int if isinstance(x, int) else float if isinstance(x, float) else complex
        return kind(x)  # type: ignore[arg-type]
    if isinstance(x, np.ndarray) and config.transfer_guard != "allow":
        errors.guard_transfer(config.transfer_guard, x)
    return as_entered(x)


def as_entered(x: Any) -> Any:
    """A value of NumPy's as operations take it, whatever the flag `transfer_guard` says about such."""
    dtype = dtypes.native(x.dtype)
    if dtype is None or _native.is_masked(x):
        return x  # refused where it is used
    kept = dtypes.canonical(dtype)
    if kept is not dtype:
        with np.errstate(over="ignore"):  # what is beyond the range of float32 is infinite
            return x.astype(kept)
    if isinstance(x, np.generic) and dtype in _LIKE_PYTHON and dtypes.numpy_numbers_are_weak():
        return _WEAK_NUMBERS[dtype](x.item())
    return x


def number(value: Any, like: Any) -> Any:
    """A number with the dtype of another operand, and as weakly typed: a constant in a rule.

    So the result of a rule is weakly typed where the operands are.  It has `dtype`, `shape` and `weak_type`.
    """
    dtype = like.dtype
    if getattr(like, "weak_type", False) and dtype in _WEAK_NUMBERS:
        return _WEAK_NUMBERS[dtype](value)
    if dtype.kind == "f" and type(value) in (int, float):
        return dtype.type(value)
    return np.asarray(value).astype(dtype)[()]
