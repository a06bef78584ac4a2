"""Matrices with a name: Toeplitz, Hilbert, Pascal, ..."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.join import concatenate
from covector.numpy.matrices import diag
from covector.numpy.operands import together
from covector.numpy.padding import pad
from covector.numpy.promotion import broadcast_shapes, from_numpy, integer_of, lift
from covector.numpy.shape import broadcast_to, flip, reshape
from covector.numpy.take import take

__all__ = [
    "block_diag",
    "circulant",
    "companion",
    "convolution_matrix",
    "dft",
    "fiedler",
    "fiedler_companion",
    "hadamard",
    "hankel",
    "helmert",
    "hilbert",
    "invhilbert",
    "invpascal",
    "leslie",
    "pascal",
    "toeplitz",
]


def _constant(name: str, values: Any, dtype: np.dtype | None = None) -> Any:
    """A matrix of these values, in the dtype of Python's floats if none is given."""
    return from_numpy(name, np.asarray(values), dtype or dtypes.of_number(float))


def _vectors(name: str, x: Any, least: int) -> Any:
    """A vector, behind the axes of a batch; ValueError if it has too few elements. A number is a vector of one."""
    x = lift(name, x)
    x = reshape(x, (1,)) if x.ndim == 0 else x
    if x.shape[-1] < least:
        raise ValueError(
            f"{name} takes vectors of {least} elements or more, got shape {x.shape}{errors.at_user_line()}"
        )
    return x


def _size(name: str, n: Any) -> int:
    size = integer_of(n, f"the size of {name}")
    if size < 0:
        raise ValueError(
            f"{name}: the size must not be negative, got {size}{errors.at_user_line()}"
        )
    return _held(name, size)


def _held(name: str, size: int) -> int:
    """The size of a square matrix; MemoryError at once, not after hours in Python, where there is no room for it."""
    try:
        np.empty((size, size))
    except (MemoryError, ValueError, OverflowError):
        raise MemoryError(
            f"{name}: there is no room for a matrix of {size} rows and columns{errors.at_user_line()}"
        ) from None
    return size


def _strong(x: Any) -> Any:
    """The same, not weakly typed: these matrices are arrays, whatever their elements come from."""
    return prims.Convert(x.dtype, False)(x)


def _same_front(c: Any, r: Any) -> tuple[Any, Any]:
    """Both with the axes in front that they have together."""
    front = broadcast_shapes(c.shape[:-1], r.shape[:-1])
    return broadcast_to(c, (*front, c.shape[-1])), broadcast_to(r, (*front, r.shape[-1]))


def _by_difference(values: Any, rows: int, columns: int) -> Any:
    """values[..., rows - 1 - i + j] at (i, j)."""
    places = rows - 1 - np.arange(rows)[:, None] + np.arange(columns)
    return take(values, places, axis=-1)


