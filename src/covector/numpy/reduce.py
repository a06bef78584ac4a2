"""Reductions: sums, extremes, logic and statistics along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import ones_like
from covector.numpy.fused import fused
from covector.numpy.operands import mask_of, together
from covector.numpy.promotion import (
    Shape,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    lift,
    spread,
)
from covector.numpy.selection import where as choose
from covector.numpy.shape import reshape

# fmt: off
__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "max", "mean", "min",
    "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "prod",
    "ptp", "std", "sum", "var",
]
# fmt: on

Axis = int | Sequence[int] | None


class Reducer(NamedTuple):
    """What the reductions by one operation differ in."""

    name: str
    primitive: Callable[[tuple[int, ...]], Any]
    combine: Callable[..., Any]  # with the initial value
    identity: Callable[[np.dtype], Any] | None  # None: an empty reduction is an error
    extends: bool = False  # small integers and bool are computed in 32 bits
    truth: Callable[..., Any] | None = None  # what it is with dtype=bool


def _lowest(dtype: np.dtype) -> Any:
    if dtypes.is_float(dtype):
        return -np.inf
    return False if dtype == dtypes.bool_ else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    if dtypes.is_float(dtype):
        return np.inf
    return True if dtype == dtypes.bool_ else np.iinfo(dtype).max


_SUM = Reducer("sum", prims.Sum, el.add, lambda _: 0, True, lambda *a, **k: any(*a, **k))
_PROD = Reducer("prod", prims.Prod, el.multiply, lambda _: 1, True, lambda *a, **k: all(*a, **k))
_MAX = Reducer("max", prims.Max, el.maximum, None)
_MIN = Reducer("min", prims.Min, el.minimum, None)
_NEUTRAL: dict[str, Callable[[np.dtype], Any]] = {"max": _lowest, "min": _highest}


def extended(dtype: np.dtype) -> np.dtype:
    """The dtype that sums of a dtype are computed in: at least 32 bits wide for integers and bool."""
    kind = dtypes.kind(dtype)
    if kind == "b" or (kind == "i" and dtype.itemsize < 4):
        return dtypes.int32
    return dtypes.uint32 if kind == "u" and dtype.itemsize < 4 else dtype


def _reduce(
    fold: Reducer,
    a: Any,
    axis: Axis,
    dtype: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    extend: bool = True,
) -> Any:
    """The reduction in NumPy's terms."""
    a = lift(fold.name, a)
    axes = axes_of(axis, a.ndim)
    where = mask_of(fold.name, where)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if initial is not None and np.ndim(initial) != 0:
        raise ValueError(
            f"{fold.name}: the initial value must be a number, got one of shape {np.shape(initial)}"
            f"{errors.at_user_line()}"
        )
    if wanted == dtypes.bool_ and fold.truth is not None:
        out = fold.truth(a, axes, keepdims=keepdims, where=where)
        return out if initial is None else fold.combine(out, _truth(fold.name, initial))
    if wanted is not None:
        a = cast(a, wanted)
    elif fold.extends and a.dtype == dtypes.bool_:
        a = cast(a, dtypes.index_dtype(dims.product([a.shape[i] for i in axes])))
    elif fold.extends and extend:
        a = cast(a, extended(a.dtype), a.weak_type)
    if where is not None:
        if fold.identity is None and initial is None:
            raise ValueError(
                f"{fold.name} with where needs an initial value{errors.at_user_line()}"
            )
        a = _masked(fold, a, where)
    elif fold.identity is None and initial is None:
        _check_not_empty(fold.name, a.shape, axes)
    out = fold.primitive(axes)(a) if axes else a
    if initial is not None:
        out = fold.combine(out, cast(initial, out.dtype))
    out = strong(out)
    return kept(out, a.shape, axes) if keepdims else out


def strong(x: Any) -> Any:
    """The array without weakness: reductions of Python's numbers are arrays like others."""
    return prims.Convert(x.dtype)(x) if x.weak_type else x


def _masked(fold: Reducer, a: Any, where: Any) -> Any:
    neutral = (fold.identity or _NEUTRAL[fold.name])(a.dtype)
    if broadcast_shapes(a.shape, where.shape) != a.shape:
        raise ValueError(_unfit_mask(fold.name, where, a))
    return choose(where, a, a.dtype.type(neutral))


def _unfit_mask(name: str, where: Any, a: Any) -> str:
    return f"{name}: where of shape {where.shape} does not broadcast to {a.shape}{errors.at_user_line()}"


def _check_not_empty(name: str, shape: Shape, axes: tuple[int, ...]) -> None:
    for i in axes:
        if shape[i] == 0:
            raise ValueError(
                f"{name} of an array of shape {shape} along axis {i}, which has no elements{errors.at_user_line()}; "
                "give an initial value"
            )


def kept(out: Any, shape: Shape, axes: tuple[int, ...]) -> Any:
    """A reduction's result with the axes that went as axes of length 1."""
    return (
        prims.Reshape(tuple([1 if i in axes else n for i, n in enumerate(shape)]))(out)
        if axes
        else out
    )


# ------------------------------------------------------------------------------------ sums and extremes


