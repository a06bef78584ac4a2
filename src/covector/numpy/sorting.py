"""Sorting: the elements, the indices that sort them, parts of either."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy.creation import filled, iota
from covector.numpy.fused import compiled
from covector.numpy.promotion import axis_of, cast, integer_of, is_operand, lift
from covector.numpy.shape import flip, moveaxis, ravel

__all__ = ["argpartition", "argsort", "lexsort", "partition", "sort", "top_k"]


def _order(x: Any, descending: bool, dtype: np.dtype) -> tuple[Any, Any]:
    """The elements sorted along the last axis, stably, and where they came from."""
    last = x.ndim - 1
    places = iota(x.shape, dtype, last)
    if not descending:
        found, order = prims.sorted_last((x, places), 1)
        return found, order
    found, order = prims.sorted_last((flip(x, last), flip(places, last)), 1)
    return flip(found, last), flip(order, last)


def _rows(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    """The array with the axis to sort along at the end, and where that was."""
    a = lift(name, a)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    return moveaxis(a, axis, -1), axis


def _check_options(name: str, kind: Any, order: Any) -> None:
    """TypeError for NumPy's arguments that have no meaning here."""
    if kind is not None:
        raise TypeError(
            f"{name} has no kinds, got kind={kind!r}{errors.at_user_line()}: say stable=True or stable=False"
        )
    if order is not None:
        raise TypeError(
            f"{name} has no order of fields, got order={order!r}{errors.at_user_line()}"
        )


