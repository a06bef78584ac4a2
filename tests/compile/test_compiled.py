"""Compiled = reference, for every primitive on the rows of the samples, each pass verified."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from tests.primitives.samples import all_samples

from covector._engine import _native
from covector._engine.core import trace
from covector._engine.runtime.executable import Executable
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.extend.testing import Sample

SAMPLES = all_samples()


def compiled(sample: Sample, operands: list[Any]) -> list[np.ndarray]:
    """The primitive's results, compiled for the operands' types."""
    avals = [ShapedArray(np.shape(x), np.asarray(x).dtype) for x in operands]
    primitive = sample.primitive

    def run(*xs: Any) -> Any:
        out = primitive(*xs)
        return out if primitive.multiple else (out,)

    executable = Executable(trace.stage(run, avals, primitive.name))
    arrays = [_native.array_from(np.asarray(x)) for x in operands]
    return [np.asarray(x) for x in executable(arrays)]


def tolerance(dtype: np.dtype) -> float:
    """Relative, and absolute for values near zero: sums are taken in another order."""
    return {2: 2e-2, 4: 3e-5, 8: 1e-10}[dtypes.real_of(dtype).itemsize]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_compiled_is_the_reference(sample: Sample) -> None:
    operands = sample.make(np.random.default_rng(zlib.crc32(str(sample).encode())))
    wanted = sample.primitive.reference(*operands)
    wanted = wanted if sample.primitive.multiple else (wanted,)
    for actual, expected in zip(compiled(sample, operands), wanted, strict=True):
        expected = np.asarray(expected)
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        if dtypes.is_inexact(expected.dtype):
            tol = tolerance(expected.dtype)
            wide = np.complex128 if dtypes.is_complex(expected.dtype) else np.float64
            np.testing.assert_allclose(
                actual.astype(wide), expected.astype(wide), rtol=tol, atol=tol
            )
        else:
            np.testing.assert_array_equal(actual, expected)
