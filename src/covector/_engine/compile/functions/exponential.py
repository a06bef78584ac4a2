"""Exponentials and logarithms.

exp: x = n ln2 + r with |r| <= ln2 / 2 (Cody and Waite, in two parts), a minimax polynomial for e^r, and 2^n
by the exponent bits.  log: x = 2^e m with m in [sqrt(1/2), sqrt(2)) by integer arithmetic on the bits, and a
minimax polynomial in m - 1.  The coefficients come from tools/fit.py.
"""

from __future__ import annotations

from covector._engine.compile.functions import coefficients
from covector._engine.compile.functions.arithmetic import (
    LN2,
    LN10,
    absolute,
    at_least,
    at_most,
    bits,
    fitted,
    format_of,
    from_bits,
    is_single,
    polynomial,
    select_finite,
    split,
    two_sum,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, const, convert, equal, fma, select

LOG2E = 1.4426950408889634


def scale_by_exponent(p: Expr, t: Expr, low: Expr) -> Expr:
    """p 2^n / 2 with n - 1 + bias in the low bits of t; where `low` holds, by way of a larger power.

    p is twice what it means, so that n may be one above the largest exponent.  Where the result may be
    subnormal the power of two is applied in two steps, of which the second one rounds.
    """
    f = format_of(p.dtype)
    lift = 2 * f.mantissa
    i = bits(t)
    power = from_bits(select(low, i + lift, i) << f.mantissa)
    scaled = p * power
    return select(low, scaled * 2.0**-lift, scaled)


def reduce_exp(x: Expr, offset: int) -> tuple[Expr, Expr, Expr]:
    """(r, n, t): x = n ln2 + r; the low bits of t hold n + offset."""
    f = format_of(x.dtype)
    magic = f.magic + offset
    t = fma(x, LOG2E, magic)
    n = t - magic
    high, low = split(LN2, x.dtype, 2)
    return fma(n, -low, fma(n, -high, x)), n, t


def exp(x: Expr) -> Expr:
    """e^x."""
    return exp_of_sum(x, None)


def exp_of_sum(x: Expr, rest: Expr | None) -> Expr:
    """e^(x + rest) with |rest| below an ulp or so of x; rest counts only where the result is finite."""
    f = format_of(x.dtype)
    single = is_single(x)
    x = at_most(x, 89.5 if single else 710.5)
    x = at_least(x, -105.0 if single else -746.0)
    r, _, t = reduce_exp(x, f.bias - 1)
    if rest is not None:
        r = r + rest
    tail = getattr(coefficients, "EXP_32" if single else "EXP_64")
    p = polynomial(r, [2.0 * c for c in (1.0, 1.0, *tail)])
    return scale_by_exponent(p, t, x < (-86.5 if single else -707.5))


def exp2(x: Expr) -> Expr:
    """2^x: the reduction is exact."""
    f = format_of(x.dtype)
    single = is_single(x)
    x = at_most(x, 129.0 if single else 1025.0)
    x = at_least(x, -152.0 if single else -1078.0)
    magic = f.magic + f.bias - 1
    t = x + magic
    r = x - (t - magic)
    tail = getattr(coefficients, "EXP2_32" if single else "EXP2_64")
    p = polynomial(r, [2.0 * c for c in (1.0, *tail)])
    return scale_by_exponent(p, t, x < (-125.0 if single else -1021.0))


def expm1(x: Expr) -> Expr:
    """e^x - 1 = 2 (h (e^r - 1) + (h - 1/2)) with h = 2^(n - 1)."""
    f = format_of(x.dtype)
    single = is_single(x)
    a = at_most(x, 88.8 if single else 709.9)
    a = at_least(a, -18.0 if single else -38.5)
    r, _, t = reduce_exp(a, f.bias - 1)
    p = fma(fitted(r, "EXPM1"), r * r, r)
    half = from_bits(bits(t) << f.mantissa)
    e = fma(half, p, half - 0.5)
    return select(absolute(x) < 2.0 ** -(f.mantissa + 2), x, e + e)


def split_exponent(x: Expr, lift: Expr | None = None) -> tuple[Expr, Expr]:
    """(e, m - 1) with x = 2^e m and m in [sqrt(1/2), sqrt(2)); `lift` is taken from e (as shifted bits)."""
    f = format_of(x.dtype)
    root = const(0x3F3504F3 if is_single(x) else 0x3FE6A09E667F3BCD, f.int)  # sqrt(1/2)
    i = bits(x) - (root if lift is None else lift + root)
    m = from_bits((i & ((1 << f.mantissa) - 1)) + root)
    return convert(i >> f.mantissa, x.dtype), m - 1.0


def split_any_exponent(x: Expr) -> tuple[Expr, Expr]:
    """split_exponent for subnormal x too."""
    f = format_of(x.dtype)
    small = x < f.smallest_normal
    lift = f.mantissa + 1
    shift = select(small, const(lift << f.mantissa, f.int), const(0, f.int))
    return split_exponent(select(small, x * 2.0**lift, x), shift)


def log_specials(x: Expr, result: Expr) -> Expr:
    """The result, or what a logarithm is at infinity, NaN, zero and below."""
    infinity = float("inf")
    result = select_finite(x, result)
    return select(x > 0.0, result, select(equal(x, 0.0), const(-infinity, x.dtype), float("nan")))


def log(x: Expr) -> Expr:
    """The natural logarithm."""
    e, g = split_any_exponent(x)
    return log_specials(x, fma(e, float(LN2), fma(g * g, fitted(g, "LOG"), g)))


def log2(x: Expr) -> Expr:
    """The logarithm to base 2: 1 / ln2 in two parts."""
    e, g = split_any_exponent(x)
    high, low = split(1 / LN2, x.dtype, 2)
    tail = g * fma(fitted(g, "LOG2"), g, low)
    return log_specials(x, e + fma(g, high, tail))


def log10(x: Expr) -> Expr:
    """The logarithm to base 10."""
    e, g = split_any_exponent(x)
    high, low = split(1 / LN10, x.dtype, 2)
    two_high, two_low = split(LN2 / LN10, x.dtype, 2)
    tail = fma(e, two_low, g * fma(fitted(g, "LOG10"), g, low))
    return log_specials(x, fma(e, two_high, fma(g, high, tail)))


def log_of_sum(high: Expr, low: Expr, twice: Expr | None = None) -> Expr:
    """log(high + low) for a positive, normal sum in two parts; of twice that where `twice` holds.

    Near 1 the logarithm is as accurate, relative to itself, as the sum is.
    """
    f = format_of(high.dtype)
    e, g = split_exponent(high)
    exponent = (bits(high) - bits(g + 1.0)) & -(1 << f.mantissa)
    # 2^-e; where that is too small, 0 will do
    power = apply("max", const(f.one_bits, f.int) - exponent, const(0, f.int))
    total, rest = two_sum(g, low * from_bits(power))
    if twice is not None:
        e = select(twice, e + 1.0, e)
    return fma(e, float(LN2), total + fma(total * total, fitted(total, "LOG"), rest))


def log1p(x: Expr) -> Expr:
    """log(1 + x)."""
    total = 1.0 + x
    result = select_finite(x, log_of_sum(total, x - (total - 1.0)))
    below = select(equal(x, -1.0), const(float("-inf"), x.dtype), float("nan"))
    return select(equal(x, 0.0), x, select(total > 0.0, result, below))


def logistic(x: Expr) -> Expr:
    """1 / (1 + e^-x): with e^|x| = e^r / s, s = 2^-n, it is e^r / (e^r + s), for x < 0 s / (e^r + s).

    e^r = 1 + w enters the divisor as (s + w) + 1, whose first rounding is small.
    """
    f = format_of(x.dtype)
    single = is_single(x)
    bound = 86.0 if single else 707.0
    a = at_most(absolute(x), 105.0 if single else 746.0)
    r, _, t = reduce_exp(a, 0)
    w = fma(fitted(r, "EXPM1"), r * r, r)
    lift = 2 * f.mantissa
    one = const(f.bias, f.int)
    s = from_bits((select(a > bound, const(f.bias + lift, f.int), one) - bits(t)) << f.mantissa)
    tiny = a > 11.0
    result = s / ((select(tiny, const(0.0, x.dtype), s) + 1.0) + select(tiny, w + s, w))
    small = select(a > bound, result * 2.0**-lift, result)
    return select(x < 0.0, small, 1.0 - result)


POSITIVE = ((0.0, float("inf")),)
FUNCTIONS = (
    Function("exp", exp, text="e^x"),
    Function("exp2", exp2, text="2^x"),
    Function("expm1", expm1, text="e^x - 1"),
    Function("log", log, domain=POSITIVE, text="natural logarithm"),
    Function("log2", log2, domain=POSITIVE, text="logarithm to base 2"),
    Function("log10", log10, domain=POSITIVE, text="logarithm to base 10"),
    Function("log1p", log1p, domain=((-1.0, float("inf")),), text="log(1 + x)"),
    Function("logistic", logistic, text="1 / (1 + e^-x)"),
)
