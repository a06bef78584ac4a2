"""The Hurwitz zeta function and the polygamma functions, all in float64."""

from __future__ import annotations

import math
from fractions import Fraction

from covector._engine.compile.functions.incomplete_gamma import in_double
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, apply, call, const, differ, equal, iterate, select

TERMS = 10  # summed one by one before the tail
LONGEST = 1e5  # terms for a negative q

# B_2k / (2k)!
BERNOULLI = [
    float(Fraction(n, d) / math.factorial(2 * k + 2))
    for k, (n, d) in enumerate(
        [
            (1, 6),
            (-1, 30),
            (1, 42),
            (-1, 30),
            (5, 66),
            (-691, 2730),
            (7, 6),
            (-3617, 510),
            (43867, 798),
            (-174611, 330),
            (854513, 138),
            (-236364091, 2730),
        ]
    )
]


def zeta(s: Expr, q: Expr, tolerance: float) -> Expr:
    """sum((q + k)^-s, k >= 0), by Euler and Maclaurin's formula after the first terms.

    At least ten terms, and all with q + k < 10: a negative q works for an integer s.
    """
    zero, one, nan = (const(v, s.dtype) for v in (0.0, 1.0, float("nan")))
    whole_q, whole_s = equal(apply("trunc", q), q), equal(apply("trunc", s), s)
    usual = (s > 1.0) & ((q > 0.0) | (whole_s & apply("not", whole_q) & (q > -LONGEST)))
    usual = usual & (s < float("inf")) & (q < float("inf"))
    exponent, start = select(usual, -s, -one - one), select(usual, q, one)

    def step(k: Expr, w: Expr, total: Expr) -> tuple[Expr, ...]:
        return k + 1.0, w + 1.0, total + call("pow", w, exponent)

    def going(k: Expr, w: Expr, total: Expr) -> Expr:
        return usual & ((k < float(TERMS)) | (w < float(TERMS)))

    _, w, total = iterate(going, step, (zero, start, zero))
    power = call("pow", w, exponent)
    result = total + power * w / (s - 1.0) + power * 0.5
    inverse = 1.0 / w
    square = inverse * inverse
    factor, tail = s * inverse, zero
    for k, b in enumerate(BERNOULLI):
        tail = apply("fma", factor, const(b, s.dtype), tail)
        factor = factor * ((s + (2.0 * k + 1.0)) * (s + (2.0 * k + 2.0)) * square)
    result = apply("fma", power, tail, result)
    infinite = equal(s, 1.0) | ((s > 1.0) & (q <= 0.0) & whole_q)
    far = select(q > 1.0, zero, select(equal(q, 1.0), one, float("inf")))  # s is infinite
    edge = select(equal(s, float("inf")) & (q > 0.0), far, nan)
    edge = select(equal(q, float("inf")) & (s > 1.0), zero, edge)
    edge = select(infinite, const(float("inf"), s.dtype), edge)
    return select(usual, result, edge)


def polygamma(n: Expr, x: Expr, tolerance: float) -> Expr:
    """The n-th derivative of digamma: (-1)^(n + 1) n! zeta(n + 1, x) for whole n."""
    one, nan = const(1.0, n.dtype), const(float("nan"), n.dtype)
    valid = (n >= 0.0) & equal(apply("trunc", n), n)
    factorial = iterate(
        lambda k, product: valid & (k <= n) & (k < 200.0),
        lambda k, product: (k + 1.0, product * k),
        (one, one),
    )[1]
    half = n * 0.5
    odd = differ(apply("trunc", half), half)
    size = factorial * zeta(n + 1.0, x, tolerance)
    result = select(equal(n, 0.0), call("digamma", x), select(odd, size, -size))
    return select(valid, result, nan)


FUNCTIONS = (
    Function(
        "zeta",
        in_double(zeta),
        2,
        ((1.0, float("inf")), (0.0, float("inf"))),
        (2.0, 8.0),
        "Hurwitz zeta",
    ),
    Function(
        "polygamma",
        in_double(polygamma),
        2,
        ((0.0, 60.0), (0.0, float("inf"))),
        (2.0, 16.0),
        "n-th derivative of digamma",
    ),
)
