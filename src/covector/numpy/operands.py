"""Operands of functions that are no ufuncs: several in one dtype, and masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.runtime.device import check_places, committed
from covector._engine.types import dtypes
from covector.numpy.promotion import DIRECT, Array, Kind, lift, promoted

__all__ = ["beside", "converted", "mask_of", "placed", "refuse_out", "together"]


def together(name: str, kind: Kind, *xs: Any) -> list[Any]:
    """The operands as arrays of the dtype that they have together.

    They are promoted before they become arrays: a Python float beside float64 keeps its 53 bits, which as an array
    of its own, in float32, it would lose.
    """
    if all(type(x) is Array for x in xs):
        types = {(x.dtype, x.weak_type) for x in xs}
        if len(types) == 1 and xs[0].dtype in DIRECT[kind]:
            return list(xs)  # the common case, in half the time
    return [lift(name, x) for x in promoted(name, kind, [_operand(name, x) for x in xs])]


def _operand(name: str, x: Any) -> Any:
    """A NumPy array as an Array, which checks its dtype; anything else as it is."""
    return x if getattr(x, "ndim", 0) == 0 else lift(name, x)


def converted(x: Any, dtype: np.dtype, weak: bool = False) -> Any:
    """An array in a dtype, strong unless asked otherwise."""
    if x.dtype == dtype and x.weak_type == weak:
        return x
    return prims.Convert(dtype, weak)(x)


def mask_of(name: str, where: Any) -> Any:
    """The mask of a reduction as an array, or None; ValueError unless it is of bool."""
    if where is None:
        return None
    where = lift(name, where)
    if where.dtype != dtypes.bool_:
        raise ValueError(
            f"{name}: where is {typeof(where).text()}{errors.at_user_line()}, but it must be a mask of bool: "
            "for example w != 0"
        )
    return where


def placed(name: str, x: Any, device: Any, out_sharding: Any = None) -> Any:
    """An array where it was asked to be, and then `committed`; most calls name no place.

    ValueError for a device that is not there, or a sharding over such.
    """
    if device is None and out_sharding is None:
        return x
    check_places(name, "device" if out_sharding is None else "out_sharding", (device, out_sharding))
    return committed(x)


def beside(operands: Iterable[Any], x: Any) -> Any:
    """An array made of the values of others, in NumPy: it is committed if one of them is."""
    return committed(x) if any(type(a) is Array and a.committed for a in operands) else x


def refuse_out(name: str, out: Any) -> None:
    """NotImplementedError for an `out` that is given: arrays cannot be written to."""
    if out is not None:
        raise NotImplementedError(
            f"{name} with out={type(out).__name__}{errors.at_user_line()}: arrays are immutable; use the result"
        )
