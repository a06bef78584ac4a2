"""Many updates at single indices, as the routine takes them: by NumPy, which combines one after the other."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

N = 70_000  # updates: of fewer, few places have no copies
COMBINE: dict[str, Any] = {
    "add": np.add,
    "multiply": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
INDICES = {
    "inside": lambda rng, n: rng.integers(0, n, N),
    "negative": lambda rng, n: rng.integers(-n, 0, N),
    "both": lambda rng, n: rng.integers(-n, n, N),
    "far outside": lambda rng, n: rng.integers(-4 * n, 4 * n, N),
    "few outside": lambda rng, n: np.where(rng.random(N) < 0.01, -n - 1, rng.integers(0, n, N)),
    "outside at the end": lambda rng, n: np.where(np.arange(N) < N // 2, 1, 3 * n),
}


def places(index: np.ndarray, n: int, mode: str, wrap: bool) -> tuple[np.ndarray, np.ndarray]:
    """The updates that are combined, and their places."""
    at = np.where((index < 0) & wrap, index + n, index)
    if mode == "clip":
        return np.arange(N), np.clip(at, 0, n - 1)
    inside = (at >= 0) & (at < n)
    return np.flatnonzero(inside), at[inside]


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("mode", ["drop", "clip"])
@pytest.mark.parametrize("n", [1, 300, 50_000])
@pytest.mark.parametrize("kind", INDICES)
def test_where_indices_lead(kind: str, n: int, mode: str, wrap: bool) -> None:
    rng = np.random.default_rng(0)
    index = INDICES[kind](rng, n).astype(np.int32)
    update = rng.integers(-5, 6, N).astype(np.float32)  # sums of which are exact
    which, at = places(index, n, mode, wrap)
    wanted = np.zeros(n, np.float32)
    np.add.at(wanted, at, update[which])

    @cv.jit
    def added(index: Any, update: Any) -> Any:
        start = cnp.zeros(n, cnp.float32)
        return start.at[index].add(update, mode=mode, wrap_negative_indices=wrap)

    np.testing.assert_array_equal(added(index, update), wanted)
    counted = cv.jit(
        lambda i: cnp.zeros(n, int).at[i].add(1, mode=mode, wrap_negative_indices=wrap)
    )
    np.testing.assert_array_equal(counted(index), np.bincount(at, minlength=n))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64", "float32", "float64"])
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("name", COMBINE)
@pytest.mark.parametrize("n", [20, 40_000])
def test_operations_and_dtypes(name: str, dtype: str, width: Any, n: int) -> None:
    rng = np.random.default_rng(1)
    index = rng.integers(-n, n, N).astype(width)
    low, high = (1, 3) if name == "multiply" else (-9 if dtype[0] != "u" else 0, 10)
    update = rng.integers(low, high, N).astype(dtype)
    if dtype[0] == "f":
        if name == "multiply":
            update = np.where(rng.random(N) < 0.5, 2, 0.5).astype(dtype)
        if name in ("min", "max"):
            update[rng.integers(0, N, 5)] = np.nan
            update[rng.integers(0, N, 5)] = -np.inf
    start = np.ones(n, dtype)
    wanted = start.copy()
    with np.errstate(all="ignore"):
        COMBINE[name].at(wanted, index, update)
    with cv.enable_x64(True):
        run = cv.jit(lambda x, i, u: getattr(x.at[i], name)(u))
        np.testing.assert_array_equal(run(start, index, update), wanted)
        one = cv.jit(lambda x, i, u: getattr(x.at[i], name)(u))(start, index, update[0])
        wanted = start.copy()
        with np.errstate(all="ignore"):
            COMBINE[name].at(wanted, index, update[0])
        np.testing.assert_array_equal(one, wanted)


def test_zeros_keep_their_sign_and_nothing_is_no_update() -> None:
    index = np.full(N, 2, np.int32)
    minus = np.full(N, -0.0, np.float32)
    got = np.asarray(
        cv.jit(lambda x, i, u: x.at[i].add(u))(np.full(4, -0.0, np.float32), index, minus)
    )
    np.testing.assert_array_equal(np.signbit(got), True)
    none = cv.jit(lambda x, i, u: x.at[i].add(u))(np.ones(3, np.float32), index[:0], minus[:0])
    np.testing.assert_array_equal(none, 1)


@pytest.mark.parametrize("kind", INDICES)
def test_counts_of_numbers(kind: str) -> None:
    """Negative numbers count as 0, too large ones not."""
    index = INDICES[kind](np.random.default_rng(2), 300).astype(np.int32)
    kept = np.maximum(index, 0)
    wanted = np.bincount(kept[kept < 300], minlength=300)
    np.testing.assert_array_equal(cv.jit(lambda i: cnp.bincount(i, length=300))(index), wanted)
    weights = np.random.default_rng(3).integers(0, 9, N).astype(np.float32)
    wanted = np.bincount(kept[kept < 300], weights[kept < 300], minlength=300)
    got = cv.jit(lambda i, w: cnp.bincount(i, w, length=300))(index, weights)
    np.testing.assert_array_equal(got, wanted)


def test_indices_go_to_the_routine_as_they_are() -> None:
    """No memory for indices or updates that are made for it."""
    index, x = np.zeros(N, np.int32), np.zeros(N, np.float32)
    for run, operands in (
        (lambda i: cnp.bincount(i, length=300), (index,)),
        (lambda i, x: cnp.zeros(300).at[i].add(x), (index, x)),
        (lambda i: cnp.zeros(300).at[i].add(1.0), (index,)),
    ):
        analysis = cv.jit(run).lower(*operands).compile().memory_analysis()
        assert analysis.temp_size_in_bytes < N


CODES = {"int32": 3, "int64": 4, "uint32": 7, "uint64": 8, "float32": 11, "float64": 12}
OPERATIONS = {"set": 0, "add": 1, "multiply": 2, "min": 3, "max": 4}
LEFT_OUT, MOVED, FROM_END, FIRST = range(4)
FEW = 40_000  # updates: enough for copies of 300 places


def some_runs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Indices that stay for 1 to 40 updates: sixteen of them are now alike and now not."""
    return np.repeat(rng.integers(0, n, FEW), rng.integers(1, 41, FEW))[:FEW]


