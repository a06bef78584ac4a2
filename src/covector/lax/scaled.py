"""Products of operands that are scaled block by block, as numbers of few bits are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.lax.products import DotDimensionNumbers, dot_general
from covector.numpy.join import repeat
from covector.numpy.operands import converted

__all__ = ["scaled_dot"]

_DEFAULT: dict[int, DotDimensionNumbers] = {
    2: (((1,), (0,)), ((), ())),
    3: (((2,), (1,)), ((0,), (0,))),
}


def scaled_dot(
    lhs: Any,
    rhs: Any,
    *,
    lhs_scale: Any = None,
    rhs_scale: Any = None,
    dimension_numbers: DotDimensionNumbers | None = None,
    preferred_element_type: Any = None,
) -> Any:
    """`dot_general` of (lhs * lhs_scale) and (rhs * rhs_scale), where each scale serves a block of elements.

    A scale has the operand's shape, but is shorter along the contracted axes: so many elements there share a scale.
    The product is computed in float32 (or above), and is bfloat16 unless `preferred_element_type` says otherwise.
    Without `dimension_numbers` matrices are multiplied, or stacks of them in the last two of three axes.
    TypeError for a scale that does not fit.

    >>> from covector import lax, numpy as cnp
    >>> x, scale = cnp.ones((2, 4)), cnp.array([[1.0, 2.0], [0.0, 4.0]])
    >>> lax.scaled_dot(x, x.T, lhs_scale=scale, preferred_element_type="float32")
    Array([[6., 6.],
           [8., 8.]], dtype=float32)
    """
    x, y = array("scaled_dot", lhs), array("scaled_dot", rhs)
    if dimension_numbers is None:
        dimension_numbers = _DEFAULT.get(x.ndim if x.ndim == y.ndim else 0)
    if dimension_numbers is None:
        raise TypeError(
            f"scaled_dot of {typeof(x).text()} and {typeof(y).text()}{errors.at_user_line()} needs dimension_numbers: "
            "without, both are matrices, or stacks of them"
        )
    (left, right), _ = dimension_numbers
    wanted = (
        dtypes.bfloat16
        if preferred_element_type is None
        else dtypes.as_dtype(preferred_element_type)
    )
    inner = dtypes.promote((wanted, False), (dtypes.float32, False))[0]
    x = _scaled("lhs", x, lhs_scale, tuple(left), inner)
    y = _scaled("rhs", y, rhs_scale, tuple(right), inner)
    return converted(dot_general(x, y, dimension_numbers), wanted)


def _scaled(name: str, x: Any, scale: Any, contracted: Sequence[int], dtype: np.dtype) -> Any:
    """The operand times its scales, in a dtype."""
    x = converted(x, dtype)
    if scale is None:
        return x
    scale = array("scaled_dot", scale)
    fits = scale.ndim == x.ndim and all(
        m > 0 and n % m == 0 and (a in contracted or n == m)
        for a, (n, m) in enumerate(zip(x.shape, scale.shape, strict=True))
    )
    if not fits:
        raise TypeError(
            f"scaled_dot: {name}_scale is {typeof(scale).text()}{errors.at_user_line()}, but it must have the shape "
            f"{x.shape} of {name}, with a divisor of the length along the contracted axes {tuple(contracted)}"
        )
    scale = converted(scale, dtype)
    for axis in contracted:
        scale = repeat(scale, x.shape[axis] // scale.shape[axis], axis)
    return prims.mul(x, scale)
