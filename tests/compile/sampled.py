"""Steps of random functions that are drawn from the samples: each primitive that has some is among them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from tests.compile.pool import BOOL, F64, LIMIT, Pool, Step, Unfit, kind
from tests.primitives.samples import all_samples

from covector._engine.types import dtypes
from covector.extend.testing import Sample

# Results are compared as closely as this, relative to the largest of them: sums are taken in any order.
DIGITS = {1: 0, 2: 5e-2, 4: 2e-4, 8: 1e-9}


@cache
def by_name() -> dict[str, list[Sample]]:
    """The samples of each primitive."""
    found: dict[str, list[Sample]] = {}
    for sample in all_samples():
        found.setdefault(sample.primitive.name, []).append(sample)
    return found


@cache
def with_slopes() -> dict[str, list[Sample]]:
    """Those that are smooth in a float64 or complex128 operand."""
    found: dict[str, list[Sample]] = {}
    for name, samples in by_name().items():
        for s in samples:
            results = s.primitive.type(*s.avals)
            results = results if s.primitive.multiple else (results,)
            wide = all(dtypes.real_of(a.dtype) == F64 for a in results if _moves(a.dtype))
            if s.slopes and moving(s) and wide and any(_moves(a.dtype) for a in results):
                found.setdefault(name, []).append(s)
    return found


def _moves(dtype: np.dtype) -> bool:
    return dtypes.is_inexact(dtype)


def moving(sample: Sample) -> list[int]:
    """The operands that have derivatives; none if one of them has fewer digits than finite differences need."""
    p = sample.primitive
    none = p.no_slope is not None or p.not_differentiable is not None
    found = [i for i, a in enumerate(sample.avals) if _moves(a.dtype) and i not in sample.fixed]
    wide = all(dtypes.real_of(sample.avals[i].dtype) == F64 for i in found)
    return found if wide and not none else []


def _chosen(p: Pool, samples: dict[str, list[Sample]]) -> Sample:
    """Each primitive is as likely as any other."""
    return p.choose(samples[p.choose(sorted(samples))])


def _results(sample: Sample, operands: Sequence[Any]) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        out = sample.primitive.reference(*operands)
    return tuple(map(np.asarray, out if sample.primitive.multiple else (out,)))


@kind(4)
def sampled(p: Pool) -> Step:
    """A primitive on operands of one of its samples, of which a value chooses one set or another.

    The results are known for both.  Integers, and what can be told apart rounded to eighths, go into the pool
    as they are; of others the pool gets where they are what they must be.
    """
    sample, by, seed = _chosen(p, by_name()), p.pick(), p.integer(0, 99)
    operands = [sample.make(np.random.default_rng(seed + k)) for k in (0, 1)]
    wanted = [_results(sample, xs) for xs in operands]
    ways = [_way(pair) for pair in zip(*wanted, strict=True)]
    is_complex = p.values[by].dtype.kind == "c"

    def run(b: Any, x: Any) -> Any:
        which = b.numpy.sum((b.numpy.real(x) if is_complex else x) > 0.123) % 2 == 1
        choose = lambda pair: b.numpy.where(which, pair[1], pair[0])  # noqa: E731
        out = sample.primitive(*map(choose, zip(*operands, strict=True)))
        outs = out if sample.primitive.multiple else (out,)
        found = [
            _told(b, way, result, choose(pair))
            for way, result, pair in zip(ways, outs, zip(*wanted, strict=True), strict=True)
        ]
        return found if len(found) > 1 else found[0]

    bounds = [
        1 if way == "right" else _bound(pair, way) for way, *pair in zip(ways, *wanted, strict=True)
    ]
    return Step(f"sampled[{sample}, {seed}]", (by,), run, tuple(bounds))


def _scale(way: str) -> int:
    return 8 if way == "eighths" else 1


def _bound(pair: Sequence[np.ndarray], way: str) -> int:
    return int(max(np.abs(x.astype(np.float64)).max(initial=0) for x in pair) * _scale(way)) + 1


def _way(pair: Sequence[np.ndarray]) -> str:
    """How a result goes into the pool: as it is, in eighths, or whether it is right."""
    dtype = pair[0].dtype
    if dtype == BOOL:
        return "itself"
    if dtype not in (np.int32, np.float32, F64) or not all(np.isfinite(x).all() for x in pair):
        return "right"
    if any(np.abs(x.astype(np.float64)).max(initial=0) > LIMIT / 8 for x in pair):
        return "right"
    if dtype == np.int32:
        return "itself"
    far = [np.abs(np.mod(x.astype(np.float64) * 8, 1) - 0.5).min(initial=1) for x in pair]
    return "eighths" if min(far) > 0.05 else "right"


def _told(b: Any, way: str, result: Any, wanted: Any) -> Any:
    match way:
        case "itself":
            return result
        case "eighths":
            return b.numpy.round(result * 8)
        case _:
            return _is_right(b, result, wanted)


def _is_right(b: Any, result: Any, wanted: Any) -> Any:
    dtype = result.dtype
    if not dtypes.is_inexact(dtype):
        return result == wanted
    size = np.dtype(dtypes.real_of(dtype)).itemsize
    if size == 2:
        result, wanted = result.astype(np.float32), wanted.astype(np.float32)
    finite = b.numpy.isfinite(wanted)
    scale = 1 + b.numpy.max(b.numpy.where(finite, abs(wanted), 0), initial=0)
    alike = (result == wanted) | (b.numpy.isnan(result) & b.numpy.isnan(wanted))
    return alike | (abs(result - wanted) <= DIGITS[size] * scale)


@kind(4, smooth=True, exact=False)
def smooth_sample(p: Pool) -> Step:
    """A primitive on the operands of a sample, which a value moves a little."""
    sample, by, seed = _chosen(p, with_slopes()), p.pick(lambda v: v.dtype == F64), p.integer(0, 99)
    operands = sample.make(np.random.default_rng(seed))
    found = [x for x in _results(sample, operands) if _moves(x.dtype)]
    if not all(np.isfinite(x).all() for x in found):
        raise Unfit
    live = moving(sample)

    def run(b: Any, x: Any) -> Any:
        near = b.numpy.sin(x)

        def moved(i: int, operand: Any) -> Any:
            if i not in live or not np.size(operand) or not near.size:
                return operand
            change = b.numpy.resize(near, np.shape(operand)) * 0.03
            return operand + (change * (1 + 0.5j) if dtypes.is_complex(operand.dtype) else change)

        out = sample.primitive(*[moved(i, o) for i, o in enumerate(operands)])
        outs = [y for y in (out if sample.primitive.multiple else (out,)) if _moves(y.dtype)]
        real = [y.real + 0.5 * y.imag if dtypes.is_complex(y.dtype) else y for y in outs]
        tamed = [
            b.numpy.sin(y / (1 + np.abs(w).max(initial=0)))
            for y, w in zip(real, found, strict=True)
        ]
        return tamed if len(tamed) > 1 else tamed[0]

    return Step(f"sampled[{sample}, {seed}]", (by,), run, (1,) * len(found))
