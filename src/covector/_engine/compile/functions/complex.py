"""Functions of complex elements, on pairs (real, imaginary), in terms of the real functions.

What they share is the care for range: a square is only taken of parts that a power of two has brought near 1
(or is known not to matter), so that results overflow only if they must.  Branch cuts and signs of zeros are
those of C99 (Kahan, "Branch cuts for complex elementary functions", 1987).  But for `pow`, whose error grows
with |w log z|, both parts are accurate to some units in the last place, relative to |result| at least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine.compile.functions.arithmetic import (
    LN2,
    absolute,
    bits,
    copysign,
    format_of,
    from_bits,
    is_single,
    split,
    sqrt as real_sqrt,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.exponential import log_of_sum
from covector._engine.ir.scalar import (
    Expr,
    Pair,
    apply,
    call,
    const,
    convert,
    differ,
    equal,
    fma,
    select,
)

INFINITY = float("inf")


# ------------------------------------------------------------------------------------------------ scaling


def largest(x: Expr, y: Expr) -> Expr:
    """The larger of |x| and |y|; any of them if one is NaN."""
    a, b = absolute(x), absolute(y)
    return select(a < b, b, a)


def is_infinite(x: Expr) -> Expr:
    """Whether x is one of the infinities."""
    return equal(absolute(x), INFINITY)


def not_finite(x: Expr) -> Expr:
    """Whether x is an infinity or NaN."""
    return ~(absolute(x) < INFINITY)


def exponent_of(z: Pair, less: int = 0) -> Expr:
    """The exponent bits of the larger part, in place; both ends of the range leave room for the reciprocal.

    A pair over the power of two with so much `less` of them is near 2**less, not 1: the larger it is, the smaller the
    other part may be before it underflows.
    """
    f = format_of(z[0].dtype)
    exponent = bits(largest(*z)) & const(f.infinity_bits, f.int)
    lowest, highest = (const(e << f.mantissa, f.int) for e in (2, 2 * f.bias - 2))
    if less:  # so much that it is never near the highest
        return apply("max", exponent - const(less << f.mantissa, f.int), lowest)
    return apply("min", apply("max", exponent, lowest), highest)


def divided_by_power(z: Pair, exponent: Expr) -> Pair:
    """The pair over the power of two with these exponent bits."""
    f = format_of(z[0].dtype)
    inverse = from_bits(const(2 * f.one_bits, f.int) - exponent)
    return z[0] * inverse, z[1] * inverse


def sum_of_products(a: Expr, c: Expr, b: Expr, d: Expr) -> Expr:
    """a c + b d with an error of about one ulp, however much of it cancels (Kahan)."""
    product, rest = two_product(b, d)
    return fma(a, c, product) + select(equal(rest, rest), rest, const(0.0, a.dtype))


# ------------------------------------------------------------------------------------------------ arithmetic


def mul(z: Pair, w: Pair) -> Pair:
    """The product as in NumPy: four products, two sums."""
    (a, b), (c, d) = z, w
    return a * c - b * d, a * d + b * c


def div(z: Pair, w: Pair) -> Pair:
    """z conj(w) / |w|^2 of scaled operands; a divisor on an axis divides the parts exactly.

    The divisor is brought near the cube root of the largest number, the dividend near its square: so neither |w|^2 nor
    a product overflows, and a part far smaller than the other one loses nothing, nor does the quotient that it makes.
    """
    f = format_of(z[0].dtype)
    third = f.bias // 3
    top, bottom = exponent_of(z, 2 * third - 4), exponent_of(w, third)
    a, b = divided_by_power(z, top)
    c, d = divided_by_power(w, bottom)
    one, zero = const(1.0, a.dtype), const(0.0, a.dtype)
    infinite = is_infinite(c) | is_infinite(d)

    def factor(part: Expr, axis: Expr) -> Expr:
        chosen = select(
            infinite, select(is_infinite(part), one, zero), select(axis, one, absolute(part))
        )
        return copysign(chosen, part)

    p = factor(c, equal(d, 0.0))
    q = factor(d, equal(c, 0.0) & differ(d, 0.0))
    norm = select(infinite, const(INFINITY, a.dtype), fma(p, c, q * d))
    power = (top - bottom) >> f.mantissa
    half = power >> 1
    low, high = (from_bits((e + f.bias) << f.mantissa) for e in (half, power - half))
    re = sum_of_products(a, p, b, q) / norm
    im = sum_of_products(b, p, -a, q) / norm
    return re * low * high, im * low * high


def magnitude(z: Pair) -> Expr:
    """|z|, a real."""
    return call("hypot", *z)


def sign(z: Pair) -> Pair:
    """z / |z|; zero of zero, and the direction of an infinity on an axis."""
    infinite = is_infinite(z[0]) | is_infinite(z[1])
    p, q = divided_by_power(z, exponent_of(z))
    norm = real_sqrt(fma(p, p, q * q))
    norm = select(equal(norm, 0.0), const(1.0, norm.dtype), norm)

    def part(x: Expr, scaled: Expr) -> Expr:
        at_infinity = copysign(select(is_infinite(x), const(1.0, x.dtype), 0.0), x)
        return select(infinite & equal(x, x), at_infinity, scaled / norm)

    re, im = part(z[0], p), part(z[1], q)
    undefined = is_infinite(z[0]) & is_infinite(z[1]) | differ(z[0], z[0]) | differ(z[1], z[1])
    nan = const(float("nan"), re.dtype)
    return select(undefined, nan, re), select(undefined, nan, im)


# ------------------------------------------------------------------------------------------------ square roots


def finite_sqrt(z: Pair) -> Pair:
    """sqrt where neither part is infinite: t = sqrt((|x| + |z|) / 2) is one part, |y| / 2t the other."""
    x, y = z
    f = format_of(x.dtype)
    exponent = exponent_of(z) | (1 << f.mantissa)  # an even power
    p, q = divided_by_power(z, exponent)
    root = real_sqrt((absolute(p) + real_sqrt(fma(p, p, q * q))) * 0.5)
    t = root * from_bits(((exponent - f.one_bits) >> 1) + f.one_bits)
    other = select(equal(t, 0.0), t, absolute(y) / (t + t))
    left = x < 0.0
    return select(left, other, t), copysign(select(left, t, other), y)


def sqrt(z: Pair) -> Pair:
    """The square root with a real part that is not negative; cut along the negative reals."""
    x, y = z
    re, im = finite_sqrt(z)
    infinity, zero = const(INFINITY, x.dtype), const(0.0, x.dtype)
    other = select(equal(y, y), zero, y)
    left = x < 0.0
    re = select(is_infinite(x), select(left, other, infinity), re)
    im = select(is_infinite(x), copysign(select(left, infinity, other), y), im)
    steep = is_infinite(y)
    return select(steep, infinity, re), select(steep, y, im)


def rsqrt(z: Pair) -> Pair:
    """1 / sqrt(z)."""
    return div((const(1.0, z[0].dtype), const(0.0, z[0].dtype)), sqrt(z))


# ------------------------------------------------------------------------------------------------ exponentials


def exponential(name: str, z: Pair, cos: Expr, sin: Expr) -> Pair:
    """`name` (exp or exp2) of the real part, in the direction of the imaginary part with these cos and sin.

    Where it might overflow before it is multiplied, it is the square of that of the half.
    """
    x, y = z
    limits = {"exp": (87.0, 707.0), "exp2": (125.0, 1021.0)}
    halved = absolute(x) > limits[name][not is_single(x)]
    e = call(name, select(halved, x * 0.5, x))
    again = select(halved, e, const(1.0, x.dtype))
    no_angle = not_finite(y)
    cos = select(no_angle & is_infinite(x), const(1.0, x.dtype), cos)
    sin = select(no_angle & equal(x, -INFINITY), const(0.0, x.dtype), sin)
    return cos * e * again, select(equal(y, 0.0), y, sin * e * again)


def exp(z: Pair) -> Pair:
    """e^x (cos y + i sin y)."""
    return exponential("exp", z, call("cos", z[1]), call("sin", z[1]))


def exp2(z: Pair) -> Pair:
    """2^x (cos(y ln2) + i sin(y ln2)): y ln2 is taken in two parts, the second of any size."""
    y = z[1]
    high, low = split(LN2, y.dtype, 2)
    angle, rest = two_product(y, const(high, y.dtype))
    angles = angle, fma(y, low, rest)
    (a, b), (c, d) = ([call(f, part) for part in angles] for f in ("cos", "sin"))
    return exponential("exp2", z, a * b - c * d, c * b + a * d)


def expm1(z: Pair) -> Pair:
    """(e^x - 1) cos y - 2 sin^2(y / 2) + i e^x sin y; -1 at -inf, whatever y is."""
    x, y = z
    cos = call("cos", y)
    half = call("sin", y * 0.5)
    re, im = exponential("exp", z, cos, call("sin", y))
    small = fma(call("expm1", x), cos, (half + half) * -half)
    small = select(equal(x, -INFINITY), const(-1.0, x.dtype), small)
    return select(x > (87.0 if is_single(x) else 707.0), re, small), im


def logistic(z: Pair) -> Pair:
    """1 / (1 + e^-z), symmetric about 1/2.

    For x <= 0 it is ((e^x - 1) / 2 + cos^2(y/2) + i sin(y/2) cos(y/2)) / (2 |cosh(z/2)|^2).
    """
    x, y = z
    v = y * 0.5
    sinh, cos, sin = call("sinh", x * 0.5), call("cos", v), call("sin", v)
    square = cos * cos
    norm = fma(sinh, sinh, square)
    norm = norm + norm
    re = fma(call("expm1", -absolute(x)), 0.5, square) / norm
    return select(x < 0.0, re, 1.0 - re), sin * cos / norm


# ------------------------------------------------------------------------------------------------ logarithms


def log_magnitude(x: Expr, low: Expr | None, y: Expr) -> Expr:
    """log|x + low + i y| as half the logarithm of the squares' sum in two parts: nothing is lost near 1."""
    f = format_of(x.dtype)
    bound, down, up = (round(share * f.bias) for share in (0.4, 0.63, 0.8))
    larger = largest(x, y)
    huge, tiny = larger > 2.0**bound, larger < 2.0**-bound
    none, ln2 = const(0.0, x.dtype), float(LN2)
    scale = select(huge, const(2.0**-down, x.dtype), select(tiny, none + 2.0**up, 1.0))
    offset = select(huge, const(down * ln2, x.dtype), select(tiny, none - up * ln2, none))
    p, q = x * scale, y * scale
    square, rest = two_product(p, p)
    other, more = two_product(q, q)
    total, lost = two_sum(square, other)
    tail = rest + more
    if low is not None:
        tail = fma(p + p, low * scale, tail)
    result = fma(log_of_sum(total, lost + tail), 0.5, offset)
    result = select(equal(larger, 0.0), const(-INFINITY, x.dtype), result)
    result = select(equal(x, x) & equal(y, y), result, const(float("nan"), x.dtype))
    return select(is_infinite(x) | is_infinite(y), const(INFINITY, x.dtype), result)


