"""Sine, cosine, tangent: reduction by multiples of pi, exact for arguments of any size.

Up to a bound, x - n pi is computed with pi in three parts and fused multiply-adds (Cody and Waite): the first
step is exact and the others round relative to a remainder that is never tiny beyond the second part.
Beyond it (Payne and Hanek, "Radian reduction for trigonometric functions", 1983) the fraction of x / pi comes
from the product of x's integer significand with that window of the bits of 1 / pi that matters; this lives
in an `iterate` that no lane enters for ordinary arguments.  The coefficients come from tools/fit.py.
"""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction

import numpy as np

from covector._engine.compile.functions.arithmetic import (
    FLOAT64,
    PI,
    absolute,
    bits,
    copysign,
    fitted,
    format_of,
    from_bits,
    is_single,
    quick_two_sum,
    split,
    two_product,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import (
    Expr,
    apply,
    call,
    const,
    convert,
    differ,
    equal,
    fma,
    iterate,
    select,
)

BOUND32, BOUND64 = 2.0**17, 2.0**22


@functools.cache
def pi_scaled(precision: int) -> int:
    """floor(pi * 2^precision), by Machin's formula, but for the last few bits."""

    def arctan_inverse(n: int) -> int:
        term = total = one // n
        k, sign = 1, -1
        while term:
            term //= n * n
            k += 2
            total += sign * (term // k)
            sign = -sign
        return total

    one = 1 << (precision + 16)
    return (16 * arctan_inverse(5) - 4 * arctan_inverse(239)) >> 16


@functools.cache
def inverse_pi_bits(first: int, count: int) -> int:
    """The `count` bits of 1 / pi that begin with the one of weight 2^-first, as an integer."""
    last = first + count - 1
    precision = last + 64
    return ((1 << (2 * precision)) // pi_scaled(precision) >> (precision - last)) & (
        (1 << count) - 1
    )


def reduce(x: Expr, shift: float, period: Fraction) -> tuple[Expr, Expr]:
    """(r, i): x = (n + shift) * period + r with r small and n in the low bits of the integer i."""
    f = format_of(x.dtype)
    inverse = float(1 / period)
    t = fma(x, inverse, -shift) + f.magic if shift else fma(x, inverse, f.magic)
    n = t - f.magic
    if shift:
        n = n + shift
    r = x
    for part in split(period, x.dtype, 3, towards_zero=True):
        r = fma(n, -part, r)
    return r, bits(t)


def window(x: Expr, count: int) -> tuple[Expr, list[Expr]]:
    """The integer significand m of a huge |x|, and `count` 64-bit words of 1 / pi, so that |x| / pi is
    m * words / 2^(64 count - 1) but for a multiple of 2.
    """
    f = format_of(x.dtype)
    word = np.dtype(np.uint64)
    magnitude = convert(bits(absolute(x)), word)
    # of the last bit, plus LEAD
    exponent = (magnitude >> f.mantissa) - (f.bias + f.mantissa - LEAD)
    m = (magnitude & ((1 << f.mantissa) - 1)) | (1 << f.mantissa)
    index, shift = exponent >> 6, exponent & 63
    highest = (2 * f.bias - f.bias - f.mantissa + LEAD) >> 6
    words = [const(inverse_pi_bits(64 * k - LEAD, 64), word) for k in range(highest + count + 1)]
    step = 1 << highest.bit_length() >> 1
    while step:  # a barrel shifter: bit by bit of the index
        chosen = differ(index & step, 0)
        length = min(len(words), count + step)
        words = [
            select(chosen, words[k + step], words[k]) if k + step < len(words) else words[k]
            for k in range(length)
        ]
        step >>= 1
    pairs = itertools.pairwise(words[: count + 1])
    return m, [(a << shift) | apply("shr", b >> 1, 63 - shift) for a, b in pairs]


LEAD = 40  # bits of zeros in front of 1 / pi, so that no position of the window is negative


def huge(x: Expr, function: str) -> Expr:
    """sin, cos or tan of an |x| of at least 2^16; NaN for infinities and NaN."""
    f = format_of(x.dtype)
    single = is_single(x)
    m, words = window(x, 2 if single else 3)
    # |x| / pi * 2^63 modulo 2^64 in `top`; its continuation in `rest`
    top = m * words[0] + apply("mulhi", m, words[1])
    rest = m * words[1]
    if not single:
        low = apply("mulhi", m, words[2])
        rest = rest + low
        top = top + convert(rest < low, top.dtype)
    if function == "tan":  # in quarter turns
        top, rest = (top << 1) | (rest >> 63), rest << 1
    if function == "cos":  # cos|x| = sin(|x| + pi/2)
        top = top + (1 << 62)
    odd = differ((top + (1 << 62)) >> 63, 0)
    a, b = (top << 1) | (rest >> 63), rest << 1  # the fraction, signed, in units of 2^-128
    negative = differ(a >> 63, 0)
    a = select(negative, ~a + convert(equal(b, 0), a.dtype), a)
    b = select(negative, ~b + 1, b)
    r, tail = times_pi(a, b, -65 if function == "tan" else -64)
    flip = negative if function == "cos" else negative ^ (bits(x) < 0)
    if function == "tan":
        result = tangent_of_reduced(r, tail, odd)
    else:
        flip, result = flip ^ odd, sine_of_reduced(r)
    result = convert(select(flip, -result, result), f.dtype)
    return select(absolute(x) < float("inf"), result, const(float("nan"), x.dtype))


def times_pi(a: Expr, b: Expr, power: int) -> tuple[Expr, Expr]:
    """(a + b / 2^64) pi 2^power as a float64 and what it misses."""
    double = FLOAT64.dtype
    high, low = (part * 2.0**power for part in split(PI, double, 2))
    rest = fma(convert(b >> 32, double), 2.0**-32, convert(a & 0xFFFFFFFF, double))
    value, error = quick_two_sum(convert(a >> 32, double) * 2.0**32, rest)
    product, missed = two_product(value, const(high, double))
    return quick_two_sum(product, fma(value, low, fma(error, high, missed)))


def or_huge(name: str, x: Expr, result: Expr) -> Expr:
    """The result, replaced where |x| is beyond what Cody and Waite's reduction can do."""
    bound = BOUND32 if is_single(x) else BOUND64
    return iterate(
        lambda result, x: absolute(x) > bound,
        lambda result, x: (call(f"{name}_huge", x), const(0.0, x.dtype)),
        (result, x),
    )[0]


def sine_of_reduced(r: Expr) -> Expr:
    """sin(r) for |r| <= pi / 2, up to its edge's neighbours."""
    square = r * r
    p = fitted(square, "SIN")
    return copysign(fma(p, square * r, r), r)


def with_parity(r: Expr, i: Expr) -> Expr:
    """(-1)^i r."""
    return from_bits(bits(r) ^ (i << (8 * r.dtype.itemsize - 1)))


def tangent_of_reduced(r: Expr, tail: Expr, odd: Expr) -> Expr:
    """tan(r + tail), or -1 over it, for |r| <= pi / 4."""
    square = r * r
    p = fitted(square, "TAN") * square
    t = r + fma(p, r, fma(tail, square, tail))
    return select(odd, const(-1.0, r.dtype), t) / select(odd, t, const(1.0, r.dtype))


def sin(x: Expr) -> Expr:
    """The sine of x radians."""
    return or_huge("sin", x, sine_of_reduced(with_parity(*reduce(x, 0.0, PI))))


def cos(x: Expr) -> Expr:
    """The cosine of x radians: cos((n + 1/2) pi + r) = -(-1)^n sin(r)."""
    r, i = reduce(x, 0.5, PI)
    return or_huge("cos", x, sine_of_reduced(with_parity(r, i + 1)))


def tan(x: Expr) -> Expr:
    """The tangent of x radians: by the period pi / 2, -1 / tan(r) in the odd ones.

    The remainder is kept in two parts: a rounding of r would count up to 1.6 times in tan(r).
    """
    f = format_of(x.dtype)
    t = fma(x, float(2 / PI), f.magic)
    n = t - f.magic
    first, second, third = split(PI / 2, x.dtype, 3)
    r = fma(n, -first, x)
    r, tail = two_difference(r, *two_product(n, const(second, x.dtype)))
    result = tangent_of_reduced(r, fma(n, -third, tail), differ(bits(t) & 1, 0))
    return or_huge("tan", x, select(equal(x, 0.0), x, result))


def two_difference(x: Expr, y: Expr, rest: Expr) -> tuple[Expr, Expr]:
    """x - (y + rest) as a rounded difference and what it misses, for |y| up to about |x|."""
    difference = x - y
    return difference, ((x - difference) - y) - rest


FUNCTIONS = (
    Function("sin", sin, text="sine"),
    Function("cos", cos, text="cosine"),
    Function("tan", tan, text="tangent"),
    Function("sin_huge", lambda x: huge(x, "sin"), text="sine of a huge argument", rare=True),
    Function("cos_huge", lambda x: huge(x, "cos"), text="cosine of a huge argument", rare=True),
    Function("tan_huge", lambda x: huge(x, "tan"), text="tangent of a huge argument", rare=True),
)
