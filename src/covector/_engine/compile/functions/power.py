"""Powers and roots: pow, cbrt, rsqrt, hypot, and powers of integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from covector._engine.compile.functions.arithmetic import (
    FLOAT32,
    LN2,
    absolute,
    at_least,
    at_most,
    bits,
    copysign,
    fitted,
    format_of,
    from_bits,
    is_single,
    polynomial,
    quick_two_sum,
    split,
    sqrt,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.exponential import exp_of_sum, split_any_exponent
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import (
    Expr,
    apply,
    const,
    convert,
    differ,
    equal,
    fma,
    iterate,
    select,
)

REAL = (float("-inf"), float("inf"))


def log_pair(x: Expr) -> tuple[Expr, Expr]:
    """log(x) of a positive, finite float64, in two parts: about 2^-67 relative error.

    With s = g / (2 + g), x = 2^e (1 + g): log(1 + g) = 2 s + s^3 (2/3 + s^2 P(s^2)), the first two terms in
    two parts.
    """
    e, g = split_any_exponent(x)
    under, under_rest = quick_two_sum(const(2.0, x.dtype), g)
    inverse = 1.0 / under
    s = g * inverse
    s_rest = (fma(-s, under, g) - s * under_rest) * inverse
    square, square_rest = two_product(s, s)
    square_rest = fma(s + s, s_rest, square_rest)
    tail = fitted(square, "LOG_ODD") * square
    third, third_low = split(Fraction(2, 3), x.dtype, 2)
    factor, factor_rest = quick_two_sum(const(third, x.dtype), tail)
    factor_rest = factor_rest + third_low
    # s * square * factor, in two parts
    cube, cube_rest = two_product(square, s)
    cube_rest = fma(square, s_rest, fma(square_rest, s, cube_rest))
    term, term_rest = two_product(cube, factor)
    term_rest = fma(cube, factor_rest, fma(cube_rest, factor, term_rest))
    high, low = quick_two_sum(s + s, term)
    low = low + (s_rest + s_rest + term_rest)
    ln2, ln2_low = split(LN2, x.dtype, 2)
    main, main_rest = two_product(e, const(ln2, x.dtype))
    total, rest = two_sum(main, high)
    return quick_two_sum(total, rest + (low + fma(e, ln2_low, main_rest)))


def power(x: Expr, y: Expr) -> Expr:
    """x^y = e^(y log|x|) with the sign of an odd y; float32 in float64, whose log is accurate enough."""
    if x.dtype.kind in "iu":
        return integer_power(x, y)
    a = absolute(x)
    if is_single(x):
        magnitude = power32(a, y)
    else:
        high, low = log_pair(a)
        p, rest = two_product(y, high)
        rest = fma(y, low, rest)
        bounded = at_least(at_most(p, 800.0), -800.0)
        rest = select(equal(bounded, p), rest, const(0.0, x.dtype))
        magnitude = exp_of_sum(bounded, rest)
    # The rules for all other operands are as much work as all of this: a branch that is seldom taken.
    infinity, one = float("inf"), const(1.0, x.dtype)
    return iterate(
        lambda result, x, y: apply("not", (x > 0.0) & (x < infinity) & (absolute(y) < infinity)),
        lambda result, x, y: (power_specials(x, y, result), one, one),
        (magnitude, x, y),
    )[0]


def power32(a: Expr, y: Expr) -> Expr:
    """a^y of float32 by 2^(y log2(a)) in float64; what it is at 0 and infinity is decided elsewhere.

    With s = g / (2 + g) five terms of the logarithm do what takes 13 in g: a division is less than eight products.
    """
    e, g = split_any_exponent(a)
    double = np.dtype(np.float64)
    e, g, z = convert(e, double), convert(g, double), convert(y, double)
    s = g / (g + 2.0)
    logarithm = fma(fitted(s * s, "LOG2_SHORT"), s, e)
    p = at_least(at_most(z * logarithm, 200.0), -200.0)
    magic = 1.5 * 2.0**52
    t = p + (magic + 1023)
    r = p - (t - (magic + 1023))
    result = fitted(r, "EXP2_SHORT") * from_bits(bits(t) << 52)
    return convert(result, FLOAT32.dtype)


def power_specials(x: Expr, y: Expr, magnitude: Expr) -> Expr:
    """C's rules for pow, for a magnitude that is right where |x| is positive and finite."""
    infinity = float("inf")
    a = absolute(x)
    zero, one, nan = (const(v, x.dtype) for v in (0.0, 1.0, float("nan")))
    grows = (a > 1.0) ^ (y < 0.0)  # towards infinity, not 0
    edge = select(grows, const(infinity, x.dtype), zero)
    extreme = equal(a, 0.0) | equal(a, infinity) | equal(absolute(y), infinity)
    magnitude = select(extreme, edge, magnitude)
    whole = equal(apply("trunc", y), y)
    half = y * 0.5
    odd = whole & differ(apply("trunc", half), half)
    negative = bits(x) < 0
    invalid = (x < 0.0) & apply("not", whole) & (a < infinity)
    result = select(negative & odd, -magnitude, magnitude)
    result = select(invalid, nan, result)
    result = select(equal(x, x) & equal(y, y), result, nan)
    certain = equal(y, 0.0) | equal(x, 1.0) | (equal(a, 1.0) & equal(absolute(y), infinity))
    return select(certain, one, result)


