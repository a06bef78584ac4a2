"""Sorting: rows by key, with a payload moved along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive, Types
from covector._engine.core.routine import (
    ByRoutine,
    Called,
    RoutineCall,
    RuntimeRoutine,
    as_primitive,
    runtime_routine,
)
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "Places",
    "Sort",
    "SortOrder",
    "SortPairs",
    "TopK",
    "order_by",
    "sorted_last",
    "take_along_last",
]


def take_along_last(x: Any, order: Any) -> Any:
    """The elements of x along its last axis at these places, row by row."""
    ndim = len(typeof(order).shape)
    if typeof(order).shape[-1] == 0:
        return prims.zeros(typeof(x).with_shape(typeof(order).shape))
    rows = tuple(range(ndim - 1))
    numbers = prims.GatherDimensionNumbers((), (ndim - 1,), (ndim - 1,), rows, rows)
    vectors = prims.Reshape((*typeof(order).shape, 1))(order)
    return prims.Gather(numbers, (1,) * ndim, "promise_in_bounds")(x, vectors)


class OnKeys(ByRoutine):
    """A routine that orders its first operand: one of a narrow type is ordered as a wider one, which has its order."""

    def __call__(self, *args: Any) -> Any:
        keys, *values = args
        own = typeof(keys).dtype
        if not dtypes.is_narrow(own):
            return super().__call__(*args)
        found = super().__call__(prims.convert(keys, dtypes.computed_in(own)), *values)
        if not self.multiple:
            return prims.convert(found, own)
        return prims.convert(found[0], own), *found[1:]


@record
class Sort(OnKeys):
    """Sort along the last axis, with NaNs last."""

    name: ClassVar[str] = "sort"
    makes_nan: ClassVar[bool] = False
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def type(self, x: ShapedArray) -> ShapedArray:
        _check_keys(self.name, x)
        return x

    def reference(self, x: Any) -> Any:
        wide = x.astype(dtypes.computed_in(x.dtype))
        return np.take_along_axis(x, np.argsort(wide, axis=-1, kind="stable"), -1)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        ((x,), (t,)) = primals, tangents
        out, order = SortPairs()(x, _numbers(x))
        return out, take_along_last(t, order)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(prims.batch_to_front(args[0], dims[0], size)), 0

    def call(self, avals: Types) -> RoutineCall:
        return _call(avals[0], 0, (0, 0))


def _numbers(x: Any) -> Any:
    """The places of the elements along the last axis."""
    shape = typeof(x).shape
    return prims.Iota(shape, dtypes.index_dtype(shape[-1]), len(shape) - 1)()


def _check_keys(name: str, keys: ShapedArray) -> None:
    if not keys.shape:
        raise errors.ShapeError(errors.shape_mismatch(name, [keys.text()]))
    if dtypes.is_complex(keys.dtype) or dtypes.is_narrow(keys.dtype):
        raise TypeError(f"{name} has no order for {keys.text()}{errors.at_user_line()}")


def _call(keys: ShapedArray, width: int, order: tuple[int, ...]) -> RoutineCall:
    """The runtime's routine, which takes all rows at once: keys, and values of so many bytes."""
    *front, n = keys.shape
    rows = sizes.product(front)
    parameters = dtypes.CODES[keys.dtype], width, rows, n
    return RoutineCall(SORT, parameters, work=rows * n, order=order)


@record
class SortPairs(OnKeys):
    """Sort the keys along the last axis, stably and with NaNs last; the values go where their keys go.

    Operands: keys (real) and values of one shape.  Results: the sorted keys, the values in the keys' order.
    """

    name: ClassVar[str] = "sort_pairs"
    makes_nan: ClassVar[bool] = False
    multiple: ClassVar[bool] = True
    begins_as: ClassVar[tuple[int | None, ...]] = (0, 1)

    def type(self, keys: ShapedArray, values: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
        if keys.shape != values.shape:
            raise errors.ShapeError(
                errors.shape_mismatch("sort_pairs", [keys.text(), values.text()])
            )
        _check_keys(self.name, keys)
        return keys, values

    def reference(self, keys: Any, values: Any) -> Any:
        wide = keys.astype(dtypes.computed_in(keys.dtype))
        order = np.argsort(wide, axis=-1, kind="stable")
        return np.take_along_axis(keys, order, -1), np.take_along_axis(values, order, -1)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        keys, values = primals
        sorted_keys, order = self(keys, _numbers(keys))
        out = sorted_keys, take_along_last(values, order)
        moved = [
            Zero(typeof(o)) if is_zero(t) else take_along_last(t, order)
            for o, t in zip(out, tangents, strict=True)
        ]
        return out, tuple(moved)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        front = [prims.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)]
        return self(*front), (0, 0)

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        return None if used[1] else (Sort(), (True, False), (True, False))

    def call(self, avals: Types) -> RoutineCall:
        return _call(avals[0], avals[1].dtype.itemsize, (0, 1))


