"""The cases of counting and searching: distinct elements, histograms, places in a sorted table, segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import ALL, MILLION, case
from benchmarks.frameworks import Framework

_BINS = 1000


def _numbers(f: Framework, below: int) -> Any:
    values = np.random.default_rng(0).integers(0, below, MILLION)
    return f.array(values.astype(np.int32))


@case("counting", ALL, jax=1.0, torch=1.0, numpy=1.0)
def unique_few(f: Framework) -> Any:
    """`unique` of 1M int32, of which 1,000 are distinct."""
    x, xp = _numbers(f, _BINS), f.module if f.name == "torch" else f.np
    return lambda: xp.unique(x)


@case("counting", ALL, jax=1.0, torch=1.0, numpy=1.0)
def unique_many(f: Framework) -> Any:
    """`unique` of 1M int32, nearly all of them distinct."""
    x, xp = _numbers(f, 2**30), f.module if f.name == "torch" else f.np
    return lambda: xp.unique(x)


@case("counting", ALL, compared=False, jax=1.0, torch=1.0, numpy=1.0)
def histogram(f: Framework) -> Any:
    """`histogram` of 1M float32 in 100 bins (in PyTorch `histc`, which gives the counts alone)."""
    x = f.random(MILLION)
    if f.name == "torch":
        return lambda: f.module.histc(x, 100)
    return lambda: f.np.histogram(x, 100)


@case("counting", ALL, jax=1.0, torch=1.0, numpy=1.0)
def bincount(f: Framework) -> Any:
    """`bincount` of 1M int32 below 1,000."""
    x, xp = _numbers(f, _BINS), f.module if f.name == "torch" else f.np
    return lambda: xp.bincount(x)


@case("counting", ALL, jax=1.0, torch=1.0, numpy=1.0)
def searchsorted(f: Framework) -> Any:
    """`searchsorted` of 1M float32 in a table of 1M."""
    values = np.random.default_rng(0).standard_normal(MILLION, dtype=np.float32)
    table, x, xp = (
        f.array(np.sort(values)),
        f.array(values),
        f.module if f.name == "torch" else f.np,
    )
    return lambda: xp.searchsorted(table, x)


@case("counting", ALL, compared=False, jax=0.7, torch=0.7, numpy=0.7)
def segment_sum(f: Framework) -> Any:
    """1M float32 added up in 1,000 segments."""
    ids, x = _numbers(f, _BINS), f.random(MILLION)
    if f.name == "torch":
        places = ids.long()
        return lambda: f.module.zeros(_BINS).index_add_(0, places, x)
    if f.name == "numpy":
        return lambda: np.bincount(ids, x, _BINS)
    fun = f.jit(lambda x, ids: f.module.ops.segment_sum(x, ids, _BINS))
    return lambda: fun(x, ids)
