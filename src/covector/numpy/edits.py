"""Arrays with elements put in, taken out, chosen or replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import array, asarray, iota
from covector.numpy.index_plan import from_front
from covector.numpy.join import concatenate, repeat, resize
from covector.numpy.operands import converted, refuse_out, together
from covector.numpy.promotion import (
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    from_numpy,
    integer_of,
    lift,
    spread,
)
from covector.numpy.selection import clip, known, places_where, where
from covector.numpy.shape import cut, moveaxis, ravel, reshape
from covector.numpy.sorting import argsort, sort
from covector.numpy.take import take

__all__ = [
    "choose",
    "compress",
    "delete",
    "extract",
    "fill_diagonal",
    "insert",
    "place",
    "put",
    "put_along_axis",
    "trim_zeros",
]


# ------------------------------------------------------------------------------------------ choosing


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Any:
    """The slices along an axis (or elements of the flattened array) where a vector of conditions is not zero.

    With `size` there are so many, the last ones `fill_value` if need be; without it the conditions must be concrete.
    ValueError if one holds that is behind the end.

    >>> from covector import numpy as cnp
    >>> cnp.compress(cnp.array([True, False, True]), cnp.array([5, 6, 7]))
    Array([5, 7], dtype=int32)
    """
    refuse_out("compress", out)
    return _compress("compress", condition, a, axis, size, fill_value)


def _compress(
    name: str, condition: Any, a: Any, axis: int | None, size: int | None, fill_value: Any
) -> Any:
    a, mask = lift(name, a), lift(name, asarray(condition))
    if mask.ndim != 1:
        raise ValueError(
            f"{name}: the condition has shape {mask.shape}{errors.at_user_line()}, it must be a vector"
        )
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    mask = cast(mask, dtypes.bool_)
    n = min(a.shape[axis], mask.shape[0])
    if size is None:
        held = known(name, mask, "give the number of results, as size=...")
        if held[n:].any():
            raise ValueError(
                f"{name}: a condition holds behind the end of an axis of length {n}{errors.at_user_line()}"
            )
        places = from_numpy(name, np.flatnonzero(held), dtypes.index_dtype(n))
        return take(a, places, axis, mode="clip")
    size = integer_of(size, "size")
    places = places_where(cut(mask, 0, 0, n), size, n)
    there = reshape(el.less(places, n), tuple([-1 if i == axis else 1 for i in range(a.ndim)]))
    found = take(a, places, axis, mode="clip") if n else spread_like(a, axis, size)
    return where(there, found, cast(lift(name, fill_value), a.dtype))


def spread_like(a: Any, axis: int, size: int) -> Any:
    """Zeros in the shape of an array, but for an axis of another length."""
    return prims.full((*a.shape[:axis], size, *a.shape[axis + 1 :]), 0, a.dtype)


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements of an array where a condition of as many elements is not zero, as a vector.

    `size`, `fill_value` and errors are those of `compress`.

    >>> from covector import numpy as cnp
    >>> x = cnp.array([[5, 6], [7, 8]])
    >>> cnp.extract(x > 5, x)
    Array([6, 7, 8], dtype=int32)
    """
    return _compress("extract", ravel(condition), ravel(arr), None, size, fill_value)


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """For each element of integers the element at its place of the array that it counts among the choices.

    All broadcast together.  Numbers without a choice raise ValueError, for which they must be concrete; with mode
    'wrap' they count round, with 'clip' the nearest is meant.

    >>> from covector import numpy as cnp
    >>> cnp.choose(cnp.array([0, 1, 0]), [cnp.array([1, 2, 3]), 9])
    Array([1, 9, 3], dtype=int32)
    """
    refuse_out("choose", out)
    a = lift("choose", a)
    if dtypes.is_inexact(a.dtype):
        raise errors.DtypeError(
            f"choose takes integers, got {typeof(a).text()}{errors.at_user_line()}"
        )
    options = together("choose", "any", *choices)
    n = len(options)
    if mode == "raise":
        values = known("choose", a, "use mode='clip' or mode='wrap'")
        if ((values < 0) | (values >= n)).any():
            raise ValueError(f"choose: a number is not in 0 to {n - 1}{errors.at_user_line()}")
    elif mode not in ("wrap", "clip"):
        raise ValueError(
            f"choose: mode {mode!r}{errors.at_user_line()}; there are 'raise', 'wrap' and 'clip'"
        )
    i = cast(a, dtypes.int32) if a.dtype == dtypes.bool_ else a
    i = el.remainder(i, n) if mode == "wrap" else clip(i, 0, n - 1)
    shape = broadcast_shapes(i.shape, *[x.shape for x in options])
    i, options = spread(i, shape), [spread(x, shape) for x in options]
    result = options[0]
    for k in range(1, n):
        result = where(el.equal(i, k), options[k], result)
    return result