@record
class SortOrder(ByRoutine):
    """The order of items that have several keys: by the first key, equal ones by the next; equal items stay in order.

    Operand: (..., keys, items), real; NaNs are last.  Result: (..., items), places.
    """

    name: ClassVar[str] = "sort_order"
    no_slope: ClassVar[str | None] = "places are integers"
    makes_nan: ClassVar[bool] = False

    def type(self, keys: ShapedArray) -> ShapedArray:
        if keys.ndim < 2:
            raise errors.ShapeError(errors.shape_mismatch(self.name, [keys.text()]))
        _check_keys(self.name, keys)
        shape = (*keys.shape[:-2], keys.shape[-1])
        return ShapedArray(shape, dtypes.index_dtype(shape[-1]))

    def reference(self, keys: Any) -> Any:
        wide = keys.astype(dtypes.computed_in(keys.dtype))
        *front, count, n = keys.shape
        order = np.empty((int(np.prod(front)), n), dtypes.index_dtype(n))
        for row, out in zip(wide.reshape(len(order), count, n), order, strict=True):
            out[:] = np.lexsort(row[::-1]) if count else np.arange(n)
        return order.reshape(*front, n)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(prims.batch_to_front(args[0], dims[0], size)), 0

    def call(self, avals: Types) -> RoutineCall:
        (keys,) = avals
        *front, count, n = keys.shape
        rows, width = sizes.product(front), dtypes.index_dtype(n).itemsize
        parameters = dtypes.CODES[keys.dtype], width, rows, count, n
        return RoutineCall(SORT_ORDER, parameters, work=rows * count * n)


