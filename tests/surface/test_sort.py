"""Sorting against NumPy: every dtype, with what has no order of its own, at the lengths where the method changes."""

from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp
from covector._engine.types import dtypes

REAL = [d for d in dtypes.ALL if not dtypes.is_complex(d)]
LENGTHS = [0, 1, 2, 5, 383, 384, 1000, 16383, 16384, 70_000, 150_001]  # see native/sort.cc

sort, argsort = covector.jit(cnp.sort), covector.jit(cnp.argsort)


def numbers(n: int, dtype: np.dtype) -> np.ndarray:
    """Numbers with many equal ones, both zeros, infinities and NaNs of both signs."""
    rng = np.random.default_rng(n)
    if dtypes.kind(dtype) == "b":
        return rng.random(n) > 0.5
    if dtypes.kind(dtype) != "f":
        info = np.iinfo(dtype)
        wide = rng.integers(info.min, info.max, n, dtype, endpoint=True)
        return np.where(rng.random(n) > 0.5, wide, rng.integers(0, 5, n).astype(dtype))
    x = rng.standard_normal(n) * 100
    for special in (0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf):
        x[rng.random(n) < 0.05] = special
    return x.astype(dtype)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_rows(dtype: np.dtype, n: int) -> None:
    x = numbers(n, dtype)
    wide = x.astype(np.float32) if dtype == dtypes.bfloat16 else x
    order = np.argsort(wide, kind="stable")
    np.testing.assert_array_equal(np.asarray(argsort(x)), order)
    bits = f"u{x.dtype.itemsize}"
    np.testing.assert_array_equal(np.asarray(sort(x)).view(bits), x[order].view(bits))


@pytest.mark.parametrize("shape", [(3, 70_000), (40, 1000), (5, 3, 17), (4, 0), (7, 1)])
def test_many_rows(shape: tuple[int, ...]) -> None:
    x = numbers(int(np.prod(shape)), np.dtype(np.float32)).reshape(shape)
    np.testing.assert_array_equal(np.asarray(sort(x)), np.sort(x))
    np.testing.assert_array_equal(np.asarray(argsort(x)), np.argsort(x, kind="stable"))
    first = covector.jit(lambda x: cnp.sort(x, axis=0))
    np.testing.assert_array_equal(np.asarray(first(x)), np.sort(x, axis=0))


def test_values_are_moved_only_if_they_are_read() -> None:
    alone = covector.jit(cnp.sort).lower(np.ones(8, np.float32)).compile().as_text("kernels")
    pairs = covector.jit(cnp.argsort).lower(np.ones(8, np.float32)).compile().as_text("kernels")
    assert ("; 11, 0, 1, 8)" in alone, "; 11, 4, 1, 8)" in pairs) == (True, True), alone + pairs


COMPLEX = [d for d in dtypes.ALL if dtypes.is_complex(d)]


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
def test_complex_rows(dtype: np.dtype) -> None:
    """By the real parts, equal ones by the imaginary parts, NaN last in each."""
    real, imag = (numbers(300, np.dtype(f"f{dtype.itemsize // 2}")) for _ in range(2))
    x = np.empty(300, dtype)
    x.real, x.imag = np.round(real / 100), np.round(imag[::-1] / 100)
    order = np.lexsort((x.imag, x.real))
    np.testing.assert_array_equal(np.asarray(argsort(x)), order)
    np.testing.assert_array_equal(np.asarray(sort(x)), x[order])


@pytest.mark.parametrize("n", [1, 5, 63, 64, 1000, 70_000])
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_largest(dtype: np.dtype, n: int) -> None:
    x = numbers(n, dtype)
    wide = x.astype(np.float32) if dtype == dtypes.bfloat16 else x
    order = n - 1 - np.argsort(wide[::-1], kind="stable")[::-1]
    for k in sorted({1, min(n, 40), n}) if n < 70_000 else (300,):
        values, places = covector.lax.top_k(x, k)
        np.testing.assert_array_equal(np.asarray(places), order[:k])
        bits = f"u{x.dtype.itemsize}"
        np.testing.assert_array_equal(np.asarray(values).view(bits), x[order[:k]].view(bits))


def test_largest_of_what_rises_and_falls() -> None:
    rising = np.arange(100_000, dtype=np.float32)
    for x in (
        rising,
        rising[::-1],
        rising * 0,
        np.minimum(rising, 50_000),
        rising.reshape(100, 1000),
    ):
        values, places = covector.lax.top_k(x, 7)
        order = np.argsort(-x, axis=-1, kind="stable")[..., :7]
        np.testing.assert_array_equal(np.asarray(places), order)
        np.testing.assert_array_equal(np.asarray(values), np.take_along_axis(x, order, -1))


def test_several_keys() -> None:
    rng = np.random.default_rng(0)
    keys = [rng.integers(0, 4, (3, 50)).astype(np.float32) for _ in range(3)]
    keys[0][rng.random((3, 50)) < 0.2] = np.nan
    np.testing.assert_array_equal(np.asarray(cnp.lexsort(keys)), np.lexsort(keys))
    np.testing.assert_array_equal(np.asarray(cnp.lexsort(keys, axis=0)), np.lexsort(keys, axis=0))
    payload = np.arange(150).reshape(3, 50)
    found = covector.lax.sort((*keys, payload), num_keys=3)
    order = np.lexsort(keys[::-1])
    np.testing.assert_array_equal(np.asarray(found[3]), np.take_along_axis(payload, order, -1))


