"""Complex functions, compiled, against NumPy in a wider format: ranges, branch cuts, signed zeros, infinities."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.amount import HANGS

import covector
from covector import lax, numpy as cnp
from covector._engine import _native, primitives as prims
from covector._engine.core import trace
from covector._engine.runtime.executable import Executable
from covector._engine.types.avals import ShapedArray

WIDE: dict[Any, Any] = {np.complex64: np.complex128, np.complex128: np.clongdouble}
DTYPES = pytest.mark.parametrize("dtype", [np.complex64, np.complex128])


@dataclass(frozen=True)
class Case:
    """A function, its meaning in NumPy, and its largest error in units of eps |result|."""

    name: str
    primitive: prims.Elementwise
    numpy: Callable[..., Any]
    eps: float = 3.0
    arity: int = 1
    # largest exponent of 2 of the operands; None: the whole range of the format
    range: float | None = None
    # whether NumPy has C99's results for infinities and NaN, or just what a formula gives
    specials: bool = True

    def __str__(self) -> str:
        return self.name


def log1p(z: Any) -> Any:
    """NumPy's loses small operands."""
    x, y = z.real, z.imag
    near = 0.5 * np.log1p(x * (2 + x) + y * y)
    re = np.where(np.abs(z) < 0.5, near, np.log(np.hypot(1 + x, y)))
    return pairs(re, np.arctan2(y, 1 + x), z.dtype)


def logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def rsqrt(z: Any) -> Any:
    return 1 / np.sqrt(z)


UNARY = (
    Case("abs", prims.abs_, np.abs),
    Case("sign", prims.sign, lambda z: z / np.where(z == 0, 1, np.abs(z)), specials=False),
    Case("square", prims.square, np.square),
    Case("sqrt", prims.sqrt, np.sqrt),
    Case("rsqrt", prims.rsqrt, rsqrt, specials=False),
    Case("exp", prims.exp, np.exp),
    Case("exp2", prims.exp2, np.exp2, range=8),  # NumPy rounds y ln2
    Case("expm1", prims.expm1, np.expm1, 4, specials=False),
    Case("logistic", prims.logistic, logistic, 4, range=5, specials=False),
    Case("log", prims.log, np.log),
    Case("log1p", prims.log1p, log1p, range=16),
    Case("sin", prims.sin, np.sin),
    Case("cos", prims.cos, np.cos),
    Case("tan", prims.tan, np.tan, 5),
    Case("sinh", prims.sinh, np.sinh),
    Case("cosh", prims.cosh, np.cosh),
    Case("tanh", prims.tanh, np.tanh, 5),
    Case("asin", prims.asin, np.arcsin),
    Case("acos", prims.acos, np.arccos),
    Case("atan", prims.atan, np.arctan),
    Case("asinh", prims.asinh, np.arcsinh),
    Case("acosh", prims.acosh, np.arccosh),
    Case("atanh", prims.atanh, np.arctanh),
)
BINARY = (
    Case("mul", prims.mul, np.multiply, arity=2),
    Case("div", prims.div, np.divide, arity=2),
)


def compiled(primitive: prims.Elementwise, *operands: np.ndarray) -> Any:
    """The primitive's result, compiled for the operands' types."""
    avals = [ShapedArray(x.shape, x.dtype) for x in operands]
    executable = Executable(trace.stage(lambda *xs: (primitive(*xs),), avals, primitive.name))
    return np.asarray(executable([_native.array_from(x) for x in operands])[0])


def pairs(re: Any, im: Any, dtype: Any) -> Any:
    """Complex numbers from parts: unlike `re + 1j * im`, zeros keep their signs and infinities stay alone."""
    result = np.empty(np.broadcast_shapes(np.shape(re), np.shape(im)), dtype)
    result.real, result.imag = re, im
    return result


