"""The routine of convolutions against the primitive's reference: layouts, groups, phases, long kernels, threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import covector as cv
from covector._engine import primitives as prims
from covector._engine.base.record import replace
from covector._engine.types.avals import ShapedArray

Each = Callable[[], Iterator[int]]
Drawn = tuple[prims.Conv, tuple[int, ...], tuple[int, ...]]


def placed(spec: tuple[int, ...], values: list[int]) -> tuple[int, ...]:
    """The shape that has these sizes on these axes."""
    return tuple([values[spec.index(a)] for a in range(len(spec))])


def drawn(rng: np.random.Generator, long: bool) -> Drawn:
    """A convolution that the routine takes; with a kernel longer than the result if it is to gather."""
    rank = int(rng.integers(1, 4))
    groups, batches = [(1, 1), (1, 1), (2, 1), (1, 3)][rng.integers(4)]
    batch = int(rng.integers(1, 40 if long else 4)) * batches
    few = 1 if groups == batches == 1 else 4
    taken, made = int(rng.integers(4, 20)), int(rng.integers(few, 70)) * groups * batches
    sizes = [int(n) for n in rng.integers(1, 14, rank)]
    window = (
        [max(1, n - int(rng.integers(4))) for n in sizes] if long else [*rng.integers(1, 5, rank)]
    )
    strides, base, spread = (
        tuple([int(n) if rng.random() < 0.4 else 1 for n in rng.integers(1, 4, rank)])
        for _ in range(3)
    )
    padding = tuple([(int(a), int(b)) for a, b in rng.integers(0, 4, (rank, 2))])
    layouts = [(*range(rank + 2),), (0, rank + 1, *range(1, rank + 1))]
    specs = [
        layouts[n]
        if (n := int(rng.integers(3))) < 2
        else tuple([int(a) for a in rng.permutation(rank + 2)])
        for _ in range(3)
    ]
    lhs = placed(specs[0], [batch, taken * groups, *sizes])
    rhs = placed(specs[1], [made, taken, *[int(n) for n in window]])
    numbers = prims.ConvDimensionNumbers(*specs)
    return prims.Conv(strides, padding, base, spread, numbers, groups, batches), lhs, rhs


def check(each_vectors: Each, conv: prims.Conv, lhs: Any, rhs: Any) -> None:
    wanted = conv.reference(lhs, rhs)
    run = cv.jit(conv)
    rtol = 1e-12 if lhs.dtype == np.float64 else 2e-5
    for size in each_vectors():
        np.testing.assert_allclose(
            np.asarray(run(lhs, rhs)),
            wanted,
            rtol=rtol,
            atol=rtol * max(1, abs(wanted).max(initial=0)),
            err_msg=f"vectors of {size} bytes",
        )


@pytest.mark.parametrize("seed", range(24))
def test_random(each_vectors: Each, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = (np.float32, np.float64)[seed % 2]
    while True:
        conv, lhs, rhs = drawn(rng, long=seed % 3 == 0)
        types = [ShapedArray(s, np.dtype(dtype)) for s in (lhs, rhs)]
        if 0 not in conv.type(*types).shape:
            break
    check(each_vectors, conv, *[rng.normal(size=s).astype(dtype) for s in (lhs, rhs)])


@pytest.mark.parametrize("seed", range(24))
def test_random_pairs(each_vectors: Each, seed: int) -> None:
    """Of bfloat16, with the operand's features last, where they lie in pairs if their number is even."""
    rng = np.random.default_rng(100 + seed)
    while True:
        conv, lhs, rhs = drawn(rng, long=False)
        spec = conv.dimension_numbers.lhs_spec
        types = [ShapedArray(s, np.dtype(np.float32)) for s in (lhs, rhs)]
        if spec[1] == len(spec) - 1 and lhs[-1] % 2 == 0 and 0 not in conv.type(*types).shape:
            break
    wide = replace(conv, preferred_element_type=np.dtype(np.float32))
    check(each_vectors, wide, *[rng.normal(size=s).astype(bfloat16) for s in (lhs, rhs)])


