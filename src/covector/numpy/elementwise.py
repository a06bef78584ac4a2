"""NumPy's elementwise functions: a name, a primitive or recipe, how operands are promoted, one line of text.

A recipe gets its operands in one dtype, in one shape or as scalars.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

import numpy as np

from covector import ops
from covector.base import errors
from covector.core.trace import typeof
from covector.numpy.promotion import cast, check_operand, lift, type_key
from covector.numpy.ufunc import binary, unary
from covector.types import dtypes

# fmt: off
__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "around", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_count",
    "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "cbrt", "ceil", "conj", "conjugate", "copysign", "cos", "cosh", "deg2rad", "degrees", "divide",
    "divmod", "equal", "exp", "exp2", "expm1", "fabs", "float_power", "floor", "floor_divide", "fmax", "fmin",
    "fmod", "greater", "greater_equal", "heaviside", "hypot", "i0", "imag", "invert", "iscomplex",
    "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "ldexp", "left_shift", "less", "less_equal",
    "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or",
    "logical_xor", "maximum", "minimum", "mod", "modf", "multiply", "negative", "nextafter",
    "not_equal", "positive", "pow", "power", "rad2deg", "radians", "real", "reciprocal", "remainder",
    "right_shift", "rint", "round", "sign", "signbit", "sin", "sinc", "sinh", "spacing", "sqrt",
    "square", "subtract", "tan", "tanh", "true_divide", "trunc",
]
# fmt: on


def _like(x: Any, value: Any) -> np.generic:
    """A constant in the dtype of an operand."""
    return x.dtype.type(value)


def _is_bool(x: Any) -> bool:
    return x.dtype == dtypes.bool_


def _is_integer(x: Any) -> bool:
    """Integers and bool: what rounding leaves as it is."""
    return not dtypes.is_inexact(x.dtype)


def _refuse(name: str, x: Any) -> TypeError:
    return TypeError(f"{name} does not take {typeof(x).text()}{errors.at_user_line()}")


# ------------------------------------------------------------------- exponentials, angles, hyperbolas

exp = unary("exp", ops.exp, "inexact", "e to the power of each element.")
exp2 = unary("exp2", ops.exp2, "inexact", "2 to the power of each element.")
expm1 = unary("expm1", ops.expm1, "inexact", "exp(x) - 1, exact for small x too.")
log = unary("log", ops.log, "inexact", "The natural logarithm; NaN for negative numbers.")
log1p = unary("log1p", ops.log1p, "inexact", "log(1 + x), exact for small x too.")
sqrt = unary("sqrt", ops.sqrt, "inexact", "The square root; NaN for negative numbers.")
cbrt = unary("cbrt", ops.cbrt, "inexact", "The real cube root.")
sin = unary("sin", ops.sin, "inexact", "The sine of angles in radians.")
cos = unary("cos", ops.cos, "inexact", "The cosine of angles in radians.")
tan = unary("tan", ops.tan, "inexact", "The tangent of angles in radians.")
asin = arcsin = unary("asin", ops.asin, "inexact", "The inverse sine, in [-π/2, π/2].")
acos = arccos = unary("acos", ops.acos, "inexact", "The inverse cosine, in [0, π].")
atan = arctan = unary("atan", ops.atan, "inexact", "The inverse tangent, in [-π/2, π/2].")
sinh = unary("sinh", ops.sinh, "inexact", "The hyperbolic sine.")
cosh = unary("cosh", ops.cosh, "inexact", "The hyperbolic cosine.")
tanh = unary("tanh", ops.tanh, "inexact", "The hyperbolic tangent.")
asinh = arcsinh = unary("asinh", ops.asinh, "inexact", "The inverse hyperbolic sine.")
acosh = arccosh = unary("acosh", ops.acosh, "inexact", "The inverse hyperbolic cosine.")
atanh = arctanh = unary("atanh", ops.atanh, "inexact", "The inverse hyperbolic tangent.")
atan2 = arctan2 = binary(
    "atan2", ops.atan2, "inexact", "The angle of the point (x2, x1) of the plane, in [-π, π]."
)


def _log_base(base: float) -> Any:
    def recipe(x: Any) -> Any:
        log_x = ops.log(x)
        if not dtypes.is_complex(x.dtype):
            return ops.div(log_x, float(np.log(base)))
        parts = ops.real(log_x), ops.imag(log_x)
        return ops.complex_(*[ops.div(p, float(np.log(base))) for p in parts])

    return recipe


def _logaddexp(x: Any, y: Any) -> Any:
    """max + log1p(exp(-|x - y|)); x + y where both are the same infinity."""
    difference = ops.sub(x, y)
    alike = ops.ne(difference, difference)
    distance = ops.abs_(ops.select(alike, _like(x, 0), difference))
    return ops.select(alike, ops.add(x, y), ops.add(ops.maximum(x, y), ops.log1p(ops.exp(ops.neg(distance)))))


def _logaddexp2(x: Any, y: Any) -> Any:
    return ops.div(_logaddexp(ops.mul(x, float(np.log(2))), ops.mul(y, float(np.log(2)))), float(np.log(2)))


def _hypot(x: Any, y: Any) -> Any:
    """Scaled by the larger one, so that squares do not overflow."""
    x, y = ops.abs_(x), ops.abs_(y)
    infinite = ops.or_(ops.eq(x, _like(x, np.inf)), ops.eq(y, _like(x, np.inf)))
    big, small = ops.maximum(x, y), ops.minimum(x, y)
    zero = ops.eq(big, _like(x, 0))
    ratio = ops.div(small, ops.select(zero, _like(x, 1), big))
    length = ops.mul(big, ops.sqrt(ops.add(ops.square(ratio), 1.0)))
    return ops.select(infinite, _like(x, np.inf), ops.select(zero, big, length))


def _sinc(x: Any) -> Any:
    """The series at 0 keeps the second derivative right."""
    scaled = ops.mul(x, float(np.pi))
    zero = ops.eq(x, _like(x, 0))
    safe = ops.select(zero, _like(x, 1), scaled)
    near = ops.sub(1.0, ops.div(ops.square(ops.select(zero, scaled, _like(x, 0))), 6.0))
    return ops.select(zero, near, ops.div(ops.sin(safe), safe))


def _i0(x: Any) -> Any:
    return ops.mul(ops.exp(ops.abs_(x)), ops.bessel_i0e(x))


log2 = unary("log2", _log_base(2.0), "inexact", "The logarithm to base 2.")
log10 = unary("log10", _log_base(10.0), "inexact", "The logarithm to base 10.")
logaddexp = binary("logaddexp", _logaddexp, "inexact", "log(exp(x1) + exp(x2)), without overflow.")
logaddexp2 = binary("logaddexp2", _logaddexp2, "inexact", "log2(2**x1 + 2**x2), without overflow.")
hypot = binary("hypot", _hypot, "inexact", "sqrt(x1**2 + x2**2), without overflow.")
sinc = unary("sinc", _sinc, "inexact", "sin(πx) / (πx), and 1 at 0.")
i0 = unary("i0", _i0, "inexact", "The modified Bessel function of the first kind of order 0.")
deg2rad = radians = unary(
    "deg2rad", lambda x: ops.mul(x, float(np.pi / 180)), "inexact", "Degrees as radians."
)
rad2deg = degrees = unary(
    "rad2deg", lambda x: ops.mul(x, float(180 / np.pi)), "inexact", "Radians as degrees."
)

# ---------------------------------------------------------------------------------------- arithmetic


def _negative(x: Any) -> Any:
    if _is_bool(x):
        raise _refuse("negative", x)
    return ops.neg(x)


def _absolute(x: Any) -> Any:
    return x if dtypes.kind(x.dtype) in "bu" else ops.abs_(x)


def _fabs(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise _refuse("fabs", x)
    return ops.abs_(x)


def _floor_divide(x: Any, y: Any) -> Any:
    if dtypes.is_float(x.dtype):
        return _float_divmod(x, y)[0]
    quotient = ops.div(x, y)
    if dtypes.kind(x.dtype) == "u":
        return quotient
    uneven = ops.ne(ops.rem(x, y), _like(x, 0))
    opposite = ops.ne(ops.sign(x), ops.sign(y))
    return ops.select(ops.and_(uneven, opposite), ops.sub(quotient, 1), quotient)


def _remainder(x: Any, y: Any) -> Any:
    """With the sign of the divisor.  An integer by zero gives 0."""
    zero = _like(x, 0)
    if _is_integer(y):
        y = ops.select(ops.eq(y, zero), _like(y, 1), y)
    rest = ops.rem(x, y)
    opposite = ops.ne(ops.lt(rest, zero), ops.lt(y, zero))
    return ops.select(ops.and_(opposite, ops.ne(rest, zero)), ops.add(rest, y), rest)


def _fmod(x: Any, y: Any) -> Any:
    """With the sign of the dividend.  An integer by zero gives 0."""
    if _is_integer(y):
        y = ops.select(ops.eq(y, _like(y, 0)), _like(y, 1), y)
    return ops.rem(x, y)


def _float_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    rest = ops.rem(x, y)
    whole = ops.select(ops.eq(y, _like(y, 0)), x, ops.sub(x, rest))
    quotient = ops.div(whole, y)
    opposite = ops.and_(ops.ne(rest, _like(x, 0)), ops.ne(ops.sign(y), ops.sign(rest)))
    rest = ops.select(opposite, ops.add(rest, y), rest)
    quotient = ops.select(opposite, ops.sub(quotient, 1.0), quotient)
    return ops.round_half_away(quotient), rest


add = binary(
    "add", lambda x, y: ops.or_(x, y) if x.dtype == dtypes.bool_ else ops.add(x, y), "any",
    "The sum x1 + x2; of bool the logical or.",
)  # fmt: skip
subtract = binary("subtract", ops.sub, "any", "The difference x1 - x2.")
multiply = binary(
    "multiply", lambda x, y: ops.and_(x, y) if x.dtype == dtypes.bool_ else ops.mul(x, y), "any",
    "The product x1 * x2; of bool the logical and.",
)  # fmt: skip
divide = true_divide = binary(
    "divide", ops.div, "inexact", "The quotient x1 / x2; of integers too it is a float."
)
floor_divide = binary(
    "floor_divide", _floor_divide, "numeric", "The quotient x1 / x2, rounded down, in the operands' dtype."
)
remainder = mod = binary(
    "remainder", _remainder, "numeric", "x1 - x2 * floor(x1 / x2): the rest with the sign of x2, as Python's %."
)
fmod = binary("fmod", _fmod, "numeric", "The rest of the division with the sign of x1, as C's fmod.")
negative = unary("negative", _negative, "any", "-x.")
positive = unary("positive", lambda x: x, "any", "x itself.")
absolute = abs = unary(
    "absolute", _absolute, "any", "The distance from zero; of complex numbers a real array."
)
fabs = unary("fabs", _fabs, "inexact", "The distance from zero of real numbers, as floats.")
sign = unary("sign", ops.sign, "any", "-1, 0 or 1; of complex numbers x / |x|.")
square = unary("square", ops.square, "numeric", "x * x.")
reciprocal = unary("reciprocal", lambda x: ops.integer_pow(x, -1), "inexact", "1 / x.")


def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """(floor_divide(x1, x2), remainder(x1, x2))."""
    return floor_divide(x1, x2), remainder(x1, x2)


def modf(x: Any, /) -> tuple[Any, Any]:
    """The fractional and the whole part of each element, both with its sign."""
    whole = trunc(lift("modf", x))
    whole = cast(whole, dtypes.float32) if not dtypes.is_inexact(whole.dtype) else whole
    return subtract(x, whole), whole


# -------------------------------------------------------------------------------------------- powers


def _general_power(x: Any, y: Any) -> Any:
    return ops.pow_(x, y) if dtypes.is_inexact(x.dtype) else _integer_power(x, y)


def _integer_power(x: Any, y: Any) -> Any:
    """By squaring: six bits of the exponent, since any more would overflow."""
    zero, one = _like(x, 0), _like(x, 1)
    result = ops.select(ops.and_(ops.eq(x, zero), ops.ne(y, zero)), zero, one)
    for bit in range(6):
        odd = ops.ne(ops.and_(y, one), zero)
        result = ops.select(odd, ops.mul(result, x), result)
        if bit < 5:
            x, y = ops.mul(x, x), ops.shift_right_logical(y, one)
    return result


_power = binary("power", _general_power, "numeric", "x1 to the power x2.")
float_power = binary("float_power", ops.pow_, "inexact", "x1 to the power x2, as floats.")


@cache
def _power_of(n: int) -> Any:
    """The function x -> x ** n."""
    if n == 2:
        return square
    return unary(f"power_{n}", lambda x: ops.integer_pow(x, n), "numeric", f"x to the power {n}.")


def power(x1: Any, x2: Any, /) -> Any:
    """x1 to the power x2.

    An exponent that is a Python integer is unrolled into products; then the base may be any number dtype,
    but integers have no negative powers (TypeError).

    >>> from covector import numpy as cnp
    >>> cnp.power(cnp.array([1., 2., 3.]), 2)
    Array([1., 4., 9.], dtype=float32)
    """
    if type(x2) is int:
        return _power_of(x2)(x1)
    if type(x2) is float and x2 == 2.0 and dtypes.is_inexact(type_key(x1)[0]):
        return square(x1)
    if isinstance(x2, np.integer):
        return _power_of(operator.index(x2))(x1)
    return _power(x1, x2)


pow = power

# ------------------------------------------------------------------------------------------ rounding


def _rounding(primitive: Any) -> Any:
    return lambda x: x if _is_integer(x) else primitive(x)


def _rint(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return ops.complex_(ops.round_half_even(ops.real(x)), ops.round_half_even(ops.imag(x)))
    return ops.round_half_even(x)


floor = unary("floor", _rounding(ops.floor), "any", "Rounded down; integers as they are.")
ceil = unary("ceil", _rounding(ops.ceil), "any", "Rounded up; integers as they are.")
trunc = unary("trunc", _rounding(ops.trunc), "any", "Rounded towards zero; integers as they are.")
rint = unary("rint", _rint, "inexact", "Rounded to the nearest whole number, ties to the even one.")


def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Rounded to so many decimals, ties to even; integers stay as they are unless decimals is negative."""
    check_operand("round", a)
    integer = _is_integer(np.zeros((), type_key(a)[0]))
    if decimals == 0:
        return positive(a) if integer else rint(a)
    if integer:
        if decimals > 0:
            return positive(a)
        raise NotImplementedError(
            f"round of integers to tens, hundreds, ...{errors.at_user_line()}: convert to a float first"
        )
    factor = 10.0 ** operator.index(decimals)
    return divide(rint(multiply(a, factor)), factor)


