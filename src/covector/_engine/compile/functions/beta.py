"""The regularised incomplete beta function."""

from __future__ import annotations

import math

from covector._engine.compile.functions.arithmetic import absolute, sqrt, two_product, two_sum
from covector._engine.compile.functions.incomplete_gamma import excess, in_double, stirling_error
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, call, const, equal, fma, iterate, select


def front(a: Expr, b: Expr, x: Expr, y: Expr) -> Expr:
    """x^a y^b / B(a, b) with y = 1 - x, by the distance of x from a / (a + b).

    C. Loader, "Fast and accurate computation of binomial probabilities", 2000: the exponent is
    -(a D(x n / a) + b D(y n / b)) with n = a + b and D(u) = u - 1 - log(u), small near the mean.
    """
    n = a + b
    first, rest = two_product(b, x)
    second, more = two_product(a, y)
    distance, lost = two_sum(first, -second)
    distance = distance + (lost + (rest - more))
    exponent = a * deviation(x * n / a, distance / a) + b * deviation(y * n / b, -distance / b)
    exponent = exponent + (stirling_error(a) + stirling_error(b) - stirling_error(n))
    return sqrt(a / n * b / (2.0 * math.pi)) * call("exp", -exponent)


def deviation(u: Expr, s: Expr) -> Expr:
    """u - 1 - log(u) with s = u - 1, which is the better known of the two near 1."""
    near = absolute(s) < 0.5
    return select(near, excess(select(near, s, const(0.0, s.dtype))), s - call("log", u))


def fraction(a: Expr, b: Expr, x: Expr, active: Expr, tolerance: float) -> Expr:
    """The continued fraction 1/(1 + d_1/(1 + d_2/(1 + ...))) of the function, by Lentz's method."""
    one = const(1.0, a.dtype)
    tiny = 1e-290

    def nonzero(v: Expr) -> Expr:
        return select(absolute(v) < tiny, const(tiny, a.dtype), v)

    def advance(top: Expr, up: Expr, down: Expr) -> tuple[Expr, Expr]:
        return nonzero(1.0 + top / up), 1.0 / nonzero(fma(top, down, 1.0))

    def step(m: Expr, f: Expr, up: Expr, down: Expr, change: Expr) -> tuple[Expr, ...]:
        even = a + (m + m)
        up, down = advance(m * (b - m) * x / ((even - 1.0) * even), up, down)
        f = f * (up * down)
        up, down = advance(-(a + m) * (a + b + m) * x / (even * (even + 1.0)), up, down)
        change = up * down
        return m + 1.0, f * change, up, down, change

    def going(m: Expr, f: Expr, up: Expr, down: Expr, change: Expr) -> Expr:
        return active & (absolute(change - 1.0) > tolerance * 4) & (m < 10000.0)

    down = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0))
    return iterate(going, step, (one, down, one, down, const(2.0, a.dtype)))[1]


def betainc(a: Expr, b: Expr, x: Expr, tolerance: float) -> Expr:
    """I_x(a, b): the fraction on the side of the mean where it is short, its complement beyond."""
    one, zero, nan = (const(v, a.dtype) for v in (1.0, 0.0, float("nan")))
    infinity = float("inf")
    usual = (a > 0.0) & (a < infinity) & (b > 0.0) & (b < infinity) & (x > 0.0) & (x < 1.0)
    p, q, z = select(usual, a, one), select(usual, b, one), select(usual, x, const(0.5, a.dtype))
    y = 1.0 - z
    swapped = z > (p + 1.0) / (p + q + 2.0)
    p, q, z, y = (
        select(swapped, q, p),
        select(swapped, p, q),
        select(swapped, y, z),
        select(swapped, z, y),
    )
    part = front(p, q, z, y) / p * fraction(p, q, z, usual, tolerance)
    result = select(swapped, 1.0 - part, part)
    edge = select((x >= 0.0) & (x <= 1.0) & (a >= 0.0) & (b >= 0.0), zero, nan)
    high = equal(x, 1.0) | equal(a, 0.0) | equal(b, infinity)
    low = equal(x, 0.0) | equal(b, 0.0) | equal(a, infinity)
    edge = select(high & apply("not", low | (x < 0.0)), edge + 1.0, edge)
    undefined = (equal(a, 0.0) & equal(b, 0.0)) | (equal(a, infinity) & equal(b, infinity))
    edge = select(equal(x, 1.0) & (a > 0.0) & (b >= 0.0), one, edge)
    edge = select(equal(x, 0.0) & (a > 0.0) & (b > 0.0), zero, edge)
    edge = select(undefined, nan, edge)
    return select(usual, result, edge)


POSITIVE = (0.0, float("inf"))
FUNCTIONS = (
    Function(
        "betainc",
        in_double(betainc),
        3,
        (POSITIVE, POSITIVE, (0.0, 1.0)),
        (2.0, 600.0),
        "regularised incomplete beta",
    ),
)
