"""Fits of minimax polynomials: compile/functions/coefficients.py is written by this.

    python tools/fit.py              every fit of the table, with its error (minutes)
    python tools/fit.py EXP SIN      some of them
    python tools/fit.py --write      every fit, into the file

A fit approximates `target(x)` on [low, high] by sum(c[k] * x**powers[k]) so that the largest weighted
error is smallest (Remez exchange on the weighted linear problem, in mpmath), then rounds the coefficients
to the working format one by one, lowest power first, and fits the others again after each.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import mpmath as mp
import numpy as np

Real = mp.mpf
mp.mp.dps = 50


@dataclass(frozen=True)
class Fit:
    """One problem: what, where, with which powers, measured how, rounded to what."""

    target: Callable[[Real], Real]
    low: float
    high: float
    degree: int
    dtype: type
    weight: Callable[[Real], Real] = lambda x: mp.mpf(1)  # error * weight is what counts
    fixed: tuple[float, ...] = ()  # lowest coefficients that are given


def solve(fit: Fit, known: Sequence[Real], low: Real, high: Real) -> tuple[list[Real], Real]:
    """The minimax coefficients above the `known` ones, and the weighted error."""
    n = fit.degree + 1 - len(known)
    grid = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (40 * n))
        for i in range(40 * n + 1)
    ]
    grid = [x for x in grid if abs(x) > (high - low) * mp.mpf("1e-6")]  # the weight may vanish at 0
    first = len(known)
    prefix = [*reversed(known), 0][-max(first, 1) - 1 : -1] or [0]
    rest = [(fit.target(x) - mp.polyval(prefix, x)) / x**first for x in grid]
    weights = [abs(fit.weight(x) * x**first) for x in grid]
    # the grid is Chebyshev's already
    points = [round((len(grid) - 1) * i / n) for i in range(n + 1)]
    best: list[Real] = []
    errors: list[Real] = []
    least, kept = mp.inf, best
    for turn in range(60):
        rows, right = mp.matrix(n + 1, n + 1), mp.matrix(n + 1, 1)
        for i, p in enumerate(points):
            for k in range(n):
                rows[i, k] = grid[p] ** k * weights[p]
            rows[i, n] = (-1) ** i
            right[i] = rest[p] * weights[p]
        solution = mp.lu_solve(rows, right)
        best, level = [solution[k] for k in range(n)], abs(solution[n])
        values = [mp.polyval(best[::-1], x) for x in grid]
        errors = [(r - v) * w for r, v, w in zip(rest, values, weights, strict=True)]
        worst = max(abs(e) for e in errors)
        if worst < least:
            least, kept = worst, best
        if worst <= level * mp.mpf("1.001"):
            break
        points = exchange(errors, n + 1) if turn < 8 else exchange_one(errors, points)
    return kept, least


def exchange(errors: Sequence[Real], count: int) -> list[int]:
    """The positions of `count` alternating extrema of the error, the largest kept."""
    groups: list[int] = []
    for i, e in enumerate(errors):
        if groups and (errors[groups[-1]] > 0) == (e > 0):
            if abs(e) > abs(errors[groups[-1]]):
                groups[-1] = i
        else:
            groups.append(i)
    while len(groups) > count:
        if abs(errors[groups[0]]) < abs(errors[groups[-1]]):
            groups.pop(0)
        else:
            groups.pop()
    while len(groups) < count:  # degenerate: spread what is there
        gaps = [(b - a, a, b) for a, b in itertools.pairwise(groups)]
        _, a, b = max(gaps)
        groups.append((a + b) // 2)
        groups.sort()
    return groups


def exchange_one(errors: Sequence[Real], points: list[int]) -> list[int]:
    """The reference with the worst point in the place of a neighbour of its sign: slow, but sure."""
    worst = max(range(len(errors)), key=lambda i: abs(errors[i]))
    positive = errors[worst] > 0
    place = sum(p < worst for p in points)
    for i in (place - 1, place):
        if 0 <= i < len(points) and (errors[points[i]] > 0) == positive:
            return sorted([*points[:i], worst, *points[i + 1 :]])
    return [worst, *points[:-1]] if place == 0 else [*points[1:], worst]


def worst_error(fit: Fit, terms: Sequence[Real], points: int) -> Real:
    """The largest weighted error of the polynomial on an even grid."""
    low, high = mp.mpf(fit.low), mp.mpf(fit.high)
    grid = [low + (high - low) * i / points for i in range(points + 1)]
    backwards = list(terms)[::-1]
    return max(abs((fit.target(x) - mp.polyval(backwards, x)) * fit.weight(x)) for x in grid)


def rounded(fit: Fit) -> tuple[list[float], Real]:
    """Coefficients in the working format, lowest power first, and the weighted error with them."""
    low, high = mp.mpf(fit.low), mp.mpf(fit.high)
    known = [mp.mpf(c) for c in fit.fixed]
    rest, _ = solve(fit, known, low, high)
    while rest:
        known.append(mp.mpf(float(fit.dtype(float(rest[0])))))
        rest = rest[1:]
        if rest:  # where the exchange stalls, the coefficients that were stay
            try:
                again, _ = solve(fit, known, low, high)
            except ZeroDivisionError:
                again = rest
            choices = [
                (worst_error(fit, known + c, 200), i, c) for i, c in enumerate((again, rest))
            ]
            rest = min(choices)[2]
    return [float(c) for c in known], worst_error(fit, known, 2000)


Function = Callable[[Real], Real]
F32, F64 = np.float32, np.float64


def odd_tail(function: Function, terms: Sequence[Real]) -> Function:
    """(f(r) - f'(0) r) / r^3 in y = r^2 of an odd function; `terms` is its series for small y."""
    slope = mp.diff(function, 0)

    def tail(y: Real) -> Real:
        if y < 1e-3:
            return mp.polyval(list(terms)[::-1], y)
        r = mp.sqrt(y)
        return (function(r) - slope * r) / r**3

    return tail


def odd_weight(function: Function) -> Function:
    """What makes an error of an odd function's tail relative to the function."""
    return lambda y: y * mp.sqrt(y) / function(mp.sqrt(y)) if y else mp.mpf(0)


def odd(
    function: Function, terms: Sequence[Real], high: float
) -> tuple[Function, float, float, Function]:
    """The problem of an odd function's tail for r^2 up to `high`."""
    return odd_tail(function, terms), 0.0, high, odd_weight(function)


def taylor_tail(function: Function) -> list[Real]:
    """The coefficients of r^3, r^5, ... of an odd function."""
    return mp.taylor(function, 0, 61)[3::2]


def log_tail(scale: Real) -> tuple[Function, float, float, Function]:
    """(log(1 + f) - f) / f^2 / scale on sqrt(1/2) <= 1 + f <= sqrt(2)."""
    return (
        lambda f: -mp.hyp2f1(1, 2, 3, -f) / 2 / scale,
        -0.2929,
        0.41422,
        lambda f: f * f * scale / abs(mp.log1p(f)) if f else mp.mpf(0),
    )


def exp_tail(of: Function) -> tuple[Function, float, float, Function]:
    """(e^r - 1 - r) / r^2 on |r| <= ln2 / 2; the error relative to `of`."""
    return (
        lambda r: mp.hyp1f1(1, 3, r) / 2,
        -0.3467,
        0.3467,
        lambda r: r**2 / abs(of(r)) if r else mp.mpf(0),
    )


@functools.cache
def scaled_erfc(a: Real) -> Real:
    """e^(a^2) erfc(a)."""
    return mp.exp(a * a) * mp.erfc(a)


def erfc_problem(k: float, low: float, high: float) -> tuple[Function, float, float, Function]:
    """(1 + 2 a) e^(a^2) erfc(a) - 1 in q = (a - k) / (a + k) for a in [low, high].

    M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", 1981.
    """

    def target(q: Real) -> Real:
        a = k * (1 + q) / (1 - q)
        return (1 + 2 * a) * scaled_erfc(a) - 1

    return target, (low - k) / (low + k), (high - k) / (high + k), lambda q: mp.mpf(1)


@functools.cache
def erf_inverse_ratio(w: Real) -> Real:
    """erf_inv(x) / x in w = -log(1 - x^2)."""
    if w < 1e-18:
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    if x < 0.999:
        return mp.erfinv(x) / x
    rest = mp.exp(-w) / (1 + x)  # 1 - x
    return mp.findroot(lambda z: mp.log(mp.erfc(z)) - mp.log(rest), mp.sqrt(w) * 0.85) / x


def erf_inverse_problem(low: float, high: float) -> tuple[Function, float, float, Function]:
    """erf_inv(x) / x - 1 in w less the middle of the interval.

    M. Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011, has this variable.
    """
    middle = mp.mpf(low + high) / 2
    return (
        lambda u: erf_inverse_ratio(u + middle) - 1,
        float(low - middle),
        float(high - middle),
        lambda u: 1 / erf_inverse_ratio(u + middle),
    )


def erf_small(y: Real) -> Real:
    """erf(x) / x - 1 in y = x^2."""
    return 2 / mp.sqrt(mp.pi) * mp.hyp1f1(0.5, 1.5, -y) - 1


def log_erfc(high: float) -> tuple[Function, float, float, Function]:
    """log(erfc(a)) on [1, high], for 1 - erfc(a)."""
    return lambda a: mp.log(mp.erfc(a)), 1.0, high, mp.erfc


LOG_GAMMA_AT_2 = mp.taylor(lambda t: mp.loggamma(2 + t), 0, 60)


@functools.cache
def log_gamma_ratio(t: Real) -> Real:
    """lgamma(2 + t) / t."""
    if abs(t) < 0.01:
        return mp.polyval(LOG_GAMMA_AT_2[:0:-1], t)
    return mp.loggamma(2 + t) / t


@functools.cache
def stirling_rest(u: Real) -> Real:
    """x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) in u = 1 / x^2."""
    if u < 1e-4:
        return sum(mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) * u ** (k - 1) for k in range(1, 20))
    x = 1 / mp.sqrt(u)
    return (mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2) * x


