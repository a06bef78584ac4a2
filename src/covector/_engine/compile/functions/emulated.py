"""Operations that not every machine has, in terms of those that all have: backends call them by need.

fma without the instruction, 16-bit floats without conversions, the remainder of floats, the high half of a
64-bit product on vectors.  They are functions like the others, but no user calls them.
"""

from __future__ import annotations

import numpy as np

from covector._engine.compile.functions.arithmetic import (
    absolute,
    bits,
    copysign,
    format_of,
    from_bits,
    two_sum,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import (
    Expr,
    apply,
    bitcast,
    const,
    convert,
    differ,
    equal,
    iterate,
    select,
)


def mulhi64(x: Expr, y: Expr) -> Expr:
    """The high half of a 64-bit product from 32-bit halves."""
    if x.dtype.kind == "i":
        unsigned = bitcast(mulhi64(bitcast(x, np.uint64), bitcast(y, np.uint64)), np.int64)
        return unsigned - ((x >> 63) & y) - ((y >> 63) & x)
    a, b, c, d = x >> 32, x & 0xFFFFFFFF, y >> 32, y & 0xFFFFFFFF
    middle = a * d + ((b * d) >> 32)
    other = b * c + (middle & 0xFFFFFFFF)
    return a * c + (middle >> 32) + (other >> 32)


def fmod(x: Expr, y: Expr) -> Expr:
    """x - y trunc(x / y), exact: long division with as many quotient bits a step as products stay exact.

    Each step takes y 2^k away q times, q = trunc(x / (y 2^k)) < 2^(p - 1) of p-bit floats: the remainder of
    the rounded quotient is representable, and off by at most one y 2^k, which is put back.
    """
    f = format_of(x.dtype)
    chunk = f.mantissa - 1

    def exponent(v: Expr) -> Expr:
        small = v < 2.0 ** (1 - f.bias)  # a subnormal number has none of its own
        scaled = (bits(v * 2.0**f.mantissa) >> f.mantissa) - f.mantissa
        return select(small, scaled, bits(v) >> f.mantissa)

    def step(r: Expr, b: Expr) -> tuple[Expr, Expr]:
        excess = exponent(r) - exponent(b) - chunk
        excess = select(excess > 0, excess, const(0, excess.dtype))
        half = excess >> 1  # in two factors of at most 2^bias: the power alone could overflow
        power = from_bits((half + f.bias) << f.mantissa)
        other = from_bits((excess - half + f.bias) << f.mantissa)
        part = b * power * other
        quotient = apply("trunc", r / part)
        r = apply("fma", -quotient, part, r)
        r = select(r < 0.0, r + part, r)
        return select(r >= part, r - part, r), b

    a, b = absolute(x), absolute(y)
    infinity = float("inf")
    valid = (a < infinity) & (b > 0.0)
    r, _ = iterate(lambda r, b: r >= b, step, (select(valid, a, const(0.0, x.dtype)), b))
    return select(valid & equal(y, y), copysign(r, x), const(float("nan"), x.dtype))


def emulated_fma(x: Expr, y: Expr, z: Expr) -> Expr:
    """x y + z without the instruction: off by an ulp where rounding twice differs from once.

    float32 by way of float64, where the product is exact.  float64 with Dekker's and Knuth's error-free
    product and sum, of significands, z scaled to match; infinities and NaN take the plain way.
    """
    if x.dtype == np.float32:
        wide = [convert(v, np.float64) for v in (x, y, z)]
        return convert(wide[0] * wide[1] + wide[2], np.float32)

    def halves(v: Expr) -> tuple[Expr, Expr]:
        high = from_bits((bits(v) + (1 << 26)) & -(1 << 27))  # 26 bits; the rest has as many
        return high, v - high

    (m, i), (n, j) = significand(x), significand(y)
    power = i + j
    product = m * n
    (a, b), (c, d) = halves(m), halves(n)
    error = ((a * c - product) + a * d + b * c) + b * d
    scaled = times_power(z, const(0, power.dtype) - power)
    total, rest = two_sum(product, scaled)
    result = times_power(total + (rest + error), power)
    # else the product is far below half an ulp
    result = select(absolute(scaled) < 2.0**200, result, z)
    finite = (
        (absolute(x) < float("inf")) & (absolute(y) < float("inf")) & (absolute(z) < float("inf"))
    )
    nonzero = differ(x, 0.0) & differ(y, 0.0)
    return select(finite & nonzero, result, x * y + z)


def significand(x: Expr) -> tuple[Expr, Expr]:
    """(m, e) with x = m 2^e, 1 <= |m| < 2, for finite float64 x but 0."""
    small = absolute(x) < 2.0**-1022
    i = bits(select(small, x * 2.0**54, x))
    biased = (i >> 52) & 0x7FF
    m = from_bits((i & ~(0x7FF << 52)) | (1023 << 52))
    return m, biased - select(small, const(1023 + 54, i.dtype), const(1023, i.dtype))


def times_power(x: Expr, power: Expr) -> Expr:
    """x 2^power for |power| < 4000, in four steps that overflow and underflow as the result does."""
    step = power >> 2
    last = power - step * 3
    for part in (step, step, step, last):
        x = x * from_bits((part + 1023) << 52)
    return x


def narrow_to_odd(x: Expr) -> Expr:
    """float64 to float32 rounded to odd, so that rounding once more, to fewer bits, is right."""
    near = convert(x, np.float32)
    back = convert(near, np.float64)
    i = bits(near)
    even = equal(i & 1, 0)
    inexact = (differ(back, x) & equal(x, x)) & even
    towards = select(absolute(back) < absolute(x), const(1, np.int32), const(-1, np.int32))
    return from_bits(select(inexact, i + towards, i))


def half_round(x: Expr) -> Expr:
    """A float32 rounded to the nearest float16, as a float32."""
    i = bits(x)
    normal = from_bits((i + 0xFFF + ((i >> 13) & 1)) & -0x2000)
    normal = select(absolute(normal) > 65504.0, copysign(const(float("inf"), x.dtype), x), normal)
    a = absolute(x)
    tiny = copysign((a + 0.5) - 0.5, x)  # float32 steps of 2^-24 there, as float16's subnormals
    rounded = select(a < 2.0**-14, tiny, normal)
    return select(equal(x, x), rounded, from_bits((i | 0x400000) & -0x2000))


def half_encode(x: Expr) -> Expr:
    """The bits of a float16 from the float32 that holds its value."""
    i = bitcast(x, np.uint32)
    sign, magnitude = (i >> 16) & 0x8000, i & 0x7FFFFFFF
    normal = (magnitude >> 13) - (112 << 10)
    tiny = convert(absolute(x) * 2.0**24, np.uint32)
    special = (magnitude >> 13) & 0x3FF | 0x7C00
    small = absolute(x) < 2.0**-14
    chosen = select(magnitude >= 0x7F800000, special, select(small, tiny, normal))
    return convert(chosen | sign, np.uint16)


def half_decode(h: Expr) -> Expr:
    """The float32 of a float16's bits: the exponent is put right by an exact multiplication."""
    i = convert(h, np.uint32)
    magnitude = (i & 0x7FFF) << 13
    value = bitcast(bitcast(magnitude, np.float32) * 2.0**112, np.uint32)
    value = select((i & 0x7C00) >= 0x7C00, magnitude | 0x7F800000, value)
    return bitcast(value | ((i & 0x8000) << 16), np.float32)


FUNCTIONS = (
    Function("mulhi64", mulhi64, 2, text="high half of a product"),
    Function(
        "fmod", fmod, 2, ((float("-inf"), float("inf")),) * 2, (0.0, 0.0), "remainder, sign of x"
    ),
    Function("emulated_fma", emulated_fma, 3, text="x y + z"),
    Function("narrow_to_odd", narrow_to_odd, text="float64 to float32, rounded to odd"),
    Function("half_round", half_round, text="float32 rounded to float16"),
    Function("half_encode", half_encode, text="float16's bits"),
    Function("half_decode", half_decode, text="float16 from bits"),
)
