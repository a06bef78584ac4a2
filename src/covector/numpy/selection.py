"""Choosing elements: where, select, clip; indices of what holds; comparisons within a tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import Tracer
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim, product
from covector.numpy import elementwise as el
from covector.numpy.fused import compiled
from covector.numpy.operands import beside
from covector.numpy.promotion import (
    Shape,
    broadcast_shapes,
    cast,
    fitted,
    from_numpy,
    integer_of,
    lift,
    operand_of,
    promoted,
    spread,
    type_key,
)
from covector.numpy.ufunc import elementwise, lifted, make

__all__ = [
    "allclose",
    "argwhere",
    "clip",
    "flatnonzero",
    "isclose",
    "nan_to_num",
    "nonzero",
    "select",
    "where",
]


def _where(condition: Any, x: Any, y: Any, /) -> Any:
    condition = operand_of("where", condition)
    yes, no = [lifted("where", v) for v in promoted("where", "any", (x, y))]
    chosen = cast(lift("where", condition), dtypes.bool_)
    if chosen.shape == yes.shape == no.shape:
        return prims.select(chosen, yes, no)
    return prims.select(*fitted("where", (chosen, yes, no), any_ranks=True))


_where_ufunc = make("where", _where, 3, "Elements of x where the condition holds, else of y.")


def where(
    condition: Any,
    x: Any = None,
    y: Any = None,
    /,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Elements of `x` where the condition holds, else of `y`; the three broadcast together.

    With the condition alone: the indices where it holds, as `nonzero` gives them.

    >>> from covector import numpy as cnp
    >>> cnp.where(cnp.array([True, False]), 1, 2)
    Array([1, 2], dtype=int32, weak_type=True)
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None or size is not None or fill_value is not None:
        raise ValueError(
            f"where takes the condition alone (with size and fill_value), or with both x and y{errors.at_user_line()}"
        )
    return _where_ufunc(condition, x, y)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Elements of the first choice whose condition holds, else the default.

    All are broadcast together and promoted to one dtype.  ValueError if there are not as many choices as conditions,
    or none.

    >>> from covector import numpy as cnp
    >>> x = cnp.arange(5)
    >>> cnp.select([x < 2, x > 3], [-x, x * 10])
    Array([ 0, -1,  0,  0, 40], dtype=int32)
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"select needs as many choices as conditions, and at least one, got {len(condlist)} conditions "
            f"and {len(choicelist)} choices{errors.at_user_line()}"
        )
    *choices, result = promoted("select", "any", [*choicelist, default])
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return result


def known(name: str, x: Any, advice: str) -> np.ndarray:
    """The value of an array that must be known now, as the shape of a result depends on it; what to do if it is not."""
    x = lift(name, x)
    if isinstance(x, Tracer) and x.concrete() is None:
        raise errors.ConcretizationTypeError(
            f"{name} got {x.describe()}{errors.at_user_line()}, but the shape of its result depends on the values, "
            f"and inside jit only shape and dtype are known: {advice}"
        )
    return np.asarray(prims.stop_gradient(x) if isinstance(x, Tracer) else x)


_GIVE_SIZE = "give its length, as size=..., or use covector.numpy.where(condition, x, y)"


def places_where(mask: Any, size: int, fill: Any) -> Any:
    """The indices of the first `size` true elements of a vector of bool, then `fill`."""
    dtype, (n,) = dtypes.position_dtype(*mask.shape), mask.shape
    places = prims.Places(size, dtype)(mask)
    filled = _filling(0 if fill is None else fill, size, dtype)
    return prims.select(el.less(places, n), places, filled)


def _filling(fill: Any, size: int, dtype: np.dtype) -> Any:
    """A number so many times, as indices."""
    return spread(lift("fill_value", cast(fill, dtype)), (size,))


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The indices of the elements that are not zero: one int32 array per axis.

    With `size` there are so many, cut or filled with `fill_value` (0, or one for each axis).  Without it their number
    depends on the values, so the array must be concrete.  ValueError for an array of shape (), which has no axes.

    >>> from covector import numpy as cnp
    >>> cnp.nonzero(cnp.array([[0, 1], [2, 0]]))
    (Array([0, 1], dtype=int32), Array([1, 0], dtype=int32))
    >>> cnp.nonzero(cnp.array([0, 1, 2]), size=3, fill_value=-1)
    (Array([ 1,  2, -1], dtype=int32),)
    """
    a = lift("nonzero", a)
    if not a.shape:
        raise ValueError(
            f"nonzero of an array of shape (){errors.at_user_line()}: it has no axes; use atleast_1d"
        )
    dtype = dtypes.position_dtype(*a.shape)
    if size is None:
        found = np.nonzero(known("nonzero", a, _GIVE_SIZE))
        return tuple([beside((a,), from_numpy("nonzero", i, dtype)) for i in found])
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value or 0,) * a.ndim
    if len(fills) != a.ndim:
        raise ValueError(
            f"nonzero: {len(fills)} fill values for {a.ndim} axes{errors.at_user_line()}"
        )
    size, count = integer_of(size, "size"), product(a.shape)
    mask = cast(prims.Reshape((count,))(a), dtypes.bool_)
    flat = places_where(mask, size, count)
    return _by_axis(flat, a.shape, count, fills, dtype)