DIGAMMA_ROOT = mp.findroot(mp.digamma, 1.4616)


@functools.cache
def digamma_ratio(t: Real) -> Real:
    """digamma(x) / (x - root) in t = x - 1.5."""
    d = mp.mpf(1.5) + t - DIGAMMA_ROOT
    if abs(d) < 1e-8:
        return mp.psi(1, DIGAMMA_ROOT) + mp.psi(2, DIGAMMA_ROOT) / 2 * d
    return mp.digamma(DIGAMMA_ROOT + d) / d


@functools.cache
def digamma_rest(u: Real) -> Real:
    """x^2 (log(x) - digamma(x) - 1 / (2 x)) in u = 1 / x^2."""
    if u < 1e-4:
        return sum(mp.bernoulli(2 * k) / (2 * k) * u ** (k - 1) for k in range(1, 20))
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - mp.digamma(x) - 1 / (2 * x)) * x * x


def bessel_near(n: int) -> tuple[Function, float, float, Function]:
    """e^-x I_n(x) / x^n in x - 4, on [0, 8]."""

    @functools.cache
    def target(u: Real) -> Real:
        x = u + 4
        return mp.besseli(n, x) * mp.exp(-x) / x**n if x else mp.mpf(1) / (1 + n)

    return target, -4.0, 4.0, lambda u: 1 / target(u)


