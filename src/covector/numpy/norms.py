"""Norms of vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.primitives.linalg_spectral import Svd
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.operands import together
from covector.numpy.promotion import axes_of
from covector.numpy.shape import expand_dims, moveaxis, squeeze
from covector.numpy.systems import matrices

__all__ = ["matrix_norm", "norm", "vector_norm"]


def vector_norm(
    x: Any, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: Any = 2
) -> Any:
    """The norm of vectors along an axis, or of all elements.

    It is (Σ |x|^ord)^(1/ord), the limit of that for ±inf, and how many are not zero for 0.  As a real float, but
    for integers and an order of 1 or ±inf; the axes go unless `keepdims`.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.vector_norm(cnp.array([3.0, 4.0]))
    Array(5., dtype=float32)
    """
    # Sums and extremes of integers are integers.
    exact = not isinstance(ord, str) and ord in (1, np.inf, -np.inf)
    (x,) = together("vector_norm", "any" if exact else "inexact", x)
    axes = axes_of(axis, x.ndim)
    if isinstance(ord, str):
        raise ValueError(
            f"{ord!r} is not an order of the norm of vectors{errors.at_user_line()}; orders are numbers"
        )
    if ord is None or ord == 2:
        return el.sqrt(reduce.sum(_squares(x), axes, keepdims=keepdims))
    size = el.absolute(x)
    if ord == np.inf:
        return _largest(size, axes, keepdims)
    if ord == -np.inf:
        return reduce.min(size, axes, keepdims=keepdims)
    if ord == 0:
        return reduce.sum(
            prims.ne(size, size.dtype.type(0)), axes, dtype=size.dtype, keepdims=keepdims
        )
    if ord == 1:
        return reduce.sum(size, axes, keepdims=keepdims)
    return el.power(reduce.sum(el.power(size, ord), axes, keepdims=keepdims), 1.0 / ord)


def _largest(sizes: Any, axes: int | Sequence[int], keepdims: bool) -> Any:
    """The largest of numbers that are not negative, 0 of none."""
    initial = 0 if 0 in sizes.shape else None
    return reduce.max(sizes, axes, keepdims=keepdims, initial=initial)


def _squares(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return prims.add(prims.square(prims.real(x)), prims.square(prims.imag(x)))
    return prims.square(x)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices in the last two axes.

    `ord` is 'fro', 'nuc' (the sum of singular values), 2 or -2 (the largest, smallest one), 1 or -1 (of the sums of
    columns), inf or -inf (of those of rows).  As a real float; the two axes go unless `keepdims`.  ValueError for
    another `ord`.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.matrix_norm(cnp.array([[3.0, 0.0], [0.0, 4.0]]))
    Array(5., dtype=float32)
    """
    return norm(x, ord, (-2, -1), keepdims)


def norm(
    x: Any, ord: Any = None, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Any:
    """The norm of vectors along one axis, of matrices along two, or of all elements.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.norm(cnp.array([3., 4.]))
    Array(5., dtype=float32)
    """
    (x,) = together("norm", "inexact", x)
    axes = axes_of(axis, x.ndim)
    if ord is None or len(axes) == 1:
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ValueError(
            f"norm of order {ord!r} needs one or two axes, got {axes}{errors.at_user_line()}"
        )
    row, column = axes
    if ord in ("fro", "f"):
        return vector_norm(x, axis=axes, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        s = Svd(False, False)(matrices("linalg.norm", moveaxis(x, axes, (-2, -1)))[0])[0]
        if ord == 2:
            out = _largest(s, -1, False)
        else:
            out = (reduce.sum if ord == "nuc" else reduce.min)(s, -1)
        return expand_dims(out, sorted(axes)) if keepdims else out
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(
            f"{ord!r} is not an order of the norm of matrices{errors.at_user_line()}; there are None, 'fro', 'nuc', "
            "1, -1, 2, -2, inf and -inf"
        )
    summed, other = (row, column) if ord in (1, -1) else (column, row)
    sums = vector_norm(x, axis=summed, keepdims=True, ord=1)
    result = _largest(sums, other, True) if ord > 0 else reduce.min(sums, other, keepdims=True)
    return result if keepdims else squeeze(result, axes)
