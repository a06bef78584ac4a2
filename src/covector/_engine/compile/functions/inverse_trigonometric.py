"""Arc sine, cosine, tangent: an odd polynomial near 0, and a reflection into it elsewhere."""

from __future__ import annotations

from covector._engine.compile.functions.arithmetic import (
    PI,
    absolute,
    bits,
    copysign,
    fitted,
    quick_two_sum,
    split,
    sqrt,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, const, equal, fma, select


def half_pi(like: Expr) -> tuple[float, float]:
    """pi / 2 in two parts."""
    high, low = split(PI / 2, like.dtype, 2)
    return high, low


def asin(x: Expr) -> Expr:
    """Above 1/2, asin|x| = pi/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    high, low = half_pi(x)
    a = absolute(x)
    large = a > 0.5
    z = fma(a, -0.5, 0.5)
    y = select(large, z, a * a)
    s = select(large, sqrt(z), a)
    tail = fitted(y, "ASIN") * (y * s)
    top, rest = quick_two_sum(const(high, x.dtype), s * -2.0)
    far = top + (rest - fma(tail, 2.0, -low))
    return copysign(select(large, far, s + tail), x)


def acos(x: Expr) -> Expr:
    """2 asin(sqrt((1 - x) / 2)) above 1/2, pi - that of -x below -1/2, pi/2 - asin(x) between."""
    high, low = half_pi(x)
    a = absolute(x)
    large = a > 0.5
    z = fma(a, -0.5, 0.5)
    y = select(large, z, a * a)
    s = select(large, sqrt(z), x)
    tail = fitted(y, "ASIN") * (y * s)
    near = high - (s + (tail - low))
    twice = fma(tail, 2.0, s + s)
    negative = 2.0 * high - (s + s) - fma(tail, 2.0, -2.0 * low)
    return select(large, select(x < 0.0, negative, twice), near)


def atan(x: Expr) -> Expr:
    """Above 1, atan|x| = pi/2 - atan(1 / |x|)."""
    high, low = half_pi(x)
    a = absolute(x)
    large = a > 1.0
    t = select(large, 1.0 / a, a)
    y = t * t
    tail = fitted(y, "ATAN") * (y * t)
    return copysign(select(large, (high - t) - (tail - low), t + tail), x)


def atan2(y: Expr, x: Expr) -> Expr:
    """The angle of the point (x, y), by the octant: atan of the smaller over the larger coordinate."""
    high, low = half_pi(x)
    a, b = absolute(x), absolute(y)
    steep = b > a
    small, big = select(steep, a, b), select(steep, b, a)
    infinite = equal(small, float("inf")) & equal(big, float("inf"))
    t = select(equal(big, 0.0), small, small / big)
    t = select(infinite, const(1.0, x.dtype), t)
    square = t * t
    tail = fitted(square, "ATAN") * (square * t)
    left = bits(x) < 0
    # the angle is base + sign (t + tail) with base one of 0, pi/2, pi
    base = select(steep, const(high, x.dtype), select(left, const(2.0 * high, x.dtype), 0.0))
    base_low = select(steep, const(low, x.dtype), select(left, const(2.0 * low, x.dtype), 0.0))
    flip = steep ^ left
    t = select(flip, -t, t)
    tail = select(flip, -tail, tail)
    return copysign((base + t) + (tail + base_low), y)


CLOSED = ((-1.0, 1.0),)
REAL = (float("-inf"), float("inf"))
FUNCTIONS = (
    Function("asin", asin, domain=CLOSED, text="arc sine"),
    Function("acos", acos, domain=CLOSED, text="arc cosine"),
    Function("atan", atan, text="arc tangent"),
    Function("atan2", atan2, 2, (REAL, REAL), text="angle of the point (x, y)"),
)