def log(z: Pair) -> Pair:
    """log|z| and the angle of z; cut along the negative reals."""
    x, y = z
    return log_magnitude(x, None, y), call("atan2", y, x)


def log1p(z: Pair) -> Pair:
    """log(1 + z), with 1 + x in two parts."""
    x, y = z
    total, rest = two_sum(const(1.0, x.dtype), x)
    rest = select(equal(rest, rest), rest, const(0.0, x.dtype))
    return log_magnitude(total, rest, y), call("atan2", y, total)


def power(z: Pair, w: Pair) -> Pair:
    """z^w = e^(w log z), complex64 by way of complex128; z^0 is 1, and 0^w is 0 or NaN by the sign of Re w."""
    dtype = z[0].dtype
    x, y, u, v = (convert(part, np.float64) for part in (*z, *w))
    logarithm, angle = log((x, y))
    zero, one = const(0.0, x.dtype), const(1.0, x.dtype)
    real = equal(v, 0.0)
    re = sum_of_products(u, logarithm, -v, angle)
    im = select(real, u * angle, sum_of_products(u, angle, v, logarithm))
    re, im = exp((re, im))
    of_zero = equal(x, 0.0) & equal(y, 0.0)
    at_zero = select(u > 0.0, zero, const(float("nan"), x.dtype))
    certain = real & equal(u, 0.0)
    re = select(certain, one, select(of_zero, at_zero, re))
    im = select(certain, zero, select(of_zero, at_zero, im))
    return convert(re, dtype), convert(im, dtype)