def bessel_far(n: int) -> tuple[Function, float, float, Function]:
    """sqrt(x) e^-x I_n(x) in 1 / x, on [8, infinity)."""

    @functools.cache
    def target(v: Real) -> Real:
        if v > 1e-3:
            return mp.besseli(n, 1 / v) * mp.exp(-1 / v) / mp.sqrt(v)
        total = term = mp.mpf(1)
        for k in range(1, 16):
            term *= -v * (4 * n * n - (2 * k - 1) ** 2) / (8 * k)
            total += term
        return total / mp.sqrt(2 * mp.pi)

    return target, 0.0, 0.125, lambda v: 1 / target(v)


ARCTAN = [mp.mpf((-1) ** (k + 1)) / (2 * k + 3) for k in range(40)]
ARCSIN = [mp.binomial(2 * k, k) / 4**k / (2 * k + 1) for k in range(1, 40)]
SINH = [1 / mp.factorial(2 * k + 3) for k in range(40)]

# name: (target, low, high, weight), degree for float32, degree for float64
PROBLEMS: dict[str, tuple[tuple[Function, float, float, Function], int | None, int | None]] = {
    "EXP": (exp_tail(mp.exp), 4, 9),  # (e^r - 1 - r) / r^2 for e^r
    "EXPM1": (exp_tail(mp.expm1), 4, 10),  # the same for e^r - 1
    "EXP2": (  # (2^r - 1) / r
        (
            lambda r: (mp.power(2, r) - 1) / r if r else mp.log(2),
            -0.5,
            0.5,
            lambda r: abs(r) / mp.power(2, r),
        ),
        5,
        10,
    ),
    "EXP2_SHORT": (  # 2^r, for float32 in float64
        (lambda r: mp.power(2, r), -0.5, 0.5, lambda r: mp.power(2, -r)),
        None,
        6,
    ),
    "LOG": (log_tail(mp.mpf(1)), 8, 20),
    "LOG2": (log_tail(mp.log(2)), 8, 20),
    "LOG10": (log_tail(mp.log(10)), 8, 20),
    "LOG2_SHORT": (  # log2((1 + s) / (1 - s)) / s in s^2, for float32 in float64
        (
            lambda y: mp.hyp2f1(1, mp.mpf(0.5), mp.mpf(1.5), y) * 2 / mp.log(2),
            0.0,
            0.02945,
            lambda y: mp.mpf(1),
        ),
        None,
        4,
    ),
    "LOG_ODD": (  # (log((1 + s) / (1 - s)) - 2 s - 2/3 s^3) / s^5 in s^2
        (
            lambda y: mp.hyp2f1(1, mp.mpf(2.5), mp.mpf(3.5), y) * 2 / 5,
            0.0,
            0.02945,
            lambda y: y * y,
        ),
        None,
        6,
    ),
    "ERF": ((erf_small, 0.0, 1.0, lambda y: 1 / (1 + erf_small(y))), 6, 12),
    "ERFC_NEAR": (erfc_problem(2.5, 0.48, 10.1), 9, None),
    "ERFC": (erfc_problem(4.0, 0.48, 27.3), None, 22),
    "ERF_INV": (erf_inverse_problem(0.0, 6.25), 10, 26),
    "ERF_INV_SINGLE": (erf_inverse_problem(6.25, 17.25), 9, None),
    "ERF_INV_TAIL": (erf_inverse_problem(6.25, 16.0), None, 22),
    "ERF_INV_FAR": (erf_inverse_problem(16.0, 36.5), None, 22),
    "LOG_GAMMA": ((log_gamma_ratio, -0.75, 0.5, lambda t: 1 / log_gamma_ratio(t)), 10, 22),
    "STIRLING": ((stirling_rest, 0.0, 1 / 7.5**2, lambda u: mp.mpf(1)), None, 6),
    "STIRLING_NEAR": ((stirling_rest, 0.0, 1 / 3.5**2, lambda u: mp.mpf(1)), 2, None),
    "DIGAMMA": ((digamma_ratio, -0.5, 0.5, lambda t: 1 / digamma_ratio(t)), 10, 22),
    "DIGAMMA_FAR": ((digamma_rest, 0.0, 1 / 36, lambda u: u + mp.mpf("1e-9")), None, 6),
    "DIGAMMA_NEAR": ((digamma_rest, 0.0, 1 / 9, lambda u: u + mp.mpf("1e-9")), 2, None),
    "BESSEL_I0": (bessel_near(0), 18, 30),
    "BESSEL_I1": (bessel_near(1), 18, 31),
    "BESSEL_I0_FAR": (bessel_far(0), 5, 23),
    "BESSEL_I1_FAR": (bessel_far(1), 5, 23),
    "LOG_ERFC": (log_erfc(3.95), 6, None),
    "SIN": (odd(mp.sin, [(-1) ** (k + 1) * c for k, c in enumerate(SINH)], 2.4684), 3, 7),
    "TAN": (odd(mp.tan, taylor_tail(mp.tan), 0.6169), 6, 14),
    "ASIN": (odd(mp.asin, ARCSIN, 0.2501), 4, 12),
    "ATAN": (odd(mp.atan, ARCTAN, 1.0), 8, 20),
    "TANH": (odd(mp.tanh, taylor_tail(mp.tanh), 0.3026), 3, 10),
    "SINH": (odd(mp.sinh, SINH, 1.0), 3, 7),
    "COSH": (  # (cosh(r) - 1) / r^2 in r^2
        (lambda y: mp.hyp1f2(1, mp.mpf(1.5), 2, y / 4) / 2, 0.0, 0.1203, lambda y: y),
        2,
        5,
    ),
}