@record
class TopK(OnKeys):
    """The k largest elements along the last axis, the largest first, and their places.

    NaN is the largest; of equal elements the first ones are taken, in their order.
    """

    k: int
    name: ClassVar[str] = "top_k"
    makes_nan: ClassVar[bool] = False
    multiple: ClassVar[bool] = True

    def type(self, x: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
        if not x.shape or dtypes.is_complex(x.dtype):
            raise ValueError(
                f"top_k takes real numbers on an axis, got {x.text()}{errors.at_user_line()}"
            )
        n = x.shape[-1]
        if sizes.is_true(lambda: n < self.k):
            raise ValueError(f"top_k of {self.k} of {n} elements{errors.at_user_line()}")
        shape = (*x.shape[:-1], self.k)
        return x.with_shape(shape), ShapedArray(shape, dtypes.index_dtype(n))

    def reference(self, x: Any) -> Any:
        wide = x.astype(dtypes.computed_in(x.dtype))
        n = x.shape[-1]
        rising = np.argsort(wide[..., ::-1], axis=-1, kind="stable")
        order = n - 1 - rising[..., ::-1][..., : self.k]
        return np.take_along_axis(x, order, -1), order.astype(dtypes.index_dtype(n))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        ((x,), (t,)) = primals, tangents
        values, places = self(x)
        return (values, places), (take_along_last(t, places), Zero(typeof(places)))

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(prims.batch_to_front(args[0], dims[0], size)), (0, 0)

    def call(self, avals: Types) -> RoutineCall:
        (x,) = avals
        *front, n = x.shape
        rows, width = sizes.product(front), dtypes.index_dtype(n).itemsize
        parameters = dtypes.CODES[x.dtype], width, rows, n, self.k
        return RoutineCall(TOP_K, parameters, work=rows * n)


@record
class Places(ByRoutine):
    """The places of the first k true elements along the last axis, in their order; then its length."""

    k: Dim
    dtype: np.dtype
    name: ClassVar[str] = "places"
    no_slope: ClassVar[str | None] = "its results are places"

    def type(self, x: ShapedArray) -> ShapedArray:
        if not x.shape or x.dtype != dtypes.bool_:
            raise TypeError(
                f"places takes truth values on an axis, got {x.text()}{errors.at_user_line()}"
            )
        return ShapedArray((*x.shape[:-1], self.k), self.dtype)

    def reference(self, x: Any) -> Any:
        n, k = x.shape[-1], int(self.k)
        order = np.where(x, np.arange(n), n)
        found = np.sort(order, axis=-1)[..., :k]
        return np.concatenate([found, np.full((*x.shape[:-1], max(0, k - n)), n)], axis=-1).astype(
            self.dtype
        )

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(prims.batch_to_front(args[0], dims[0], size)), 0

    def call(self, avals: Types) -> RoutineCall:
        (x,) = avals
        *front, n = x.shape
        rows = sizes.product(front)
        return RoutineCall(
            PLACES, (self.dtype.itemsize, rows, n, self.k), work=rows * n, side_by_side=True
        )


def _sorting(code: int, width: int, rows: int, n: int) -> Called:
    keys = ShapedArray((rows, n), dtypes.ALL[code])
    if not width:
        return Called(Sort(), (keys,), (0, 0))
    return Called(SortPairs(), (keys, ShapedArray((rows, n), np.dtype(f"u{width}"))))


def _ordering(code: int, _width: int, rows: int, count: int, n: int) -> Called:
    return Called(SortOrder(), (ShapedArray((rows, count, n), dtypes.ALL[code]),))


def _choosing(code: int, _width: int, rows: int, n: int, k: int) -> Called:
    return Called(TopK(k), (ShapedArray((rows, n), dtypes.ALL[code]),))


def _placing(width: int, rows: int, n: int, k: int) -> Called:
    return Called(Places(k, np.dtype(f"i{width}")), (ShapedArray((rows, n), dtypes.bool_),))


SORT = runtime_routine(RuntimeRoutine("sort_pairs", "sorted", as_primitive(_sorting)))
SORT_ORDER = runtime_routine(RuntimeRoutine("sort_order", "sorted", as_primitive(_ordering)))
PLACES = runtime_routine(RuntimeRoutine("places", "moved", as_primitive(_placing)))
TOP_K = runtime_routine(RuntimeRoutine("top_k", "moved", as_primitive(_choosing)))


def sorted_last(xs: Sequence[Any], num_keys: int) -> Sequence[Any]:
    """The arrays sorted along the last axis by the first ones."""
    keys = [part for x in xs[:num_keys] for part in _real_keys(x)]
    if len(keys) == num_keys == 1 and len(xs) <= 2:
        return SortPairs()(*xs) if len(xs) == 2 else [Sort()(*xs)]
    if len(keys) == num_keys == 1:
        first, order = SortPairs()(xs[0], _numbers(xs[0]))
        return [first, *[take_along_last(x, order) for x in xs[1:]]]
    order = order_by(xs[:num_keys])
    return [take_along_last(x, order) for x in xs]


def order_by(keys: Sequence[Any]) -> Any:
    """The order along the last axis by several keys of one shape, the first of them first."""
    keys = [part for key in keys for part in _real_keys(key)]
    axis = len(typeof(keys[0]).shape) - 1
    if len({typeof(key).dtype for key in keys}) > 1:
        keys = _as_unsigned(keys)
    return SortOrder()(prims.Concatenate(axis)(*[prims.expand_dims(key, (axis,)) for key in keys]))


def _as_unsigned(keys: Sequence[Any]) -> list[Any]:
    """Keys as unsigned integers of one width and of the same order."""
    width = max(typeof(key).dtype.itemsize for key in keys)
    wide = np.dtype(f"u{width}")
    return [prims.convert(_unsigned(key), wide) for key in keys]


def _unsigned(x: Any) -> Any:
    dtype = typeof(x).dtype
    if dtypes.kind(dtype) in "bu":
        return prims.convert(x, dtypes.uint8) if dtype == dtypes.bool_ else x
    unsigned = np.dtype(f"u{dtype.itemsize}")
    sign = unsigned.type(1 << (8 * dtype.itemsize - 1))
    if not dtypes.is_float(dtype):
        return prims.xor(prims.bitcast(x, unsigned), sign)
    zero = prims.eq(x, dtype.type(0))  # both zeros are equal
    bits = prims.select(zero, unsigned.type(0), prims.bitcast(x, unsigned))
    negative = prims.ge(bits, sign)
    order = prims.select(negative, prims.not_(bits), prims.or_(bits, sign))
    return prims.select(prims.ne(x, x), ~unsigned.type(0), order)


def _real_keys(x: Any) -> list[Any]:
    """The real arrays that are compared one after the other to compare elements of x; of narrow types wider ones."""
    dtype = typeof(x).dtype
    if dtypes.is_complex(dtype):
        return [prims.real(x), prims.imag(x)]
    return [prims.convert(x, dtypes.computed_in(dtype)) if dtypes.is_narrow(dtype) else x]
