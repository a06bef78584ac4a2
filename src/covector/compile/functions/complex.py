"""Complex elementwise functions on pairs (real, imaginary) of expressions, from the real functions.

    re, im = COMPLEX["exp"]((re, im))

Magnitudes are scaled so that what is representable does not overflow on the way, and infinities and signed
zeros follow C99's Annex G where that costs a select.  The inverse functions follow W. Kahan, "Branch cuts
for complex elementary functions, or much ado about nothing's sign bit", 1987.
"""

from __future__ import annotations

from collections.abc import Callable

from covector.compile.functions.exponential import exp_of_sum, log_of_sum
from covector.compile.functions.parts import (
    LN2, LN10, PI, absolute, bits, copysign, format_of, from_bits, is_single, quick_two_sum, split,
    two_product, two_sum,
)  # fmt: skip
from covector.compile.functions.parts import sqrt as real_sqrt
from covector.ir.scalar import Expr, apply, call, const, equal, select

Pair = tuple[Expr, Expr]
INFINITY = float("inf")


def constant(like: Expr, value: float) -> Expr:
    """A constant of another expression's dtype."""
    return const(value, like.dtype)


def infinite(x: Expr) -> Expr:
    """Whether x is an infinity."""
    return equal(absolute(x), INFINITY)


def larger(x: Expr, y: Expr) -> Expr:
    """The larger of two magnitudes; not NaN if only one is."""
    return select(x > y, x, select(equal(y, y), y, x))


def power_of_two(size: Expr) -> tuple[Expr, Expr]:
    """(s, 1/s): s a power of two near the positive `size`, kept where both are normal."""
    f = format_of(size.dtype)
    exponent = bits(size) & const(f.infinity_bits, f.int)
    low, high = const(2 << f.mantissa, f.int), const((2 * f.bias - 2) << f.mantissa, f.int)
    exponent = apply("min", apply("max", exponent, low), high)
    return from_bits(exponent), from_bits(const(2 * f.one_bits, f.int) - exponent)


def times_i(z: Pair) -> Pair:
    """i z."""
    return -z[1], z[0]


def times_minus_i(z: Pair) -> Pair:
    """-i z."""
    return z[1], -z[0]


# -- arithmetic -----------------------------------------------------------------------------------


def add(x: Pair, y: Pair) -> Pair:
    """x + y."""
    return x[0] + y[0], x[1] + y[1]


def sub(x: Pair, y: Pair) -> Pair:
    """x - y."""
    return x[0] - y[0], x[1] - y[1]


def neg(x: Pair) -> Pair:
    """-x."""
    return -x[0], -x[1]


def mul(x: Pair, y: Pair) -> Pair:
    """x y; products are rounded before they are added, so that z conj(z) is real."""
    (a, b), (c, d) = x, y
    return a * c - b * d, a * d + b * c


def square(x: Pair) -> Pair:
    """x^2."""
    a, b = x
    product = a * b
    return (a - b) * (a + b), product + product


def div(x: Pair, y: Pair) -> Pair:
    """x / y with both scaled to size 1: the quotient overflows or vanishes only by itself."""
    (a, b), (c, d) = x, y
    one, zero = constant(a, 1.0), constant(a, 0.0)
    x_infinite, y_infinite = infinite(a) | infinite(b), infinite(c) | infinite(d)

    def corner(part: Expr, whole: Expr) -> Expr:  # an infinite number as a direction
        return select(whole, copysign(select(infinite(part), one, zero), part), part)

    a, b, c, d = corner(a, x_infinite), corner(b, x_infinite), corner(c, y_infinite), corner(d, y_infinite)
    up, up_inverse = power_of_two(larger(absolute(a), absolute(b)))
    down, down_inverse = power_of_two(larger(absolute(c), absolute(d)))
    a, b, c, d = a * up_inverse, b * up_inverse, c * down_inverse, d * down_inverse
    size = c * c + d * d
    re, im = a * c + b * d, b * c - a * d
    divided = equal(size, 0.0)
    re = select(divided, a * copysign(constant(a, INFINITY), c), re / size)
    im = select(divided, b * copysign(constant(a, INFINITY), c), im / size)
    grow = select(x_infinite & apply("not", y_infinite), constant(a, INFINITY), up)
    shrink = select(y_infinite & apply("not", x_infinite), zero, down_inverse)
    both = x_infinite & y_infinite
    re, im = (select(both, constant(a, float("nan")), part) for part in (re, im))

    def scaled(part: Expr) -> Expr:  # the smaller factor first where the other could overflow
        tiny = shrink < 1.0
        first, second = select(tiny, shrink, grow), select(tiny, grow, shrink)
        return select(equal(part, 0.0), part, part * first * second)

    return scaled(re), scaled(im)


