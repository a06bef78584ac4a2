"""What an index means: NumPy's rules, as a plan for reading and for updating.

An index is read once into an `IndexPlan`: a static part (slices with strides), a window of the array for each axis, and
the arrays of indices.  Reading (`indexing.py`) and updating (`updates.py`) are two uses of it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core import trace
from covector._engine.core.numbers import entered
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim, Polynomial
from covector.numpy.creation import array
from covector.numpy.promotion import (
    Array,
    Shape,
    array_it_stands_for,
    broadcast_shapes,
    cast,
    constant,
    from_numpy,
    spread,
    stands_for_array,
)
from covector.numpy.ufunc import binary

__all__ = [
    "Form",
    "IndexPlan",
    "Strided",
    "Window",
    "advanced",
    "as_number",
    "form_of",
    "from_front",
    "given_entries",
    "index_of",
    "index_vectors",
    "is_array",
    "lead_of",
    "new_axes",
    "parse",
    "result_axes",
    "result_shape",
    "starts_of",
]

Form = tuple[Any, ...]  # for each entry: None, True, False, (start, stop, step), or "number"


class Window(NamedTuple):
    """What an index takes along one axis: `size` elements from `start` on, and whether the axis stays."""

    start: Any  # a dimension, or an integer scalar that is data
    size: Dim
    stays: bool

    @property
    def dynamic(self) -> bool:
        return not isinstance(self.start, int | Polynomial)


class Strided(NamedTuple):
    """A slice that is no window: begin at `start`, `size` elements, `step` apart, backwards if `reverse`."""

    axis: int
    start: Dim
    size: Dim
    step: int
    reverse: bool


class IndexPlan(NamedTuple):
    """An index into an array of a shape.

    `windows` has an entry for each axis of the array, after the strided slices are done.  `arrays` are (axis, indices)
    of advanced indexing.  `layout` says what the axes of the result are, in order: an axis of the array, None for a new
    one, or "indices" where those of the arrays stand.
    """

    strided: tuple[Strided, ...]
    windows: tuple[Window, ...]
    arrays: tuple[tuple[int, Any], ...]
    layout: tuple[int | str | None, ...]
    flags: Shape = ()  # (1,) or (0,) if truth values are among the advanced indices: all are true, or not

    @property
    def advanced(self) -> bool:
        return bool(self.arrays or self.flags)

    @property
    def dynamic(self) -> bool:
        return any(w.dynamic for w in self.windows)


class Number(int):
    """The number in an Array: known, but data, so out of bounds it is clamped or left out, as inside jit."""


def parse(index: Any, shape: Shape, checked: bool = True, wrap: bool = True) -> IndexPlan:
    """The plan of an index; IndexError or TypeError if it does not fit the shape.

    With `checked` an index that is known and out of bounds is an error; without it is left for the mode to handle.
    With `wrap` negative indices count from the end; without they are out of bounds.
    """
    entries = _entries(index, shape)
    flags = [e for e in entries if type(e) is bool]
    advanced = bool(flags) or any(is_array(e) and e.shape for e in entries)
    strided: list[Strided] = []
    windows: list[Window] = []
    arrays: list[tuple[int, Any]] = []
    layout: list[int | str | None] = []
    places: list[int] = []  # of the advanced entries, among all
    for place, entry in enumerate(entries):
        axis = len(windows)
        if entry is None:
            layout.append(None)
            continue
        if type(entry) is bool:
            places.append(place)
            continue
        n = shape[axis]
        if isinstance(entry, slice):
            windows.append(_slice(entry, axis, n, strided))
            layout.append(axis)
            continue
        if n == 0 and not np.ndim(entry):
            raise IndexError(
                f"an element was indexed along axis {axis}, which has size 0{errors.at_user_line()}"
            )
        if not is_array(entry):
            entry = _static(entry, axis, n, checked, wrap)
        else:
            entry = from_front(entry, n, wrap)
        if advanced:
            arrays.append((axis, entry))
            places.append(place)
            windows.append(Window(0, 1, False))
        else:
            windows.append(Window(entry, 1, False))
    if places:
        layout.insert(_place_of_arrays(entries, places, layout), "indices")
    own = (int(all(flags)),) if flags else ()
    return IndexPlan(tuple(strided), tuple(windows), tuple(arrays), tuple(layout), own)


def advanced(index: Any) -> bool:
    """Whether an index has arrays in it, which may name an element twice."""
    entries = index if isinstance(index, tuple) else (index,)
    return any((is_array(e) or isinstance(e, list | np.ndarray)) and np.ndim(e) for e in entries)


def is_array(x: Any) -> bool:
    """Whether an entry is an array or stands for one."""
    return type(x) is Array or isinstance(x, Tracer)


def _place_of_arrays(entries: Sequence[Any], places: list[int], layout: list[Any]) -> int:
    """Where the axes of the index arrays go: where they are if side by side, else in front."""
    if places[-1] - places[0] + 1 != len(places):
        return 0
    return sum(e is None or isinstance(e, slice) for e in entries[: places[0]])


def _entries(index: Any, shape: Shape) -> list[Any]:
    """One entry for each axis, and None for new ones: ints, slices, arrays of integers; and truth values."""
    given = given_entries(index)
    used = sum(_consumes(e) for e in given)
    if used > len(shape):
        raise IndexError(
            f"too many indices{errors.at_user_line()}: the array has {len(shape)} dimensions, "
            f"but {used} were indexed"
        )
    if sum(e is Ellipsis for e in given) > 1:
        raise IndexError(f"an index can have one ellipsis ('...') at most{errors.at_user_line()}")
    if not any(e is Ellipsis for e in given):
        given.append(Ellipsis)
    entries: list[Any] = []
    axis = 0
    for e in given:
        if e is Ellipsis:
            entries += [slice(None)] * (len(shape) - used)
            axis += len(shape) - used
        elif is_array(e) and e.dtype == dtypes.bool_:
            entries += _from_mask(e, axis, shape)
            axis += e.ndim
        else:
            entries.append(e)
            axis += _consumes(e)
    return entries


def given_entries(index: Any) -> list[Any]:
    """What an index consists of; TypeError for a list, which could be meant in two ways."""
    if isinstance(index, tuple):
        return [_entry(e) for e in index]
    if isinstance(index, Sequence) and not isinstance(index, tuple | str):
        raise TypeError(
            f"an array was indexed with a {type(index).__name__}{errors.at_user_line()}: make it an array, "
            "x[covector.numpy.array(index)], or a tuple, x[tuple(index)], as the one or the other is meant"
        )
    return [_entry(index)]


def _consumes(entry: Any) -> int:
    """How many axes an entry is for."""
    if entry is None or entry is Ellipsis or type(entry) is bool:
        return 0
    return entry.ndim if is_array(entry) and entry.dtype == dtypes.bool_ else 1


def _entry(entry: Any) -> Any:
    """An entry as None, Ellipsis, a truth value, an int, a slice or an array."""
    if (
        entry is None
        or entry is Ellipsis
        or type(entry) in (int, bool, Number)
        or isinstance(entry, slice)
    ):
        return entry
    if isinstance(entry, np.integer):
        return int(entry)
    if isinstance(entry, np.bool_):
        return bool(entry)
    return _array_entry(entry)


def _array_entry(entry: Any) -> Any:
    if stands_for_array(entry):
        entry = array_it_stands_for(entry)
    if isinstance(entry, list | tuple):
        entry = array(entry, None if entry else dtypes.int32)
    if isinstance(entry, np.ndarray):
        if not entry.shape and entry.dtype.kind in "iu":
            return int(entry)
        entry = from_numpy("indexing", entered(entry))
    if not is_array(entry):
        if hasattr(entry, "__index__"):
            return operator.index(entry)
        number = isinstance(entry, str | complex | float | np.generic)
        raise (TypeError if number else IndexError)(
            f"{entry!r} of type {type(entry).__name__} is no index{errors.at_user_line()}: an array is indexed with "
            "integers, slices, None, ..., and arrays of integers or bool"
        )
    if not dtypes.is_integer(entry.dtype) and entry.dtype != dtypes.bool_:
        raise TypeError(
            f"an array was indexed with {typeof(entry).text()}{errors.at_user_line()}: "
            "indices are integers, or masks of bool"
        )
    if entry.shape:
        return entry
    if entry.dtype == dtypes.bool_:
        return bool(_known_mask(entry))
    if type(entry) is Array and not trace.current().staging:
        return Number(int(entry))
    return entry


def _from_mask(mask: Any, axis: int, shape: Shape) -> list[Any]:
    """The indices where a mask holds, an array for each of its axes."""
    own = shape[axis : axis + mask.ndim]
    if mask.shape != own:
        raise IndexError(
            f"a mask of shape {mask.shape} was used for axes of lengths {own}{errors.at_user_line()}"
        )
    found = np.nonzero(_known_mask(mask))
    dtype = dtypes.index_dtype(*own)
    return [from_numpy("indexing", i, dtype) for i in found]


def _known_mask(mask: Any) -> np.ndarray:
    """The values of a mask, which must be known: what it takes decides the shape."""
    if isinstance(mask, Tracer) and mask.concrete() is None:
        raise errors.NonConcreteBooleanIndexError(
            f"an array was indexed with the mask {mask.describe()}{errors.at_user_line()}: the shape of the result "
            "depends on the values of the mask, and inside jit only shape and dtype are known.\n"
            "    wrong:  y = x[x > 0]\n"
            "    right:  y = covector.numpy.where(x > 0, x, 0)"
        )
    return np.asarray(mask)


def _static(i: int, axis: int, n: Dim, checked: bool, wrap: bool) -> Any:
    """A known index counted from the front."""
    if i < 0 and not wrap:
        return constant(max(i, -(2**63)), dtypes.int32 if i >= -(2**31) else dtypes.int64)
    low, high = dims.is_true(lambda: i < -n), dims.is_true(lambda: i >= n)
    if checked and (low or high) and not isinstance(i, Number):
        raise IndexError(
            f"index {i} is out of bounds for axis {axis} of size {n}{errors.at_user_line()}"
        )
    if low or high:
        i = max(-(2**63), min(i, 2**63 - 1))
        return constant(i, dtypes.index_dtype(abs(i)))
    return i if i >= 0 else n + i


_below_2_63 = binary("index_from_uint64", prims.minimum, "any", "Indices that int64 has.")

_wrap = binary(
    "wrap_index",
    lambda i, n: prims.select(prims.lt(i, i.dtype.type(0)), prims.add(i, n), i),
    "any",
    "Negative indices counted from the end.",
)


def from_front(i: Any, n: Dim, wrap: bool = True) -> Any:
    """Indices that are data, as int32 or int64, counted from the front."""
    signed = dtypes.kind(i.dtype) == "i"
    if i.dtype == dtypes.uint64:
        i = _below_2_63(i, np.uint64(2**63 - 1))
    wide = i.dtype.itemsize == 8 or (not dims.is_true(lambda: n < 2**31) and isinstance(n, int))
    i = cast(i, dtypes.int64 if wide or i.dtype == dtypes.uint32 else dtypes.int32)
    if not signed or not wrap:
        return i
    if isinstance(n, int):
        return _wrap(i, i.dtype.type(n))
    return _wrap(i, cast(prims.Sum((0,))(prims.full((n,), 1, dtypes.int32)), i.dtype))


def _slice(s: slice, axis: int, n: Dim, strided: list[Strided]) -> Window:
    """The window of a slice; one with a stride is noted, and then the whole axis is the window."""
    start, stop, step = (_slice_bound(b, s) for b in (s.start, s.stop, s.step))
    if step == 0:
        raise ValueError(f"slice step cannot be zero{errors.at_user_line()}")
    if start is None and stop is None and step in (None, 1):
        return Window(0, n, True)
    if isinstance(n, int):
        first, last, by = slice(start, stop, step).indices(n)
        size: Dim = len(range(first, last, by))
    else:
        by = 1 if step is None else step
        first, size = _symbolic_slice(start, stop, by, n)
    if by == 1:
        return Window(first if size != 0 else 0, size, True)
    if size == 0:
        return Window(0, 0, True)
    low = first if by > 0 else first + (size - 1) * by
    strided.append(Strided(axis, low, size, abs(by), by < 0))
    return Window(0, size, True)


def _slice_bound(b: Any, s: slice) -> Any:
    if b is None or type(b) is int or isinstance(b, Polynomial):
        return b
    try:
        return operator.index(b)
    except TypeError as error:
        if not isinstance(b, Tracer):
            raise
        raise IndexError(
            f"{s} has a bound that is {b.describe()}{errors.at_user_line()}: inside jit bounds must be known, because "
            "they decide the shape. Use covector.lax.dynamic_slice for a slice of fixed size at a computed place"
        ) from error


def _symbolic_slice(start: Any, stop: Any, step: int, n: Dim) -> tuple[Dim, Dim]:
    """(first, size) of a slice of an axis of symbolic length."""

    def bound(b: Any, default: Dim) -> Dim:
        if b is None:
            return default
        if dims.is_true(lambda: b < 0):
            return dims.maximum(n + b, 0 if step > 0 else -1)
        return dims.minimum(b, n if step > 0 else n - 1)

    if step > 0:
        first, last = bound(start, 0), bound(stop, n)
        return first, dims.floordiv(dims.maximum(last - first, 0) + step - 1, step)
    first, last = bound(start, n - 1), -1 if stop is None else bound(stop, n)
    return first, dims.floordiv(dims.maximum(first - last, 0) - step - 1, -step)


def form_of(
    index: Any, shape: Shape, checked: bool = True, wrap: bool = True
) -> tuple[Form, tuple[Any, ...]]:
    """What an index is compiled for outside any trace, and the numbers in it, which are data."""
    form: list[Any] = []
    numbers: list[Any] = []
    axis = 0
    for entry in _entries(index, shape):
        if entry is None or type(entry) is bool:
            form.append(entry)
            continue
        if isinstance(entry, slice):
            form.append(
                tuple([_slice_bound(b, entry) for b in (entry.start, entry.stop, entry.step)])
            )
        else:
            form.append("number")
            if not is_array(entry):
                entry = _static(entry, axis, shape[axis], checked, wrap)
            numbers.append(
                entry if is_array(entry) else np.int64(entry) if entry >= 2**31 else np.int32(entry)
            )
        axis += 1
    return tuple(form), tuple(numbers)


def index_of(form: Form, numbers: Sequence[Any]) -> tuple[Any, ...]:
    """The index that a form and its numbers are."""
    rest = iter(numbers)
    return tuple(
        [
            f if f is None or type(f) is bool else next(rest) if f == "number" else slice(*f)
            for f in form
        ]
    )


def starts_of(windows: Sequence[Window]) -> list[Any]:
    """The starts as integer scalars of one dtype."""
    wide = any(w.dynamic and w.start.dtype == dtypes.int64 for w in windows)
    dtype = (
        dtypes.int64 if wide else dtypes.index_dtype(*[w.start for w in windows if not w.dynamic])
    )
    return [cast(w.start, dtype) if w.dynamic else as_number(w.start, dtype) for w in windows]


def as_number(n: Dim, dtype: np.dtype) -> Any:
    """A dimension as an integer scalar."""
    if isinstance(n, int):
        return dtype.type(n)
    return cast(prims.Sum((0,))(prims.full((n,), 1, dtypes.int32)), dtype)


def new_axes(plan: IndexPlan) -> list[int]:
    """Where the result has axes that neither the array nor the indices have."""
    rank = index_rank(plan)
    result: list[int] = []
    at = 0
    for entry in plan.layout:
        if entry is None:
            result.append(at)
        at += rank if entry == "indices" else 1
    return result


def index_rank(plan: IndexPlan) -> int:
    """How many axes the index arrays have together."""
    return max(len(plan.flags), *[len(i.shape) for _, i in plan.arrays if is_array(i)], 0)


def index_vectors(plan: IndexPlan, shape: Shape) -> tuple[Any, tuple[int, ...]]:
    """The index vectors of a gather or scatter, and the axis of the array that each component is for."""
    parts: list[tuple[int, Any]] = []
    for axis, w in enumerate(plan.windows):
        if w.dynamic or w.start != 0:
            parts.append((axis, w.start))
    for axis, i in plan.arrays:
        parts.append((axis, i))
    parts.sort(key=lambda part: part[0])
    dtype = (
        dtypes.int64
        if any(is_array(i) and i.dtype == dtypes.int64 for _, i in parts)
        else dtypes.index_dtype(*[i for _, i in parts if not is_array(i)])
    )
    lead = broadcast_shapes(plan.flags, *[i.shape for _, i in parts if is_array(i)])
    vectors = [spread(_vector_part(i, dtype), (*lead, 1)) for _, i in parts]
    axes = tuple([axis for axis, _ in parts])
    if not vectors:
        return prims.full((*lead, 0), 0, dtype), axes
    return (vectors[0] if len(vectors) == 1 else prims.Concatenate(len(lead))(*vectors)), axes


def _vector_part(i: Any, dtype: np.dtype) -> Any:
    i = cast(i, dtype) if is_array(i) else as_number(i, dtype)
    return prims.expand_dims(i, (len(i.shape),))


def result_axes(plan: IndexPlan) -> tuple[int, ...]:
    """The axes of the gathered result, before new ones come, that are windows of the array."""
    rank = index_rank(plan)
    result: list[int] = []
    at = 0
    for entry in plan.layout:
        if isinstance(entry, int):
            result.append(at)
        at += rank if entry == "indices" else entry is not None
    return tuple(result)


def result_shape(plan: IndexPlan, lead: Shape) -> Shape:
    """The shape of x[index]; `lead` is that of the index arrays together."""
    shape: list[Any] = []
    for entry in plan.layout:
        if entry == "indices":
            shape += lead
        elif isinstance(entry, int):
            shape.append(plan.windows[entry].size)
        else:
            shape.append(1)
    return tuple(shape)


def lead_of(plan: IndexPlan) -> Shape:
    """The shape of the index arrays together."""
    return broadcast_shapes(plan.flags, *[i.shape for _, i in plan.arrays if is_array(i)])
