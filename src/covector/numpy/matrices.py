"""Matrices: diagonals, triangles, powers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import Tracer
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim
from covector.numpy.creation import iota, ones_like
from covector.numpy.elementwise import equal, greater_equal
from covector.numpy.fused import compiled
from covector.numpy.join import stack
from covector.numpy.operands import converted, placed
from covector.numpy.promotion import (
    cast,
    from_numpy,
    integer_of,
    lift,
    shape_of,
    spread,
)
from covector.numpy.selection import where
from covector.numpy.shape import moveaxis, reshape

__all__ = [
    "diag",
    "diagflat",
    "diagonal",
    "eye",
    "identity",
    "tri",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
    "vander",
]


def _difference(rows: Dim, columns: Dim, compare: Any, k: Any) -> Any:
    """compare(i + k, j) for the row i and column j of a matrix."""
    if isinstance(k, Tracer):
        k = cast(k, dtypes.int32)
    else:  # past the edges all diagonals are alike
        k = np.int32(max(-(2**30), min(integer_of(k, "k"), 2**30)))
    row = prims.add(iota((rows, columns), dtypes.int32, 0), k)
    return compare(row, iota((rows, columns), dtypes.int32, 1))


def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones on the k-th diagonal, zeros elsewhere.

    Of shape (N, M), M being N by default; float32 unless a dtype is given.  ValueError for a negative size.

    >>> from covector import numpy as cnp
    >>> cnp.eye(2, 3, k=1)
    Array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    rows, columns = shape_of((N, N if M is None else M))
    made = converted(_difference(rows, columns, equal, k), dtypes.or_default(dtype))
    return placed("eye", made, device)


def identity(n: Any, dtype: Any = None) -> Any:
    """The identity matrix.

    Of shape (n, n); float32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> cnp.identity(2)
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    return eye(n, dtype=dtype)


def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on and below the k-th diagonal, zeros above.

    Of shape (N, M), M being N by default; float32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> cnp.tri(2, 3, dtype=int)
    Array([[1, 0, 0],
           [1, 1, 0]], dtype=int32)
    """
    rows, columns = shape_of((N, N if M is None else M))
    return converted(_difference(rows, columns, greater_equal, k), dtypes.or_default(dtype))


def _matrix(name: str, m: Any) -> Any:
    m = lift(name, m)
    if m.ndim < 2:
        raise ValueError(
            f"{name} needs at least 2 dimensions, got shape {m.shape}{errors.at_user_line()}"
        )
    return m


@compiled("m")
def tril(m: Any, k: int = 0) -> Any:
    """The part on and below the k-th diagonal of the last two axes, zeros above.

    Shape and dtype stay.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.tril(cnp.array([[1, 2], [3, 4]]))
    Array([[1, 0],
           [3, 4]], dtype=int32)
    """
    m = _matrix("tril", m)
    inside = tri(m.shape[-2], m.shape[-1], k, bool)
    return converted(where(spread(inside, m.shape), m, m.dtype.type(0)), m.dtype, m.weak_type)


@compiled("m")
def triu(m: Any, k: int = 0) -> Any:
    """The part on and above the k-th diagonal of the last two axes, zeros below.

    Shape and dtype stay.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.triu(cnp.array([[1, 2], [3, 4]]))
    Array([[1, 2],
           [0, 4]], dtype=int32)
    """
    m = _matrix("triu", m)
    below = tri(m.shape[-2], m.shape[-1], k - 1, bool)
    return converted(where(spread(below, m.shape), m.dtype.type(0), m), m.dtype, m.weak_type)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The rows and columns of the elements on and below the k-th diagonal.

    Of an n by m matrix, m being n by default; as int32, to index with.

    >>> from covector import numpy as cnp
    >>> cnp.tril_indices(2)
    (Array([0, 1, 1], dtype=int32), Array([0, 0, 1], dtype=int32))
    """
    rows, columns = np.tril_indices(n, k, m)
    dtype = dtypes.position_dtype(n if m is None else max(n, m))
    return from_numpy("tril_indices", rows, dtype), from_numpy("tril_indices", columns, dtype)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The rows and columns of the elements on and above the k-th diagonal.

    Of an n by m matrix, m being n by default; as int32, to index with.

    >>> from covector import numpy as cnp
    >>> cnp.triu_indices(2)
    (Array([0, 0, 1], dtype=int32), Array([0, 1, 1], dtype=int32))
    """
    rows, columns = np.triu_indices(n, k, m)
    dtype = dtypes.position_dtype(n if m is None else max(n, m))
    return from_numpy("triu_indices", rows, dtype), from_numpy("triu_indices", columns, dtype)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements on a diagonal of two axes, as the last axis.

    The dtype stays.  ValueError for an array with fewer than two axes.

    >>> from covector import numpy as cnp
    >>> cnp.diagonal(cnp.array([[1, 2], [3, 4]]))
    Array([1, 4], dtype=int32)
    """
    a = lift("diagonal", a)
    if a.ndim < 2:
        raise ValueError(
            f"diagonal needs at least 2 dimensions, got shape {a.shape}{errors.at_user_line()}"
        )
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = (operator.index(n) for n in a.shape[-2:])
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    first = max(-offset, 0) * columns + max(offset, 0) if length else 0
    flat = reshape(a, (*a.shape[:-2], rows * columns))
    stop = first + (length - 1) * (columns + 1) + 1 if length else first
    lead = len(flat.shape) - 1
    strides = (1,) * lead + (columns + 1,)
    return prims.Slice((0,) * lead + (min(first, stop),), (*flat.shape[:-1], stop), strides)(flat)


