"""Polynomials that need factors of matrices: their zeros, the one with given zeros, the one that fits points best."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, linalg, reduce
from covector.numpy.creation import asarray, ones, zeros
from covector.numpy.join import concatenate
from covector.numpy.linear import matmul
from covector.numpy.matrices import eye, vander
from covector.numpy.operands import converted, together
from covector.numpy.polynomials import coefficients, product
from covector.numpy.promotion import integer_of, lift
from covector.numpy.selection import known, where
from covector.numpy.shape import atleast_1d, cut, reshape, roll
from covector.numpy.sorting import argsort
from covector.numpy.take import take

__all__ = ["poly", "polyfit", "roots"]


def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with these zeros, the first being 1; or of a square matrix, whose eigenvalues
    they are.

    As floats; of a matrix as complex numbers.  ValueError for other shapes.

    >>> from covector import numpy as cnp
    >>> cnp.poly(cnp.array([1, 2]))
    Array([ 1., -3.,  2.], dtype=float32)
    """
    (x,) = together("poly", "inexact", seq_of_zeros)
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        x = linalg.eigvals(x)
    points = atleast_1d(x)
    if points.ndim != 1:
        raise ValueError(
            f"poly takes a vector of zeros or a square matrix, got shape {x.shape}{errors.at_user_line()}"
        )
    out = ones((1,), points.dtype)
    for i in range(points.shape[0]):
        factor = concatenate([ones((1,), points.dtype), el.negative(cut(points, 0, i, i + 1))])
        out = product(out, factor)
    return out


def _zeros_of(p: Any) -> Any:
    """The zeros of a polynomial whose first coefficient is not 0: the eigenvalues of its companion matrix."""
    n = p.shape[0] - 1
    if n < 1:
        return zeros((0,), dtypes.complex_of(p.dtype))
    top = reshape(el.negative(el.divide(cut(p, 0, 1, n + 1), p[0])), (1, n))
    return linalg.eigvals(concatenate([top, cut(eye(n, dtype=p.dtype), 0, 0, n - 1)], 0))


def roots(p: Any, *, strip_zeros: bool = True) -> Any:
    """The zeros of a polynomial, as complex numbers in no order.

    Coefficients of 0 in front are stripped, for which they must be concrete; with `strip_zeros=False` they may be
    traced, and there are as many zeros as coefficients less one, the last ones NaN.  ValueError unless p is a vector.

    >>> from covector import numpy as cnp
    >>> cnp.sort(cnp.round(cnp.roots(cnp.array([1.0, -3.0, 2.0])).real, 3))
    Array([1., 2.], dtype=float32)
    """
    (p,) = coefficients("roots", p)
    n = p.shape[0]
    if not strip_zeros:
        return _with_undefined(p)
    held = np.flatnonzero(known("roots", p, "pass strip_zeros=False"))
    if not held.size:
        return zeros((0,), dtypes.complex_of(p.dtype))
    found = _zeros_of(cut(p, 0, int(held[0]), int(held[-1]) + 1))
    at_zero = n - 1 - int(held[-1])
    return concatenate([found, zeros((at_zero,), found.dtype)]) if at_zero else found


def _with_undefined(p: Any) -> Any:
    """The zeros of a polynomial that may begin with zeros, each of which makes one of them NaN.

    Moved to the end, they are zeros at 0: the smallest of all, which are taken off again.
    """
    n = p.shape[0]
    leading = reduce.sum(reduce.all(el.equal(_prefixes(p), 0), -1))
    moved = roll(p, el.negative(leading))
    moved = concatenate([where(el.equal(moved[:1], 0), 1, moved[:1]), moved[1:]])
    found = _zeros_of(moved)
    found = take(found, argsort(el.negative(el.abs(found))), mode="clip")
    there = el.less(np.arange(n - 1), el.subtract(n - 1, leading))
    return where(there, found, found.dtype.type(complex(np.nan, np.nan)))


def _prefixes(p: Any) -> Any:
    """Row i has the first i + 1 elements, and zeros behind them."""
    n = p.shape[0]
    return where(np.tri(n, dtype=bool), reshape(p, (1, n)), 0)


def _points(x: Any, y: Any, deg: Any) -> tuple[Any, Any, int]:
    """The points to fit; ValueError or TypeError for what are none."""
    x, y = together("polyfit", "inexact", x, y)
    degree = integer_of(deg, "deg")
    if degree < 0:
        raise ValueError(
            f"polyfit: deg is {degree}{errors.at_user_line()}, it must not be negative"
        )
    if x.ndim != 1 or x.shape[0] == 0 or y.ndim not in (1, 2):
        raise TypeError(
            f"polyfit takes a vector of points, and values for it (or columns of them), got shapes {x.shape} and "
            f"{y.shape}{errors.at_user_line()}"
        )
    if x.shape[0] != y.shape[0]:
        raise TypeError(
            f"polyfit: {x.shape[0]} points and {y.shape[0]} values{errors.at_user_line()}"
        )
    return x, y, degree


def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: bool | str = False,
) -> Any:
    """The polynomial of a degree that comes closest to points (x, y) in the sum of squares; each with a weight `w`.

    `y` may have several columns.  With `full` a tuple: coefficients, sum of squares left, rank, singular values,
    `rcond` (below which part of the largest they count as 0).  With `cov` a pair: coefficients and their covariance,
    times the error per point unless it is "unscaled".  ValueError and TypeError for other shapes and degrees.

    >>> from covector import numpy as cnp
    >>> cnp.round(cnp.polyfit(cnp.array([0.0, 1.0, 2.0]), cnp.array([1.0, 3.0, 5.0]), 1), 3)
    Array([2., 1.], dtype=float32)
    """
    x, y, degree = _points(x, y, deg)
    count, order = x.shape[0], degree + 1
    if rcond is None:
        rcond = count * float(dtypes.finfo(x.dtype).eps)
    matrix = vander(x, order)
    if w is not None:
        weights = converted(lift("polyfit", w), y.dtype)
        if weights.shape != x.shape:
            raise TypeError(
                f"polyfit: weights of shape {weights.shape} for {count} points{errors.at_user_line()}"
            )
        column = reshape(weights, (-1, 1))
        matrix = el.multiply(matrix, column)
        y = el.multiply(y, weights if y.ndim == 1 else column)
    scale = el.sqrt(reduce.sum(prims.square(el.abs(matrix)), 0))
    matrix = el.divide(matrix, reshape(scale, (1, -1)))
    found, left, rank, singular = linalg.lstsq(matrix, y, rcond)
    found = el.divide(found, scale if found.ndim == 1 else reshape(scale, (-1, 1)))
    if full:
        return found, left, rank, singular, asarray(rcond)
    if not cov:
        return found
    base = linalg.inv(matmul(el.conj(matrix).T, matrix))
    base = el.divide(base, el.multiply(reshape(scale, (-1, 1)), reshape(scale, (1, -1))))
    if cov != "unscaled":
        if count <= order:
            raise ValueError(
                f"polyfit with cov=True takes more than {order} points, got {count}{errors.at_user_line()}"
            )
        error = el.divide(left, count - order)
        base = el.multiply(base, error) if y.ndim == 1 else el.multiply(base[:, :, None], error)
    return found, base
