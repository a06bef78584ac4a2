"""Every primitive's rules agree with its reference, on the rows of `samples`."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from tests.primitives import interpret
from tests.primitives.samples import Sample, all_samples

from covector._engine import primitives as prims
from covector._engine.core import trace
from covector._engine.core.primitive import Cumulative, Linear, Mapped, Reduction, Update, Zero
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

SAMPLES = all_samples()


def samples(wanted: Callable[[Sample], object] = lambda sample: True) -> Any:
    """Run a test on each sample that is wanted."""
    return pytest.mark.parametrize("sample", [s for s in SAMPLES if wanted(s)], ids=str)


def doubles(sample: Sample) -> list[int]:
    """The operands in float64 or complex128."""
    return [
        i
        for i, aval in enumerate(sample.avals)
        if aval.dtype in (dtypes.float64, dtypes.complex128)
    ]


def moving(sample: Sample) -> list[int]:
    """Those of them that have a derivative."""
    return [i for i in doubles(sample) if i not in sample.fixed]


def groups(sample: Sample) -> list[tuple[int, ...]]:
    """The operands in double precision that it is linear in together."""
    return [g for g in sample.linear if all(i in doubles(sample) for i in g)]


def floating(sample: Sample) -> list[int]:
    """The operands that have tangents and a derivative."""
    return [
        i for i, aval in enumerate(sample.avals) if aval.differentiable() and i not in sample.fixed
    ]


def operands(sample: Sample, salt: int = 0) -> list[Any]:
    return sample.make(np.random.default_rng(zlib.crc32(str(sample).encode()) + salt))


def results(sample: Sample, out: Any) -> tuple[Any, ...]:
    return out if sample.primitive.multiple else (out,)


def tolerance(dtype: np.dtype) -> float:
    if not dtypes.is_inexact(dtype):
        return 0
    return {2: 2e-2, 4: 2e-5, 8: 1e-10}[dtypes.real_of(dtype).itemsize]


def assert_close(actual: Any, wanted: Any, rtol: float | None = None) -> None:
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
    rtol = tolerance(wanted.dtype) if rtol is None else rtol
    wide = np.complex128 if dtypes.is_complex(wanted.dtype) else np.float64
    if dtypes.is_inexact(wanted.dtype):
        np.testing.assert_allclose(actual.astype(wide), wanted.astype(wide), rtol=rtol, atol=rtol)
    else:
        np.testing.assert_array_equal(actual, wanted)


@samples()
def test_parameters_are_a_key(sample: Sample) -> None:
    assert hash(sample.primitive) == hash(sample.primitive)
    assert sample.primitive.text().startswith(sample.primitive.name)


@samples()
def test_type_is_that_of_the_reference(sample: Sample) -> None:
    sample.primitive(*operands(sample))  # the evaluator compares the types


def has_elements(sample: Sample) -> bool:
    """Whether elements of the result come from elements of the operands by a rule of the family's."""
    p = sample.primitive
    return not p.passes_on and not isinstance(p, prims.Sort | prims.SortPairs)


@samples(has_elements)
def test_element_rule(sample: Sample) -> None:
    primitive, xs = sample.primitive, operands(sample)
    wanted = primitive(*xs)
    if isinstance(primitive, Mapped):
        actual = interpret.run_mapped(primitive, xs)
    elif isinstance(primitive, Reduction):
        actual = interpret.run_reduction(primitive, xs[0])
    elif isinstance(primitive, Cumulative):
        actual = interpret.run_cumulative(primitive, xs)
    elif isinstance(primitive, Update):
        actual = interpret.run_update(primitive, xs)
    else:
        assert isinstance(primitive, prims.DotGeneral)
        actual = contraction(primitive, *xs)
    for a, w in zip(results(sample, actual), results(sample, wanted), strict=True):
        assert_close(a, w)