around = round

# --------------------------------------------------------------------------- comparisons, logic, bits


def _ordering(primitive: Any) -> Any:
    """Complex numbers in order of their real parts, then of the imaginary ones."""

    def recipe(x: Any, y: Any) -> Any:
        if not dtypes.is_complex(x.dtype):
            return primitive(x, y)
        parts = (ops.real(x), ops.real(y)), (ops.imag(x), ops.imag(y))
        return ops.select(ops.eq(*parts[0]), primitive(*parts[1]), primitive(*parts[0]))

    return recipe


def _truth(x: Any) -> Any:
    return x if _is_bool(x) else ops.ne(x, _like(x, 0))


def _logical(primitive: Any) -> Any:
    return lambda *xs: primitive(*[_truth(x) for x in xs])


def _right_shift(x: Any, n: Any) -> Any:
    unsigned = dtypes.kind(x.dtype) == "u"
    return (ops.shift_right_logical if unsigned else ops.shift_right_arithmetic)(x, n)


def _bitwise_count(x: Any) -> Any:
    return ops.Convert(dtypes.uint8)(ops.population_count(_absolute(x)))


equal = binary("equal", ops.eq, "any", "x1 == x2.")
not_equal = binary("not_equal", ops.ne, "any", "x1 != x2.")
less = binary("less", _ordering(ops.lt), "any", "x1 < x2.")
less_equal = binary("less_equal", _ordering(ops.le), "any", "x1 <= x2.")
greater = binary("greater", _ordering(ops.gt), "any", "x1 > x2.")
greater_equal = binary("greater_equal", _ordering(ops.ge), "any", "x1 >= x2.")
logical_and = binary("logical_and", _logical(ops.and_), "any", "Whether both are not zero.")
logical_or = binary("logical_or", _logical(ops.or_), "any", "Whether one of them is not zero.")
logical_xor = binary("logical_xor", _logical(ops.xor), "any", "Whether just one of them is not zero.")
logical_not = unary("logical_not", _logical(ops.not_), "any", "Whether it is zero.")
bitwise_and = binary("bitwise_and", ops.and_, "any", "The bits that are set in both.")
bitwise_or = binary("bitwise_or", ops.or_, "any", "The bits that are set in one of them.")
bitwise_xor = binary("bitwise_xor", ops.xor, "any", "The bits that are set in just one of them.")
bitwise_not = bitwise_invert = invert = unary(
    "bitwise_not", ops.not_, "any", "Every bit turned over; of bool the logical not."
)
left_shift = bitwise_left_shift = binary(
    "left_shift", ops.shift_left, "numeric", "x1 * 2**x2: the bits moved up."
)
right_shift = bitwise_right_shift = binary(
    "right_shift", _right_shift, "numeric", "The bits moved down; the sign of signed integers stays."
)
bitwise_count = unary("bitwise_count", _bitwise_count, "numeric", "How many bits of |x| are set, as uint8.")

