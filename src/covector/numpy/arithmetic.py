"""NumPy's elementwise functions that compute numbers: a name, a primitive or recipe, how operands are promoted, text.

A recipe gets its operands in one dtype, in one shape or as scalars.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy.operands import converted, refuse_out
from covector.numpy.promotion import cast, integer_of, lift, operand_of, type_key
from covector.numpy.ufunc import (
    ALL_KINDS,
    COMPLEX_WITH_AXES,
    binary,
    is_bool,
    is_integer,
    like,
    refuse,
    unary,
)

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "around",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor",
    "floor_divide",
    "fmod",
    "hypot",
    "i0",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "mod",
    "modf",
    "multiply",
    "negative",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "rint",
    "round",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

# ------------------------------------------------------------------- exponentials, angles, hyperbolas

exp = unary("exp", prims.exp, "inexact", "e to the power of each element.")
exp2 = unary("exp2", prims.exp2, "inexact", "2 to the power of each element.")
expm1 = unary("expm1", prims.expm1, "inexact", "exp(x) - 1, exact for small x too.")
log = unary("log", prims.log, "inexact", "The natural logarithm; NaN for negative numbers.")
log1p = unary("log1p", prims.log1p, "inexact", "log(1 + x), exact for small x too.")
sqrt = unary("sqrt", prims.sqrt, "inexact", "The square root; NaN for negative numbers.")
cbrt = unary("cbrt", prims.cbrt, "inexact", "The real cube root.")
sin = unary("sin", prims.sin, "inexact", "The sine of angles in radians.")
cos = unary("cos", prims.cos, "inexact", "The cosine of angles in radians.")
tan = unary("tan", prims.tan, "inexact", "The tangent of angles in radians.")
asin = arcsin = unary("asin", prims.asin, "inexact", "The inverse sine, in [-π/2, π/2].")
acos = arccos = unary("acos", prims.acos, "inexact", "The inverse cosine, in [0, π].")
atan = arctan = unary("atan", prims.atan, "inexact", "The inverse tangent, in [-π/2, π/2].")
sinh = unary("sinh", prims.sinh, "inexact", "The hyperbolic sine.")
cosh = unary("cosh", prims.cosh, "inexact", "The hyperbolic cosine.")
tanh = unary("tanh", prims.tanh, "inexact", "The hyperbolic tangent.")
asinh = arcsinh = unary("asinh", prims.asinh, "inexact", "The inverse hyperbolic sine.")
acosh = arccosh = unary("acosh", prims.acosh, "inexact", "The inverse hyperbolic cosine.")
atanh = arctanh = unary("atanh", prims.atanh, "inexact", "The inverse hyperbolic tangent.")


def angle_of(y: Any, x: Any) -> Any:
    """The angle of the point (x, y), of complex numbers too: -i log((x + iy) / sqrt(x² + y²))."""
    if not dtypes.is_complex(x.dtype):
        return prims.atan2(y, x)
    turned = prims.add(x, prims.mul(y, like(y, 1j)))
    length = prims.sqrt(prims.add(prims.square(x), prims.square(y)))
    angle = prims.mul(prims.log(prims.div(turned, length)), like(x, -1j))
    return converted(angle, x.dtype, type_key(x)[1] and type_key(y)[1])


atan2 = arctan2 = binary(
    "atan2", angle_of, "inexact", "The angle of the point (y, x) of the plane, in [-π, π]."
)


def log_base(base: float) -> Any:
    """The logarithm to a base, as a function of an operand that is floating or complex."""

    def recipe(x: Any) -> Any:
        log_x = prims.log(x)
        if not dtypes.is_complex(x.dtype):
            return prims.div(log_x, float(np.log(base)))
        parts = prims.real(log_x), prims.imag(log_x)
        return prims.complex_(*[prims.div(p, float(np.log(base))) for p in parts])

    return recipe


def _logaddexp(x: Any, y: Any) -> Any:
    return (_complex_logaddexp if dtypes.is_complex(x.dtype) else prims.logaddexp)(x, y)


def _complex_logaddexp(x: Any, y: Any) -> Any:
    """By the larger of the real parts; the imaginary part of the result is brought back into [-π, π]."""
    first = prims.ge(prims.real(x), prims.real(y))
    larger, smaller = prims.select(first, x, y), prims.select(first, y, x)
    out = prims.add(larger, prims.log1p(prims.exp(prims.sub(smaller, larger))))
    angle = prims.imag(out)
    turns = prims.round_half_even(prims.mul(angle, 0.5 / math.pi))
    return prims.complex_(prims.real(out), prims.sub(angle, prims.mul(turns, 2 * math.pi)))


def _logaddexp2(x: Any, y: Any) -> Any:
    return prims.div(
        _logaddexp(prims.mul(x, float(np.log(2))), prims.mul(y, float(np.log(2)))), float(np.log(2))
    )


def _hypot(x: Any, y: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise ValueError(
            f"hypot takes real numbers, not {x.dtype.name}{errors.at_user_line()}; of complex ones take abs first"
        )
    return prims.hypot(x, y)


# sin(z) / z = Σ (-1)^k z^2k / (2k + 1)!: up to z^24 enough digits of float64 for |z| < 1, and the derivatives
# up to the 20th at 0.
_SINC = tuple([(-1) ** k / math.factorial(2 * k + 1) for k in range(13)])


def _sinc(x: Any) -> Any:
    """By its series around 0, where the quotient has no derivatives, and loses their digits close by."""
    scaled = prims.mul(x, float(np.pi))
    size = prims.abs_(scaled)
    near = prims.lt(size, like(size, 1))
    series = _series(prims.square(prims.select(near, scaled, like(x, 0))), _SINC)
    safe = prims.select(near, like(x, 1), scaled)
    far = prims.sin(safe) if dtypes.is_complex(x.dtype) else _sine_of_turns(x)
    return prims.select(near, series, prims.div(far, safe))


def _sine_of_turns(x: Any) -> Any:
    """sin(πx), which is 0 at whole numbers: of what is left of the nearest one."""
    whole = prims.round_half_even(x)
    half = prims.sin(prims.mul(prims.sub(x, whole), float(np.pi)))
    return prims.select(prims.eq(prims.rem(whole, like(x, 2)), like(x, 0)), half, prims.neg(half))


# I0(z) = Σ (z²/4)^k / k!²
_I0 = tuple([1 / (4**k * math.factorial(k) ** 2) for k in range(13)])


_I1 = tuple([1 / (2 * 4**k * math.factorial(k) * math.factorial(k + 1)) for k in range(13)])


def _i0(x: Any) -> Any:
    """The modified Bessel function of order 0."""
    if dtypes.is_complex(x.dtype):
        raise refuse("i0", x)
    return _bessel(x, prims.bessel_i0e, _I0)


def bessel_i1(x: Any) -> Any:
    """The modified Bessel function of order 1."""
    return _bessel(x, prims.bessel_i1e, _I1, odd=True)


def _bessel(x: Any, scaled: Any, coefficients: Sequence[float], odd: bool = False) -> Any:
    """exp(|x|) scaled(x); by the series around 0, where |x| has no derivatives."""
    size = prims.abs_(x)
    near = prims.lt(size, like(size, 1))
    safe = prims.select(near, like(x, 1), x)
    far = prims.mul(prims.exp(prims.abs_(safe)), scaled(safe))
    inside = prims.select(near, x, like(x, 0))
    series = _series(prims.square(inside), coefficients)
    return prims.select(near, prims.mul(series, inside) if odd else series, far)


def _series(x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, the lowest power first."""
    total: Any = like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = prims.add(prims.mul(total, x), like(x, c))
    return total


