"""Sorting: rows by key, with a payload moved along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["SortPairs", "take_along_last"]


def take_along_last(x: Any, order: Any) -> Any:
    """The elements of x along its last axis at these places, row by row."""
    ndim = len(typeof(order).shape)
    if typeof(order).shape[-1] == 0:
        return prims.zeros(typeof(x))
    rows = tuple(range(ndim - 1))
    numbers = prims.GatherDimensionNumbers((), (ndim - 1,), (ndim - 1,), rows, rows)
    vectors = prims.Reshape((*typeof(order).shape, 1))(order)
    return prims.Gather(numbers, (1,) * ndim, "promise_in_bounds")(x, vectors)


@record
class SortPairs(Primitive):
    """Sort the keys along the last axis, stably and with NaNs last; the values go where their keys go.

    Operands: keys (real) and values of one shape.  Results: the sorted keys, the values in the keys' order.
    """

    name: ClassVar[str] = "sort_pairs"
    multiple: ClassVar[bool] = True

    def type(self, keys: ShapedArray, values: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
        if keys.shape != values.shape or not keys.shape:
            raise errors.ShapeError(
                errors.shape_mismatch("sort_pairs", [keys.text(), values.text()])
            )
        if dtypes.is_complex(keys.dtype):
            raise TypeError(f"sort_pairs has no order for {keys.text()}{errors.at_user_line()}")
        return keys, values

    def reference(self, keys: Any, values: Any) -> Any:
        wide = keys.astype(np.float32) if keys.dtype == dtypes.bfloat16 else keys
        order = np.argsort(wide, axis=-1, kind="stable")
        return np.take_along_axis(keys, order, -1), np.take_along_axis(values, order, -1)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        keys, values = primals
        shape = typeof(keys).shape
        places = prims.Iota(shape, dtypes.index_dtype(shape[-1]), len(shape) - 1)()
        sorted_keys, order = self(keys, places)
        out = sorted_keys, take_along_last(values, order)
        moved = [
            Zero(typeof(o)) if is_zero(t) else take_along_last(t, order)
            for o, t in zip(out, tangents, strict=True)
        ]
        return out, tuple(moved)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        front = [prims.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)]
        return self(*front), (0, 0)
