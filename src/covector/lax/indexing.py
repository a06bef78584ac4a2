"""Reading and writing at places that come from data: dynamic slices, gather, scatter."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.primitives import GatherDimensionNumbers, ScatterDimensionNumbers
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.lax.shape import expand_dims, index_in_dim, squeeze
from covector.numpy.arithmetic import remainder
from covector.numpy.operands import converted
from covector.numpy.promotion import axis_of, cast, shape_of
from covector.numpy.updates import applied_at

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "gather",
    "index_take",
    "scatter",
    "scatter_add",
    "scatter_apply",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]

# ------------------------------------------------------------------------------------- dynamic slices


def _starts(name: str, x: Any, indices: Any, negative: bool | Sequence[bool]) -> list[Any]:
    """A start for each axis from a vector or a sequence of scalars; negative ones count from the end if they may.

    ValueError for a number that is negative where it may not.
    """
    if hasattr(indices, "shape"):
        indices = array(name, indices)
        parts = [index_in_dim(indices, i, 0, False) for i in range(indices.shape[0])]
    else:
        parts = list(indices)
    if len(parts) != x.ndim:
        raise errors.ShapeError(
            f"{name} of {typeof(x).text()} needs a start for each axis, got {len(parts)}{errors.at_user_line()}"
        )
    counts = [negative] * x.ndim if isinstance(negative, bool) else list(negative)
    return [_start(name, i, n, c) for i, n, c in zip(parts, x.shape, counts, strict=True)]


def _start(name: str, i: Any, n: Any, negative: bool) -> Any:
    if isinstance(i, int):
        if i < 0 and not negative:
            raise ValueError(
                f"{name}: the index {i} is negative{errors.at_user_line()}, and allow_negative_indices False"
            )
        if i < 0 and isinstance(n, int):
            i += n
        return np.int32(i) if -(2**31) <= i < 2**31 else np.int64(i)
    i = array(name, i)
    if not negative or dtypes.kind(i.dtype) != "i" or not isinstance(n, int):
        return i
    return prims.select(prims.lt(i, i.dtype.type(0)), prims.add(i, i.dtype.type(n)), i)


def _start_in_dim(name: str, x: Any, i: Any, axis: int, negative: bool) -> list[Any]:
    starts: list[Any] = [np.int32(0)] * x.ndim
    starts[axis] = _start(name, i, x.shape[axis], negative)
    return starts


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """The slice of these sizes that begins at a computed place.

    `start_indices` has an integer for each axis.  Negative ones count from the end, unless `allow_negative_indices` is
    False, for all axes or for one (then a negative number is a ValueError); a start with which the slice does not fit
    is moved so that it does.

    >>> from covector import lax, numpy as cnp
    >>> lax.dynamic_slice(cnp.arange(5), [cnp.array(2)], (2,)).tolist()
    [2, 3]
    """
    x = array("dynamic_slice", operand)
    starts = _starts("dynamic_slice", x, start_indices, allow_negative_indices)
    return prims.DynamicSlice(shape_of(slice_sizes, "slice_sizes"))(x, *starts)


def dynamic_slice_in_dim(
    operand: Any,
    start_index: Any,
    slice_size: Any,
    axis: int = 0,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The `slice_size` elements along one axis that begin at a computed place.

    A slice that would not fit is moved until it does.  ValueError if it is longer than the axis.

    >>> from covector import lax, numpy as cnp
    >>> lax.dynamic_slice_in_dim(cnp.arange(5), 3, 2)
    Array([3, 4], dtype=int32)
    """
    x = array("dynamic_slice_in_dim", operand)
    axis = axis_of(axis, x.ndim)
    starts = _start_in_dim("dynamic_slice_in_dim", x, start_index, axis, allow_negative_indices)
    sizes = tuple([slice_size if a == axis else n for a, n in enumerate(x.shape)])
    return prims.DynamicSlice(shape_of(sizes))(x, *starts)


