"""Operands as this family takes them: equal dtypes, one shape; Python numbers adapt to the arrays beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.core.numbers import NUMBERS, SCALARS, entered, plain_number
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.numpy.promotion import Array, constant, convert_scalar, fitted, lift, type_key

# The kinds of dtype that a Python number of each type can become.
_FITS = {bool: "b", int: "iufc", float: "fc", complex: "c"}


def array(name: str, x: Any) -> Any:
    """An operand as an array or tracer; TypeError if it is no array or number."""
    return lift(name, x)


def operand(name: str, x: Any) -> Any:
    """An operand that may stay a NumPy scalar or Python number; TypeError if it is no array or number."""
    if type(x) is Array or isinstance(x, Tracer) or type(x) in SCALARS:
        return x
    return entered(x) if isinstance(x, np.generic) else lift(name, x)


def operands(name: str, *args: Any) -> list[Any]:
    """The operands of an elementwise operation.

    Python numbers take the others' dtype where they fit its kind, and are weak where all others are.  Axes of size 1
    are repeated; TypeError for other shapes of different ranks, but one of shape () goes with any.  The primitives
    themselves refuse different dtypes.
    """
    xs = [operand(name, x) for x in args]
    arrays = [x for x in xs if type(x) not in NUMBERS]
    if not arrays:
        found, weak = dtypes.promote(*[type_key(x) for x in xs])
        xs = [constant(x, found, weak) for x in xs]
    elif len(arrays) < len(xs):
        dtype, weak = arrays[0].dtype, all(getattr(x, "weak_type", False) for x in arrays)
        xs = [_beside(plain_number(x), dtype, weak) if type(x) in NUMBERS else x for x in xs]
    if len(xs) < 2:
        return xs
    avals = [typeof(x) for x in xs]
    if len({a.ndim for a in avals if a.shape}) > 1:
        raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))
    return fitted(name, xs)


def _beside(x: Any, dtype: np.dtype, weak: bool) -> Any:
    """A Python number as an operand beside ones of this dtype; in its own dtype if that is of a lesser kind."""
    if dtypes.kind(dtype) in _FITS[type(x)]:
        return convert_scalar(x, dtype, weak)
    return dtypes.of_number(type(x)).type(x)


def check_shapes(name: str, avals: Sequence[ShapedArray]) -> None:
    """TypeError unless the operands that are not of shape () have one shape."""
    if len({a.shape for a in avals if a.shape}) > 1:
        raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))


def preferred_dtype(name: str, dtype: np.dtype, preferred: Any) -> np.dtype | None:
    """The dtype that a product of operands of a dtype is asked to have; TypeError if it is narrower than that."""
    if preferred is None:
        return None
    wanted = dtypes.as_dtype(preferred)
    kinds, wide = (dtypes.kind(dtype), dtypes.kind(wanted)), (dtype.itemsize, wanted.itemsize)
    fits = kinds[0] == kinds[1] or "".join(kinds) in ("if", "uf", "iu", "ui", "bi", "bu", "bf")
    if wanted != dtype and (not fits or wide[0] > wide[1]):
        raise TypeError(
            f"{name} of {dtype.name} cannot give preferred_element_type={wanted.name}{errors.at_user_line()}: it must "
            "be of the operands' kind, or float for integers, and not narrower"
        )
    return wanted


def number_as(x: Any, wanted: np.dtype) -> np.ndarray:
    """A number that is no array yet, converted as it is: the dtype that it would have as an array may not have it."""
    real = not dtypes.is_complex(wanted) and wanted != dtypes.bool_
    if real and isinstance(x, complex | np.complexfloating):
        raise TypeError(
            f"convert_element_type of {x!r}{errors.at_user_line()}: {wanted.name} has no complex numbers; "
            "take its real part"
        )
    if isinstance(x, int | np.integer) and dtypes.is_integer(wanted):
        return np.array(int(x) & (1 << dtypes.bits(wanted)) - 1).astype(wanted)
    saturates = isinstance(x, float | np.floating) and (type(x) is float or not np.isfinite(x))
    if saturates and dtypes.is_integer(wanted):  # as in JAX, where NumPy's finite scalars wrap
        limits = dtypes.iinfo(wanted)
        near = 0 if np.isnan(x) else int(min(max(x, float(limits.min)), float(limits.max)))
        return np.array(min(near, int(limits.max))).astype(wanted)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(x).astype(wanted)