@compiled("v")
def diag(v: Any, k: int = 0) -> Any:
    """A matrix with the vector on its k-th diagonal; or the k-th diagonal of a matrix.

    ValueError for an array of other than one or two axes.

    >>> from covector import numpy as cnp
    >>> cnp.diag(cnp.array([1, 2]))
    Array([[1, 0],
           [0, 2]], dtype=int32)
    >>> cnp.diag(cnp.array([[1, 2], [3, 4]]))
    Array([1, 4], dtype=int32)
    """
    v = lift("diag", v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(
            f"diag takes one or two dimensions, got shape {v.shape}{errors.at_user_line()}"
        )
    k = integer_of(k, "k")
    size = v.shape[0] + abs(k)
    shifted = prims.Pad((max(k, 0),), (max(-k, 0),), (0,))(v, v.dtype.type(0))
    columns = spread(reshape(shifted, (1, size)), (size, size))
    out = where(_difference(size, size, equal, k), columns, v.dtype.type(0))
    return converted(out, v.dtype, v.weak_type)


def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with the flattened elements on its k-th diagonal.

    >>> from covector import numpy as cnp
    >>> cnp.diagflat(cnp.array([1, 2]), k=1)
    Array([[0, 1, 0],
           [0, 0, 2],
           [0, 0, 0]], dtype=int32)
    """
    out = diag(reshape(lift("diagflat", v), (-1,)), k)
    return converted(out, out.dtype)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements as rows of a matrix, the highest first unless `increasing`.

    Of shape (len(x), N), N being len(x) by default.  ValueError unless x is a vector.

    >>> from covector import numpy as cnp
    >>> cnp.vander(cnp.array([2, 3]), 3)
    Array([[4, 2, 1],
           [9, 3, 1]], dtype=int32)
    """
    x = lift("vander", x)
    if x.ndim != 1:
        raise ValueError(f"vander takes a vector, got shape {x.shape}{errors.at_user_line()}")
    count = operator.index(x.shape[0]) if N is None else N
    if x.shape[0] == 0 or count == 0:
        return ones_like(x, shape=(x.shape[0], count))
    powers = range(count) if increasing else range(count - 1, -1, -1)
    return stack([prims.integer_pow(x, n) if n else ones_like(x) for n in powers], 1)
