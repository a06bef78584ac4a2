"""Elementwise functions: arithmetic, elementary and special functions, comparisons, bits, choosing.

The operands have one dtype and one shape, where axes of size 1 are repeated; operands of shape () go with any, Python
numbers take the others' dtype.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.examples import EXAMPLES
from covector.lax.operands import array, check_shapes, operand, operands
from covector.numpy.arithmetic import angle_of, log_base
from covector.numpy.comparison import larger, smaller
from covector.numpy.promotion import integer_of

__all__ = [
    "AccuracyMode",
    "RoundingMethod",
    "Tolerance",
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "complex",
    "conj",
    "cos",
    "cosh",
    "digamma",
    "div",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "imag",
    "integer_pow",
    "is_finite",
    "le",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "mulhi",
    "ne",
    "neg",
    "nextafter",
    "one_minus_square",
    "polygamma",
    "polynomial",
    "population_count",
    "pow",
    "random_gamma_grad",
    "real",
    "reciprocal",
    "reduce_precision",
    "rem",
    "round",
    "rsqrt",
    "select",
    "select_n",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
    "zeta",
]


class RoundingMethod(enum.IntEnum):
    """What `round` does with numbers half way between two whole ones.

    >>> from covector import lax, numpy as cnp
    >>> lax.round(cnp.array([0.5, 1.5]), lax.RoundingMethod.TO_NEAREST_EVEN)
    Array([0., 2.], dtype=float32)
    """

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


class AccuracyMode(enum.Enum):
    """How exact an elementary function is to be.  Both mean the same here: as exact as it gets.

    >>> from covector import lax
    >>> print(lax.exp(0.0, accuracy=lax.AccuracyMode.HIGHEST))
    1.0
    """

    HIGHEST = 1
    DEFAULT = 2


class Tolerance:
    """What error an elementary function may have: absolute and relative, or in units in the last place.

    ValueError for negative ones, and if there is none.  Ours have less than any that makes sense.

    >>> from covector import lax
    >>> print(lax.exp(0.0, accuracy=lax.Tolerance(rtol=1e-3)))
    1.0
    """

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0):
        given = (atol, rtol, ulps)
        if not all(x >= 0 for x in given) or not any(given):
            raise ValueError(
                f"Tolerance{given}{errors.at_user_line()}: tolerances are not negative, and one is above 0"
            )
        self.atol, self.rtol, self.ulps = given

    def __repr__(self) -> str:
        return f"Tolerance(atol={self.atol}, rtol={self.rtol}, ulps={self.ulps})"


def check_accuracy(name: str, accuracy: Any) -> None:
    """TypeError unless it is a `Tolerance`, an `AccuracyMode`, or None."""
    if accuracy is not None and not isinstance(accuracy, Tolerance | AccuracyMode):
        raise TypeError(
            f"{name}: accuracy is a Tolerance or an AccuracyMode, not {accuracy!r}{errors.at_user_line()}"
        )


# What every function made here has in its docstring, beside its own line and its example.
_KINDS = {"b": "bool", "iu": "integers", "f": "floats", "c": "complex numbers"}
_ONE = "\n\nElement by element{}."
_SEVERAL = """

