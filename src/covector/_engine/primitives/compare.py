"""Comparisons: by value, where NaN is unordered, and in the total order of floats."""

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
    "eq",
    "eq_total",
    "ge",
    "gt",
    "is_finite",
    "le",
    "le_total",
    "lt",
    "lt_total",
    "ne",
]


def _comparison(name: str, numpy: Callable[..., Any], kinds: str = "biuf") -> prims.Elementwise:
    both = "and" if name == "eq" else "or"
    return prims.Elementwise(
        name,
        numpy,
        (NO_SLOPE, NO_SLOPE),
        prims.scalar_op(name),
        kinds,
        "bool",
        on_complex=lambda p, q: scalar.apply(
            both, scalar.apply(name, p[0], q[0]), scalar.apply(name, p[1], q[1])
        ),
    )


def _total_key(x: Expr) -> Expr:
    """A signed integer in the total order of floats: -NaN < -inf < ... < -0 < 0 < ... < NaN."""
    if dtypes.is_narrow(x.dtype):
        x = scalar.convert(x, dtypes.float32)
    signed = np.dtype(f"int{8 * x.dtype.itemsize}")
    bits = scalar.bitcast(x, signed)
    return choose(bits < 0, bits ^ const(np.iinfo(signed).max, signed), bits)


def _numpy_total_key(x: Any) -> Any:
    if dtypes.is_narrow(x.dtype):
        x = x.astype(np.float32)
    signed = np.dtype(f"int{8 * x.dtype.itemsize}")
    bits = np.ascontiguousarray(x).view(signed).reshape(np.shape(x))
    return np.where(bits < 0, bits ^ np.iinfo(signed).max, bits)


def _total(name: str, op: str, numpy: Callable[..., Any]) -> prims.Elementwise:
    return prims.Elementwise(
        name,
        lambda x, y: numpy(_numpy_total_key(x), _numpy_total_key(y)),
        (NO_SLOPE, NO_SLOPE),
        lambda x, y: scalar.apply(op, _total_key(x), _total_key(y)),
        "f",
        "bool",
    )


eq, ne = _comparison("eq", np.equal, "biufc"), _comparison("ne", np.not_equal, "biufc")
lt, le = _comparison("lt", np.less), _comparison("le", np.less_equal)
gt, ge = _comparison("gt", np.greater), _comparison("ge", np.greater_equal)
eq_total, le_total = _total("eq_to", "eq", np.equal), _total("le_to", "le", np.less_equal)
lt_total = _total("lt_to", "lt", np.less)
is_finite = prims.Elementwise(
    "is_finite",
    np.isfinite,
    (NO_SLOPE,),
    lambda x: scalar.apply("abs", scalar.convert(x, dtypes.computed_in(x.dtype))) < np.inf,
    "f",
    "bool",
    widen=True,
)
