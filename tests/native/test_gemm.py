"""Matrix products of our own: values, edges, what is read and written, the number of threads."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import covector._engine._native as native_module

FLOATS = {"sgemm": (np.float32, ctypes.c_float), "dgemm": (np.float64, ctypes.c_double)}
MARGIN = 64  # elements before and behind a matrix
SEVERAL = (0, 1, 2, 5, 6, 7, 14, 15, 29, 40)
WIDTHS = (*range(0, 41, 4), 1, 7, 9, 15, 17, 31, 33, 49, 63, 65, 100)
TRANSPOSED = list(itertools.product((0, 1), (0, 1)))
# Long rows with few others: one chunk or several of them, whole vectors or not; many rows, and few.
THIN = [(m, n, k) for n in range(2, 8) for m, k in ((3, 128), (17, 1000), (5, 2500), (30, 1037))]
LARGE = [(130, 200, 600), (457, 65, 1100), (33, 300, 513), (3, 200, 1030), (900, 20, 70)]


@dataclass
class Matrix:
    """A matrix amid a buffer of NaNs; its rows are `padding` elements apart."""

    rows: int
    columns: int
    padding: int
    dtype: type

    def __post_init__(self) -> None:
        self.ld = self.columns + self.padding
        self.buffer = np.full(2 * MARGIN + max(self.rows, 1) * self.ld, np.nan, self.dtype)
        size = self.buffer.itemsize
        self.inside = np.lib.stride_tricks.as_strided(
            self.buffer[MARGIN:], (self.rows, self.columns), (self.ld * size, size)
        )

    def arguments(self) -> tuple[int, int]:
        return self.buffer.ctypes.data + MARGIN * self.buffer.itemsize, self.ld

    def outside(self) -> np.ndarray:
        """The buffer with the matrix itself blotted out."""
        saved = self.inside.copy()
        self.inside[...] = 0
        made = self.buffer.copy()
        self.inside[...] = saved
        return made


def routine(name: str) -> Callable[..., None]:
    sizes = [ctypes.c_int32] * 2 + [ctypes.c_int64] * 3
    matrix = [ctypes.c_void_p, ctypes.c_int64]
    signature = ctypes.CFUNCTYPE(None, *sizes, *matrix, *matrix, FLOATS[name][1], *matrix)
    return signature(native_module.symbols()[f"cv_{name}"])


def multiply(name, size, ta=0, tb=0, beta=0.0, padding=0, seed=0):
    """The product and what it should be; checks that nothing else is read or written."""
    m, n, k = size
    dtype = FLOATS[name][0]
    rng = np.random.default_rng(seed)
    a = Matrix(*((k, m) if ta else (m, k)), padding, dtype)
    b = Matrix(*((n, k) if tb else (k, n)), padding, dtype)
    c = Matrix(m, n, padding, dtype)
    a.inside[...] = rng.standard_normal(a.inside.shape)
    b.inside[...] = rng.standard_normal(b.inside.shape)
    if beta:
        c.inside[...] = rng.standard_normal(c.inside.shape)
    left, right = (a.inside.T if ta else a.inside), (b.inside.T if tb else b.inside)
    expected = left.astype(np.float64) @ right.astype(np.float64)
    if beta:
        expected += beta * c.inside
    outside = c.outside()
    routine(name)(ta, tb, m, n, k, *a.arguments(), *b.arguments(), beta, *c.arguments())
    np.testing.assert_array_equal(c.outside(), outside)
    return c.inside, expected


def check(name, size, **options):
    got, expected = multiply(name, size, **options)
    tolerance = (np.finfo(FLOATS[name][0]).eps * 8) * (size[2] + 8)
    np.testing.assert_allclose(
        got, expected, rtol=0, atol=float(tolerance), err_msg=f"{name} {size} {options}"
    )


def openblas() -> dict[str, int]:
    """The addresses of OpenBLAS's real products, as the CPU back end hands them over."""
    package = pytest.importorskip("scipy_openblas32")
    library = ctypes.CDLL(f"{package.get_lib_dir()}/{package.get_library(fullname=True)}")
    names = {name: f"scipy_{name}" for name in ("cblas_sgemm", "cblas_dgemm")}
    names["openblas_set_num_threads"] = "scipy_openblas_set_num_threads"
    return {
        name: ctypes.cast(getattr(library, inside), ctypes.c_void_p).value
        for name, inside in names.items()
    }


