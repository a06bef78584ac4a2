"""The incomplete gamma functions, their derivative by a, and the derivative of a gamma sample.

Three ways, chosen by lane, all in float64: Temme's uniform expansion where x is near a large a, the power
series where x is below a, the continued fraction where it is above.  The last two are loops that no lane
enters without need.  Everything is relative to e^-E / sqrt(2 pi a), E = a (s - log(1 + s)), s = x / a - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from covector._engine.base.record import record
from covector._engine.compile.functions import coefficients
from covector._engine.compile.functions.arithmetic import (
    FLOAT64,
    absolute,
    at_least,
    at_most,
    fitted,
    is_single,
    polynomial,
    sqrt,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.gamma import HALF_LOG_TWO_PI
from covector._engine.compile.functions.power import log_pair
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import (
    Expr,
    apply,
    call,
    const,
    convert,
    equal,
    fma,
    iterate,
    select,
)

Part = Literal["lower", "upper", "slope", "sample"]
NEAR = 0.29  # |x / a - 1| up to which log(1 + s)'s own polynomial serves
LARGE = 20.0  # a from which Temme's expansion serves


def in_double(function: Callable[..., Expr]) -> Callable[..., Expr]:
    """The function for float32 too: computed in float64, with the tolerance of float32."""

    def either(*operands: Expr) -> Expr:
        if not is_single(operands[0]):
            return function(*operands, 2.0**-54)
        wide = [convert(x, FLOAT64.dtype) for x in operands]
        return convert(function(*wide, 2.0**-32), operands[0].dtype)

    return either


def excess(s: Expr) -> Expr:
    """s - log(1 + s), relative to itself."""
    small = absolute(s) < NEAR
    bounded = select(small, s, const(0.0, s.dtype))
    near = -(bounded * bounded) * polynomial(bounded, coefficients.LOG_64)
    return select(small, near, s - call("log1p", s))


def stirling_error(a: Expr) -> Expr:
    """lgamma(a) - (a - 1/2) log(a) + a - log(2 pi) / 2, for a > 0."""
    large = a >= 7.5
    inverse = 1.0 / select(large, a, const(8.0, a.dtype))
    far = fitted(inverse * inverse, "STIRLING") * inverse
    b = select(large, const(1.0, a.dtype), a)
    near = call("lgamma", b) - fma(b - 0.5, call("log", b), float(HALF_LOG_TWO_PI) - b)
    return select(large, far, near)


def log_ratio(weight: Expr, x: Expr, x_rest: Expr, a: Expr) -> tuple[Expr, Expr]:
    """weight times log(x / a), for positive x, with a rest, and a: in two parts, though x / a is rounded."""
    ratio = at_most(at_least(x / a, 1e-300), 1e300)
    missed = (fma(-ratio, a, x) + x_rest) / x
    high, low = log_pair(ratio)
    product, rest = two_product(weight, high)
    return product, fma(weight, low + missed, rest)


@record
class Setting:
    """What the three ways share, for one pair (a, x)."""

    a: Expr
    x: Expr
    s: Expr  # x / a - 1
    error: Expr  # stirling_error(a)
    scale: Expr  # x^a e^-x / gamma(a + 1)
    logarithm: Expr  # log(x)
    tolerance: float


def setting(a: Expr, x: Expr, tolerance: float) -> Setting:
    """The quantities of Setting; x^a e^-x with its exponent in two parts where x is far from a."""
    s = (x - a) / a
    error = stirling_error(a)
    near = absolute(s) < NEAR
    size = -(a * excess(select(near, s, const(0.0, a.dtype)))) - error
    root = sqrt(a * (2.0 * math.pi))
    # a log(x / a) + (a - x) in two parts
    product, rest = log_ratio(a, select(near, a, x), const(0.0, a.dtype), a)
    difference, missed = two_sum(a, -x)
    total, lost = two_sum(product, difference)
    total, more = two_sum(total, -error)
    far = call("exp", total)
    far = fma(far, more + (lost + (missed + rest)), far)
    scale = select(near, call("exp", size), far) / root
    return Setting(a, x, s, error, scale, call("log", x), tolerance)


def temme_series(c: Setting, eta: Expr, slope: bool) -> tuple[Expr, Expr]:
    """S = sum c_k(eta) a^-k and, if asked for, dS/da; terms below the tolerance are left out."""
    inverse = 1.0 / c.a
    table = []
    for k, row in enumerate(coefficients.TEMME):
        kept = [n for n, v in enumerate(row) if abs(v) * 0.37**n / LARGE**k > c.tolerance / 100]
        if kept:
            table.append(row[: kept[-1] + 1])
    zero = const(0.0, c.a.dtype)
    total = by_eta = by_inverse = zero
    for row in reversed(table):
        by_inverse = fma(by_inverse, inverse, total) if slope else zero
        by_eta = fma(by_eta, inverse, polynomial(eta, derivative(row))) if slope else zero
        total = fma(total, inverse, polynomial(eta, row))
    if not slope:
        return total, zero
    # eta = s root, and d eta / da = -1 / (a root)
    root = sqrt(polynomial(c.s, coefficients.LOG_64) * -2.0)
    return total, -(by_eta / root + by_inverse * inverse) * inverse


def derivative(row: tuple[float, ...]) -> list[float]:
    """The coefficients of a polynomial's derivative."""
    return [n * v for n, v in enumerate(row)][1:] or [0.0]


