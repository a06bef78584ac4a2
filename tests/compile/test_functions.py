"""The functions of compile/functions against mpmath: units in the last place, hard points, special values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special
from tests.backends.elementwise import Compiled, parameter

from covector._engine.backends.cpu import link
from covector._engine.backends.reference import scalars
from covector._engine.base.errors import MissingRuleError
from covector._engine.compile.functions import FUNCTIONS, Function, definition
from covector._engine.ir.scalar import call

Real = Any  # mpmath has no types
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
INF, NAN = float("inf"), float("nan")


def _logistic(x: Real) -> Real:
    return 1 / (1 + mp.exp(-x))


def _erfc(x: Real) -> Real:
    return mp.erfc(x) if abs(x) < 40 else mp.mpf(0) if x > 0 else mp.mpf(2)


def _erf_inv(x: Real) -> Real:
    if abs(x) < 0.9:
        return mp.erfinv(x)
    start = mp.sqrt(-mp.log((1 - abs(x)) * (1 + abs(x)))) * 0.85
    return mp.sign(x) * mp.findroot(lambda z: mp.log(mp.erfc(z)) - mp.log(1 - abs(x)), start)


def _erfc_inv(x: Real) -> Real:
    return mp.findroot(
        lambda z: mp.log(mp.erfc(z)) - mp.log(x), float(scipy.special.erfcinv(float(x)))
    )


def _erfcx(x: Real) -> Real:
    if x > 100:  # the first terms at infinity
        terms = ((-1) ** k * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(12))
        return sum(terms) / (x * mp.sqrt(mp.pi))
    return mp.exp(x * x) * mp.erfc(x)


def _dawsn(x: Real) -> Real:
    if abs(x) > 100:  # the first terms at infinity
        return sum(mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(12)) / (2 * x)
    return mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)


def _owens_t(h: Real, a: Real) -> Real:
    return mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * mp.pi)


REFERENCES: dict[str, Callable[..., Real]] = {
    "exp": mp.exp, "exp2": lambda x: mp.power(2, x), "expm1": mp.expm1, "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.log(2), "log10": mp.log10, "log1p": mp.log1p, "logistic": _logistic,
    "sin": mp.sin, "cos": mp.cos, "tan": mp.tan, "asin": mp.asin, "acos": mp.acos, "atan": mp.atan,
    "atan2": mp.atan2, "sinh": mp.sinh, "cosh": mp.cosh, "tanh": mp.tanh, "asinh": mp.asinh,
    "acosh": mp.acosh, "atanh": mp.atanh, "pow": mp.power, "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "rsqrt": lambda x: 1 / mp.sqrt(x), "hypot": mp.hypot, "erf": mp.erf, "erfc": _erfc,
    "erf_inv": _erf_inv, "lgamma": mp.loggamma, "digamma": mp.digamma,
    "bessel_i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
    "bessel_i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
    "igamma": lambda a, x: mp.gammainc(a, 0, x, regularized=True),
    "igammac": lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True),
    "zeta": mp.zeta, "polygamma": lambda n, x: mp.psi(int(n), x),
    "betainc": lambda a, b, x: mp.betainc(a, b, 0, x, regularized=True),
    "erfcx": _erfcx, "erfc_inv": _erfc_inv,
    "dawsn": _dawsn, "expi": mp.ei, "expn": lambda n, x: mp.expint(int(n), x), "sinint": mp.si, "cosint": mp.ci,
    "fresnel_sin": mp.fresnels, "fresnel_cos": mp.fresnelc, "spence": lambda x: mp.polylog(2, 1 - x).real,
    "owens_t": _owens_t, "hyp1f1": mp.hyp1f1, "hyp2f1": mp.hyp2f1,
}  # fmt: skip
SLOW = {"lgamma": 400, "digamma": 400, "bessel_i0e": 150, "bessel_i1e": 150, "igamma": 100} | {
    "igammac": 100, "zeta": 80, "polygamma": 80, "betainc": 80, "erf_inv": 250, "erfc": 800, "erf": 800
} | {"expn": 80, "hyp1f1": 60, "hyp2f1": 60, "owens_t": 8, "dawsn": 120, "erfc_inv": 60, "spence": 100} | {
    "fresnel_sin": 80,
    "fresnel_cos": 80, "sinint": 100, "cosint": 100, "expi": 100, "erfcx": 150
}  # fmt: skip

# Where a definition changes its way, or the function its nature; both signs are tried.
HARD: dict[str, tuple[float, ...]] = {
    "exp": (88.72, 709.78, 87.3, 103.9, 708.3, 745.1), "exp2": (128, 1024, 126, 149, 1022, 1074),
    "expm1": (0.3466, 1.04, 88.7, 709.7, 17.3, 37.4), "log": (1, 0.7071, 1.4142), "log2": (1, 2, 0.7071),
    "log10": (1, 10, 1000), "log1p": (0.2929, 0.4142, 1, 1e-8), "logistic": (16.6, 36.7, 88, 103, 708, 745),
    "asin": (0.5, 1, 0.7071), "acos": (0.5, 1, 0.7071), "atan": (1,), "sinh": (1, 89.4, 710.4),
    "cosh": (0.34, 89.4, 710.4), "tanh": (0.55, 9, 19), "asinh": (0.01, 1, 8000, 1e8),
    "acosh": (1, 1.0001, 2, 8000), "atanh": (0.01, 0.5, 1), "cbrt": (1, 8, 27), "erf": (1, 3.9, 5.9),
    "erfc": (0.48, 4, 9.19, 10.05, 26.5, 27.2), "erf_inv": (0.9977, 1, 0.5), "lgamma": (1, 2, 1.25, 2.5, 7.5),
    "digamma": (1.4616, 2, 6, 1), "bessel_i0e": (8,), "bessel_i1e": (8,),
}  # fmt: skip
HALF_TURNS = [float(k * mp.pi / 2) for k in (1, 2, 3, 4, 101, 11937, 10**6, 2.0**60, 1e30)]
HARD |= dict.fromkeys(
    ("sin", "cos", "tan"), (131071.9, 4194303.9, 6381956970095103 * 2.0**797, *HALF_TURNS)
)


def around(value: float, dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """A value, its closest neighbours and some near it."""
    with np.errstate(over="ignore"):
        value = dtype(value)
        if not np.isfinite(value):
            return np.zeros(0, dtype)
        near = value * (1 + rng.standard_normal(12) * 10.0 ** rng.uniform(-6, -1, 12)).astype(dtype)
        up = np.nextafter(value, dtype(np.inf))
        down = np.nextafter(value, dtype(-np.inf))
        close = [
            value,
            up,
            down,
            np.nextafter(up, dtype(np.inf)),
            np.nextafter(down, dtype(-np.inf)),
        ]
    return np.concatenate([np.array(close, dtype), near])


def operand(
    interval: tuple[float, float], dtype: Any, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Values of an interval: of all exponents, and of ordinary size."""
    low, high = interval
    bits = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize) - 1, 2 * count, dtype=np.uint64)
    wild = bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
    plain = (rng.standard_normal(2 * count) * 10.0 ** rng.uniform(-2, 2, 2 * count)).astype(dtype)
    size = min(abs(low), abs(high)) or max(abs(low), abs(high))
    inside = (
        rng.uniform(low, high, count) if np.isfinite(size) and high < INF else plain[:count]
    ).astype(dtype)
    values = np.concatenate([wild[:count], plain, inside])
    if low >= 0:
        values = np.abs(values)
    return values[np.isfinite(values) & (values >= low) & (values <= high) & (values != 0)]


