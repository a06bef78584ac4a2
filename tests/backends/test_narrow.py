"""Conversions to and from narrow types, compiled, beside those of `ml_dtypes`."""

import numpy as np
import pytest

import covector as cv
from covector._engine import primitives as prims
from covector._engine.backends.reference import scalars
from covector._engine.core.symbolic import NO_SLOPE
from covector._engine.ir.scalar import SCALAR_OPS, Expr, apply
from covector._engine.types import dtypes, narrow

FLOATS = pytest.mark.parametrize("dtype", narrow.FLOATS, ids=str)
INTS = pytest.mark.parametrize("dtype", narrow.INTS, ids=str)


def converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.asarray(cv.jit(lambda x: prims.Convert(dtype)(x))(x))


def codes_of(dtype: np.dtype) -> np.ndarray:
    """All numbers of a dtype; of integers also with something in the bits that do not count."""
    count = 256 if dtype in narrow.INTS else 2 ** dtypes.bits(dtype)
    return np.arange(count).astype(np.uint8).view(dtype)


def near_and_between(dtype: np.dtype) -> np.ndarray:
    """float32 numbers: the values of a format, the ties between, the neighbours of both, and random bits."""
    rng = np.random.default_rng(0)
    own = codes_of(dtype).astype(np.float32)
    size = np.unique(np.abs(own[np.isfinite(own)]))
    found = np.concatenate([size, (size[1:] + size[:-1]) / 2, size[-1:] * [1.01, 1.2, 2]])
    found = found.astype(np.float32)
    found = np.concatenate([found, np.nextafter(found, np.inf), np.nextafter(found, -np.inf)])
    special = np.array([0, np.inf, np.nan, 1e-45, 1e-39], np.float32)
    bits = rng.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    found = np.concatenate([found, special])
    return np.concatenate([found, -found, bits])


@FLOATS
def test_from_float32(dtype: np.dtype) -> None:
    with np.errstate(all="ignore"):
        x = near_and_between(dtype)
    with np.errstate(all="ignore"):
        wanted = x.astype(dtype)
    np.testing.assert_array_equal(converted(x, dtype).view(np.uint8), wanted.view(np.uint8))


@FLOATS
def test_from_float64_is_rounded_once(dtype: np.dtype) -> None:
    """NumPy goes through float32 there: a number just above a tie must go up."""
    own = codes_of(dtype).astype(np.float64)
    values = np.unique(own[np.isfinite(own) & (own > 2.0**-126)])
    middle = (values[1:] + values[:-1]) / 2
    for nudged, wanted in (
        (middle * (1 + 2.0**-45), values[1:]),
        (middle * (1 - 2.0**-45), values[:-1]),
    ):
        np.testing.assert_array_equal(converted(nudged, dtype).astype(np.float64), wanted)


@FLOATS
def test_to_wider(dtype: np.dtype) -> None:
    codes = codes_of(dtype)
    for wide in (np.float32, np.float64, np.float16, np.complex64):
        with np.errstate(all="ignore"):
            wanted = codes.astype(np.float32).astype(wide)
        found = converted(codes, np.dtype(wide))
        np.testing.assert_array_equal(found, wanted)
        number = ~np.isnan(wanted)
        signs = np.signbit(found.real[number])
        np.testing.assert_array_equal(signs, np.signbit(wanted.real[number]))


@INTS
def test_integers(dtype: np.dtype) -> None:
    """They keep the low bits, whatever the byte holds beside; floats saturate, and NaN is 0."""
    codes, rng = codes_of(dtype), np.random.default_rng(0)
    for wide in (np.int8, np.uint8, np.int32, np.uint64, np.float32, np.bool_):
        np.testing.assert_array_equal(converted(codes, np.dtype(wide)), codes.astype(wide))
    for wide in (np.int8, np.uint8, np.int32, np.uint64, np.bool_):
        x = rng.integers(0, 200, 100).astype(wide)
        np.testing.assert_array_equal(converted(x, dtype), x.astype(dtype))
    floats = np.array(
        [-1e9, -9, -1.5, -0.5, 0, 0.5, 1.7, 3.9, 20, np.inf, -np.inf, np.nan], np.float32
    )
    info = dtypes.iinfo(dtype)
    wanted = np.clip(np.trunc(np.nan_to_num(floats)), info.min, info.max)
    np.testing.assert_array_equal(converted(floats, dtype).astype(np.float32), wanted)


_OF_FLOATS = "add sub mul div neg abs min max eq lt sqrt rint"
_OF_INTS = "add sub mul neg min max eq lt and or xor not abs popcount clz mulhi shl sar shr"
_NO_SLOPES = (NO_SLOPE, NO_SLOPE)


def row_of(op: str, arity: int) -> prims.Elementwise:
    result = "bool" if op in ("eq", "lt") else "same"
    return prims.Elementwise(op, np.add, _NO_SLOPES[:arity], prims.scalar_op(op), "iuf", result)


@pytest.mark.parametrize("dtype", [*narrow.FLOATS, *narrow.INTS], ids=str)
def test_arithmetic_is_the_interpreters(dtype: np.dtype) -> None:
    """Pairs of numbers, bit for bit (NaNs apart): rounded or wrapped after each operation."""
    values = np.unique(codes_of(dtype).astype(np.float32))
    values = values[:: 7 if dtypes.bits(dtype) == 8 else 1]
    x, y = (v.ravel().astype(dtype) for v in np.meshgrid(values, values))
    names = _OF_INTS if dtypes.is_integer(dtype) else _OF_FLOATS
    operands, wanted = {}, {}
    for name in names.split():
        arity = SCALAR_OPS[name].arity
        if name in ("shl", "sar", "shr"):
            y = (y.astype(np.int64) % dtypes.bits(dtype)).astype(dtype)
        operands[name] = (x, y)[:arity]
        leaves = [Expr("local", (), dtype, str(n)) for n in range(arity)]
        values_of = dict(zip(leaves, operands[name], strict=True))
        wanted[name] = scalars.evaluate(apply(name, *leaves), values_of)
    rows = {name: row_of(name, len(xs)) for name, xs in operands.items()}
    found = cv.jit(lambda all: {name: rows[name](*xs) for name, xs in all.items()})(operands)
    for name in operands:
        pair = [np.asarray(v[name]).astype(np.float32) for v in (found, wanted)]
        np.testing.assert_array_equal(*pair, name)
        number = ~np.isnan(pair[0])
        np.testing.assert_array_equal(*[np.signbit(v[number]) for v in pair], name)
