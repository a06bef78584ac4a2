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


def test_sums_are_in_the_order_of_the_updates() -> None:
    rng = np.random.default_rng(0)
    places, updates = rng.integers(0, 10_000, 200_000), rng.standard_normal(200_000, np.float32)
    out = covector.jit(lambda i, u: cnp.zeros(10_000).at[i].add(u))
    wanted = np.zeros(10_000, np.float32)
    np.add.at(wanted, places, updates)
    np.testing.assert_array_equal(np.asarray(out(places.astype(np.int32), updates)), wanted)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint32"])
@pytest.mark.parametrize("combine", ["add", "mul", "min", "max"])
def test_few_places(combine: str, dtype: str, clip: bool) -> None:
    """Pieces of the updates go into copies; what nothing is combined with stays as it is, the sign of a zero too."""
    rng = np.random.default_rng(3)
    places = rng.integers(-2, 7 if clip else 9, 40_003)[:, None]
    places = places.astype(np.int64 if clip else np.int32)
    places[places == 7] = 3  # of 8, the last of which is left out
    updates = rng.choice([1, 2, 3] if combine != "mul" else [1, 1, 1, 2], 40_003).astype(dtype)
    if combine == "mul":
        updates[rng.random(40_003) > 1e-3] = 1
    x = np.array([5, 0, 7, 2, 1, 1, 3, 0]).astype(dtype) * np.ones((), dtype)
    if dtype == "float32":
        x[7] = -0.0
    function = getattr(lax, f"scatter_{combine}")
    mode = "clip" if clip else "fill"
    run = covector.jit(lambda x, i, u: function(x, i, u, numbers_of(0, 1), mode=mode))
    out = run(x, places, updates)
    wanted = expected(x, places, updates, combine, clip)
    np.testing.assert_array_equal(np.asarray(out).tobytes(), wanted.tobytes())


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


@pytest.mark.parametrize("combine", ["min", "max"])
def test_extremes_of_truth_values_and_complex_numbers(combine: str) -> None:
    rng = np.random.default_rng(5)
    order = {"min": min, "max": max}[combine]
    places = rng.integers(0, 4, 12)
    for x, u in (
        (rng.random(4) > 0.5, rng.random(12) > 0.5),
        tuple((rng.integers(-2, 2, (n, 2)) @ [1, 1j]).astype(np.complex64) for n in (4, 12)),
    ):
        wanted = list(x)
        for place, value in zip(places, u, strict=True):
            key = (lambda c: (c.real, c.imag)) if np.iscomplexobj(u) else int
            wanted[place] = order(wanted[place], value, key=key)
        update = covector.jit(lambda x, i, u: getattr(x.at[i], combine)(u))
        np.testing.assert_array_equal(
            np.asarray(update(cnp.asarray(x), places, u)), np.array(wanted)
        )
        whole = getattr(cnp.asarray(x).at[1:3], combine)(u[:2])
        for n in (0, 1):
            key = (lambda c: (c.real, c.imag)) if np.iscomplexobj(u) else int
            assert whole[1 + n] == order(x[1 + n], u[n], key=key)


def test_unique_indices_where_an_axis_has_one_element_or_none() -> None:
    """Of several vectors for one element one is inside: the loop over them writes one place, and is no free one."""
    shapes = ((1,), (5,), (1, 4), (4, 1), (1, 1), (3, 1, 2), (0, 3), (3, 0))
    cases = [
        (shape, axis, count, op)
        for shape in shapes
        for axis in range(len(shape))
        for count in (0, 1, 3)
        for op in ("set", "add", "min")
    ]

    def places(shape: tuple[int, ...], axis: int, count: int) -> np.ndarray:
        return np.arange(count, dtype=np.int32)[::-1] + (shape[axis] if count == 1 else 0) - 1

    def run(xs: list, indices: list) -> list:
        return [
            getattr(x.at[(slice(None),) * axis + (i,)], op)(
                -2.0, unique_indices=True, wrap_negative_indices=False
            )
            for x, i, (_, axis, _, op) in zip(xs, indices, cases, strict=True)
        ]

    xs = [np.ones(shape, np.float32) for shape, *_ in cases]
    indices = [places(shape, axis, count) for shape, axis, count, _ in cases]
    for (shape, axis, _, op), i, out in zip(
        cases, indices, covector.jit(run)(list(map(cnp.asarray, xs)), indices), strict=True
    ):
        wanted = np.ones(shape, np.float32)
        at = (slice(None),) * axis + (i[(i >= 0) & (i < shape[axis])],)
        wanted[at] = {"set": -2, "add": -1, "min": -2}[op]
        np.testing.assert_array_equal(out, wanted)
