"""Reading at indices that come from data: gather and dynamic slices.

The meaning of the dimension numbers is JAX's (and XLA's), with the vectors of indices always on the last axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Mapped, View
from covector._engine.core.inside import Fault
from covector._engine.core.numbers import SCALARS
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.index import (
    Index,
    both,
    clamp,
    compare,
    known_index,
    of_scalar,
    signed,
    to_scalar,
)
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim, product

__all__ = [
    "DynamicSlice",
    "Gather",
    "GatherDimensionNumbers",
    "IndexMode",
    "as_int64",
    "check_indices",
    "check_starts",
    "constant_element",
    "gather_target",
    "stack_starts",
    "window_starts",
]

IndexMode = Literal["clip", "fill", "promise_in_bounds"]
Axes = tuple[int, ...]


@record
class GatherDimensionNumbers:
    """Which axes of operand, indices and result belong together.

    - `offset_dims`: the result's axes that run inside a slice; the others are those of the indices, in order.
    - `collapsed_slice_dims`: the operand's axes that are left out of the slices, which have size 1 there.
    - `start_index_map`: the operand's axis that each component of an index vector is for.
    - `operand_batching_dims`, `start_indices_batching_dims`: axes that operand and indices share, pairwise.

    >>> from covector import lax
    >>> lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,)).offset_dims
    (1,)
    """

    offset_dims: Axes
    collapsed_slice_dims: Axes
    start_index_map: Axes
    operand_batching_dims: Axes = ()
    start_indices_batching_dims: Axes = ()

    def window_dims(self, ndim: int) -> Axes:
        """The operand's axes that `offset_dims` are for, in order."""
        left_out = (*self.collapsed_slice_dims, *self.operand_batching_dims)
        return tuple([a for a in range(ndim) if a not in left_out])


def check_indices(
    name: str, x: ShapedArray, indices: ShapedArray, components: Axes, batching: tuple[Axes, Axes]
) -> None:
    """TypeError or ValueError unless the indices are vectors of integers for these axes of x."""
    if not dtypes.is_integer(indices.dtype):
        raise errors.DtypeError(
            f"{name} needs integer indices, got {indices.text()}{errors.at_user_line()}"
        )
    if not indices.ndim or indices.shape[-1] != len(components):
        raise errors.ShapeError(
            f"{name} indexes the axes {components} of {x.text()}, so the last axis of its indices must have size "
            f"{len(components)}; they are {indices.text()}{errors.at_user_line()}"
        )
    theirs, ours = batching
    prims.check_axes(f"{name} (operand)", (*components, *theirs), x.ndim)
    prims.check_axes(f"{name} (indices)", ours, indices.ndim - 1)
    sizes = tuple([x.shape[a] for a in theirs]), tuple([indices.shape[a] for a in ours])
    if len(theirs) != len(ours) or sizes[0] != sizes[1]:
        raise errors.ShapeError(
            f"{name} got batching axes of different sizes: {theirs} of {x.text()} and {ours} of {indices.text()}"
            f"{errors.at_user_line()}"
        )


def window_starts(
    vector: Sequence[Scalar], sizes: Sequence[Dim], windows: Sequence[Dim], mode: IndexMode
) -> tuple[list[Dim], Expr]:
    """Where a window begins along the axes that an index vector is for, and the condition that it is in bounds.

    With 'fill' the starts may be out of bounds where the condition is false.  Otherwise they are clamped, also
    where the user promises that there is no need to: a broken promise gives a wrong element, never a crash.
    """
    starts: list[Dim] = []
    conditions: list[Expr] = []
    for e, size, window in zip(vector, sizes, windows, strict=True):
        assert isinstance(e, Expr)
        last = size - window
        known = known_index(e)
        if mode != "fill":
            # not even the moved window fits into an empty axis
            conditions.append(compare("ge", last, 0))
            starts.append(clamp(e, 0, last))
        elif known is not None:
            conditions += [compare("ge", known, 0), compare("le", known, last)]
            starts.append(known)
        else:
            wide = signed(e, last)
            conditions += [wide >= 0, wide <= to_scalar(last, wide.dtype)]
            starts.append(of_scalar(wide, 0, last))
    return starts, both(*conditions)


def as_int64(x: Any) -> Any:
    """NumPy integers as int64; uint64 saturates."""
    return (np.minimum(x, np.uint64(2**63 - 1)) if x.dtype == np.uint64 else x).astype(np.int64)


