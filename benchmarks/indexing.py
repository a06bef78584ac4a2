"""Sorting with what goes along, the largest elements, and updates at indices that come from data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import ALL, MILLION, case
from benchmarks.frameworks import Framework


def by_name(f: Framework, torch: Any, numpy: Any, ours: Any) -> Callable[..., Any]:
    """Return what a framework computes it by: `ours` is a function of `numpy` and `lax`, jitted."""
    if f.name == "torch":
        return torch
    if f.name == "numpy":
        return numpy
    return f.jit(lambda *xs: ours(f.np, f.module.lax, *xs))


# Not compared: of equal numbers, which there are, NumPy's and PyTorch's sorts take any first; ours is stable.
@case("indexing", ALL, compared=False, jax=0.5, torch=1.0, numpy=1.0)
def argsort(f: Framework) -> Any:
    """`argsort` of 1M float32."""
    fun = by_name(
        f,
        lambda x: f.module.argsort(x),
        np.argsort,
        lambda np_, lax, x: np_.argsort(x),
    )
    x = f.random(MILLION)
    return lambda: fun(x)


def _sorted_with(x: np.ndarray, payload: np.ndarray) -> Any:
    order = np.argsort(x)
    return x[order], payload[order]


@case("indexing", ALL, compared=False, jax=0.5, torch=1.0, numpy=1.0)
def sort_with_payload(f: Framework) -> Any:
    """1M float32 sorted, with 1M others in their order."""

    def torch(x: Any, payload: Any) -> Any:
        values, order = f.module.sort(x)
        return values, payload[order]

    fun = by_name(f, torch, _sorted_with, lambda np_, lax, *xs: lax.sort_key_val(*xs))
    x, payload = f.random(MILLION), f.random(MILLION, seed=1)
    return lambda: fun(x, payload)


@case("indexing", ALL, compared=False, jax=0.5, torch=0.5, numpy=0.5)
def top_k(f: Framework) -> Any:
    """The 10 largest of 1M float32, and where they are."""
    fun = by_name(
        f,
        lambda x: f.module.topk(x, 10),
        lambda x: np.argpartition(x, -10)[-10:],
        lambda np_, lax, x: lax.top_k(x, 10),
    )
    x = f.random(MILLION)
    return lambda: fun(x)


def _added(f: Framework, places: int) -> Any:
    """Return a call that adds 1M float32 to zeros at random places."""
    index = np.random.default_rng(2).integers(0, places, MILLION)
    at = f.array(index if f.name == "torch" else index.astype(np.int32))

    def numpy(i: Any, x: Any) -> Any:
        out = np.zeros(places, np.float32)
        np.add.at(out, i, x)
        return out

    fun = by_name(
        f,
        lambda i, x: f.module.zeros(places).scatter_add_(0, i, x),
        numpy,
        lambda np_, lax, i, x: np_.zeros(places, np_.float32).at[i].add(x),
    )
    x = f.random(MILLION, scale=0.01)
    return lambda: fun(at, x)


@case("indexing", ALL, jax=0.8, torch=0.8, numpy=0.8)
def scatter_add(f: Framework) -> Any:
    """1M float32 added at 1M random places."""
    return _added(f, MILLION)


@case("indexing", ALL, jax=0.7, torch=0.7, numpy=0.7)
def scatter_add_segments(f: Framework) -> Any:
    """1M float32 added into 1,000 segments."""
    return _added(f, 1000)
