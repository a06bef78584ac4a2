"""Complex numbers in loops with lanes: parts that take turns in memory, in whole vectors and in what is left of one."""

from __future__ import annotations

import numpy as onp
import pytest

import covector
import covector.numpy as np
from covector._engine.base.config import config

SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> onp.ndarray:
    draw = onp.random.default_rng(seed)
    return (draw.integers(-9, 10, shape) + 1j * draw.integers(-9, 10, shape)).astype(dtype)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_what_is_left_of_a_vector(dtype: str, bits: int):
    """Both parts of the elements that are there are stored, and nothing of others."""
    with config.override(vector_bits=bits):
        for n in SIZES:
            x, y = numbers((n,), dtype), numbers((n,), dtype, 1)
            onp.testing.assert_array_equal(covector.jit(np.multiply)(x, y), x * y)
            table = covector.jit(lambda x, y: x[:, None] - y)(x, y)
            onp.testing.assert_array_equal(table, x[:, None] - y)
            rows = covector.jit(lambda x, n=n: np.zeros((3, n + 2), dtype).at[:, 1:-1].set(x))(x)
            onp.testing.assert_array_equal(rows, onp.pad(onp.tile(x, (3, 1)), ((0, 0), (1, 1))))


@pytest.mark.parametrize("bits", [128, 512])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_repeated(count: int, bits: int):
    with config.override(vector_bits=bits):
        for shape in ((1,), (7,), (5, 3)):
            x = numbers(shape, "complex64")
            for axis in range(-1, len(shape)):
                along = None if axis < 0 else axis
                made = covector.jit(lambda x, a=along: np.repeat(x, count, a))(x)
                onp.testing.assert_array_equal(made, onp.repeat(x, count, along))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_products_along_axes(axis: int):
    """Of units, so products are exact."""
    x = numbers((9, 17, 5), "complex64") * 0 + 1
    x *= onp.asarray([1, 1j, -1, -1j], x.dtype)[onp.random.default_rng(2).integers(0, 4, x.shape)]
    onp.testing.assert_array_equal(covector.jit(lambda x: np.prod(x, axis))(x), onp.prod(x, axis))
    onp.testing.assert_array_equal(
        covector.jit(lambda x: np.cumprod(x, axis))(x), onp.cumprod(x, axis)
    )


def test_in_place():
    """A result that takes its operand's memory reads both parts before it writes one."""
    for n in SIZES:
        x = numbers((n,), "complex64")
        squares = covector.jit(lambda x: x * x, donate_argnums=0)(np.asarray(x))
        onp.testing.assert_array_equal(squares, x * x)
        turned = covector.jit(lambda x: x[::-1] * 2, donate_argnums=0)(np.asarray(x))
        onp.testing.assert_array_equal(turned, x[::-1] * 2)
