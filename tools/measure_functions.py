"""The accuracy of the functions of compile/functions, measured over millions of points: docs/accuracy.md.

    python -m tools.measure_functions                 every function; about half an hour
    python -m tools.measure_functions --stride 1 exp  all float32 numbers, for some functions
    python -m tools.measure_functions --no-write sin

float32 functions of one operand are compared at every `stride`-th bit pattern with NumPy or SciPy in float64.
The others are compared with the C library in 80-bit long double where it has them, else with mpmath, at
random points of all exponents and near the hard ones of tests/compile/test_functions.py.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import scipy.special
from tests.compile.test_functions import REFERENCES, compiled, operands, ulps

from covector._engine.backends.cpu import link
from covector._engine.compile.functions import FUNCTIONS

Array = np.ndarray
LONG = np.longdouble
CHUNK = 1 << 20

# In the format above: NumPy's functions take long double as well as float64.
NUMPY: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "cbrt": np.cbrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "atan2": np.arctan2, "pow": np.power, "hypot": np.hypot,
}  # fmt: skip
SCIPY: dict[str, Callable[..., Any]] = {
    "erf": scipy.special.erf, "erfc": scipy.special.erfc, "erf_inv": scipy.special.erfinv,
    "lgamma": scipy.special.gammaln, "digamma": scipy.special.digamma, "bessel_i0e": scipy.special.i0e,
    "bessel_i1e": scipy.special.i1e,
}  # fmt: skip
LIBM = ("erf", "erfc", "lgamma")  # in long double, one by one
POINTS = {"numpy": 4_000_000, "libm": 300_000, "mpmath": 20_000}
FEW = {
    "igamma": 1500,
    "igammac": 1500,
    "zeta": 1000,
    "polygamma": 1500,
    "betainc": 1000,
    "erf_inv": 6000,
    "expi": 1000,
    "expn": 1000,
    "sinint": 1000,
    "cosint": 1000,
    "fresnel_sin": 1000,
    "fresnel_cos": 1000,
    "spence": 1000,
    "owens_t": 100,
    "hyp1f1": 500,
    "hyp2f1": 500,
    "erfcx": 2000,
    "erfc_inv": 500,
    "dawsn": 1000,
}


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest error found, where, and at how many points it was looked for."""

    ulp: float
    where: tuple[float, ...]
    points: int
    against: str


def libm(name: str) -> Callable[[Array], Array]:
    """A function of the C library in long double."""
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), f"{name}l")
    function.restype = ctypes.c_longdouble
    function.argtypes = [ctypes.c_longdouble]
    return lambda x: np.array([function(v) for v in x], LONG)


def errors(got: Array, exact: Array) -> Array:
    """Units in the last place; what rounds to the same infinity, and NaN for NaN, is right."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        unit = np.spacing(np.abs(rounded)).astype(exact.dtype)
        error = np.abs(got.astype(exact.dtype) - exact) / unit
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        unbounded = ~np.isfinite(rounded) | ~np.isfinite(got)
        return np.where(unbounded, np.where(same, 0.0, np.inf), error).astype(np.float64)


def all_bits(stride: int, low: float, high: float) -> Iterator[Array]:
    """Every stride-th float32 of the interval, in chunks."""
    for first in range(0, 1 << 32, CHUNK * stride):
        patterns = np.arange(first, min(first + CHUNK * stride, 1 << 32), stride, dtype=np.uint64)
        x = patterns.astype(np.uint32).view(np.float32)
        with np.errstate(invalid="ignore"):
            yield x[(x >= low) & (x <= high)]


def worst_of_unary(name: str, stride: int) -> Worst:
    """float32 against float64 over the bit patterns."""
    function = compiled(name, np.float32, 1)
    reference = NUMPY.get(name) or SCIPY[name]
    worst, where, points = 0.0, 0.0, 0
    for x in all_bits(stride, *FUNCTIONS[name].domain[0]):
        if not len(x):
            continue
        with np.errstate(all="ignore"):
            error = errors(function(x), reference(x.astype(np.float64)))
        place = int(np.argmax(error))
        points += len(x)
        if error[place] > worst:
            worst, where = float(error[place]), float(x[place])
    return Worst(worst, (where,), points, "float64")


def worst_of_sample(name: str, dtype: Any) -> Worst:
    """Against long double or mpmath at random and at hard points."""
    function = FUNCTIONS[name]
    run = compiled(name, dtype, function.arity)
    if name in NUMPY or (name in LIBM and dtype is np.float64):
        kind = "numpy" if name in NUMPY else "libm"
        reference = NUMPY[name] if name in NUMPY else libm(name)
        columns = operands(function, dtype, POINTS[kind] // 3)
        with np.errstate(all="ignore"):
            error = errors(run(*columns), reference(*[c.astype(LONG) for c in columns]))
        place = int(np.argmax(error))
        where = tuple(float(c[place]) for c in columns)
        return Worst(float(error[place]), where, len(error), "long double")
    columns = operands(function, dtype, FEW.get(name, POINTS["mpmath"]))
    worst, where = 0.0, ()
    with mp.workprec(500 if name == "zeta" else 160):
        for got, *xs in zip(run(*columns), *columns, strict=True):
            error = ulps(got, REFERENCES[name](*[mp.mpf(float(x)) for x in xs]), dtype)
            if not error <= worst:
                worst, where = error, tuple(float(x) for x in xs)
    return Worst(worst, where, len(columns[0]), "mpmath")


HEAD = """# Accuracy

