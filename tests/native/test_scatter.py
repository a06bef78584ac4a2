"""Many updates at single indices, as the routine takes them: by NumPy, which combines one after the other."""

from __future__ import annotations

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
