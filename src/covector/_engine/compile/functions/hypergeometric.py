"""Kummer's and Gauss's hypergeometric functions of real numbers, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

from covector._engine.compile.functions.arithmetic import (
    absolute,
    quick_two_sum,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.incomplete_gamma import in_double
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, call, const, equal, iterate, select

MOST = 1e5  # terms; what has not converged then is NaN


def terms(
    x: Expr, active: Expr, ratio: Callable[[Expr], Expr], tolerance: float, falling: bool = False
) -> Expr:
    """1 + r_0 + r_0 r_1 + ...; of a series that only falls at first, up to its smallest term."""
    zero, one = const(0.0, x.dtype), const(1.0, x.dtype)

    def step(k: Expr, term: Expr, total: Expr, change: Expr) -> tuple[Expr, ...]:
        new = term * ratio(k)
        over = (absolute(new) > absolute(term)) if falling else (k < 0.0)
        kept = select(over, zero, new)
        return k + 1.0, kept, total + kept, absolute(kept)

    def going(k: Expr, term: Expr, total: Expr, change: Expr) -> Expr:
        open_ = (change > absolute(total) * (tolerance * 0.25)) & (absolute(total) < math.inf)
        return active & open_ & (k < MOST)

    k, _, total, _ = iterate(going, step, (zero, one, one, one))
    return select(k < MOST, total, const(math.nan, one.dtype))


Pair = tuple[Expr, Expr]  # a number as the sum of two: twice the digits


def _pair(high: Expr, low: Expr) -> Pair:
    """A sum of two; beyond the largest number it is infinite, and has no rest."""
    total, rest = quick_two_sum(high, low)
    whole = absolute(high) < math.inf
    return select(whole, total, high), select(whole, rest, const(0.0, high.dtype))


def _times(x: Pair, y: Pair) -> Pair:
    high, low = two_product(x[0], y[0])
    return _pair(high, low + (x[0] * y[1] + x[1] * y[0]))


def _over(x: Pair, y: Pair) -> Pair:
    first = x[0] / y[0]
    high, low = two_product(first, y[0])
    rest = ((x[0] - high) - low) + x[1] - first * y[1]
    return _pair(first, rest / y[0])


def _plus(x: Pair, y: Pair) -> Pair:
    high, low = two_sum(x[0], y[0])
    return _pair(high, low + (x[1] + y[1]))


def careful_terms(a: Expr, b: Pair, c: Expr, z: Pair, active: Expr, tolerance: float) -> Expr:
    """sum((a)_k (b)_k z^k / ((c)_k k!)) with twice the digits, which terms of both signs cancel."""
    zero, one = const(0.0, c.dtype), const(1.0, c.dtype)

    def step(k: Expr, term: Expr, low: Expr, total: Expr, rest: Expr) -> tuple[Expr, ...]:
        new = _times(_times((term, low), two_sum(a, k)), _plus(b, (k, zero)))
        new = _over(_times(new, z), two_sum(c, k))
        new = _over(new, (k + 1.0, zero))
        return k + 1.0, *new, *_plus((total, rest), new)

    def going(k: Expr, term: Expr, low: Expr, total: Expr, rest: Expr) -> Expr:
        open_ = (absolute(term) > absolute(total) * (tolerance * 0.25)) & (
            absolute(total) < math.inf
        )
        return active & open_ & (k < MOST)

    k, _, _, total, _ = iterate(going, step, (zero, one, zero, one, zero))
    return select(k < MOST, total, const(math.nan, one.dtype))


def sign_of_gamma(x: Expr) -> Expr:
    """The sign of the gamma function: at negative numbers it changes at each whole one."""
    half = apply("floor", x) * 0.5
    even = equal(apply("floor", half), half)
    one = const(1.0, x.dtype)
    return select((x > 0.0) | even, one, -one)


def is_pole(x: Expr) -> Expr:
    """Whether the gamma function has a pole."""
    return (x <= 0.0) & equal(apply("trunc", x), x)


def hyp1f1(a: Expr, b: Expr, x: Expr, tolerance: float) -> Expr:
    """sum((a)_k x^k / ((b)_k k!)): with positive x by Kummer's transformation, and by its expansion at -infinity."""
    negative, far = x < 0.0, x < -60.0
    first, y = select(negative, b - a, a), absolute(x)
    total = terms(
        x,
        apply("not", far) & (y < 1e4),
        lambda k: (first + k) * y / ((b + k) * (k + 1.0)),
        tolerance,
    )
    near = select(negative, call("exp", x) * total, total)
    safe = select(far, y, const(100.0, x.dtype))
    tail = terms(
        x, far, lambda k: (a + k) * (a - b + 1.0 + k) / ((k + 1.0) * safe), tolerance, True
    )
    size = call("exp", call("lgamma", b) - call("lgamma", b - a) - a * call("log", safe))
    distant = sign_of_gamma(b) * sign_of_gamma(b - a) * size * tail
    distant = select(is_pole(b - a), const(0.0, x.dtype), distant)
    result = select(far, distant, near)
    return select(is_pole(b), const(math.inf, x.dtype), result)


def hyp2f1(a: Expr, b: Expr, c: Expr, x: Expr, tolerance: float) -> Expr:
    """sum((a)_k (b)_k x^k / ((c)_k k!)) for x < 1, by Pfaff's transformation if x is negative; at 1 Gauss's sum."""
    negative, one = x < 0.0, const(1.0, x.dtype)
    inside = (x < 1.0) & (x > -math.inf)
    safe = select(inside, x, const(0.0, x.dtype))
    zero = const(0.0, x.dtype)
    turned, other = _over((safe, zero), two_sum(safe, -one)), two_sum(c, -b)
    z = select(negative, turned[0], safe), select(negative, turned[1], zero)
    second = select(negative, other[0], b), select(negative, other[1], zero)
    total = careful_terms(a, second, c, z, inside & (z[0] < 1.0), tolerance)
    total = select(negative, call("exp", -a * call("log1p", -safe)) * total, total)
    rest = c - a - b
    size = call("lgamma", c) + call("lgamma", rest) - call("lgamma", c - a) - call("lgamma", c - b)
    signs = sign_of_gamma(c) * sign_of_gamma(c - a) * sign_of_gamma(c - b)
    whole = select(is_pole(c - a) | is_pole(c - b), const(0.0, x.dtype), signs * call("exp", size))
    infinite = const(math.inf, x.dtype)
    edge = select(equal(x, one) & (rest > 0.0), whole, infinite)
    result = select(inside, total, select(x >= 1.0, edge, const(math.nan, x.dtype)))
    return select(is_pole(c), infinite, result)


REAL = (-20.0, 20.0)
FUNCTIONS = (
    Function("hyp1f1", in_double(hyp1f1), 3, (REAL,) * 3, (2.0, 4096.0), "Kummer's function"),
    Function("hyp2f1", in_double(hyp2f1), 4, (REAL,) * 4, (2.0, 64.0), "Gauss's function"),
)