CHANNELS_LAST = prims.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


@pytest.mark.parametrize("specs", [CHANNELS_LAST, prims.ConvDimensionNumbers(*[(0, 1, 2, 3)] * 3)])
def test_as_large_as_several_pieces(each_vectors: Each, specs: prims.ConvDimensionNumbers) -> None:
    rng = np.random.default_rng(0)
    lhs = rng.normal(size=placed(specs.lhs_spec, [3, 24, 40, 37])).astype(np.float32)
    rhs = rng.normal(size=placed(specs.rhs_spec, [40, 24, 3, 3])).astype(np.float32)
    conv = prims.Conv((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), specs)
    check(each_vectors, conv, lhs, rhs)
    _, pull = cv.vjp(conv, lhs, rhs)
    ct = rng.normal(size=conv.reference(lhs, rhs).shape).astype(np.float32)
    for got, x, back in zip(pull(ct), (lhs, rhs), (0, 1), strict=True):
        # One direction of a finite difference is exact: it is linear in each operand.
        step = rng.normal(size=x.shape).astype(np.float32)
        moved = conv.reference(*[step if n == back else y for n, y in enumerate((lhs, rhs))])
        np.testing.assert_allclose(
            (np.asarray(got) * step).sum(), (moved * ct).sum(), rtol=1e-3, atol=1
        )


@pytest.mark.parametrize("seed", range(24))
def test_few_features_on_their_own(each_vectors: Each, seed: int) -> None:
    """Features side by side, in whole vectors and in parts of one; kernels that reach over both ends."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    few = (1, 2, 1, 4, 1, 8)[seed // 4]
    features = int(rng.choice([8, 13, 16, 40, 104])) * few
    last = (0, rank + 1, *range(1, rank + 1))
    layouts = [(*range(rank + 2),), (rank + 1, rank, *range(rank))]
    specs = prims.ConvDimensionNumbers(last, layouts[seed % 2], last)
    sizes = [int(n) for n in rng.integers(1, 20 if rank == 1 else 11, rank)]
    lhs = placed(last, [int(rng.integers(1, 4)), features, *sizes])
    rhs = placed(specs.rhs_spec, [features, few, *[int(n) for n in rng.integers(1, 5, rank)]])
    strides, spread = (tuple([int(n) for n in rng.integers(1, 3, rank)]) for _ in range(2))
    padding = tuple([(int(a), int(b)) for a, b in rng.integers(2, 6, (rank, 2))])
    conv = prims.Conv(strides, padding, (1,) * rank, spread, specs, features // few)
    dtype = (np.float32, np.float64)[seed // 2 % 2]
    check(each_vectors, conv, *[rng.normal(size=s).astype(dtype) for s in (lhs, rhs)])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("made", "groups"), [(16, 1), (2, 1), (32, 16)])
def test_16_bit_floats_are_summed_in_float32(dtype: str, made: int, groups: int) -> None:
    """By the routine for that: the result is its result, rounded once; a wider one is asked for as it is."""
    rng = np.random.default_rng(made)
    x, w = (
        cv.numpy.asarray(rng.normal(size=shape), dtype=dtype)
        for shape in ((2, 7, 9, 32), (3, 3, 32 // groups, made))
    )
    conv = prims.Conv(
        (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), CHANNELS_LAST, feature_group_count=groups
    )
    wide = conv(x.astype("float32"), w.astype("float32"))
    kept = replace(conv, preferred_element_type=np.dtype("float32"))(x, w)
    np.testing.assert_array_equal(
        np.asarray(conv(x, w).astype("float32")), np.asarray(kept.astype(dtype).astype("float32"))
    )
    if dtype == "float16":
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(wide))
    else:  # by pairs of features, in another order
        np.testing.assert_allclose(np.asarray(kept), np.asarray(wide), rtol=2e-5, atol=2e-5)