# ------------------------------------------------------------------------------- larger and smaller


def _fmax(x: Any, y: Any) -> Any:
    return ops.select(ops.or_(ops.ge(x, y), ops.ne(y, y)), x, y)


def _fmin(x: Any, y: Any) -> Any:
    return ops.select(ops.or_(ops.le(x, y), ops.ne(y, y)), x, y)


def _heaviside(x: Any, at_zero: Any) -> Any:
    beside = ops.select(ops.ne(x, x), x, at_zero)
    positive_or = ops.select(ops.gt(x, _like(x, 0)), _like(x, 1), beside)
    return ops.select(ops.lt(x, _like(x, 0)), _like(x, 0), positive_or)


def _extreme(primitive: Any, wins: Any) -> Any:
    """Complex numbers are ordered by their real parts, then by the imaginary ones."""

    def recipe(x: Any, y: Any) -> Any:
        return ops.select(_ordering(wins)(x, y), x, y) if dtypes.is_complex(x.dtype) else primitive(x, y)

    return recipe


maximum = binary("maximum", _extreme(ops.maximum, ops.ge), "any", "The larger of the two; NaN if one is NaN.")
minimum = binary("minimum", _extreme(ops.minimum, ops.le), "any", "The smaller of the two; NaN if one is NaN.")
fmax = binary("fmax", _fmax, "any", "The larger of the two; a number rather than NaN.")
fmin = binary("fmin", _fmin, "any", "The smaller of the two; a number rather than NaN.")
heaviside = binary("heaviside", _heaviside, "inexact", "0 below zero, 1 above, x2 at zero.")

