"""Fourier and cosine transforms against NumPy and SciPy: every argument, derivatives by their own formula, errors."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import scipy.fft

import covector
from covector import lax, numpy as cnp, scipy as cscipy

RNG = np.random.default_rng(7)
REAL = RNG.standard_normal((3, 4, 6))
COMPLEX = REAL + 1j * RNG.standard_normal(REAL.shape)
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
COSINE = ("dct", "idct", "dctn", "idctn")


def takes_reals(name: str) -> bool:
    return name.startswith("r") or name == "ihfft"


def agree(got: Any, wanted: np.ndarray, dtype: str = "") -> None:
    got = np.asarray(got)
    assert got.dtype == (dtype or wanted.dtype)
    assert got.shape == wanted.shape
    tolerance = 1e-5 if got.dtype.name in ("float32", "complex64") else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * 4)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("name", ONE)
def test_along_one_axis(name: str, norm: str | None) -> None:
    x = REAL if takes_reals(name) else COMPLEX
    ours, numpys = getattr(cnp.fft, name), getattr(np.fft, name)
    for n, axis in ((None, -1), (None, 0), (3, 1), (9, -1), (1, 1)):
        agree(ours(cnp.array(x), n, axis, norm), numpys(x, n, axis, norm))


@pytest.mark.parametrize("name", SEVERAL)
def test_along_several_axes(name: str) -> None:
    x = REAL if takes_reals(name) else COMPLEX
    ours, numpys = getattr(cnp.fft, name), getattr(np.fft, name)
    for s, axes, norm in (
        (None, (-2, -1), None),
        ((3, 8), (0, 2), "ortho"),
        ((5, 4), (2, 0), "forward"),
    ):
        agree(ours(cnp.array(x), s, axes, norm), numpys(x, s, axes, norm))
    if name.endswith("n"):
        agree(ours(cnp.array(x)), numpys(x))
        agree(ours(cnp.array(x), axes=(1,)), numpys(x, axes=(1,)))
        agree(ours(cnp.array(x), (3, 2)), numpys(x, (3, 2), (-2, -1)))
        agree(ours(cnp.array(x[None, None]), norm="ortho"), numpys(x[None, None], norm="ortho"))


@pytest.mark.parametrize("name", COSINE)
def test_cosine(name: str) -> None:
    ours, scipys = getattr(cscipy.fft, name), getattr(scipy.fft, name)
    where = [(None, None)] if name.endswith("n") else [(None, -1)]
    where += [((5, 3), (0, 2)), (None, (1,))] if name.endswith("n") else [(3, 0), (9, 1), (1, 2)]
    for norm in (None, "backward", "ortho"):
        for n, axis in where:
            agree(ours(cnp.array(REAL), 2, n, axis, norm), scipys(REAL, 2, n, axis, norm))


@pytest.mark.parametrize(
    ("given", "complex_", "real"),
    [
        ("int32", "complex64", "float32"),
        ("bool", "complex64", "float32"),
        ("float16", "complex64", "float32"),
        ("bfloat16", "complex64", "float32"),
        ("float32", "complex64", "float32"),
        ("float64", "complex128", "float64"),
    ],
)
def test_dtypes(given: str, complex_: str, real: str) -> None:
    x = cnp.array([0, 1, 1, 0]).astype(given)
    plain = np.array([0, 1, 1, 0.0])
    agree(cnp.fft.fft(x), np.fft.fft(plain), complex_)
    agree(cnp.fft.rfft(x), np.fft.rfft(plain), complex_)
    agree(cnp.fft.irfft(x), np.fft.irfft(plain), real)
    assert not cnp.fft.fft(x).weak_type


def test_empty_and_scalar() -> None:
    assert cnp.fft.fft(cnp.zeros((0, 3))).shape == (0, 3)
    assert cnp.fft.fft(cnp.zeros((3, 0))).shape == (3, 0)
    assert cnp.fft.irfft(cnp.zeros((3, 1))).shape == (3, 0)
    agree(cnp.fft.fftn(cnp.array(2.0)), np.array(2 + 0j, np.complex64))


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_frequencies(n: int) -> None:
    with np.errstate(all="ignore"):
        if n:
            agree(cnp.fft.fftfreq(n, 0.3, dtype="float64"), np.fft.fftfreq(n, 0.3))
            agree(cnp.fft.rfftfreq(n, cnp.float32(0.5)), np.fft.rfftfreq(n, 0.5), "float32")
    assert cnp.fft.fftfreq(n).dtype == "float32"
    for axes in (None, 0, (0, -1)):
        x = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
        agree(cnp.fft.fftshift(cnp.array(x), axes), np.fft.fftshift(x, axes))
        agree(cnp.fft.ifftshift(cnp.array(x), axes), np.fft.ifftshift(x, axes))


@pytest.mark.parametrize("kind", list(lax.FftType))
def test_lax(kind: lax.FftType) -> None:
    x = cnp.array(REAL if kind is lax.FftType.RFFT else COMPLEX)
    name = kind.name.lower()
    lengths = (4, 10) if name == "irfft" else (4, 6)
    wanted = getattr(np.fft, f"{name}n")(np.asarray(x), lengths, (1, 2))
    for given in (kind, int(kind), kind.name, name):
        agree(lax.fft(x, given, lengths), wanted)


def test_reals_become_complex_and_integers_floats() -> None:
    assert lax.fft(cnp.ones(4, "float64"), "FFT", (4,)).dtype == "complex128"
    assert lax.fft(cnp.arange(4), "RFFT", (4,)).dtype == "complex64"


def test_transformed() -> None:
    """Under jit, vmap and the derivative, with the fields of a linear function."""
    x = cnp.array(REAL)
    f = covector.jit(lambda x: cnp.fft.irfft(cnp.fft.rfft(x, axis=0) * 2j, 3, axis=0))
    agree(covector.vmap(f, 1, 1)(x), np.fft.irfft(np.fft.rfft(REAL, axis=0) * 2j, 3, axis=0))
    energy = covector.grad(lambda x: cnp.sum(cnp.abs(cnp.fft.rfft(x)) ** 2))
    wanted = 2 * np.fft.fft(np.pad(np.fft.rfft(REAL), [(0, 0), (0, 0), (0, 2)]).conj()).real
    agree(energy(x), wanted)
    agree(covector.grad(lambda x: cnp.sum(cscipy.fft.dctn(x, norm="ortho") ** 2))(x), 2 * REAL)


@pytest.mark.parametrize("name", COSINE)
def test_cosine_transforms_of_complex_numbers_and_of_16_bits(name: str) -> None:
    x = np.array([[1 + 2j, 3 - 1j, 0.5], [2j, 1, -1]])
    found = getattr(cscipy.fft, name)(x, norm="ortho")
    np.testing.assert_allclose(
        np.asarray(found), getattr(scipy.fft, name)(x, norm="ortho"), atol=1e-14
    )
    assert getattr(cscipy.fft, name)(cnp.ones(4, "float16")).dtype == "float32"


ERRORS = [
    (lambda: cnp.fft.fft(cnp.ones(3), norm="half"), ValueError, "fft: norm is 'half'"),
    (lambda: cnp.fft.fft(cnp.ones(3), n=0), ValueError, "fft: a length is 0"),
    (lambda: cnp.fft.fft(cnp.ones(3), n=2.0), TypeError, "the length of fft"),
    (lambda: cnp.fft.fft(cnp.ones(3), axis=1), ValueError, "axis 1 is out of bounds"),
    (lambda: cnp.fft.fft(cnp.array(1.0)), ValueError, "axis -1 is out of bounds"),
    (lambda: cnp.fft.rfft(cnp.ones(3) * 1j), ValueError, "rfft takes real numbers"),
    (lambda: cnp.fft.rfft(cnp.ones(0)), ValueError, "rfft of no numbers"),
    (lambda: cnp.fft.fftn(cnp.ones((2, 2)), axes=(0, 0)), ValueError, "names an axis twice"),
    (lambda: cnp.fft.fftn(cnp.ones((2, 2)), s=(2,), axes=(0, 1)), ValueError, "1 lengths for 2"),
    (lambda: cnp.fft.fft2(cnp.ones((2, 2)), axes=(0,)), ValueError, "it takes 2 axes"),
    (lambda: cnp.fft.fftfreq([3]), TypeError, "n of fftfreq"),
    (lambda: cnp.fft.fftfreq(-1), ValueError, "n is -1"),
    (lambda: lax.fft(cnp.ones(4), "DCT", (4,)), ValueError, "'DCT' is no type of transform"),
    (lambda: lax.fft(cnp.ones(4), "RFFT", (3,)), ValueError, "lengths .3,. along the axes"),
    (lambda: lax.fft(cnp.ones(4), "FFT", (4, 4)), ValueError, "fft has 2 lengths for"),
    (lambda: lax.fft(cnp.ones(4, "float16"), "RFFT", (4,)), TypeError, "float32 or float64"),
    (lambda: cscipy.fft.dct(cnp.ones(4), type=3), NotImplementedError, "dct of type 3"),
    (lambda: cscipy.fft.dct(cnp.ones(4), norm="forward"), ValueError, "dct: norm is 'forward'"),
    (lambda: cscipy.fft.dctn(cnp.ones(4), s=(2, 2), axes=0), ValueError, "2 lengths for 1 axes"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_signatures() -> None:
    for name in (*ONE, *SEVERAL):
        ours = inspect.signature(getattr(cnp.fft, name)).parameters
        theirs = [p for p in inspect.signature(getattr(np.fft, name)).parameters if p != "out"]
        assert list(ours) == theirs