def temme(c: Setting, part: Part) -> Expr:
    """Near a large a: erfc(-+eta sqrt(a / 2)) / 2 and what the expansion adds."""
    root = sqrt(polynomial(c.s, coefficients.LOG_64) * -2.0)
    eta = c.s * root
    total, by_a = temme_series(c, eta, part in ("slope", "sample"))
    tail = c.scale * call("exp", c.error)  # e^-E / sqrt(2 pi a)
    if part in ("lower", "upper"):
        z = eta * sqrt(c.a * 0.5)
        if part == "lower":
            return fma(-tail, total, 0.5 * call("erfc", -z))
        return fma(tail, total, 0.5 * call("erfc", z))
    # d/da of the first part is tail (eta / 2 - 1 / root), of log(tail) it is s - eta^2 / 2 - 1 / (2 a)
    change = c.s - eta * eta * 0.5 - 0.5 / c.a
    factor = (eta * 0.5 - 1.0 / root) - fma(change, total, by_a)
    if part == "slope":
        return tail * factor
    return -(c.x / c.a) * call("exp", c.error) * factor


def power_series(c: Setting, active: Expr, slope: bool) -> tuple[Expr, Expr]:
    """S = 1 + x/(a+1) + x^2/((a+1)(a+2)) + ... and dS/da, where active."""
    one, zero = const(1.0, c.a.dtype), const(0.0, c.a.dtype)
    limit = const(c.tolerance, c.a.dtype)

    def going(n: Expr, term: Expr, total: Expr, by_a: Expr, total_by_a: Expr) -> Expr:
        more = term > limit * total
        if slope:
            more = more | (absolute(by_a) > limit * absolute(total_by_a))
        return active & more & (n < 4000.0)

    def step(n: Expr, term: Expr, total: Expr, by_a: Expr, total_by_a: Expr) -> tuple[Expr, ...]:
        n = n + 1.0
        inverse = 1.0 / (c.a + n)
        term = term * c.x * inverse
        if slope:
            by_a = fma(by_a, c.x, -term) * inverse
        return n, term, total + term, by_a, total_by_a + by_a

    state = iterate(going, step, (zero, one, one, zero, zero))
    return state[2], state[4]


def fraction(c: Setting, active: Expr, slope: bool) -> tuple[Expr, Expr]:
    """h = 1/(x + 1 - a - 1 (1 - a)/(x + 3 - a - ...)) and dh/da, its length by Lentz's method, where active."""
    one, zero = const(1.0, c.a.dtype), const(0.0, c.a.dtype)
    limit = c.tolerance * 4

    def going(n: Expr, f: Expr, up: Expr, down: Expr, change: Expr, *slopes: Expr) -> Expr:
        more = absolute(change - 1.0) > limit
        if slope:
            more = more | (absolute(slopes[3]) > absolute(slopes[0]) * limit)
        return active & more & (n < 4000.0)

    def step(
        n: Expr, f: Expr, up: Expr, down: Expr, change: Expr, *slopes: Expr
    ) -> tuple[Expr, ...]:
        n = n + 1.0
        top = n * (c.a - n)
        bottom = (c.x - c.a) + (n + n + 1.0)
        new_down = 1.0 / fma(top, down, bottom)
        ratio = top / up
        new_up = bottom + ratio
        change = new_up * new_down
        if slope:
            f_slope, up_slope, down_slope, _ = slopes
            # d top / da = n, d bottom / da = -1
            down_slope = -(new_down * new_down) * (fma(n, down, top * down_slope) - 1.0)
            up_slope = (n - ratio * up_slope) / up - 1.0
            added = f * fma(up_slope, new_down, new_up * down_slope)
            slopes = (
                fma(f_slope, change, added),
                up_slope,
                down_slope,
                fma(f_slope, change - 1.0, added),
            )
        return (n, f * change, new_up, new_down, change, *slopes)

    first = (c.x - c.a) + 1.0
    first = select(active, first, one)
    start = (zero, first, first, zero, const(2.0, c.a.dtype))
    slopes = (-one, -one, zero, one) if slope else ()
    state = iterate(going, step, (*start, *slopes))
    if slope:
        h = 1.0 / state[1]
        return h, -state[5] * h * h

    # Again from where it ends: there errors of a step shrink in all that follow, and do not add up.
    def back(n: Expr, below: Expr) -> tuple[Expr, ...]:
        return n - 1.0, fma(n - 1.0, 2.0, first) + n * (c.a - n) / below

    end = fma(state[0], 2.0, first)
    return 1.0 / iterate(lambda n, below: active & (n > 0.0), back, (state[0], end))[1], zero


