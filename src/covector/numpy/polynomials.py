"""Polynomials as vectors of coefficients, that of the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray, zeros
from covector.numpy.folds import fold
from covector.numpy.join import concatenate
from covector.numpy.operands import converted, together
from covector.numpy.promotion import integer_of, spread
from covector.numpy.selection import known, where
from covector.numpy.shape import atleast_1d, broadcast_shapes, cut, reshape

__all__ = [
    "polyadd",
    "polyder",
    "polydiv",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
]

_UNROLLED = 32  # terms of a Horner scheme, which as one Kernel are faster than a loop


def coefficients(name: str, *ps: Any) -> list[Any]:
    """Coefficients as vectors of floats; ShapeError for other shapes."""
    xs = [atleast_1d(x) for x in together(name, "inexact", *ps)]
    for x in xs:
        if x.ndim != 1:
            raise errors.ShapeError(
                f"{name}: coefficients of shape {x.shape}{errors.at_user_line()}, they must be a vector"
            )
    return xs


def _added(name: str, combine: Any, a1: Any, a2: Any) -> Any:
    """Two polynomials combined power by power, at least in their own dtype."""
    xs = [atleast_1d(x) for x in together(name, "any", a1, a2)]
    n = max(x.shape[0] for x in xs)
    padded = [
        prims.Pad((n - x.shape[0], *_none(x)), (0, *_none(x)), (0, *_none(x)))(x, x.dtype.type(0))
        for x in xs
    ]
    return converted(combine(*padded), xs[0].dtype, xs[0].weak_type)


def _none(x: Any) -> tuple[int, ...]:
    return (0,) * (x.ndim - 1)


def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials.

    >>> from covector import numpy as cnp
    >>> cnp.polyadd(cnp.array([1, 2]), cnp.array([3]))
    Array([1, 5], dtype=int32)
    """
    return _added("polyadd", el.add, a1, a2)


