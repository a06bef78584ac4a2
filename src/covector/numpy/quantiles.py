"""Quantiles: what so large a part of the elements lies below; with or without NaN, with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.fused import fused
from covector.numpy.operands import refuse_out, together
from covector.numpy.promotion import axes_of, broadcast_shapes, cast, lift, spread
from covector.numpy.reduce import Axis
from covector.numpy.selection import clip, where
from covector.numpy.shape import moveaxis, reshape
from covector.numpy.sorting import sort
from covector.numpy.take import take_along_axis

__all__ = [
    "minmax",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
    "sort_complex",
]

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def _joined(x: Any, axes: tuple[int, ...]) -> Any:
    """The array with these axes as one, at the end."""
    rest = [i for i in range(x.ndim) if i not in axes]
    joined = dims.product([x.shape[i] for i in axes])
    return reshape(prims.Transpose((*rest, *axes))(x), (*[x.shape[i] for i in rest], joined))


def _between(rows: Any, place: Any, method: str) -> Any:
    """The elements of sorted rows at places that are no whole numbers; shape (*lead, number of places)."""
    low, high = el.floor(place), el.ceil(place)
    if method == "nearest":
        low = high = el.ceil(el.subtract(place, 0.5))  # the lower one of two
    elif method == "lower":
        high = low
    elif method == "higher":
        low = high
    below = take_along_axis(rows, prims.Convert(dtypes.int32)(low), -1, mode="clip")
    if low is high:
        return below
    above = take_along_axis(rows, prims.Convert(dtypes.int32)(high), -1, mode="clip")
    part = el.subtract(place, low) if method == "linear" else 0.5
    between = el.add(el.multiply(below, el.subtract(1, part)), el.multiply(above, part))
    # Equal ones as they are, infinite ones too; the finite ones share the derivative.
    distance = where(el.isfinite(below), el.subtract(above, below), 0)
    alike = el.add(below, el.multiply(distance, part))
    return where(el.equal(below, above), alike, between)


@fused("method", "skip_nan")
def _of_rows(rows: Any, q: Any, weights: Any, method: str, skip_nan: bool) -> Any:
    """The quantiles along the last axis: shape (*lead, number of quantiles)."""
    bad = el.isnan(rows)
    some_bad = reduce.any(bad, -1, keepdims=True)
    n = rows.shape[-1]
    if weights is not None:
        weights = where(bad, 0, weights) if skip_nan else weights
        rows, weights = prims.SortPairs()(rows, weights)
        out = _weighted(rows, weights, q)
    else:
        rows = sort(rows)
        count = el.subtract(n, reduce.sum(bad, -1, keepdims=True)) if skip_nan else n
        count = cast(lift("quantile", count), q.dtype)
        if method == "inverted_cdf":
            place, method = el.subtract(el.ceil(el.multiply(q, count)), 1), "lower"
        else:
            place = el.multiply(q, el.subtract(count, 1))
        place = clip(place, 0, el.maximum(el.subtract(count, 1), 0))
        lead = broadcast_shapes(place.shape, (*rows.shape[:-1], 1))
        out = _between(rows, spread(place, lead), method)
    wrong = reduce.all(bad, -1, keepdims=True) if skip_nan else some_bad
    return where(wrong, rows.dtype.type(np.nan), cast(out, rows.dtype))


def _weighted(rows: Any, weights: Any, q: Any) -> Any:
    """The first element of sorted rows up to which the weights are at least this part of all."""
    running = prims.CumSum(weights.ndim - 1)(weights)
    wanted = el.multiply(q, running[..., -1:])
    wanted = prims.expand_dims(spread(wanted, (*running.shape[:-1], q.shape[-1])), (running.ndim,))
    short = el.logical_or(
        el.less(prims.expand_dims(running, (running.ndim - 1,)), wanted),
        prims.expand_dims(el.equal(running, 0), (running.ndim - 1,)),  # no weight so far
    )
    place = el.minimum(reduce.sum(short, -1), rows.shape[-1] - 1)
    return take_along_axis(rows, place, -1, mode="clip")


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Axis,
    out: Any,
    overwrite_input: bool,
    method: str,
    keepdims: bool,
    weights: Any,
    skip_nan: bool,
    whole: float,
) -> Any:
    refuse_out(name, out)
    if overwrite_input:
        raise ValueError(
            f"{name} with overwrite_input=True{errors.at_user_line()}: arrays are immutable"
        )
    if method not in _METHODS:
        raise ValueError(
            f"{name}: method {method!r}{errors.at_user_line()}; there are {', '.join(map(repr, _METHODS))}"
        )
    (a,) = together(name, "inexact", a)
    if dtypes.is_complex(a.dtype):
        raise ValueError(f"{name} takes real numbers, got {a.dtype.name}{errors.at_user_line()}")
    # the result has the dtype of the elements; what part is meant is known to at least 32 bits
    wide = a if a.dtype.itemsize >= 4 else dtypes.float32.type(0)
    q, _ = together(name, "inexact", q, wide)
    if dtypes.is_complex(q.dtype):
        raise ValueError(
            f"{name}: q is of {q.dtype.name}{errors.at_user_line()}, not of real numbers"
        )
    if q.ndim > 1:
        raise ValueError(
            f"{name}: q of shape {q.shape}{errors.at_user_line()}, it must be a number or a vector"
        )
    axes = axes_of(axis, a.ndim)
    rows = _joined(a, axes)
    if rows.shape[-1] == 0:
        if not skip_nan and 0 not in rows.shape[:-1]:
            raise ValueError(f"{name} of an array without elements{errors.at_user_line()}")
        rows = prims.full((*rows.shape[:-1], 1), np.nan, rows.dtype)
    if weights is not None:
        if method != "inverted_cdf":
            raise NotImplementedError(
                f"{name} with weights and method {method!r}{errors.at_user_line()}: only 'inverted_cdf' knows weights"
            )
        w = cast(lift(name, weights), a.dtype)
        if w.shape != a.shape and len(axes) == 1 and w.shape == (a.shape[axes[0]],):
            w = reshape(w, tuple([-1 if i == axes[0] else 1 for i in range(a.ndim)]))
        weights = _joined(spread(w, a.shape), axes)
    parts = el.divide(reshape(q, (-1,)), whole) if whole != 1 else reshape(q, (-1,))
    found = moveaxis(_of_rows(rows, parts, weights, method=method, skip_nan=skip_nan), -1, 0)
    shape = tuple([1 if i in axes else n for i, n in enumerate(a.shape)])
    lead = (*q.shape, *shape) if keepdims else (*q.shape, *found.shape[1:])
    return reshape(found, lead)


def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The element below which a part `q` (0 to 1) of the elements lies, along axes (all by default).

    Between two elements it is on the line ('linear'), or one of them ('lower', 'higher', 'nearest'), or their mean
    ('midpoint'); 'inverted_cdf' is the first up to which the part is reached, where `weights` say how much each
    element counts.  A vector of q gives as many results, along a new first axis.  NaN if an element is NaN.
    ValueError for other methods, complex numbers and no elements.

    >>> from covector import numpy as cnp
    >>> cnp.quantile(cnp.array([1, 2, 3, 4]), 0.5)
    Array(2.5, dtype=float32)
    """
    return _quantile(
        "quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, False, 1
    )


def percentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The element below which `q` percent of the elements lie, along axes (all by default).

    Arguments and errors are those of `quantile`.

    >>> from covector import numpy as cnp
    >>> cnp.percentile(cnp.array([1, 2, 3, 4]), 50)
    Array(2.5, dtype=float32)
    """
    return _quantile(
        "percentile", a, q, axis, out, overwrite_input, method, keepdims, weights, False, 100
    )


def nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The element below which a part `q` (0 to 1) of the elements that are not NaN lies; NaN if all are.

    Arguments and errors are those of `quantile`.

    >>> from covector import numpy as cnp
    >>> cnp.nanquantile(cnp.array([1, 2, 3, 4, cnp.nan]), 0.5)
    Array(2.5, dtype=float32)
    """
    return _quantile(
        "nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, True, 1
    )


def nanpercentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The element below which `q` percent of the elements that are not NaN lie; NaN if all are.

    Arguments and errors are those of `quantile`.

    >>> from covector import numpy as cnp
    >>> cnp.nanpercentile(cnp.array([1, 2, 3, 4, cnp.nan]), 50)
    Array(2.5, dtype=float32)
    """
    return _quantile(
        "nanpercentile", a, q, axis, out, overwrite_input, method, keepdims, weights, True, 100
    )


def nanmedian(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """The middle one along axes of the elements that are not NaN, or the mean of the two middle ones; NaN if all are.

    As a float.  ValueError for complex numbers and no elements.

    >>> from covector import numpy as cnp
    >>> cnp.nanmedian(cnp.array([3.0, cnp.nan, 1.0]))
    Array(2., dtype=float32)
    """
    refuse_out("nanmedian", out)
    return nanquantile(a, 0.5, axis, None, overwrite_input, keepdims=keepdims)


# ------------------------------------------------------------------------------- others about order


def minmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> tuple[Any, Any]:
    """The smallest and the largest element along axes (all by default).

    `initial` is a value for both, or a pair; the rest, and errors, are those of `min`.

    >>> from covector import numpy as cnp
    >>> low, high = cnp.minmax(cnp.array([3, 1, 2]))
    >>> low, high
    (Array(1, dtype=int32), Array(3, dtype=int32))
    """
    refuse_out("minmax", out)
    low, high = initial if isinstance(initial, tuple) else (initial, initial)
    return (
        reduce.min(a, axis, None, keepdims, low, where),
        reduce.max(a, axis, None, keepdims, high, where),
    )


def sort_complex(a: Any) -> Any:
    """The elements along the last axis as complex numbers in rising order, by real and then by imaginary part.

    >>> from covector import numpy as cnp
    >>> cnp.sort_complex(cnp.array([3, 1]))
    Array([1.+0.j, 3.+0.j], dtype=complex64)
    """
    a = lift("sort_complex", a)
    ordered = sort(a)
    if dtypes.is_complex(ordered.dtype):
        return reduce.strong(ordered)
    return prims.Convert(dtypes.complex_of(dtypes.inexact_of(ordered.dtype)))(ordered)