log2 = unary("log2", log_base(2.0), "inexact", "The logarithm to base 2.")
log10 = unary("log10", log_base(10.0), "inexact", "The logarithm to base 10.", strong=ALL_KINDS)
logaddexp = binary(
    "logaddexp",
    _logaddexp,
    "inexact",
    "log(exp(x) + exp(y)), without overflow.",
    strong=COMPLEX_WITH_AXES,
)
logaddexp2 = binary(
    "logaddexp2",
    _logaddexp2,
    "inexact",
    "log2(2**x + 2**y), without overflow.",
    strong=COMPLEX_WITH_AXES,
    apart=True,
)
hypot = binary("hypot", _hypot, "inexact", "sqrt(x**2 + y**2), without overflow.")
sinc = unary("sinc", _sinc, "inexact", "sin(πx) / (πx), and 1 at 0.")
i0 = unary("i0", _i0, "inexact", "The modified Bessel function of the first kind of order 0.")
deg2rad = radians = unary(
    "deg2rad", lambda x: prims.mul(x, float(np.pi / 180)), "inexact", "Degrees as radians."
)
rad2deg = degrees = unary(
    "rad2deg", lambda x: prims.mul(x, float(180 / np.pi)), "inexact", "Radians as degrees."
)

# ---------------------------------------------------------------------------------------- arithmetic


def _negative(x: Any) -> Any:
    if is_bool(x):
        raise refuse("negative", x)
    return prims.neg(x)


def absolute_value(x: Any) -> Any:
    """The distance from zero; bool and unsigned integers as they are."""
    return x if dtypes.kind(x.dtype) in "bu" else prims.abs_(x)