def dynamic_index_in_dim(
    operand: Any,
    index: Any,
    axis: int = 0,
    keepdims: bool = True,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The part at a computed index along one axis, which stays with size 1 or goes.

    Out of bounds it is the nearest part that there is.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.dynamic_index_in_dim(x, 1, keepdims=False)
    Array([3, 4], dtype=int32)
    """
    part = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return part if keepdims else squeeze(part, (axis,))


def dynamic_update_slice(
    operand: Any,
    update: Any,
    start_indices: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """The array with a slice replaced, which begins at a computed place; as `dynamic_slice`.

    TypeError unless the update has the array's dtype and rank and fits into it.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.dynamic_update_slice(x, cnp.array([[9]]), (0, 1))
    Array([[1, 9],
           [3, 4]], dtype=int32)
    """
    x = array("dynamic_update_slice", operand)
    starts = _starts("dynamic_update_slice", x, start_indices, allow_negative_indices)
    return prims.DynamicUpdateSlice()(x, _update("dynamic_update_slice", x, update), *starts)


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The array with a part along one axis replaced, which begins at a computed place.

    A part that would not fit is moved until it does.  TypeError unless the dtypes are equal.

    >>> from covector import lax, numpy as cnp
    >>> lax.dynamic_update_slice_in_dim(cnp.arange(5), cnp.array([9, 9]), 1, 0)
    Array([0, 9, 9, 3, 4], dtype=int32)
    """
    name = "dynamic_update_slice_in_dim"
    x = array(name, operand)
    axis = axis_of(axis, x.ndim)
    starts = _start_in_dim(name, x, start_index, axis, allow_negative_indices)
    return prims.DynamicUpdateSlice()(x, _update(name, x, update), *starts)


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The array with the part at a computed index along one axis replaced; the update may lack the axis.

    Out of bounds it is the nearest part that there is.  TypeError unless the dtypes are equal.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.dynamic_update_index_in_dim(x, cnp.array([9, 9]), 1, 0)
    Array([[1, 2],
           [9, 9]], dtype=int32)
    """
    name = "dynamic_update_index_in_dim"
    x = array(name, operand)
    new = _update(name, x, update)
    axis = axis_of(axis, x.ndim)
    if new.ndim != x.ndim:
        new = expand_dims(new, (axis,))
    return dynamic_update_slice_in_dim(
        x, new, index, axis, allow_negative_indices=allow_negative_indices
    )


def _update(name: str, x: Any, update: Any) -> Any:
    """What is written; Python numbers in the array's dtype, if that is of their kind or a greater one."""
    new = array(name, update)
    fits = dtypes.kind(x.dtype) in _FITS[dtypes.kind(new.dtype)]
    return cast(new, x.dtype) if new.weak_type and fits else new


# The kinds of dtype that hold the numbers of each kind; the primitives refuse others.
_FITS = {"b": "b", "i": "iufc", "u": "iufc", "f": "fc", "c": "c"}


# ------------------------------------------------------------------------------------ gather, scatter


class GatherScatterMode(enum.Enum):
    """What happens at places out of bounds: they are moved inside, filled or dropped, or promised not to be.

    >>> from covector import lax
    >>> lax.GatherScatterMode.from_any('clip')
    <GatherScatterMode.CLIP: 'clip'>
    """

    CLIP = "clip"
    FILL_OR_DROP = "fill"
    PROMISE_IN_BOUNDS = "promise_in_bounds"
    ONE_HOT = "one_hot"

    @staticmethod
    def from_any(s: str | GatherScatterMode | None) -> GatherScatterMode:
        """The mode of a name ('clip', 'fill', 'drop', 'promise_in_bounds'); None means 'fill'."""
        if isinstance(s, GatherScatterMode):
            return s
        if s is None or s == "drop":
            return GatherScatterMode.FILL_OR_DROP
        return GatherScatterMode(s)


def _mode(mode: Any) -> Any:
    """The mode as primitives name it."""
    found = GatherScatterMode.from_any(mode)
    return "fill" if found is GatherScatterMode.ONE_HOT else found.value


def _tuples(numbers: Any) -> list[tuple[int, ...]]:
    """The fields of dimension numbers, as tuples of ints."""
    return [
        tuple([int(a) for a in getattr(numbers, name)]) for name in type(numbers).__annotations__
    ]


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value: Any = None,
) -> Any:
    """The slice of the operand for each index vector, which are on the last axis of `start_indices`.

    With mode 'fill' a slice out of bounds is `fill_value` (NaN, the least signed, the largest unsigned integer,
    True), with 'clip' it is moved inside.  The default 'promise_in_bounds' is for callers who know that there is
    none.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> numbers = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    >>> lax.gather(x, cnp.array([[1], [0]]), numbers, slice_sizes=(1, 2))
    Array([[3, 4],
           [1, 2]], dtype=int32)
    """
    x, indices = array("gather", operand), array("gather", start_indices)
    numbers = GatherDimensionNumbers(*_tuples(dimension_numbers))
    sizes = shape_of(slice_sizes, "slice_sizes")
    chosen = _mode("promise_in_bounds" if mode is None else mode)
    return prims.Gather(numbers, sizes, chosen, fill_value)(x, indices)


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The parts of an array that vectors of indices name, an axis each; the first axis of the result is theirs.

    Indices count around the axes: -1 is the last, the length the first again.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.index_take(x, [cnp.array([1, -2])], (1,))
    Array([[2, 4],
           [1, 3]], dtype=int32)
    """
    x, axes = array("index_take", src), tuple(axes)
    parts = [array("index_take", i) for i in idxs]
    around = [remainder(i, i.dtype.type(x.shape[a])) for i, a in zip(parts, axes, strict=True)]
    vectors = prims.Concatenate(1)(*[prims.expand_dims(i, (1,)) for i in around])
    offsets = tuple(range(1, x.ndim - len(axes) + 1))
    numbers = GatherDimensionNumbers(offsets, axes, axes)
    sizes = tuple([1 if a in axes else n for a, n in enumerate(x.shape)])
    return prims.Gather(numbers, sizes, "promise_in_bounds")(x, vectors)


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Any = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """The operand with a function of one element applied in each window, as often as the indices name an element.

    `update_shape` is the shape that updates would have.  Otherwise as `scatter`.

    >>> from covector import lax, numpy as cnp
    >>> x, places = cnp.array([1, 2, 3]), cnp.array([[0], [2], [2]])
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> lax.scatter_apply(x, places, lambda x: 10 * x, numbers, update_shape=(3,))
    Array([ 10,   2, 300], dtype=int32)
    """
    x, indices = array("scatter_apply", operand), array("scatter_apply", scatter_indices)
    numbers = ScatterDimensionNumbers(*_tuples(dimension_numbers))
    window = numbers.window(x.ndim, shape_of(update_shape, "update_shape"))
    places = prims.Reshape(x.shape)(prims.Iota((x.size,), dtypes.index_dtype(x.size), 0)())
    found = prims.Gather(numbers.gather(), window, _mode(mode), -1)(places, indices)
    return applied_at(func, x, prims.Reshape((found.size,))(found))


def _scatter(name: str, combine: Any, doc: str, prepare: Callable[[Any], Any] | None = None) -> Any:
    def f(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | GatherScatterMode | None = None,
    ) -> Any:
        x, indices = array(name, operand), array(name, scatter_indices)
        numbers = ScatterDimensionNumbers(*_tuples(dimension_numbers))
        new = _update(name, x, updates)
        primitive = prims.Scatter(numbers, _mode(mode), combine, unique_indices)
        out = prims.scattered(primitive, x, indices, new if prepare is None else prepare(new))
        return converted(out, x.dtype, x.weak_type)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


_DOC = """The operand with each window of the updates {}.

