"""Operations on the bits of integers, and logic: rows as in `elementwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.core.symbolic import NO_SLOPE
from covector._engine.ir import scalar
from covector._engine.ir.scalar import Expr, const, select as choose
from covector._engine.types import dtypes

__all__ = [
    "and_",
    "clz",
    "mulhi",
    "not_",
    "or_",
    "population_count",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "xor",
]


def _shift(op: str) -> Callable[..., Expr]:
    """Shift counts of the width or more give what shifting out every bit gives."""

    def element(x: Expr, n: Expr) -> Expr:
        width, unsigned = dtypes.bits(x.dtype), dtypes.unsigned_of(x.dtype)
        count = scalar.bitcast(n, unsigned)
        fits = count < width
        if op == "sar":
            count = choose(fits, count, const(width - 1, unsigned))
            return scalar.apply("sar", x, scalar.bitcast(count, x.dtype))
        shifted = scalar.apply(
            op, x, scalar.bitcast(choose(fits, count, const(0, unsigned)), x.dtype)
        )
        return choose(fits, shifted, const(0, x.dtype))

    return element


def _numpy_shift(kind: str) -> Callable[..., Any]:
    def numpy(x: Any, n: Any) -> Any:
        width, unsigned = dtypes.bits(x.dtype), dtypes.unsigned_of(x.dtype)
        count = n.astype(unsigned).astype(np.uint64)
        fits = count < width
        count = np.where(fits, count, width - 1 if kind == "sar" else 0)
        as_type = dtypes.named_dtype(f"int{width}") if kind == "sar" else unsigned
        moved = (
            x.view(as_type) << count.astype(as_type)
            if kind == "shl"
            else x.view(as_type) >> count.astype(as_type)
        )
        return np.where(fits | (kind == "sar"), moved, np.zeros((), as_type)).view(x.dtype)

    return lambda x, n: numpy(np.atleast_1d(x), np.atleast_1d(n)).reshape(
        np.broadcast_shapes(x.shape, n.shape)
    )


def _numpy_clz(x: Any) -> Any:
    width = dtypes.bits(x.dtype)
    lengths = [width - int(v).bit_length() for v in x.astype(dtypes.unsigned_of(x.dtype)).flat]
    return np.array(lengths, np.int64).reshape(x.shape).astype(x.dtype)


def _numpy_popcount(x: Any) -> Any:
    """Of the bits, not of the magnitude as NumPy does for negative numbers."""
    return np.bitwise_count(x.astype(dtypes.unsigned_of(x.dtype)).astype(np.uint64))


def _numpy_mulhi(x: Any, y: Any) -> Any:
    width = dtypes.bits(x.dtype)
    return ((x.astype(object) * y.astype(object)) >> width).astype(x.dtype)


and_ = prims.Elementwise("and", np.bitwise_and, (NO_SLOPE, NO_SLOPE), prims.scalar_op("and"), "biu")
or_ = prims.Elementwise("or", np.bitwise_or, (NO_SLOPE, NO_SLOPE), prims.scalar_op("or"), "biu")
xor = prims.Elementwise("xor", np.bitwise_xor, (NO_SLOPE, NO_SLOPE), prims.scalar_op("xor"), "biu")
not_ = prims.Elementwise("not", np.invert, (NO_SLOPE,), prims.scalar_op("not"), "biu")
shift_left = prims.Elementwise(
    "shift_left", _numpy_shift("shl"), (NO_SLOPE, NO_SLOPE), _shift("shl"), "iu"
)
shift_right_logical = prims.Elementwise(
    "shift_right_logical", _numpy_shift("shr"), (NO_SLOPE, NO_SLOPE), _shift("shr"), "iu"
)
shift_right_arithmetic = prims.Elementwise(
    "shift_right_arithmetic", _numpy_shift("sar"), (NO_SLOPE, NO_SLOPE), _shift("sar"), "iu"
)
population_count = prims.Elementwise(
    "population_count", _numpy_popcount, (NO_SLOPE,), prims.scalar_op("popcount"), "iu"
)
clz = prims.Elementwise("clz", _numpy_clz, (NO_SLOPE,), prims.scalar_op("clz"), "iu")
mulhi = prims.Elementwise(
    "mulhi", _numpy_mulhi, (NO_SLOPE, NO_SLOPE), prims.scalar_op("mulhi"), "iu"
)
