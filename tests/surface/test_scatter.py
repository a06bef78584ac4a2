"""Scatters of many updates, which the runtime's routine computes, against NumPy's `ufunc.at`; and their derivatives."""

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp

COUNT = 5_000  # enough for the routine
UFUNCS = {
    "set": None, "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
}  # fmt: skip
DTYPES = ("float32", "float64", "int32", "int64", "uint32", "uint64", "complex64", "complex128")
# The sizes that are indexed, and those of the windows.
SHAPES = (((700,), ()), ((37,), (3,)), ((5, 9), ()), ((3, 4, 5), (2,)))


def expected(x, vectors, updates, combine, clip):
    out = x.copy()
    sizes = np.array(x.shape[: vectors.shape[-1]])
    inside = np.all((vectors >= 0) & (vectors < sizes), -1) | clip
    at = tuple(np.clip(vectors, 0, sizes - 1)[inside].T)
    if UFUNCS[combine] is None:
        out[at] = updates[inside]
    else:
        UFUNCS[combine].at(out, at, updates[inside])
    return out


def numbers_of(rank: int, components: int) -> lax.ScatterDimensionNumbers:
    axes = tuple(range(components))
    return lax.ScatterDimensionNumbers(tuple(range(1, 1 + rank)), axes, axes)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("combine", UFUNCS)
@pytest.mark.parametrize("case", range(len(DTYPES)))
def test_many_updates(case: int, combine: str, clip: bool) -> None:
    rng = np.random.default_rng(case)
    dtype, (front, rows) = np.dtype(DTYPES[case]), SHAPES[case % len(SHAPES)]
    if dtype.kind == "c" and combine not in ("set", "add"):
        return
    index = np.int64 if case % 3 == 0 else np.int32
    vectors = rng.integers(-3, np.array(front) + 3, (COUNT, len(front))).astype(index)
    updates = rng.integers(-2, 3, (COUNT, *rows)).astype(dtype)
    if dtype.kind == "c":
        updates *= 1 + 2j
    x = rng.integers(0, 9, (*front, *rows)).astype(dtype)
    function = getattr(lax, "scatter" if combine == "set" else f"scatter_{combine}")
    mode = "clip" if clip else "fill"
    out = covector.jit(
        lambda x, i, u: function(x, i, u, numbers_of(len(rows), len(front)), mode=mode)
    )
    with np.errstate(all="ignore"):
        wanted = expected(x, vectors, updates, combine, clip)
    np.testing.assert_array_equal(np.asarray(out(x, vectors, updates)), wanted)


def test_sums_do_not_depend_on_threads() -> None:
    """Each place is the sum in the order of the updates."""
    rng = np.random.default_rng(0)
    places, updates = rng.integers(0, 1000, 200_000), rng.standard_normal(200_000, np.float32)
    out = covector.jit(lambda i, u: cnp.zeros(1000).at[i].add(u))(places.astype(np.int32), updates)
    wanted = np.zeros(1000, np.float32)
    np.add.at(wanted, places, updates)
    np.testing.assert_array_equal(np.asarray(out), wanted)


def test_nan_wins() -> None:
    x = cnp.array([1.0, np.nan, 3.0])
    updates = np.where(np.arange(COUNT) == 7, np.nan, np.float32(2))
    places = (np.arange(COUNT) % 2 + 1).astype(np.int32)  # the NaN goes to 2
    for function in (lax.scatter_min, lax.scatter_max):
        out = covector.jit(lambda x, i, u, f=function: f(x, i, u, numbers_of(0, 1)))
        np.testing.assert_array_equal(out(x, places[:, None], updates), [1, np.nan, np.nan])


def test_gradient_of_many_rows() -> None:
    """The gradient of a table of rows is a scatter of rows."""
    rng = np.random.default_rng(1)
    table, places = rng.standard_normal((11, 7), np.float32), rng.integers(0, 11, COUNT)
    weights = rng.standard_normal((COUNT, 7), np.float32)
    grad = covector.jit(covector.grad(lambda t: cnp.sum(t[cnp.asarray(places)] * weights)))(table)
    wanted = np.zeros((11, 7))
    np.add.at(wanted, places, weights)
    np.testing.assert_allclose(np.asarray(grad), wanted, rtol=2e-4, atol=1e-4)