# ------------------------------------------------------------------------------- taking out, putting in


def delete(
    arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False
) -> Any:
    """The array without slices along an axis (or elements of the flattened array): those at an index, of a slice,
    at several indices, or where a vector of bool holds.

    One index may be traced, several with `assume_unique_indices`, which promises that none is there twice.
    IndexError for an index out of bounds.

    >>> from covector import numpy as cnp
    >>> cnp.delete(cnp.array([5, 6, 7]), 1)
    Array([5, 7], dtype=int32)
    """
    a = lift("delete", arr)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    n = a.shape[axis]
    if isinstance(obj, slice):
        return _without(a, axis, np.arange(n)[obj])
    gone = asarray(obj) if isinstance(obj, Sequence) else lift("delete", obj)
    if gone.dtype == dtypes.bool_ and gone.ndim == 1:
        held = known("delete", gone, "use where(mask, x, y)")
        if held.shape != (n,):
            raise ValueError(
                f"delete: a mask of shape {held.shape} for an axis of length {n}{errors.at_user_line()}"
            )
        return _without(a, axis, np.flatnonzero(held))
    if gone.size and not dtypes.is_integer(gone.dtype):
        raise TypeError(
            f"delete takes integer indices, got {typeof(gone).text()}{errors.at_user_line()}"
        )
    unknown = isinstance(gone, Tracer) and gone.concrete() is None
    if unknown and (gone.ndim == 0 or gone.size == 1 or assume_unique_indices):
        return _without_traced(a, axis, ravel(gone))
    places = known("delete", gone, "promise that none is there twice: assume_unique_indices=True")
    if places.size and not (-n <= places.min() and places.max() < n):
        raise IndexError(
            f"delete: an index is out of bounds for an axis of length {n}{errors.at_user_line()}"
        )
    return _without(a, axis, places.astype(np.int64))


def _without(a: Any, axis: int, places: np.ndarray) -> Any:
    keep = np.ones(a.shape[axis], bool)
    keep[places] = False
    rest = from_numpy("delete", np.flatnonzero(keep), dtypes.index_dtype(len(keep)))
    return take(a, rest, axis, mode="clip")