def contraction(dot: prims.DotGeneral, lhs: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """By the indices that meet."""
    out = dot.type(trace.typeof(lhs), trace.typeof(rhs))
    total = np.zeros(out.shape, dot.accumulator(lhs.dtype))
    for index in np.ndindex(*out.shape):
        for contracted in np.ndindex(*[lhs.shape[a] for a in dot.lhs_contract]):
            i, j = dot.operand_indices(index, contracted, lhs.ndim, rhs.ndim)
            total[index] += lhs[i].astype(total.dtype) * rhs[j].astype(total.dtype)
    return total.astype(out.dtype)


# ---------------------------------------------------------------------------------------------------- batch


def batchings(sample: Sample) -> Iterator[list[int | None]]:
    """Which operands are batched, and where: all subsets with the axis in front, and some with it elsewhere."""
    ranks = [aval.ndim for aval in sample.avals]
    for chosen in itertools.product((True, False), repeat=min(len(ranks), 4)):
        chosen = (*chosen, *[False] * (len(ranks) - len(chosen)))
        if any(chosen):
            yield [0 if c else None for c in chosen]
            if any(ranks):
                yield [r if c else None for c, r in zip(chosen, ranks, strict=True)]
    if any(ranks):
        yield [min(1, r) if i else r for i, r in enumerate(ranks)]


@samples()
def test_batch_rule_is_a_loop(sample: Sample) -> None:
    size = 3
    items = [operands(sample, salt) for salt in range(size)]
    for dims in batchings(sample):
        args = [
            items[0][i] if d is None else np.stack([xs[i] for xs in items], d)
            for i, d in enumerate(dims)
        ]
        outs, places = sample.primitive.batch(args, dims, size)
        each = [
            sample.primitive(
                *[items[0][i] if d is None else items[k][i] for i, d in enumerate(dims)]
            )
            for k in range(size)
        ]
        each = [results(sample, out) for out in each]
        places = places if sample.primitive.multiple else (places,)
        for j, (out, place) in enumerate(zip(results(sample, outs), places, strict=True)):
            same = place is None  # for all elements
            assert_close(out, each[0][j] if same else np.stack([e[j] for e in each], place))


# ---------------------------------------------------------------------------------------------- derivatives


def directions(sample: Sample, xs: Sequence[Any], moving: Sequence[int]) -> list[Any]:
    """Random tangents of the chosen operands, Zero for the others."""
    rng = np.random.default_rng(1)
    return [random_like(rng, x) if i in moving else Zero(trace.typeof(x)) for i, x in enumerate(xs)]


def random_like(rng: np.random.Generator, x: Any) -> Any:
    t = rng.normal(size=np.shape(x))
    return np.asarray(
        t + 1j * rng.normal(size=np.shape(x)) if dtypes.is_complex(x.dtype) else t
    ).astype(x.dtype)


@samples(moving)
def test_jvp_rule(sample: Sample) -> None:
    xs = operands(sample)
    moved = moving(sample)
    choices = [moved, *([[i] for i in moved] if len(moved) > 1 else [])]
    for chosen in choices:
        tangents = directions(sample, xs, chosen)
        outs, slopes = sample.primitive.jvp(xs, tangents)
        for k, (out, slope, wanted) in enumerate(
            zip(
                results(sample, outs),
                results(sample, slopes),
                results(sample, sample.primitive(*xs)),
                strict=True,
            )
        ):
            assert_close(out, wanted)
            if type(slope) is Zero:
                assert slope.aval.shape == out.shape
                assert slope.aval.dtype == out.dtype
            else:
                assert (slope.shape, slope.dtype) == (out.shape, out.dtype)
            if sample.slopes and dtypes.is_inexact(out.dtype):
                actual = np.zeros_like(out) if type(slope) is Zero else slope
                assert_close(actual, difference(sample, k, xs, tangents), 2e-6)


def difference(sample: Sample, k: int, xs: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The slope of a result along the tangents: a central difference of order four."""

    def at(h: float) -> Any:
        moved = [
            x if type(t) is Zero else (x + h * t).astype(x.dtype)
            for x, t in zip(xs, tangents, strict=True)
        ]
        return results(sample, sample.primitive(*moved))[k]

    h = 1e-4
    with np.errstate(all="ignore"):
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@samples(groups)
def test_transpose_rule(sample: Sample) -> None:
    """<f(v), w> = <v, transpose(w)>, for each group of operands that it is linear in."""
    rng = np.random.default_rng(2)
    xs = operands(sample)
    for group in groups(sample):
        moved = [random_like(rng, x) if i in group else x for i, x in enumerate(xs)]
        still = [np.zeros_like(x) if i in group else x for i, x in enumerate(xs)]
        out = sample.primitive(*moved) - sample.primitive(*still)
        w = random_like(rng, out)
        args = [Linear(trace.typeof(x)) if i in group else x for i, x in enumerate(xs)]
        back = sample.primitive.transpose(w, *args)
        assert len(back) == len(xs)
        total = 0
        for i, x in enumerate(xs):
            if i not in group:
                assert back[i] is None
                continue
            assert (back[i].shape, back[i].dtype) == (x.shape, x.dtype)
            total = total + np.sum(back[i] * moved[i])
        wanted = np.sum(out * w)
        if np.isrealobj(total):  # a real operand: linear over the reals
            wanted = np.real(wanted)
        np.testing.assert_allclose(total, wanted, rtol=1e-10, atol=1e-10)


@samples(floating)
def test_jvp_rule_gives_the_type_of_the_result(sample: Sample) -> None:
    xs = operands(sample)
    _, slopes = sample.primitive.jvp(xs, directions(sample, xs, floating(sample)[:1]))
    for slope, aval in zip(results(sample, slopes), results(sample, types_of(sample)), strict=True):
        assert isinstance(slope, Zero | np.ndarray | np.generic)
        found = slope.aval if isinstance(slope, Zero) else trace.typeof(slope)
        assert (found.shape, found.dtype) == (aval.shape, aval.dtype)


def types_of(sample: Sample) -> ShapedArray | tuple[ShapedArray, ...]:
    return sample.primitive.type(*sample.avals)