def _fabs(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        raise refuse("fabs", x)
    return prims.abs_(x)


def _floor_divide(x: Any, y: Any) -> Any:
    if dtypes.is_float(x.dtype):
        return _float_divmod(x, y)[0]
    quotient = prims.div(x, y)
    if dtypes.kind(x.dtype) == "u":
        return quotient
    uneven = prims.ne(prims.rem(x, y), like(x, 0))
    opposite = prims.ne(prims.sign(x), prims.sign(y))
    return prims.select(prims.and_(uneven, opposite), prims.sub(quotient, 1), quotient)


def _remainder(x: Any, y: Any) -> Any:
    """With the sign of the divisor.  An integer by zero gives 0."""
    zero = like(x, 0)
    if is_integer(y):
        y = prims.select(prims.eq(y, zero), like(y, 1), y)
    rest = prims.rem(x, y)
    negative = prims.lt(y, zero)
    opposite = prims.and_(prims.ne(prims.lt(rest, zero), negative), prims.ne(rest, zero))
    rest = prims.select(opposite, prims.add(rest, y), rest)
    if is_integer(y):
        return rest
    # No rest is a zero of the divisor's sign: -0 + 0 is 0, whose derivative is still that of the rest.
    sign = prims.select(negative, like(x, -1), like(x, 1))
    return prims.mul(prims.add(prims.mul(rest, sign), zero), sign)


def _fmod(x: Any, y: Any) -> Any:
    """With the sign of the dividend.  An integer by zero gives 0."""
    if is_integer(y):
        y = prims.select(prims.eq(y, like(y, 0)), like(y, 1), y)
    return prims.rem(x, y)


def _float_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    rest = prims.rem(x, y)
    whole = prims.select(prims.eq(y, like(y, 0)), x, prims.sub(x, rest))
    quotient = prims.div(whole, y)
    opposite = prims.and_(prims.ne(rest, like(x, 0)), prims.ne(prims.sign(y), prims.sign(rest)))
    rest = prims.select(opposite, prims.add(rest, y), rest)
    quotient = prims.select(opposite, prims.sub(quotient, 1.0), quotient)
    quotient = prims.round_half_away(quotient)
    zero = prims.mul(like(x, 0), prims.mul(prims.sign(x), prims.sign(y)))
    return prims.select(prims.eq(quotient, like(x, 0)), zero, quotient), rest


add = binary(
    "add",
    lambda x, y: prims.or_(x, y) if x.dtype == dtypes.bool_ else prims.add(x, y),
    "any",
    "The sum x + y; of bool the logical or.",
)
subtract = binary("subtract", prims.sub, "any", "The difference x - y.")
multiply = binary(
    "multiply",
    lambda x, y: prims.and_(x, y) if x.dtype == dtypes.bool_ else prims.mul(x, y),
    "any",
    "The product x * y; of bool the logical and.",
)
divide = true_divide = binary(
    "divide", prims.div, "inexact", "The quotient x / y; of integers too it is a float."
)
floor_divide = binary(
    "floor_divide",
    _floor_divide,
    "numeric",
    "The quotient x / y, rounded down, in the operands' dtype.",
)
remainder = mod = binary(
    "remainder",
    _remainder,
    "numeric",
    "x - y * floor(x / y): the rest with the sign of y, as Python's %.",
)
fmod = binary("fmod", _fmod, "numeric", "The rest of the division with the sign of x, as C's fmod.")
negative = unary("negative", _negative, "any", "-x.")
positive = unary("positive", lambda x: x, "any", "x itself.")
absolute = abs = unary(
    "absolute", absolute_value, "any", "The distance from zero; of complex numbers a real array."
)
fabs = unary("fabs", _fabs, "inexact", "The distance from zero of real numbers, as floats.")
sign = unary("sign", prims.sign, "any", "-1, 0 or 1; of complex numbers x / |x|.")
square = unary("square", prims.square, "numeric", "x * x.")
reciprocal = unary("reciprocal", lambda x: prims.integer_pow(x, -1), "inexact", "1 / x.")


def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """(floor_divide(x1, x2), remainder(x1, x2)).

    Operands and errors are those of the two.

    >>> from covector import numpy as cnp
    >>> cnp.divmod(cnp.array([7, -7]), 4)
    (Array([ 1, -2], dtype=int32), Array([3, 1], dtype=int32))
    """
    return floor_divide(x1, x2), remainder(x1, x2)


def _finite_rest(whole: Any, rest: Any) -> Any:
    return prims.select(prims.eq(prims.abs_(whole), like(whole, np.inf)), like(rest, 0), rest)


_rest = binary("modf_rest", _finite_rest, "inexact", "The fractional part, 0 of an infinity.")


def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """The fractional and the whole part of each element, both with its sign.

    As floats; integers count as floats.  TypeError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.modf(cnp.array([1.5, -1.5]))
    (Array([ 0.5, -0.5], dtype=float32), Array([ 1., -1.], dtype=float32))
    """
    refuse_out("modf", out)
    whole = trunc(lift("modf", x))
    whole = cast(whole, dtypes.inexact_of(whole.dtype), whole.weak_type)
    return _rest(whole, subtract(x, whole)), whole


# -------------------------------------------------------------------------------------------- powers


def _general_power(x: Any, y: Any) -> Any:
    return prims.pow_(x, y) if dtypes.is_inexact(x.dtype) else _integer_power(x, y)


def _integer_power(x: Any, y: Any) -> Any:
    """By squaring, with all bits of the exponent: odd numbers have other remainders the whole way up."""
    zero, one = like(x, 0), like(x, 1)
    result = prims.select(prims.and_(prims.eq(x, zero), prims.ne(y, zero)), zero, one)
    bits = 8 * x.dtype.itemsize
    for bit in range(bits):
        odd = prims.ne(prims.and_(y, one), zero)
        result = prims.select(odd, prims.mul(result, x), result)
        if bit < bits - 1:
            x, y = prims.mul(x, x), prims.shift_right_logical(y, one)
    return result


_power = binary("power", _general_power, "numeric", "x to the power y.")
float_power = binary("float_power", prims.pow_, "inexact", "x to the power y, as floats.")


@cache
def _power_of(n: int) -> Any:
    """The function x -> x ** n."""
    return unary(f"power_{n}", lambda x: prims.integer_pow(x, n), "numeric", f"x to the power {n}.")


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
    out = _power(x1, x2)
    if not (out.weak_type and type_key(x1)[1]):
        return out
    # the dtype is that of the base, but an exponent that is an array of integers makes the result strong
    dtype, weak = type_key(x2)
    return out if weak or dtype == dtypes.bool_ else prims.Convert(out.dtype)(out)


pow = power

# ------------------------------------------------------------------------------------------ rounding


def _rounding(primitive: Any) -> Any:
    return lambda x: x if is_integer(x) else primitive(x)


def _rint(x: Any) -> Any:
    if is_integer(x):
        return prims.Convert(dtypes.of_number(float))(x)
    if dtypes.is_complex(x.dtype):
        return prims.complex_(
            prims.round_half_even(prims.real(x)), prims.round_half_even(prims.imag(x))
        )
    return prims.round_half_even(x)


floor = unary("floor", _rounding(prims.floor), "any", "Rounded down; integers as they are.")
ceil = unary("ceil", _rounding(prims.ceil), "any", "Rounded up; integers as they are.")
trunc = unary("trunc", _rounding(prims.trunc), "any", "Rounded towards zero; integers as they are.")
rint = unary(
    "rint",
    _rint,
    "any",
    "Rounded to the nearest whole number, ties to the even one; integers and bool as floats.",
    strong="biu",
)


def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Rounded to so many decimals, ties to even; integers stay as they are.

    Shape and dtype stay.  NotImplementedError for integers and negative decimals: convert to a float first.

    >>> from covector import numpy as cnp
    >>> cnp.round(cnp.array([1.25, 2.5]))
    Array([1., 2.], dtype=float32)
    """
    refuse_out("round", out)
    a = operand_of("round", a)
    dtype, _ = type_key(a)
    if dtype == dtypes.bool_:
        raise refuse("round", lift("round", a))
    integer = dtypes.is_integer(dtype)
    if decimals == 0:
        return positive(a) if integer else rint(a)
    if integer:
        if decimals > 0:
            return positive(a)
        raise NotImplementedError(
            f"round of integers to tens, hundreds, ...{errors.at_user_line()}: convert to a float first"
        )
    return _rounded_to(integer_of(decimals, "decimals"))(a)


@cache
def _rounded_to(decimals: int) -> Any:
    """The function that rounds to so many decimals, or tens; what has no more of them stays as it is."""
    with np.errstate(over="ignore"):
        power = np.float64(10.0) ** np.abs(decimals)

    def recipe(x: Any) -> Any:
        if dtypes.is_complex(x.dtype):
            return prims.complex_(recipe(prims.real(x)), recipe(prims.imag(x)))
        with np.errstate(over="ignore"):
            factor = like(x, power)
        if decimals > 0:
            scaled = prims.mul(x, factor)
            nearest = prims.div(prims.round_half_even(scaled), factor)
            return prims.select(prims.is_finite(scaled), nearest, x)
        if factor == np.inf:
            return prims.select(prims.is_finite(x), prims.mul(x, like(x, 0)), x)
        return prims.mul(prims.round_half_even(prims.div(x, factor)), factor)

    return unary(f"round_{decimals}", recipe, "inexact", f"Rounded to {decimals} decimals.")


around = round
