"""Functions that put arrays together, take them apart, repeat and pad them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.core import trace
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim
from covector.numpy.operands import beside, converted, refuse_out, together
from covector.numpy.promotion import (
    Array,
    axis_of,
    cast,
    dim_of,
    integer_of,
    lift,
    shape_of,
    spread,
)
from covector.numpy.shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    cut,
    ndim,
    ravel,
    reshape,
    transpose,
)

__all__ = [
    "append",
    "array_split",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "repeat",
    "resize",
    "split",
    "stack",
    "tile",
    "unstack",
    "vsplit",
    "vstack",
]

# ------------------------------------------------------------------------------------------- joining


def _several(name: str, arrays: Any, dtype: Any = None) -> list[Any]:
    """The arrays of a sequence, or along the first axis of one array; in the dtype they have together, or this one."""
    if type(arrays) is Array or isinstance(arrays, Tracer | np.ndarray):
        arrays = unstack(arrays)
    if not isinstance(arrays, Iterable):
        raise TypeError(
            f"{name} takes a sequence of arrays, got {arrays!r} of type {type(arrays).__name__}"
            f"{errors.at_user_line()}"
        )
    xs = list(arrays)
    if not xs:
        raise ValueError(f"{name} needs at least one array{errors.at_user_line()}")
    if dtype is None:
        return together(name, "any", *xs)
    wanted = dtypes.as_dtype(dtype)
    return [
        lift(name, cast(x, wanted)) if type(x) in SCALARS else converted(lift(name, x), wanted)
        for x in xs
    ]


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """Arrays one after another along an axis; with None, flattened first.

    Their shapes agree in all other axes (TypeError if not); the dtype is the one they promote to.

    >>> from covector import numpy as cnp
    >>> cnp.concatenate([cnp.zeros(2), cnp.ones(1)])
    Array([0., 0., 1.], dtype=float32)
    """
    xs = _several("concatenate", arrays, dtype)
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    if not xs[0].shape:
        raise ValueError(
            f"arrays of shape () cannot be concatenated{errors.at_user_line()}; use stack"
        )
    axis = axis_of(axis, len(xs[0].shape))
    return xs[0] if len(xs) == 1 else prims.Concatenate(axis)(*xs)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """Arrays one after another along an axis; with None, flattened first.

    TypeError if the other axes differ, ValueError if there are none; the dtype is the promoted one.

    >>> from covector import numpy as cnp
    >>> cnp.concat([cnp.array([1, 2]), cnp.array([3])])
    Array([1, 2, 3], dtype=int32)
    """
    return concatenate(arrays, axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """Arrays of one shape along a new axis; ValueError if the shapes differ.

    The dtype is the promoted one unless one is given.

    >>> from covector import numpy as cnp
    >>> cnp.stack([cnp.array([1, 2]), cnp.array([3, 4])], axis=1)
    Array([[1, 3],
           [2, 4]], dtype=int32)
    """
    refuse_out("stack", out)
    xs = _several("stack", arrays, dtype)
    first = xs[0].shape
    for x in xs:
        if x.shape != first:
            raise ValueError(
                f"stack needs arrays of one shape, got {first} and {x.shape}{errors.at_user_line()}"
            )
    axis = axis_of(axis, len(first) + 1)
    return concatenate([prims.expand_dims(x, (axis,)) for x in xs], axis)


def vstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays on top of each other: along the first axis, vectors as rows.

    TypeError if the other axes differ; the dtype is the promoted one unless one is given.

    >>> from covector import numpy as cnp
    >>> cnp.vstack([cnp.array([1, 2]), cnp.array([3, 4])])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    return concatenate([atleast_2d(a) for a in _several("vstack", tup, dtype)], 0)


def hstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays beside each other: along the second axis; vectors end to end.

    TypeError if the other axes differ; the dtype is the promoted one unless one is given.

    >>> from covector import numpy as cnp
    >>> cnp.hstack([cnp.array([1, 2]), cnp.array([3])])
    Array([1, 2, 3], dtype=int32)
    """
    xs = [atleast_1d(a) for a in _several("hstack", tup, dtype)]
    return concatenate(xs, 0 if len(xs[0].shape) == 1 else 1)


def dstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays behind each other: along the third axis.

    Arrays with fewer than three axes get new ones.  TypeError if the other axes differ.

    >>> from covector import numpy as cnp
    >>> cnp.dstack([cnp.array([1, 2]), cnp.array([3, 4])])
    Array([[[1, 3],
            [2, 4]]], dtype=int32)
    """
    return concatenate([atleast_3d(a) for a in _several("dstack", tup, dtype)], 2)


def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix; matrices beside each other.

    TypeError if the lengths differ; the dtype is the promoted one.

    >>> from covector import numpy as cnp
    >>> cnp.column_stack([cnp.array([1, 2]), cnp.array([3, 4])])
    Array([[1, 3],
           [2, 4]], dtype=int32)
    """
    xs = [
        transpose(atleast_2d(a)) if len(a.shape) < 2 else a for a in _several("column_stack", tup)
    ]
    return concatenate(xs, 1)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` after `arr` along an axis; with None, both flattened.

    TypeError if the other axes differ; the dtype is the promoted one.

    >>> from covector import numpy as cnp
    >>> cnp.append(cnp.array([1, 2]), cnp.array([3.5]))
    Array([1. , 2. , 3.5], dtype=float32)
    """
    return concatenate([arr, values], axis)


# ----------------------------------------------------------------------------------------- splitting


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The arrays along an axis, which is gone from them.

    ValueError for an array of shape ().

    >>> from covector import numpy as cnp
    >>> cnp.unstack(cnp.array([[1, 2], [3, 4]]))
    (Array([1, 2], dtype=int32), Array([3, 4], dtype=int32))
    """
    x = lift("unstack", x)
    if not x.shape:
        raise ValueError(f"unstack needs at least one dimension{errors.at_user_line()}")
    axis = axis_of(axis, len(x.shape))
    count = operator.index(x.shape[axis])
    if type(x) is Array and not trace.current().staging:
        rows = np.moveaxis(np.asarray(x), axis, 0)
        return tuple(
            [beside((x,), _native.array_from(rows[i], None, x.weak_type)) for i in range(count)]
        )
    return tuple([prims.squeeze(cut(x, axis, i, i + 1), (axis,)) for i in range(count)])


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts along an axis: so many, of about the same length, or cut at these indices.

    Parts of unequal length differ by one, the longer ones first.  ValueError for fewer than one part.

    >>> from covector import numpy as cnp
    >>> cnp.array_split(cnp.arange(5), 2)
    [Array([0, 1, 2], dtype=int32), Array([3, 4], dtype=int32)]
    """
    ary = lift("split", ary)
    axis = axis_of(axis, len(ary.shape))
    length = ary.shape[axis]
    if isinstance(indices_or_sections, Iterable):
        inner = [
            _clamped(integer_of(i, "a place to split at"), length) for i in indices_or_sections
        ]
        points = [0, *inner, length]
    else:
        count = integer_of(indices_or_sections, "the number of sections")
        if count <= 0:
            raise ValueError(
                f"split into {count} parts{errors.at_user_line()}: there must be at least 1"
            )
        each, extra = dims.floordiv(length, count), dims.mod(length, count)
        points = [each * i + dims.minimum(i, extra) for i in range(count + 1)]
    return [cut(ary, axis, a, dims.maximum(a, b)) for a, b in pairwise(points)]


def _clamped(i: int, length: Dim) -> Dim:
    if i < 0:
        return dims.maximum(length + i, 0)
    return dims.minimum(i, length)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts along an axis: so many equal ones (ValueError if that does not divide), or cut at these indices.

    >>> from covector import numpy as cnp
    >>> cnp.split(cnp.arange(4), 2)
    [Array([0, 1], dtype=int32), Array([2, 3], dtype=int32)]
    >>> cnp.split(cnp.arange(4), [1])
    [Array([0], dtype=int32), Array([1, 2, 3], dtype=int32)]
    """
    ary = lift("split", ary)
    if not isinstance(indices_or_sections, Iterable):
        length = ary.shape[axis_of(axis, len(ary.shape))]
        if dims.mod(length, integer_of(indices_or_sections, "the number of sections")) != 0:
            raise ValueError(
                f"split: axis {axis} of size {length} cannot be divided into {indices_or_sections} equal parts"
                f"{errors.at_user_line()}; use array_split"
            )
    return array_split(ary, indices_or_sections, axis)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis.

    As `split`.

    >>> from covector import numpy as cnp
    >>> cnp.vsplit(cnp.array([[1, 2], [3, 4]]), 2)
    [Array([[1, 2]], dtype=int32), Array([[3, 4]], dtype=int32)]
    """
    return split(ary, indices_or_sections, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the second axis; of vectors along the first.

    As `split`; ValueError for an array of shape ().

    >>> from covector import numpy as cnp
    >>> cnp.hsplit(cnp.array([[1, 2], [3, 4]]), 2)
    [Array([[1],
           [3]], dtype=int32), Array([[2],
           [4]], dtype=int32)]
    """
    return split(ary, indices_or_sections, 0 if ndim(ary) == 1 else 1)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the third axis.

    As `split`; ValueError for an array with fewer than three axes.

    >>> from covector import numpy as cnp
    >>> [part.shape for part in cnp.dsplit(cnp.ones((1, 2, 4)), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    return split(ary, indices_or_sections, 2)


# ----------------------------------------------------------------------------------------- repeating


def tile(A: Any, reps: int | Sequence[int]) -> Any:
    """The array repeated as a whole, so often along each axis.

    >>> from covector import numpy as cnp
    >>> cnp.tile(cnp.array([1, 2]), (2, 2))
    Array([[1, 2, 1, 2],
           [1, 2, 1, 2]], dtype=int32)
    """
    a = lift("tile", A)
    counts = tuple(reps) if isinstance(reps, Iterable) else (reps,)
    counts = (1,) * (len(a.shape) - len(counts)) + tuple([dim_of(n) for n in counts])
    a = prims.expand_dims(a, range(len(counts) - len(a.shape)))
    if all(n == 1 for n in counts):
        return a
    if all(n == 1 for n in a.shape):
        return spread(a, counts)
    old = a.shape
    between = tuple([n for pair in zip(counts, old, strict=True) for n in pair])
    spread_out = prims.Broadcast(between, tuple(range(0, len(between), 2)))(a)
    return prims.Reshape(tuple([n * m for n, m in zip(counts, old, strict=True)]))(spread_out)


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """Each element so often, along an axis or flattened; `repeats` is an int, or ints for each element.

    With `total_repeat_length` the result has that length, whatever there is more is cut off, and the last element
    fills what is missing; then `repeats` may be traced, else they must be concrete.  ValueError if there are not as
    many `repeats` as elements along the axis.

    >>> from covector import numpy as cnp
    >>> cnp.repeat(cnp.array([1, 2]), 2)
    Array([1, 1, 2, 2], dtype=int32)
    >>> cnp.repeat(cnp.array([1, 2]), [1, 3])
    Array([1, 2, 2, 2], dtype=int32)
    """
    a = lift("repeat", a)
    if axis is None:
        a, axis = ravel(a), 0
    elif not a.shape:
        a = reshape(a, (1,))
    axis = axis_of(axis, len(a.shape))
    if total_repeat_length is not None:
        return _repeat_to(a, repeats, axis, integer_of(total_repeat_length, "total_repeat_length"))
    count = np.asarray(repeats)
    if count.dtype.kind not in "iub" and count.size:
        raise TypeError(
            f"repeat: repeats are integers, got {repeats!r} of {count.dtype}{errors.at_user_line()}"
        )
    if count.ndim and count.size != 1:
        return _repeat_each(a, count, axis)
    n = int(count.reshape(-1)[0])
    if n < 0:
        raise ValueError(f"repeat: repeats must not be negative, got {n}{errors.at_user_line()}")
    old = a.shape
    spread_out = prims.Broadcast((*old[: axis + 1], n, *old[axis + 1 :]), (axis + 1,))(a)
    return prims.Reshape((*old[:axis], old[axis] * n, *old[axis + 1 :]))(spread_out)


def _repeat_to(a: Any, repeats: Any, axis: int, total: int) -> Any:
    """So many places, each with the element that it belongs to: the last of those that have begun."""
    n = a.shape[axis]
    counts = lift("repeat", repeats)
    if not dtypes.is_integer(counts.dtype) or counts.shape not in ((), (1,), (n,)):
        raise errors.DtypeError(
            f"repeat: repeats of {typeof(counts).text()} for axis {axis} of size {n}{errors.at_user_line()}; it takes "
            "an integer, or one for each element"
        )
    if n == 0 or total == 0:
        return prims.full((*a.shape[:axis], total, *a.shape[axis + 1 :]), 0, a.dtype)
    counts = prims.Convert(dtypes.index_dtype(n, total))(spread(counts, (n,)))
    starts = prims.sub(prims.CumSum(0)(counts), counts)
    begun = prims.full((total,), 0, counts.dtype).at[starts].add(1, mode="drop")
    element = prims.sub(prims.CumSum(0)(begun), counts.dtype.type(1))
    return a.take(element, axis, mode="clip")


def _repeat_each(a: Any, counts: np.ndarray, axis: int) -> Any:
    if counts.shape != (a.shape[axis],):
        raise ValueError(
            f"repeat: {counts.size} counts for axis {axis} of size {a.shape[axis]}{errors.at_user_line()}"
        )
    if counts.size and counts.min() < 0:
        raise ValueError(
            f"repeat: repeats must not be negative, got {counts.min()}{errors.at_user_line()}"
        )
    return a.take(np.repeat(np.arange(counts.size), counts.astype(int)), axis, mode="clip")


def resize(a: Any, new_shape: Any) -> Any:
    """The elements, repeated as often as needed, in another shape.

    ValueError for a negative length.

    >>> from covector import numpy as cnp
    >>> cnp.resize(cnp.array([1, 2, 3]), (2, 2))
    Array([[1, 2],
           [3, 1]], dtype=int32)
    """
    a, new = ravel(a), shape_of(new_shape)
    total = dims.product(new)
    if a.shape[0] == 0 or total == 0:
        return prims.full(new, 0, a.dtype)
    copies = -(-total // a.shape[0])
    return reshape(cut(tile(a, copies), 0, 0, total), new)