RUNS = {
    "mixed": lambda rng, n: rng.integers(0, n, FEW),
    "rising": lambda rng, n: np.sort(rng.integers(0, n, FEW)),
    "rising in runs": some_runs,
    "one place": lambda rng, n: np.full(FEW, n - 1),
    "bounds of runs": lambda rng, n: np.repeat([-n, -1, 0, n - 1], FEW // 4),
    "rising from below to above": lambda rng, n: np.sort(rng.integers(-n // 50 - 2, n + 2, FEW)),
    "a few outside": lambda rng, n: np.where(rng.random(FEW) < 0.01, n, some_runs(rng, n)),
}


@pytest.fixture
def scatter(native):
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 12)
    return kind(native.symbols()["cv_scatter"])


def at_place(index: np.ndarray, n: int, outside: int) -> tuple[np.ndarray, np.ndarray]:
    """Which updates are combined, and where."""
    if outside == MOVED:
        index = np.clip(index, 0, n - 1)
    if outside == FROM_END:
        index = np.where(index < 0, index + n, index)
    if outside == FIRST:
        index = np.maximum(index, 0)
    which = np.flatnonzero((index >= 0) & (index < n))
    return which, index[which]


def rounded_updates(rng: np.random.Generator, name: str, dtype: str) -> np.ndarray:
    """Updates of which the order shows in the bits, NaN and zeros of both signs where they are chosen from."""
    if dtype[0] != "f":
        return rng.integers(0, 2**31, FEW).astype(dtype)
    if name == "multiply":
        return rng.uniform(0.9, 1.1, FEW).astype(dtype)
    update = rng.standard_normal(FEW).astype(dtype)
    if name != "add":
        update[rng.random(FEW) < 0.5] = 0.0
        update[rng.random(FEW) < 0.3] = -0.0
        update[rng.integers(0, FEW, 3)] = np.nan
    return update


def exact_updates(rng: np.random.Generator, name: str, dtype: str) -> np.ndarray:
    """Updates whose results are exact in any order."""
    if name == "multiply":
        return np.where(rng.random(FEW) < 1e-3, 2, 1).astype(dtype)
    return rng.integers(0, 9, FEW).astype(dtype)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_runs_of_indices_with_vectors_of_each_length(scatter, each_vectors, name, dtype, kind):
    """The length of vectors changes no bit, whether indices rise, stay or are mixed, and where they are outside."""
    rng = np.random.default_rng(4)
    updates = [make(rng, name, dtype) for make in (exact_updates, rounded_updates)]
    for n, width, outside in itertools.product((20, 300), (np.int32, np.int64), range(4)):
        index = RUNS[kind](rng, n).astype(width)
        which, at = at_place(index, n, outside)
        sizes = (np.dtype(width).itemsize, FEW, 1, 1, n, 1, 1, 1)
        for one, (rounded, update) in itertools.product((0, 1), enumerate(updates)):
            results = []
            for _ in each_vectors():
                out = np.ones(n, dtype)
                addresses = index.ctypes.data, update.ctypes.data, out.ctypes.data
                scatter(*addresses, CODES[dtype], OPERATIONS[name], outside, one, *sizes)
                results.append(out)
            case = f"{n} places, {width.__name__}, outside {outside}, one {one}"
            assert len({out.tobytes() for out in results}) == 1, case
            if not rounded:
                wanted = np.ones(n, dtype)
                values = np.broadcast_to(update[0], FEW) if one else update
                if name == "set":
                    wanted[at] = values[which]
                else:
                    COMBINE[name].at(wanted, at, values[which])
                np.testing.assert_array_equal(results[0], wanted, case)
