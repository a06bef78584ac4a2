"""Products of matrices of few bits, which come with scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.scaled import scaled_dot
from covector.numpy.promotion import lift

__all__ = ["scaled_matmul"]


def scaled_matmul(
    lhs: Any,
    rhs: Any,
    lhs_scales: Any,
    rhs_scales: Any,
    preferred_element_type: Any = np.float32,
) -> Any:
    """The products of stacks of matrices (B, M, K) and (B, N, K) along their last axes, both scaled block by block.

    The scales are (B, M, K1) and (B, N, K2), each for K / K1 or K / K2 neighbouring elements.  Sums are in float32 (or
    above).  TypeError for shapes that do not fit, or a `preferred_element_type` that is no float.

    >>> from covector import nn, numpy as cnp
    >>> x, half = cnp.array([[[1.0, 2.0, 3.0]]]), cnp.array([[[0.5]]])
    >>> nn.scaled_matmul(x, x, half, half)
    Array([[[3.5]]], dtype=float32)
    """
    name = "scaled_matmul"
    xs = [lift(name, x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    a, b = xs[:2]
    fits = all(x.ndim == 3 and x.shape[0] == a.shape[0] for x in xs)
    if not fits or a.shape[2] != b.shape[2]:
        raise TypeError(
            f"{name} takes (B, M, K), (B, N, K) and their scales (B, M, K1), (B, N, K2), got "
            f"{', '.join(typeof(x).text() for x in xs)}{errors.at_user_line()}"
        )
    wanted = dtypes.as_dtype(preferred_element_type)
    if not dtypes.is_float(wanted):
        raise TypeError(
            f"{name}: preferred_element_type is {wanted.name}{errors.at_user_line()}, but products are floats"
        )
    return scaled_dot(
        a,
        b,
        lhs_scale=xs[2],
        rhs_scale=xs[3],
        dimension_numbers=(((2,), (2,)), ((0,), (0,))),
        preferred_element_type=wanted,
    )