def integer_power(x: Expr, y: Expr) -> Expr:
    """x^y by squaring; a negative exponent gives 0 but for x of 1 and -1."""
    zero, one = const(0, x.dtype), const(1, x.dtype)

    def step(base: Expr, n: Expr, result: Expr) -> tuple[Expr, Expr, Expr]:
        return base * base, apply("shr", n, one), select(differ(n & 1, 0), result * base, result)

    if x.dtype.kind == "u":
        return iterate(lambda base, n, result: n > 0, step, (x, y, one))[2]
    result = iterate(lambda base, n, result: n > 0, step, (x, y, one))[2]
    unit = select(equal(x, 1) | (equal(x, -1) & equal(y & 1, 0)), one, zero)
    unit = select(equal(x, -1) & differ(y & 1, 0), const(-1, x.dtype), unit)
    return select(y < 0, unit, result)


def cbrt(x: Expr) -> Expr:
    """The cube root: r = x^(-1/3) by an estimate from the exponent and Newton's iteration, then x r^2.

    All without division: r := r (1 + h/3 + 2 h^2/9 + ...) with h = 1 - x r^3 triples the digits.
    """
    f = format_of(x.dtype)
    a = absolute(x)
    small = a < f.smallest_normal
    lift = 3 * ((f.mantissa + 2) // 3)
    a = select(small, a * 2.0**lift, a)
    cut = 12 if is_single(x) else 24
    excess = bits(a) - f.one_bits
    third = (excess >> cut) * ((1 << cut) // 3)
    r = from_bits(const(f.one_bits - round(0.033 * 2**f.mantissa), f.int) - third)
    for terms in (3, 2) if is_single(x) else (3, 3, 2):
        h = fma(-a * r, r * r, 1.0)
        series = polynomial(h, [1 / 3, 2 / 9, 14 / 81][:terms])
        r = fma(r * h, series, r)
    square = r * r
    y = a * square
    y = fma(fma(y * y, -y, a), square * (1 / 3), y)
    y = select(small, y * 2.0 ** (-lift // 3), y)
    y = copysign(y, x)
    return select((absolute(x) < float("inf")) & differ(x, 0.0), y, x)


def rsqrt(x: Expr) -> Expr:
    """1 / sqrt(x)."""
    return 1.0 / sqrt(x)


def hypot(x: Expr, y: Expr) -> Expr:
    """sqrt(x^2 + y^2), scaled so that nothing overflows or is lost, the sum in two parts."""
    f = format_of(x.dtype)
    a, b = absolute(x), absolute(y)
    larger = select(a < b, b, a)
    smaller = select(a < b, a, b)
    # a power of two near the larger; both ends of the range leave room for its reciprocal
    exponent = bits(larger) & const(f.infinity_bits, f.int)
    exponent = apply(
        "min",
        apply("max", exponent, const(2 << f.mantissa, f.int)),
        const((2 * f.bias - 2) << f.mantissa, f.int),
    )
    scale = from_bits(exponent)
    inverse = from_bits(const(2 * f.one_bits, f.int) - exponent)
    p, q = larger * inverse, smaller * inverse
    square, rest = two_product(p, p)
    other, more = two_product(q, q)
    total, lost = quick_two_sum(square, other)
    root = sqrt(total)
    tail = fma(-root, root, total) + (lost + (rest + more))
    root = select(total > 0.0, root + tail / (root + root), root)
    infinite = equal(larger, float("inf")) | equal(smaller, float("inf")) | equal(a, float("inf"))
    return select(infinite, const(float("inf"), x.dtype), root * scale)


FUNCTIONS = (
    Function("pow", power, 2, ((0.0, float("inf")), REAL), text="x^y"),
    Function("cbrt", cbrt, text="cube root"),
    Function("rsqrt", rsqrt, domain=((0.0, float("inf")),), text="1 / sqrt(x)"),
    Function("hypot", hypot, 2, (REAL, REAL), text="sqrt(x^2 + y^2)"),
)
