"""Making and moving: constants, shapes, slices, joining, dtypes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors, tree
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim
from covector.lax.operands import array, operands
from covector.numpy import creation
from covector.numpy.dtype import is_of_keys, result_type
from covector.numpy.join import tile as _tile
from covector.numpy.operands import converted
from covector.numpy.promotion import (
    Array,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    dim_of,
    integer_of,
    is_operand,
    shape_of,
    type_key,
    whole,
)
from covector.numpy.views import joined, parted

__all__ = [
    "bitcast_convert_type",
    "broadcast",
    "broadcast_in_dim",
    "broadcast_shapes",
    "broadcast_to_rank",
    "broadcasted_iota",
    "collapse",
    "concatenate",
    "convert_element_type",
    "dtype",
    "empty",
    "expand_dims",
    "full",
    "full_like",
    "index_in_dim",
    "iota",
    "pad",
    "reshape",
    "rev",
    "slice",
    "slice_in_dim",
    "split",
    "squeeze",
    "stack",
    "stop_gradient",
    "tile",
    "transpose",
    "unstack",
]

# ---------------------------------------------------------------------------------------- new values


def full(shape: Any, fill_value: Any, dtype: Any = None, *, sharding: Any = None) -> Any:
    """One number everywhere in a shape; it gives the dtype if none is given.  TypeError if it has axes.

    >>> from covector import lax
    >>> lax.full((2, 2), 7.0)
    Array([[7., 7.],
           [7., 7.]], dtype=float32, weak_type=True)
    """
    _check_scalar("full", fill_value)
    return creation.full(shape, fill_value, dtype, out_sharding=sharding)


def full_like(
    x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, sharding: Any = None
) -> Any:
    """One number everywhere, in the shape and dtype of x unless others are given.

    >>> from covector import lax, numpy as cnp
    >>> lax.full_like(cnp.array([1, 2]), 7)
    Array([7, 7], dtype=int32)
    """
    _check_scalar("full_like", fill_value)
    return creation.full_like(x, fill_value, dtype, shape, out_sharding=sharding)


def _check_scalar(name: str, value: Any) -> None:
    aval = typeof(value)
    if aval.shape:
        raise errors.ShapeError(
            f"{name} takes a value of shape (), got {aval.text()}{errors.at_user_line()}; use broadcast_in_dim"
        )


def empty(shape: Any, dtype: Any, *, out_sharding: Any = None) -> Any:
    """An array whose contents do not matter: zeros.

    TypeError for what is no dtype.

    >>> from covector import lax, numpy as cnp
    >>> lax.empty((2, 3), cnp.float32).shape
    (2, 3)
    """
    return creation.zeros(shape, dtype, out_sharding=out_sharding)


def iota(dtype: Any, size: Any) -> Any:
    """The numbers from 0 to below `size`.

    ValueError without a dtype.

    >>> from covector import lax
    >>> lax.iota(float, 3)
    Array([0., 1., 2.], dtype=float32)
    """
    return creation.iota(shape_of(size, "the size of iota"), _given("iota", dtype), 0)


def _given(name: str, dtype: Any) -> np.dtype:
    """A dtype that may not be left out: of None NumPy makes float64."""
    if dtype is None:
        raise ValueError(f"{name} needs a dtype{errors.at_user_line()}, got None")
    return dtypes.as_dtype(dtype)


def broadcasted_iota(dtype: Any, shape: Any, dimension: int, *, out_sharding: Any = None) -> Any:
    """The index along an axis of a shape.

    ValueError for an axis that is not there, or without a dtype.

    >>> from covector import lax, numpy as cnp
    >>> lax.broadcasted_iota(cnp.int32, (2, 3), 1)
    Array([[0, 1, 2],
           [0, 1, 2]], dtype=int32)
    """
    new = shape_of(shape)
    place = axis_of(dimension, len(new), "dimension")
    return creation.iota(new, _given("broadcasted_iota", dtype), place)


# -------------------------------------------------------------------------------------------- dtypes


def dtype(x: Any) -> np.dtype:
    """The dtype of an array or number; that which a name or a type means.  TypeError for others, and None.

    >>> from covector import lax, numpy as cnp
    >>> lax.dtype(cnp.array([1.0]))
    dtype('float32')
    """
    if x is None:
        raise errors.DtypeError(f"dtype of None{errors.at_user_line()}: None names no dtype here")
    if is_operand(x):
        return type_key(x)[0]
    return result_type(x) if is_of_keys(x) else dtypes.named_dtype(x)


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The values in another dtype.  Floats become integers by truncation; complex numbers lose the imaginary part.

    Integers that the dtype does not have wrap, Python's too; floats become its least or greatest number, NaN 0.  The
    shape stays.  ValueError for no dtype at all, TypeError for what is no dtype, and for a complex number alone where
    the dtype is real; OverflowError for an integer beyond 64 bits where the dtype has integers.

    >>> from covector import lax, numpy as cnp
    >>> lax.convert_element_type(cnp.array([1.7, -1.7]), cnp.int32)
    Array([ 1, -1], dtype=int32)
    """
    if new_dtype is None:
        raise ValueError(f"convert_element_type to None{errors.at_user_line()}: say which dtype")
    wanted = dtypes.as_dtype(new_dtype)
    if isinstance(operand, complex | np.complexfloating) and not (
        dtypes.is_complex(wanted) or wanted == dtypes.bool_
    ):
        raise TypeError(
            f"convert_element_type of {operand!r}{errors.at_user_line()}: {wanted.name} has no complex numbers; "
            "take its real part"
        )
    return converted(whole("convert_element_type", operand, wanted), wanted)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The same bits as another dtype.

    To a narrower dtype each element becomes several, along a new last axis, the lowest bits first; to a wider one the
    last axis goes, which must have just as many elements.  TypeError for bool and complex numbers.

    >>> from covector import lax, numpy as cnp
    >>> lax.bitcast_convert_type(cnp.array([1.0]), cnp.int32)
    Array([1065353216], dtype=int32)
    """
    x = array("bitcast_convert_type", operand)
    wanted = dtypes.as_dtype(new_dtype)
    old, new = dtypes.bits(x.dtype), dtypes.bits(wanted)
    if old == new:
        return converted(prims.bitcast(x, wanted), wanted)
    for d in (x.dtype, wanted):
        if dtypes.is_complex(d) or d == dtypes.bool_:
            raise TypeError(
                f"bitcast_convert_type from {x.dtype.name} to {wanted.name}{errors.at_user_line()}: "
                "both must be real and not bool"
            )
    if max(old, new) % min(old, new) != 0:
        raise TypeError(
            f"bitcast_convert_type from {x.dtype.name} to {wanted.name}{errors.at_user_line()}: "
            f"{old} bits are not so many times {new} bits, or the other way round"
        )
    if old > new:
        return parted(x, wanted)
    if not x.shape or x.shape[-1] != new // old:
        raise errors.ShapeError(
            f"bitcast_convert_type of {typeof(x).text()} to {wanted.name}{errors.at_user_line()} needs a last "
            f"axis of size {new // old}"
        )
    return joined(x, wanted)


def stop_gradient(x: Any) -> Any:
    """The value itself, which does not depend on anything as far as derivatives go; also of a pytree of values.

    >>> import covector
    >>> from covector import lax
    >>> covector.grad(lambda x: x * lax.stop_gradient(x))(3.0)
    Array(3., dtype=float32, weak_type=True)
    """
    return tree.map(_stopped, x)


def _stopped(x: Any) -> Any:
    x = array("stop_gradient", x)
    return prims.stop_gradient(x) if dtypes.is_inexact(x.dtype) else x


# -------------------------------------------------------------------------------------------- shapes


def broadcast(operand: Any, sizes: Any, *, out_sharding: Any = None) -> Any:
    """The array repeated along new axes in front.

    The dtype stays.

    >>> from covector import lax, numpy as cnp
    >>> lax.broadcast(cnp.array([1, 2]), (2,))
    Array([[1, 2],
           [1, 2]], dtype=int32)
    """
    x = array("broadcast", operand)
    new = shape_of(sizes, "sizes")
    return prims.Broadcast((*new, *x.shape), tuple(range(len(new))))(x) if new else x


def broadcast_in_dim(
    operand: Any, shape: Any, broadcast_dimensions: Sequence[int], *, out_sharding: Any = None
) -> Any:
    """The array repeated to a shape: its axis i is axis `broadcast_dimensions[i]` of the result.

    ValueError unless these are different axes, one for each axis of the operand, which has their size or size 1.

    >>> from covector import lax, numpy as cnp
    >>> lax.broadcast_in_dim(cnp.array([1, 2]), (2, 3), (0,)).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    x = array("broadcast_in_dim", operand)
    new = shape_of(shape)
    places = tuple([integer_of(d, "a broadcast dimension") for d in broadcast_dimensions])
    if (
        len(set(places)) != x.ndim
        or len(places) != x.ndim
        or any(
            not 0 <= d < len(new) or n not in (1, new[d])
            for d, n in zip(places, x.shape, strict=True)
        )
    ):
        raise errors.ShapeError(
            f"broadcast_in_dim of {typeof(x).text()} to {prims.show_shape(new)}{errors.at_user_line()} got "
            f"broadcast_dimensions {places}: they must be different axes of the shape, one for each axis of the "
            "operand, which has their size or 1"
        )
    x = transpose(x, sorted(range(x.ndim), key=places.__getitem__))
    places = sorted(places)
    kept = [d for d, n in zip(places, x.shape, strict=True) if n == new[d]]
    x = x if len(kept) == len(places) else prims.Reshape(tuple([new[d] for d in kept]))(x)
    added = tuple([d for d in range(len(new)) if d not in kept])
    return prims.Broadcast(new, added)(x) if added else x


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """The array with axes of size 1 in front, so many that it has this rank; ValueError if it has more.

    >>> from covector import lax, numpy as cnp
    >>> lax.broadcast_to_rank(cnp.ones(3), 3).shape
    (1, 1, 3)
    """
    x = array("broadcast_to_rank", x)
    if x.ndim > rank:
        raise errors.ShapeError(
            f"broadcast_to_rank of {typeof(x).text()} to rank {rank}{errors.at_user_line()}"
        )
    return x if x.ndim == rank else prims.Reshape((1,) * (rank - x.ndim) + x.shape)(x)