Element by element{}.  TypeError unless the operands have
one dtype and one shape; a Python number goes with any dtype, an array of shape () with any shape."""


def _named(f: Callable[..., Any], name: str, primitive: Any, doc: str, rules: str) -> Any:
    f.__name__ = f.__qualname__ = name
    kinds = getattr(primitive, "kinds", "biufc")
    taken = [word for letters, word in _KINDS.items() if letters[0] in kinds]
    only = "" if len(taken) == len(_KINDS) else f"; of {', '.join(taken)} only"
    f.__doc__ = f"{doc}{rules.format(only)}{EXAMPLES.get(name, '')}"
    return f


# The functions by the names of their operands.
_MADE: dict[str, Callable[[str, Any], Any]] = {
    "x": lambda name, p: lambda x: p(*operands(name, x)),
    "x, y": lambda name, p: lambda x, y: p(*operands(name, x, y)),
    "x1, x2": lambda name, p: lambda x1, x2: p(*operands(name, x1, x2)),
    "m, x": lambda name, p: lambda m, x: p(*operands(name, m, x)),
    "x, q": lambda name, p: lambda x, q: p(*operands(name, x, q)),
    "a, x": lambda name, p: lambda a, x: p(*operands(name, a, x)),
    "a, b, x": lambda name, p: lambda a, b, x: p(*operands(name, a, b, x)),
}


def _unary(name: str, primitive: Callable[[Any], Any], doc: str) -> Any:
    return _named(_MADE["x"](name, primitive), name, primitive, doc, _ONE)


def _function(name: str, primitive: Callable[[Any], Any], doc: str) -> Any:
    """As `_unary`, for functions that can be asked for an accuracy; ours is always the full one."""

    def f(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
        check_accuracy(name, accuracy)
        return primitive(*operands(name, x))

    return _named(f, name, primitive, doc, _ONE)


def _binary(name: str, primitive: Callable[..., Any], doc: str, names: str = "x, y") -> Any:
    return _named(_MADE[names](name, primitive), name, primitive, doc, _SEVERAL)


# --------------------------------------------------------------------------------------------- arithmetic

add = _binary("add", prims.add, "x + y.")
sub = _binary("sub", prims.sub, "x - y.")
_mul = _binary("mul", prims.mul, "x * y.")


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """x * y, element by element; in `out_dtype`, which the operands take first, if that is given.

    TypeError unless the operands have one dtype and one shape; a Python number goes with any dtype, an array of
    shape () with any shape.

    >>> from covector import lax, numpy as cnp
    >>> lax.mul(cnp.array([1.0, 2.0]), 3)
    Array([3., 6.], dtype=float32)
    >>> lax.mul(cnp.int8(100), cnp.int8(100), out_dtype=cnp.int32).item()
    10000
    """
    if out_dtype is None:
        return _mul(x, y)
    dtype = dtypes.as_dtype(out_dtype)
    return _mul(*[prims.convert(array("mul", v), dtype) for v in (x, y)])


div = _binary(
    "div", prims.div, "x / y; of integers rounded towards zero, and -1 (all bits set) for x / 0."
)
rem = _binary(
    "rem",
    prims.rem,
    "The rest of the division, with the sign of x; of integers x for a division by 0.",
)
max = _binary("max", larger, "The larger of the two; NaN if one is NaN.")
min = _binary("min", smaller, "The smaller of the two; NaN if one is NaN.")
neg = _unary("neg", prims.neg, "-x.")
abs = _unary("abs", prims.abs_, "The distance from zero; of complex numbers a real array.")
sign = _unary("sign", prims.sign, "-1, 0 or 1; of complex numbers x / |x|.")
square = _unary("square", prims.square, "x * x.")
one_minus_square = _unary(
    "one_minus_square", prims.one_minus_square, "1 - x², exact where x is close to 1 too."
)
reciprocal = _unary("reciprocal", lambda x: prims.integer_pow(x, -1), "1 / x.")
sqrt = _function("sqrt", prims.sqrt, "The square root; NaN for negative numbers.")
rsqrt = _function("rsqrt", prims.rsqrt, "1 / sqrt(x).")
cbrt = _function("cbrt", prims.cbrt, "The real cube root.")
floor = _unary("floor", prims.floor, "Rounded down.")
ceil = _unary("ceil", prims.ceil, "Rounded up.")
nextafter = _binary(
    "nextafter", prims.nextafter, "The float next to x1 in the direction of x2.", "x1, x2"
)


def pow(x: Any, y: Any) -> Any:
    """x to the power y: x a float or complex array, y of the same dtype or integers.

    TypeError for integers to the power of an array.

    >>> from covector import lax, numpy as cnp
    >>> lax.pow(cnp.array([2.0, 3.0]), 2)
    Array([4., 9.], dtype=float32)
    """
    if type(y) is int:
        return integer_pow(x, y) if dtypes.is_inexact(typeof(x).dtype) else _power(x, y)
    y = operand("pow", y)
    if type(y) not in SCALARS and dtypes.is_integer(y.dtype):
        (x,) = operands("pow", x)
        if dtypes.is_inexact(x.dtype):
            weak = getattr(x, "weak_type", False) and getattr(y, "weak_type", False)
            return _power(x, prims.Convert(x.dtype, weak)(y))
    return _power(x, y)


_power = _binary("pow", prims.pow_, "x to the power y.")


def integer_pow(x: Any, y: int) -> Any:
    """x to the power of a Python integer, as products.

    Dtype and shape stay.  TypeError for an exponent that is no integer, or a negative one of integers.

    >>> from covector import lax, numpy as cnp
    >>> lax.integer_pow(cnp.array([2, 3]), 3)
    Array([ 8, 27], dtype=int32)
    """
    (x,) = operands("integer_pow", x)
    return prims.integer_pow(x, integer_of(y, "the exponent of integer_pow"))


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The nearest whole number; half way the one away from zero, or the even one, as `rounding_method` says.

    Floats only (TypeError).

    >>> from covector import lax, numpy as cnp
    >>> lax.round(cnp.array([0.5, 1.5, -0.5]))
    Array([ 1.,  2., -1.], dtype=float32)
    """
    (x,) = operands("round", x)
    method = RoundingMethod(rounding_method)
    even = method is RoundingMethod.TO_NEAREST_EVEN
    return prims.round_half_even(x) if even else prims.round_half_away(x)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Rounded to a float format of so many exponent and mantissa bits; the dtype stays.

    Floats only (TypeError); ValueError unless there are exponent bits, and not less than 0 mantissa bits.

    >>> from covector import lax, numpy as cnp
    >>> lax.reduce_precision(cnp.array([1 / 3]), 8, 7)
    Array([0.33398438], dtype=float32)
    """
    exponent, mantissa = int(exponent_bits), int(mantissa_bits)
    if exponent < 1 or mantissa < 0:
        raise ValueError(
            f"reduce_precision to {exponent} exponent and {mantissa} mantissa bits{errors.at_user_line()}: there must "
            "be one of the former, and not less than 0 of the latter"
        )
    (x,) = operands("reduce_precision", operand)
    return prims.reduce_precision(x, exponent, mantissa)


# ------------------------------------------------------------------------------- elementary functions

exp = _function("exp", prims.exp, "e to the power x.")
exp2 = _function("exp2", prims.exp2, "2 to the power x.")
expm1 = _function("expm1", prims.expm1, "exp(x) - 1, exact for small x too.")
log = _function("log", prims.log, "The natural logarithm; NaN for negative numbers.")
log2 = _function("log2", log_base(2.0), "The logarithm to base 2.")
log1p = _function("log1p", prims.log1p, "log(1 + x), exact for small x too.")
logistic = _function("logistic", prims.logistic, "1 / (1 + exp(-x)).")
sin = _function("sin", prims.sin, "The sine of an angle in radians.")
cos = _function("cos", prims.cos, "The cosine of an angle in radians.")
tan = _function("tan", prims.tan, "The tangent of an angle in radians.")
tanh = _function("tanh", prims.tanh, "The hyperbolic tangent.")
asin = _unary("asin", prims.asin, "The inverse sine, in [-π/2, π/2].")
acos = _unary("acos", prims.acos, "The inverse cosine, in [0, π].")
atan = _unary("atan", prims.atan, "The inverse tangent, in [-π/2, π/2].")
atan2 = _binary("atan2", angle_of, "The angle of the point (y, x) of the plane, in [-π, π].")
sinh = _unary("sinh", prims.sinh, "The hyperbolic sine.")
cosh = _unary("cosh", prims.cosh, "The hyperbolic cosine.")
asinh = _unary("asinh", prims.asinh, "The inverse hyperbolic sine.")
acosh = _unary("acosh", prims.acosh, "The inverse hyperbolic cosine.")
atanh = _unary("atanh", prims.atanh, "The inverse hyperbolic tangent.")

# ---------------------------------------------------------------------------------- special functions

erf = _unary("erf", prims.erf, "The error function.")
erfc = _function("erfc", prims.erfc, "1 - erf(x), exact for large x too.")
erf_inv = _unary("erf_inv", prims.erf_inv, "The inverse of the error function.")
lgamma = _unary("lgamma", prims.lgamma, "log |Γ(x)|.")
digamma = _unary("digamma", prims.digamma, "The derivative of log Γ(x).")
polygamma = _binary("polygamma", prims.polygamma, "The m-th derivative of digamma at x.", "m, x")
zeta = _binary(
    "zeta",
    prims.zeta,
    "The Hurwitz zeta function: the sum of (q + n)**-x over n >= 0.",
    "x, q",
)
igamma = _binary(
    "igamma",
    prims.igamma,
    "The regularised lower incomplete gamma function P(a, x).",
    "a, x",
)
igammac = _binary(
    "igammac", prims.igammac, "1 - igamma(a, x), exact where igamma is close to 1.", "a, x"
)
igamma_grad_a = _binary(
    "igamma_grad_a", prims.igamma_grad_a, "The derivative of igamma(a, x) in a.", "a, x"
)
random_gamma_grad = _binary(
    "random_gamma_grad",
    prims.random_gamma_grad,
    "The derivative in a of a sample x of the gamma distribution with parameter a.",
    "a, x",
)
betainc = _binary("betainc", prims.betainc, "The regularised incomplete beta function.", "a, b, x")
bessel_i0e = _unary(
    "bessel_i0e", prims.bessel_i0e, "exp(-|x|) I0(x), I0 a modified Bessel function."
)
bessel_i1e = _unary(
    "bessel_i1e", prims.bessel_i1e, "exp(-|x|) I1(x), I1 a modified Bessel function."
)

# ---------------------------------------------------------------------------------- comparisons, bits

eq = _binary("eq", prims.eq, "x == y.")
ne = _binary("ne", prims.ne, "x != y.")
lt = _binary("lt", prims.lt, "x < y.")
le = _binary("le", prims.le, "x <= y.")
gt = _binary("gt", prims.gt, "x > y.")
ge = _binary("ge", prims.ge, "x >= y.")
is_finite = _unary("is_finite", prims.is_finite, "Whether it is neither infinite nor NaN.")
bitwise_and = _binary(
    "bitwise_and", prims.and_, "The bits that are set in both; of bool the logical and."
)
bitwise_or = _binary(
    "bitwise_or", prims.or_, "The bits that are set in one of them; of bool the logical or."
)
bitwise_xor = _binary("bitwise_xor", prims.xor, "The bits that are set in just one of them.")
bitwise_not = _unary("bitwise_not", prims.not_, "Every bit turned over; of bool the logical not.")
shift_left = _binary(
    "shift_left", prims.shift_left, "The bits of x moved up by y; 0 if y is not below the width."
)
shift_right_logical = _binary(
    "shift_right_logical",
    prims.shift_right_logical,
    "The bits of x moved down by y, zeros coming in.",
)
shift_right_arithmetic = _binary(
    "shift_right_arithmetic",
    prims.shift_right_arithmetic,
    "The bits of x moved down by y, copies of the sign coming in.",
)
population_count = _unary("population_count", prims.population_count, "How many bits are set.")
clz = _unary("clz", prims.clz, "How many bits above the highest set one are zero.")
mulhi = _binary("mulhi", prims.mulhi, "The upper half of the product's bits.")

# -------------------------------------------------------------------------------------------- complex

real = _unary("real", prims.real, "The real part of complex numbers.")
imag = _unary("imag", prims.imag, "The imaginary part of complex numbers.")
complex = _binary("complex", prims.complex_, "The complex number x + iy of two floats.")


def conj(x: Any) -> Any:
    """The complex conjugate; real numbers become complex.

    >>> from covector import lax, numpy as cnp
    >>> lax.conj(cnp.array([1 + 2j]))
    Array([1.-2.j], dtype=complex64)
    """
    (x,) = operands("conj", x)
    return prims.conj(x) if dtypes.is_complex(x.dtype) else complex(x, 0.0)


def polynomial(x: Any, coeffs: Sequence[Any], *, unroll: int | None = None) -> Any:
    """coeffs[0] + coeffs[1] x + coeffs[2] x² + ...: by Horner's rule, in the dtype of x; 0 for no coefficients.

    Coefficients are numbers, or arrays with axes of the lengths of x's or 1.  They are all written out, so `unroll`
    changes nothing.

    >>> from covector import lax
    >>> print(lax.polynomial(2.0, [1.0, 5.0, 2.0]))
    19.0
    """
    x = array("polynomial", x)
    parts = [array("polynomial", c) for c in coeffs]
    parts = [prims.Convert(x.dtype, typeof(c).weak_type)(c) for c in parts]
    out = parts.pop() if parts else x.dtype.type(0)
    if not parts:
        return add(prims.zeros(typeof(x)), out)
    while parts:
        out = add(_mul(out, x), parts.pop())
    return out


# ------------------------------------------------------------------------------------------- choosing


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Elements of `on_true` where `pred` holds, else of `on_false`.

    `pred` is bool, or an integer that is not 0, of the shape of the cases or of shape ().  TypeError unless the cases
    have one dtype and shape.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([1.0, -2.0])
    >>> lax.select(lax.gt(x, 0), x, cnp.zeros(2))
    Array([1., 0.], dtype=float32)
    """
    cases = operands("select", on_true, on_false)
    check_shapes("select", [typeof(x) for x in (operand("select", pred), *cases)])
    which = _condition(pred)
    if dtypes.is_integer(which.dtype):
        which = prims.ne(which, which.dtype.type(0))
    return prims.select(which, *cases)


