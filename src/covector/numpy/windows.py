"""Windows: weights that fade out towards both ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import filled, iota
from covector.numpy.promotion import integer_of, lift
from covector.numpy.selection import where

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _places(name: str, M: Any) -> tuple[int, Any]:
    """The number of points, and for each of them its place as a fraction of the way; ValueError for less than 0."""
    count = integer_of(M, "M")
    if count < 0:
        raise ValueError(f"{name}: M is {count}{errors.at_user_line()}, it must not be negative")
    if count <= 1:  # one point is the middle
        return count, filled((count,), 0.5, dtypes.of_number(float))
    dtype = dtypes.of_number(float)
    return count, prims.div(iota((count,), dtype, 0), dtype.type(count - 1))


def _cosines(name: str, M: Any, terms: Sequence[float]) -> Any:
    """The sum of cosines of whole multiples of the turn, by their weights."""
    count, t = _places(name, M)
    if count == 1:
        return filled((1,), 1, t.dtype)
    out = filled((count,), terms[0], t.dtype)
    for i, weight in enumerate(terms[1:], 1):
        out = el.add(out, el.multiply(weight, el.cos(el.multiply(t, 2 * np.pi * i))))
    return out


def bartlett(M: Any) -> Any:
    """A triangle from 0 over 1 to 0, at M points, in float32.

    >>> from covector import numpy as cnp
    >>> cnp.bartlett(5)
    Array([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)
    """
    count, t = _places("bartlett", M)
    if count == 1:
        return filled((1,), 1, t.dtype)
    return el.subtract(1, el.abs(el.subtract(el.multiply(t, 2), 1)))


def blackman(M: Any) -> Any:
    """Blackman's window: three terms of cosines, at M points, in float32.

    >>> from covector import numpy as cnp
    >>> cnp.round(cnp.blackman(5), 2)
    Array([-0.  ,  0.34,  1.  ,  0.34, -0.  ], dtype=float32)
    """
    return _cosines("blackman", M, (0.42, -0.5, 0.08))


def hamming(M: Any) -> Any:
    """Hamming's window: a cosine from 0.08 over 1 to 0.08, at M points, in float32.

    >>> from covector import numpy as cnp
    >>> cnp.round(cnp.hamming(5), 2)
    Array([0.08, 0.54, 1.  , 0.54, 0.08], dtype=float32)
    """
    return _cosines("hamming", M, (0.54, -0.46))


def hanning(M: Any) -> Any:
    """Hann's window: a cosine from 0 over 1 to 0, at M points, in float32.

    >>> from covector import numpy as cnp
    >>> cnp.hanning(5)
    Array([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)
    """
    return _cosines("hanning", M, (0.5, -0.5))


def kaiser(M: Any, beta: Any) -> Any:
    """Kaiser's window: Bessel functions i0, the narrower the larger `beta`, at M points.

    >>> from covector import numpy as cnp
    >>> cnp.round(cnp.kaiser(5, 2.0), 2)
    Array([0.44, 0.83, 1.  , 0.83, 0.44], dtype=float32)
    """
    count, t = _places("kaiser", M)
    beta = lift("kaiser", beta)
    if count == 1:
        return filled((1,), 1, t.dtype)
    across = el.subtract(el.multiply(t, 2), 1)
    inside = el.subtract(1, el.square(across))
    root = el.sqrt(where(el.greater(inside, 0), inside, 0))  # at the ends, of exactly 0
    return el.divide(el.i0(el.multiply(beta, root)), el.i0(beta))