def reciprocal(x: Pair) -> Pair:
    """1 / x."""
    return div((constant(x[0], 1.0), constant(x[0], 0.0)), x)


def modulus(x: Pair) -> Expr:
    """|x|."""
    return call("hypot", *x)


def sign(x: Pair) -> Pair:
    """x / |x|; 0 for 0."""
    a, b = x
    one, zero = constant(a, 1.0), constant(a, 0.0)
    whole = infinite(a) | infinite(b)
    a, b = (select(whole, copysign(select(infinite(p), one, zero), p), p) for p in (a, b))
    _, inverse = power_of_two(larger(absolute(a), absolute(b)))
    a, b = a * inverse, b * inverse
    size = call("hypot", a, b)
    size = select(equal(size, 0.0), one, size)
    return a / size, b / size


def integer_pow(x: Pair, n: int) -> Pair:
    """x^n for a fixed integer, by squaring."""
    if n < 0:
        return reciprocal(integer_pow(x, -n))
    result: Pair | None = None
    while n:
        if n & 1:
            result = x if result is None else mul(result, x)
        n >>= 1
        x = square(x) if n else x
    return result or (constant(x[0], 1.0), constant(x[0], 0.0))


# -- exponentials and logarithms -------------------------------------------------------------------


def scaled_exp(a: Expr, margin: float) -> tuple[Expr, Expr]:
    """(e, s) with e^a = e s, e far from overflow: s is 1 or a power of two."""
    shift = 64 if is_single(a) else 512
    high, low = split(LN2 * shift, a.dtype, 2)
    far = a > (margin if is_single(a) else margin * 8)
    e = exp_of_sum(select(far, a - high, a), select(far, constant(a, -low), constant(a, 0.0)))
    return e, select(far, constant(a, 2.0**shift), constant(a, 1.0))


def product_unless_zero(size: Expr, factor: Expr) -> Expr:
    """size * factor, a zero factor giving that zero even where the size is infinite."""
    return select(equal(factor, 0.0), factor, size * factor)


def exp(x: Pair) -> Pair:
    """e^a (cos b + i sin b)."""
    a, b = x
    e, scale = scaled_exp(a, 64.0)
    cosine, sine = call("cos", b), call("sin", b)
    vanished = equal(a, -INFINITY)  # then the direction does not matter
    cosine = select(vanished & apply("ne", cosine, cosine), constant(a, 1.0), cosine)
    sine = select(vanished & apply("ne", sine, sine), constant(a, 1.0), sine)
    real = select(equal(a, INFINITY) & infinite(b), a, e * cosine * scale)
    return real, select(equal(b, 0.0), b, e * sine * scale)


def exp2(x: Pair) -> Pair:
    """2^x: e^(x ln2), the factor in two parts where it turns the angle."""
    a, b = x
    angle = b * float(LN2)
    cosine, sine = call("cos", angle), call("sin", angle)
    e = call("exp2", a)
    return e * cosine, select(equal(b, 0.0), b, e * sine)


def expm1(x: Pair) -> Pair:
    """e^x - 1: (e^a - 1) cos b - 2 sin^2(b / 2) for the real part."""
    a, b = x
    half = call("sin", b * 0.5)
    real = call("expm1", a) * call("cos", b) - (half + half) * half
    _, imaginary = exp(x)
    return select(equal(b, 0.0), call("expm1", a), real), imaginary