def temme(orders: int, count: int) -> list[list[float]]:
    """d[k][n]: the uniform expansion of the incomplete gamma functions has c_k = sum(d[k][n] eta^n).

    N. Temme, "The asymptotic expansion of the incomplete gamma functions", 1979; DLMF 8.12: with
    eta^2 / 2 = s - log(1 + s), c_0 = 1/s - 1/eta and c_k = (c_{k-1}' - c_{k-1}'(0) eta / s) / eta.
    """
    length = count + 2 * orders + 4
    # s = eta (a_0 + a_1 eta + ...): s' = eta (1 + s) / s, so s s' = eta + eta s
    a = [Fraction(1)]
    for n in range(1, length):
        known = sum(((j + 1) * a[j] * a[n - j] for j in range(1, n)), Fraction(0))
        # coefficient of eta^(n + 1) in s s': sum over i + j = n of a_i (j + 1) a_j
        a.append((a[n - 1] - known) / (n + 2))
    inverse = [Fraction(1)]  # eta / s
    for n in range(1, length):
        inverse.append(-sum((a[j] * inverse[n - j] for j in range(1, n + 1)), Fraction(0)))
    c = inverse[1:]
    table = []
    for _ in range(orders):
        table.append([float(v) for v in c[:count]])
        slope = [n * v for n, v in enumerate(c)][1:]
        c = [v - slope[0] * w for v, w in zip(slope, inverse, strict=False)][1:]
    return table


