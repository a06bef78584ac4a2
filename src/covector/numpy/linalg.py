"""Linear algebra: norms and powers of matrices, beside the products of `covector.numpy`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from typing import Any

from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.numpy import linear
from covector.numpy.factors import (
    cholesky,
    cond,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lstsq,
    matrix_rank,
    pinv,
    qr,
    svd,
    svdvals,
)
from covector.numpy.linear import vecdot
from covector.numpy.matrices import diagonal as _diagonal, eye
from covector.numpy.norms import matrix_norm, norm, vector_norm
from covector.numpy.precision import check_precision
from covector.numpy.promotion import axis_of, cast, integer_of, lift, spread
from covector.numpy.shape import matrix_transpose
from covector.numpy.systems import det, inv, slogdet, solve, tensorinv, tensorsolve

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
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


def matmul(
    x1: Any, x2: Any, /, *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The matrix product over the last two axes, as `covector.numpy.matmul` has it.

    ValueError for scalars, TypeError if the sizes do not fit.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.matmul(cnp.ones((2, 3)), cnp.ones((3, 4))).shape
    (2, 4)
    """
    return linear.matmul(x1, x2, precision=precision, preferred_element_type=preferred_element_type)


def tensordot(
    x1: Any,
    x2: Any,
    /,
    *,
    axes: Any = 2,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over axes of both, as `covector.numpy.tensordot` has it.

    TypeError if the lengths of the axes differ.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.tensordot(cnp.ones((2, 3)), cnp.ones((3, 2)), axes=1)
    Array([[3., 3.],
           [3., 3.]], dtype=float32)
    """
    return linear.tensordot(
        x1,
        x2,
        axes,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of three elements along an axis; the other axes broadcast.

    ValueError for vectors of another length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.cross(cnp.array([1, 0, 0]), cnp.array([0, 1, 0]))
    Array([0, 0, 1], dtype=int32)
    """
    x1, x2 = lift("cross", x1), lift("cross", x2)
    if x1.shape[axis_of(axis, x1.ndim)] != 3 or x2.shape[axis_of(axis, x2.ndim)] != 3:
        raise ValueError(
            f"cross takes vectors of three elements along axis {axis}, not shapes {x1.shape} and {x2.shape}"
            f"{errors.at_user_line()}"
        )
    return linear.cross(x1, x2, axis=axis)


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
            result = a if result is None else linear.matmul(result, a)
        n >>= 1
        a = linear.matmul(a, a) if n else a
    return spread(cast(eye(a.shape[-1]), a.dtype), a.shape) if result is None else result


def outer(x1: Any, x2: Any, /) -> Any:
    """All products of an element of one vector and an element of another.

    ValueError unless both are vectors, which `numpy.outer` makes of other arrays.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.outer(cnp.array([1, 2]), cnp.array([3, 4]))
    Array([[3, 4],
           [6, 8]], dtype=int32)
    """
    a, b = lift("linalg.outer", x1), lift("linalg.outer", x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(
            f"linalg.outer takes vectors, got shapes {a.shape} and {b.shape}{errors.at_user_line()}"
        )
    return linear.outer(a, b)


def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Any:
    """The product of several matrices, in the order that needs the fewest multiplications.

    The first and the last may be vectors.  ValueError for fewer than two arrays.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.multi_dot([cnp.ones((2, 3)), cnp.ones((3, 4)), cnp.ones(4)])
    Array([12., 12.], dtype=float32)
    """
    check_precision("multi_dot", precision)
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