def _condition(pred: Any) -> Any:
    return np.bool_(pred) if type(pred) is bool else array("select", pred)


def select_n(which: Any, *cases: Any) -> Any:
    """Elements of cases[i] where `which` is i: an int32, or a bool for two cases (False means the first).

    An i that is not below the number of cases means the last one, a negative i the first.  ValueError for no cases.

    >>> from covector import lax, numpy as cnp
    >>> lax.select_n(cnp.array([0, 2, 1]), cnp.zeros(3), cnp.ones(3), 2 * cnp.ones(3))
    Array([0., 2., 1.], dtype=float32)
    """
    if not cases:
        raise ValueError(f"select_n needs at least one case{errors.at_user_line()}")
    values = operands("select_n", *cases)
    which = _condition(which)
    check_shapes("select_n", [typeof(x) for x in (which, *values)])
    if which.dtype == dtypes.bool_:
        if len(values) > 2:
            raise TypeError(
                f"select_n chooses among {len(values)} cases by bool{errors.at_user_line()}; use int32"
            )
        return prims.select(which, values[-1], values[0])
    if which.dtype != dtypes.int32:
        raise TypeError(
            f"select_n chooses by {which.dtype.name}{errors.at_user_line()}; use int32 or bool"
        )
    numbered = list(enumerate(values))
    last = values[-1]
    return reduce(
        lambda rest, case: prims.select(prims.le(which, np.int32(case[0])), case[1], rest),
        reversed(numbered[:-1]),
        last,
    )


def clamp(min: Any, x: Any, max: Any) -> Any:
    """max(min, ...) and min(max, ...): x within bounds, which have its shape or shape (); also of complex numbers.

    These are in the order of their real parts, then of the imaginary ones.  TypeError unless the three have one dtype.

    >>> from covector import lax, numpy as cnp
    >>> lax.clamp(0.0, cnp.array([-1.0, 0.5, 2.0]), 1.0)
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    x, low, high = operands("clamp", x, min, max)
    if dtypes.is_complex(typeof(x).dtype):
        return smaller(larger(low, x), high)
    return prims.clamp(low, x, high)
