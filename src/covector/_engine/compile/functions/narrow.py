"""Floats of 4 to 8 bits: their codes from float32, rounded to nearest even, and back; a pair of functions a format."""

from __future__ import annotations

import functools

import numpy as np

from covector._engine.compile.functions.arithmetic import FLOAT32, absolute, copysign
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import (
    Expr,
    bitcast,
    const,
    convert,
    differ,
    equal,
    maximum,
    select,
)
from covector._engine.types.narrow import FLOATS as FORMATS, NarrowFloat

_INFINITY = FLOAT32.infinity_bits


def encode(row: NarrowFloat, x: Expr) -> Expr:
    """The code of a float32 in a format, as uint8; `ml_dtypes` gives the same."""
    bits = bitcast(x, np.uint32)
    magnitude, sign = bits & 0x7FFFFFFF, bits >> 31
    if row.mantissa == 0:
        return _encode_power(row, magnitude, sign)
    drop = FLOAT32.mantissa - row.mantissa
    rounded = (magnitude + ((1 << (drop - 1)) - 1) + ((magnitude >> drop) & 1)) >> drop
    code = rounded - ((FLOAT32.bias - row.bias) << row.mantissa)
    # Subnormal numbers are multiples of the last place of `unit`: the sum rounds, and its low bits count them.
    unit = const(2.0 ** (1 - row.bias - row.mantissa + FLOAT32.mantissa), np.float32)
    tiny = bitcast(absolute(x) + unit, np.uint32) - bitcast(unit, np.uint32)
    code = select(absolute(x) < 2.0 ** (1 - row.bias), tiny, code)
    code = select(code > row.top, row.over, code)
    code = select(magnitude > _INFINITY, row.nan, code)
    signed = code ^ (sign << (row.bits - 1))
    if not row.signed_zero:
        signed = select(equal(code & 0x7F, 0), code, signed)
    return convert(signed, np.uint8)


def _encode_power(row: NarrowFloat, magnitude: Expr, sign: Expr) -> Expr:
    """Of the format that has powers of two alone: ties go up, and what is not above zero is NaN.

    Between the smallest two, 2^-127 and 2^-126, all goes up, as with `ml_dtypes`.
    """
    half = 1 << (FLOAT32.mantissa - 1)
    subnormal = select(magnitude > half, const(1, np.uint32), 0)
    code = select(magnitude < 2 * half, subnormal, (magnitude + half) >> FLOAT32.mantissa)
    positive = (magnitude > 0) & equal(sign, 0) & (magnitude <= _INFINITY)
    return convert(select(positive & (code <= row.top), code, row.nan), np.uint8)


def decode(row: NarrowFloat, code: Expr) -> Expr:
    """The float32 of a code: the exponent is put right by an exact multiplication."""
    bits = convert(code, np.uint32)
    nan = const(float("nan"), np.float32)
    if row.mantissa == 0:
        value = bitcast(bits << FLOAT32.mantissa, np.float32)
        smallest = const(2.0**-row.bias, np.float32)
        return select(bits > row.top, nan, select(equal(bits, 0), smallest, value))
    magnitude = bits & ((1 << (row.bits - 1)) - 1)
    scale = const(2.0 ** (FLOAT32.bias - row.bias), np.float32)
    value = bitcast(magnitude << (FLOAT32.mantissa - row.mantissa), np.float32) * scale
    if row.has_infinity:
        special = select(equal(magnitude, row.over), const(float("inf"), np.float32), nan)
        value = select(magnitude > row.top, special, value)
    elif row.signed_zero and row.top < (1 << (row.bits - 1)) - 1:
        value = select(magnitude > row.top, nan, value)
    sign = (bits & (1 << (row.bits - 1))) << (32 - row.bits)
    value = bitcast(bitcast(value, np.uint32) | sign, np.float32)
    return value if row.signed_zero else select(equal(bits, row.nan), nan, value)


def nextafter(row: NarrowFloat, x: Expr, y: Expr) -> Expr:
    """The neighbour of x in the direction of y: a place more in size, or less, which below a power of two is half."""
    w, v = convert(x, np.float32), convert(y, np.float32)
    size = absolute(w)
    power = bitcast(bitcast(size, np.uint32) & _INFINITY, np.float32)
    normal = const(2.0 ** (1 - row.bias) if row.mantissa else 2.0**-row.bias, np.float32)
    place = maximum(power, normal) * 2.0**-row.mantissa
    below = select(equal(size, power) & (power > normal), place * 0.5, place)
    up = (v > w) ^ (w < 0.0)
    moved = copysign(select(up, size + place, size - below), w)
    moved = select(equal(w, 0.0), copysign(place, v), moved)
    moved = select(equal(w, v), v, moved)
    return convert(select(differ(w, w) | differ(v, v), w + v, moved), x.dtype)


FUNCTIONS = tuple(
    Function(
        f"{row.dtype.name}_{builder.__name__}",
        functools.partial(builder, row),
        text=f"{row.dtype.name}'s {what}",
    )
    for row in FORMATS.values()
    for builder, what in ((encode, "bits, rounded"), (decode, "value from bits"))
)
