"""Hyperbolic functions and their inverses.

The functions use the addition theorems: |x| = n ln2 + r, e^(n ln2) = 2^n is exact, and the hyperbolic
functions of r are short polynomials, so that nothing cancels.  The inverses are logarithms of sums in two
parts.
"""

from __future__ import annotations

from covector._engine.compile.functions.arithmetic import (
    LN2,
    absolute,
    at_most,
    bits,
    copysign,
    fitted,
    format_of,
    from_bits,
    is_single,
    quick_two_sum,
    select_finite,
    split,
    sqrt,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.exponential import log_of_sum, reduce_exp
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, const, equal, fma, select


def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent.

    |x| = n ln2 / 2 + r; tanh(n ln2 / 2) = (s - 1) / (s + 1) with s = 2^n, and tanh(r) = t is a polynomial,
    so the result is e / (e + 2 (1 - t)) with e = (s - 1) + (s + 1) t: one division.  Below 0.55, where
    three roundings in a row would be more than 2 ulp, n is 0 and the quotient t exactly.
    """
    f = format_of(x.dtype)
    a = at_most(absolute(x), 9.1 if is_single(x) else 19.1)
    magic = f.magic + f.bias
    shifted = select(a < 0.55, const(magic, x.dtype), fma(a, 2 * 1.4426950408889634, magic))
    n = shifted - magic
    high, low = split(LN2 / 2, x.dtype, 2)
    r = fma(n, -low, fma(n, -high, a))
    square = r * r
    t = fma(fitted(square, "TANH"), square * r, r)
    power = from_bits(bits(shifted) << f.mantissa)
    e = fma(power + 1.0, t, power - 1.0)
    return copysign(e / (e + fma(t, -2.0, 2.0)), x)


def exponential_halves(a: Expr) -> tuple[Expr, Expr, Expr]:
    """(r, up, down) with e^a = 4 up e^r and e^-a = 4 down e^-r, for a >= 0 at most just above overflow."""
    f = format_of(a.dtype)
    r, _, t = reduce_exp(a, f.bias - 2)
    up = bits(t) << f.mantissa
    down = apply("max", const((2 * f.bias - 4) << f.mantissa, f.int) - up, const(0, f.int))
    return r, from_bits(up), from_bits(down)


def sinh(x: Expr) -> Expr:
    """The hyperbolic sine: (s - 1/s) cosh(r) + (s + 1/s) sinh(r), halved; a polynomial below 1."""
    a = at_most(absolute(x), 89.5 if is_single(x) else 710.6)
    small = a < 1.0
    r, up, down = exponential_halves(a)
    r = select(small, a, r)
    square = r * r
    sine = fma(fitted(square, "SINH"), square * r, r)
    cosine = fitted(square, "COSH") * square
    minus, plus = up - down, up + down
    large = minus + fma(minus, cosine, plus * sine)
    return copysign(select(small, sine, large + large), x)


def cosh(x: Expr) -> Expr:
    """The hyperbolic cosine: (s + 1/s) cosh(r) + (s - 1/s) sinh(r), halved."""
    a = at_most(absolute(x), 89.5 if is_single(x) else 710.6)
    r, up, down = exponential_halves(a)
    square = r * r
    sine = fma(fitted(square, "SINH"), square * r, r)
    cosine = fitted(square, "COSH") * square
    minus, plus = up - down, up + down
    half = plus + fma(plus, cosine, minus * sine)
    return half + half


def sqrt_of_sum(high: Expr, low: Expr) -> tuple[Expr, Expr]:
    """The square root of a sum in two parts, in two parts; 0 for 0."""
    root = sqrt(high)
    rest = (fma(-root, root, high) + low) / (root + root)
    return root, select(high > 0.0, rest, const(0.0, high.dtype))


def asinh(x: Expr) -> Expr:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x; x - x^3 / 6 where that is all."""
    f = format_of(x.dtype)
    a = absolute(x)
    large = a > 2.0 ** (f.mantissa // 2 + 2)
    b = at_most(a, 2.0 ** (f.mantissa // 2 + 2))
    square, missed = two_product(b, b)
    total, rest = two_sum(square, const(1.0, x.dtype))
    root, tail = sqrt_of_sum(total, rest + missed)
    high, low = two_sum(root, b)
    high = select(large, a, high)
    low = select(large, const(0.0, x.dtype), low + tail)
    result = log_of_sum(high, low, twice=large)
    result = select(a < 2.0 ** -(f.mantissa // 3), fma(a * a, a * (-1 / 6), a), result)
    return copysign(select_finite(a, result), x)


def acosh(x: Expr) -> Expr:
    """log(x + sqrt(x^2 - 1)) = log(1 + (t + sqrt(t (t + 2)))) with t = x - 1, which is exact near 1."""
    f = format_of(x.dtype)
    bound = 2.0 ** (f.mantissa // 2 + 2)
    large = x > bound
    b = at_most(x, bound)
    t = b - 1.0
    factor, rest = two_sum(b, const(1.0, x.dtype))
    square, missed = two_product(t, factor)
    root, tail = sqrt_of_sum(square, fma(t, rest, missed))
    part, low = two_sum(t, root)
    high, more = two_sum(const(1.0, x.dtype), part)
    high = select(large, x, high)
    low = select(large, const(0.0, x.dtype), more + (low + tail))
    result = log_of_sum(high, low, twice=large)
    result = select(x >= 1.0, result, const(float("nan"), x.dtype))
    return select_finite(x, result)


def atanh(x: Expr) -> Expr:
    """log((1 + |x|) / (1 - |x|)) / 2 with the sign of x; x + x^3 / 3 where that is all."""
    f = format_of(x.dtype)
    a = absolute(x)
    one = const(1.0, x.dtype)
    over, over_rest = quick_two_sum(one, a)
    under, under_rest = quick_two_sum(one, -a)
    inverse = 1.0 / under
    high = over * inverse
    low = (fma(-high, under, over) + (over_rest - high * under_rest)) * inverse
    result = log_of_sum(high, low) * 0.5
    result = select(a < 2.0 ** -(f.mantissa // 3), fma(a * a, a * (1 / 3), a), result)
    edge = select(equal(a, 1.0), const(float("inf"), x.dtype), float("nan"))
    return copysign(select(a < 1.0, result, edge), x)


OPEN = ((-1.0, 1.0),)
FUNCTIONS = (
    Function("sinh", sinh, text="hyperbolic sine"),
    Function("cosh", cosh, text="hyperbolic cosine"),
    Function("tanh", tanh, text="hyperbolic tangent"),
    Function("asinh", asinh, text="inverse hyperbolic sine"),
    Function("acosh", acosh, domain=((1.0, float("inf")),), text="inverse hyperbolic cosine"),
    Function("atanh", atanh, domain=OPEN, text="inverse hyperbolic tangent"),
)