def _without_traced(a: Any, axis: int, gone: Any) -> Any:
    """Without so many places, all different: the i-th that stays is as far behind as there are gone before it."""
    n, count = a.shape[axis], gone.shape[0]
    gone = sort(from_front(cast(gone, dtypes.int32), n))
    shifted = el.subtract(gone, iota((count,), gone.dtype, 0))
    i = iota((n - count,), dtypes.int32, 0)
    before = el.greater_equal(prims.expand_dims(i, (0,)), prims.expand_dims(shifted, (1,)))
    return take(a, el.add(i, reduce.sum(before, 0)), axis, mode="clip")


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with slices along an axis (or elements of the flattened array) put in before indices, or a slice's.

    One index takes any number of values, which stay together.  Indices count in the old array.

    >>> from covector import numpy as cnp
    >>> cnp.insert(cnp.array([5, 6, 7]), cnp.array([1, 3]), cnp.array([8, 9]))
    Array([5, 8, 6, 7, 9], dtype=int32)
    """
    a = lift("insert", arr)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    n = a.shape[axis]
    if isinstance(obj, slice):
        places = from_numpy("insert", np.arange(n)[obj], dtypes.index_dtype(n))
    else:
        places = asarray(obj) if isinstance(obj, Sequence) else lift("insert", obj)
    if places.ndim > 1:
        raise ValueError(
            f"insert: indices of shape {places.shape}{errors.at_user_line()}, they must be a number or a vector"
        )
    if places.size and not dtypes.is_integer(places.dtype):
        raise TypeError(
            f"insert takes integer indices, got {typeof(places).text()}{errors.at_user_line()}"
        )
    new = converted(array(values, ndmin=a.ndim), a.dtype, a.weak_type)
    if places.ndim == 0:
        new = moveaxis(new, 0, axis)
    at = ravel(cast(places, dtypes.int32))
    if at.shape[0] == 1:
        at = repeat(at, new.shape[axis], total_repeat_length=new.shape[axis])
    count = at.shape[0]
    new = spread(new, (*a.shape[:axis], count, *a.shape[axis + 1 :]))
    at = clip(where(el.less(at, 0), el.add(at, n), at), 0, n)
    order = argsort(at)
    at = at.at[order].add(iota((count,), at.dtype, 0), unique_indices=True)
    old = prims.full((n + count,), True, dtypes.bool_).at[at].set(False)
    from_old = prims.sub(prims.CumSum(0)(prims.Convert(at.dtype)(old)), np.int32(1))
    from_new = prims.full((n + count,), 0, at.dtype)
    from_new = from_new.at[at].set(iota((count,), at.dtype, 0), unique_indices=True)
    source = where(old, from_old, el.add(from_new, n))
    return take(concatenate([a, new], axis), source, axis, mode="clip")


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """The array without the zeros at its ends, along one axis, several, or all: 'f' in front, 'b' behind.

    Where that is depends on the values, so the array must be concrete.  ValueError for another `trim`.

    >>> from covector import numpy as cnp
    >>> cnp.trim_zeros(cnp.array([0, 1, 0, 2, 0]))
    Array([1, 0, 2], dtype=int32)
    """
    a = lift("trim_zeros", asarray(filt) if isinstance(filt, Sequence) else filt)
    way = str(trim).lower()
    if way not in ("f", "b", "fb", "bf"):
        raise ValueError(
            f"trim_zeros: trim is {trim!r}{errors.at_user_line()}; it is 'f', 'b' or 'fb'"
        )
    held = np.nonzero(known("trim_zeros", a, "cut it at known places"))
    for i in axes_of(axis, a.ndim):
        n = a.shape[i]
        if held[i].size == 0:
            a = cut(a, i, 0, 0)
            continue
        first = int(held[i].min()) if "f" in way else 0
        a = cut(a, i, first, int(held[i].max()) + 1 if "b" in way else n)
    return a


# ---------------------------------------------------------------------------------------- replacing


def _not_in_place(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"{name} cannot change an array{errors.at_user_line()}: arrays are immutable. Pass inplace=False, and it "
            "returns the changed array"
        )


def _cycled(name: str, values: Any, count: Any) -> Any:
    """The elements as a vector of a length, from the first again if there are fewer."""
    values = ravel(values)
    if values.shape[0] == 0 and count:
        raise ValueError(f"{name}: there are no values to put{errors.at_user_line()}")
    return resize(values, (count,)) if values.shape[0] != count else values


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """The array with values at indices into the flattened array; from the first again if there are fewer.

    Indices out of bounds mean the nearest element ('clip', the default), or count round ('wrap').  ValueError unless
    `inplace=False`: arrays cannot be changed.

    >>> from covector import numpy as cnp
    >>> cnp.put(cnp.array([1, 2, 3]), cnp.array([0, -1]), 9, inplace=False)
    Array([9, 2, 9], dtype=int32)
    """
    _not_in_place("put", inplace)
    a, places = lift("put", a), ravel(ind)
    if mode == "raise":
        raise NotImplementedError(
            f"put with mode='raise'{errors.at_user_line()}: use mode='clip' or mode='wrap'"
        )
    if mode not in (None, "clip", "wrap"):
        raise ValueError(f"put: mode {mode!r}{errors.at_user_line()}; there are 'clip' and 'wrap'")
    if places.shape[0] == 0:
        return a
    values = cast(_cycled("put", v, places.shape[0]), a.dtype)
    places = el.remainder(places, a.size) if mode == "wrap" else places
    return reshape(ravel(a).at[places].set(values, mode="clip"), a.shape)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """The array with values where a mask of as many elements is not zero, in order; from the first again if fewer.

    ValueError unless `inplace=False`: arrays cannot be changed; or if there are no values.

    >>> from covector import numpy as cnp
    >>> x = cnp.array([1, 2, 3])
    >>> cnp.place(x, x > 1, cnp.array([8, 9]), inplace=False)
    Array([1, 8, 9], dtype=int32)
    """
    _not_in_place("place", inplace)
    a, mask, values = lift("place", arr), ravel(mask), ravel(vals)
    if mask.shape[0] != a.size:
        raise ValueError(
            f"place: a mask of {mask.shape[0]} elements for an array of shape {a.shape}{errors.at_user_line()}"
        )
    if a.size == 0:
        return a
    mask = cast(mask, dtypes.bool_)
    values = cast(_cycled("place", values, a.size), a.dtype)
    rank = prims.sub(prims.CumSum(0)(prims.Convert(dtypes.int32)(mask)), np.int32(1))
    return reshape(where(mask, take(values, rank, mode="clip"), ravel(a)), a.shape)


def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: Any = None,
) -> Any:
    """The array with values at the places that indices name along an axis: what `take_along_axis` reads.

    Values broadcast to the shape of the indices.  ValueError unless `inplace=False`: arrays cannot be changed.

    >>> from covector import numpy as cnp
    >>> cnp.put_along_axis(cnp.array([[1, 2]]), cnp.array([[1]]), 9, axis=1, inplace=False)
    Array([[1, 9]], dtype=int32)
    """
    _not_in_place("put_along_axis", inplace)
    a, i = lift("put_along_axis", arr), lift("put_along_axis", indices)
    if not dtypes.is_integer(i.dtype):
        raise TypeError(
            f"put_along_axis takes integer indices, got {typeof(i).text()}{errors.at_user_line()}"
        )
    shape = a.shape
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_of(axis, a.ndim)
    if i.ndim != a.ndim:
        raise ValueError(
            f"put_along_axis: indices of shape {i.shape} for an array of shape {a.shape}{errors.at_user_line()}; "
            "they need the same number of dimensions"
        )
    grid = broadcast_shapes(i.shape, tuple([1 if k == axis else n for k, n in enumerate(a.shape)]))
    index = tuple(
        [spread(i, grid) if k == axis else iota(grid, dtypes.int32, k) for k in range(a.ndim)]
    )
    return reshape(a.at[index].set(cast(lift("put_along_axis", values), a.dtype), mode=mode), shape)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """The array with values on its diagonal, one after another and from the first again.

    Of a matrix, or of an array whose axes all have one length (ValueError).  With `wrap` the diagonal of a tall matrix
    starts again below its end, one row apart.  ValueError unless `inplace=False`: arrays cannot be changed.

    >>> from covector import numpy as cnp
    >>> cnp.fill_diagonal(cnp.zeros((2, 2)), 5, inplace=False)
    Array([[5., 0.],
           [0., 5.]], dtype=float32)
    """
    _not_in_place("fill_diagonal", inplace)
    a = lift("fill_diagonal", a)
    if a.ndim < 2 or (a.ndim > 2 and len(set(a.shape)) != 1):
        raise ValueError(
            f"fill_diagonal takes a matrix, or axes of one length, got shape {a.shape}{errors.at_user_line()}"
        )
    if a.size == 0:
        return a
    if a.ndim == 2:
        step = a.shape[1] + 1
        stop = a.size if wrap else min(a.size, a.shape[1] * a.shape[1])
    else:
        step, stop = sum(int(np.prod(a.shape[i + 1 :])) for i in range(a.ndim)), a.size
    places = np.arange(0, stop, step)
    values = cast(_cycled("fill_diagonal", asarray(val), len(places)), a.dtype)
    index = from_numpy("fill_diagonal", places, dtypes.index_dtype(a.size))
    return reshape(ravel(a).at[index].set(values, unique_indices=True), a.shape)