def temme_text() -> str:
    """TEMME, without what is below 1e-18 for a of at least 20 and |eta| of at most 0.37."""
    rows = []
    for k, row in enumerate(temme(14, 24)):
        kept = [n for n, v in enumerate(row) if abs(v) * 0.37**n / 20.0**k > 1e-18]
        if kept:
            rows.append(rows_of(row[: kept[-1] + 1], False))
    return "\n".join(['TEMME = _rows("""', "\n\n".join(rows), '""")'])


def fits(name: str) -> dict[str, Fit]:
    """The problem for both formats."""
    (target, low, high, weight), single, double = PROBLEMS[name]
    made: dict[str, Fit] = {}
    if single is not None:
        made[f"{name}_32"] = Fit(target, low, high, single, F32, weight)
    if double is not None:
        made[f"{name}_64"] = Fit(target, low, high, double, F64, weight)
    return made


HEADER = '''\
"""Coefficients, lowest power first; written by tools/fit.py, which says of what.

A table is a text of numbers with spaces between them; all of them are read in 0.3 ms, when the compiler is loaded.
"""


def _table(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


def _rows(text: str) -> tuple[tuple[float, ...], ...]:
    """Tables of several lengths, with an empty line between them."""
    return tuple(map(_table, text.split("\\n\\n")))
'''
PLACE = Path(__file__).parent.parent / "src/covector/_engine/compile/functions/coefficients.py"


def rows_of(coefficients: Sequence[float], single: bool) -> str:
    """The numbers in lines of at most 100 columns."""
    numbers = " ".join([f"{c:.9g}" if single else f"{c!r}" for c in coefficients])
    return textwrap.fill(
        numbers, 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )


def text_of(name: str, coefficients: Sequence[float], single: bool) -> str:
    """A table as Python text."""
    return "\n".join([f'{name} = _table("""', rows_of(coefficients, single), '""")'])


def main(arguments: Sequence[str]) -> None:
    """Print or write the coefficients of the named problems, or of all."""
    write = "--write" in arguments
    names = [a for a in arguments if a != "--write"] or list(PROBLEMS)
    kept: dict[str, str] = {}
    if write and PLACE.exists():  # what is not fitted anew stays
        for block in re.split(r"\n\n(?=[A-Z0-9_]+ = )", PLACE.read_text())[1:]:
            kept[block.split(" = ")[0].strip()] = block.strip()
    for name in names:
        for full, fit in fits(name).items():
            coefficients, error = rounded(fit)
            print(f"{full}: error 2^{mp.nstr(mp.log(error, 2), 4)}", flush=True)
            kept[full] = text_of(full, coefficients, fit.dtype is F32)
            if not write:
                print(kept[full])
    if write:
        kept["TEMME"] = temme_text()
        PLACE.write_text("\n\n".join([HEADER, *(kept[k] for k in sorted(kept))]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
