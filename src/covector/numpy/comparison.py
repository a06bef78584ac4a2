"""NumPy's elementwise functions that compare, choose and look at bits: rows as in `arithmetic.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy.arithmetic import absolute_value, rad2deg
from covector.numpy.promotion import cast, operand_of, target, type_key
from covector.numpy.ufunc import ALL_KINDS, binary, is_bool, is_integer, like, refuse, unary

__all__ = [
    "angle",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "conj",
    "conjugate",
    "copysign",
    "equal",
    "fmax",
    "fmin",
    "greater",
    "greater_equal",
    "heaviside",
    "imag",
    "invert",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "nextafter",
    "not_equal",
    "real",
    "right_shift",
    "signbit",
    "spacing",
]

# --------------------------------------------------------------------------- comparisons, logic, bits


def ordering(primitive: Any) -> Any:
    """Complex numbers in order of their real parts, then of the imaginary ones."""

    def recipe(x: Any, y: Any) -> Any:
        if not dtypes.is_complex(x.dtype):
            return primitive(x, y)
        parts = (prims.real(x), prims.real(y)), (prims.imag(x), prims.imag(y))
        return prims.select(prims.eq(*parts[0]), primitive(*parts[1]), primitive(*parts[0]))

    return recipe


def _logical(primitive: Any) -> Any:
    return lambda *xs: primitive(*[cast(x, dtypes.bool_) for x in xs])


def _right_shift(x: Any, n: Any) -> Any:
    unsigned = dtypes.kind(x.dtype) == "u"
    return (prims.shift_right_logical if unsigned else prims.shift_right_arithmetic)(x, n)


def _bitwise_count(x: Any) -> Any:
    return prims.Convert(dtypes.uint8)(prims.population_count(absolute_value(x)))


equal = binary("equal", prims.eq, "any", "x == y.")
not_equal = binary("not_equal", prims.ne, "any", "x != y.")
less = binary("less", ordering(prims.lt), "any", "x < y.")
less_equal = binary("less_equal", ordering(prims.le), "any", "x <= y.")
greater = binary("greater", ordering(prims.gt), "any", "x > y.")
greater_equal = binary("greater_equal", ordering(prims.ge), "any", "x >= y.")
logical_and = binary(
    "logical_and", _logical(prims.and_), "any", "Whether both are not zero.", apart=True
)
logical_or = binary(
    "logical_or", _logical(prims.or_), "any", "Whether one of them is not zero.", apart=True
)
logical_xor = binary(
    "logical_xor", _logical(prims.xor), "any", "Whether just one of them is not zero.", apart=True
)
logical_not = unary("logical_not", _logical(prims.not_), "any", "Whether it is zero.")
bitwise_and = binary("bitwise_and", prims.and_, "any", "The bits that are set in both.")
bitwise_or = binary("bitwise_or", prims.or_, "any", "The bits that are set in one of them.")
bitwise_xor = binary("bitwise_xor", prims.xor, "any", "The bits that are set in just one of them.")
bitwise_not = bitwise_invert = invert = unary(
    "bitwise_not", prims.not_, "any", "Every bit turned over; of bool the logical not."
)
left_shift = bitwise_left_shift = binary(
    "left_shift", prims.shift_left, "numeric", "x * 2**y: the bits moved up."
)
right_shift = bitwise_right_shift = binary(
    "right_shift",
    _right_shift,
    "numeric",
    "The bits moved down; the sign of signed integers stays.",
)
bitwise_count = unary(
    "bitwise_count",
    _bitwise_count,
    "numeric",
    "How many bits of |x| are set, as uint8.",
    strong=ALL_KINDS,
)

# ------------------------------------------------------------------------------- larger and smaller


def _fmax(x: Any, y: Any) -> Any:
    return prims.select(prims.or_(ordering(prims.gt)(x, y), prims.ne(y, y)), x, y)


def _fmin(x: Any, y: Any) -> Any:
    return prims.select(prims.or_(ordering(prims.lt)(x, y), prims.ne(y, y)), x, y)


def _heaviside(x: Any, at_zero: Any) -> Any:
    beside = prims.select(prims.ne(x, x), x, at_zero)
    positive_or = prims.select(prims.gt(x, like(x, 0)), like(x, 1), beside)
    return prims.select(prims.lt(x, like(x, 0)), like(x, 0), positive_or)


def _extreme(primitive: Any, wins: Any) -> Any:
    """Complex numbers are ordered by their real parts, then by the imaginary ones; NaN wins."""

    def recipe(x: Any, y: Any) -> Any:
        if not dtypes.is_complex(x.dtype):
            return primitive(x, y)
        first = prims.or_(prims.ne(x, x), prims.and_(prims.eq(y, y), ordering(wins)(x, y)))
        return prims.select(first, x, y)

    return recipe


larger, smaller = _extreme(prims.maximum, prims.ge), _extreme(prims.minimum, prims.le)
maximum = binary("maximum", larger, "any", "The larger of the two; NaN if one is NaN.")
minimum = binary("minimum", smaller, "any", "The smaller of the two; NaN if one is NaN.")
fmax = binary("fmax", _fmax, "any", "The larger of the two; a number rather than NaN.")
fmin = binary("fmin", _fmin, "any", "The smaller of the two; a number rather than NaN.")
heaviside = binary(
    "heaviside", _heaviside, "inexact", "0 below zero, 1 above, y at zero.", apart=True
)

# ---------------------------------------------------------------------------------- kinds of numbers


def _isnan(x: Any) -> Any:
    return prims.ne(x, x)


def _isinf(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return prims.or_(_isinf(prims.real(x)), _isinf(prims.imag(x)))
    if is_integer(x):
        return prims.ne(x, x)
    size = prims.convert(prims.abs_(x), dtypes.computed_in(x.dtype))
    return prims.eq(size, like(size, np.inf))


def _isfinite(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return prims.and_(prims.is_finite(prims.real(x)), prims.is_finite(prims.imag(x)))
    return prims.eq(x, x) if is_integer(x) else prims.is_finite(x)


def _is_infinity(name: str, infinity: float) -> Any:
    def recipe(x: Any) -> Any:
        if dtypes.is_complex(x.dtype):
            raise refuse(name, x)
        if is_integer(x):
            return prims.ne(x, x)
        x = prims.convert(x, dtypes.computed_in(x.dtype))  # a narrow type may have no infinity
        return prims.eq(x, like(x, infinity))

    return recipe


def _imaginary(x: Any) -> Any:
    zero = like(x, 0)
    return prims.imag(x) if dtypes.is_complex(x.dtype) else prims.select(prims.eq(x, x), zero, zero)


def _real(x: Any) -> Any:
    return prims.real(x) if dtypes.is_complex(x.dtype) else x


def _iscomplex(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        imaginary = prims.imag(x)
        return prims.ne(imaginary, like(imaginary, 0))
    return prims.and_(prims.eq(x, x), prims.ne(x, x))  # False in its shape


def _conjugate(x: Any) -> Any:
    return prims.conj(x) if dtypes.is_complex(x.dtype) else x


def _angle(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return prims.atan2(prims.imag(x), prims.real(x))
    return prims.atan2(like(x, 0), x)


def _signbit(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise refuse("signbit", x)
    if is_bool(x) or dtypes.kind(x.dtype) == "u":
        return prims.ne(x, x)
    if not is_integer(x):
        x = prims.convert(x, dtypes.computed_in(x.dtype)) if dtypes.is_narrow(x.dtype) else x
        x = prims.bitcast(x, np.dtype(f"int{8 * x.dtype.itemsize}"))
    return prims.lt(x, like(x, 0))


def _copysign(x: Any, sign_of: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise refuse("copysign", x)
    size = prims.abs_(x)
    return prims.select(_signbit(sign_of), prims.neg(size), size)


def _ldexp(x: Any, n: Any) -> Any:
    """In three factors, each a normal number, so that only the last can overflow or become subnormal."""
    info = dtypes.finfo(x.dtype)
    for _ in range(3):
        step = prims.clamp(like(n, info.minexp), n, like(n, info.maxexp - 1))
        x, n = prims.mul(x, prims.exp2(step)), prims.sub(n, step)
    return x


def _spacing(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise refuse("spacing", x)
    size = prims.abs_(x)
    gap = prims.sub(prims.nextafter(size, like(x, np.inf)), size)
    return prims.select(_signbit(x), prims.neg(gap), gap)


isnan = unary("isnan", _isnan, "any", "Whether it is not a number.")
isinf = unary("isinf", _isinf, "any", "Whether it is infinite.", strong=ALL_KINDS)
isfinite = unary(
    "isfinite", _isfinite, "any", "Whether it is neither infinite nor NaN.", strong="biu"
)
isposinf = unary(
    "isposinf", _is_infinity("isposinf", np.inf), "any", "Whether it is infinity.", strong=ALL_KINDS
)
isneginf = unary(
    "isneginf",
    _is_infinity("isneginf", -np.inf),
    "any",
    "Whether it is minus infinity.",
    strong=ALL_KINDS,
)
iscomplex = unary("iscomplex", _iscomplex, "any", "Whether the imaginary part is not zero.")
isreal = unary(
    "isreal", lambda x: prims.not_(_iscomplex(x)), "any", "Whether the imaginary part is zero."
)
signbit = unary("signbit", _signbit, "any", "Whether it is negative; -0.0 is.", strong=ALL_KINDS)
copysign = binary("copysign", _copysign, "inexact", "The size of x with the sign of y.")
nextafter = binary(
    "nextafter", prims.nextafter, "inexact", "The float next to x in the direction of y."
)
spacing = unary(
    "spacing",
    _spacing,
    "inexact",
    "The distance to the float that is next away from zero.",
    strong=ALL_KINDS,
)
_scaled = binary("ldexp", _ldexp, "inexact", "x * 2**y.", strong=ALL_KINDS)
real = unary("real", _real, "any", "The real part; real arrays as they are.")
imag = unary("imag", _imaginary, "any", "The imaginary part; of real arrays zeros.")
conjugate = conj = unary("conjugate", _conjugate, "any", "The complex conjugate.")


def ldexp(x1: Any, x2: Any, /) -> Any:
    """x1 * 2**x2 for whole numbers x2, element by element, without overflow on the way.

    The dtype is that of x1, integers and bool as floats.  DtypeError for complex x1, or an x2 that is no integer.

    >>> from covector import numpy as cnp
    >>> cnp.ldexp(cnp.array([0.5, 3.0]), 2)
    Array([ 2., 12.], dtype=float32)
    """
    x, n = operand_of("ldexp", x1), operand_of("ldexp", x2)
    for operand, kinds in ((x, "biuf"), (n, "biu")):
        if dtypes.kind(dtype := type_key(operand)[0]) not in kinds:
            raise errors.DtypeError(
                f"ldexp takes real numbers and integers, got {dtype.name}{errors.at_user_line()}"
            )
    if (own := type_key(n)[0]) != dtypes.bool_ and dtypes.iinfo(own).bits < 8:
        n = cast(n, dtypes.int32)  # the narrowest integers promote to no float
    return _scaled(cast(x, target("inexact", type_key(x))[0]), n)


_angle_of = unary(
    "angle", _angle, "inexact", "The angle of a complex number, in radians.", strong="f"
)


def angle(z: Any, deg: bool = False) -> Any:
    """The angle of complex numbers, in radians or degrees; of real ones 0 or π.

    As a float.

    >>> from covector import numpy as cnp
    >>> cnp.angle(cnp.array([1j, -1 + 0j]))
    Array([1.5707964, 3.1415927], dtype=float32)
    """
    z = operand_of("angle", z)
    if not dtypes.is_inexact(type_key(z)[0]):
        z = cast(z, dtypes.of_number(float))
    return rad2deg(_angle_of(z)) if deg else _angle_of(z)