@np.errstate(over="ignore", under="ignore")
def points(rng: np.random.Generator, dtype: Any, largest: float | None = None) -> np.ndarray:
    """Points over a wide range, near 0 and the circle and points where functions are singular, on axes."""
    info = np.finfo(dtype)
    n, small = 200, info.eps / 4
    top = info.maxexp if largest is None else largest

    def wide(high: float) -> Any:
        low = max(info.minexp, high - 2 * abs(high))
        return rng.choice([-1.0, 1.0], n) * np.exp2(rng.uniform(low, high, n))

    def normal(scale: float) -> Any:
        return rng.normal(size=n) * scale

    zeros, units = rng.choice([0.0, -0.0], n), rng.choice([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], n)
    angle = rng.uniform(-np.pi, np.pi, n)
    radius = 1 + wide(-1.0) * small ** rng.random(n)
    near = small ** rng.random(n)
    quarter = rng.integers(-3, 4, n) * (np.pi / 2)
    parts = (
        (wide(top), wide(top)),
        (wide(top), zeros),
        (zeros, wide(top)),
        (wide(top), units),
        (units, wide(top)),
        (normal(1), normal(1)),
        (normal(10), normal(10)),
        (normal(1), normal(1e-3)),
        (normal(1e-3), normal(1)),
        (units + near * normal(1), near * normal(1)),
        (near * normal(1), units + near * normal(1)),
        (units, zeros),
        (zeros, units),
        (radius * np.cos(angle), radius * np.sin(angle)),
        (normal(5), quarter),
        (quarter, normal(5)),
    )
    return np.concatenate([pairs(re, im, dtype) for re, im in parts])


@np.errstate(all="ignore")
def assert_accurate(actual: Any, expected: Any, eps: Any, operands: Any) -> None:
    """|actual - expected| <= eps |expected|, but for what underflows; not where the result overflows."""
    info = np.finfo(actual.dtype)
    actual = actual.astype(expected.dtype)
    size = np.abs(expected)
    fits = size < float(info.max)  # false for NaN
    error = np.abs(actual - expected)
    bound = eps * info.eps * size + 4 * info.smallest_subnormal
    wrong = np.flatnonzero(fits & ~(error <= bound))
    shown = [([x[i] for x in operands], actual[i], expected[i]) for i in wrong[:3]]
    assert not wrong.size, (
        f"{wrong.size} of {actual.size} are wrong; operands, result, expected: {shown}"
    )


@DTYPES
@pytest.mark.parametrize("case", UNARY + BINARY, ids=str)
def test_accuracy(case: Case, dtype: Any) -> None:
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    operands = [rng.permutation(points(rng, dtype, case.range)) for _ in range(case.arity)]
    with np.errstate(all="ignore"):
        expected = case.numpy(*[x.astype(WIDE[dtype]) for x in operands])
    assert_accurate(compiled(case.primitive, *operands), expected, case.eps, operands)


@DTYPES
def test_accuracy_of_pow(dtype: Any) -> None:
    """complex64 is computed in complex128; the error of complex128 grows with that of w log z."""
    rng = np.random.default_rng(7)
    z = points(rng, dtype, 40)
    w = pairs(rng.normal(size=z.size) * 3, rng.normal(size=z.size), dtype)
    w[::4].imag = 0.0
    with np.errstate(all="ignore"):
        wide = z.astype(WIDE[dtype]), w.astype(WIDE[dtype])
        expected = np.power(*wide)
        exponent = np.nan_to_num(np.abs(wide[1] * np.log(wide[0])), posinf=0.0)
    eps = 1.0 if dtype is np.complex64 else 3.0 + exponent
    assert_accurate(compiled(prims.pow_, z, w), expected, eps, (z, w))


@DTYPES
def test_pow_of_zero(dtype: Any) -> None:
    z = pairs([0.0, 0.0, 0.0, 2.0, 0.0, np.inf], [0.0, 0.0, 0.0, 1.0, 1.0, 0.0], dtype)
    w = pairs([0.0, 2.0, -1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0], dtype)
    result = compiled(prims.pow_, z, w)
    np.testing.assert_array_equal(result[[0, 1, 3, 4]], np.array([1, 0, 1, 1]))
    assert np.isnan(result[2])
    assert np.isinf(result[5])


