"""Matrix products: both transpositions, leading dimensions, the partition, the plain loop."""

import ctypes
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy_openblas32

TYPES = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}
SIZES = (
    (1, 1, 1), (3, 5, 7), (1, 40, 9), (40, 1, 9), (1, 900, 150), (900, 1, 150), (48, 48, 48),
    (130, 50, 70), (90, 200, 130), (257, 3, 90),
)  # fmt: skip
REAL = {"s": ctypes.c_float, "d": ctypes.c_double, "c": ctypes.c_float, "z": ctypes.c_double}


@pytest.fixture(scope="module")
def openblas():
    """The addresses of the library's routines."""
    folder = Path(scipy_openblas32.get_lib_dir())
    library = ctypes.CDLL(str(next(folder.glob("libscipy_openblas*.so"))))
    kinds = [f"cblas_{kind}{name}" for kind in TYPES for name in ("gemm", "gemv")]
    return {
        name: ctypes.cast(getattr(library, f"scipy_{name}"), ctypes.c_void_p).value
        for name in (*kinds, "openblas_set_num_threads")
    }


@pytest.fixture(params=["openblas", "gemm only", "plain"])
def gemm(request, native, openblas):
    """A function for c = op(a) op(b) + beta c on NumPy arrays."""
    chosen = {
        name: address if request.param == "openblas" or "gemm" in name else 0
        for name, address in openblas.items()
    }
    native.set_blas(dict.fromkeys(openblas, 0) if request.param == "plain" else chosen)

    def run(kind, a, b, c, ta=False, tb=False, beta=0.0):
        m, n = c.shape
        k = a.shape[0] if ta else a.shape[1]
        integer, pointer = ctypes.c_int64, ctypes.c_void_p
        prototype = ctypes.CFUNCTYPE(
            None, ctypes.c_int32, ctypes.c_int32, integer, integer, integer, pointer, integer,
            pointer, integer, REAL[kind], pointer, integer,
        )  # fmt: skip
        steps = [x.strides[0] // x.itemsize for x in (a, b, c)]
        prototype(native.symbols()[f"cv_{kind}gemm"])(
            ta, tb, m, n, k, a.ctypes.data, steps[0], b.ctypes.data, steps[1], beta,
            c.ctypes.data, steps[2],
        )  # fmt: skip
        return c

    yield run
    native.set_blas(openblas)


def matrix(rng, kind, rows, columns, padding=0):
    values = rng.standard_normal((rows, columns + padding))
    if kind in "cz":
        values = values + 1j * rng.standard_normal(values.shape)
    return values.astype(TYPES[kind])[:, :columns]


@pytest.mark.parametrize("kind", TYPES)
def test_products(gemm, rng, kind):
    tolerance = 1e-4 if kind in "sc" else 1e-11
    for m, n, k in SIZES:
        for ta in (False, True):
            for tb in (False, True):
                for beta in (0.0, 1.0, -0.5):
                    a = matrix(rng, kind, k, m, 3) if ta else matrix(rng, kind, m, k, 3)
                    b = matrix(rng, kind, n, k, 1) if tb else matrix(rng, kind, k, n, 1)
                    c = matrix(rng, kind, m, n, 2)
                    wanted = (a.T if ta else a) @ (b.T if tb else b) + beta * c
                    got = gemm(kind, a, b, c, ta, tb, beta)
                    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def test_empty_sides(gemm, rng):
    for m, n, k in ((0, 3, 2), (3, 0, 2)):
        gemm(
            "s",
            np.ones((m, k), np.float32),
            np.ones((k, n), np.float32),
            np.ones((m, n), np.float32),
        )
    c = np.full((2, 3), np.nan, np.float32)
    gemm("s", np.ones((2, 0), np.float32), np.ones((0, 3), np.float32), c)
    assert c.tolist() == [[0] * 3] * 2
    c = np.full((2, 3), 2, np.float32)
    gemm("s", np.ones((2, 0), np.float32), np.ones((0, 3), np.float32), c, beta=0.5)
    assert c.tolist() == [[1] * 3] * 2


def test_uninitialised_results(gemm):
    c = np.full((300, 300), np.nan, np.float32)
    ones = np.ones((300, 300), np.float32)
    assert (gemm("s", ones, ones, c) == 300).all()


def test_from_several_threads(native, gemm, rng):
    a, b = matrix(rng, "s", 200, 150), matrix(rng, "s", 150, 260)
    wanted = a @ b
    wrong = []

    def work():
        for _ in range(20):
            c = np.empty((200, 260), np.float32)
            if not np.allclose(gemm("s", a, b, c), wanted, rtol=1e-4, atol=1e-4):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unknown_routines(native):
    with pytest.raises(ValueError, match="no use for a routine named dgesv"):
        native.set_blas({"dgesv": 1})
