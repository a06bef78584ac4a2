"""Functions that give an array another shape or order."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import Tracer
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim
from covector.numpy.fused import compiled
from covector.numpy.promotion import (
    Shape,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    dim_of,
    integer_of,
    is_number,
    lift,
    own,
    shape_of,
    spread,
)

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "ndim",
    "permute_dims",
    "ravel",
    "reshape",
    "roll",
    "rollaxis",
    "rot90",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]


def shape(a: Any) -> Shape:
    """The lengths of the axes.

    Lists and tuples count as the arrays that `asarray` makes of them.  TypeError for what is no array or number,
    ValueError for lists that are of no shape.

    >>> from covector import numpy as cnp
    >>> cnp.shape(cnp.ones((2, 3)))
    (2, 3)
    """
    return _own("shape", a)


def _own(name: str, a: Any) -> Shape:
    """The shape of an operand, or of another thing that says that it has one, such as keys."""
    own = getattr(a, "shape", None)
    if isinstance(own, tuple):
        return own
    if isinstance(a, range):
        return (len(a),)
    if a is None:  # an argument that was left out: TensorFlow Probability asks so
        text = f"{name} of None: it is no array, and counts as one without axes, as in JAX"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
        return ()
    if not isinstance(a, list | tuple):
        return lift(name, a).shape
    shapes = {_own(name, x) for x in a} or {()}
    if len(shapes) > 1:
        raise ValueError(
            f"{name} of a list of things of the shapes {', '.join(map(str, sorted(shapes)))}{errors.at_user_line()}"
        )
    return (len(a), *shapes.pop())


def ndim(a: Any) -> int:
    """The number of axes.

    Lists and tuples count as the arrays that `asarray` makes of them.  TypeError for what is no array or number,
    ValueError for lists that are of no shape.

    >>> from covector import numpy as cnp
    >>> cnp.ndim(cnp.ones((2, 3)))
    2
    """
    return len(_own("ndim", a))


def size(a: Any, axis: int | Sequence[int] | None = None) -> Dim:
    """The number of elements, or the length of an axis (the product of several).

    Lists and tuples count as the arrays that `asarray` makes of them.  TypeError for what is no array or number,
    ValueError for lists that are of no shape.

    >>> from covector import numpy as cnp
    >>> cnp.size(cnp.ones((2, 3)))
    6
    >>> cnp.size(cnp.ones((2, 3)), axis=1)
    3
    """
    own = _own("size", a)
    return dims.product([own[i] for i in axes_of(axis, len(own))])


# ------------------------------------------------------------------------------------ one array, reshaped


def reshape(
    a: Any, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None
) -> Any:
    """The elements, in row-major order, in another shape; one -1 stands for what is left.

    `order="F"` reads and writes in column-major order.  With `copy` the result is an array of its own, even if nothing
    changes.  TypeError if the sizes differ.

    >>> from covector import numpy as cnp
    >>> cnp.reshape(cnp.arange(6), (2, -1)).shape
    (2, 3)
    """
    a = own(lift("reshape", a)) if copy else lift("reshape", a)
    new = _infer(a.shape, shape)
    if order == "F":
        reverse = transpose(a)
        return transpose(reshape(reverse, new[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f"reshape: order is 'C' or 'F', not {order!r}{errors.at_user_line()}")
    if new == a.shape:
        return a
    return prims.Reshape(new)(a)


def _infer(old: Shape, shape: Any) -> Shape:
    """The new shape, with -1 worked out; TypeError if it does not have as many elements."""
    given = (
        shape
        if isinstance(shape, Iterable) and not isinstance(shape, str) and not is_number(shape)
        else (shape,)
    )
    new = tuple([dim_of(n) for n in given])
    total = dims.product(old)
    unknown = [i for i, n in enumerate(new) if n == -1]
    if len(unknown) > 1 or any(type(n) is int and n < -1 for n in new):
        raise errors.ShapeError(
            f"reshape to {new}{errors.at_user_line()}: one dimension at most can be -1, none less"
        )
    if unknown:
        (i,) = unknown
        known = dims.product([n for n in new if n is not new[i] or n != -1])
        rest = dims.exact_quotient(total, known) if known != 0 else 0 if total == 0 else None
        if rest is None:
            raise TypeError(
                f"cannot reshape an array of shape {old} (size {total}) into {new}{errors.at_user_line()}"
            )
        new = (*new[:i], rest, *new[i + 1 :])
    if dims.product(new) != total:
        raise TypeError(
            f"cannot reshape an array of shape {old} (size {total}) into {new} (size {dims.product(new)})"
            f"{errors.at_user_line()}"
        )
    return new


def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in row-major order, on one axis.

    >>> from covector import numpy as cnp
    >>> cnp.ravel(cnp.array([[1, 2], [3, 4]]))
    Array([1, 2, 3, 4], dtype=int32)
    """
    return reshape(a, (-1,) if dims.product(lift("ravel", a).shape) != 0 else (0,), order)


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order: axis i of the result is axis `axes[i]`; reversed by default.

    ValueError unless `axes` names each axis once.

    >>> from covector import numpy as cnp
    >>> cnp.transpose(cnp.array([[1, 2], [3, 4]]))
    Array([[1, 3],
           [2, 4]], dtype=int32)
    """
    a = lift("transpose", a)
    rank = len(a.shape)
    order = tuple(range(rank))[::-1] if axes is None else axes_of(axes, rank)
    if len(order) != rank:
        raise errors.ShapeError(
            f"transpose: {order} does not name each of the {rank} axes{errors.at_user_line()}"
        )
    return a if order == tuple(range(rank)) else prims.Transpose(order)(a)


def permute_dims(a: Any, /, axes: Sequence[int]) -> Any:
    """The axes in another order: axis i of the result is axis `axes[i]`.

    ValueError unless `axes` names each axis once.

    >>> from covector import numpy as cnp
    >>> cnp.permute_dims(cnp.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged; ValueError if there are fewer.

    >>> from covector import numpy as cnp
    >>> cnp.matrix_transpose(cnp.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    x = lift("matrix_transpose", x)
    if len(x.shape) < 2:
        raise ValueError(
            f"matrix_transpose needs at least 2 dimensions, got {x.shape}{errors.at_user_line()}"
        )
    return swapaxes(x, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged.

    AxisError for an axis that is not there.

    >>> from covector import numpy as cnp
    >>> cnp.swapaxes(cnp.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    a = lift("swapaxes", a)
    i, j = axis_of(axis1, len(a.shape)), axis_of(axis2, len(a.shape))
    order = list(range(len(a.shape)))
    order[i], order[j] = j, i
    return transpose(a, order)


def moveaxis(a: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Axes in other places, the others in their order.

    AxisError for an axis that is not there.

    >>> from covector import numpy as cnp
    >>> cnp.moveaxis(cnp.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = lift("moveaxis", a)
    rank = len(a.shape)
    old, new = axes_of(source, rank, "source"), axes_of(destination, rank, "destination")
    if len(old) != len(new):
        raise ValueError(
            f"moveaxis needs as many destinations as sources, got {old} and {new}{errors.at_user_line()}"
        )
    order = [i for i in range(rank) if i not in old]
    for to, axis in sorted(zip(new, old, strict=True)):
        order.insert(to, axis)
    return transpose(a, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved back until it lies before position `start`.

    AxisError for an axis that is not there.

    >>> from covector import numpy as cnp
    >>> cnp.rollaxis(cnp.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    a = lift("rollaxis", a)
    rank = len(a.shape)
    axis = axis_of(axis, rank)
    start = rank if start == rank else axis_of(start, rank, "start")
    return moveaxis(a, axis, start - (axis < start))


def expand_dims(a: Any, axis: int | Sequence[int]) -> Any:
    """New axes of length 1, at these places of the result.

    AxisError for a place that the result does not have.

    >>> from covector import numpy as cnp
    >>> cnp.expand_dims(cnp.array([1, 2]), 0).shape
    (1, 2)
    """
    a = lift("expand_dims", a)
    count = len(axis) if isinstance(axis, Sequence) else 1
    return prims.expand_dims(a, axes_of(axis, len(a.shape) + count))


def squeeze(a: Any, axis: int | Sequence[int] | None = None) -> Any:
    """Without axes of length 1: all of them, or these; ValueError if one of these is longer.

    >>> from covector import numpy as cnp
    >>> cnp.squeeze(cnp.ones((1, 3, 1))).shape
    (3,)
    """
    a = lift("squeeze", a)
    if axis is None:
        axes = tuple([i for i, n in enumerate(a.shape) if n == 1])
    else:
        axes = axes_of(axis, len(a.shape))
        for i in axes:
            if a.shape[i] != 1:
                raise ValueError(
                    f"squeeze: axis {i} of an array of shape {a.shape} has size {a.shape[i]}, not 1"
                    f"{errors.at_user_line()}"
                )
    return prims.squeeze(a, axes)


def _at_least(rank: int, name: str, arrays: tuple[Any, ...], place: Any) -> Any:
    results = [place(lift(name, a)) for a in arrays]
    return results[0] if len(results) == 1 else tuple(results)


def atleast_1d(*arys: Any) -> Any:
    """Scalars as arrays of one element, other arrays as they are.

    Of several arrays a tuple.

    >>> from covector import numpy as cnp
    >>> cnp.atleast_1d(3)
    Array([3], dtype=int32, weak_type=True)
    """
    return _at_least(1, "atleast_1d", arys, lambda a: a if a.shape else reshape(a, (1,)))


def atleast_2d(*arys: Any) -> Any:
    """Arrays with new leading axes up to rank 2.

    Of several arrays a tuple.

    >>> from covector import numpy as cnp
    >>> cnp.atleast_2d(cnp.array([1, 2]))
    Array([[1, 2]], dtype=int32)
    """
    return _at_least(2, "atleast_2d", arys, lambda a: prims.expand_dims(a, range(2 - len(a.shape))))


def _to_3d(a: Any) -> Any:
    new = {0: (0, 1, 2), 1: (0, 2), 2: (2,)}.get(len(a.shape), ())
    return prims.expand_dims(a, new)


def atleast_3d(*arys: Any) -> Any:
    """Arrays with new axes up to rank 3: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1).

    Of several arrays a tuple.

    >>> from covector import numpy as cnp
    >>> cnp.atleast_3d(cnp.array([1, 2])).shape
    (1, 2, 1)
    """
    return _at_least(3, "atleast_3d", arys, _to_3d)


def cut(x: Any, axis: int, start: Dim, stop: Dim) -> Any:
    """The part of an array from `start` to below `stop` along an axis."""
    own = x.shape
    starts = tuple([start if i == axis else 0 for i in range(len(own))])
    limits = tuple([stop if i == axis else n for i, n in enumerate(own)])
    return prims.Slice(starts, limits, (1,) * len(own))(x)


# -------------------------------------------------------------------------------------- broadcasting


def broadcast_to(array: Any, shape: Any, *, out_sharding: None = None) -> Any:
    """The array repeated along new axes and those of length 1; ValueError if it does not fit.

    >>> from covector import numpy as cnp
    >>> cnp.broadcast_to(cnp.array([1, 2]), (2, 2))
    Array([[1, 2],
           [1, 2]], dtype=int32)
    """
    array = lift("broadcast_to", array)
    new = shape_of(shape)
    old = array.shape
    if len(old) > len(new) or any(
        n not in (1, m) for n, m in zip(old[::-1], new[::-1], strict=False)
    ):
        raise ValueError(
            f"an array of shape {old} cannot be broadcast to {new}{errors.at_user_line()}: aligned at the last axis, "
            "its sizes must be equal to the new ones, or 1"
        )
    return spread(array, new)


def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """The arrays, each in the shape that they take together.

    ValueError if they do not fit together.

    >>> from covector import numpy as cnp
    >>> cnp.broadcast_arrays(cnp.array([1, 2]), cnp.array([[3], [4]]))
    (Array([[1, 2],
           [1, 2]], dtype=int32), Array([[3, 3],
           [4, 4]], dtype=int32))
    """
    arrays = [lift("broadcast_arrays", a) for a in args]
    common = broadcast_shapes(*[a.shape for a in arrays])
    return tuple([spread(a, common) for a in arrays])


# --------------------------------------------------------------------------------- turning and moving


@compiled("m")
def flip(m: Any, axis: int | Sequence[int] | None = None) -> Any:
    """The elements in the opposite order, along an axis, several, or all.

    AxisError for an axis that is not there.

    >>> from covector import numpy as cnp
    >>> cnp.flip(cnp.array([[1, 2], [3, 4]]), axis=1)
    Array([[2, 1],
           [4, 3]], dtype=int32)
    """
    m = lift("flip", m)
    return prims.Reverse(axes_of(axis, len(m.shape)))(m)


def flipud(m: Any) -> Any:
    """The rows in the opposite order.

    ValueError for an array of shape ().

    >>> from covector import numpy as cnp
    >>> cnp.flipud(cnp.array([[1, 2], [3, 4]]))
    Array([[3, 4],
           [1, 2]], dtype=int32)
    """
    return flip(m, 0)


def fliplr(m: Any) -> Any:
    """The columns in the opposite order.

    ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.fliplr(cnp.array([[1, 2], [3, 4]]))
    Array([[2, 1],
           [4, 3]], dtype=int32)
    """
    return flip(m, 1)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by k right angles, from the first of the two axes to the second.

    ValueError unless the two axes are different ones.

    >>> from covector import numpy as cnp
    >>> cnp.rot90(cnp.array([[1, 2], [3, 4]]))
    Array([[2, 4],
           [1, 3]], dtype=int32)
    """
    m = lift("rot90", m)
    chosen = () if axes is None else axes_of(axes, len(m.shape))
    if len(chosen) != 2:
        raise errors.ShapeError(
            f"rot90: axes is {axes!r}{errors.at_user_line()}; it names two axes"
        )
    i, j = chosen
    k = integer_of(k, "k") % 4
    if k == 2:
        return flip(m, (i, j))
    if k == 0:
        return m
    return swapaxes(flip(m, j), i, j) if k == 1 else flip(swapaxes(m, i, j), j)


def _paired(name: str, axes: tuple[int, ...], shift: Any) -> tuple[Sequence[int], Sequence[int]]:
    """Axes and how far along each: one of either serves for several of the other.  ValueError for other counts."""
    shifts = tuple([integer_of(s, "shift") for s in (shift if np.ndim(shift) else [shift])])
    n = len(axes) if len(shifts) == 1 else len(shifts)
    if len(axes) not in (1, n):
        raise ValueError(
            f"{name}: {len(shifts)} shifts for {len(axes)} axes, {axes}{errors.at_user_line()}"
        )
    return axes * (n if len(axes) == 1 else 1), shifts * (n if len(shifts) == 1 else 1)


def roll(a: Any, shift: Any, axis: int | Sequence[int] | None = None) -> Any:
    """Elements moved along an axis (several, or flattened); those pushed off the end come back at the start.

    Shape and dtype stay.  A shift may be traced.

    >>> from covector import numpy as cnp
    >>> cnp.roll(cnp.array([1, 2, 3]), 1)
    Array([3, 1, 2], dtype=int32)
    """
    a = lift("roll", a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    axes = (
        axes_of(axis, len(a.shape))
        if not isinstance(axis, Iterable)
        else tuple([axis_of(i, len(a.shape)) for i in axis])
    )
    if isinstance(shift, Tracer):
        return _roll_traced(a, shift, axes)
    for i, s in zip(*_paired("roll", axes, shift), strict=True):
        n = a.shape[i]
        if n == 0:
            continue
        place = dims.mod(int(s), n)
        if place != 0:
            a = prims.Concatenate(i)(cut(a, i, n - place, n), cut(a, i, 0, n - place))
    return a


def _roll_traced(a: Any, shift: Any, axes: tuple[int, ...]) -> Any:
    """By a shift that is data: a window of the array written twice."""
    for k, i in enumerate(axes):
        n = a.shape[i]
        by = shift if not shift.shape else prims.squeeze(cut(shift, 0, k, k + 1), (0,))
        wide = by.dtype in (dtypes.int64, dtypes.uint64, dtypes.uint32)
        dtype = dtypes.int64 if wide else dtypes.index_dtype(2 * n)
        zero, length = dtype.type(0), dtype.type(n)
        by = prims.rem(cast(by, dtype), length)
        by = prims.select(prims.lt(by, zero), prims.add(by, length), by)
        starts = [prims.sub(length, by) if j == i else zero for j in range(len(a.shape))]
        a = prims.DynamicSlice(a.shape)(prims.Concatenate(i)(a, a), *starts)
    return a
