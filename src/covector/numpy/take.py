"""Elements at indices along an axis."""

from __future__ import annotations

from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim
from covector.numpy.creation import array, filled
from covector.numpy.index_plan import as_number, from_front
from covector.numpy.indexing import mode_of, read_index
from covector.numpy.operands import refuse_out
from covector.numpy.promotion import axis_of, broadcast_shapes, cast, lift, spread
from covector.numpy.shape import moveaxis, ravel
from covector.numpy.ufunc import binary

__all__ = ["take", "take_along_axis"]


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements at indices along an axis (or of the flattened array).

    Negative ones count from the end.  Out of bounds gives NaN (or the least integer, or `fill_value`); mode="clip"
    takes the nearest element, the first one for negative indices, and mode="wrap" counts round.

    >>> from covector import numpy as cnp
    >>> cnp.take(cnp.arange(4) * 10, cnp.array([3, 0]))
    Array([30,  0], dtype=int32)
    """
    refuse_out("take", out)
    a = lift("take", a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_of(axis, a.ndim)
    indices = _index_array("take", indices)
    n = a.shape[axis]
    if mode == "wrap":
        indices, mode = _modulo(indices, n), "clip"
    index = (slice(None),) * axis + (indices,)
    wrap = mode != "clip"  # NumPy's clip knows no counting from the end
    return read_index(a, index, mode_of(mode, "fill"), fill_value, False, wrap)


def _index_array(name: str, indices: Any) -> Any:
    """Indices as an array that is data, also if they are one number."""
    x = array(indices) if isinstance(indices, list | tuple) else lift(name, indices)
    if not dtypes.is_integer(x.dtype):
        raise TypeError(
            f"{name} takes integer indices, got {typeof(x).text()}{errors.at_user_line()}"
        )
    return x


_floor_mod = binary(
    "modulo_index",
    lambda i, n: prims.select(prims.lt(r := prims.rem(i, n), i.dtype.type(0)), prims.add(r, n), r),
    "any",
    "Indices counted round an axis.",
)


def _modulo(i: Any, n: Dim) -> Any:
    if i.dtype != dtypes.uint64:
        i = cast(
            i, dtypes.int64 if i.dtype.itemsize == 8 or i.dtype == dtypes.uint32 else dtypes.int32
        )
    return _floor_mod(i, as_number(n, i.dtype))


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool = True,
) -> Any:
    """For each place the element that the indices there name along an axis; the other axes broadcast.

    Negative indices count from the end, unless `wrap_negative_indices` is False: then they are out of bounds.
    Indices have the array's rank.  Out of bounds gives NaN, or the least integer, as in `take`; 0 with
    mode="one_hot".  ValueError for indices of another rank, TypeError for those that are no integers.

    >>> from covector import numpy as cnp
    >>> x = cnp.array([[3, 1, 2]])
    >>> cnp.take_along_axis(x, cnp.argsort(x), axis=1)
    Array([[1, 2, 3]], dtype=int32)
    """
    arr, indices = lift("take_along_axis", arr), _index_array("take_along_axis", indices)
    if mode == "one_hot":  # a product with ones and zeros, in JAX
        mode, fill_value = "fill", 0
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = axis_of(axis, arr.ndim)
    if indices.ndim != arr.ndim:
        raise ValueError(
            f"take_along_axis: indices of shape {indices.shape} for an array of shape {arr.shape}"
            f"{errors.at_user_line()}; they need the same number of dimensions"
        )
    arr, indices = moveaxis(arr, axis, -1), moveaxis(indices, axis, -1)
    lead = broadcast_shapes(arr.shape[:-1], indices.shape[:-1])
    arr, indices = spread(arr, (*lead, arr.shape[-1])), spread(indices, (*lead, indices.shape[-1]))
    if (
        arr.shape[-1] == 0
    ):  # nothing is at any place: all are beyond the one element of another array
        arr = filled((*lead, 1), 0, arr.dtype)
        indices = filled(indices.shape, 1, indices.dtype)
    vectors = prims.expand_dims(
        from_front(indices, arr.shape[-1], wrap_negative_indices), (indices.ndim,)
    )
    batch = tuple(range(len(lead)))
    numbers = prims.GatherDimensionNumbers((), (len(lead),), (len(lead),), batch, batch)
    sizes = (1,) * arr.ndim
    return moveaxis(
        prims.Gather(numbers, sizes, mode_of(mode, "fill"), fill_value)(arr, vectors), -1, axis
    )