def sum(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None, promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The sum along axes (all by default).  Integers below 32 bits, and bool, are added up as 32-bit ones.

    `keepdims` leaves axes of length 1; `where` says which elements count; `initial` is added.
    ValueError if an axis is out of bounds.

    >>> from covector import numpy as cnp
    >>> cnp.sum(cnp.ones((2, 3)), axis=0)
    Array([2., 2., 2.], dtype=float32)
    """
    return _reduce(_SUM, a, axis, dtype, keepdims, initial, where, promote_integers)


def prod(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None, promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The product along axes (all by default), as `sum`."""
    return _reduce(_PROD, a, axis, dtype, keepdims, initial, where, promote_integers)


def max(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element along axes (all by default); NaN if one is NaN.

    ValueError if there are no elements and no `initial`.  Of equally large elements each gets its share of the
    gradient.
    """
    return _reduce(_MAX, a, axis, None, keepdims, initial, where)


def min(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element along axes (all by default), as `max`."""
    return _reduce(_MIN, a, axis, None, keepdims, initial, where)


amax, amin = max, min


def _truth(name: str, a: Any) -> Any:
    """Whether each element is not zero."""
    a = lift(name, a)
    return a if a.dtype == dtypes.bool_ else prims.ne(a, a.dtype.type(0))


def _logical(name: str, primitive: Any, a: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    """`all` or `any`."""
    a = _truth(name, a)
    if where is not None:
        neutral = name == "all"
        if broadcast_shapes(a.shape, (where := mask_of(name, where)).shape) != a.shape:
            raise ValueError(_unfit_mask(name, where, a))
        a = choose(where, a, neutral)
    axes = axes_of(axis, a.ndim)
    result = primitive(axes)(a) if axes else a
    return kept(result, a.shape, axes) if keepdims else result


def all(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether all elements along axes are not zero."""
    return _logical("all", prims.All, a, axis, keepdims, where)


def any(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether one element along axes is not zero."""
    return _logical("any", prims.Any_, a, axis, keepdims, where)


def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many elements along axes are not zero, as int32."""
    return sum(_truth("count_nonzero", a), axis, keepdims=keepdims)


def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest less the smallest element along axes."""
    return el.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


# ------------------------------------------------------------------------------------------ positions


def _arg(name: str, primitive: Any, a: Any, axis: int | None, keepdims: bool | None) -> Any:
    a = lift(name, a)
    shape = a.shape
    if axis is None:
        axes = tuple(range(len(shape)))
        a, axis = reshape(a, (dims.product(shape),)), 0
    else:
        axis = axis_of(axis, len(shape))
        axes = (axis,)
    if a.shape[axis] == 0:
        raise ValueError(
            f"{name} of an array of shape {shape} finds no elements{errors.at_user_line()}"
        )
    out = primitive(axis, dtypes.index_dtype(a.shape[axis]))(a)
    return kept(out, shape, axes) if keepdims else out


def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the largest element along an axis (or into the flattened array), as int32.

    The first of equals; the first NaN, if there is one.
    """
    return _arg("argmax", prims.Argmax, a, axis, keepdims)


def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the smallest element along an axis (or into the flattened array), as int32."""
    return _arg("argmin", prims.Argmin, a, axis, keepdims)


# ----------------------------------------------------------------------------------------- statistics


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
        return sum(spread(lift("where", where), a.shape), axes, dtype=dtype, keepdims=keepdims)
    count = dims.product([a.shape[i] for i in axes])
    if isinstance(count, int):
        return dtype.type(count)
    return cast(prims.Sum((0,))(prims.full((count,), 1, dtypes.int32)), dtype)


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
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    a, where = lift("mean", a), mask_of("mean", where)
    if wanted == dtypes.bool_:
        raise TypeError(f"mean with dtype=bool{errors.at_user_line()}: use any, or all")
    return _mean(a, where, axes=axes_of(axis, a.ndim), dtype=wanted, keepdims=keepdims)


@fused("axes", "dtype", "keepdims")
def _mean(a: Any, where: Any, axes: tuple[int, ...], dtype: np.dtype | None, keepdims: bool) -> Any:
    if dtype is not None and dtypes.is_integer(dtype):  # added up in it, and then divided
        wide = dtypes.int64 if dtypes.kind(dtype) == "i" else dtypes.uint64
        total = cast(sum(a, axes, dtype, keepdims=keepdims, where=where), wide)
        return cast(prims.div(total, _count(a, axes, where, keepdims, wide)), dtype)
    a, result = _inexact("mean", a, dtype)
    total = sum(a, axes, keepdims=keepdims, where=where)
    return cast(el.divide(total, _count(a, axes, where, keepdims)), result)


def average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The average along axes, weighted; with `returned` also the sum of the weights."""
    if weights is None:
        weights = ones_like(together("average", "inexact", a)[0])
    a, weights = together("average", "inexact", a, weights)
    axes = axes_of(axis, a.ndim)
    if a.shape != weights.shape:
        if len(axes) != 1 or weights.shape != (a.shape[axes[0]],):
            raise ValueError(
                f"average: weights of shape {weights.shape} for an array of shape {a.shape} along axes {axes}"
                f"{errors.at_user_line()}; they need the array's shape, or one entry along the one axis"
            )
        weights = reshape(weights, tuple([-1 if i == axes[0] else 1 for i in range(a.ndim)]))
    total = sum(spread(weights, a.shape), axes, keepdims=keepdims)
    value = prims.div(sum(el.multiply(a, weights), axes, keepdims=keepdims), total)
    return (value, total) if returned else value


def var(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
    where: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """The variance along axes (all by default): the mean squared distance from the mean.

    `ddof` (or `correction`) is taken off the number of elements that the sum is divided by.
    """
    a, where = lift("var", a), mask_of("var", where)
    less, wanted = float(ddof if correction is None else correction), _spread_dtype("var", a, dtype)
    axes = axes_of(axis, a.ndim)
    return _var(a, where, axes=axes, dtype=wanted, less=less, keepdims=keepdims)


@fused("axes", "dtype", "less", "keepdims")
def _var(
    a: Any, where: Any, axes: tuple[int, ...], dtype: np.dtype | None, less: float, keepdims: bool
) -> Any:
    a, result = _inexact("var", a, dtype)
    result = dtypes.real_of(result) if dtype is None else result
    centre = mean(a, axes, keepdims=True, where=where)
    distance = prims.sub(a, spread(centre, a.shape))
    if dtypes.is_complex(a.dtype):
        parts = prims.real(distance), prims.imag(distance)
        squares = prims.add(*[prims.square(part) for part in parts])
    else:
        squares = prims.square(distance)
    total = sum(squares, axes, keepdims=keepdims, where=where)
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


def std(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
    where: Any = None, correction: Any = None,
) -> Any:  # fmt: skip
    """The standard deviation along axes: the square root of the variance."""
    return el.sqrt(var(a, axis, dtype, None, ddof, keepdims, where=where, correction=correction))


# ----------------------------------------------------------------------------------------- without NaN


def _without_nan(name: str, a: Any, instead: float) -> tuple[Any, Any]:
    """The array with NaN replaced, and where it was not NaN (None if it cannot be)."""
    a = lift(name, a)
    if not dtypes.is_inexact(a.dtype):
        return a, None
    good = el.logical_not(el.isnan(a))
    return choose(good, a, a.dtype.type(instead)), good


def nansum(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The sum along axes of the elements that are not NaN."""
    return sum(_without_nan("nansum", a, 0.0)[0], axis, dtype, None, keepdims, initial, where)


def nanprod(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The product along axes of the elements that are not NaN."""
    return prod(_without_nan("nanprod", a, 1.0)[0], axis, dtype, None, keepdims, initial, where)


def _nan_extreme(
    name: str,
    reduction: Any,
    a: Any,
    axis: Axis,
    keepdims: bool,
    initial: Any,
    where: Any,
    instead: float,
) -> Any:
    a, good = _without_nan(name, a, instead)
    out = reduction(a, axis, None, keepdims, initial, where)
    if good is None:
        return out
    found = any(good, axis, keepdims=keepdims, where=where)
    return choose(found, out, out.dtype.type(np.nan)) if initial is None else out


def nanmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element along axes that is not NaN; NaN if all are."""
    return _nan_extreme("nanmax", max, a, axis, keepdims, initial, where, -np.inf)


def nanmin(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element along axes that is not NaN; NaN if all are."""
    return _nan_extreme("nanmin", min, a, axis, keepdims, initial, where, np.inf)


def _nan_position(
    name: str, position: Any, a: Any, axis: int | None, keepdims: bool | None, instead: float
) -> Any:
    a, good = _without_nan(name, a, instead)
    out = position(a, axis, None, keepdims)
    return out if good is None else choose(any(good, axis, keepdims=bool(keepdims)), out, -1)


def nanargmax(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """The index of the largest element that is not NaN; -1 if all are."""
    return _nan_position("nanargmax", argmax, a, axis, keepdims, -np.inf)


def nanargmin(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """The index of the smallest element that is not NaN; -1 if all are."""
    return _nan_position("nanargmin", argmin, a, axis, keepdims, np.inf)


def _good(name: str, a: Any, where: Any) -> tuple[Any, Any]:
    a, good = _without_nan(name, a, 0.0)
    where = mask_of(name, where)
    return a, good if where is None or good is None else el.logical_and(good, where)


def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """The average along axes of the elements that are not NaN."""
    a, good = _good("nanmean", a, where)
    return mean(a, axis, dtype, None, keepdims, where=where if good is None else good)


def nanvar(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
    where: Any = None,
) -> Any:  # fmt: skip
    """The variance along axes of the elements that are not NaN."""
    a, good = _good("nanvar", a, where)
    return var(a, axis, dtype, None, ddof, keepdims, where=where if good is None else good)


def nanstd(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
    where: Any = None,
) -> Any:  # fmt: skip
    """The standard deviation along axes of the elements that are not NaN."""
    return el.sqrt(nanvar(a, axis, dtype, None, ddof, keepdims, where))