def reshape(
    operand: Any,
    new_sizes: Any,
    dimensions: Sequence[int] | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """The elements in row-major order in another shape; with `dimensions` its axes are permuted before.

    ValueError if the numbers of elements differ.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.reshape(x, (4,))
    Array([1, 2, 3, 4], dtype=int32)
    """
    x = array("reshape", operand)
    if dimensions is not None:
        x = transpose(x, dimensions)
    shape = shape_of(new_sizes, "new_sizes")
    return x if x.shape == shape else prims.Reshape(shape)(x)


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """The array with new axes of size 1, at these places of the result.

    The dtype stays.

    >>> from covector import lax, numpy as cnp
    >>> lax.expand_dims(cnp.ones(3), (0,)).shape
    (1, 3)
    """
    x = _array("expand_dims", array)
    return prims.expand_dims(
        x, axes_of(tuple(dimensions), x.ndim + len(tuple(dimensions)), "dimensions")
    )


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """The array without these axes; ValueError if one does not have size 1.

    >>> from covector import lax, numpy as cnp
    >>> lax.squeeze(cnp.ones((1, 3)), (0,)).shape
    (3,)
    """
    x = _array("squeeze", array)
    axes = axes_of(tuple(dimensions), x.ndim, "dimensions")
    if any(x.shape[a] != 1 for a in axes):
        raise errors.ShapeError(
            f"squeeze of {typeof(x).text()} got the axes {axes}{errors.at_user_line()}, which do not all have size 1"
        )
    return prims.squeeze(x, axes)


_array = array  # where a parameter has that name


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """The axes from `start_dimension` to below `stop_dimension` (the end) merged into one.

    >>> from covector import lax, numpy as cnp
    >>> lax.collapse(cnp.ones((2, 3, 4)), 0, 2).shape
    (6, 4)
    """
    x = array("collapse", operand)
    start, stop, _ = _slice(start_dimension, stop_dimension).indices(x.ndim)
    if stop < start:
        raise errors.ShapeError(
            f"collapse of {typeof(x).text()} from axis {start} to before axis {stop}{errors.at_user_line()}"
        )
    return reshape(x, (*x.shape[:start], dims.product(x.shape[start:stop]), *x.shape[stop:]))


def transpose(operand: Any, permutation: Any) -> Any:
    """The axes in another order: axis i of the result is axis `permutation[i]`.

    ValueError unless `permutation` names each axis once.

    >>> from covector import lax, numpy as cnp
    >>> lax.transpose(cnp.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = array("transpose", operand)
    order = tuple([integer_of(p, "an axis of the permutation") for p in permutation])
    return x if order == tuple(range(x.ndim)) else prims.Transpose(order)(x)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """These axes backwards.

    Shape and dtype stay.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.rev(x, (0,))
    Array([[3, 4],
           [1, 2]], dtype=int32)
    """
    x = array("rev", operand)
    axes = axes_of(tuple(dimensions), x.ndim, "dimensions")
    return prims.Reverse(axes)(x) if axes else x


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """The array repeated as a whole, so often along each axis.

    >>> from covector import lax, numpy as cnp
    >>> lax.tile(cnp.array([1, 2]), (2,))
    Array([1, 2, 1, 2], dtype=int32)
    """
    x = array("tile", operand)
    if len(reps) != x.ndim:
        raise errors.ShapeError(
            f"tile of {typeof(x).text()} needs {x.ndim} counts, got {tuple(reps)}{errors.at_user_line()}"
        )
    return _tile(x, tuple(reps))


# ------------------------------------------------------------------------------------ slices, joining

_slice = slice


def slice(
    operand: Any,
    start_indices: Sequence[Any],
    limit_indices: Sequence[Any],
    strides: Sequence[int] | None = None,
) -> Any:
    """The elements from `start_indices` to below `limit_indices`, along each axis each `strides`-th of them.

    ValueError unless 0 <= start <= limit <= size.

    >>> from covector import lax, numpy as cnp
    >>> lax.slice(cnp.arange(6), (1,), (6,), (2,))
    Array([1, 3, 5], dtype=int32)
    """
    x = array("slice", operand)
    steps = (
        (1,) * x.ndim if strides is None else tuple([integer_of(s, "a stride") for s in strides])
    )
    starts = tuple([dim_of(i) for i in start_indices])
    return prims.Slice(starts, tuple([dim_of(i) for i in limit_indices]), steps)(x)


def slice_in_dim(
    operand: Any,
    start_index: int | None,
    limit_index: int | None,
    stride: int = 1,
    axis: int = 0,
) -> Any:
    """The elements along one axis from `start_index` to below `limit_index`; negative ones count from the end.

    ValueError for a slice that does not fit.

    >>> from covector import lax, numpy as cnp
    >>> lax.slice_in_dim(cnp.arange(6), 1, -1)
    Array([1, 2, 3, 4], dtype=int32)
    """
    x = array("slice_in_dim", operand)
    axis = axis_of(axis, x.ndim)
    n = x.shape[axis]
    start, stop = (
        default if i is None else _from_front(dim_of(i), n)
        for i, default in ((start_index, 0), (limit_index, n))
    )
    starts, limits, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], limits[axis], steps[axis] = start, stop, integer_of(stride, "the stride")
    return slice(x, starts, limits, steps)


def _from_front(i: Dim, n: Dim) -> Dim:
    """An index counted from the front."""
    return i + n if isinstance(i, int) and i < 0 else i


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The part at an index along one axis, which stays with size 1 or goes; negative indices count from the end.

    IndexError if there is no such index.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.index_in_dim(x, -1, keepdims=False)
    Array([3, 4], dtype=int32)
    """
    x = array("index_in_dim", operand)
    axis, i = axis_of(axis, x.ndim), integer_of(index, "the index")
    n = x.shape[axis]
    if isinstance(n, int) and not -n <= i < n:
        raise IndexError(
            f"index_in_dim: index {i} of axis {axis} of {typeof(x).text()}{errors.at_user_line()}"
        )
    start = i + n if i < 0 else i
    part = slice_in_dim(x, start, start + 1, axis=axis)
    return part if keepdims else prims.squeeze(part, (axis,))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Parts of these sizes along an axis, one after another; ValueError unless they make up all of it, or below 0.

    >>> from covector import lax, numpy as cnp
    >>> lax.split(cnp.arange(5), (2, 3))
    [Array([0, 1], dtype=int32), Array([2, 3, 4], dtype=int32)]
    """
    x = array("split", operand)
    axis = axis_of(axis, x.ndim)
    if sum(sizes) != x.shape[axis] or any(type(n) is int and n < 0 for n in sizes):
        raise errors.ShapeError(
            f"split of {typeof(x).text()} along axis {axis} into parts of {tuple(sizes)}{errors.at_user_line()}"
        )
    parts: list[Any] = []
    start = 0
    for size in sizes:
        parts.append(slice_in_dim(x, start, start + size, axis=axis))
        start += size
    return parts


def concatenate(operands: Any, dimension: int) -> Any:
    """The arrays one after another along an axis; TypeError unless they have one dtype and else one shape.

    >>> from covector import lax, numpy as cnp
    >>> lax.concatenate([cnp.array([1, 2]), cnp.array([3])], 0)
    Array([1, 2, 3], dtype=int32)
    """
    xs = _all_arrays("concatenate", operands)
    axis = axis_of(dimension, xs[0].ndim, "dimension")
    return xs[0] if len(xs) == 1 else prims.Concatenate(axis)(*xs)


def stack(operands: Any, axis: int = 0) -> Any:
    """The arrays along a new axis.  TypeError unless they have one dtype and shape.

    >>> from covector import lax, numpy as cnp
    >>> lax.stack([cnp.array([1, 2]), cnp.array([3, 4])])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    xs = _all_arrays("stack", operands)
    place = axis_of(axis, xs[0].ndim + 1)
    return concatenate([prims.expand_dims(x, (place,)) for x in xs], place)


def _all_arrays(name: str, xs: Any) -> list[Any]:
    if type(xs) is Array or isinstance(xs, Tracer | np.ndarray):
        xs = unstack(xs)
    if not len(xs):
        raise errors.ShapeError(f"{name} needs at least one array{errors.at_user_line()}")
    return [array(name, x) for x in xs]


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The parts at each index of an axis, which goes.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.unstack(x)
    (Array([1, 2], dtype=int32), Array([3, 4], dtype=int32))
    """
    x = array("unstack", x)
    axis = axis_of(axis, x.ndim)
    return tuple([index_in_dim(x, i, axis, False) for i in range(operator.index(x.shape[axis]))])


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """The array with a value around it: (before, after, between each two elements) for each axis.

    Negative numbers before and after cut elements off.  TypeError unless the value has the array's dtype.

    >>> from covector import lax, numpy as cnp
    >>> lax.pad(cnp.array([1, 2, 3]), 0, [(1, -1, 1)]).tolist()
    [0, 1, 0, 2, 0]
    """
    x = array("pad", operand)
    _check_scalar("pad", padding_value)
    _, value = operands("pad", x, padding_value)
    if getattr(value, "weak_type", False):
        value = cast(value, x.dtype)
    rows = [tuple([dim_of(n) for n in row]) for row in padding_config]
    low, high, between = zip(*rows, strict=True) if rows else ((), (), ())
    return prims.Pad(tuple(low), tuple(high), tuple(between))(x, value)
