"""The functions of `covector.numpy` by theme in compiled code; those whose results are as long as values say."""

from __future__ import annotations

import numpy as np
import pytest
from tests.surface.numpy_theme_cases import CASES, Case
from tests.surface.test_numpy_themes import label, of_numpy, same

import covector as cv
import covector.numpy as cnp


@pytest.fixture(autouse=True)
def reference() -> None:
    """In place of the folder's fixture: it is compiled code that runs, as users run it."""
    return


@pytest.mark.parametrize("case", [c for c in CASES if "j" in c.ways], ids=label)
def test_in_jit(case: Case) -> None:
    right = of_numpy(case)
    operands = [cnp.asarray(x) for x in case.operands]
    same(cv.jit(lambda *xs: case.call(cnp, *xs))(*operands), right, case.digits)


# ------------------------------------------------------------------------- with a size, inside jit

X, Y = np.array([3, 1, 3, 7, 0, 1], np.int32), np.array([7, 2, 1], np.int32)
SIZED = {
    "unique": (lambda size, fill: lambda x, y: cnp.unique(x, size=size, fill_value=fill), np.unique(X), 0),
    "union1d": (lambda size, fill: lambda x, y: cnp.union1d(x, y, size=size, fill_value=fill), np.union1d(X, Y), 0),
    "intersect1d": (
        lambda size, fill: lambda x, y: cnp.intersect1d(x, y, size=size, fill_value=fill), np.intersect1d(X, Y), 1,
    ),
    "setdiff1d": (
        lambda size, fill: lambda x, y: cnp.setdiff1d(x, y, size=size, fill_value=fill), np.setdiff1d(X, Y), 0,
    ),
    "setxor1d": (
        lambda size, fill: lambda x, y: cnp.setxor1d(x, y, size=size, fill_value=fill), np.setxor1d(X, Y), 0,
    ),
    "nonzero": (lambda size, fill: lambda x, y: cnp.nonzero(x, size=size, fill_value=fill)[0], np.nonzero(X)[0], 0),
    "extract": (lambda size, fill: lambda x, y: cnp.extract(x > 1, x, size=size, fill_value=fill or 0), X[X > 1], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("fill", [None, -5])
def test_with_a_size(name: str, fill: int | None) -> None:
    make, right, default = SIZED[name]
    for size in (2, 9):
        wanted = np.full(size, default if fill is None else fill)
        wanted[: len(right)] = right[:size]
        f = make(size, fill)
        np.testing.assert_array_equal(f(cnp.asarray(X), cnp.asarray(Y)), wanted)
        np.testing.assert_array_equal(cv.jit(f)(X, Y), wanted)
        stacked = cv.vmap(f)(np.stack([X, X[::-1]]), np.stack([Y, Y]))
        np.testing.assert_array_equal(stacked[0], wanted)


@pytest.mark.parametrize("name", SIZED)
def test_without_a_size_jit_says_what_to_do(name: str) -> None:
    with pytest.raises(cv.errors.ConcretizationTypeError, match=f"{name}.*size="):
        cv.jit(SIZED[name][0](None, None))(X, Y)


def test_what_unique_tells_with_a_size() -> None:
    values, index, inverse, counts = cv.jit(
        lambda x: cnp.unique(x, True, True, True, size=6, fill_value=-1)
    )(X)
    np.testing.assert_array_equal(values, [0, 1, 3, 7, -1, -1])
    np.testing.assert_array_equal(index, [4, 1, 0, 3, 4, 4])
    np.testing.assert_array_equal(inverse, [2, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(counts, [1, 2, 2, 1, 0, 0])


def test_indices_of_an_intersection_are_out_of_bounds_behind_it() -> None:
    values, first, second = cv.jit(
        lambda x, y: cnp.intersect1d(x, y, return_indices=True, size=4, fill_value=-1)
    )(X, Y)
    np.testing.assert_array_equal(values, [1, 7, -1, -1])
    np.testing.assert_array_equal(first, [1, 3, 6, 6])
    np.testing.assert_array_equal(second, [2, 0, 3, 3])


def test_nonzero_of_a_matrix_with_a_size() -> None:
    a = np.array([[0, 1, 0], [2, 0, 3]], np.int32)
    rows, columns = cv.jit(lambda a: cnp.nonzero(a, size=4, fill_value=(9, -1)))(a)
    np.testing.assert_array_equal(rows, [0, 1, 1, 9])
    np.testing.assert_array_equal(columns, [1, 0, 2, -1])


def test_unique_is_differentiated_by_what_it_chose() -> None:
    g = cv.grad(lambda x: cnp.sum(cnp.unique(x) * cnp.array([1.0, 10.0])))(
        cnp.array([2.0, 1.0, 2.0])
    )
    np.testing.assert_array_equal(g, [10.0, 1.0, 0.0])


def test_zeros_of_a_polynomial_that_begins_with_zeros() -> None:
    find = cv.jit(lambda p: cnp.roots(p, strip_zeros=False))
    found = np.asarray(find(np.array([0, 1, -3, 2, 0], np.float32)))
    np.testing.assert_allclose(np.sort(found.real), [0, 1, 2, np.nan], atol=1e-4)
    assert np.isnan(found[-1])
    assert np.isnan(np.asarray(find(np.zeros(5, np.float32)))).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_many_matrices_are_turned_on_several_threads(dtype: str) -> None:
    x = np.random.default_rng(6).integers(-99, 99, (129, 32, 16)).astype(dtype)
    swapped = np.swapaxes(x, 1, 2)
    np.testing.assert_array_equal(cv.jit(lambda x: cnp.sort(x, axis=1))(x), np.sort(x, axis=1))
    np.testing.assert_array_equal(cv.jit(lambda x: cnp.swapaxes(x, 1, 2))(x), swapped)
    product = cv.vmap(lambda m: cnp.tensordot(m, cnp.ones(32, dtype), ((0,), (0,))))(x)
    np.testing.assert_array_equal(product, swapped.sum(-1))


def test_many_numbers_in_few_places_are_added_up_side_by_side() -> None:
    rng = np.random.default_rng(5)
    ids, x = rng.integers(-1, 4, 1003), rng.integers(-9, 9, 1003)
    right = [x[ids == i].sum() for i in range(3)]
    np.testing.assert_array_equal(cv.ops.segment_sum(x, ids, 3), right)
    slope = cv.grad(lambda v: cnp.sum(cv.ops.segment_sum(v, ids, 3) ** 2))(x.astype(np.float32))
    wanted = np.where((ids >= 0) & (ids < 3), 2 * np.append(right, [0, 0])[ids], 0)
    np.testing.assert_array_equal(slope, wanted)
    np.testing.assert_array_equal(cnp.bincount(ids + 1), np.bincount(ids + 1))
    counts = cnp.histogram(x.astype(np.float32), 4)[0]
    np.testing.assert_array_equal(counts, np.histogram(x, 4)[0])


def test_a_search_finds_the_place_of_nan_and_of_complex_numbers() -> None:
    table = np.array([-np.inf, -1, 0, 2, 2, np.inf, np.nan, np.nan], np.float32)
    wanted = np.array([np.nan, np.inf, -np.inf, 2, 0.5, -3, 9], np.float32)
    for side in ("left", "right"):
        for n in range(len(table) + 1):
            got = cnp.searchsorted(cnp.asarray(table[:n]), wanted, side=side)
            np.testing.assert_array_equal(got, np.searchsorted(table[:n], wanted, side))
        z = np.array([1 - 1j, 1 + 2j, 2, 2 + 1j], np.complex64)
        got = cnp.searchsorted(cnp.asarray(z), z[::-1], side=side)
        np.testing.assert_array_equal(got, np.searchsorted(z, z[::-1], side))