@np.errstate(all="ignore")
def assert_same_specials(actual: Any, expected: Any, z: Any) -> None:
    """Parts are alike: NaN, infinite, zero, with the same sign unless NaN."""
    for a, e in (actual.real, expected.real), (actual.imag, expected.imag):
        tolerance = 8 * np.finfo(a.dtype).eps
        same = (a == e) | (np.abs(a - e) <= tolerance * np.abs(e)) | (np.isnan(a) & np.isnan(e))
        same &= (np.signbit(a) == np.signbit(e)) | np.isnan(a)
        wrong = np.flatnonzero(~same)
        shown = [(z[i], actual[i], expected[i]) for i in wrong[:5]]
        assert not wrong.size, f"operand, result, expected: {shown}"


@DTYPES
@pytest.mark.parametrize("case", [c for c in UNARY if c.specials], ids=str)
def test_special_operands(case: Case, dtype: Any) -> None:
    """Zeros, points of the branch cuts on both sides, infinities, NaN: as NumPy, sign for sign."""
    parts = [0.0, -0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, np.inf, -np.inf, np.nan]
    z = pairs(*np.meshgrid(parts, parts), dtype=dtype).ravel()  # type: ignore[misc]
    with np.errstate(all="ignore"):
        expected: Any = np.asarray(case.numpy(z)).astype(dtype)
    actual = compiled(case.primitive, z).astype(dtype)
    # C99 leaves the signs of some zeros and infinities open beside or for a NaN or an infinite angle.
    determined = np.isfinite(z) | ~(np.isnan(expected.real) | np.isnan(expected.imag))
    if case.name in ("exp", "exp2"):
        determined &= ~(np.isinf(z.real) & ~np.isfinite(z.imag))
    assert_same_specials(actual[determined], expected[determined], z[determined])
    nan = ~determined & np.isnan(expected.real) & np.isnan(expected.imag)
    assert np.isnan(actual[nan]).all()


@DTYPES
def test_special_operands_of_division(dtype: Any) -> None:
    one, inf, nan = 1.0, np.inf, np.nan
    z = pairs([one, one, 0.0, 3.0, 3.0, one, inf], [0.0, one, 0.0, 5.0, 5.0, one, one], dtype)
    w = pairs([0.0, 0.0, 0.0, 7.0, 0.0, inf, 2.0], [0.0, 0.0, 0.0, 0.0, 7.0, -inf, one], dtype)
    re = np.array([inf, inf, nan, 3 / 7, 5 / 7, 0.0, inf]).astype(np.finfo(dtype).dtype)
    im = np.array([nan, inf, nan, 5 / 7, -3 / 7, 0.0, -inf]).astype(np.finfo(dtype).dtype)
    result = compiled(prims.div, z, w)
    np.testing.assert_array_equal(result.real, re)
    np.testing.assert_array_equal(result.imag, im)


@DTYPES
def test_both_parts_of_a_reciprocal_have_their_digits(dtype: Any) -> None:
    """However small one of them is, of the number or of the result, against fractions: to 2.5 units of its own."""
    info = np.finfo(dtype)
    lowest, highest = info.minexp - info.nmant, info.maxexp
    rng = np.random.default_rng(4)
    exponents = rng.integers(lowest, highest, (2, 4000))
    x, y = np.ldexp(rng.uniform(1, 2, (2, 4000)), exponents).astype(info.dtype)
    # what used to lose its digits: the small part of the number, or of the result, as it was scaled
    small = [(1.5e-3, float(info.smallest_subnormal) * n) for n in (1, 3, 11)]
    a, b = np.array([*small, *[(q, p) for p, q in small]], info.dtype).T
    w = pairs(np.concatenate([x, a]), np.concatenate([-y, b]), dtype)
    found = compiled(prims.div, np.ones_like(w), w)
    for z, got in zip(w, found, strict=True):
        re, im = Fraction(float(z.real)), Fraction(float(z.imag))
        norm = re * re + im * im
        for exact, part in ((re / norm, got.real), (-im / norm, got.imag)):
            if abs(exact) < Fraction(float(info.max)):
                unit = Fraction(float(np.spacing(info.dtype.type(abs(float(exact))))))
                assert abs(exact - Fraction(float(part))) <= Fraction(5, 2) * unit, (z, got)


