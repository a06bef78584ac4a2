"""Linear algebra: norms and powers of matrices, beside the products of `covector.numpy`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, linear, reduce
from covector.numpy.factors import cholesky
from covector.numpy.linear import cross, matmul, outer, tensordot, vecdot
from covector.numpy.matrices import diagonal as _diagonal, eye
from covector.numpy.operands import together
from covector.numpy.promotion import axes_of, cast, integer_of, lift, spread
from covector.numpy.shape import matrix_transpose, squeeze
from covector.numpy.systems import det, inv, slogdet, solve, tensorinv, tensorsolve

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "slogdet",
    "solve",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of the last two axes, as the last axis.

    The dtype stays.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.diagonal(cnp.array([[1, 2], [3, 4]]))
    Array([1, 4], dtype=int32)
    """
    return _diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum along the diagonal of the last two axes.

    ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.trace(cnp.array([[1, 2], [3, 4]]))
    Array(5, dtype=int32)
    """
    return linear.trace(x, offset, -2, -1, dtype)


def vector_norm(
    x: Any, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: Any = 2
) -> Any:
    """The norm of vectors along an axis, or of all elements.

    It is (Σ |x|^ord)^(1/ord), the limit of that for ±inf, and how many are not zero for 0.  As a real float; the
    axes go unless `keepdims`.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.vector_norm(cnp.array([3.0, 4.0]))
    Array(5., dtype=float32)
    """
    (x,) = together("vector_norm", "inexact", x)
    axes = axes_of(axis, x.ndim)
    if isinstance(ord, str):
        raise ValueError(
            f"{ord!r} is not an order of the norm of vectors{errors.at_user_line()}; orders are numbers"
        )
    if ord is None or ord == 2:
        return el.sqrt(reduce.sum(_squares(x), axes, keepdims=keepdims))
    size = el.absolute(x)
    if ord == np.inf:
        return reduce.max(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return reduce.min(size, axes, keepdims=keepdims)
    if ord == 0:
        return reduce.sum(
            prims.ne(size, size.dtype.type(0)), axes, dtype=size.dtype, keepdims=keepdims
        )
    if ord == 1:
        return reduce.sum(size, axes, keepdims=keepdims)
    return el.power(reduce.sum(el.power(size, ord), axes, keepdims=keepdims), 1.0 / ord)


def _squares(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return prims.add(prims.square(prims.real(x)), prims.square(prims.imag(x)))
    return prims.square(x)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices in the last two axes: 'fro', or 1, -1, inf, -inf for the largest or smallest sums.

    As a real float; the two axes go unless `keepdims`.  NotImplementedError for another `ord`.

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
    x = lift("norm", x)
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
    if ord not in (1, -1, np.inf, -np.inf):
        raise NotImplementedError(
            f"norm of matrices of order {ord!r}{errors.at_user_line()}; there are None, 'fro', 1, -1, inf and -inf"
        )
    summed, other = (row, column) if ord in (1, -1) else (column, row)
    sums = vector_norm(x, axis=summed, keepdims=True, ord=1)
    result = (reduce.max if ord > 0 else reduce.min)(sums, other, keepdims=True)
    return result if keepdims else squeeze(result, axes)


def matrix_power(a: Any, n: int) -> Any:
    """The n-th power of square matrices, by repeated squaring; of the inverse, if n < 0.

    The dtype stays, but for negative powers of integers.  TypeError unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.matrix_power(cnp.array([[1, 1], [0, 1]]), 5)
    Array([[1, 5],
           [0, 1]], dtype=int32)
    """
    a, n = lift("matrix_power", a), integer_of(n, "the exponent of matrix_power")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise TypeError(
            f"matrix_power takes square matrices, got shape {a.shape}{errors.at_user_line()}"
        )
    if n < 0:
        a, n = inv(a), -n
    result = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        a = matmul(a, a) if n else a
    return spread(cast(eye(a.shape[-1]), a.dtype), a.shape) if result is None else result


def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Any:
    """The product of several matrices, in the order that needs the fewest multiplications.

    The first and the last may be vectors.  ValueError for fewer than two arrays.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.multi_dot([cnp.ones((2, 3)), cnp.ones((3, 4)), cnp.ones(4)])
    Array([12., 12.], dtype=float32)
    """
    xs = [lift("multi_dot", x) for x in arrays]
    if len(xs) < 2 or any(
        x.ndim != 2 and not (x.ndim == 1 and i in (0, len(xs) - 1)) for i, x in enumerate(xs)
    ):
        raise ValueError(
            f"multi_dot takes two or more matrices, of which the first and the last may be vectors, got shapes "
            f"{[x.shape for x in xs]}{errors.at_user_line()}"
        )
    if len(xs) < 3:
        return fold(linear.dot, xs)
    sizes = [
        n if isinstance(n, int) else 128
        for n in (*[_rows(x, i) for i, x in enumerate(xs)], xs[-1].shape[-1])
    ]
    if xs[-1].ndim == 1:
        sizes[-1] = 1
    return _chain(xs, _best_splits(sizes), 0, len(xs) - 1)


def _rows(x: Any, i: int) -> Any:
    return 1 if i == 0 and x.ndim == 1 else x.shape[0]


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of the matrices i..j, for all i < j."""
    n = len(sizes) - 1
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            }
            split[i, j] = min(options, key=options.__getitem__)
            cost[i, j] = options[split[i, j]]
    return split


def _chain(xs: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return xs[i]
    k = split[i, j]
    return linear.dot(_chain(xs, split, i, k), _chain(xs, split, k + 1, j))


publish(__name__)