def _by_axis(flat: Any, shape: Shape, count: Dim, fills: Any, dtype: np.dtype) -> tuple[Any, ...]:
    """Places in a flattened array as indices along each axis; behind the last place the fills."""
    there, out = el.less(flat, count), []
    for n, fill in zip(reversed(shape), reversed(fills), strict=True):
        if n == 0:
            out.append(_filling(fill, flat.shape[0], dtype))
            continue
        filling, outermost = _filling(fill, flat.shape[0], dtype), len(out) == len(shape) - 1
        out.append(prims.select(there, flat if outermost else el.remainder(flat, n), filling))
        flat = flat if outermost else el.floor_divide(flat, n)
    return tuple(out[::-1])


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices into the flattened array of the elements that are not zero; it must be concrete.

    As int32.  With `size` the result has that length, filled with `fill_value` if need be, and may be traced.

    >>> from covector import numpy as cnp
    >>> cnp.flatnonzero(cnp.array([[0, 1], [2, 0]]))
    Array([1, 2], dtype=int32)
    """
    a = lift("flatnonzero", a)
    return nonzero(prims.Reshape((product(a.shape),))(a), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of the elements that are not zero, a row for each; it must be concrete.

    The rows are int32.  With `size` the result has so many rows, the last ones of `fill_value` if need be, and may be
    traced.

    >>> from covector import numpy as cnp
    >>> cnp.argwhere(cnp.array([[0, 1], [2, 0]]))
    Array([[0, 1],
           [1, 0]], dtype=int32)
    """
    a = lift("argwhere", a)
    if not a.shape:  # one row, or none, of no indices
        count = int(bool(known("argwhere", a, _GIVE_SIZE))) if size is None else size
        return prims.full((count, 0), 0, dtypes.position_dtype())
    found = nonzero(a, size=size, fill_value=fill_value)
    return prims.Concatenate(1)(*[prims.expand_dims(i, (1,)) for i in found])


# ------------------------------------------------------------------------------------- bounds and NaN

_clip = elementwise(
    "clip",
    lambda x, low, high: prims.minimum(high, prims.maximum(low, x)),
    "any",
    3,
    "min(high, max(low, x)).",
)