def constant_element(value: Any, dtype: np.dtype) -> Scalar:
    """A constant as an element."""
    real = dtypes.real_of(dtype)
    if dtypes.is_complex(dtype):
        return const(np.real(value), real), const(np.imag(value), real)
    return const(value, dtype)


def gather_target(
    numbers: GatherDimensionNumbers,
    shape: tuple[Dim, ...],
    slice_sizes: tuple[Dim, ...],
    mode: IndexMode,
    index: Index,
    indices: View,
) -> tuple[Index, Expr]:
    """The operand's index that a result's index reads, and the condition that the slice is in bounds."""
    place = [i for a, i in enumerate(index) if a not in numbers.offset_dims]
    vector = [indices((*place, k)) for k in range(len(numbers.start_index_map))]
    starts, inside = window_starts(
        vector,
        [shape[a] for a in numbers.start_index_map],
        [slice_sizes[a] for a in numbers.start_index_map],
        mode,
    )
    target: list[Dim] = [0] * len(shape)
    for a, b in zip(
        numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True
    ):
        target[a] = place[b]
    for a, offset in zip(numbers.window_dims(len(shape)), numbers.offset_dims, strict=True):
        target[a] = index[offset]
    for a, start in zip(numbers.start_index_map, starts, strict=True):
        target[a] = start + target[a]
    return tuple(target), inside