@DTYPES
def test_a_number_over_itself_is_one(dtype: Any) -> None:
    z = points(np.random.default_rng(3), dtype)
    z = z[(z != 0) & np.isfinite(z)]
    np.testing.assert_array_equal(compiled(prims.div, z, z), np.ones_like(z))


@DTYPES
def test_sign_of_infinities_and_zero(dtype: Any) -> None:
    z = pairs([0.0, np.inf, -np.inf, 2.0, np.inf], [0.0, 1.0, 5.0, np.inf, np.inf], dtype)
    result = compiled(prims.sign, z)
    np.testing.assert_array_equal(result[:4], np.array([0, 1, -1, 1j]))
    assert np.isnan(result[4])


def test_the_first_program_of_a_process_may_be_complex(tmp_path: Path) -> None:
    """The operations are in a table that is filled when the compiler is loaded."""
    code = (
        "import covector as cv, numpy as np; print(cv.jit(lambda z: z * z * 2)(np.complex64(1j)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
        env={**os.environ, "COVECTOR_CACHE_DIR": str(tmp_path)},
    )
    assert done.stdout == "(-2+0j)\n", done.stderr


@DTYPES
@pytest.mark.parametrize("n", [1, 3, 16, 33, 1000])
def test_parts_take_turns_in_memory(dtype: Any, n: int) -> None:
    """Lanes store both parts at once; also where the result takes over the operand's memory."""
    z = points(np.random.default_rng(n), dtype)[:n]
    z = np.where(np.isfinite(z) & (abs(z) < 100), z, dtype(1 + 2j))
    forms: list[tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray]]] = [
        (cnp.conj, np.conj),
        (lambda z: lax.complex(z.imag, z.real), lambda z: z.imag + 1j * z.real),
        (lambda z: lax.complex(z.imag + 1, z.imag), lambda z: z.imag + 1 + 1j * z.imag),
        (lambda z: z * z, lambda z: z * z),
    ]
    for f, wanted in forms:
        for donated in ((), (0,)):
            found = covector.jit(f, donate_argnums=donated)(cnp.array(z))
            np.testing.assert_allclose(found, wanted(z).astype(dtype), rtol=1e-5)
    text = covector.jit(lambda z: z * z).lower(z).compile().as_text("kernels")
    assert ("@ vector" in text) == (n >= 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_complex_numbers_of_parts(dtype: str) -> None:
    """Those of 16-bit floats have parts of 32, in compiled code too, and cotangents of 16."""
    x, y = cnp.array([1.5, 2.0, -3.0], dtype), cnp.array([0.5, 0.0, 1.0], dtype)
    z = np.asarray(x.astype("float64")) + 1j * np.asarray(y.astype("float64"))
    same = covector.jit(lambda x, y, z: lax.complex(x, y) == z)(x, y, cnp.asarray(z, "complex64"))
    assert np.asarray(same).all()
    slopes = covector.jit(
        covector.grad(lambda x, y: (cnp.abs(lax.complex(x, y)) ** 2).sum(), (0, 1))
    )(x, y)
    for slope, part in zip(slopes, (z.real, z.imag), strict=True):
        assert slope.dtype == dtype
        np.testing.assert_allclose(np.asarray(slope.astype("float64")), 2 * part, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_poles_are_reached_only_there(dtype: Any) -> None:
    """Next to 1 and i, down to the smallest number, which 2 / x has no float for."""
    sizes = [np.finfo(dtype).smallest_subnormal * 2.0**k for k in range(0, 120, 7)]
    z = np.array([complex(1, s) for s in sizes], dtype)
    wanted = np.log(2) / 2 - np.log(np.array(sizes, np.longdouble)) / 2
    for found in (cnp.arctanh(cnp.asarray(z)).real, cnp.arctan(cnp.asarray(1j * z.conj())).imag):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(
            np.asarray(found), wanted.astype(float), rtol=4 * np.finfo(dtype).eps
        )
