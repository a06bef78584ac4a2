"""Reductions and running folds of the elements that are not NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.types import dtypes
from covector.numpy import elementwise as el, ordering, reduce, statistics
from covector.numpy.fused import compiled
from covector.numpy.operands import mask_of, refuse_out
from covector.numpy.promotion import lift
from covector.numpy.reduce import Axis
from covector.numpy.selection import where as choose

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _without_nan(name: str, a: Any, instead: float) -> tuple[Any, Any]:
    """The array with NaN replaced, and where it was not NaN (None if it cannot be)."""
    a = lift(name, a)
    if not dtypes.is_inexact(a.dtype):
        return a, None
    good = el.logical_not(el.isnan(a))
    return choose(good, a, a.dtype.type(instead)), good


@compiled("a", "where")
def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The sum along axes of the elements that are not NaN.

    0 if all are NaN.  Arguments are those of `sum`.

    >>> from covector import numpy as cnp
    >>> cnp.nansum(cnp.array([1.0, cnp.nan, 3.0]))
    Array(4., dtype=float32)
    """
    refuse_out("nansum", out)
    return reduce.sum(
        _without_nan("nansum", a, 0.0)[0], axis, dtype, None, keepdims, initial, where
    )


@compiled("a", "where")
def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The product along axes of the elements that are not NaN.

    1 if all are NaN.  Arguments are those of `prod`.

    >>> from covector import numpy as cnp
    >>> cnp.nanprod(cnp.array([1.0, cnp.nan, 3.0]))
    Array(3., dtype=float32)
    """
    refuse_out("nanprod", out)
    return reduce.prod(
        _without_nan("nanprod", a, 1.0)[0], axis, dtype, None, keepdims, initial, where
    )


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
    found = reduce.any(good, axis, keepdims=keepdims, where=where)
    return choose(found, out, out.dtype.type(np.nan)) if initial is None else out


@compiled("a", "where")
def nanmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element along axes that is not NaN; NaN if all are.

    ValueError if there are no elements and no `initial`.

    >>> from covector import numpy as cnp
    >>> cnp.nanmax(cnp.array([1.0, cnp.nan, 3.0]))
    Array(3., dtype=float32)
    """
    refuse_out("nanmax", out)
    return _nan_extreme("nanmax", reduce.max, a, axis, keepdims, initial, where, -np.inf)


@compiled("a", "where")
def nanmin(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element along axes that is not NaN; NaN if all are.

    ValueError if there are no elements and no `initial`.

    >>> from covector import numpy as cnp
    >>> cnp.nanmin(cnp.array([1.0, cnp.nan, 3.0]))
    Array(1., dtype=float32)
    """
    refuse_out("nanmin", out)
    return _nan_extreme("nanmin", reduce.min, a, axis, keepdims, initial, where, np.inf)


def _nan_position(
    name: str, position: Any, a: Any, axis: int | None, keepdims: bool | None, instead: float
) -> Any:
    a, good = _without_nan(name, a, instead)
    out = position(a, axis, None, keepdims)
    return out if good is None else choose(reduce.any(good, axis, keepdims=bool(keepdims)), out, -1)


@compiled("a")
def nanargmax(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """The index of the largest element that is not NaN; -1 if all are.

    As int32, into the flattened array if `axis` is None.  ValueError if there are no elements.

    >>> from covector import numpy as cnp
    >>> cnp.nanargmax(cnp.array([1.0, cnp.nan, 3.0]))
    Array(2, dtype=int32)
    """
    refuse_out("nanargmax", out)
    return _nan_position("nanargmax", reduce.argmax, a, axis, keepdims, -np.inf)


@compiled("a")
def nanargmin(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """The index of the smallest element that is not NaN; -1 if all are.

    As int32, into the flattened array if `axis` is None.  ValueError if there are no elements.

    >>> from covector import numpy as cnp
    >>> cnp.nanargmin(cnp.array([1.0, cnp.nan, 3.0]))
    Array(0, dtype=int32)
    """
    refuse_out("nanargmin", out)
    return _nan_position("nanargmin", reduce.argmin, a, axis, keepdims, np.inf)


def _good(name: str, a: Any, where: Any) -> tuple[Any, Any]:
    a, good = _without_nan(name, a, 0.0)
    where = mask_of(name, where)
    return a, good if where is None or good is None else el.logical_and(good, where)


@compiled("a", "where")
def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """The average along axes of the elements that are not NaN.

    NaN if all are NaN.  Arguments are those of `mean`.

    >>> from covector import numpy as cnp
    >>> cnp.nanmean(cnp.array([1.0, cnp.nan, 3.0]))
    Array(2., dtype=float32)
    """
    refuse_out("nanmean", out)
    a, good = _good("nanmean", a, where)
    return statistics.mean(a, axis, dtype, None, keepdims, where=where if good is None else good)


@compiled("a", "where")
def nanvar(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """The variance along axes of the elements that are not NaN.

    NaN if all are NaN.  Arguments are those of `var`.

    >>> from covector import numpy as cnp
    >>> cnp.nanvar(cnp.array([1.0, cnp.nan, 3.0]))
    Array(1., dtype=float32)
    """
    refuse_out("nanvar", out)
    a, good = _good("nanvar", a, where)
    mask = where if good is None else good
    return statistics.var(a, axis, dtype, None, ddof, keepdims, where=mask, mean=mean)


@compiled("a", "where")
def nanstd(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """The standard deviation along axes of the elements that are not NaN.

    NaN if all are NaN.  Arguments are those of `std`.

    >>> from covector import numpy as cnp
    >>> cnp.nanstd(cnp.array([1.0, cnp.nan, 3.0]))
    Array(1., dtype=float32)
    """
    refuse_out("nanstd", out)
    return el.sqrt(nanvar(a, axis, dtype, None, ddof, keepdims, where, mean))


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The sums up to each element, with NaN as 0.

    Arguments are those of `cumsum`.

    >>> from covector import numpy as cnp
    >>> cnp.nancumsum(cnp.array([1.0, cnp.nan, 3.0]))
    Array([1., 1., 4.], dtype=float32)
    """
    refuse_out("nancumsum", out)
    a = lift("nancumsum", a)
    return ordering.cumsum(choose(el.isnan(a), a.dtype.type(0), a), axis, dtype)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The products up to each element, with NaN as 1.

    Arguments are those of `cumprod`.

    >>> from covector import numpy as cnp
    >>> cnp.nancumprod(cnp.array([1.0, cnp.nan, 3.0]))
    Array([1., 1., 3.], dtype=float32)
    """
    refuse_out("nancumprod", out)
    a = lift("nancumprod", a)
    return ordering.cumprod(choose(el.isnan(a), a.dtype.type(1), a), axis, dtype)