The index vectors are on the last axis of `scatter_indices`.  A window out of bounds is left out; with mode 'clip' it
is moved inside.{} TypeError unless operand and updates have one dtype.

>>> from covector import lax, numpy as cnp
>>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
>>> lax.{}(cnp.array([1, 2, 3]), cnp.array([[0], [2]]), cnp.array([5, 0]), numbers)
{}
"""
_LAST = "  Of several updates of one element the last one stays."

scatter = _scatter(
    "scatter",
    "set",
    _DOC.format("written into it", _LAST, "scatter", "Array([5, 2, 0], dtype=int32)"),
)
scatter_add = _scatter(
    "scatter_add",
    "add",
    _DOC.format("added to it", "", "scatter_add", "Array([6, 2, 3], dtype=int32)"),
)
scatter_sub = _scatter(
    "scatter_sub",
    "add",
    _DOC.format("taken off it", "", "scatter_sub", "Array([-4,  2,  3], dtype=int32)"),
    prims.neg,
)
scatter_mul = _scatter(
    "scatter_mul",
    "mul",
    _DOC.format("multiplied into it", "", "scatter_mul", "Array([5, 2, 0], dtype=int32)"),
)
scatter_min = _scatter(
    "scatter_min",
    "min",
    _DOC.format(
        "combined by the smaller of the two", "", "scatter_min", "Array([1, 2, 0], dtype=int32)"
    ),
)
scatter_max = _scatter(
    "scatter_max",
    "max",
    _DOC.format(
        "combined by the larger of the two", "", "scatter_max", "Array([5, 2, 3], dtype=int32)"
    ),
)
