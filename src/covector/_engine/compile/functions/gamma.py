"""The logarithm of the gamma function and its derivative, on the whole line."""

from __future__ import annotations

from fractions import Fraction

from covector._engine.compile.functions import narrow
from covector._engine.compile.functions.arithmetic import (
    PI,
    absolute,
    bits,
    fitted,
    format_of,
    is_single,
    select_finite,
    split,
)
from covector._engine.compile.functions.exponential import log
from covector._engine.compile.functions.table import Function
from covector._engine.compile.functions.trigonometric import sine_of_reduced
from covector._engine.ir.scalar import (
    Expr,
    apply,
    bitcast,
    const,
    differ,
    equal,
    fma,
    iterate,
    select,
)

HALF_LOG_TWO_PI = Fraction(
    "0.918938533204672741780329736405617639861397473637783412817151540482765695927"
)
LOG_PI = Fraction("1.1447298858494001741434273513530587116472948129153115715136230714721377698848")
DIGAMMA_ROOT = Fraction(
    "1.4616321449683623412626595423257213284681962040064463512959884085987864403538"
)


def sin_pi(x: Expr) -> tuple[Expr, Expr]:
    """(|sin(pi x)|, |cos(pi x)|); the sine is 0 at integers."""
    r = absolute(x - apply("rint", x))
    high, low = split(PI, x.dtype, 2)

    def sine(r: Expr) -> Expr:
        return sine_of_reduced(fma(r, high, r * low))

    return sine(r), sine(0.5 - r)


def lgamma(x: Expr) -> Expr:
    """log|gamma(x)|.

    Stirling's series from 7.5 (float32: 3.5) on; below, a polynomial on [1.25, 2.5], where the function is
    0 at 2, and the recurrence; below -1/2 the reflection formula, where a lane needs it.
    """
    single = is_single(x)
    reflected = x < -0.5
    z = select(reflected, -x, x)
    bound, steps = (3.5, 1) if single else (7.5, 5)
    far = z >= bound
    # gamma(z) = product * gamma(y), or gamma(y) / product below 1.25
    y, product = z, const(1.0, x.dtype)
    for _ in range(steps):
        above = y > 2.5
        y = select(above, y - 1.0, y)
        product = select(above, product * y, product)
    low, lower = z < 1.25, z < 0.5
    factor = select(lower, absolute(fma(z, z, z)), z)
    product = select(low, factor, product)
    t = select(lower, z, select(low, z - 1.0, y - 2.0))
    logarithm = log(select(far, z, product))
    near = fma(fitted(t, "LOG_GAMMA"), t, select(low, -logarithm, logarithm))
    inverse = 1.0 / z
    series = fitted(inverse * inverse, "STIRLING_NEAR" if single else "STIRLING") * inverse
    constant = float(HALF_LOG_TWO_PI - Fraction(1, 2))
    result = select(far, fma(z - 0.5, logarithm - 1.0, series + constant), near)

    def reflect(result: Expr, x: Expr) -> tuple[Expr, Expr]:
        sine, _ = sin_pi(x)
        reflected = (float(LOG_PI) - log(absolute(x) * sine)) - result
        pole = equal(sine, 0.0)
        return select(pole, const(float("inf"), x.dtype), reflected), const(0.0, x.dtype)

    result, _ = iterate(lambda result, x: x < -0.5, reflect, (result, x))
    return select(absolute(x) < float("inf"), result, absolute(x))


def digamma(x: Expr) -> Expr:
    """The derivative of lgamma.

    The asymptotic series from 6 (float32: 3) on; below, a polynomial on [1, 2] divided by the root that
    is there, and the recurrence, with one division; the reflection formula for negative x.
    """
    single = is_single(x)
    z = select(x < 0.0, 1.0 - x, x)
    bound, steps = (3.0, 1) if single else (6.0, 4)
    far = z >= bound
    y, over, under = z, const(0.0, x.dtype), const(1.0, x.dtype)
    for _ in range(steps):
        above = y >= 2.0
        y = select(above, y - 1.0, y)
        over, under = select(above, fma(over, y, under), over), select(above, under * y, under)
    low = z < 1.0
    y = select(low, z + 1.0, y)
    over = select(far, const(0.5, x.dtype), select(low, const(-1.0, x.dtype), over))
    quotient = over / select(far | low, z, under)
    root, root_low = split(DIGAMMA_ROOT, x.dtype, 2)
    near = fma(fitted(y - 1.5, "DIGAMMA"), (y - root) - root_low, quotient)
    square = quotient * quotient * 4.0
    rest = fma(fitted(square, "DIGAMMA_NEAR" if single else "DIGAMMA_FAR"), square, quotient)
    result = select(far, log(z) - rest, near)

    def reflect(result: Expr, x: Expr) -> tuple[Expr, Expr]:
        sine, cosine = sin_pi(x)
        cotangent = cosine / sine * float(PI)
        r = x - apply("rint", x)
        return result - select(r < 0.0, -cotangent, cotangent), const(0.0, x.dtype)

    result, _ = iterate(lambda result, x: x < 0.0, reflect, (result, x))
    whole = equal(apply("trunc", x), x) & (x < 0.0)
    return select(whole, const(float("nan"), x.dtype), select_finite(x, result))


def nextafter(x: Expr, y: Expr) -> Expr:
    """The neighbour of x in the direction of y, in a format of any width."""
    if x.dtype in narrow.FORMATS:
        return narrow.nextafter(narrow.FORMATS[x.dtype], x, y)
    f = format_of(x.dtype)
    i = bits(x)
    away = (y > x) ^ (i < 0)
    moved = select(away, i + 1, i - 1)
    smallest = (bits(y) & const(-(1 << (8 * x.dtype.itemsize - 1)), f.int)) | 1
    moved = bitcast(select(equal(x, 0.0), smallest, moved), x.dtype)
    moved = select(equal(x, y), y, moved)
    return select(differ(x, x) | differ(y, y), x + y, moved)


REAL = (float("-inf"), float("inf"))
FUNCTIONS = (
    Function("lgamma", lgamma, domain=((0.0, float("inf")),), ulp=(4.0, 4.0), text="log|gamma(x)|"),
    Function(
        "digamma",
        digamma,
        domain=((0.0, float("inf")),),
        ulp=(4.0, 4.0),
        text="derivative of lgamma",
    ),
    Function(
        "nextafter",
        nextafter,
        2,
        (REAL, REAL),
        (0.0, 0.0),
        "the next float towards y",
        any_float=True,
    ),
)