def log_modulus(x: Pair) -> Expr:
    """log|x|, accurate near |x| = 1: half the logarithm of a^2 + b^2 in two parts."""
    a, b = absolute(x[0]), absolute(x[1])
    size = larger(a, b)
    reach = 2.0**20 if is_single(a) else 2.0**200
    near = (size < reach) & (size > 1 / reach)
    s, inverse = power_of_two(size)
    f = format_of(a.dtype)
    exponent = (bits(s) >> f.mantissa) - f.bias
    inverse = select(near, constant(a, 1.0), inverse)
    a, b = a * inverse, b * inverse
    big, small = select(a < b, b, a), select(a < b, a, b)
    first, first_rest = two_product(big, big)
    second, second_rest = two_product(small, small)
    total, rest = quick_two_sum(first, second)
    result = 0.5 * log_of_sum(total, rest + (first_rest + second_rest))
    shifted = apply("fma", Expr("convert", (exponent,), a.dtype), constant(a, float(LN2)), result)
    result = select(near, result, shifted)
    result = select(equal(size, 0.0), constant(a, -INFINITY), result)
    result = select(apply("ne", a, a) | apply("ne", b, b), constant(a, float("nan")), result)
    return select(infinite(x[0]) | infinite(x[1]), constant(a, INFINITY), result)


def log(x: Pair) -> Pair:
    """log|x| + i arg(x)."""
    return log_modulus(x), call("atan2", x[1], x[0])


def log2(x: Pair) -> Pair:
    """The logarithm to base 2."""
    re, im = log(x)
    return re * float(1 / LN2), im * float(1 / LN2)


def log10(x: Pair) -> Pair:
    """The logarithm to base 10."""
    re, im = log(x)
    return re * float(1 / LN10), im * float(1 / LN10)


def log1p(x: Pair) -> Pair:
    """log(1 + x): |1 + x|^2 = 1 + (2 a + a^2 + b^2), summed in two parts, where x is small."""
    a, b = x
    size = larger(absolute(a), absolute(b))
    close = size < 1.0
    one = constant(a, 1.0)
    p, q = (select(close, part, constant(a, 0.0)) for part in (a, b))
    first, first_rest = two_product(p, p)
    second, second_rest = two_product(q, q)
    total, rest = two_sum(p + p, second)
    total, more = two_sum(total, first)
    high, low = two_sum(one, total)
    low = low + ((rest + more) + (first_rest + second_rest))
    near = 0.5 * log_of_sum(select(high > 0.0, high, one), low)
    far, _ = log((a + 1.0, b))
    use_near = close & (high > 0.25)
    return select(use_near, near, far), call("atan2", b, a + 1.0)


def logistic(x: Pair) -> Pair:
    """1 / (1 + e^-x), by e^x / (1 + e^x) on the left half plane."""
    left = x[0] < 0.0
    a, b = select(left, x[0], -x[0]), select(left, x[1], -x[1])
    e = exp((a, b))
    one, zero = constant(a, 1.0), constant(a, 0.0)
    return div((select(left, e[0], one), select(left, e[1], zero)), (e[0] + 1.0, e[1]))


def power(x: Pair, y: Pair) -> Pair:
    """x^y = e^(y log x); 0^0 is 1, and 0 to a power with positive real part is 0."""
    (c, d) = y
    length, angle = modulus(x), call("atan2", x[1], x[0])
    logarithm = log_modulus(x)
    turn = apply("fma", c, angle, product_unless_zero(logarithm, d))
    size = call("pow", length, c) * call("exp", -(d * angle))
    size = select(equal(d, 0.0), call("pow", length, c), size)
    re, im = size * call("cos", turn), size * call("sin", turn)
    zero_base = equal(x[0], 0.0) & equal(x[1], 0.0)
    zero_power = equal(c, 0.0) & equal(d, 0.0)
    one, zero = constant(c, 1.0), constant(c, 0.0)
    re = select(zero_base & (c > 0.0), zero, select(zero_power, one, re))
    im = select(zero_base & (c > 0.0) | zero_power | equal(turn, 0.0), zero, im)
    return re, im


# -- roots ----------------------------------------------------------------------------------------


