"""Ranges and grids: evenly spaced numbers, the indices of an array, coordinates."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core import trace
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Tracer
from covector._engine.types import dtypes
from covector._engine.types.dims import Polynomial
from covector.numpy import elementwise
from covector.numpy.creation import astype, filled, iota, zeros
from covector.numpy.join import stack
from covector.numpy.operands import placed
from covector.numpy.promotion import (
    Array,
    axis_of,
    cast,
    check_ranks,
    constant,
    from_numpy,
    integer_of,
    lift,
    shape_of,
    spread,
    target,
    type_key,
)
from covector.numpy.shape import broadcast_arrays, broadcast_shapes, expand_dims, moveaxis, reshape

__all__ = ["arange", "fromfunction", "indices", "linspace", "logspace", "meshgrid"]


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The numbers from `start` (0) to below `stop` in steps; one argument is `stop`.

    The bounds must be concrete, since they decide the shape.  Integers give int32, floats float32.  OverflowError if
    a bound is beyond int32 and no dtype is given, ValueError for complex numbers, TypeError for bool.

    >>> from covector import numpy as cnp
    >>> cnp.arange(2, 8, 2)
    Array([2, 4, 6], dtype=int32)
    """
    return placed("arange", _arange(start, stop, step, dtype), device, out_sharding)


def _arange(start: Any, stop: Any, step: Any, dtype: Any) -> Any:
    if stop is None:
        start, stop = 0, start
    if isinstance(stop, Polynomial) and type(start) is int and step in (None, 1):
        counted = prims.Iota((stop - start,), dtypes.as_dtype(dtype or int), 0)()
        return counted if start == 0 else prims.add(counted, counted.dtype.type(start))
    bounds = [_concrete_bound(b) for b in (start, stop, 1 if step is None else step)]
    if dtype is None:
        wanted = target("any", *[type_key(b) for b in bounds if b is not None])[0]
    else:
        wanted = dtypes.as_dtype(dtype)
    _check_range(bounds, wanted, dtype is None)
    whole = all(isinstance(b, int | np.integer) for b in bounds)
    if whole and trace.current().staging and dtypes.kind(wanted) in "iuf":
        return _counted_range(wanted, *[operator.index(b) for b in bounds])
    try:
        values = np.arange(*bounds)
    except ZeroDivisionError:
        raise ValueError(f"arange: the step is 0{errors.at_user_line()}") from None
    return from_numpy("arange", values, wanted)


def _check_range(bounds: Sequence[Any], wanted: np.dtype, chosen: bool) -> None:
    """An error for bounds that make no range, or none in the dtype, which was `chosen` by us."""
    if any(isinstance(b, complex | np.complexfloating) for b in bounds):
        raise ValueError(
            f"arange got complex bounds {tuple(bounds)}{errors.at_user_line()}: complex numbers have no order; "
            "of a real range, ask for dtype=complex"
        )
    if wanted == dtypes.bool_ or any(isinstance(b, bool | np.bool_) for b in bounds):
        raise TypeError(f"arange of bool{errors.at_user_line()}: a range is of numbers")
    if not all(math.isfinite(b) for b in bounds):
        raise ValueError(
            f"arange got the bounds {tuple(bounds)}{errors.at_user_line()}: it has no end"
        )
    if chosen and dtypes.is_integer(wanted):
        info = np.iinfo(wanted)
        first, last = map(operator.index, bounds[:2])  # a NumPy scalar would wrap beyond its dtype
        wrong = [b for b in (first, last) if not info.min <= b <= info.max + (b == last)]
        if wrong:
            raise OverflowError(f"arange: {errors.does_not_fit(wrong[0], wanted.name)}")


