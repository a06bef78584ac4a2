"""Types of results, and classes of exceptions, that are JAX's: what the comparison in tools/agreement found."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn, random
from covector.scipy import special

SQUARE = cnp.ones((2, 2))
INTEGERS = cnp.array([1, 2, 2], "int32")
HALVES = cnp.ones(3, "float16")
WEAK = cnp.broadcast_to(cnp.asarray(1.5), (2, 2))


def _weak(n: int) -> Any:
    return cnp.ravel(WEAK)[:n]


# In each of the states False and True: the type of the result.
TYPES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "sum of int8": (lambda: cnp.sum(cnp.ones(2, "int8")), "int32[]", "int64[]"),
    "sum of uint8": (lambda: cnp.sum(cnp.ones(2, "uint8")), "uint32[]", "uint64[]"),
    "sum of int32": (lambda: cnp.sum(cnp.ones(2, "int32")), "int32[]", "int64[]"),
    "cumsum of int32": (lambda: cnp.cumsum(cnp.ones(2, "int32")), "int32[2]", "int32[2]"),
    "cumsum of bool": (lambda: cnp.cumsum(cnp.ones(2, bool)), "int32[2]", "int64[2]"),
    "argmin": (lambda: cnp.argmin(cnp.ones(2)), "int32[]", "int64[]"),
    "searchsorted": (lambda: cnp.searchsorted(cnp.ones(2), 1), "int32[]", "int32[]"),
    "argpartition": (lambda: cnp.argpartition(cnp.ones(2), 1), "int32[2]", "int32[2]"),
    "lexsort": (lambda: cnp.lexsort((cnp.ones(2),)), "int32[2]", "int64[2]"),
    "tril_indices": (lambda: cnp.tril_indices(2)[0], "int32[3]", "int64[3]"),
    "indices": (lambda: cnp.indices((2,)), "int32[1,2]", "int64[1,2]"),
    "bincount": (lambda: cnp.bincount(cnp.array([1], "int32")), "int32[2]", "int64[2]"),
    "hanning": (lambda: cnp.hanning(3), "float32[3]", "float64[3]"),
    "matrix_rank": (lambda: cnp.linalg.matrix_rank(SQUARE), "int32[]", "int64[]"),
    "fori_loop": (lambda: lax.fori_loop(0, 3, lambda i, c: c + i, 0), "int32*[]", "int64*[]"),
    "bitwise_count": (lambda: cnp.bitwise_count(2), "uint8[]", "uint8[]"),
    "heaviside": (lambda: cnp.heaviside(2.0, 1.5), "float32*[]", "float64*[]"),
    "heaviside of an array": (lambda: cnp.heaviside(INTEGERS, 1.5), "float32[3]", "float64[3]"),
    "equal": (lambda: cnp.equal(2, 2.5), "bool*[]", "bool*[]"),
    "less of bool": (lambda: cnp.ones(2, bool) < 2, "bool*[2]", "bool*[2]"),
    "isfinite": (lambda: cnp.isfinite(2.0), "bool*[]", "bool*[]"),
    "isinf": (lambda: cnp.isinf(2.0), "bool[]", "bool[]"),
    "all": (lambda: cnp.all(2.0), "bool[]", "bool[]"),
    "array_equal": (lambda: cnp.array_equal(2, 2.5), "bool[]", "bool[]"),
    "logical_and": (lambda: cnp.logical_and(INTEGERS, 1.5), "bool[3]", "bool[3]"),
    "logical_or": (lambda: cnp.logical_or(2, True), "bool*[]", "bool*[]"),
    "power": (lambda: 2.5**INTEGERS, "float32[3]", "float64[3]"),
    "power of bool": (lambda: cnp.power(cnp.ones(2, bool), 2), "int32[2]", "int32[2]"),
    "rint": (lambda: cnp.rint(INTEGERS), "float32[3]", "float64[3]"),
    "angle": (lambda: cnp.angle(INTEGERS), "float32[3]", "float64[3]"),
    "ldexp": (lambda: cnp.ldexp(cnp.ones(2, bool), 2), "float32[2]", "float32[2]"),
    "quantile": (lambda: cnp.quantile(INTEGERS, 0.5), "float32[]", "float32[]"),
    "quantile of halves": (lambda: cnp.quantile(HALVES, SQUARE[0]), "float16[2]", "float16[2]"),
    "nanmedian": (lambda: cnp.nanmedian(INTEGERS), "float32[]", "float32[]"),
    "gradient": (lambda: cnp.gradient(INTEGERS, 2.0), "float32*[3]", "float64*[3]"),
    "unique": (lambda: cnp.unique(2), "int32*[1]", "int64*[1]"),
    "unique of complex": (lambda: cnp.unique(1j), "complex64[1]", "complex128[1]"),
    "unique_inverse": (lambda: cnp.unique_inverse(INTEGERS)[1], "int32[3]", "int64[3]"),
    "setdiff1d": (lambda: cnp.setdiff1d(INTEGERS, 1.5), "int32[2]", "int32[2]"),
    "argwhere": (lambda: cnp.argwhere(1.5), "int32[1,0]", "int64[1,0]"),
    "histogramdd": (lambda: cnp.histogramdd(SQUARE, 2)[0], "int32[2,2]", "int64[2,2]"),
    "logaddexp": (lambda: cnp.logaddexp(INTEGERS, 1j), "complex64[3]", "complex128[3]"),
    "diag": (lambda: cnp.diag(WEAK), "float32*[2]", "float32*[2]"),
    "tril": (lambda: cnp.tril(WEAK), "float32*[2,2]", "float32*[2,2]"),
    "diagflat": (lambda: cnp.diagflat(WEAK), "float32[4,4]", "float32[4,4]"),
    "polyadd": (lambda: cnp.polyadd(WEAK[0], WEAK[0]), "float32*[2]", "float32*[2]"),
    "rfftfreq": (lambda: cnp.fft.rfftfreq(4, dtype="int32"), "float32[3]", "float32[3]"),
    "cross": (lambda: cnp.cross(_weak(3), _weak(3)), "float32[3]", "float32[3]"),
    "view": (lambda: _weak(4).view("complex64"), "complex64[2]", "complex64[2]"),
    "sort_complex": (lambda: cnp.sort_complex(cnp.asarray([1j])), "complex64[1]", "complex128[1]"),
    "interp": (lambda: cnp.interp(1.5, _weak(2), _weak(2)), "float32*[]", "float64*[]"),
    "interp of an array": (
        lambda: cnp.interp(HALVES, WEAK[0], WEAK[0]),
        "float16[3]",
        "float16[3]",
    ),
    "piecewise": (lambda: cnp.piecewise(INTEGERS, [INTEGERS > 1], [1, 2]), "int32[3]", "int32[3]"),
    "round": (lambda: round(cnp.array(2.7)), "int32[]", "int64[]"),
    "round to decimals": (
        lambda: cnp.ones(2, "bfloat16").round(1),
        "bfloat16[2]",
        "bfloat16[2]",
    ),
    **{
        f"{name} of {x.dtype}": (lambda name=name, x=x: getattr(nn, name)(x), off, on)
        for name, x, off, on in (
            ("relu", cnp.ones(2, bool), "int32*[2]", "int64*[2]"),
            ("relu", cnp.ones(2, "int8"), "int8[2]", "int8[2]"),
            ("relu6", cnp.ones(2, "int8"), "float32*[2]", "float64*[2]"),
            ("hard_tanh", cnp.ones(2, bool), "int32*[2]", "int64*[2]"),
            ("hard_silu", cnp.ones(2, "uint8"), "float32*[2]", "float64*[2]"),
            ("selu", cnp.ones(2, "int32"), "float32*[2]", "float64*[2]"),
            ("sparse_plus", cnp.ones(2, bool), "float32*[2]", "float64*[2]"),
            ("elu", cnp.ones(2, "float16"), "float16[2]", "float16[2]"),
            ("soft_sign", cnp.ones(2, bool), "float32*[2]", "float64*[2]"),
            ("soft_sign", cnp.ones(2, "int32"), "float32[2]", "float32[2]"),
        )
    },
    "leaky_relu of integers": (
        lambda: nn.leaky_relu(cnp.ones(2, "int32"), 1),
        "int32[2]",
        "int32[2]",
    ),
    **{
        name: (lambda name=name: getattr(special, name)(0.5), "float32[]", "float64[]")
        for name in ("ndtr", "ndtri", "log_ndtr", "spence")
    },
    "beta": (lambda: special.beta(1.5, 2), "float32[]", "float64[]"),
    "gelu": (lambda: nn.gelu(1.5), "float32[]", "float64[]"),
}


@pytest.mark.parametrize("case", TYPES)
def test_types(case: str) -> None:
    call, off, on = TYPES[case]
    for state, wanted in ((False, off), (None, off), (True, on)):
        with cv.enable_x64(state):
            assert cv.typeof(call()).text() == wanted, state


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "gcd": (lambda: cnp.gcd(1.5, 2), ValueError),
    "isposinf": (lambda: cnp.isposinf(1j), ValueError),
    "clip": (lambda: cnp.clip(1j, 0, 1), ValueError),
    "negative": (lambda: cnp.ones((-1, 1)), TypeError),
    "transpose": (lambda: lax.transpose(SQUARE, (0,)), TypeError),
    "slice": (lambda: lax.slice(cnp.ones(3), (0,), (9,)), TypeError),
    "reshape": (lambda: cnp.reshape(cnp.ones(4), (3,)), TypeError),
    "several unknown": (lambda: cnp.ones(4).reshape(-1, -1), TypeError),
    "broadcast_in_dim": (lambda: lax.broadcast_in_dim(cnp.ones(2), (3,), (0,)), TypeError),
    "pad": (lambda: lax.pad(cnp.ones(2), cnp.ones(2), ((0, 0, 0),)), ValueError),
    "choose": (lambda: cnp.ones(2).choose([1, 2]), ValueError),
    "geometric": (lambda: random.geometric(random.key(0), 0.5, dtype=float), ValueError),
    "gather": (
        lambda: lax.gather(
            cnp.arange(3), cnp.array([[0]]), lax.GatherDimensionNumbers((0,), (), (0,)), (9,)
        ),
        TypeError,
    ),
    "signbit": (lambda: cnp.signbit(1j), ValueError),
    "an array as a dtype": (lambda: cnp.zeros(3, cnp.array(1, "int8")), ValueError),
    "a dtype of astype": (lambda: SQUARE.astype(cnp.array(1, "int8")), ValueError),
    "atleast_1d": (lambda: cnp.atleast_1d([1, 2]), TypeError),
    "atleast_2d": (lambda: cnp.atleast_2d((1, 2), 3), TypeError),
    "broadcast_shapes": (lambda: cnp.broadcast_shapes(-1), TypeError),
    "broadcast_shapes of floats": (lambda: cnp.broadcast_shapes((1.5, 2), 3), TypeError),  # type: ignore[arg-type]
    "keys as a condition": (lambda: bool(random.split(random.key(0), 2)), TypeError),
    "spacing": (lambda: cnp.spacing(1j), ValueError),
    "i0": (lambda: cnp.i0(1j), ValueError),
    "round of bool": (lambda: cnp.round(True), ValueError),
    "ldexp of floats": (lambda: cnp.ldexp(1.0, 2.0), ValueError),
    "polyder": (lambda: cnp.polyder(2.0), TypeError),
    "permute_dims": (lambda: cnp.permute_dims(SQUARE, (0,)), TypeError),
    "rot90": (lambda: cnp.rot90(SQUARE, axes=None), TypeError),
    "top_k": (lambda: cnp.top_k(SQUARE, 1, axis=None), TypeError),  # type: ignore[arg-type]
    "histogram2d": (lambda: cnp.histogram2d(SQUARE, 1.5), TypeError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    """They are of JAX's class, and of NumPy's where that is another."""
    call, kind = ERRORS[case]
    with pytest.raises(kind):
        call()


def test_what_is_taken() -> None:
    assert cv.jit(lambda k: cnp.eye(3, k=k))(1).tolist() == np.eye(3, k=1).tolist()
    assert not cnp.eye(3, k=2**70).any()
    assert cnp.diagonal(SQUARE, 5).shape == cnp.diag(SQUARE, -5).shape == (0,)
    assert float(cnp.finfo(SQUARE).eps) == 2.0**-23
    assert lax.dtype(np.float32) == lax.dtype("float32") == np.float32
    assert cnp.asarray(array.array("i", [1, 2])).tolist() == [1, 2]
    described = cv.ShapeDtypeStruct((2,), "int32")
    assert cnp.zeros_like(described).tolist() == [0, 0]
    assert len(described) == 2
    with cv.enable_x64(False):
        assert cnp.zeros_like(np.float64(1)).dtype == cnp.ones_like(np.ones(2)).dtype == np.float32
    assert described.update(shape=(3,)) == cv.ShapeDtypeStruct((3,), "int32")
    assert isinstance(cnp.meshgrid(cnp.arange(2), cnp.arange(3)), tuple)
    assert isinstance(cnp.broadcast_arrays(1, SQUARE), tuple)
    assert complex(cnp.fmax(1j, 2)) == 2
    assert complex(cnp.fmin(1j, cnp.nan)) == 1j


def test_python_integers_keep_their_lowest_bits() -> None:
    for state in (False, True):
        with cv.enable_x64(state):
            assert int(lax.convert_element_type(2**32 + 5, "int32")) == 5
            assert int(lax.convert_element_type(-1 - 2**40, "uint8")) == 255


def test_types_of_keys() -> None:
    keys = random.split(random.key(0), 3)
    assert keys.aval == cv.typeof(keys)
    assert keys.aval.shape == (3,)


def test_complex_extremes() -> None:
    """By the real parts, then by the imaginary ones; NaN wins, as in NumPy."""
    x = np.array([[1 + 1j, 1 + 2j, -3], [1 - 5j, complex(-np.inf, 3), complex(-np.inf, 2)]])
    for name in ("max", "min", "ptp", "nanmax", "nanmin"):
        for axis in (None, 0, 1):
            ours, wanted = getattr(cnp, name)(x, axis), getattr(np, name)(x, axis)
            np.testing.assert_array_equal(ours, wanted)
    assert complex(cnp.max(x, initial=7j, where=cnp.array([[True, True, False]]))) == 1 + 2j
    assert np.isnan(cnp.max(cnp.array([2, complex(0, np.nan), 3])))


def test_complex_angles_and_sums_of_exponentials() -> None:
    rng = np.random.default_rng(7)
    x, y = (rng.normal(size=20) + 1j * rng.normal(size=20) for _ in range(2))
    np.testing.assert_allclose(np.tan(cnp.arctan2(y, x)), y / x, rtol=1e-9)
    np.testing.assert_allclose(cnp.logaddexp(x, y), np.log(np.exp(x) + np.exp(y)), rtol=1e-9)
    big = cnp.logaddexp(cnp.array([800 + 1j]), 800 + 1j)
    np.testing.assert_allclose(big, 800 + 1j + np.log(2), rtol=1e-6)


def test_repeat_to_a_length() -> None:
    """Cut off, or filled with the last element; then the counts may be traced."""
    repeat = cv.jit(cnp.repeat, static_argnames=("total_repeat_length", "axis"))
    x, counts = cnp.arange(3), cnp.array([1, 0, 2])
    for total, wanted in ((0, []), (2, [0, 2]), (3, [0, 2, 2]), (5, [0, 2, 2, 2, 2])):
        assert repeat(x, counts, total_repeat_length=total).tolist() == wanted
    assert repeat(x, 2, total_repeat_length=8).tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    rows = repeat(cnp.arange(4).reshape(2, 2), cnp.array([2, 1]), axis=0, total_repeat_length=3)
    assert rows.tolist() == [[0, 1], [0, 1], [2, 3]]


def test_rounding_to_more_decimals_than_there_are() -> None:
    x = np.array([1.5, -7.25, np.inf, np.nan, 0.0], np.float32)
    for decimals in (38, 39, 400):
        np.testing.assert_array_equal(cnp.round(x, decimals), x)
    np.testing.assert_array_equal(cnp.round(x, -400), np.array([0, -0.0, np.inf, np.nan, 0]))
    np.testing.assert_array_equal(cnp.round(np.float32([1249.0, 1251.0]), -2), [1200, 1300])
    assert complex(cnp.round(1.26 - 2.31j, 1)) == np.complex64(1.3 - 2.3j)


def test_take_along_axis_with_zeros_beside() -> None:
    x, places = cnp.arange(6.0).reshape(2, 3), cnp.array([[0, 5], [-1, 2]])
    assert cnp.take_along_axis(x, places, 1, mode="one_hot").tolist() == [[0, 0], [5, 5]]


def test_averages_in_whole_numbers() -> None:
    with cv.enable_x64(False):
        assert int(cnp.nanmean(cnp.array([1.0, cnp.nan, 4.0]), dtype="uint8")) == 2
    assert np.isnan(cnp.nanmedian(cnp.ones((0, 3))))
