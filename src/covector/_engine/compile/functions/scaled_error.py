"""What belongs to the error function: e^(x^2) erfc(x), the inverse of erfc, Dawson's integral."""

from __future__ import annotations

import math

from covector._engine.compile.functions.arithmetic import (
    absolute,
    at_least,
    at_most,
    copysign,
    fitted,
    sqrt,
    two_product,
)
from covector._engine.compile.functions.incomplete_gamma import in_double
from covector._engine.compile.functions.integrals import series, unless_nan
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, call, const, equal, fma, select

ROOT_PI = math.sqrt(math.pi)


def exp_of_square(x: Expr) -> Expr:
    """e^(x^2), with the square's rounding error taken in."""
    high, low = two_product(x, x)
    power = call("exp", high)
    return select(absolute(x) < 27.0, fma(power, low, power), power)


def erfcx(x: Expr, tolerance: float) -> Expr:
    """e^(x^2) erfc(x): for x from 0.48 to 27 the polynomial of erfc, without its exponential."""
    a = absolute(x)
    b = at_most(at_least(a, 0.48), 27.0)
    middle = (fitted((b - 4.0) / (b + 4.0), "ERFC") + 1.0) / (b + b + 1.0)
    inverse = 1.0 / at_least(a, 27.0)
    terms = [(-1) ** k * math.prod(range(1, 2 * k, 2)) / 2**k for k in range(7)]
    far = series(inverse * inverse, terms) * inverse * (1.0 / ROOT_PI)
    c = at_most(a, 0.48)
    near = exp_of_square(c) * call("erfc", c)
    positive = select(a < 0.48, near, select(a > 27.0, far, middle))
    return unless_nan(x, select(x < 0.0, 2.0 * exp_of_square(x) - positive, positive))


def erfc_inv(x: Expr, tolerance: float) -> Expr:
    """The y with erfc(y) = x: from erf_inv, for small x a rational guess and two of Halley's steps.

    The guess is 26.2.23 of M. Abramowitz, I. Stegun, "Handbook of mathematical functions", 1964.
    """
    small = (x < 0.25) & (x > 0.0)
    q = select(small, x, const(0.1, x.dtype))
    t = sqrt(call("log", q * 0.5) * -2.0)
    y = t - series(t, (2.515517, 0.802853, 0.010328)) / series(
        t, (1.0, 1.432788, 0.189269, 0.001308)
    )
    y = y * math.sqrt(0.5)
    for _ in range(2):
        # (erfc(y) - q) / the slope, both times e^(y^2)
        square, low = two_product(y, y)
        power = call("exp", call("log", q) + square)
        power = fma(power, low, power)
        error = (power - call("erfcx", y)) * (ROOT_PI / 2)
        y = y - error / fma(y, error, 1.0)
    usual = call("erf_inv", 1.0 - x)
    infinite = const(math.inf, x.dtype)
    return select(small, y, select(equal(x, 0.0), infinite, usual))


def dawsn(x: Expr, tolerance: float) -> Expr:
    """e^(-x^2) times the integral of e^(t^2) from 0 to x.

    By its series near 0 and at infinity, between them by sampling at steps of 1/4 (G. Rybicki, "Dawson's integral and
    the sampling theorem", 1989): e^(-(pi / 2h)^2) is what that leaves out.
    """
    a = absolute(x)
    h = 0.25
    b = at_most(a, 12.0)
    even = apply("rint", b * (0.5 / h)) * 2.0
    rest = b - even * h
    once = call("exp", rest * (2 * h))
    back = 1.0 / once
    up, down, up_step, down_step = once, back, once * once, back * back
    total = const(0.0, x.dtype)
    for n in range(1, 27, 2):
        share = up / (even + n) + down / (even - n)
        total = fma(share, math.exp(-((n * h) ** 2)), total)
        up, down = up * up_step, down * down_step
    middle = total * call("exp", -(rest * rest)) * (1.0 / ROOT_PI)
    c = at_most(a, 0.6)
    near = [(-2) ** k / math.prod(range(1, 2 * k + 2, 2)) for k in range(16)]
    inverse = 1.0 / at_least(a, 12.0)
    far = [math.prod(range(1, 2 * k, 2)) / 2.0**k for k in range(11)]
    result = select(a < 0.6, c * series(c * c, near), middle)
    result = select(a > 12.0, series(inverse * inverse, far) * inverse * 0.5, result)
    return unless_nan(x, copysign(result, x))


FUNCTIONS = (
    Function("erfcx", in_double(erfcx), 1, ((-26.0, 1e30),), (2.0, 8.0), text="e^(x^2) erfc(x)"),
    Function("erfc_inv", in_double(erfc_inv), 1, ((0.0, 2.0),), (2.0, 8.0), "inverse of erfc"),
    Function("dawsn", in_double(dawsn), ulp=(2.0, 16.0), text="Dawson's integral"),
)