@record
class Gather(Mapped):
    """A slice of the operand for each index vector.  Operands: x, the indices.

    A slice that does not fit is moved ('clip'), or replaced by `fill_value` ('fill'; None: NaN, the least signed,
    the largest unsigned integer, True).  'promise_in_bounds' says that all fit; if not, elements are unspecified.
    """

    numbers: GatherDimensionNumbers
    slice_sizes: tuple[Dim, ...]
    mode: IndexMode = "fill"
    fill_value: Any = None
    name: ClassVar[str] = "gather"
    makes_nan: ClassVar[bool] = False  # those for what is out of bounds are another failure
    at_data: ClassVar[bool] = True

    def element_operands(self, count: int) -> Sequence[int]:
        return (0,)

    def type(self, x: ShapedArray, indices: ShapedArray) -> ShapedArray:
        numbers = self.numbers
        batching = numbers.operand_batching_dims, numbers.start_indices_batching_dims
        check_indices(self.name, x, indices, numbers.start_index_map, batching)
        self._check_filler(x)
        window = numbers.window_dims(x.ndim)
        left_out = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
        prims.check_axes("gather (slices)", left_out, x.ndim)
        if len(self.slice_sizes) != x.ndim or any(self.slice_sizes[a] != 1 for a in left_out):
            raise errors.ShapeError(
                f"gather from {x.text()} got slice sizes {self.slice_sizes}{errors.at_user_line()}: it needs one for "
                f"each axis, and 1 for the axes {left_out} that are left out of the slices"
            )
        for a in (*window, *numbers.collapsed_slice_dims):
            size, n = self.slice_sizes[a], x.shape[a]
            if dims.is_true(lambda size=size, n=n: size > n) or dims.is_true(
                lambda size=size: size < 0
            ):
                raise errors.ShapeError(
                    f"gather from {x.text()} got the slice size {size} for axis {a}{errors.at_user_line()}, "
                    "which does not fit"
                )
        prims.check_axes(
            "gather (offset_dims)", numbers.offset_dims, indices.ndim - 1 + len(window)
        )
        if len(numbers.offset_dims) != len(window) or list(numbers.offset_dims) != sorted(
            numbers.offset_dims
        ):
            raise errors.ShapeError(
                f"gather from {x.text()} needs {len(window)} sorted offset_dims, got {numbers.offset_dims}"
                f"{errors.at_user_line()}"
            )
        rest, sizes = iter(indices.shape[:-1]), iter([self.slice_sizes[a] for a in window])
        ndim = indices.ndim - 1 + len(window)
        shape = tuple(
            [next(sizes) if a in numbers.offset_dims else next(rest) for a in range(ndim)]
        )
        return x.with_shape(shape)

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        x, indices = avals
        axes = self.numbers.start_index_map
        windows = [self.slice_sizes[a] for a in axes]
        return prims.out_of_bounds(x, axes, windows, 1, product(indices.shape[:-1]))

    def reference(self, x: Any, indices: Any) -> Any:
        numbers = self.numbers
        shape = prims.sizes(self.type(typeof(x), typeof(indices)).shape)
        spots = np.indices(shape)
        place = [i for a, i in enumerate(spots) if a not in numbers.offset_dims]
        target = [np.zeros(shape, np.int64) for _ in x.shape]
        for a, b in zip(
            numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True
        ):
            target[a] = place[b]
        for a, offset in zip(numbers.window_dims(x.ndim), numbers.offset_dims, strict=True):
            target[a] = spots[offset]
        inside = np.ones(shape, bool)
        for k, a in enumerate(numbers.start_index_map):
            start = (
                as_int64(indices)[(*place, np.full(shape, k))]
                if place
                else np.full(shape, as_int64(indices)[k])
            )
            last = x.shape[a] - self.slice_sizes[a]
            inside &= (start >= 0) & (start <= last)
            target[a] = target[a] + np.clip(start, 0, last)
        if not inside.size or not x.size:
            return np.full(shape, self.filler(x.dtype), x.dtype)
        result = x[tuple(target)] if x.ndim else np.broadcast_to(x, shape)
        return np.where(inside, result, self.filler(x.dtype)) if self.mode == "fill" else result

    def _check_filler(self, x: ShapedArray) -> None:
        fill = self.fill_value
        known = isinstance(fill, np.generic) and fill.dtype in dtypes.CODES
        if fill is not None and not known and not isinstance(fill, SCALARS):
            raise TypeError(
                f"gather from {x.text()} got fill_value {fill!r} of type {type(fill).__name__}"
                f"{errors.at_user_line()}: it takes a number"
            )
        if isinstance(fill, complex | np.complexfloating) and not dtypes.is_complex(x.dtype):
            raise TypeError(
                f"gather from {x.text()} got fill_value {fill!r}{errors.at_user_line()}: its imaginary part would be "
                "lost"
            )

    def filler(self, dtype: np.dtype) -> Any:
        """What stands for the slices that are out of bounds, in mode 'fill'."""
        if self.fill_value is not None:
            return prims.convert_number(self.fill_value, dtype)
        if dtypes.is_inexact(dtype):
            return np.asarray(np.nan).astype(dtype)[()]
        if dtypes.kind(dtype) == "i":
            return dtype.type(dtypes.lowest(dtype))
        return dtype.type(dtypes.highest(dtype))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, indices), (t, _) = primals, tangents
        out = self(x, indices)
        if is_zero(t):
            return out, Zero(out)
        return out, Gather(self.numbers, self.slice_sizes, self.mode, 0)(t, indices)

    adds_onto: ClassVar[bool] = True
    reads_part: ClassVar[bool] = True

    def transpose(self, ct: Any, x: Linear, indices: Any) -> Sequence[Any]:
        return self.transpose_onto((prims.zeros(x.aval), None), ct, x, indices)

    def transpose_onto(
        self, sums: Sequence[Any], ct: Any, x: Linear, indices: Any
    ) -> Sequence[Any]:
        n = self.numbers
        numbers = prims.ScatterDimensionNumbers(
            n.offset_dims,
            n.collapsed_slice_dims,
            n.start_index_map,
            n.operand_batching_dims,
            n.start_indices_batching_dims,
        )
        return prims.Scatter(numbers, self.mode, "add")(sums[0], indices, ct), None

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x, indices), (d, e) = args, dims
        x = x if d is None else prims.move_axis(x, d, 0)
        indices = indices if e is None else prims.move_axis(indices, e, 0)
        n = self.numbers
        mine, theirs = (0,) * (d is not None), (0,) * (e is not None)
        both_batched = bool(mine and theirs)
        offsets = tuple([a + 1 for a in n.offset_dims])
        numbers = GatherDimensionNumbers(
            offsets if theirs else (0, *offsets),
            _after(mine, n.collapsed_slice_dims),
            _after(mine, n.start_index_map),
            (mine if both_batched else ()) + _after(mine, n.operand_batching_dims),
            (theirs if both_batched else ()) + _after(theirs, n.start_indices_batching_dims),
        )
        sizes = (*[1 if both_batched else size for _ in mine], *self.slice_sizes)
        return Gather(numbers, sizes, self.mode, self.fill_value)(x, indices), 0

    def element(self, index: Index, *xs: View) -> Scalar:
        x, indices = xs
        target, inside = gather_target(
            self.numbers, x.shape, self.slice_sizes, self.mode, index, indices
        )
        if self.mode != "fill":
            return x.guarded(inside, target)
        return prims.choose(
            inside, x.guarded(inside, target), constant_element(self.filler(x.dtype), x.dtype)
        )