def test_parts() -> None:
    x = numbers(200, np.dtype(np.float32)).reshape(4, 50)
    for kth in (0, 7, -1):
        for axis in (0, 1):
            if kth >= x.shape[axis]:
                continue
            wanted = np.take(np.sort(x, axis), kth, axis)
            found = cnp.partition(x, kth, axis)
            np.testing.assert_array_equal(np.take(np.asarray(found), kth, axis), wanted)
            places = np.asarray(cnp.argpartition(x, kth, axis))
            by_place = np.take_along_axis(x, places, axis)
            np.testing.assert_array_equal(np.take(by_place, kth, axis), wanted)
    values, places = cnp.top_k(x, 50, mode="smallest")
    np.testing.assert_array_equal(np.asarray(places), np.argsort(x, kind="stable"))
    values, places = cnp.top_k(x, 3, axis=0, mode="smallest")
    np.testing.assert_array_equal(np.asarray(values), np.sort(x, 0)[:3])
    np.testing.assert_array_equal(np.take_along_axis(x, np.asarray(places), 0), np.sort(x, 0)[:3])


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda: cnp.sort(np.ones(2), kind="stable")),
        (TypeError, lambda: cnp.argsort(np.ones(2), order="f")),
        (TypeError, lambda: cnp.argsort(np.ones(2), dtype="float32")),
        (TypeError, lambda: cnp.lexsort(())),
        (ValueError, lambda: cnp.lexsort((np.ones(2), np.ones(3)))),
        (ValueError, lambda: cnp.partition(np.ones(2), 2)),
        (ValueError, lambda: cnp.argpartition(np.ones(2), -3)),
        (ValueError, lambda: cnp.top_k(np.ones(2), 3)),
        (ValueError, lambda: covector.lax.top_k(np.ones(2), 3)),
        (ValueError, lambda: covector.lax.top_k(np.ones(2), -1)),
        (ValueError, lambda: covector.lax.top_k(np.ones(2) * 1j, 1)),
        (ValueError, lambda: covector.lax.approx_max_k(np.arange(2), 1)),
        (ValueError, lambda: covector.lax.approx_min_k(np.ones(2), 1, recall_target=2.0)),
        (TypeError, lambda: covector.lax.sort(())),
        (ValueError, lambda: covector.lax.sort((np.ones(2),), num_keys=2)),
    ],
)  # fmt: skip
def test_wrong_arguments(error, call) -> None:
    with pytest.raises(error):
        call()


def test_keys_of_several_dtypes() -> None:
    rng = np.random.default_rng(0)
    shape = (3, 200)
    keys = [
        rng.integers(-2, 2, shape).astype("int8"),
        rng.choice(np.array([np.nan, 0.0, -0.0, -1.5, np.inf, -np.inf], "float32"), shape),
        rng.integers(0, 2, shape).astype(bool),
        rng.integers(0, 3, shape).astype("uint16"),
        rng.choice(np.array([1j, -1j, 1.0]), shape),
    ]
    found = lax.sort((*keys, np.arange(200) + np.zeros(shape, int)), num_keys=5)
    for row in range(3):
        parts = [p for k in keys for p in ([k.real, k.imag] if k.dtype.kind == "c" else [k])]
        order = np.lexsort([p[row] for p in reversed(parts)])
        for key, sorted_key in zip(
            (*keys, np.arange(200) + np.zeros(shape, int)), found, strict=True
        ):
            np.testing.assert_array_equal(np.asarray(sorted_key)[row], key[row][order])
    along = cnp.lexsort([k.T for k in keys[:4]], axis=0)
    np.testing.assert_array_equal(along, np.lexsort([k.T for k in keys[:4]], axis=0))
    matrix = rng.integers(0, 3, (4, 5, 6))
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(
            cnp.lexsort(cnp.asarray(matrix), axis), np.lexsort(matrix, axis)
        )


def test_sorts_by_several_keys_in_transformations() -> None:
    rng = np.random.default_rng(0)
    a, b, x = (cnp.asarray(rng.integers(0, 3, (2, 8)).astype(np.float32)) for _ in range(3))

    def moved(a: Any, b: Any, x: Any) -> Any:
        return lax.sort((a, b, x), num_keys=2)

    for wanted, found in zip(moved(a, b, x), covector.vmap(moved)(a, b, x), strict=True):
        np.testing.assert_array_equal(found, wanted)
    weights = cnp.arange(8.0)
    slope = covector.grad(lambda x: (moved(a, b, x)[2] * weights).sum())(x)
    order = np.stack([np.lexsort((b[i], a[i])) for i in range(2)])
    np.testing.assert_array_equal(np.take_along_axis(np.asarray(slope), order, -1), [weights] * 2)
    key = covector.grad(lambda a: (moved(a, b, x)[0] * weights).sum())(a)
    np.testing.assert_array_equal(np.take_along_axis(np.asarray(key), order, -1), [weights] * 2)


def test_unique_slices_are_one_sort() -> None:
    x = np.random.default_rng(0).integers(0, 2, (60, 30))
    wanted = np.unique(x[:, :4], axis=0, return_inverse=True)
    found = cnp.unique(x[:, :4], axis=0, return_inverse=True)
    for w, f in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(f, w)
    text = covector.make_jaxpr(lambda x: cnp.unique(x, axis=0, size=9))(x).__str__()
    assert text.count("sort_order ") == 1