def block_diag(*arrs: Any) -> Any:
    """A matrix with these matrices along its diagonal, in the dtype that they have together; zeros elsewhere.

    Vectors are rows.  ValueError for arrays of more than two axes.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.block_diag(cnp.ones((1, 2)), 3.0)
    Array([[1., 1., 0.],
           [0., 0., 3.]], dtype=float32)
    """
    xs = together("block_diag", "any", *(arrs or (np.zeros((1, 0), dtypes.of_number(float)),)))
    for x in xs:
        if x.ndim > 2:
            raise ValueError(
                f"block_diag takes matrices, got shape {x.shape}{errors.at_user_line()}"
            )
    blocks = [reshape(x, (1,) * (2 - x.ndim) + x.shape) for x in xs]
    width, before, rows = sum(x.shape[1] for x in blocks), 0, list[Any]()
    for x in blocks:
        rows.append(pad(x, ((0, 0), (before, width - before - x.shape[1]))))
        before += x.shape[1]
    return concatenate(rows, 0)


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix that is the same along each diagonal: its first column is c, its first row r (but for its corner).

    By default r is the conjugate of c.  The axes in front are a batch.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.toeplitz(cnp.array([1, 2, 3]), cnp.array([1, 4]))
    Array([[1, 4],
           [2, 1],
           [3, 2]], dtype=int32)
    """
    if r is None:
        c = lift("toeplitz", c)
        c, r = c, el.conj(c)
    c, r = together("toeplitz", "any", c, r)
    c, r = _same_front(*(reshape(x, (1,)) if x.ndim == 0 else x for x in (c, r)))
    values = _strong(concatenate([flip(c, -1), r[..., 1:]], -1))
    return _by_difference(values, c.shape[-1], r.shape[-1])


def circulant(c: Any) -> Any:
    """The square matrix whose first column is c, and each further one the one before it, moved on by a row.

    The axes in front are a batch.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.circulant(cnp.array([1, 2, 3]))
    Array([[1, 3, 2],
           [2, 1, 3],
           [3, 2, 1]], dtype=int32)
    """
    c = lift("circulant", c)
    c = reshape(c, (1,)) if c.ndim == 0 else c
    n = c.shape[-1]
    return take(c, (np.arange(n)[:, None] - np.arange(n)) % max(n, 1), axis=-1)


def hankel(c: Any, r: Any = None) -> Any:
    """The matrix that is the same along each antidiagonal: its first column is c, its last row r (but for its corner).

    By default r is zeros.  The axes in front are a batch.  ValueError for scalars.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.hankel(cnp.array([1, 2, 3]))
    Array([[1, 2, 3],
           [2, 3, 0],
           [3, 0, 0]], dtype=int32)
    """
    c = lift("hankel", c)
    c, r = together("hankel", "any", c, prims.full(c.shape, 0, c.dtype) if r is None else r)
    if c.ndim == 0 or r.ndim == 0:
        raise ValueError(
            f"hankel takes vectors, got shapes {c.shape} and {r.shape}{errors.at_user_line()}"
        )
    c, r = _same_front(c, r)
    values = _strong(concatenate([c, r[..., 1:]], -1))
    places = np.arange(c.shape[-1])[:, None] + np.arange(r.shape[-1])
    return take(values, places, axis=-1)


def companion(a: Any) -> Any:
    """The matrix whose eigenvalues are the roots of the polynomial with these coefficients, the highest first.

    The axes in front are a batch.  ValueError for fewer than two.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.companion(cnp.array([1.0, -3.0, 2.0]))
    Array([[ 3., -2.],
           [ 1.,  0.]], dtype=float32)
    """
    a = together("companion", "inexact", _vectors("companion", a, 2))[0]
    n = a.shape[-1] - 1
    first = el.negative(el.divide(a[..., None, 1:], a[..., None, :1]))
    ones = _constant("companion", np.eye(n - 1, n), a.dtype)
    return concatenate([first, broadcast_to(ones, (*a.shape[:-1], n - 1, n))], -2)


def convolution_matrix(a: Any, n: int, mode: str = "full") -> Any:
    """The matrix whose product with a vector of length n is its convolution with a; 'full', 'same' or 'valid'.

    The axes in front are a batch.  ValueError for another mode, or n < 1.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.convolution_matrix(cnp.array([1, 2]), 2)
    Array([[1, 0],
           [2, 1],
           [0, 2]], dtype=int32)
    """
    if np.ndim(a) == 0:
        raise ValueError(
            f"convolution_matrix got a number{errors.at_user_line()}; a is a vector, or a batch of them"
        )
    a, n = _vectors("convolution_matrix", a, 1), integer_of(n, "n")
    if n < 1 or mode not in ("full", "same", "valid"):
        raise ValueError(
            f"convolution_matrix: n must be positive and mode 'full', 'same' or 'valid', got {n} and {mode!r}"
            f"{errors.at_user_line()}"
        )
    m = a.shape[-1]
    zeros = prims.full((*a.shape[:-1], n - 1), 0, a.dtype)
    full = toeplitz(concatenate([a, zeros], -1), concatenate([a[..., :1], zeros], -1))
    less = min(n, m) - 1
    top, bottom = {"full": (0, 0), "same": (less // 2, less - less // 2), "valid": (less, less)}[
        mode
    ]
    return full[..., top : full.shape[-2] - bottom, :]


def dft(n: int, scale: str | None = None, *, dtype: Any = None) -> Any:
    """The matrix of the discrete Fourier transform of length n; `scale` divides by 'sqrtn' or 'n'.

    complex64 unless a dtype is given.  ValueError for another scale, or a dtype that is not complex.

    >>> from covector import scipy
    >>> scipy.linalg.dft(2).real
    Array([[ 1.,  1.],
           [ 1., -1.]], dtype=float32)
    """
    n = _size("dft", n)
    if scale not in (None, "sqrtn", "n"):
        raise ValueError(
            f"dft: scale must be None, 'sqrtn' or 'n', got {scale!r}{errors.at_user_line()}"
        )
    wanted = dtypes.or_default(dtype, complex)
    if not dtypes.is_complex(wanted):
        raise ValueError(f"dft: dtype must be complex, got {wanted.name}{errors.at_user_line()}")
    turns = np.outer(np.arange(n), np.arange(n)) % max(n, 1)
    factor = {None: 1.0, "sqrtn": math.sqrt(max(n, 1)), "n": float(n)}[scale]
    return _constant("dft", np.exp(-2j * np.pi * turns / max(n, 1)) / factor, wanted)


def fiedler(a: Any) -> Any:
    """The matrix of the differences of each two elements of a vector, without signs.

    The axes in front are a batch.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.fiedler(cnp.array([1, 4]))
    Array([[0, 3],
           [3, 0]], dtype=int32)
    """
    a = _vectors("fiedler", a, 0)
    return el.absolute(el.subtract(a[..., :, None], a[..., None, :]))


def fiedler_companion(a: Any) -> Any:
    """As `companion`, a matrix with five diagonals (Fiedler 2003).

    Of one coefficient it is empty.  The axes in front are a batch.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.fiedler_companion(cnp.array([1.0, -3.0, 2.0]))
    Array([[ 3., -2.],
           [ 1.,  0.]], dtype=float32)
    """
    a = together("fiedler_companion", "inexact", _vectors("fiedler_companion", a, 1))[0]
    n = a.shape[-1] - 1
    if n == 0:
        return prims.full((*a.shape[:-1], 0, 0), 0, a.dtype)
    a = el.negative(el.divide(a, a[..., :1]))
    # Which coefficient stands where: 0 for none, and -1 for a one.
    which = np.zeros((n, n), int)
    for i in range(n - 1):
        if i % 2 == 0:
            which[i, i + 1] = i + 2
            if i + 2 < n:
                which[i, i + 2] = -1
        else:
            which[i + 1, i] = i + 2
            if i + 2 < n:
                which[i + 2, i] = -1
    which[0, 0] = 1
    if n > 1:
        which[1, 0] = -1
    values = concatenate([prims.full((*a.shape[:-1], 1), 0, a.dtype), a[..., 1:]], -1)
    ones = _constant("fiedler_companion", (which < 0).astype(float), a.dtype)
    return el.add(take(values, np.maximum(which, 0), axis=-1), ones)


def hadamard(n: int, dtype: Any = int) -> Any:
    """Sylvester's matrix of 1 and -1 with orthogonal columns; ValueError unless n is a power of 2.

    TypeError for bool, which has no -1.

    >>> from covector import scipy
    >>> scipy.linalg.hadamard(2)
    Array([[ 1,  1],
           [ 1, -1]], dtype=int32)
    """
    n, wanted = integer_of(n, "the size of hadamard"), dtypes.as_dtype(dtype)
    if wanted == dtypes.bool_:
        raise TypeError(f"hadamard: bool has no -1{errors.at_user_line()}")
    if n < 1 or n & (n - 1):
        raise ValueError(f"hadamard: n must be a power of 2, got {n}{errors.at_user_line()}")
    found = np.ones((1, 1), int)
    while len(found) < _held("hadamard", n):
        found = np.block([[found, found], [found, -found]])
    return _constant("hadamard", found, wanted)


def helmert(n: int, full: bool = False) -> Any:
    """Helmert's matrix of orthonormal contrasts, (n - 1, n); with `full` (n, n), the first row being constant.

    >>> from covector import scipy
    >>> scipy.linalg.helmert(2, full=True).shape
    (2, 2)
    """
    n = _size("helmert", n)
    below = np.tril(np.ones((n, n)), -1) - np.diag(np.arange(n))
    below[:1] = 1
    sizes = np.arange(n) * np.arange(1, n + 1)
    sizes[:1] = n
    whole = below / np.sqrt(np.maximum(sizes, 1))[:, None]
    return _constant("helmert", whole if full else whole[1:])


def hilbert(n: int) -> Any:
    """The matrix 1 / (i + j + 1).

    >>> from covector import scipy
    >>> scipy.linalg.hilbert(2)
    Array([[1.        , 0.5       ],
           [0.5       , 0.33333334]], dtype=float32)
    """
    n = _size("hilbert", n)
    return _constant("hilbert", 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1))


def invhilbert(n: int) -> Any:
    """The inverse of Hilbert's matrix, of integers as float32.

    >>> from covector import scipy
    >>> scipy.linalg.invhilbert(2)
    Array([[ 4., -6.],
           [-6., 12.]], dtype=float32)
    """
    n = _size("invhilbert", n)
    rows = [
        [
            (-1) ** (i + j)
            * (i + j - 1)
            * math.comb(n + i - 1, n - j)
            * math.comb(n + j - 1, n - i)
            * math.comb(i + j - 2, i - 1) ** 2
            for j in range(1, n + 1)
        ]
        for i in range(1, n + 1)
    ]
    return _constant("invhilbert", np.array(rows, float).reshape(n, n))


def _kind(name: str, kind: str | None) -> str:
    if kind not in (None, "symmetric", "lower", "upper"):
        raise ValueError(
            f"{name}: kind must be 'symmetric', 'lower' or 'upper', got {kind!r}{errors.at_user_line()}"
        )
    return kind or "symmetric"


def _pascal(n: int, signed: bool) -> Any:
    """The lower triangle of binomial coefficients; of its inverse these have alternating signs."""
    rows = [
        [math.comb(i, j) * ((-1) ** (i + j) if signed else 1) for j in range(n)] for i in range(n)
    ]
    return np.array(rows, float).reshape(n, n)


def pascal(n: int, kind: str | None = None) -> Any:
    """Pascal's matrix of binomial coefficients as float32: 'symmetric' (by default), 'lower' or 'upper' triangular.

    ValueError for another kind.

    >>> from covector import scipy
    >>> scipy.linalg.pascal(3)
    Array([[1., 1., 1.],
           [1., 2., 3.],
           [1., 3., 6.]], dtype=float32)
    """
    form, lower = _kind("pascal", kind), _pascal(_size("pascal", n), signed=False)
    found = {"lower": lower, "upper": lower.T, "symmetric": lower @ lower.T}[form]
    return _constant("pascal", found)


def invpascal(n: int, kind: str | None = None) -> Any:
    """The inverse of Pascal's matrix of this kind, as float32.

    ValueError for another kind.

    >>> from covector import scipy
    >>> scipy.linalg.invpascal(2)
    Array([[ 2., -1.],
           [-1.,  1.]], dtype=float32)
    """
    form, lower = _kind("invpascal", kind), _pascal(_size("invpascal", n), signed=True)
    found = {"lower": lower, "upper": lower.T, "symmetric": lower.T @ lower}[form]
    return _constant("invpascal", found)


def leslie(f: Any, s: Any) -> Any:
    """Leslie's matrix of a population: its first row is f, and s stands below the diagonal.

    ValueError unless f has one element more than s.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.linalg.leslie(cnp.array([0.5, 2.0]), cnp.array([0.25]))
    Array([[0.5 , 2.  ],
           [0.25, 0.  ]], dtype=float32)
    """
    f, s = together("leslie", "any", f, s)
    if f.ndim != 1 or s.ndim != 1 or s.shape[0] != f.shape[0] - 1:
        raise ValueError(
            f"leslie got shapes {f.shape} and {s.shape}{errors.at_user_line()}: both must be vectors, f with one "
            "element more than s"
        )
    n = f.shape[0]
    below = pad(diag(s), ((0, 0), (0, 1)))
    return concatenate([reshape(f, (1, n)), below], 0)