# ------------------------------------------------------------------------------------------------ hyperbolic


def hyperbolic_parts(x: Expr) -> tuple[Expr, Expr, Expr]:
    """(s, c, again) with sinh x = s again and cosh x = c again, which hardly overflow."""
    halved = absolute(x) > (87.0 if is_single(x) else 707.0)
    x = select(halved, x * 0.5, x)
    cosh = call("cosh", x)
    return call("sinh", x), cosh, select(halved, cosh + cosh, const(1.0, x.dtype))


def sinh(z: Pair) -> Pair:
    """sinh x cos y + i cosh x sin y."""
    x, y = z
    s, c, again = hyperbolic_parts(x)
    certain = not_finite(y) & (is_infinite(x) | equal(x, 0.0))  # the real part, but for its sign
    cos = select(certain, const(1.0, x.dtype), call("cos", y))
    return s * cos * again, select(equal(y, 0.0), y, c * call("sin", y) * again)


def cosh(z: Pair) -> Pair:
    """cosh x cos y + i sinh x sin y."""
    x, y = z
    s, c, again = hyperbolic_parts(x)
    one = const(1.0, x.dtype)
    cos = select(not_finite(y) & is_infinite(x), one, call("cos", y))
    sin = select(not_finite(y) & equal(x, 0.0), one, call("sin", y))
    return c * cos * again, select(equal(y, 0.0), y * copysign(one, x), s * sin * again)