def clip(arr: Any = None, /, min: Any = None, max: Any = None) -> Any:
    """Elements below `min` raised to it, those above `max` lowered to it.

    ValueError without an array.

    >>> from covector import numpy as cnp
    >>> cnp.clip(cnp.arange(5), 1, 3)
    Array([1, 1, 2, 3, 3], dtype=int32)
    """
    if arr is None:
        raise ValueError(f"clip got no array{errors.at_user_line()}")
    arr, min, max = [v if v is None else operand_of("clip", v) for v in (arr, min, max)]
    if any(
        bound is not None and dtypes.is_complex(type_key(bound)[0]) for bound in (arr, min, max)
    ):
        raise errors.DtypeError(f"clip takes real numbers, not complex ones{errors.at_user_line()}")
    if min is None:
        return el.positive(arr) if max is None else el.minimum(max, arr)
    return el.maximum(min, arr) if max is None else _clip(arr, min, max)


def _replace_nans(x: Any, nan: Any, high: Any, low: Any) -> Any:
    x = prims.select(prims.ne(x, x), nan, x)
    x = prims.select(prims.eq(x, x.dtype.type(np.inf)), high, x)
    return prims.select(prims.eq(x, x.dtype.type(-np.inf)), low, x)


_nan_to_num = elementwise(
    "nan_to_num", _replace_nans, "any", 4, "NaN and infinities replaced by numbers."
)


@compiled("x")
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """NaN replaced by `nan`, infinities by `posinf` and `neginf`, or the largest and smallest finite numbers.

    Integers stay as they are; shape and dtype stay.

    >>> from covector import numpy as cnp
    >>> cnp.nan_to_num(cnp.array([1.0, cnp.nan, cnp.inf]), posinf=9.0)
    Array([1., 0., 9.], dtype=float32)
    """
    x = lift("nan_to_num", x)
    if not dtypes.is_inexact(x.dtype):
        return x
    if dtypes.is_complex(x.dtype):
        parts = [
            nan_to_num(part, copy, nan, posinf, neginf) for part in (prims.real(x), prims.imag(x))
        ]
        return prims.complex_(*parts)
    info = dtypes.finfo(x.dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    return _nan_to_num(x, *[cast(lifted("nan_to_num", v), x.dtype) for v in (nan, high, low)])


# ------------------------------------------------------------------------------------------ tolerance


def _isclose(x: Any, y: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    if dtypes.is_inexact(x.dtype):
        real = dtypes.real_of(x.dtype)
        rtol, atol = [cast(operand_of("isclose", v), real) for v in (rtol, atol)]
        x, y, rtol, atol = fitted("isclose", (x, y, rtol, atol))
        near = prims.le(
            prims.abs_(prims.sub(x, y)), prims.add(atol, prims.mul(prims.abs_(y), rtol))
        )
        both_finite = prims.and_(el.isfinite(x), el.isfinite(y))
        result = prims.select(both_finite, near, prims.eq(x, y))
        if equal_nan:
            result = prims.or_(result, prims.and_(el.isnan(x), el.isnan(y)))
        return result
    return prims.eq(x, y)


@compiled("a", "b")
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |a - b| <= atol + rtol * |b|, element by element; infinities of one sign are close.

    As a bool array; the operands and the tolerances are broadcast together.  NaNs are close only with `equal_nan`.

    >>> from covector import numpy as cnp
    >>> cnp.isclose(cnp.array([1.0, 2.0]), cnp.array([1.000001, 2.1]))
    Array([ True, False], dtype=bool)
    """
    x, y = fitted("isclose", promoted("isclose", "inexact", (a, b)))
    x, y = [spread(lift("isclose", v), broadcast_shapes(np.shape(x), np.shape(y))) for v in (x, y)]
    return _isclose(x, y, rtol, atol, equal_nan)


@compiled("a", "b")
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as a bool array of shape ().

    Arguments are those of `isclose`.

    >>> from covector import numpy as cnp
    >>> cnp.allclose(cnp.array([1.0, 2.0]), cnp.array([1.0, 2.000001]))
    Array(True, dtype=bool)
    """
    close = isclose(a, b, rtol, atol, equal_nan)
    return prims.All(tuple(range(close.ndim)))(close)
