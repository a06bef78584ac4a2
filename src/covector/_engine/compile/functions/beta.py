"""The regularised incomplete beta function."""

from __future__ import annotations

import math

from covector._engine.compile.functions.arithmetic import absolute, sqrt, two_product, two_sum
from covector._engine.compile.functions.incomplete_gamma import (
    excess,
    in_double,
    log_ratio,
    stirling_error,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, call, const, equal, fma, iterate, select

Pair = tuple[Expr, Expr]


def front(a: Expr, b: Expr, x: Pair, y: Pair) -> Expr:
    """x^a y^b / B(a, b) with y = 1 - x, of which each has a rest, by the distance of x from a / (a + b).

    C. Loader, "Fast and accurate computation of binomial probabilities", 2000: the exponent is
    -(a D(x n / a) + b D(y n / b)) with n = a + b and D(u) = u - 1 - log(u), small near the mean.
    """
    n = two_sum(a, b)
    first, rest = two_product(b, x[0])
    second, more = two_product(a, y[0])
    distance, lost = two_sum(first, -second)
    lost = lost + ((rest - more) + fma(b, x[1], -(a * y[1])))
    of_a = deviation(a, x, n, distance, lost)
    of_b = deviation(b, y, n, -distance, -lost)
    exponent, missed = two_sum(of_a[0], of_b[0])
    errors = stirling_error(a) + stirling_error(b) - stirling_error(n[0])
    exponent, under = two_sum(exponent, errors)
    power = call("exp", -exponent)
    power = fma(power, -(under + (missed + (of_a[1] + of_b[1]))), power)
    return sqrt(a / n[0] * b / (2.0 * math.pi)) * power


def deviation(a: Expr, x: Pair, n: Pair, distance: Expr, lost: Expr) -> Pair:
    """a D(x n / a) in two parts, with x n - a, which is the better known near the mean, in two as well."""
    zero = const(0.0, a.dtype)
    s = (distance + lost) / a
    near = absolute(s) < 0.5
    product, rest = two_product(x[0], n[0])
    rest = fma(x[0], n[1], fma(x[1], n[0], rest))
    usual = near | apply("not", product > 0.0)  # x n may be too small for a float
    log, log_rest = log_ratio(a, select(usual, a, product), select(usual, zero, rest), a)
    far, missed = two_sum(distance, -log)
    small = a * excess(select(near, s, zero))
    return select(near, small, far), select(near, zero, missed + (lost - log_rest))


def fraction(a: Expr, b: Expr, x: Expr, active: Expr, tolerance: float) -> Expr:
    """The continued fraction 1/(1 + d_1/(1 + d_2/(1 + ...))) of the function, its length by Lentz's method.

    It is summed from its end, where errors of a step shrink in all that follow, and do not add up.
    """
    one = const(1.0, a.dtype)
    tiny = 1e-290

    def nonzero(v: Expr) -> Expr:
        return select(absolute(v) < tiny, const(tiny, a.dtype), v)

    def tops(m: Expr) -> tuple[Expr, Expr]:
        even = a + (m + m)
        first = m * (b - m) * x / ((even - 1.0) * even)
        return first, -(a + m) * (a + b + m) * x / (even * (even + 1.0))

    def advance(top: Expr, up: Expr, down: Expr) -> tuple[Expr, Expr]:
        return nonzero(1.0 + top / up), 1.0 / nonzero(fma(top, down, 1.0))

    def step(m: Expr, up: Expr, down: Expr, change: Expr) -> tuple[Expr, ...]:
        for top in tops(m):
            up, down = advance(top, up, down)
            change = up * down
        return m + 1.0, up, down, change

    def going(m: Expr, up: Expr, down: Expr, change: Expr) -> Expr:
        return active & (absolute(change - 1.0) > tolerance * 4) & (m < 10000.0)

    first = -(a + b) * x / (a + 1.0)
    start = (one, one, 1.0 / nonzero(1.0 + first), const(2.0, a.dtype))
    end = iterate(going, step, start)[0]

    def back(m: Expr, below: Expr) -> tuple[Expr, ...]:
        even, odd = tops(m)
        return m - 1.0, nonzero(1.0 + even / nonzero(1.0 + odd / below))

    below = iterate(lambda m, below: active & (m > 0.0), back, (end, one))[1]
    return 1.0 / nonzero(1.0 + first / below)


def betainc(a: Expr, b: Expr, x: Expr, tolerance: float) -> Expr:
    """I_x(a, b): the fraction on the side of the mean where it is short, its complement beyond."""
    one, zero, nan = (const(v, a.dtype) for v in (1.0, 0.0, float("nan")))
    infinity = float("inf")
    usual = (a > 0.0) & (a < infinity) & (b > 0.0) & (b < infinity) & (x > 0.0) & (x < 1.0)
    p, q, z = select(usual, a, one), select(usual, b, one), select(usual, x, const(0.5, a.dtype))
    y = 1.0 - z
    rest = (1.0 - y) - z
    swapped = z > (p + 1.0) / (p + q + 2.0)
    p, q, z, y = (
        select(swapped, q, p),
        select(swapped, p, q),
        select(swapped, y, z),
        select(swapped, z, y),
    )
    both = (z, select(swapped, rest, zero)), (y, select(swapped, zero, rest))
    part = front(p, q, *both) / p * fraction(p, q, z, usual, tolerance)
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