def tanh(z: Pair) -> Pair:
    """(sinh x cosh x + i sin y cos y) / (sinh^2 x + cos^2 y): no sum cancels, none overflows where it counts."""
    x, y = z
    single = is_single(x)
    a = absolute(x)
    large = a > (10.0 if single else 20.0)
    bound = const(60.0 if single else 400.0, x.dtype)
    a = select(a > bound, bound, a)
    sinh, cosh, sin, cos = call("sinh", a), call("cosh", a), call("sin", y), call("cos", y)
    square = fma(sinh, sinh, cos * cos)
    re = select(large, const(1.0, x.dtype), sinh * cosh / square)
    norm = select(large, sinh, square)
    im = sin / norm * select(large, cos / norm, cos)
    im = select(not_finite(y) & is_infinite(x), copysign(const(0.0, x.dtype), y), im)
    re = select(not_finite(y) & ~is_infinite(x), const(float("nan"), x.dtype), re)
    re = select(equal(x, 0.0), a, re)  # also where y is not finite
    return copysign(re, x), select(equal(y, 0.0), y, im)


# ------------------------------------------------------------------------------------------------ inverses


SHIFT = 8


def tamed(z: Pair) -> tuple[Pair, Expr, Expr]:
    """(z scale, infinite, scale): the scale is below 1 where z is huge.

    An infinite z becomes a huge one, and what is finite beside an infinity 0; NaN stays.
    """
    f = format_of(z[0].dtype)
    big = 2.0 ** (f.bias - SHIFT)
    scale = select(largest(*z) > big, const(2.0**-SHIFT, f.dtype), 1.0)
    infinite = is_infinite(z[0]) | is_infinite(z[1])

    def part(x: Expr) -> Expr:
        at_infinity = copysign(select(is_infinite(x), const(big, f.dtype), 0.0), x)
        return select(infinite & equal(x, x), at_infinity, x * scale)

    return (part(z[0]), part(z[1])), infinite, scale