def operands(function: Function, dtype: Any, count: int) -> list[np.ndarray]:
    """The points that a function is tried at."""
    rng = np.random.default_rng(7)
    if function.arity == 1:
        low, high = function.domain[0]
        hard = [around(s * v, dtype, rng) for v in HARD.get(function.name, ()) for s in (1.0, -1.0)]
        values = np.concatenate([operand(function.domain[0], dtype, count, rng), *hard])
        open_ended = function.name in ("erf_inv", "atanh")
        values = values[(values >= low) & (values <= high) & ~(open_ended & (np.abs(values) == 1))]
        return [rng.permutation(values)[: count + sum(map(len, hard))]]
    if function.name in (
        "igamma",
        "igammac",
        "betainc",
        "zeta",
        "polygamma",
        "expn",
        "owens_t",
    ) or function.name in ("hyp1f1", "hyp2f1"):
        return special_operands(function.name, dtype, count, rng)
    columns = [operand(interval, dtype, count, rng) for interval in function.domain]
    length = min(map(len, columns))
    columns = [rng.permutation(c)[:length] for c in columns]
    if function.name == "pow":  # most powers overflow: choose the exponent by the result
        with np.errstate(divide="ignore"):
            size = np.log2(columns[0].astype(np.float64))
        limit = 127 if dtype is np.float32 else 1022
        wanted = rng.uniform(-limit, limit, length) / np.where(size == 0, 1, size)
        columns[1] = np.where(rng.random(length) < 0.8, wanted, columns[1]).astype(dtype)
    return [c[:count] for c in columns]


