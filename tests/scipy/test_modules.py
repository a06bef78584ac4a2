"""The smaller packages of SciPy's against SciPy: solvers, minimization, interpolation, spectra, nearest vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.interpolate
import scipy.ndimage
import scipy.optimize
import scipy.signal

import covector
from covector import numpy as cnp
from covector.scipy import cluster, interpolate, ndimage, optimize, signal
from covector.scipy.sparse.linalg import bicgstab, cg, gmres

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------------------------ iterative solvers


def system(dtype: str, definite: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(12, 12)), rng.normal(size=12)
    if dtype.startswith("complex"):
        a, b = a + 1j * rng.normal(size=(12, 12)), b + 1j * rng.normal(size=12)
    a = a @ a.conj().T + np.eye(12) if definite else a + 8 * np.eye(12)
    return a.astype(dtype), b.astype(dtype)


SOLVERS: dict[str, Any] = {
    "cg": cg,
    "bicgstab": bicgstab,
    "gmres": gmres,
    "incremental": lambda *args, **kwargs: gmres(*args, solve_method="incremental", **kwargs),
    "restarted": lambda *args, **kwargs: gmres(*args, restart=5, **kwargs),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_solutions(name: str) -> None:
    solve = SOLVERS[name]
    for dtype, tol in (("float64", 1e-12), ("float32", 1e-6), ("complex128", 1e-12)):
        a, b = system(dtype, name == "cg")
        near = np.diag(1 / np.diag(a))
        for m in (None, near):
            x, info = solve(a, b, tol=tol, M=m)
            assert info is None
            assert x.dtype == dtype
            assert np.linalg.norm(a @ np.asarray(x) - b) < 20 * tol * np.linalg.norm(b)
    a, b = system("float64", name == "cg")
    value = covector.jit(
        lambda a, b: (solve(lambda v: a @ v, b, tol=1e-12, M=near.real)[0] ** 2).sum()
    )
    of_a, of_b = covector.grad(value, (0, 1))(a, b)
    x = np.linalg.solve(a, b)
    back = np.linalg.solve(a.T, 2 * x)
    np.testing.assert_allclose(of_b, back, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(of_a, -np.outer(back, x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", SOLVERS)
def test_solutions_at_the_edges(name: str) -> None:
    solve = SOLVERS[name]
    assert (solve(np.eye(3), np.zeros(3))[0] == 0).all()  # nothing to do
    np.testing.assert_allclose(solve(np.eye(3), np.arange(3), np.arange(3.0))[0], np.arange(3))
    tree = {"a": cnp.ones(3), "b": (cnp.ones((2, 2)),)}
    found, _ = solve(lambda t: covector.tree.map(lambda x: 2 * x, t), tree)
    np.testing.assert_allclose(found["b"][0], np.full((2, 2), 0.5), rtol=1e-6)
    steps = solve(np.diag([1.0, 2.0, 3.0]), np.ones(3), maxiter=0)[0]
    assert (steps == 0).all()
    batch = covector.vmap(lambda b: solve(np.diag([1.0, 2.0]), b, tol=1e-12)[0])(np.eye(2))
    np.testing.assert_allclose(batch, np.diag([1, 0.5]), atol=1e-12)
    for call, message in (
        (lambda: solve(np.eye(3), np.ones(2)), "A has the shape"),
        (lambda: solve(lambda x: x[:2], np.ones(3)), "the result of A"),
        (lambda: solve(lambda x: x, np.ones(3), np.ones(2)), "x0 has the structure"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_singular_systems() -> None:
    """What no x solves ends, and gives numbers."""
    for solve in (gmres, SOLVERS["incremental"]):
        assert (solve(np.zeros((2, 2)), np.ones(2))[0] == 0).all()
        found = solve(np.diag([1.0, 0.0]), np.array([1.0, 0.0]))[0]
        np.testing.assert_allclose(found, [1, 0], atol=1e-12)
        assert np.isfinite(np.asarray(solve(np.diag([1.0, 0.0]), np.ones(2))[0])).all()


# ---------------------------------------------------------------------------------------- minimization


def valley(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("n", [2, 5])
def test_minimum(n: int) -> None:
    found = covector.jit(lambda x: optimize.minimize(valley, x, method="BFGS", tol=1e-6))(
        np.zeros(n)
    )
    wanted = scipy.optimize.minimize(valley, np.zeros(n), method="BFGS")
    assert found.success
    assert found.status == 0
    np.testing.assert_allclose(found.x, np.ones(n), atol=1e-5)
    assert found.nfev <= 1.5 * wanted.njev  # no more than SciPy takes
    assert found.hess_inv.shape == (n, n)


@pytest.mark.parametrize("remembered", [2, 10])
def test_minimum_with_a_limited_memory(remembered: int) -> None:
    for n in (2, 6):
        found = optimize.minimize(
            valley,
            np.zeros(n),
            method="L-BFGS",
            tol=1e-6,
            options={"maxcor": remembered, "ftol": 0},
        )
        wanted = scipy.optimize.minimize(
            valley, np.zeros(n), method="L-BFGS-B", options={"maxcor": remembered}
        )
        assert found.success
        assert found.hess_inv is None
        np.testing.assert_allclose(found.x, np.ones(n), atol=1e-5)
        assert found.nfev <= 1.5 * wanted.nfev
    name = "l-bfgs-experimental-do-not-rely-on-this"
    for options, status in (
        ({"maxiter": 2}, 1), ({"maxfun": 3}, 2), ({"maxgrad": 3}, 3), ({"ftol": 100.0}, 4),
    ):  # fmt: skip
        cut = optimize.minimize(valley, np.zeros(3), method=name, options=options)
        assert (bool(cut.success), int(cut.status)) == (False, status)
    stuck = optimize.minimize(lambda x: -x.sum() * cnp.inf, np.ones(2), method=name)
    assert int(stuck.status) == 5


def test_what_minimization_says() -> None:
    cut = optimize.minimize(valley, np.zeros(3), method="BFGS", options={"maxiter": 2})
    assert (bool(cut.success), int(cut.status), int(cut.nit)) == (False, 1, 2)
    stuck = optimize.minimize(lambda x: -x.sum() * cnp.inf, np.ones(2), method="BFGS")
    assert int(stuck.status) == 3
    many = covector.vmap(
        lambda x: optimize.minimize(lambda y: ((y - x) ** 2).sum(), x + 1, method="BFGS").x
    )
    np.testing.assert_allclose(
        many(np.arange(6.0).reshape(3, 2)), np.arange(6.0).reshape(3, 2), atol=1e-5
    )
    scaled = optimize.minimize(
        lambda x, a: ((x - a) ** 2).sum(), cnp.zeros(2), (3.0,), method="bfgs"
    )
    np.testing.assert_allclose(scaled.x, [3, 3], atol=1e-4)
    for error, call in (
        (ValueError, lambda: optimize.minimize(valley, np.zeros((2, 2)), method="BFGS")),
        (ValueError, lambda: optimize.minimize(valley, np.zeros(2, int), method="BFGS")),
        (ValueError, lambda: optimize.minimize(valley, np.zeros(2), method="Nelder-Mead")),
        (
            ValueError,
            lambda: optimize.minimize(valley, np.zeros(2), method="BFGS", options={"ftol": 1}),
        ),
        (TypeError, lambda: optimize.minimize(valley, np.zeros(2), 1.0, method="BFGS")),
        (TypeError, lambda: optimize.minimize(lambda x: x, np.zeros(2), method="BFGS")),
    ):
        with pytest.raises(error):
            call()


# ---------------------------------------------------------------------------------------- interpolation


@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
@pytest.mark.parametrize("order", [0, 1])
def test_places_in_images(mode: str, order: int) -> None:
    image = RNG.normal(size=(4, 5))
    places = RNG.uniform(-6, 9, (2, 40))
    theirs = "grid-wrap" if mode == "wrap" else "grid-constant" if mode == "constant" else mode
    for x in (image, (10 * image).astype(np.int32)):
        wanted = scipy.ndimage.map_coordinates(x, places, order=order, mode=theirs, cval=1.5)
        got = covector.jit(lambda x, p: ndimage.map_coordinates(x, p, order, mode, 1.5))(x, places)
        assert got.dtype == x.dtype
        if x.dtype == np.int32:
            assert np.mean(np.abs(np.asarray(got) - wanted) > 1) == 0
        else:
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_images_have_derivatives_and_errors() -> None:
    image, place = RNG.normal(size=(4, 5)), [np.array([1.3]), np.array([2.6])]

    def f(image: Any, y: Any) -> Any:
        return ndimage.map_coordinates(image, [y, place[1]], 1).sum()

    of_image, of_y = covector.grad(f, (0, 1))(image, place[0])
    np.testing.assert_allclose(of_image.sum(), 1, rtol=1e-12)
    step = (f(image, place[0] + 1e-6) - f(image, place[0] - 1e-6)) / 2e-6
    np.testing.assert_allclose(of_y[0], step, rtol=1e-6)
    one = np.array([1, 2])
    np.testing.assert_array_equal(ndimage.map_coordinates(image, [one, one], 1), image[one, one])
    whole = np.array([0, 1, 3, -2])  # a half is rounded away from zero, as in SciPy
    halves = [np.array([0.5, 1.5, 2.5])]
    np.testing.assert_array_equal(
        ndimage.map_coordinates(whole, halves, 1),
        scipy.ndimage.map_coordinates(whole, halves, order=1),
    )
    for error, arguments in (
        (ValueError, (image, [one], 1)), (ValueError, (image, [one, one], 1, "edge")),
        (NotImplementedError, (image, [one, one], 3)),
        (TypeError, (image, [one, one * 1j], 1)),
    ):  # fmt: skip
        with pytest.raises(error):
            ndimage.map_coordinates(*arguments)


@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("fill", [np.nan, None, 7.0])
def test_grids(method: str, fill: Any) -> None:
    x, y = np.sort(RNG.normal(size=5)), np.sort(RNG.normal(size=4))
    for inner in ((), (2,)):
        values = RNG.normal(size=(5, 4, *inner))
        at = RNG.uniform(-2, 2, (3, 6, 2))
        given = {"method": method, "bounds_error": False, "fill_value": fill}
        wanted = scipy.interpolate.RegularGridInterpolator((x, y), values, **given)(at)
        ours = interpolate.RegularGridInterpolator((x, y), values, **given)
        np.testing.assert_allclose(covector.jit(ours)(at), wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours((at[..., 0], at[..., 1])), wanted, rtol=1e-9, atol=1e-12)
    knots = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    np.testing.assert_allclose(ours(knots), values, rtol=1e-12)


def test_grids_that_are_wrong() -> None:
    line, make = np.arange(3.0), interpolate.RegularGridInterpolator
    for call in (
        lambda: make((line,), np.ones(2)), lambda: make((line[::-1],), line), lambda: make((line, line), line),
        lambda: make((line,), line, method="cubic"), lambda: make((line,), line)(np.ones((2, 2))),
        lambda: make((line,), line, bounds_error=True)(np.array([[9.0]])),
        lambda: make((line,), line)(np.ones((2, 1)), "x"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="RegularGridInterpolator"):
            call()


def test_nearest_vectors() -> None:
    for shape in ((7, 3), (7,)):
        x, book = RNG.normal(size=shape), RNG.normal(size=(4, *shape[1:]))
        for got, wanted in zip(cluster.vq.vq(x, book), scipy.cluster.vq.vq(x, book), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)
    with pytest.raises(ValueError, match="vq takes"):
        cluster.vq.vq(np.ones((3, 2)), np.ones((3, 3)))


# --------------------------------------------------------------------------------------------- spectra


def near(got: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    assert np.shape(got) == np.shape(wanted)
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_by_transforms(mode: str) -> None:
    for shapes in (((11,), (4,)), ((4,), (11,)), ((5, 7), (3, 2)), ((3, 9), (1, 4))):
        for kind in (1, 1j):
            x, y = (RNG.normal(size=s) * kind for s in shapes)
            axes = [1] if shapes[1] == (1, 4) else None
            near(signal.fftconvolve(x, y, mode, axes), scipy.signal.fftconvolve(x, y, mode, axes))
    for wrong in (
        (np.ones(3), np.ones((3, 3))),
        (np.ones((3, 2)), np.ones((2, 3)), "valid"),
        (np.ones(3), np.ones(3), "all"),
    ):
        with pytest.raises(ValueError, match="fftconvolve"):
            signal.fftconvolve(*wrong)


def test_trends() -> None:
    x = RNG.normal(size=(3, 20))
    for axis in (0, 1):
        for kind, bp in (("constant", 0), ("linear", 0), ("linear", [1, 2])):
            near(signal.detrend(x, axis, kind, bp), scipy.signal.detrend(x, axis, kind, bp))
    for wrong in ({"type": "cubic"}, {"bp": 30}):
        with pytest.raises(ValueError, match="detrend"):
            signal.detrend(x, **wrong)


SPECTRA: list[dict[str, Any]] = [
    {}, {"window": "hamming", "noverlap": 10}, {"nfft": 50, "fs": 3.0}, {"detrend": "linear", "scaling": "spectrum"},
    {"average": "median"}, {"return_onesided": False}, {"window": ("kaiser", 3.0)}, {"nperseg": 31}, {"axis": 0},
    {"detrend": False, "window": "boxcar"},
]  # fmt: skip


@pytest.mark.parametrize("options", SPECTRA, ids=str)
def test_power(options: dict[str, Any]) -> None:
    x, y = RNG.normal(size=(2, 120, 120))[:, :, :3], RNG.normal(size=(120, 3))
    options = {"nperseg": 32, "axis": 0, **options}
    for kind in (1, 1 + 0.5j):
        for got, wanted in zip(
            signal.welch(x[0] * kind, **options),
            scipy.signal.welch(x[0] * kind, **options),
            strict=True,
        ):
            near(got, wanted)
    for got, wanted in zip(
        signal.csd(x[0], y, **options), scipy.signal.csd(x[0], y, **options), strict=True
    ):
        near(got, wanted)


SHORT: list[dict[str, Any]] = [
    {}, {"boundary": "even"}, {"boundary": None}, {"boundary": "odd", "padded": False}, {"nfft": 40, "fs": 2.0},
    {"noverlap": 24}, {"return_onesided": False}, {"detrend": "constant", "boundary": "constant"},
]  # fmt: skip


@pytest.mark.parametrize("options", SHORT, ids=str)
def test_short_transforms(options: dict[str, Any]) -> None:
    x = RNG.normal(size=(2, 100))
    found = signal.stft(x, nperseg=32, **options)
    for got, wanted in zip(found, scipy.signal.stft(x, nperseg=32, **options), strict=True):
        near(got, wanted)
    if "detrend" not in options and options.get("boundary", "") is not None:
        back = {k: options[k] for k in ("nfft", "fs", "noverlap") if k in options}
        back["input_onesided"] = options.get("return_onesided", True)
        theirs = scipy.signal.istft(np.asarray(found[2]), nperseg=32, **back)
        times, got = signal.istft(found[2], nperseg=32, **back)
        near(got, theirs[1])
        near(times, np.arange(got.shape[-1]) / options.get("fs", 1.0))
    if "nfft" not in options and options.get("return_onesided", True):
        turned = np.swapaxes(np.asarray(found[2]), 0, 2)
        shared = options.get("noverlap")
        got = signal.istft(turned, nperseg=32, noverlap=shared, time_axis=0, freq_axis=1)
        near(
            got[1],
            scipy.signal.istft(turned, nperseg=32, noverlap=shared, time_axis=0, freq_axis=1)[1],
        )


def test_spectra_that_are_wrong() -> None:
    x = np.ones(40)
    for call in (
        lambda: signal.welch(x, window="tukey"), lambda: signal.welch(x, scaling="power"),
        lambda: signal.welch(x, average="sum"),
        lambda: signal.stft(x, nperseg=8, noverlap=9), lambda: signal.stft(x, boundary="wrap"),
        lambda: signal.welch(np.ones(0)),
        lambda: signal.istft(x), lambda: signal.welch(x, window=np.ones(3), nperseg=5),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"welch|stft"):
            call()
