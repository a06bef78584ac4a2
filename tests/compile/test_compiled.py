"""Compiled = reference, for every primitive on the rows of the samples, each pass verified."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from tests.primitives.samples import all_samples

import covector as cv
from covector._engine import _native
from covector._engine.backends.reference.kernels import run
from covector._engine.core import trace
from covector._engine.core.routine import ROUTINES
from covector._engine.ir.kernel import Routine, walk
from covector._engine.runtime.executable import Executable
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.extend.testing import Sample

SAMPLES = all_samples()


def compiled(sample: Sample, operands: list[Any]) -> tuple[list[np.ndarray], Executable]:
    """The primitive's results, compiled for the operands' types."""
    avals = [ShapedArray(np.shape(x), np.asarray(x).dtype) for x in operands]
    primitive = sample.primitive

    def run(*xs: Any) -> Any:
        out = primitive(*xs)
        return out if primitive.multiple else (out,)

    executable = Executable(trace.stage(run, avals, primitive.name))
    arrays = [_native.array_from(np.asarray(x)) for x in operands]
    return [np.asarray(x) for x in executable(arrays)], executable


def tolerance(dtype: np.dtype) -> float:
    """Relative, and absolute for values near zero: sums are taken in another order."""
    return {2: 2e-2, 4: 3e-5, 8: 1e-10}[dtypes.real_of(dtype).itemsize]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_compiled_is_the_reference(sample: Sample) -> None:
    operands = sample.make(np.random.default_rng(zlib.crc32(str(sample).encode())))
    wanted = sample.primitive.reference(*operands)
    wanted = wanted if sample.primitive.multiple else (wanted,)
    found, executable = compiled(sample, operands)
    assert_close(found, wanted)
    called = {s.name for s in walk(executable.kernel.body) if isinstance(s, Routine)}
    if called:  # the meaning of a routine, which is found from the parameters of the call alone
        constants = map(np.asarray, executable.program.constants)
        results = run(executable.kernel, [*operands, *constants])
        shaped = [x.view(y.dtype).reshape(y.shape) for x, y in zip(results, found, strict=True)]
        assert_close(shaped, wanted)


def assert_close(found: Sequence[np.ndarray], wanted: Sequence[Any]) -> None:
    for actual, expected in zip(found, wanted, strict=True):
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


def test_every_routine_is_one_of_the_runtime() -> None:
    for module in ("linalg_orthogonal", "linalg_solve", "linalg_spectral"):
        import_module(f"covector._engine.primitives.{module}")
    others = {"parallel_for", "alloc", "free", "callback", "foreign", "poll"}
    assert {f"cv_{n}" for n in {*ROUTINES, *others}} == set(_native.symbols())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "complex64"])
@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_arrays_of_any_size_are_transposed(dtype: str, axes: tuple[int, ...]) -> None:
    for shape in ((40, 25, 100), (3, 200, 300), (1, 1000, 9)):
        x = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
        found = cv.jit(lambda x: cv.numpy.transpose(x, axes))(x)
        np.testing.assert_array_equal(found, x.transpose(axes))


@pytest.mark.parametrize("n", [1, 9, 17, 33, 65])
def test_the_last_element_of_a_row_is_written_alone(n: int) -> None:
    """Made narrower, it was written with its old width: over the first element of the next row."""
    for wide, narrow in (
        ("int64", "int32"),
        ("int64", "int8"),
        ("int32", "int16"),
        ("int16", "int8"),
    ):
        x = (np.arange(7 * n) % 100).astype(wide).reshape(7, n)
        found = cv.jit(lambda x, to=narrow: cv.numpy.concatenate([x.astype(to)] * 3, -1))(x)
        np.testing.assert_array_equal(found, np.concatenate([x] * 3, -1))
