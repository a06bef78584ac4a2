"""Exponential, sine, cosine and Fresnel integrals, the dilogarithm, Owen's T: all in float64.

Power series near 0, Lentz's continued fractions far away (A. Thompson, A. Barnett, "Coulomb and Bessel functions of
complex arguments and order", 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from covector._engine.compile.functions.arithmetic import (
    absolute,
    at_least,
    at_most,
    copysign,
    two_product,
)
from covector._engine.compile.functions.incomplete_gamma import in_double
from covector._engine.compile.functions.table import Function, Interval
from covector._engine.compile.functions.zeta import BERNOULLI
from covector._engine.ir.scalar import Expr, apply, call, const, equal, fma, iterate, select

GAMMA = 0.57721566490153286061
HALF_PI = math.pi / 2
TINY = 1e-300
MOST = 500.0  # steps of a series or a fraction
Pair = tuple[Expr, Expr]


def series(x: Expr, terms: Sequence[float]) -> Expr:
    """The polynomial with these coefficients, the lowest power first."""
    total = const(terms[-1], x.dtype)
    for c in terms[-2::-1]:
        total = fma(total, x, c)
    return total


def unless_nan(x: Expr, result: Expr) -> Expr:
    """The result; NaN where x is."""
    return select(equal(x, x), result, x)


def log_if_positive(x: Expr) -> Expr:
    """log(x), 0 where there is none."""
    return call("log", select(x > 0.0, x, const(1.0, x.dtype)))


# ------------------------------------------------------------------------------ exponential integrals


def expn(n: Expr, x: Expr, tolerance: float) -> Expr:
    """E_n(x) = the integral of e^(-xt) / t^n over t > 1, for whole n >= 0 and x >= 0."""
    zero, one, infinite = (const(v, x.dtype) for v in (0.0, 1.0, math.inf))
    valid = (n >= 0.0) & equal(apply("trunc", n), n) & (x >= 0.0)
    near = valid & (x <= 1.0) & (x > 0.0) & (n >= 1.0)
    far = valid & (x > 1.0) & (x < 800.0)
    before = n - 1.0
    logarithm = log_if_positive(x)
    psi = call("digamma", at_least(n, 1.0))

    def term(k: Expr, power: Expr, total: Expr) -> tuple[Expr, ...]:
        k = k + 1.0
        power = -power * x / k
        at = equal(k, before)
        usual = -power / select(at, one, k - before)
        return k, power, total + select(at, power * (psi - logarithm), usual)

    def more(k: Expr, power: Expr, total: Expr) -> Expr:
        open_ = (absolute(power) > absolute(total) * (tolerance * 0.1)) | (k <= before)
        return near & open_ & (k < MOST)

    first = select(equal(n, 1.0), psi - logarithm, 1.0 / select(equal(n, 1.0), one, before))
    total = iterate(more, term, (zero, one, first))[2]

    # The fraction from its end, where an error of a step shrinks in all that follow, as from its start it does not.
    start = select(far, x, one) + n

    def step(k: Expr, below: Expr) -> tuple[Expr, ...]:
        return k - 1.0, fma(k - 1.0, 2.0, start) - k * (before + k) / below

    def going(k: Expr, below: Expr) -> Expr:
        return far & (k > 0.0)

    steps = apply("ceil", select(far, 130.0 / select(far, x, one), zero)) + 6.0
    h = 1.0 / iterate(going, step, (steps, fma(steps, 2.0, start)))[1]
    decay = call("exp", -x)
    result = select(x > 1.0, select(far, h * decay, zero), total)
    result = select(equal(n, 0.0) & (x <= 1.0), decay / x, result)
    at_zero = select(n > 1.0, 1.0 / select(n > 1.0, before, one), infinite)
    result = select(equal(x, 0.0), at_zero, result)
    return select(valid, result, const(math.nan, x.dtype))


def expi(x: Expr, tolerance: float) -> Expr:
    """The principal value of the integral of e^t / t up to x."""
    zero, one = const(0.0, x.dtype), const(1.0, x.dtype)
    near = (x > 0.0) & (x <= 40.0)
    far = (x > 40.0) & (x < 720.0)

    def term(k: Expr, power: Expr, total: Expr) -> tuple[Expr, ...]:
        power = power * x / k
        return k + 1.0, power, total + power / k

    def more(k: Expr, power: Expr, total: Expr) -> Expr:
        return near & (power > total * (tolerance * 0.1)) & (k < MOST)

    total = iterate(more, term, (one, one, zero))[2]
    usual = total + (log_if_positive(x) + GAMMA)
    # Around its zero, from the difference to it: the sum of (x^k - r^k) / (k k!) is (x - r) times one of all x^i r^j.
    root = 0.37250741078136663446
    apart = (x - root) - 1.3140183414386028e-17
    mixed, power, fold = one, const(root, x.dtype), one
    for k in range(2, 19):
        mixed = fma(mixed, x, power)
        fold = fma(mixed, 1.0 / (k * math.factorial(k)), fold)
        power = power * root
    around = fma(apart, fold, call("log1p", apart / root))
    usual = select((x > 0.2) & (x < 0.7), around, usual)

    def falling(k: Expr, part: Expr, whole: Expr) -> tuple[Expr, ...]:
        part = part * k / x
        return k + 1.0, part, whole + part

    def shrinks(k: Expr, part: Expr, whole: Expr) -> Expr:
        return far & (part > tolerance * 0.1) & (k < x)

    whole = iterate(shrinks, falling, (one, one, one))[2]
    root_of = call("exp", x * 0.5)  # its square may be infinite where the quotient is not
    large = root_of * (root_of / x * whole)
    result = select(x > 40.0, select(far, large, const(math.inf, x.dtype)), usual)
    result = select(x < 0.0, -call("expn", one, -x), result)
    return unless_nan(x, select(equal(x, 0.0), const(-math.inf, x.dtype), result))


# --------------------------------------------------------------------- sine, cosine, Fresnel integrals


def complex_fraction(
    active: Expr, first: Pair, numerator: Callable[[Expr], Expr], more: float, tolerance: float
) -> Pair:
    """1 / (b + a_1 / (b + more + a_2 / ...)), where `first` is b and a_k real; only for active lanes."""
    zero, one = const(0.0, first[0].dtype), const(1.0, first[0].dtype)

    def inverse(re: Expr, im: Expr) -> Pair:
        size = 1.0 / fma(re, re, im * im)
        return re * size, -im * size

    def step(
        k: Expr, b: Expr, c: Expr, ci: Expr, d: Expr, di: Expr, h: Expr, hi: Expr, apart: Expr
    ):
        k, b = k + 1.0, b + more
        a = numerator(k)
        d, di = inverse(fma(a, d, b), fma(a, di, first[1]))
        c, ci = inverse(c, ci)
        c, ci = fma(a, c, b), fma(a, ci, first[1])
        re, im = c * d - ci * di, c * di + ci * d
        apart = absolute(re - 1.0) + absolute(im)
        return k, b, c, ci, d, di, h * re - hi * im, h * im + hi * re, apart

    def going(*state: Expr) -> Expr:
        return active & (state[8] > tolerance) & (state[0] < MOST)

    start = inverse(*first)
    huge = const(1e150, zero.dtype)
    out = iterate(going, step, (zero, first[0], huge, zero, *start, *start, one))
    return out[6], out[7]


def sine_and_cosine(x: Expr, tolerance: float) -> tuple[Expr, Expr, Expr]:
    """Of |x|: the integral of sin(t) / t from 0, that of (cos(t) - 1) / t plus log |x| + gamma, |x|."""
    a = absolute(x)
    far = (a > 2.0) & (a < math.inf)
    safe = select(far, a, const(3.0, x.dtype))
    re, im = complex_fraction(far, (const(1.0, x.dtype), safe), lambda k: -(k * k), 2.0, tolerance)
    cos, sin = call("cos", safe), call("sin", safe)
    far_cosine = -(cos * re + sin * im)
    far_sine = (cos * im - sin * re) + HALF_PI
    b = at_most(a, 2.0)
    square = b * b
    sines = [(-1) ** k / ((2 * k + 1) * math.factorial(2 * k + 1)) for k in range(13)]
    cosines = [(-1) ** k / (2 * k * math.factorial(2 * k)) for k in range(1, 13)]
    near_sine = b * series(square, sines)
    near_cosine = log_if_positive(b) + GAMMA + square * series(square, cosines)
    end = equal(a, math.inf)
    sine = select(end, const(HALF_PI, x.dtype), select(a > 2.0, far_sine, near_sine))
    cosine = select(end, const(0.0, x.dtype), select(a > 2.0, far_cosine, near_cosine))
    return sine, cosine, a


def sinint(x: Expr, tolerance: float) -> Expr:
    """The integral of sin(t) / t from 0 to x."""
    return unless_nan(x, copysign(sine_and_cosine(x, tolerance)[0], x))


def cosint(x: Expr, tolerance: float) -> Expr:
    """gamma + log(x) + the integral of (cos(t) - 1) / t from 0 to x, for x >= 0."""
    _, cosine, a = sine_and_cosine(x, tolerance)
    cosine = select(equal(a, 0.0), const(-math.inf, x.dtype), cosine)
    return unless_nan(x, select(x < 0.0, const(math.nan, x.dtype), cosine))


def fresnel(x: Expr, tolerance: float) -> Pair:
    """The integrals of sin(pi t^2 / 2) and cos(pi t^2 / 2) from 0 to x."""
    a = absolute(x)
    far = (a > 1.5) & (a < 1e17)
    safe = select(far, a, const(2.0, x.dtype))
    high, low = two_product(safe, safe)
    square = high * math.pi
    n = const(1.0, x.dtype)
    re, im = complex_fraction(
        far, (n, -square), lambda k: -((2.0 * k - 1.0) * (2.0 * k)), 4.0, tolerance
    )
    re, im = safe * (re + im), safe * (im - re)  # times (1 - i) x
    quarter = high * 0.25
    angle = ((quarter - apply("rint", quarter)) + low * 0.25) * (2 * math.pi)
    cos, sin = call("cos", angle), call("sin", angle)
    rest, rest_im = 1.0 - (cos * re - sin * im), -(cos * im + sin * re)
    far_cosine, far_sine = (rest - rest_im) * 0.5, (rest + rest_im) * 0.5
    b = at_most(a, 1.5)
    t = b * b * HALF_PI
    y = t * t
    sines = [(-1) ** k / ((4 * k + 3) * math.factorial(2 * k + 1)) for k in range(14)]
    cosines = [(-1) ** k / ((4 * k + 1) * math.factorial(2 * k)) for k in range(14)]
    near_sine, near_cosine = b * t * series(y, sines), b * series(y, cosines)
    half = const(0.5, x.dtype)

    def of(near: Expr, distant: Expr) -> Expr:
        found = select(a > 1.5, select(far, distant, half), near)
        return unless_nan(x, copysign(found, x))

    return of(near_sine, far_sine), of(near_cosine, far_cosine)


# ---------------------------------------------------------------------------- dilogarithm, Owen's T


def spence(x: Expr, tolerance: float) -> Expr:
    """The integral of log(t) / (1 - t) from 1 to x: the dilogarithm of 1 - x.

    With u = -log(x): u - u^2 / 4 + sum(B_2k u^(2k+1) / ((2k+1) 2k!)) near 1, elsewhere by the relations to 1 - x and
    1 / x (L. Lewin, "Polylogarithms and associated functions", 1981).
    """
    one = const(1.0, x.dtype)
    positive = (x > 0.0) & (x < math.inf)
    z = select(positive, x, one)
    large = z > 2.0
    y = select(large, 1.0 / z, z)  # at most 2
    small = y < 0.5
    logarithm = call("log", y)
    other = call("log1p", -select(small, y, const(0.25, x.dtype)))
    u = select(small, -other, 0.0 - logarithm)  # 0, not -0, at 1
    square = u * u
    terms = [b / (2 * k + 3) for k, b in enumerate(BERNOULLI)]
    total = u + square * (u * series(square, terms) - 0.25)
    total = select(small, math.pi**2 / 6 - logarithm * other - total, total)
    whole = call("log", z)
    total = select(large, -(whole * whole * 0.5) - total, total)
    edge = select(equal(x, 0.0), const(math.pi**2 / 6, x.dtype), const(math.nan, x.dtype))
    edge = select(equal(x, math.inf), const(-math.inf, x.dtype), edge)
    return select(positive, total, edge)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def owens_t(h: Expr, a: Expr, tolerance: float) -> Expr:
    """The integral of exp(-h^2 (1 + t^2) / 2) / (1 + t^2) from 0 to a, by 2 pi.

    By Gauss's rule up to a = 1; beyond, from T(ah, 1 / a) and normal probabilities (D. Owen, "Tables for computing
    bivariate normal probabilities", 1956).
    """
    h, size = absolute(h), absolute(a)
    large = size > 1.0
    width = select(large, 1.0 / size, size)
    scale = select(large, select(equal(h, 0.0), h, h * size), h)
    half = scale * scale * -0.5
    total = const(0.0, h.dtype)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        t = width * float((node + 1) / 2)
        under = fma(t, t, 1.0)
        total = total + call("exp", half * under) / under * float(weight / (4 * math.pi))
    total = total * width

    def above(x: Expr) -> Expr:
        return call("erfc", x * math.sqrt(0.5)) * 0.5

    p, q = above(h), above(scale)
    total = select(large, (p + q) * 0.5 - p * q - total, total)
    return unless_nan(h, unless_nan(a, copysign(total, a)))


def row(
    name: str, builder: Callable[..., Expr], ulp: float, domain: Interval, text: str
) -> Function:
    """A function of one operand."""
    return Function(name, in_double(builder), 1, (domain,), (2.0, ulp), text)


# Relative errors are large next to the zeros of Ci, and of Owen's T where it is a difference of larger numbers.
FUNCTIONS = (
    row("expi", expi, 16.0, (-700.0, 700.0), "exponential integral Ei"),
    Function(
        "expn",
        in_double(expn),
        2,
        ((0.0, 60.0), (0.0, 700.0)),
        (2.0, 8.0),
        "exponential integral E_n",
    ),
    row("sinint", sinint, 16.0, (-1e4, 1e4), "sine integral"),
    Function("cosint", in_double(cosint), 1, ((0.0, 1e4),), (8.0, 4096.0), "cosine integral"),
    row("fresnel_sin", lambda x, t: fresnel(x, t)[0], 64.0, (-1e3, 1e3), "Fresnel sine integral"),
    row("fresnel_cos", lambda x, t: fresnel(x, t)[1], 64.0, (-1e3, 1e3), "Fresnel cosine integral"),
    row("spence", spence, 16.0, (0.0, 1e6), "dilogarithm of 1 - x"),
    Function(
        "owens_t",
        in_double(owens_t),
        2,
        ((-4.0, 4.0), (-10.0, 10.0)),
        (2.0, 4096.0),
        "Owen's T",
    ),
)
