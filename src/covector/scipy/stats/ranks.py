"""Ranks, the most frequent value, and the error of a mean."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.lax.reductions import cummax, cummin, cumsum
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import array, iota, ones, zeros
from covector.numpy.fused import fused
from covector.numpy.join import concatenate
from covector.numpy.operands import converted
from covector.numpy.promotion import axis_of
from covector.numpy.selection import where
from covector.numpy.shape import expand_dims, moveaxis, reshape
from covector.numpy.sorting import argsort, sort
from covector.numpy.statistics import var
from covector.numpy.take import take_along_axis
from covector.numpy.without_nan import nanvar

__all__ = ["ModeResult", "mode", "rankdata", "sem"]

_POLICIES = ("propagate", "omit", "raise")
_METHODS = ("average", "min", "max", "dense", "ordinal")


class ModeResult(NamedTuple):
    """The most frequent value along an axis, and how often it is there.

    >>> from covector.scipy import stats
    >>> import covector.numpy as np
    >>> stats.mode(np.array([3, 1, 3])).count.item()
    2
    """

    mode: Any
    count: Any


def _check_policy(name: str, policy: str, known: tuple[str, ...]) -> None:
    if policy not in _POLICIES:
        raise ValueError(
            f"{name}: nan_policy is {policy!r}{errors.at_user_line()}; it is one of {_POLICIES}"
        )
    if policy not in known:
        raise NotImplementedError(
            f"{name} with nan_policy={policy!r}{errors.at_user_line()}: use one of {known}, and look for NaNs before"
        )


def _in_rows(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    """The array with the axis last, all of it as one axis for None, and which axis it was."""
    a = array(a)
    if axis is None or a.ndim == 0:
        return reshape(a, (-1,)), 0
    axis = axis_of(axis, a.ndim)
    return moveaxis(a, axis, -1), axis


def _runs(ordered: Any) -> tuple[Any, Any, Any]:
    """Of rows in order: where other values begin, and the first and the last place of each element's value."""
    n = ordered.shape[-1]
    edge = ones((*ordered.shape[:-1], 1), bool)
    changes = el.not_equal(ordered[..., 1:], ordered[..., :-1])
    begins, ends = concatenate([edge, changes], -1), concatenate([changes, edge], -1)
    places = iota(ordered.shape, dtypes.int32, ordered.ndim - 1)
    first = cummax(where(begins, places, 0), ordered.ndim - 1)
    last = cummin(where(ends, places, n - 1), ordered.ndim - 1, reverse=True)
    return begins, first, last


def mode(
    a: Any, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False
) -> Any:
    """The most frequent value along an axis, the smallest of several, and how often it is there.

    Of all elements, if the axis is None.  NaNs are different from each other.  Of none it is NaN, 0 times.
    NotImplementedError for another `nan_policy` than 'propagate'.

    >>> from covector.scipy import stats
    >>> import covector.numpy as np
    >>> stats.mode(np.array([[1, 2], [1, 3], [0, 3]]))
    ModeResult(mode=Array([1, 3], dtype=int32), count=Array([2, 2], dtype=int32))
    """
    _check_policy("mode", nan_policy, ("propagate",))
    ndim = array(a).ndim
    rows, place = _in_rows("mode", a, axis)
    if rows.shape[-1]:
        values, counts = _most(rows)
    else:
        values = where(True, math.nan, zeros(rows.shape[:-1], dtypes.inexact_of(rows.dtype)))
        counts = zeros(rows.shape[:-1], values.dtype)
    if keepdims:
        back = (lambda x: reshape(x, (1,) * ndim)) if axis is None else None
        values, counts = (back(x) if back else expand_dims(x, place) for x in (values, counts))
    return ModeResult(values, counts)


@fused()
def _most(rows: Any) -> tuple[Any, Any]:
    ordered = sort(rows, axis=-1)
    _, first, last = _runs(ordered)
    lengths = el.add(el.subtract(last, first), 1)
    at = expand_dims(reduce.argmax(lengths, axis=-1), -1)
    counts = converted(reduce.max(lengths, axis=-1), dtypes.of_number(int))
    return take_along_axis(ordered, at, -1)[..., 0], counts


def rankdata(
    a: Any, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Any:
    """The ranks of the elements, from 1, along an axis or of all of them as one vector; floats.

    Equal elements have the average of their places, the first ('min'), the last ('max'), or the number of smaller
    values and 1 ('dense'); with 'ordinal' they have their places in the order in which they stand.  Rows with NaNs have
    no ranks.  ValueError for another method, NotImplementedError for another `nan_policy` than 'propagate'.

    >>> from covector.scipy import stats
    >>> import covector.numpy as np
    >>> stats.rankdata(np.array([30, 10, 30, 20]))
    Array([3.5, 1. , 3.5, 2. ], dtype=float32)
    """
    _check_policy("rankdata", nan_policy, ("propagate",))
    if method not in _METHODS:
        raise ValueError(
            f"rankdata: method is {method!r}{errors.at_user_line()}; it is one of {_METHODS}"
        )
    rows, place = _in_rows("rankdata", a, axis)
    return moveaxis(_ranks(rows, method), -1, place) if rows.shape[-1] else _ranks(rows, method)


@fused("method")
def _ranks(rows: Any, method: str) -> Any:
    dtype = dtypes.of_number(float)  # as wide as Python's floats, whatever is ranked
    order = argsort(rows, axis=-1)
    back = argsort(order, axis=-1)
    begins, first, last = _runs(take_along_axis(rows, order, -1))
    if method == "ordinal":
        ranks = converted(el.add(back, 1), dtype)
    else:
        first, last = (converted(el.add(x, 1), dtype) for x in (first, last))
        of_sorted = {
            "average": lambda: el.multiply(el.add(first, last), 0.5),
            "min": lambda: first,
            "max": lambda: last,
            "dense": lambda: cumsum(converted(begins, dtype), begins.ndim - 1),
        }[method]()
        ranks = take_along_axis(of_sorted, back, -1)
    if dtypes.is_inexact(rows.dtype):
        broken = reduce.any(el.not_equal(rows, rows), axis=-1, keepdims=True)
        ranks = where(broken, math.nan, ranks)
    return ranks


def sem(
    a: Any,
    axis: int | None = 0,
    ddof: int = 1,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Any:
    """The standard error of the mean along an axis, or of all elements: √(var / n).

    The variance has `ddof` fewer degrees of freedom.  With nan_policy='omit' NaNs do not count; NotImplementedError
    for 'raise'.

    >>> from covector.scipy import stats
    >>> import covector.numpy as np
    >>> stats.sem(np.array([1.0, 2.0, 3.0]))
    Array(0.57735026, dtype=float32)
    """
    _check_policy("sem", nan_policy, ("propagate", "omit"))
    a = array(a)
    if nan_policy == "omit" and dtypes.is_inexact(a.dtype):
        count: Any = reduce.sum(el.equal(a, a), axis=axis, keepdims=keepdims)
        spread = nanvar(a, axis=axis, ddof=ddof, keepdims=keepdims)
        count = converted(count, spread.dtype)
    else:
        spread = var(a, axis=axis, ddof=ddof, keepdims=keepdims)
        count = a.size if axis is None else a.shape[axis]
    return el.sqrt(el.divide(spread, count))