@pytest.fixture(params=["tiles", "blas"])
def blas(request):
    """With and without OpenBLAS: without it, our tiles multiply everything."""
    routines = openblas()
    if request.param == "tiles":
        native_module.set_blas({"cblas_sgemm": 0, "cblas_dgemm": 0})
        yield
    native_module.set_blas(routines)
    if request.param == "blas":
        yield


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSED)
def test_all_small_sizes(blas, name, ta, tb):
    for seed, size in enumerate(itertools.product(SEVERAL, WIDTHS, (0, 1, 5, 16, 17, 40))):
        beta = (0.0, 1.0, 0.5)[seed % 3]
        check(name, size, ta=ta, tb=tb, beta=beta, padding=(0, 1, 3)[seed // 3 % 3], seed=seed)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSED)
def test_several_blocks(each_vectors, blas, name, size, ta, tb):
    for _ in each_vectors():
        for beta in (0.0, 1.0):
            check(name, size, ta=ta, tb=tb, beta=beta, padding=5)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSED)
def test_long_rows_with_few(each_vectors, blas, name, ta, tb):
    for _ in each_vectors():
        for seed, (m, n, k) in enumerate(THIN):
            beta, padding = (0.0, 1.0, 0.5)[seed % 3], seed % 2 * 3
            check(name, (m, n, k), ta=ta, tb=tb, beta=beta, padding=padding)
            check(name, (n, m, k), ta=ta, tb=tb, beta=beta, padding=padding)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSED)
def test_small_sizes_with_each_vectors(each_vectors, blas, name, ta, tb):
    """Every height of a tile, with one, two and four vectors, whole and masked."""
    for _ in each_vectors():
        for m in range(1, 15):
            for n in (1, 4, 8, 13, 16, 24, 31, 40, 64):
                check(name, (m, n, 5), ta=ta, tb=tb, padding=m % 3, seed=n)


@pytest.mark.parametrize(("ta", "tb"), TRANSPOSED)
@pytest.mark.parametrize("size", [(120, 100, 70), (120, 3, 1035), (4, 5, 1035)])
def test_odd_numbers_propagate(blas, size, ta, tb):
    m, n, k = size
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    a[3, 4], a[m - 1, k - 1], a[0, k - 13], b[5, n - 1] = np.nan, np.inf, -np.inf, -np.inf
    c = np.full((m, n), np.nan, np.float32)
    left, right = (np.ascontiguousarray(x.T if t else x) for x, t in ((a, ta), (b, tb)))
    lda, ldb = left.shape[1], right.shape[1]
    routine("sgemm")(ta, tb, m, n, k, left.ctypes.data, lda, right.ctypes.data, ldb, 0.0,
                     c.ctypes.data, n)  # fmt: skip
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


def digest() -> str:
    """A hash of the bits of many products; without OpenBLAS, that is by our tiles."""
    state = hashlib.sha256()
    for name, size in itertools.product(
        FLOATS, [*LARGE, *THIN, (3, 3, 99999), (128, 300, 64), (64, 4096, 9)]
    ):
        for ta, tb in TRANSPOSED:
            state.update(multiply(name, size, ta=ta, tb=tb)[0].tobytes())
    return state.hexdigest()


def test_threads_do_not_matter():
    digests = set()
    for threads in (1, 2, 3, 4, 7):
        environment = os.environ | {"COVECTOR_NUM_THREADS": str(threads)}
        done = subprocess.run(
            [sys.executable, __file__], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


if __name__ == "__main__":
    sys.stdout.write(digest())