def _counted_range(dtype: np.dtype, first: int, last: int, by: int) -> Any:
    """The integers from `first` to below `last` where the Program is recorded."""
    if by == 0:
        raise ValueError(f"arange: the step is 0{errors.at_user_line()}")
    shape = (max(0, -((first - last) // by)),)
    exact = dtypes.is_integer(dtype) or max(abs(first), abs(last)) <= 2 ** dtypes.finfo(dtype).nmant
    # floats beyond their digits are rounded once, at the end
    own = dtype if exact else dtypes.int64
    counted = prims.Iota(shape, own, 0)()
    counted = counted if by == 1 else prims.mul(counted, _wrapped(by, own))
    counted = counted if first == 0 else prims.add(counted, _wrapped(first, own))
    return astype(counted, dtype)


def _wrapped(n: int, dtype: np.dtype) -> Any:
    """A Python integer in a dtype, as arrays wrap."""
    return np.asarray(n).astype(dtype)[()]


def _concrete_bound(x: Any) -> Any:
    if isinstance(x, Tracer):
        x = x._value("a bound of arange, which decides the shape")
    if type(x) is Array or isinstance(x, np.ndarray):
        x = np.asarray(x)
        if x.shape:
            raise TypeError(
                f"arange takes numbers, got an array of shape {x.shape}{errors.at_user_line()}"
            )
        return x[()]
    if not isinstance(x, (np.generic, *SCALARS)):
        raise TypeError(errors.not_an_array(x, "arange"))
    return x


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which is the last one unless `endpoint` is false.

    With `retstep` also the distance between two of them; NaN if there is none.

    >>> from covector import numpy as cnp
    >>> cnp.linspace(0, 1, 5)
    Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    num = integer_of(num, "num")
    if num < 0:
        raise ValueError(
            f"linspace: the number of samples is {num}{errors.at_user_line()}, it must not be negative"
        )
    low, high, wanted = _ends("linspace", start, stop, dtype)
    pieces = num - 1 if endpoint else num
    if num == 0:
        values = filled((0, *low.shape), 0, low.dtype)
    elif pieces == 0:
        values = expand_dims(low, 0)
    else:
        values = _interpolated(low, high, num if not endpoint else num - 1, pieces)
        if endpoint:
            values = prims.Concatenate(0)(values, expand_dims(high, 0))
    if dtypes.is_integer(wanted):
        values = prims.floor(values) if dtypes.is_float(values.dtype) else values
    values = astype(moveaxis(values, 0, axis_of(axis, values.ndim)), wanted)
    values = placed("linspace", values, device)
    if not retstep:
        return values
    if pieces <= 0:
        return values, constant(np.nan, low.dtype)
    return values, prims.div(prims.sub(high, low), float(pieces))


def _ends(name: str, start: Any, stop: Any, dtype: Any) -> tuple[Any, Any, np.dtype]:
    """The ends of a range in one shape and the dtype to compute in, and the dtype of the result.

    Whole numbers are computed in float64, as NumPy does: float32 has no more than 24 of their bits.
    """
    own = target("inexact", type_key(start), type_key(stop))[0]
    wanted = own if dtype is None else dtypes.as_dtype(dtype)
    above = wanted if dtypes.is_inexact(wanted) else dtypes.float64
    pair = [dtypes.float32 if dtypes.is_narrow(d) else d for d in (own, above)]
    computed = dtypes.promote(*[(d, False) for d in pair])[0]
    ends = [
        lift(name, cast(v if type(v) in SCALARS else lift(name, v), computed))
        for v in (start, stop)
    ]
    check_ranks(name, *ends)
    low, high = broadcast_arrays(*[astype(v, computed) for v in ends])
    return low, high, wanted


def _interpolated(low: Any, high: Any, count: int, pieces: int) -> Any:
    """low (1 - t) + high t for t = 0, 1/pieces, ..."""
    shape, real = (count, *low.shape), dtypes.real_of(low.dtype)
    t = prims.div(iota((count,), real, 0), real.type(pieces))
    t = spread(reshape(astype(t, low.dtype), (count,) + (1,) * low.ndim), shape)
    low, high = spread(low, shape), spread(high, shape)
    return prims.add(prims.mul(low, prims.sub(1.0, t)), prims.mul(high, t))


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers from base**start to base**stop, evenly spaced in their logarithm; bases broadcast with the ends.

    As a float; `num` lies along `axis`.  ValueError for a negative `num`.

    >>> from covector import numpy as cnp
    >>> cnp.logspace(0, 2, 3)
    Array([  1.,  10., 100.], dtype=float32)
    """
    low, high, wanted = _ends("logspace", start, stop, dtype)
    own = dtypes.promote((low.dtype, False), type_key(base))[0]
    base = lift("logspace", cast(base if type(base) in SCALARS else lift("logspace", base), own))
    if base.ndim:
        shape = broadcast_shapes(low.shape, base.shape)
        low, high = spread(low, shape), spread(high, shape)
        base = expand_dims(spread(base, shape), axis_of(axis, len(shape) + 1))
    exponents = linspace(low, high, num, endpoint, dtype=own, axis=axis)
    values = elementwise.power(base, exponents)
    return astype(values, wanted if dtype is not None else values.dtype)


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """The index along each axis of a grid, stacked; or with `sparse` a tuple of arrays that broadcast to it.

    int32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> rows, columns = cnp.indices((2, 3))
    >>> columns
    Array([[0, 1, 2],
           [0, 1, 2]], dtype=int32)
    """
    grid = shape_of(dimensions, "dimensions")
    wanted = dtypes.position_dtype(*grid) if dtype is None else dtypes.as_dtype(dtype)
    if not sparse:
        parts = [iota(grid, wanted, axis) for axis in range(len(grid))]
        return stack(parts) if parts else zeros((0,), wanted)
    grids = [
        iota(tuple([n if i == axis else 1 for i, n in enumerate(grid)]), wanted, axis)
        for axis in range(len(grid))
    ]
    return tuple(grids)


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """The function's values on a grid: it is called once, with an array of the index along each axis.

    The arrays of indices are float32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> cnp.fromfunction(lambda i, j: i * 10 + j, (2, 2), dtype=int)
    Array([[ 0,  1],
           [10, 11]], dtype=int32)
    """
    grid = shape_of(shape)
    return function(
        *[iota(grid, dtypes.as_dtype(dtype), axis) for axis in range(len(grid))], **kwargs
    )


def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """Coordinates on a grid from vectors: one array for each, all of one shape unless `sparse`.

    With indexing "xy" the first vector runs along the second axis, as in a picture; with "ij" along the first.
    ValueError for another indexing.

    >>> from covector import numpy as cnp
    >>> cnp.meshgrid(cnp.array([1, 2]), cnp.array([3, 4]))
    (Array([[1, 2],
           [1, 2]], dtype=int32), Array([[3, 3],
           [4, 4]], dtype=int32))
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}{errors.at_user_line()}"
        )
    vectors = [reshape(x, (-1,)) for x in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) >= 2:
        order[:2] = [1, 0]
    shaped = [
        reshape(v, tuple([-1 if k == order[i] else 1 for k in range(len(vectors))]))
        for i, v in enumerate(vectors)
    ]
    return tuple(shaped) if sparse or not shaped else broadcast_arrays(*shaped)
