"""What can go wrong in primitives: tests on operands, whose failures `checkify` makes results of a Program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.inside import Failure, Fault, Message
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim, is_true, product

__all__ = ["any_of", "broadcast_in_front", "division_by_zero", "first_of", "out_of_bounds"]

_NUMBER = ShapedArray((), dtypes.int64)


def any_of(mask: Any) -> Any:
    """Whether one element is true."""
    axes = tuple(range(typeof(mask).ndim))
    return prims.Any_(axes)(mask) if axes else mask


def broadcast_in_front(x: Any, shape: tuple[Dim, ...]) -> Any:
    """The value repeated along new axes in front."""
    axes = tuple(range(len(shape)))
    return prims.Broadcast((*shape, *typeof(x).shape), axes)(x) if shape else x


def first_of(state: Sequence[Any], ndim: int) -> Sequence[Any]:
    """Of arrays with so many batch axes, the elements where the first of them, integers, is not 0 at first.

    Those of the first element if it is 0 everywhere.
    """
    if not ndim:
        return state
    count = product(typeof(state[0]).shape[:ndim])
    if count == 0:
        return [prims.zeros(typeof(x).with_shape(typeof(x).shape[ndim:])) for x in state]
    flat = [prims.Reshape((count, *typeof(x).shape[ndim:]))(x) for x in state]
    at = prims.Argmax(0, dtypes.int32)(prims.ne(flat[0], np.int32(0)))
    return [_row(x, at) for x in flat]


def _row(x: Any, at: Any) -> Any:
    sizes = typeof(x).shape[1:]
    row = prims.DynamicSlice((1, *sizes))(x, at, *[np.int32(0) for _ in sizes])
    return prims.squeeze(row, (0,))


def division_by_zero() -> Fault:
    """The fault of a division: an element of the second operand is 0."""

    def test(operands: Sequence[Any], results: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
        divisor = operands[1]
        return any_of(prims.eq(divisor, prims.full((), 0, typeof(divisor).dtype))), ()

    return Fault(Failure(errors.DivisionByZeroError, Message("division by zero")), test)


@record
class OutOfBounds:
    """The test for windows that do not fit, along some axes of an array."""

    shape: tuple[Dim, ...]
    axes: tuple[int, ...]
    windows: tuple[Dim, ...]
    first: int  # of the operands that are indices
    vectors: bool  # whether that is one operand, of index vectors on its last axis; else a scalar for each axis

    def __call__(
        self, operands: Sequence[Any], results: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        outside: Any = np.bool_(False)
        values: list[Any] = [np.int64(0)] * 3
        for k, (axis, window) in enumerate(zip(self.axes, self.windows, strict=True)):
            starts = self._starts(operands, k)
            last = _as_number(self.shape[axis] - window)
            bad = prims.or_(prims.lt(starts, np.int64(0)), prims.gt(starts, last))
            code = prims.Convert(dtypes.int32)(bad)
            found, start = first_of((code, starts), typeof(starts).ndim)
            found = prims.ne(found, np.int32(0))
            here = [start, np.int64(axis), _as_number(self.shape[axis])]
            values = [
                prims.select(outside, old, new) for old, new in zip(values, here, strict=True)
            ]
            outside = prims.or_(outside, found)
        return outside, values

    def _starts(self, operands: Sequence[Any], component: int) -> Any:
        """The starts along an axis, as int64: larger unsigned ones become negative."""
        if not self.vectors:
            return prims.convert(operands[self.first + component], dtypes.int64)
        indices = operands[self.first]
        shape = typeof(indices).shape
        begin, end = [0] * len(shape), [*shape]
        begin[-1], end[-1] = component, component + 1
        part = prims.Slice(tuple(begin), tuple(end), (1,) * len(shape))(indices)
        return prims.convert(prims.squeeze(part, (len(shape) - 1,)), dtypes.int64)


def out_of_bounds(
    x: ShapedArray, axes: Sequence[int], windows: Sequence[Dim], first: int, vectors: Dim | None
) -> Sequence[Fault]:
    """The fault of reading or writing windows of these sizes along some axes.

    Their places come from operands, from the first one on: a scalar for each axis, or so many `vectors` in one operand.
    """
    if not axes or (vectors is not None and is_true(lambda: vectors == 0)):
        return ()
    test = OutOfBounds(x.shape, tuple(axes), tuple(windows), first, vectors is not None)
    shape = f"({', '.join(map(str, x.shape))}{',' * (x.ndim == 1)})"
    text = "index {} is out of bounds for axis {} with size {}."
    message = Message(f"out-of-bounds indexing for array of shape {shape}: {text}")
    return (Fault(Failure(errors.OOBError, message, (_NUMBER,) * 3), test),)


def _as_number(n: Dim) -> Any:
    """A dimension as a value."""
    if isinstance(n, int):
        return np.int64(n)
    return prims.Sum((0,))(prims.full((n,), 1, dtypes.int64))