def small_upper(a: Expr, x: Expr, active: Expr, tolerance: float) -> Expr:
    """Q(a, x) of small a and x, where 1 - P cancels.

    Q = 1 - (1 + u)(1 - v) with x^a / gamma(1 + a) = 1 + u by expm1, and 1 - v = a sum (-x)^k / ((a + k) k!).
    """
    zero, one = const(0.0, a.dtype), const(1.0, a.dtype)

    def step(k: Expr, term: Expr, total: Expr) -> tuple[Expr, ...]:
        k = k + 1.0
        term = -term * x / k
        return k, term, total + term / (a + k)

    def going(k: Expr, term: Expr, total: Expr) -> Expr:
        return active & (absolute(term) > absolute(total) * tolerance) & (k < 60.0)

    state = iterate(going, step, (zero, one, zero))
    v = -(a * state[2])
    u = call("expm1", a * call("log", x) - call("lgamma", a + 1.0))
    return fma(u, v, v) - u


def incomplete(a: Expr, x: Expr, part: Part, tolerance: float) -> Expr:
    """One of the functions for positive, finite a and x."""
    c = setting(a, x, tolerance)
    slope = part in ("slope", "sample")
    central = (a > LARGE) & (absolute(c.s) < NEAR)
    below = (x < a) | (x < 1.1)
    series_lanes = below & apply("not", central)
    fraction_lanes = apply("not", below) & apply("not", central)
    total, total_slope = power_series(c, series_lanes, slope)
    h, h_slope = fraction(c, fraction_lanes, slope)
    # P = scale total, and Q = scale a h
    match part:
        case "lower":
            outer = select(below, c.scale * total, 1.0 - c.scale * a * h)
        case "upper":
            tiny = (a < 1.0) & (x < 1.1)
            near = select(tiny, small_upper(a, x, tiny, tolerance), 1.0 - c.scale * total)
            outer = select(below, near, c.scale * a * h)
        case _:
            change = c.logarithm - call("digamma", select(below, a + 1.0, a))
            series_slope = fma(total, change, total_slope)
            fraction_slope = fma(h, change, h_slope)
            if part == "slope":
                outer = c.scale * select(below, series_slope, -(a * fraction_slope))
            else:
                outer = c.x * select(below, -(series_slope / a), fraction_slope)
    one_lane = const(50.0, a.dtype)
    inside = Setting(
        select(central, a, one_lane),
        x,
        select(central, c.s, const(0.0, a.dtype)),
        c.error,
        c.scale,
        c.logarithm,
        tolerance,
    )
    return select(central, temme(inside, part), outer)


def guarded(a: Expr, x: Expr, part: Part, tolerance: float) -> Expr:
    """`incomplete` with what the function is at 0, infinity and outside its domain."""
    one, zero, nan = (const(v, a.dtype) for v in (1.0, 0.0, float("nan")))
    infinity = float("inf")
    usual = (a > 0.0) & (a < infinity) & (x > 0.0) & (x < infinity)
    result = incomplete(select(usual, a, one), select(usual, x, one), part, tolerance)
    at_zero, at_infinity = (zero, one) if part == "lower" else (one, zero)
    if part in ("slope", "sample"):
        at_zero = at_infinity = zero
    edge = select(equal(x, 0.0) | equal(a, infinity), at_zero, at_infinity)
    valid = (a >= 0.0) & (x >= 0.0)
    both = (equal(a, 0.0) & equal(x, 0.0)) | (equal(a, infinity) & equal(x, infinity))
    edge = select(valid & apply("not", both), edge, nan)
    return select(usual, result, edge)


def igamma(a: Expr, x: Expr, tolerance: float) -> Expr:
    """The regularised lower incomplete gamma function P(a, x)."""
    return guarded(a, x, "lower", tolerance)


def igammac(a: Expr, x: Expr, tolerance: float) -> Expr:
    """The regularised upper incomplete gamma function Q(a, x)."""
    return guarded(a, x, "upper", tolerance)


def igamma_grad_a(a: Expr, x: Expr, tolerance: float) -> Expr:
    """The derivative of P(a, x) by a."""
    return guarded(a, x, "slope", tolerance)


def random_gamma_grad(a: Expr, x: Expr, tolerance: float) -> Expr:
    """How a sample x of the gamma distribution moves with a: -(dP/da) / (dP/dx)."""
    return guarded(a, x, "sample", tolerance)


POSITIVE = ((0.0, float("inf")),) * 2
LIMITS = (2.0, 600.0)
FUNCTIONS = (
    Function(
        "igamma", in_double(igamma), 2, POSITIVE, LIMITS, "regularised lower incomplete gamma"
    ),
    Function(
        "igammac", in_double(igammac), 2, POSITIVE, LIMITS, "regularised upper incomplete gamma"
    ),
    Function(
        "igamma_grad_a", in_double(igamma_grad_a), 2, POSITIVE, LIMITS, "derivative of igamma by a"
    ),
    Function(
        "random_gamma_grad", in_double(random_gamma_grad), 2, POSITIVE, LIMITS, "-(dP/da) / (dP/dx)"
    ),
)