# ---------------------------------------------------------------------------------- kinds of numbers


def _isnan(x: Any) -> Any:
    return ops.ne(x, x)


def _isinf(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return ops.or_(_isinf(ops.real(x)), _isinf(ops.imag(x)))
    return ops.ne(x, x) if _is_integer(x) else ops.eq(ops.abs_(x), _like(x, np.inf))


def _isfinite(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return ops.and_(ops.is_finite(ops.real(x)), ops.is_finite(ops.imag(x)))
    return ops.eq(x, x) if _is_integer(x) else ops.is_finite(x)


def _is_infinity(name: str, infinity: float) -> Any:
    def recipe(x: Any) -> Any:
        if dtypes.is_complex(x.dtype):
            raise _refuse(name, x)
        return ops.ne(x, x) if _is_integer(x) else ops.eq(x, _like(x, infinity))

    return recipe


def _imaginary(x: Any) -> Any:
    zero = _like(x, 0)
    return ops.imag(x) if dtypes.is_complex(x.dtype) else ops.select(ops.eq(x, x), zero, zero)


def _real(x: Any) -> Any:
    return ops.real(x) if dtypes.is_complex(x.dtype) else x


def _iscomplex(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        imaginary = ops.imag(x)
        return ops.ne(imaginary, _like(imaginary, 0))
    return ops.and_(ops.eq(x, x), ops.ne(x, x))  # False in its shape


def _conjugate(x: Any) -> Any:
    return ops.conj(x) if dtypes.is_complex(x.dtype) else x


def _angle(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return ops.atan2(ops.imag(x), ops.real(x))
    return ops.atan2(_like(x, 0), x)


def _signbit(x: Any) -> Any:
    if _is_bool(x) or dtypes.kind(x.dtype) == "u":
        return ops.ne(x, x)
    if not _is_integer(x):
        x = ops.bitcast(x, np.dtype(f"int{8 * x.dtype.itemsize}"))
    return ops.lt(x, _like(x, 0))


def _copysign(x: Any, sign_of: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise _refuse("copysign", x)
    size = ops.abs_(x)
    return ops.select(_signbit(sign_of), ops.neg(size), size)


def _ldexp(x: Any, n: Any) -> Any:
    """In three factors, each a normal number, so that only the last can overflow or become subnormal."""
    info = dtypes.finfo(x.dtype)
    for _ in range(3):
        step = ops.clamp(_like(n, info.minexp), n, _like(n, info.maxexp - 1))
        x, n = ops.mul(x, ops.exp2(step)), ops.sub(n, step)
    return x


def _spacing(x: Any) -> Any:
    size = ops.abs_(x)
    gap = ops.sub(ops.nextafter(size, _like(x, np.inf)), size)
    return ops.select(_signbit(x), ops.neg(gap), gap)


isnan = unary("isnan", _isnan, "any", "Whether it is not a number.")
isinf = unary("isinf", _isinf, "any", "Whether it is infinite.")
isfinite = unary("isfinite", _isfinite, "any", "Whether it is neither infinite nor NaN.")
isposinf = unary("isposinf", _is_infinity("isposinf", np.inf), "any", "Whether it is infinity.")
isneginf = unary("isneginf", _is_infinity("isneginf", -np.inf), "any", "Whether it is minus infinity.")
iscomplex = unary("iscomplex", _iscomplex, "any", "Whether the imaginary part is not zero.")
isreal = unary("isreal", lambda x: ops.not_(_iscomplex(x)), "any", "Whether the imaginary part is zero.")
signbit = unary("signbit", _signbit, "any", "Whether it is negative; -0.0 is.")
copysign = binary("copysign", _copysign, "inexact", "The size of x1 with the sign of x2.")
nextafter = binary("nextafter", ops.nextafter, "inexact", "The float next to x1 in the direction of x2.")
spacing = unary("spacing", _spacing, "inexact", "The distance to the float that is next away from zero.")
ldexp = binary("ldexp", _ldexp, "inexact", "x1 * 2**x2.")
real = unary("real", _real, "any", "The real part; real arrays as they are.")
imag = unary("imag", _imaginary, "any", "The imaginary part; of real arrays zeros.")
conjugate = conj = unary("conjugate", _conjugate, "any", "The complex conjugate.")
_angle_of = unary("angle", _angle, "inexact", "The angle of a complex number, in radians.")


def angle(z: Any, deg: bool = False) -> Any:
    """The angle of complex numbers, in radians or degrees; of real ones 0 or π."""
    return rad2deg(_angle_of(z)) if deg else _angle_of(z)
