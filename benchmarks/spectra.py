"""Fourier transforms: one long one, in two dimensions, and many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.cases import ALL, case
from benchmarks.frameworks import Framework


def numbers(f: Framework, *shape: int) -> Any:
    """Return complex64 normals, the same values in every framework."""
    values = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    return f.array(values[0] + 1j * values[1])


@case("transforms", ALL, compared=False, jax=1.0, torch=1.0, numpy=1.0)
def fft_million(f: Framework) -> Any:
    """Fourier transform of 2**20 complex64."""
    x, run = numbers(f, 1 << 20), f.jit(lambda x: f.np.fft.fft(x))
    return lambda: run(x)


@case("transforms", ALL, compared=False, jax=1.0, torch=1.0, numpy=1.0)
def fft_plane(f: Framework) -> Any:
    """Fourier transform of 512 x 512 complex64 along both axes."""
    x, run = numbers(f, 512, 512), f.jit(lambda x: f.np.fft.fft2(x))
    return lambda: run(x)


@case("transforms", ALL, compared=False, jax=1.0, torch=1.0, numpy=1.0)
def fft_rows(f: Framework) -> Any:
    """Fourier transforms of 1,000 rows of 1,024 complex64."""
    x, run = numbers(f, 1000, 1024), f.jit(lambda x: f.np.fft.fft(x))
    return lambda: run(x)


@case("transforms", ALL, compared=False, jax=1.0, torch=1.0, numpy=1.0)
def rfft_rows(f: Framework) -> Any:
    """Fourier transforms of 1,000 rows of 1,024 float32."""
    x, run = f.random(1000, 1024), f.jit(lambda x: f.np.fft.rfft(x))
    return lambda: run(x)
