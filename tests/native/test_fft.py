"""The routine of Fourier transforms, called directly: lengths of every kind, with vectors of each size."""

import ctypes

import numpy as np
import pytest

# Powers, products, primes with a radix and without, lengths of many blocks; of every shape around the axis.
LENGTHS = [*range(1, 13), 15, 16, 17, 24, 31, 37, 49, 64, 100, 127, 256, 509, 1000, 1024, 2310]
LONG = [1 << 16, 65_537]
AROUND = [(1, 1), (20, 1), (2, 3), (1, 17)]


@pytest.fixture(params=[64, 32, 16])
def fft(native, request):
    native.set_vectors(request.param)
    address = native.symbols()["cv_fft"]
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 5)
    return kind(address)


def transform(fft, x: np.ndarray, kind: int, n: int) -> np.ndarray:
    """Along the middle axis."""
    wide = x.dtype in (np.float64, np.complex128)
    dtype = (
        (np.float64 if wide else np.float32)
        if kind == 3
        else (np.complex128 if wide else np.complex64)
    )
    length = {0: n, 1: n, 2: n // 2 + 1, 3: n}[kind]
    out = np.full((x.shape[0], length, x.shape[2]), np.nan, dtype)
    outer, _, inner = x.shape
    assert fft(x.ctypes.data, out.ctypes.data, kind, int(wide), outer, n, inner) == 0
    return out


def check(fft, n: int, around: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(n)
    outer, inner = around
    real = rng.standard_normal((outer, n, inner)).astype(dtype)
    spectrum = np.fft.rfft(real.astype(np.float64), axis=1)
    whole = np.fft.fft(real.astype(np.float64), axis=1)
    complex_ = np.result_type(dtype, np.complex64)
    largest = np.finfo(dtype).eps * (3 + np.log2(n)) * np.sqrt(n)

    def near(got: np.ndarray, wanted: np.ndarray, scale: float = 1.0) -> None:
        assert np.abs(got - wanted).max() <= largest * scale * max(1.0, np.abs(real).max()), (
            n,
            around,
        )

    near(transform(fft, real.astype(complex_), 0, n), whole)
    near(transform(fft, whole.astype(complex_), 1, n), real)
    near(transform(fft, real, 2, n), spectrum)
    near(transform(fft, spectrum.astype(complex_), 3, n), real)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", LENGTHS)
def test_lengths(fft, n, dtype):
    for around in AROUND:
        check(fft, n, around, dtype)


@pytest.mark.parametrize("n", LONG)
def test_long(fft, n):
    for around in ((1, 1), (1, 3)):
        check(fft, n, around, np.float32)


def test_in_place(fft):
    rng = np.random.default_rng(0)
    for shape in ((5, 48, 1), (2, 96, 20), (2, 37, 3), (1, 1 << 17, 1)):
        x = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        wanted = np.fft.fft(x, axis=1)
        assert fft(x.ctypes.data, x.ctypes.data, 0, 1, *shape) == 0
        np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-11)


def test_infinities_stay_in_their_row(fft):
    x = np.ones((40, 12, 1), np.complex64)
    x[3, 5] = np.inf
    out = transform(fft, x, 0, 12)
    assert np.isfinite(np.delete(out, 3, 0)).all()
    assert not np.isfinite(out[3]).any()


def test_nothing(fft):
    for shape in ((0, 4, 1), (3, 4, 0)):
        assert transform(fft, np.ones(shape, np.complex64), 0, 4).size == 0