The largest errors found of the scalar functions, in units in the last place (ulp) of the exact result; a
correctly rounded result has at most 0.5. Written by `python -m tools.measure_functions`, on a CPU with vectors of
{bits} bits.
The bound is what the tests hold each function to and what it promises, float32 and float64.

16-bit floats are computed in float32 and rounded: at most 0.5 ulp and a little. Without a fused
multiply-add instruction it is emulated, with the same results but for rare double roundings. Below the
table: what the numbers leave out.

| function | float32 | at | points | against | float64 | at | points | against | bound |
|---|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
- `lgamma` and `digamma` of negative numbers: the error is relative to the larger of the result and of what
  the reflection formula subtracts, so next to a zero of the function it is large relative to the result.
- `igamma`, `igammac` of large operands close to each other in float64: a result of e^-E has a relative error of about
  E epsilon. `betainc` where it is a difference from 1, or x next to a / (a + b): the absolute error is small.
- `cosint` next to its zeros, `owens_t` where it is a small difference, `hyp1f1` and `hyp2f1` of operands of
  both signs: the absolute error is small, not the relative one. The rows are of positive parameters.
- Complex division: at most 2.6 ulp of the result's larger part; of 1 / z each part within 2.1 ulp of its own, where
  parts of z or of the result are subnormal too (30,000 points of each dtype, against fractions).
- The powers, sums and derivatives have no other exceptions: subnormal operands and results, huge arguments
  of the trigonometric functions (reduced with as many bits of pi as they need) are counted above.
"""


def row(name: str, single: Worst, double: Worst) -> str:
    """A line of the table."""

    def place(w: Worst) -> str:
        return ", ".join(f"{x:.6g}" for x in w.where)

    def count(w: Worst) -> str:
        return f"{w.points / 1e6:.1f}M" if w.points >= 1e5 else str(w.points)

    bound = "{:g}, {:g}".format(*FUNCTIONS[name].ulp)
    cells = [f"`{name}`"]
    for w in (single, double):
        cells += [f"{w.ulp:.2f}", place(w), count(w), w.against]
    return "| " + " | ".join([*cells, bound]) + " |"


def main() -> int:
    """Measure, print and write the table; 1 if a function breaks its promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--stride", type=int, default=61)
    parser.add_argument("--no-write", action="store_true")
    chosen = parser.parse_args()
    lines, broken = [], 0
    for name in chosen.names or [n for n in FUNCTIONS if n in REFERENCES]:
        unary = name in NUMPY or name in SCIPY
        if unary and FUNCTIONS[name].arity == 1:
            single = worst_of_unary(name, chosen.stride)
        else:
            single = worst_of_sample(name, np.float32)
        double = worst_of_sample(name, np.float64)
        lines.append(row(name, single, double))
        bounds = FUNCTIONS[name].ulp
        over = single.ulp > bounds[0] or double.ulp > bounds[1]
        broken += over
        sys.stdout.write(lines[-1] + ("   <-- over its bound" if over else "") + "\n")
        sys.stdout.flush()
    if not chosen.no_write and not chosen.names:
        path = Path(__file__).parent.parent / "docs/accuracy.md"
        path.write_text(
            HEAD.format(bits=8 * link.host().vector_bytes) + "\n".join(lines) + "\n" + TAIL
        )
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
