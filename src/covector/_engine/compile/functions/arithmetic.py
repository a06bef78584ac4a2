"""What the definitions of functions share: formats, polynomials, error-free sums and products."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction

import ml_dtypes
import numpy as np

from covector._engine.base.record import record
from covector._engine.compile.functions import coefficients
from covector._engine.ir.scalar import Expr, apply, bitcast, const, fma, select


@record
class Format:
    """The layout of a binary floating-point format, and the integers of its width."""

    dtype: np.dtype
    int: np.dtype
    uint: np.dtype
    mantissa: int  # explicit bits
    bias: int

    @property
    def magic(self) -> float:
        """1.5 * 2^mantissa: adding it rounds to an integer, which the low bits then hold."""
        return 1.5 * 2.0**self.mantissa

    @property
    def one_bits(self) -> int:
        return self.bias << self.mantissa

    @property
    def infinity_bits(self) -> int:
        return (2 * self.bias + 1) << self.mantissa

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


FLOAT16 = Format(np.dtype(np.float16), np.dtype(np.int16), np.dtype(np.uint16), 10, 15)
BFLOAT16 = Format(np.dtype(ml_dtypes.bfloat16), np.dtype(np.int16), np.dtype(np.uint16), 7, 127)
FLOAT32 = Format(np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.uint32), 23, 127)
FLOAT64 = Format(np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint64), 52, 1023)


@functools.cache
def format_of(dtype: np.dtype) -> Format:
    """The Format of a dtype."""
    return next(f for f in (FLOAT32, FLOAT64, FLOAT16, BFLOAT16) if f.dtype == dtype)


def is_single(x: Expr) -> bool:
    """Whether x is float32 (else it is float64)."""
    return format_of(x.dtype) is FLOAT32


def polynomial(x: Expr, terms: Sequence[float]) -> Expr:
    """sum(terms[k] * x**k) by Horner's rule: the fewest instructions, which is what a full vector loop wants."""
    result: Expr = const(terms[-1], x.dtype)
    for c in reversed(terms[:-1]):
        result = fma(result, x, c)
    return result


def fitted(x: Expr, name: str) -> Expr:
    """The polynomial `name` of coefficients.py at x, in x's format."""
    table = getattr(coefficients, f"{name}_{8 * x.dtype.itemsize}")
    return polynomial(x, table)


def bits(x: Expr) -> Expr:
    """The bits of a float as a signed integer."""
    return bitcast(x, format_of(x.dtype).int)


def from_bits(i: Expr) -> Expr:
    """The float with these bits."""
    return bitcast(i, np.dtype(np.float32) if i.dtype.itemsize == 4 else np.dtype(np.float64))


def absolute(x: Expr) -> Expr:
    """|x|."""
    return apply("abs", x)


def copysign(x: Expr, y: Expr) -> Expr:
    """The magnitude of x with the sign of y."""
    return apply("copysign", x, y)


def sqrt(x: Expr) -> Expr:
    """The correctly rounded square root."""
    return apply("sqrt", x)


def at_most(x: Expr, bound: float) -> Expr:
    """x, or the bound where x is above it; NaN stays (one instruction, unlike `min`)."""
    return select(const(bound, x.dtype) < x, const(bound, x.dtype), x)


def at_least(x: Expr, bound: float) -> Expr:
    """x, or the bound where x is below it; NaN stays."""
    return select(const(bound, x.dtype) > x, const(bound, x.dtype), x)


def split(
    value: str | Fraction, dtype: np.dtype, parts: int, towards_zero: bool = False
) -> list[float]:
    """A constant as a sum of floats of the dtype: each is what the earlier ones leave, rounded.

    Towards zero all parts have one sign: then 0 * part keeps the sign of a zero it is added to.
    """
    rest, made = Fraction(value), []
    for _ in range(parts):
        part = dtype.type(float(rest))
        if towards_zero and abs(Fraction(float(part))) > abs(rest):
            part = np.nextafter(part, dtype.type(0))
        made.append(float(part))
        rest -= Fraction(float(part))
    return made


LN2 = Fraction(
    "0.693147180559945309417232121458176568075500134360255254120680009493393621969694"
    "715605863326996418687"
)
PI = Fraction(
    "3.141592653589793238462643383279502884197169399375105820974944592307816406286208"
    "998628034825342117068"
)


LN10 = Fraction(
    "2.302585092994045684017991454684364207601101488628772976033327900967572609677352"
    "480235997205089598298341967784042286"
)


def select_finite(x: Expr, result: Expr) -> Expr:
    """The result where x is below infinity, else x: infinity and NaN give themselves."""
    return select(x < float("inf"), result, x)


def two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x + y as a rounded sum and its error (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def quick_two_sum(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x + y and its error, where |x| >= |y| or x is 0 (Dekker)."""
    total = x + y
    return total, y - (total - x)


def two_product(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    """x * y as a rounded product and its error."""
    product = x * y
    return product, fma(x, y, -product)
