"""The elementwise functions against NumPy, over dtypes and shapes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector.numpy as cnp

FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
INTEGERS = [np.int8, np.int32, np.int64, np.uint8, np.uint32]
SHAPES = [(), (1,), (3,), (2, 1), (2, 3), (0, 3)]

UNARY = [
    "absolute",
    "fabs",
    "sign",
    "square",
    "negative",
    "positive",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "deg2rad",
    "rad2deg",
    "reciprocal",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
    "signbit",
    "logical_not",
    "sinc",
    "i0",
    "spacing",
    "conjugate",
    "real",
    "imag",
    "angle",
    "isreal",
    "iscomplex",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "fmod",
    "power",
    "float_power",
    "arctan2",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "copysign",
    "heaviside",
    "nextafter",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]
INTEGER_UNARY = [
    "absolute",
    "sign",
    "square",
    "negative",
    "floor",
    "ceil",
    "trunc",
    "isnan",
    "isfinite",
    "logical_not",
    "bitwise_not",
    "bitwise_count",
]
INTEGER_BINARY = [
    "add",
    "subtract",
    "multiply",
    "floor_divide",
    "remainder",
    "fmod",
    "maximum",
    "minimum",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "logical_and",
    "logical_or",
    "logical_xor",
]


def compare(actual: object, expected: np.ndarray, dtype: np.dtype) -> None:
    a = np.asarray(actual)
    assert a.shape == expected.shape
    wide = np.complex128 if np.iscomplexobj(a) else np.float64
    eps = (
        {2: 1e-2, 4: 2e-6, 8: 1e-13}[np.dtype(dtype).itemsize]
        if np.dtype(dtype).itemsize < 16
        else 1e-12
    )
    np.testing.assert_allclose(a.astype(wide), expected.astype(wide), rtol=eps, atol=eps)


def values(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: object, scale: float = 2.0
) -> np.ndarray:
    return np.asarray(rng.normal(size=shape) * scale).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", UNARY)
def test_unary_floats(name: str, dtype: type, rng: np.random.Generator) -> None:
    x = np.append(values(rng, (40,), dtype), np.array([0, 1, -1, np.inf, -np.inf, np.nan], dtype))
    if name == "spacing":
        x = x[:40]
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 and name != "spacing" else x
        if x.dtype.name == "bfloat16" and name == "spacing":
            pytest.skip("NumPy has none")
        expected = getattr(np, name)(wide)
        actual = getattr(cnp, name)(cnp.asarray(x))
    if expected.dtype == bool:
        np.testing.assert_array_equal(np.asarray(actual), expected)
        return
    assert actual.dtype == x.dtype
    keep = np.abs(expected.astype(np.float64)) < (1e4 if x.dtype.itemsize == 2 else np.inf)
    compare(np.asarray(actual)[keep], expected.astype(x.dtype)[keep], x.dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", BINARY)
def test_binary_floats(name: str, dtype: type, rng: np.random.Generator) -> None:
    special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan], dtype)
    x = np.append(values(rng, (60,), dtype), np.repeat(special, 7))
    y = np.append(values(rng, (60,), dtype), np.tile(special, 7))
    with np.errstate(all="ignore"):
        expected = (
            getattr(np, name)(x.astype(np.float32), y.astype(np.float32))
            if dtype is np.float16 and name != "nextafter"
            else getattr(np, name)(x, y)
        )
        actual = np.asarray(getattr(cnp, name)(cnp.asarray(x), cnp.asarray(y)))
    if expected.dtype == bool:
        np.testing.assert_array_equal(actual, expected)
        return
    assert actual.dtype == dtype
    keep = ~(np.abs(expected) > 1e4) if dtype is np.float16 else np.full(x.shape, True)
    if name in ("floor_divide", "remainder", "divmod"):  # by zero and of infinities: as XLA's
        keep &= np.isfinite(x) & np.isfinite(y) & (y != 0)
    if name in ("fmax", "fmin", "maximum", "minimum"):
        keep &= (x != 0) | (y != 0)
    if name == "heaviside":
        keep &= ~np.isnan(y)
    compare(actual[keep], expected.astype(dtype)[keep], np.dtype(dtype))


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", INTEGER_UNARY)
def test_unary_integers(name: str, dtype: type, rng: np.random.Generator) -> None:
    low = 0 if np.iinfo(dtype).min == 0 else -9
    x = rng.integers(low, 10, 20).astype(dtype)
    np.testing.assert_array_equal(
        np.asarray(getattr(cnp, name)(cnp.asarray(x))), getattr(np, name)(x)
    )


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", INTEGER_BINARY)
def test_binary_integers(name: str, dtype: type, rng: np.random.Generator) -> None:
    low = 0 if np.iinfo(dtype).min == 0 else -9
    x, y = rng.integers(low, 10, 50).astype(dtype), rng.integers(low, 10, 50).astype(dtype)
    y = np.where(y == 0, 3, y).astype(dtype) if name in ("floor_divide", "remainder", "fmod") else y
    actual = getattr(cnp, name)(cnp.asarray(x), cnp.asarray(y))
    np.testing.assert_array_equal(np.asarray(actual), getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(
    "name",
    [
        "exp",
        "log",
        "sqrt",
        "sin",
        "cos",
        "tanh",
        "square",
        "negative",
        "conjugate",
        "real",
        "imag",
        "angle",
        "absolute",
        "reciprocal",
        "isnan",
        "isfinite",
    ],
)
def test_unary_complex(name: str, dtype: type, rng: np.random.Generator) -> None:
    x = (rng.normal(size=12) + 1j * rng.normal(size=12)).astype(dtype)
    compare(
        getattr(cnp, name)(cnp.asarray(x)),
        np.asarray(getattr(np, name)(x)),
        np.float32 if dtype is np.complex64 else np.float64,
    )


@given(st.sampled_from(SHAPES), st.sampled_from(SHAPES))
def test_shapes_broadcast(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    x, y = np.ones(one, np.float32), np.full(two, 2, np.float32)
    try:
        expected = x + y
    except ValueError:
        with pytest.raises(TypeError, match="add got shapes that do not fit"):
            cnp.add(cnp.asarray(x), cnp.asarray(y))
        return
    np.testing.assert_array_equal(np.asarray(cnp.asarray(x) + cnp.asarray(y)), expected)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, -1, -2, 2.0, 0.5, 3.5])
def test_powers_of_python_numbers(exponent: float) -> None:
    x = cnp.array([0.5, 1.5, 3.0])
    np.testing.assert_allclose(np.asarray(x**exponent), np.asarray(x) ** exponent, rtol=1e-6)
    assert (x**exponent).dtype == np.float32


def test_integer_powers() -> None:
    base, exponent = cnp.array([2, -3, 5, 0]), cnp.array([10, 3, 0, 4])
    np.testing.assert_array_equal(np.asarray(base**exponent), [1024, -27, 1, 0])
    np.testing.assert_array_equal(np.asarray(base**2), [4, 9, 25, 0])
    np.testing.assert_array_equal(np.asarray(2 ** cnp.array([0, 3, 10])), [1, 8, 1024])
    with pytest.raises(TypeError, match="power -1"):
        base**-1


def test_divmod_and_modf() -> None:
    for got, wanted in zip(cnp.divmod(cnp.array([7, -7]), 3), np.divmod([7, -7], 3), strict=True):
        np.testing.assert_array_equal(np.asarray(got), wanted)
    for got, wanted in zip(cnp.modf(cnp.array([1.5, -2.25])), np.modf([1.5, -2.25]), strict=True):
        np.testing.assert_array_equal(np.asarray(got), wanted)


def test_round() -> None:
    x = np.array([0.5, 1.5, -2.5, 2.675, 1234.5], np.float32)
    for decimals in (0, 1, 2):
        np.testing.assert_allclose(
            np.asarray(cnp.round(cnp.asarray(x), decimals)), np.round(x, decimals), rtol=1e-6
        )
    assert cnp.round(cnp.arange(3)).dtype == np.int32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ldexp(dtype: type, rng: np.random.Generator) -> None:
    x = values(rng, (20,), dtype)
    n = rng.integers(-12, 12, 20).astype(np.int32)
    np.testing.assert_array_equal(
        np.asarray(cnp.ldexp(cnp.asarray(x), cnp.asarray(n))), np.ldexp(x, n)
    )


def test_where_clip_select_nan_to_num(rng: np.random.Generator) -> None:
    x = values(rng, (4, 3), np.float32)
    np.testing.assert_array_equal(
        np.asarray(cnp.where(cnp.asarray(x) > 0, cnp.asarray(x), 0)), np.where(x > 0, x, 0)
    )
    np.testing.assert_array_equal(
        np.asarray(cnp.where(x > 0, x, np.float32(0))), np.where(x > 0, x, 0)
    )
    np.testing.assert_array_equal(
        np.asarray(cnp.where(cnp.asarray(x[:, :1]) > 0, cnp.asarray(x), cnp.ones(3))),
        np.where(x[:, :1] > 0, x, 1),
    )
    np.testing.assert_array_equal(
        np.asarray(cnp.clip(cnp.asarray(x), -0.5, 0.5)), np.clip(x, -0.5, 0.5)
    )
    np.testing.assert_array_equal(np.asarray(cnp.clip(cnp.asarray(x), min=0)), np.clip(x, 0, None))
    np.testing.assert_array_equal(
        np.asarray(cnp.select([x > 1, x > 0], [x, -x], 7)), np.select([x > 1, x > 0], [x, -x], 7)
    )
    bad = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    np.testing.assert_array_equal(np.asarray(cnp.nan_to_num(cnp.asarray(bad))), np.nan_to_num(bad))
    np.testing.assert_array_equal(
        np.asarray(cnp.nan_to_num(bad, nan=1, posinf=2, neginf=3)), [1, 2, 3, 1]
    )
    for got, wanted in zip(cnp.where(cnp.asarray(x) > 0), np.where(x > 0), strict=True):
        np.testing.assert_array_equal(np.asarray(got), wanted)


def test_closeness() -> None:
    x = np.array([1, np.nan, np.inf, -np.inf, 1e-9], np.float32)
    y = np.array([1 + 1e-6, np.nan, np.inf, np.inf, 0], np.float32)
    for equal_nan in (False, True):
        np.testing.assert_array_equal(
            np.asarray(cnp.isclose(x, y, equal_nan=equal_nan)),
            np.isclose(x, y, equal_nan=equal_nan),
        )
    assert not cnp.allclose(x, y)
    assert cnp.array_equal(cnp.arange(3), cnp.arange(3))
    assert not cnp.array_equal(cnp.arange(3), cnp.arange(4))
    assert cnp.array_equiv(cnp.ones((2, 3)), cnp.ones(3))


@pytest.mark.parametrize("function", [cnp.add, cnp.sin, cnp.where])
def test_lists_are_no_operands(function: object) -> None:
    args = {"add": 2, "sin": 1, "where": 3}[function.__name__]
    with pytest.raises(TypeError, match="which is not an array"):
        function(*[[1.0, 2.0]] * args)


def test_a_missing_name_is_an_attribute_error() -> None:
    for name in ("float8_e9m9", "no_such_function", "_private"):
        with pytest.raises(AttributeError):
            getattr(cnp, name)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(OverflowError, match="int64"):
        cnp.array([2**40])
    with pytest.raises(OverflowError, match="the integer 1099511627776 does not fit uint8"):
        cnp.array([1], np.uint8) + 2**40
    with pytest.raises(OverflowError, match="the integer 300 does not fit uint8"):
        cnp.uint8(300)
    assert (cnp.array([1], np.uint8) + 300).tolist() == [45]  # a weak int32 in uint8, as in JAX
    assert (cnp.array([1], np.uint32) + 3_000_000_000).tolist() == [3_000_000_001]