def special_operands(
    name: str, dtype: Any, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Operands where the functions of several operands are neither 0 nor 1, for the most part."""
    a = np.exp(rng.uniform(-3, 7, count))
    b = np.exp(rng.uniform(-3, 7, count))
    if name in ("igamma", "igammac"):
        return [
            a.astype(dtype),
            np.abs(a * (1 + rng.standard_normal(count) / np.sqrt(1 + a))).astype(dtype),
        ]
    if name == "betainc":
        mean = a / (a + b)
        spread = np.sqrt(mean * (1 - mean) / (a + b + 1))
        x = np.clip(mean + spread * rng.standard_normal(count), 0.01, 0.99)
        return [a.astype(dtype), b.astype(dtype), x.astype(dtype)]
    if name == "zeta":
        return [(1 + np.exp(rng.uniform(-3, 2.5, count))).astype(dtype), b.astype(dtype)]
    if name in ("hyp1f1", "hyp2f1"):
        parameters = [rng.uniform(0.2, 6, count).astype(dtype) for _ in range(3)]
        if name == "hyp1f1":
            return [*parameters[:2], (rng.standard_normal(count) * 30).astype(dtype)]
        return [*parameters, rng.uniform(-4, 0.99, count).astype(dtype)]
    if name == "owens_t":
        return [
            rng.uniform(-4, 4, count).astype(dtype),
            (rng.standard_normal(count) * 2).astype(dtype),
        ]
    return [
        rng.integers(0, 15, count).astype(dtype),
        np.exp(rng.uniform(-2, 4, count)).astype(dtype),
    ]


def ulps(got: Any, exact: Real, dtype: Any) -> float:
    """The error in units in the last place of the exact result, 0 where it rounds to the same infinity."""
    with np.errstate(over="ignore"):
        rounded = (
            dtype(float(exact))
            if abs(exact) < 1e300 or dtype is np.float64
            else dtype(mp.sign(exact) * INF)
        )
    if not np.isfinite(got) or not np.isfinite(rounded):
        if got == rounded:
            return 0.0
        largest = np.finfo(dtype).max
        got = (
            float(np.clip(got, -2.0 * float(largest), 2.0 * float(largest))) if got == got else INF
        )
        return float(abs(mp.mpf(got) - exact) / mp.mpf(float(np.spacing(largest))))
    return float(abs(mp.mpf(float(got)) - exact) / mp.mpf(float(np.spacing(np.abs(rounded)))))


def compiled(
    name: str, dtype: Any, arity: int, target: link.Processor | None = None
) -> Callable[..., np.ndarray]:
    """The function on arrays of any length."""
    inputs = [parameter(i, np.dtype(dtype)) for i in range(arity)]
    width = 16 if dtype is np.float32 else 8
    run = Compiled([call(name, *inputs)], arity, width, target)

    def function(*arrays: np.ndarray) -> np.ndarray:
        count = len(arrays[0])
        padded = [np.resize(a, -(-count // width) * width) for a in arrays]
        return run(*padded)[0][:count]

    return function


MEASURED = sorted(REFERENCES)


@DTYPES
@pytest.mark.parametrize("name", MEASURED)
def test_accuracy(name: str, dtype: Any) -> None:
    check_accuracy(name, dtype, SLOW.get(name, 4000))


@pytest.mark.skipif(
    not link.host().triple.startswith("x86_64"), reason="the poorer target is an x86"
)
@DTYPES
@pytest.mark.parametrize(
    "name", ["exp", "log", "sin", "tan", "pow", "cbrt", "erfc", "tanh", "hypot"]
)
def test_accuracy_without_fma(name: str, dtype: Any) -> None:
    features = dict.fromkeys(["sse4.1", "sse4.2", "ssse3", "popcnt"], True)
    target = link.describe(link.host().triple, "x86-64", features)
    check_accuracy(name, dtype, 300, target)


def check_accuracy(name: str, dtype: Any, count: int, target: link.Processor | None = None) -> None:
    function = FUNCTIONS[name]
    columns = operands(function, dtype, count)
    results = compiled(name, dtype, function.arity, target)(*columns)
    bound = function.ulp[dtype is np.float64]
    worst, where = 0.0, ()
    with mp.workprec(160):
        for point in zip(results, *columns, strict=True):
            got, *xs = point
            exact = REFERENCES[name](*[mp.mpf(float(x)) for x in xs])
            error = ulps(got, exact, dtype)
            if not error <= worst:
                worst, where = error, (*xs, got, exact)
    assert worst <= bound, (
        f"{name} {np.dtype(dtype)}: {worst:.2f} ulp at {where}, not within {bound}"
    )


# (operands, result); the sign of a zero counts
SPECIAL: dict[str, tuple[tuple[tuple[float, ...], float], ...]] = {
    "exp": (((INF,), INF), ((-INF,), 0.0), ((0.0,), 1.0), ((-0.0,), 1.0), ((1e5,), INF), ((-1e5,), 0.0)),
    "exp2": (((INF,), INF), ((-INF,), 0.0), ((3.0,), 8.0), ((-10.0,), 2.0**-10), ((0.0,), 1.0)),
    "expm1": (((INF,), INF), ((-INF,), -1.0), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "log": (((INF,), INF), ((0.0,), -INF), ((-0.0,), -INF), ((1.0,), 0.0), ((-1.0,), NAN), ((-INF,), NAN)),
    "log2": (((INF,), INF), ((0.0,), -INF), ((8.0,), 3.0), ((2.0**-100,), -100.0), ((-1.0,), NAN)),
    "log10": (((INF,), INF), ((0.0,), -INF), ((1000.0,), 3.0), ((-1.0,), NAN)),
    "log1p": (((INF,), INF), ((-1.0,), -INF), ((0.0,), 0.0), ((-0.0,), -0.0), ((-2.0,), NAN)),
    "logistic": (((INF,), 1.0), ((-INF,), 0.0), ((0.0,), 0.5)),
    "sin": (((INF,), NAN), ((-INF,), NAN), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "cos": (((INF,), NAN), ((-INF,), NAN), ((0.0,), 1.0), ((-0.0,), 1.0)),
    "tan": (((INF,), NAN), ((-INF,), NAN), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "asin": (((0.0,), 0.0), ((-0.0,), -0.0), ((1.5,), NAN), ((-INF,), NAN)),
    "acos": (((1.0,), 0.0), ((1.5,), NAN), ((-INF,), NAN)),
    "atan": (((0.0,), 0.0), ((-0.0,), -0.0), ((INF,), np.pi / 2), ((-INF,), -np.pi / 2)),
    "atan2": (((0.0, 0.0), 0.0), ((-0.0, 0.0), -0.0), ((0.0, -0.0), np.pi), ((-0.0, -0.0), -np.pi),
              ((1.0, INF), 0.0), ((-1.0, INF), -0.0), ((1.0, -INF), np.pi), ((INF, 1.0), np.pi / 2),
              ((INF, INF), np.pi / 4), ((INF, -INF), 3 * np.pi / 4), ((1.0, 0.0), np.pi / 2),
              ((NAN, 1.0), NAN), ((1.0, NAN), NAN), ((INF, NAN), NAN), ((NAN, 0.0), NAN)),
    "sinh": (((INF,), INF), ((-INF,), -INF), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "cosh": (((INF,), INF), ((-INF,), INF), ((0.0,), 1.0)),
    "tanh": (((INF,), 1.0), ((-INF,), -1.0), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "asinh": (((INF,), INF), ((-INF,), -INF), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "acosh": (((INF,), INF), ((1.0,), 0.0), ((0.5,), NAN), ((-INF,), NAN)),
    "atanh": (((1.0,), INF), ((-1.0,), -INF), ((0.0,), 0.0), ((-0.0,), -0.0), ((1.5,), NAN)),
    "cbrt": (((INF,), INF), ((-INF,), -INF), ((27.0,), 3.0), ((-0.0,), -0.0), ((-8.0,), -2.0)),
    "rsqrt": (((INF,), 0.0), ((0.0,), INF), ((-0.0,), -INF), ((4.0,), 0.5), ((-1.0,), NAN)),
    "hypot": (((3.0, 4.0), 5.0), ((INF, NAN), INF), ((NAN, -INF), INF), ((0.0, 0.0), 0.0), ((1.0, NAN), NAN)),
    "pow": (((0.0, 0.0), 1.0), ((NAN, 0.0), 1.0), ((1.0, NAN), 1.0), ((-1.0, INF), 1.0), ((2.0, INF), INF),
            ((0.5, INF), 0.0), ((2.0, -INF), 0.0), ((0.0, -1.0), INF), ((-0.0, -1.0), -INF),
            ((-0.0, -2.0), INF), ((-0.0, 3.0), -0.0), ((-0.0, 2.0), 0.0), ((-INF, 3.0), -INF),
            ((-INF, 2.0), INF), ((-INF, -3.0), -0.0), ((INF, -0.5), 0.0), ((-8.0, 1 / 3), NAN),
            ((-2.0, 3.0), -8.0), ((-2.0, 2.0), 4.0), ((NAN, 1.0), NAN), ((2.0, NAN), NAN), ((10.0, 2.0), 100.0)),
    "erf": (((INF,), 1.0), ((-INF,), -1.0), ((0.0,), 0.0), ((-0.0,), -0.0)),
    "erfc": (((INF,), 0.0), ((-INF,), 2.0), ((0.0,), 1.0)),
    "erf_inv": (((1.0,), INF), ((-1.0,), -INF), ((0.0,), 0.0), ((-0.0,), -0.0), ((1.5,), NAN)),
    "lgamma": (((INF,), INF), ((-INF,), INF), ((0.0,), INF), ((-0.0,), INF), ((-3.0,), INF), ((1.0,), 0.0),
               ((2.0,), 0.0)),
    "digamma": (((INF,), INF), ((0.0,), -INF), ((-0.0,), INF), ((-1.0,), NAN)),
    "bessel_i0e": (((0.0,), 1.0), ((INF,), 0.0), ((-INF,), 0.0)),
    "bessel_i1e": (((0.0,), 0.0), ((-0.0,), -0.0), ((INF,), 0.0)),
    "igamma": (((1.0, 0.0), 0.0), ((1.0, INF), 1.0), ((0.0, 1.0), 1.0), ((INF, 1.0), 0.0), ((-1.0, 1.0), NAN),
               ((0.0, 0.0), NAN), ((NAN, 1.0), NAN), ((1.0, NAN), NAN)),
    "igammac": (((1.0, 0.0), 1.0), ((1.0, INF), 0.0), ((0.0, 1.0), 0.0), ((INF, 1.0), 1.0), ((1.0, -1.0), NAN)),
    "betainc": (((1.0, 2.0, 0.0), 0.0), ((1.0, 2.0, 1.0), 1.0), ((1.0, 1.0, 0.3), 0.3), ((1.0, 1.0, 1.5), NAN),
                ((NAN, 1.0, 0.5), NAN), ((0.0, 1.0, 0.5), 1.0), ((1.0, 0.0, 0.5), 0.0)),
    "zeta": (((1.0, 2.0), INF), ((0.5, 2.0), NAN), ((2.0, 0.0), INF), ((2.0, -1.0), INF), ((2.5, -0.5), NAN)),
    "erfcx": (((0.0,), 1.0), ((INF,), 0.0), ((-INF,), INF)),
    "erfc_inv": (((0.0,), INF), ((2.0,), -INF), ((1.0,), 0.0), ((-0.5,), NAN), ((3.0,), NAN)),
    "dawsn": (((0.0,), 0.0), ((-0.0,), -0.0), ((INF,), 0.0)),
    "expi": (((0.0,), -INF), ((INF,), INF), ((-INF,), -0.0)),
    "expn": (((1.0, 0.0), INF), ((3.0, 0.0), 0.5), ((1.0, INF), 0.0), ((0.5, 1.0), NAN), ((1.0, -1.0), NAN)),
    "sinint": (((0.0,), 0.0), ((-0.0,), -0.0)),
    "cosint": (((0.0,), -INF), ((INF,), 0.0), ((-1.0,), NAN)),
    "fresnel_sin": (((0.0,), 0.0), ((INF,), 0.5), ((-INF,), -0.5)),
    "fresnel_cos": (((0.0,), 0.0), ((INF,), 0.5), ((-INF,), -0.5)),
    "spence": (((1.0,), 0.0), ((INF,), -INF), ((-1.0,), NAN)),
    "owens_t": (((1.0, 0.0), 0.0), ((1.0, -0.0), -0.0), ((INF, 1.0), 0.0)),
    "polygamma": (((1.0, 0.0), INF), ((-1.0, 1.0), NAN), ((0.5, 1.0), NAN)),
    "nextafter": (((1.0, 1.0), 1.0), ((0.0, -0.0), -0.0), ((INF, INF), INF), ((NAN, 1.0), NAN)),
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_values(name: str, dtype: Any) -> None:
    cases = [(xs, y) for xs, y in SPECIAL[name]]
    arity = len(cases[0][0])
    cases += [((NAN,) * arity, NAN)]
    columns = [np.array([xs[i] for xs, _ in cases], dtype) for i in range(arity)]
    got = compiled(name, dtype, arity)(*columns)
    expected = np.array([y for _, y in cases], dtype)
    with np.errstate(invalid="ignore"):
        same = (got == expected) & (np.signbit(got) == np.signbit(expected))
        close = np.abs(got - expected) <= 2 * np.spacing(np.abs(expected))
    same |= close & (np.trunc(expected * 1024) != expected * 1024)
    same |= np.isnan(got) & np.isnan(expected)
    wrong = [(*case, g) for case, g, s in zip(cases, got, same, strict=True) if not s]
    assert not wrong, wrong


@DTYPES
def test_every_function_has_a_test(dtype: Any) -> None:
    internal = {"sin_huge", "cos_huge", "tan_huge", "mulhi64", "emulated_fma", "narrow_to_odd"}
    internal |= {
        name for name in FUNCTIONS if name.startswith("float")
    }  # tests/backends/test_narrow.py
    internal |= {"half_round", "half_encode", "half_decode"}
    internal |= {"fmod"}  # test_remainders_are_exact
    measured = set(REFERENCES) | internal | {"nextafter", "igamma_grad_a", "random_gamma_grad"}
    assert set(FUNCTIONS) == measured


@DTYPES
@pytest.mark.parametrize("target", [None, "x86-64"])
def test_remainders_are_exact(dtype: Any, target: str | None) -> None:
    """Of numbers of all bits; then with subnormal divisors, and with subnormal operands on both sides."""
    rng, info = np.random.default_rng(11), np.finfo(dtype)
    x, y = (np.frombuffer(rng.bytes(3000 * info.bits // 8), dtype).copy() for _ in range(2))
    with np.errstate(invalid="ignore", under="ignore"):
        y[1000:] *= info.smallest_normal / info.max  # also 0 and the smallest
        x[2000:] *= info.smallest_normal / info.max
        x[1000:1004] = info.max
        y[1000:1004] = info.smallest_subnormal * np.arange(1, 5, dtype=dtype)
        expected = np.fmod(x, y)
    machine = target and link.describe(link.host().triple, target, {"sse4.1": True})
    got = compiled("fmod", dtype, 2, machine or None)(x, y)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got[expected == 0]), np.signbit(x[expected == 0]))


@DTYPES
def test_compiled_is_interpreted(dtype: Any) -> None:
    """The interpreter of scalar expressions gives the same bits as compiled code."""
    rng = np.random.default_rng(3)
    for name in sorted({"exp", "log", "sin", "tanh", "pow", "erf", "lgamma", "igamma"}):
        arity = FUNCTIONS[name].arity
        columns = [np.abs(rng.standard_normal(32) * 3).astype(dtype) for _ in range(arity)]
        inputs = [parameter(i, np.dtype(dtype)) for i in range(arity)]
        slow = scalars.evaluate(call(name, *inputs), dict(zip(inputs, columns, strict=True)))
        np.testing.assert_array_equal(compiled(name, dtype, arity)(*columns), slow, name)


@DTYPES
def test_derivatives_of_incomplete_gamma(dtype: Any) -> None:
    """By differences, in high precision."""
    rng = np.random.default_rng(5)
    a, x = special_operands("igamma", dtype, 24, rng)
    slope = compiled("igamma_grad_a", dtype, 2)(a, x)
    sample = compiled("random_gamma_grad", dtype, 2)(a, x)
    with mp.workprec(200):
        for p, q, d, s in zip(a, x, slope, sample, strict=True):
            p, q = mp.mpf(float(p)), mp.mpf(float(q))
            h = p * mp.mpf(2) ** -60
            ends = [mp.gammainc(p + e, 0, q, regularized=True) for e in (h, -h)]
            exact = (ends[0] - ends[1]) / (2 * h)
            density = mp.exp((p - 1) * mp.log(q) - q - mp.loggamma(p))
            tolerance = 4 * float(np.finfo(dtype).eps) * (1 if dtype is np.float32 else 50)
            assert abs(d - exact) <= tolerance * abs(exact) + 1e-35, (p, q)
            assert abs(s + exact / density) <= tolerance * abs(exact / density), (p, q)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_integer_powers(dtype: Any) -> None:
    x = np.array([0, 1, 2, 3, 5, 7, 10, -1, -2, -3, -1, 0, 2, 1, -1, 4], np.int64).astype(dtype)
    y = np.array([0, 5, 10, 4, 3, 2, 9, 3, 3, 2, 4, 3, 0, 0, 0, 1]).astype(dtype)
    inputs = [parameter(i, np.dtype(dtype)) for i in range(2)]
    got = Compiled([call("pow", *inputs)], 2, 16)(x, y)[0]
    np.testing.assert_array_equal(got, x**y)


def test_a_function_that_is_not_there() -> None:
    for look in (lambda name: FUNCTIONS[name], lambda name: definition(name, ())):
        with pytest.raises(MissingRuleError, match="no function 'digama'") as caught:
            look("digama")
        assert "did you mean digamma or igamma" in str(caught.value)
        assert "compile/functions" in str(caught.value)