def _after(new: Axes, axes: Axes) -> Axes:
    """The axes behind as many new ones in front."""
    return tuple([a + len(new) for a in axes])


# ----------------------------------------------------------------------------------------------- dynamic slices


def stack_starts(starts: Sequence[Any], dims: Sequence[int | None], size: Dim) -> Any:
    """Scalars, some with a batch axis, as index vectors of shape (size, number of them)."""
    kinds = {typeof(s).dtype for s in starts}
    dtype = kinds.pop() if len(kinds) == 1 else dtypes.int64
    columns: list[Any] = []
    for s, d in zip(starts, dims, strict=True):
        s = prims.convert(s, dtype)
        columns.append(prims.Broadcast((size, 1), (0, 1) if d is None else (1,))(s))
    return prims.Concatenate(1)(*columns)


def check_starts(name: str, x: ShapedArray, starts: Sequence[ShapedArray]) -> None:
    """TypeError unless there is an integer scalar for each axis of x."""
    if len(starts) != x.ndim or any(s.shape or not dtypes.is_integer(s.dtype) for s in starts):
        raise TypeError(
            f"{name} of {x.text()} needs {x.ndim} integer scalars for its start, one for each axis, got "
            f"{', '.join(s.text() for s in starts) or 'none'}{errors.at_user_line()}"
        )


@record
class DynamicSlice(Mapped):
    """The slice of these sizes that begins at a computed place.  Operands: x, and a scalar start for each axis.

    A start with which the slice does not fit is moved so that it does.
    """

    sizes: tuple[Dim, ...]
    name: ClassVar[str] = "dynamic_slice"
    makes_nan: ClassVar[bool] = False
    at_data: ClassVar[bool] = True

    def element_operands(self, count: int) -> Sequence[int]:
        return (0,)

    def type(self, x: ShapedArray, *starts: ShapedArray) -> ShapedArray:
        check_starts(self.name, x, starts)
        if len(self.sizes) != x.ndim or any(
            dims.is_true(lambda s=s, n=n: s > n) or dims.is_true(lambda s=s: s < 0)
            for s, n in zip(self.sizes, x.shape, strict=True)
        ):
            raise errors.ShapeError(
                f"dynamic_slice of {x.text()} got sizes {self.sizes}, which do not fit{errors.at_user_line()}"
            )
        return x.with_shape(self.sizes)

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        axes = range(avals[0].ndim)
        return prims.out_of_bounds(avals[0], axes, self.sizes, 1, None)

    def reference(self, x: Any, *starts: Any) -> Any:
        begin = [
            min(max(int(s), 0), n - size)
            for s, n, size in zip(starts, x.shape, self.sizes, strict=True)
        ]
        return x[tuple([slice(b, b + size) for b, size in zip(begin, self.sizes, strict=True)])]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = self(*primals)
        return out, Zero(out) if is_zero(tangents[0]) else self(tangents[0], *primals[1:])

    adds_onto: ClassVar[bool] = True
    reads_part: ClassVar[bool] = True

    def transpose(self, ct: Any, x: Linear, *starts: Any) -> Sequence[Any]:
        back = prims.DynamicUpdateSlice()(prims.zeros(x.aval), ct, *starts)
        return back, *[None for _ in starts]

    def transpose_onto(
        self, sums: Sequence[Any], ct: Any, x: Linear, *starts: Any
    ) -> Sequence[Any]:
        total = prims.add(self(sums[0], *starts), ct)
        return prims.DynamicUpdateSlice()(sums[0], total, *starts), *[None for _ in starts]

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x, *starts), (d, *start_dims) = args, dims
        if all(e is None for e in start_dims):
            assert d is not None
            zero = np.zeros((), typeof(starts[0]).dtype if starts else dtypes.int32)[()]
            starts.insert(d, zero)
            return DynamicSlice((*self.sizes[:d], size, *self.sizes[d:]))(x, *starts), d
        axes = tuple(range(len(self.sizes)))
        gather = Gather(GatherDimensionNumbers(axes, (), axes), self.sizes, "clip")
        return gather.batch((x, stack_starts(starts, start_dims, size)), (d, 0), size)

    def element(self, index: Index, *xs: View) -> Scalar:
        x, *starts = xs
        begin, fits = window_starts([s(()) for s in starts], x.shape, self.sizes, "clip")
        return x.guarded(fits, tuple([b + i for b, i in zip(begin, index, strict=True)]))
