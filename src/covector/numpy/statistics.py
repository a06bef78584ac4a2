"""Means and variances along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import ones_like
from covector.numpy.fused import compiled, fused
from covector.numpy.operands import mask_of, refuse_out, together
from covector.numpy.promotion import axes_of, cast, lift, spread
from covector.numpy.reduce import Axis
from covector.numpy.selection import where as choose
from covector.numpy.shape import transpose

__all__ = [
    "average",
    "mean",
    "std",
    "var",
]


def _wide(dtype: np.dtype) -> np.dtype:
    """float32 for the 16-bit floats, whose sums overflow."""
    return dtypes.float32 if dtypes.is_float(dtype) and dtype.itemsize < 4 else dtype


def _inexact(name: str, a: Any, dtype: Any) -> tuple[Any, np.dtype]:
    """The operand as a wide float, and the dtype of the result."""
    (a,) = together(name, "inexact", a)
    out = a.dtype if dtype is None else dtypes.as_dtype(dtype)
    wide = _wide(out) if dtypes.is_inexact(out) else a.dtype
    return cast(a, wide, a.weak_type), out


def _count(
    a: Any, axes: tuple[int, ...], where: Any, keepdims: bool, dtype: np.dtype | None = None
) -> Any:
    """How many elements each result stands for: all of them, or those where `where` holds; as a float by default."""
    dtype = dtypes.real_of(a.dtype) if dtype is None else dtype
    if where is not None:
        return reduce.sum(
            spread(lift("where", where), a.shape), axes, dtype=dtype, keepdims=keepdims
        )
    count = dims.product([a.shape[i] for i in axes])
    if isinstance(count, int):
        return dtype.type(count)
    return cast(prims.Sum((0,))(prims.full((count,), 1, dtypes.int32)), dtype)


@compiled("a", "where")
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """The average along axes (all by default), as a float; 16-bit floats are added up in float32.

    >>> from covector import numpy as cnp
    >>> cnp.mean(cnp.array([1, 2, 4]))
    Array(2.3333333, dtype=float32)
    """
    refuse_out("mean", out)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    a, where = lift("mean", a), mask_of("mean", where)
    if wanted == dtypes.bool_:
        raise TypeError(f"mean with dtype=bool{errors.at_user_line()}: use any, or all")
    return _mean(a, where, axes=axes_of(axis, a.ndim), dtype=wanted, keepdims=keepdims)


@fused("axes", "dtype", "keepdims")
def _mean(a: Any, where: Any, axes: tuple[int, ...], dtype: np.dtype | None, keepdims: bool) -> Any:
    if dtype is not None and dtypes.is_integer(dtype):  # added up in it, and then divided
        wide = dtypes.int64 if dtypes.kind(dtype) == "i" else dtypes.uint64
        total = cast(reduce.sum(a, axes, dtype, keepdims=keepdims, where=where), wide)
        count = cast(_count(a, axes, where, keepdims, dtypes.canonical(wide)), wide)
        return cast(prims.div(total, count), dtype)
    a, result = _inexact("mean", a, dtype)
    total = reduce.sum(a, axes, keepdims=keepdims, where=where)
    return cast(el.divide(total, _count(a, axes, where, keepdims)), result)


def average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The average along axes, weighted; with `returned` also the sum of the weights.

    ValueError unless the weights have the shape of the array, or that of the axes as they are named.

    >>> from covector import numpy as cnp
    >>> cnp.average(cnp.array([1.0, 2.0]), weights=cnp.array([3.0, 1.0]))
    Array(1.25, dtype=float32)
    """
    if weights is None:
        (a,) = together("average", "inexact", a)
        weights = ones_like(a)
    a, weights = together("average", "inexact", a, weights)
    axes = axes_of(axis, a.ndim)
    if a.shape != weights.shape:
        if weights.shape != tuple([a.shape[i] for i in axes]):
            raise ValueError(
                f"average: weights of shape {weights.shape} for an array of shape {a.shape} along axes {axes}"
                f"{errors.at_user_line()}; they need the array's shape, or that of the axes"
            )
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weights = prims.expand_dims(
            transpose(weights, order), [i for i in range(a.ndim) if i not in axes]
        )
    total = reduce.sum(spread(weights, a.shape), axes, keepdims=keepdims)
    value = prims.div(reduce.sum(el.multiply(a, weights), axes, keepdims=keepdims), total)
    return (value, total) if returned else value


@compiled("a", "where", "mean")
def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The variance along axes (all by default): the mean squared distance from the mean.

    `ddof` (or `correction`) is taken off the number of elements that the sum is divided by.  `mean` is the mean, with
    the axes kept, if it is known.  As a real float.
    ValueError for a dtype that cannot hold it.

    >>> from covector import numpy as cnp
    >>> cnp.var(cnp.array([1.0, 2.0, 4.0]))
    Array(1.5555557, dtype=float32)
    """
    refuse_out("var", out)
    a, where = lift("var", a), mask_of("var", where)
    less, wanted = float(ddof if correction is None else correction), _spread_dtype("var", a, dtype)
    axes = axes_of(axis, a.ndim)
    centre = None if mean is None else lift("var", mean)
    return _var(a, where, centre, axes=axes, dtype=wanted, less=less, keepdims=keepdims)


@fused("axes", "dtype", "less", "keepdims")
def _var(
    a: Any,
    where: Any,
    centre: Any,
    axes: tuple[int, ...],
    dtype: np.dtype | None,
    less: float,
    keepdims: bool,
) -> Any:
    a, result = _inexact("var", a, dtype)
    result = dtypes.real_of(result) if dtype is None else result
    if centre is None:
        centre = mean(a, axes, keepdims=True, where=where)
    distance = prims.sub(a, spread(cast(centre, a.dtype), a.shape))
    if dtypes.is_complex(a.dtype):
        parts = prims.real(distance), prims.imag(distance)
        squares = prims.add(*[prims.square(part) for part in parts])
    else:
        squares = prims.square(distance)
    total = reduce.sum(squares, axes, keepdims=keepdims, where=where)
    count = el.subtract(_count(squares, axes, where, keepdims), less)
    return cast(choose(el.greater(count, 0.0), el.divide(total, count), np.nan), result)


def _spread_dtype(name: str, a: Any, dtype: Any) -> np.dtype | None:
    """The dtype asked for of a variance; ValueError if it cannot hold one, or not the elements."""
    if dtype is None:
        return None
    wanted = dtypes.as_dtype(dtype)
    if not dtypes.is_inexact(wanted):
        raise ValueError(
            f"{name} with dtype={wanted.name}{errors.at_user_line()}: it is computed in a float or complex dtype; "
            f"convert the result, with .astype({wanted.name!r})"
        )
    if dtypes.is_complex(a.dtype) and not dtypes.is_complex(wanted):
        raise ValueError(
            f"{name} of {typeof(a).text()} with dtype={wanted.name}{errors.at_user_line()}, which cannot hold complex "
            "elements: leave dtype out, the result is real"
        )
    return wanted


@compiled("a", "where", "mean")
def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The standard deviation along axes: the square root of the variance.

    Arguments and errors are those of `var`.

    >>> from covector import numpy as cnp
    >>> cnp.std(cnp.array([1.0, 2.0, 4.0]))
    Array(1.2472192, dtype=float32)
    """
    refuse_out("std", out)
    spread_ = var(
        a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    return el.sqrt(spread_)