def sqrt(x: Pair) -> Pair:
    """The root with non-negative real part: t = sqrt((|a| + |x|) / 2) and b / (2 t)."""
    a, b = x
    f = format_of(a.dtype)
    size = larger(absolute(a), absolute(b))
    half_range = 2 * (f.mantissa + 2)
    tiny, vast = size < f.smallest_normal * 2.0**half_range, size > 2.0 ** (f.bias - 3)
    scale = select(tiny, constant(a, 2.0**half_range), select(vast, constant(a, 2.0**-4), 1.0))
    back = select(tiny, constant(a, 2.0 ** (-half_range // 2)), select(vast, constant(a, 4.0), 1.0))
    p, q = a * scale, b * scale
    t = real_sqrt((absolute(p) + call("hypot", p, q)) * 0.5)
    other = absolute(q) / (t + t)
    other = select(equal(t, 0.0), absolute(q), other)
    t, other = t * back, other * back
    right = apply("not", bits(a) < 0)
    re, im = select(right, t, other), select(right, other, t)
    endless = infinite(b)
    re = select(endless, absolute(b), re)
    im = select(endless, absolute(b), im)
    level = infinite(a) & apply("not", endless)
    im = select(level & right & equal(b, b), constant(a, 0.0), im)
    re = select(level & apply("not", right) & equal(b, b), constant(a, 0.0), re)
    return re, copysign(im, b)


def rsqrt(x: Pair) -> Pair:
    """1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def cbrt(x: Pair) -> Pair:
    """The cube root with the smallest angle."""
    length, angle = call("cbrt", modulus(x)), call("atan2", x[1], x[0]) * (1 / 3)
    return length * call("cos", angle), product_unless_zero(length, call("sin", angle))


# -- trigonometric and hyperbolic -------------------------------------------------------------------


def sinh_cosh(a: Expr) -> tuple[Expr, Expr, Expr]:
    """(sinh(a) / s, cosh(a) / s, s), s a power of two that keeps them from overflow."""
    e, scale = scaled_exp(absolute(a) - 0.0, 64.0)
    far = scale > 1.0
    half = e * 0.5
    bounded = select(far, constant(a, 1.0), a)
    return (
        select(far, copysign(half, a), call("sinh", bounded)),
        select(far, half, call("cosh", bounded)),
        scale,
    )


def sinh(x: Pair) -> Pair:
    """sinh(a) cos(b) + i cosh(a) sin(b)."""
    a, b = x
    s, c, scale = sinh_cosh(a)
    re = select(equal(a, 0.0), a, s * call("cos", b) * scale)
    re = select(infinite(a) & infinite(b), a, re)
    return re, select(equal(b, 0.0), b, c * call("sin", b) * scale)


def cosh(x: Pair) -> Pair:
    """cosh(a) cos(b) + i sinh(a) sin(b)."""
    a, b = x
    s, c, scale = sinh_cosh(a)
    re = select(infinite(a) & infinite(b), absolute(a), c * call("cos", b) * scale)
    flat = equal(a, 0.0) | equal(b, 0.0)
    zero = copysign(constant(a, 0.0), from_bits(bits(a) ^ bits(b)))
    return re, select(flat, zero, s * call("sin", b) * scale)


def tanh(x: Pair) -> Pair:
    """(1 + t^2) s r + i t over 1 + (1 + t^2) s^2 with t = tan(b), s = sinh(a), r = cosh(a)."""
    a, b = x
    far = absolute(a) > (11.0 if is_single(a) else 22.0)
    p = select(far, constant(a, 1.0), a)
    t = call("tan", b)
    s, r = call("sinh", p), call("cosh", p)
    factor = apply("fma", t, t, constant(a, 1.0))
    under = apply("fma", factor * s, s, constant(a, 1.0))
    e = call("exp", absolute(a) * -2.0)
    slope = 4.0 * (call("sin", b) * call("cos", b)) * e
    slope = select(infinite(a) & apply("ne", slope, slope), copysign(constant(a, 0.0), b), slope)
    re = select(far, copysign(constant(a, 1.0), a), factor * r * s / under)
    im = select(far, slope, t / under)
    return re, select(equal(b, 0.0), b, im)


def sin(x: Pair) -> Pair:
    """-i sinh(i x)."""
    return times_minus_i(sinh(times_i(x)))


def cos(x: Pair) -> Pair:
    """cosh(i x)."""
    return cosh(times_i(x))


def tan(x: Pair) -> Pair:
    """-i tanh(i x)."""
    return times_minus_i(tanh(times_i(x)))


# -- inverse functions -------------------------------------------------------------------------------


def around_one(x: Pair) -> tuple[Pair, Pair, Expr]:
    """(sqrt(1 - x), sqrt(1 + x), whether x is so large that they are of no use)."""
    a, b = x
    huge = larger(absolute(a), absolute(b)) > (2.0**60 if is_single(a) else 2.0**500)
    p, q = (select(huge, constant(a, 1.0), part) for part in (a, b))
    return sqrt((1.0 - p, -q)), sqrt((p + 1.0, q)), huge


def log_twice(x: Pair) -> Expr:
    """log(2 |x|)."""
    return log_modulus(x) + float(LN2)


def asin(x: Pair) -> Pair:
    """The arc sine, cut outside [-1, 1] on the real axis."""
    a, b = x
    (u, v), (p, q), huge = around_one(x)
    re = call("atan2", a, u * p - v * q)
    im = call("asinh", u * q - v * p)
    far_re = call("atan2", a, absolute(b))
    return select(huge, far_re, re), select(huge, copysign(log_twice(x), b), copysign(im, b))


def acos(x: Pair) -> Pair:
    """The arc cosine, cut outside [-1, 1] on the real axis."""
    a, b = x
    (u, v), (p, q), huge = around_one(x)
    re = 2.0 * call("atan2", u, p)
    im = call("asinh", v * p - u * q)
    far_re = call("atan2", absolute(b), a)
    return select(huge, far_re, re), select(huge, copysign(log_twice(x), -b), copysign(im, -b))


def acosh(x: Pair) -> Pair:
    """The inverse hyperbolic cosine, cut below 1 on the real axis: i acos(x) or -i acos(x)."""
    re, im = acos(x)
    negative = bits(x[1]) < 0
    return absolute(im), select(negative, -re, re)


def asinh(x: Pair) -> Pair:
    """-i asin(i x)."""
    return times_minus_i(asin(times_i(x)))


def atanh(x: Pair) -> Pair:
    """log1p(4 a / ((1 - a)^2 + b^2)) / 4 + i atan2(2 b, (1 - a) (1 + a) - b^2) / 2 for a >= 0."""
    a, b = absolute(x[0]), x[1]
    size = larger(a, absolute(b))
    huge = size > (2.0**50 if is_single(a) else 2.0**450)
    p, q = (select(huge, constant(a, 1.0), part) for part in (a, b))
    square_ = q * q
    under = apply("fma", 1.0 - p, 1.0 - p, square_)
    re = 0.25 * call("log1p", 4.0 * p / under)
    im = 0.5 * call("atan2", q + q, (1.0 - p) * (1.0 + p) - square_)
    # far out: 1 / conj(x), and a quarter turn
    _, inverse = power_of_two(size)
    r, s = a * inverse, b * inverse
    far = select(infinite(a) | infinite(b), constant(a, 0.0), r / (r * r + s * s) * inverse)
    turn = copysign(constant(a, float(PI / 2)), b)
    re, im = select(huge, far, re), select(huge, turn, im)
    return copysign(re, x[0]), im


def atan(x: Pair) -> Pair:
    """-i atanh(i x)."""
    return times_minus_i(atanh(times_i(x)))


COMPLEX: dict[str, Callable[..., Pair]] = {
    "add": add, "sub": sub, "neg": neg, "mul": mul, "div": div, "square": square,
    "reciprocal": reciprocal, "sign": sign, "sqrt": sqrt, "rsqrt": rsqrt, "cbrt": cbrt, "exp": exp,
    "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log10": log10, "log1p": log1p, "pow": power,
    "logistic": logistic, "sin": sin, "cos": cos, "tan": tan, "sinh": sinh, "cosh": cosh, "tanh": tanh,
    "asin": asin, "acos": acos, "atan": atan, "asinh": asinh, "acosh": acosh, "atanh": atanh,
}  # fmt: skip
REAL_VALUED: dict[str, Callable[[Pair], Expr]] = {"abs": modulus, "angle": lambda x: call("atan2", x[1], x[0])}