def roots_about_one(z: Pair) -> tuple[Pair, Pair]:
    """sqrt(1 - z) and sqrt(1 + z)."""
    return finite_sqrt((1.0 - z[0], -z[1])), finite_sqrt((1.0 + z[0], z[1]))


def asinh_of_scaled(x: Expr, infinite: Expr, scale: Expr, sign: Expr) -> Expr:
    """asinh(x / scale) with the sign given; infinite where that holds."""
    more = select(scale < 1.0, const(SHIFT * float(LN2), x.dtype), 0.0)
    result = copysign(absolute(call("asinh", x)) + more, sign)
    return select(infinite, copysign(const(INFINITY, x.dtype), sign), result)


def asin(z: Pair) -> Pair:
    """Kahan's formulas, in which no sum cancels; cut along the reals beyond -1 and 1."""
    (x, y), infinite, scale = tamed(z)
    (a, b), (c, d) = roots_about_one((x, y))
    re = select(equal(x, 0.0), x, call("atan2", x, a * c - b * d))
    return re, asinh_of_scaled(a * d - b * c, infinite, scale, y)


def acos(z: Pair) -> Pair:
    """Kahan's formulas, in which no sum cancels; cut along the reals beyond -1 and 1."""
    (x, y), infinite, scale = tamed(z)
    (a, b), (c, d) = roots_about_one((x, y))
    angle = call("atan2", a, c)
    re = select(equal(x, 0.0), const(math.pi / 2, x.dtype), angle + angle)
    return re, asinh_of_scaled(c * b - d * a, infinite, scale, -y)


def acosh(z: Pair) -> Pair:
    """i acos(z) or its negative, whichever has a real part that is not negative; cut along the reals below 1."""
    re, im = acos(z)
    return absolute(im), copysign(re, z[1])


def atanh(z: Pair) -> Pair:
    """log1p(4x / ((1 - x)^2 + y^2)) / 4 for x >= 0, and half the angle of (1 + z) (1 - conj z).

    Next to the pole, where the square might underflow, the first is log(2 / |1 - z|) / 2, of a quotient that is
    scaled, as |1 - z| may be the smallest number.
    """
    (x, y), infinite, scale = tamed(z)
    f = format_of(x.dtype)
    a, b = absolute(x), absolute(y)
    t = 1.0 - a
    larger = largest(t, y)
    smaller = select(absolute(t) < b, absolute(t), b)
    ratio = (4.0 * a) / larger / fma(smaller, smaller / larger, larger)
    near = (larger < 2.0 ** -(2 * f.bias // 5)) & equal(y, y)
    result = call("log1p", select(near, 2.0 ** (1 - f.mantissa) / larger, ratio))
    result = result + select(near, const(f.mantissa * math.log(2), x.dtype), 0.0)
    re = result * select(near, const(0.5, x.dtype), 0.25) * scale
    re = copysign(select(infinite | equal(x, 0.0), const(0.0, x.dtype), re), x)
    angle = call("atan2", y, fma(b * -0.5, b, t * fma(a, 0.5, 0.5)))
    half_turn = copysign(const(math.pi, x.dtype), y)
    return re, select(is_infinite(z[1]), half_turn, angle) * 0.5


def turned(function: Callable[[Pair], Pair]) -> Callable[[Pair], Pair]:
    """-i f(i z): how the circular functions come from the hyperbolic ones, and the reverse."""

    def result(z: Pair) -> Pair:
        re, im = function((-z[1], z[0]))
        return im, -re

    return result


def cos(z: Pair) -> Pair:
    """cosh(i z)."""
    return cosh((-z[1], z[0]))


COMPLEX: dict[str, Callable[..., Any]] = {
    "mul": mul,
    "div": div,
    "abs": magnitude,
    "sign": sign,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "logistic": logistic,
    "log": log,
    "log1p": log1p,
    "pow": power,
    "sin": turned(sinh),
    "cos": cos,
    "tan": turned(tanh),
    "sinh": sinh,
    "cosh": cosh,
    "tanh": tanh,
    "asin": asin,
    "acos": acos,
    "atan": turned(atanh),
    "asinh": turned(asin),
    "acosh": acosh,
    "atanh": atanh,
}
