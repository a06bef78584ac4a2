"""What comparing random calls with JAX found: types, shapes and values of results, and classes of exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, random, scipy

SPD = np.eye(3) * 4 + 1
INTS, WEAK = cnp.array(SPD, "int32"), cnp.broadcast_to(cnp.asarray(1.5), (2, 3))
HALVES = cnp.array(SPD, "bfloat16")
KEY = random.key(0)


def _grid(values: Any, method: str) -> Any:
    points = np.arange(3.0, dtype=np.float32)
    f = scipy.interpolate.RegularGridInterpolator((points,), values, method)
    return f(cnp.array([[0.5], [1.0]]))


# In each of the states False and True: the type of the result.
TYPES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "transform of wide integers": (
        lambda: lax.fft(cnp.arange(4), "fft", (4,)),
        "complex64[4]",
        "complex128[4]",
    ),
    "ranks of narrow floats": (
        lambda: scipy.stats.rankdata(cnp.ones(2, "float16"), "min"),
        "float32[2]",
        "float64[2]",
    ),
    "how often the most frequent is there": (
        lambda: scipy.stats.mode(cnp.ones(2)).count,
        "int32[]",
        "int64[]",
    ),
    "cholesky of ints": (lambda: lax.linalg.cholesky(INTS), "float32[3,3]", "float32[3,3]"),
    "eigh of ints": (lambda: lax.linalg.eigh(INTS)[1], "float32[3]", "float32[3]"),
    "triangular_solve": (
        lambda: lax.linalg.triangular_solve(HALVES, HALVES, left_side=True, lower=True),
        "bfloat16[3,3]",
        "bfloat16[3,3]",
    ),
    "symmetric_product": (
        lambda: lax.linalg.symmetric_product(WEAK, WEAK[:, :2], beta=0.5),
        "float32*[2,2]",
        "float32*[2,2]",
    ),
    "atan2": (lambda: lax.atan2(WEAK * 1j, WEAK * 1j), "complex64*[2,3]", "complex128*[2,3]"),
    "reduce_max": (lambda: lax.reduce_max(WEAK * 1j, (0,)), "complex64*[3]", "complex128*[3]"),
    "bits": (lambda: lax.bitcast_convert_type(WEAK, "float32"), "float32[2,3]", "float32[2,3]"),
    "cumlogsumexp": (lambda: lax.cumlogsumexp(WEAK * 1j), "complex64*[2,3]", "complex128*[2,3]"),
    "convolve by fft": (
        lambda: scipy.signal.convolve(WEAK[0], WEAK[0], method="fft"),
        "float32[5]",
        "float32[5]",
    ),
    "detrend": (lambda: scipy.signal.detrend(WEAK), "float32*[2,3]", "float32*[2,3]"),
    "istft": (
        lambda: scipy.signal.istft(cnp.ones((5, 4), "float16"), nperseg=8)[0],
        "float32[12]",
        "float32[12]",
    ),
    "grid": (lambda: _grid(cnp.arange(3), "nearest"), "float32[2]", "float64[2]"),
    "grid of weak": (lambda: _grid(WEAK[0], "nearest"), "float32*[2]", "float64*[2]"),
    "cg": (
        lambda: scipy.sparse.linalg.cg(lambda v: 2 * v, WEAK[0])[0],
        "float32[3]",
        "float32[3]",
    ),
    "cg of ints": (
        lambda: scipy.sparse.linalg.cg(lambda v: 2 * v, cnp.arange(3))[0],
        "float32[3]",
        "float64[3]",
    ),
    "permutation": (lambda: random.permutation(KEY, 5), "int32[5]", "int64[5]"),
    "choice": (lambda: random.choice(KEY, 5, (2,), False), "int32[2]", "int64[2]"),
    "multivariate_normal": (
        lambda: random.multivariate_normal(KEY, cnp.zeros(2), cnp.eye(2)),
        "float32[2]",
        "float64[2]",
    ),
    "rng_uniform": (lambda: lax.rng_uniform(0.0, 1.0, (3,)), "float32[3]", "float64[3]"),
    "rng_uniform of ints": (lambda: lax.rng_uniform(0, 9, (3,)), "int32[3]", "int64[3]"),
    "approx_max_k": (
        lambda: lax.approx_max_k(cnp.zeros((2, 1000)), 2, aggregate_to_topk=False)[1],
        "int32[2,256]",
        "int32[2,256]",
    ),
    "approx_min_k": (
        lambda: lax.approx_min_k(cnp.zeros(1500), 1, aggregate_to_topk=False)[0],
        "float32[1024]",
        "float64[1024]",
    ),
}


@pytest.mark.parametrize("case", TYPES)
def test_types(case: str) -> None:
    call, off, on = TYPES[case]
    for state, wanted in ((False, off), (True, on)):
        with cv.enable_x64(state):
            assert cv.typeof(call()).text() == wanted, state


VALUES: dict[str, tuple[Callable[[], Any], Any]] = {
    "wrapped": (lambda: lax.convert_element_type(2**32 + 5, "int32"), 5),
    "the power of integers, repeated": (
        lambda: lax.pow(cnp.array([2.0]), cnp.arange(3)).tolist(),
        [1.0, 2.0, 4.0],
    ),
    "a truth value of a huge number": (lambda: lax.convert_element_type(10**400, bool), True),
    "wrapped below": (lambda: lax.convert_element_type(-1, "uint8"), 255),
    "wrapped sign": (lambda: lax.convert_element_type(2**31, "int32"), -(2**31)),
    "too large a float": (lambda: lax.convert_element_type(1e10, "int32"), 2**31 - 1),
    "too small a float": (lambda: lax.convert_element_type(-1.5, "uint8"), 0),
    "infinity as int64": (lambda: lax.convert_element_type(float("inf"), "int64"), 2**63 - 1),
    "nan as an integer": (lambda: lax.convert_element_type(float("nan"), "int32"), 0),
    "truth of a complex number": (lambda: lax.convert_element_type(1j, bool), True),
    "an integer of 64 bits as a float": (
        lambda: lax.convert_element_type(np.int64(2**40), "float32"),
        2.0**40,
    ),
    "an integer of 64 bits as a truth value": (
        lambda: lax.convert_element_type(2**32, bool),
        True,
    ),
    "axes as numbers": (
        lambda: lax.dot_general(cnp.ones((2, 3)), cnp.ones((3, 2)), ((1, 0), ((), ()))),
        [[3, 3], [3, 3]],
    ),
    "starts that count from the end": (
        lambda: lax.dynamic_slice(
            cnp.arange(6).reshape(2, 3), (-1, 1), (1, 2), allow_negative_indices=(True, False)
        ),
        [[4, 5]],
    ),
    "solved in float32": (
        lambda: lax.linalg.triangular_solve(HALVES, cnp.ones(3, "bfloat16"), left_side=True),
        np.linalg.solve(np.triu(SPD), np.ones(3)).astype(cnp.bfloat16),
    ),
    "cosine integrals": (
        lambda: scipy.special.sici(cnp.array([-np.inf, np.inf]))[1],
        [np.nan, 0.0],
    ),
    "of the least integer": (
        lambda: scipy.special.sici(cnp.array([-(2**31)], "int32"))[1],
        [0.0],
    ),
    "in integers": (
        lambda: scipy.sparse.linalg.cg(lambda v: 2 * v, cnp.arange(3))[0],
        [0, 0.5, 1],
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values(case: str) -> None:
    call, wanted = VALUES[case]
    np.testing.assert_allclose(np.asarray(call(), float), wanted, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolutions_by_transforms(mode: str) -> None:
    rng = np.random.default_rng(0)
    for n, m in ((7, 4), (7, 3), (3, 6)):
        x, y = (rng.normal(size=k) + 1j * rng.normal(size=k) for k in (n, m))
        for f in (scipy.signal.convolve, scipy.signal.correlate):
            np.testing.assert_allclose(f(x, y, mode, "fft"), f(x, y, mode), rtol=1e-9, atol=1e-9)


def _gathered(numbers: tuple[Any, ...], sizes: tuple[int, ...]) -> Any:
    places = cnp.array([[[1]], [[0]]])
    return lax.gather(cnp.ones((4, 3)), places, lax.GatherDimensionNumbers(*numbers), sizes)


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "collapsed": (lambda: _gathered(((1,), (5,), (0,)), (1, 3)), TypeError),
    "offsets": (lambda: _gathered(((1, 2), (0,), (0,)), (1, 3)), TypeError),
    "components": (lambda: _gathered(((1,), (0,), (2,)), (1, 3)), TypeError),
    "places": (
        lambda: lax.gather(
            cnp.ones(3), cnp.ones((2, 1)), lax.GatherDimensionNumbers((), (0,), (0,)), (1,)
        ),
        ValueError,
    ),
    "updates": (
        lambda: lax.scatter(
            cnp.ones((4, 3)),
            cnp.array([[1]]),
            2.0,
            lax.ScatterDimensionNumbers((1,), (0,), (0,)),
        ),
        TypeError,
    ),
    "rev": (lambda: lax.rev(cnp.ones(2), (2,)), TypeError),
    "dot_general": (
        lambda: lax.dot_general(cnp.ones(2), cnp.ones(2), (((5,), (0,)), ((), ()))),
        TypeError,
    ),
    "dot": (lambda: lax.dot(cnp.ones((2, 3)), 2.0), ValueError),
    "group sizes": (
        lambda: lax.ragged_dot(cnp.ones((3, 2)), cnp.ones((1, 2, 2)), cnp.ones(1)),
        TypeError,
    ),
    "mantissa": (lambda: lax.reduce_precision(cnp.ones(2), 5, -1), ValueError),
    "exponent": (lambda: lax.reduce_precision(cnp.ones(2), 0, 5), ValueError),
    "negative start": (
        lambda: lax.dynamic_slice(cnp.ones(5), (-1,), (2,), allow_negative_indices=False),
        ValueError,
    ),
    "starts": (lambda: lax.dynamic_slice(cnp.ones((5, 2)), (0,), (1, 1)), ValueError),
    "split": (lambda: lax.split(cnp.ones(5), (-1, 6)), ValueError),
    "dtype": (lambda: lax.dtype(None), ValueError),
    "rng_uniform": (lambda: lax.rng_uniform(cnp.zeros(2), 1.0, (2,)), ValueError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    """They are of JAX's class, and of NumPy's where that is another."""
    call, kind = ERRORS[case]
    with pytest.raises(kind):
        call()


def test_numbers_that_do_not_fit() -> None:
    """An imaginary part is not dropped without a word; a text that is no number ended the process."""
    with pytest.raises(OverflowError, match=r"does not fit 64 bits.*no int32"):
        lax.convert_element_type(2**70, "int32")
    with pytest.raises(OverflowError):
        cnp.astype(2**40, "int32")
    with pytest.raises(TypeError, match="has no complex numbers"):
        lax.convert_element_type(1j, "float32")
    for kind in (cnp.bfloat16, cnp.float8_e5m2, cnp.int4, cnp.float32):
        with pytest.raises(ValueError, match="x"):
            kind("x")
    assert float(cnp.bfloat16("1.5")) == 1.5