@compiled("a")
def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The elements in rising order along an axis (or of the flattened array), NaNs last.

    Complex numbers are sorted by their real parts, equal ones by the imaginary parts.

    >>> from covector import numpy as cnp
    >>> cnp.sort(cnp.array([3, 1, 2]))
    Array([1, 2, 3], dtype=int32)
    """
    _check_options("sort", kind, order)
    errors.check_flags("sort", stable=stable)
    x, axis = _rows("sort", a, axis)
    if descending:
        return moveaxis(_order(x, True, dtypes.index_dtype(x.shape[-1]))[0], -1, axis)
    return moveaxis(prims.sorted_last((x,), 1)[0], -1, axis)


@compiled("a")
def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Any:
    """The indices that sort along an axis, as int32 or `dtype`; equal elements stay in their order.

    NaNs are last.  Arguments are those of `sort`.  TypeError for a dtype that is not of integers.

    >>> from covector import numpy as cnp
    >>> cnp.argsort(cnp.array([3, 1, 2]))
    Array([1, 2, 0], dtype=int32)
    """
    _check_options("argsort", kind, order)
    errors.check_flags("argsort", stable=stable)
    x, axis = _rows("argsort", a, axis)
    wanted = dtypes.position_dtype(x.shape[-1]) if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_integer(wanted):
        raise TypeError(f"argsort gives integers, not dtype={dtype!r}{errors.at_user_line()}")
    return moveaxis(_order(x, descending, wanted)[1], -1, axis)


def lexsort(keys: Any, axis: int = -1, *, batch_size: int = 16) -> Any:
    """The indices, as int32, that sort by several keys: by the last one, equal ones by the one before it, and so on.

    `keys` are arrays of one shape, or an array whose first axis is for the keys; a row of them is sorted along
    `axis`.  TypeError for no keys at all.  All keys are sorted by at once, so `batch_size` changes nothing.

    >>> from covector import numpy as cnp
    >>> cnp.lexsort((cnp.array([1, 2, 0]), cnp.array([3, 1, 3])))
    Array([1, 2, 0], dtype=int32)
    """
    if is_operand(keys) and np.ndim(keys) > 1 and not dtypes.is_complex(keys.dtype):
        axis = axis_of(axis, keys.ndim - 1) + 1
        rows = moveaxis(flip(keys, 0), (0, axis), (-2, -1))
        return moveaxis(prims.SortOrder()(rows), -1, axis - 1)
    found = tuple([lift("lexsort", key) for key in keys])
    if not found:
        raise TypeError(f"lexsort needs at least one key{errors.at_user_line()}")
    if len({key.shape for key in found}) > 1:
        raise ValueError(
            f"lexsort needs keys of one shape, got {', '.join(typeof(k).text() for k in found)}{errors.at_user_line()}"
        )
    if not found[0].ndim:
        return filled((), 0, dtypes.position_dtype())
    axis = axis_of(axis, found[0].ndim)
    rows = [moveaxis(key, axis, -1) for key in reversed(found)]
    order = cast(prims.order_by(rows), dtypes.position_dtype(rows[0].shape[-1]))
    return moveaxis(order, -1, axis)


def _check_place(name: str, a: Any, kth: Any, axis: int) -> Any:
    """The operand of a partition; ValueError for a place that there is not."""
    a, kth = lift(name, a), integer_of(kth, "kth")
    n = a.shape[axis_of(axis, a.ndim)]
    if not -n <= kth < n:
        raise ValueError(
            f"{name}: kth={kth} is out of bounds for an axis of size {n}{errors.at_user_line()}"
        )
    return a


def partition(a: Any, kth: int, axis: int = -1) -> Any:
    """The elements along an axis so that the one at `kth` is where sorting puts it, the smaller ones before it.

    All of them come sorted here.  ValueError for a place that there is not.

    >>> from covector import numpy as cnp
    >>> cnp.partition(cnp.array([5, 1, 4, 2]), 1)[1].item()
    2
    """
    return sort(_check_place("partition", a, kth, axis), axis)


def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """The indices, as int32, of the elements as `partition` orders them.

    >>> from covector import numpy as cnp
    >>> cnp.argpartition(cnp.array([5, 1, 4, 2]), 1)[1].item()
    3
    """
    x = _check_place("argpartition", a, kth, axis)
    return argsort(x, axis, dtype=dtypes.index_dtype(x.size))


def top_k(
    a: Any, k: int, /, *, axis: int = -1, mode: str = "largest", sorted: bool = True
) -> list[Any]:
    """[the k largest elements along an axis, or with mode="smallest" the smallest, and their indices as int32].

    They come sorted, whether that is asked for or not; NaN is the largest, and of equal elements the first ones are
    taken.  ValueError if there are fewer than k, or for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.top_k(cnp.array([3, 1, 2]), 2)
    [Array([3, 2], dtype=int32), Array([0, 2], dtype=int32)]
    """
    if mode not in ("largest", "smallest"):
        raise ValueError(
            f"top_k: mode is 'largest' or 'smallest', not {mode!r}{errors.at_user_line()}"
        )
    x, axis = _rows("top_k", a, integer_of(axis, "axis"))
    k = integer_of(k, "k")
    if not 0 <= k <= x.shape[-1]:
        raise ValueError(f"top_k of {k} of {x.shape[-1]} elements{errors.at_user_line()}")
    found = prims.TopK(k)(x) if mode == "largest" else smallest(x, k)
    return [moveaxis(part, -1, axis) for part in found]


def smallest(x: Any, k: int) -> tuple[Any, Any]:
    """(the k smallest elements along the last axis, the smallest first, and their indices); NaN is the largest."""
    _, places = prims.TopK(k)(prims.not_(_ordinal(x)))
    return prims.take_along_last(x, places), places


def _ordinal(x: Any) -> Any:
    """Numbers as integers of the same order: of floats, their bits, with all NaNs the largest."""
    x = prims.convert(x, dtypes.computed_in(x.dtype)) if dtypes.is_narrow(x.dtype) else x
    if dtypes.kind(x.dtype) != "f":
        return x
    integer = np.dtype(f"i{x.dtype.itemsize}")
    zero, largest = integer.type(0), integer.type(np.iinfo(integer).max)
    bits = prims.bitcast(prims.add(x, x.dtype.type(0)), integer)  # -0 becomes 0
    rising = prims.select(prims.lt(bits, zero), prims.xor(bits, largest), bits)
    return prims.select(prims.ne(x, x), largest, rising)