def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials.

    >>> from covector import numpy as cnp
    >>> cnp.polysub(cnp.array([1, 2]), cnp.array([3]))
    Array([ 1, -1], dtype=int32)
    """
    return _added("polysub", el.subtract, a1, a2)


def _trimmed(name: str, p: Any) -> Any:
    """Coefficients without zeros in front, but for the last one."""
    held = np.flatnonzero(known(name, p, "leave trim_leading_zeros out"))
    n = p.shape[0]
    return cut(p, 0, int(held[0]) if held.size else max(n - 1, 0), n)


def product(a: Any, b: Any) -> Any:
    """The coefficients of a product: row i of the table of all products, moved by i places, and the rows added up.

    Written with n more columns and read with one less, each row of the table begins one place later.
    """
    n, m = a.shape[0], b.shape[0]
    table = prims.mul(spread(reshape(a, (n, 1)), (n, m)), spread(b, (n, m)))
    wide = prims.Pad((0, 0), (0, n), (0, 0))(table, table.dtype.type(0))
    moved = cut(reshape(wide, (n * (m + n),)), 0, 0, n * (m + n - 1))
    return reduce.sum(reshape(moved, (n, m + n - 1)), 0)


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """The product of two polynomials, as floats.

    `trim_leading_zeros` drops zeros in front first, for which the coefficients must be concrete.

    >>> from covector import numpy as cnp
    >>> cnp.polymul(cnp.array([1, 1]), cnp.array([1, -1]))
    Array([ 1.,  0., -1.], dtype=float32)
    """
    a, b = coefficients("polymul", a1, a2)
    if trim_leading_zeros:
        a, b = _trimmed("polymul", a), _trimmed("polymul", b)
    a = zeros((1,), a.dtype) if a.shape[0] == 0 else a
    b = zeros((1,), b.dtype) if b.shape[0] == 0 else b
    return product(a, b)


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """The quotient and the remainder of two polynomials, as floats.

    The remainder has as many coefficients as `u`, unless `trim_leading_zeros` drops the zeros in front, for which they
    must be concrete.  ValueError for a divisor without coefficients.

    >>> from covector import numpy as cnp
    >>> cnp.polydiv(cnp.array([1, 3, 3]), cnp.array([1, 1]))
    (Array([1., 2.], dtype=float32), Array([0., 0., 1.], dtype=float32))
    """
    u, v = coefficients("polydiv", u, v)
    n, m = u.shape[0], v.shape[0]
    if m == 0:
        raise ValueError(f"polydiv: the divisor has no coefficients{errors.at_user_line()}")
    digits = []
    for i in range(n - m + 1):
        digit = el.divide(u[i], v[0])
        digits.append(reshape(digit, (1,)))
        taken = prims.Pad((i,), (n - m - i,), (0,))(el.multiply(v, digit), u.dtype.type(0))
        u = el.subtract(u, taken)
        left = cut(u, 0, i, i + 1)  # nothing, exactly, unless it is no number
        left = where(el.isfinite(left), u.dtype.type(0), left)
        u = concatenate([cut(u, 0, 0, i), left, cut(u, 0, i + 1, n)])
    quotient = concatenate(digits) if digits else zeros((1,), u.dtype)
    if trim_leading_zeros:
        u = _trimmed("polydiv", u)
    return quotient, u


def polyder(p: Any, m: int = 1) -> Any:
    """The m-th derivative of a polynomial, as floats; ValueError for a negative m, and for a number without an axis.

    >>> from covector import numpy as cnp
    >>> cnp.polyder(cnp.array([3, 2, 1]))
    Array([6., 2.], dtype=float32)
    """
    (p,) = together("polyder", "inexact", p)
    if p.ndim != 1:
        raise errors.ShapeError(
            f"polyder: coefficients of shape {p.shape}{errors.at_user_line()}, they must be a vector"
        )
    m = integer_of(m, "m")
    if m < 0:
        raise ValueError(f"polyder: m is {m}{errors.at_user_line()}, it must not be negative")
    if m == 0:
        return p
    n = p.shape[0]
    powers = np.arange(n - 1, m - 1, -1, dtype=np.float64)
    factors = np.prod([powers - i for i in range(m)], axis=0)
    return el.multiply(cut(p, 0, 0, max(n - m, 0)), asarray(factors.astype(p.dtype)))


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The m-th integral of a polynomial, as floats, with the constants `k` of the integrations (0).

    `k` is a number for all of them, or a vector of m.  ValueError for a negative m, or other constants.

    >>> from covector import numpy as cnp
    >>> cnp.polyint(cnp.array([6, 2]), k=1)
    Array([3., 2., 1.], dtype=float32)
    """
    m = integer_of(m, "m")
    if m < 0:
        raise ValueError(f"polyint: m is {m}{errors.at_user_line()}, it must not be negative")
    p, constants = coefficients("polyint", p, 0 if k is None else asarray(k))
    if constants.shape[0] == 1:
        constants = spread(constants, (m,))
    if constants.shape != (m,):
        raise ValueError(
            f"polyint: {constants.shape[0]} constants for {m} integrations{errors.at_user_line()}"
        )
    n = p.shape[0]
    whole = concatenate([p, constants])
    powers = np.arange(n + m - 1, -1, -1, dtype=np.float64)
    # what comes in at integration i is integrated m - 1 - i times more
    times = np.concatenate([np.full(n, m), np.arange(m - 1, -1, -1)])
    factors = np.ones(n + m)
    for i in range(m):
        factors *= np.where(times > i, np.maximum(powers - i, 1), 1)
    return el.divide(whole, asarray(factors.astype(whole.dtype)))


def polyval(p: Any, x: Any, *, unroll: int | None = None) -> Any:
    """The values of a polynomial at x, by Horner's scheme; coefficients may have further axes, which broadcast with x.

    `unroll` changes nothing: short polynomials are one Kernel, long ones a loop.

    >>> from covector import numpy as cnp
    >>> cnp.polyval(cnp.array([1, 2, 3]), cnp.array([0, 10]))
    Array([  3, 123], dtype=int32)
    """
    p, x = together("polyval", "numeric", p, x)
    if p.ndim == 0:
        raise ValueError(
            f"polyval: the coefficients are a number{errors.at_user_line()}; use a vector"
        )
    shape = broadcast_shapes(p.shape[1:], x.shape)
    total = zeros(shape, p.dtype)
    n = p.shape[0]
    if n > _UNROLLED:
        return fold(lambda carry, row: el.add(el.multiply(carry, x), row), total, p)
    for i in range(n):
        total = el.add(el.multiply(total, x), p[i])
    return total
