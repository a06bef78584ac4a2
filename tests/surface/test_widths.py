"""Sixty-four bits stay sixty-four; positions on long axes do not overflow; `lax` repeats axes of size 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

I64 = np.array([2**53 + 2, 2**53 + 4])
WIDE: dict[str, Callable[[Any], Any]] = {
    "divide": lambda i: i / i, "sin": lambda i: np.sin(i), "times a float": lambda i: i * 0.1,
    "mean": lambda i: i.mean(),
    "sqrt": lambda i: np.sqrt(i), "float on the left": lambda i: 0.1 - i, "power": lambda i: i**0.5,
    "complex": lambda i: i * 1j, "arctan2": lambda i: np.arctan2(i, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("how", ["eager", "twin", "jit"])
def test_functions_of_long_integers(name: str, dtype: str, how: str) -> None:
    f, x = WIDE[name], I64.astype(dtype)
    with cv.config.override(fast_paths=how != "twin"):
        found = cv.jit(f)(cnp.asarray(x)) if how == "jit" else f(cnp.asarray(x))
    wanted = f(x)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=4e-16)


def test_other_integers_give_float32() -> None:
    for dtype in ("bool", "int8", "int32", "uint32"):
        assert cnp.sin(cnp.ones(2, dtype)).dtype == "float32"
    assert (cnp.asarray(I64) + cnp.ones(2)).dtype == "float32"  # the lattice: arrays of floats win


LONG = 2**31 + 5
POSITIONS: dict[str, Callable[[Any], Any]] = {
    "argmax": cnp.argmax, "argmin": cnp.argmin, "argsort": cnp.argsort, "top_k": lambda x: lax.top_k(x, 2)[1],
    "searchsorted": lambda x: cnp.searchsorted(x, x[:3]), "count": cnp.count_nonzero,
    "sum of bool": lambda x: (x > 0).sum(),
    "indices": lambda x: cnp.indices((LONG, 1)), "kept": lambda x: cnp.argmin(x, keepdims=True),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIONS)
def test_positions_on_long_axes(name: str) -> None:
    long, short = (cv.ShapeDtypeStruct((n,), "uint8") for n in (LONG, 2**31 - 1))
    assert cv.eval_shape(POSITIONS[name], long).dtype == "int64"
    if name != "indices":
        assert cv.eval_shape(POSITIONS[name], short).dtype == "int32"


def test_positions_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="beyond 127"):
        lax.argmax(cnp.ones(300), 0, "int8")
    assert lax.fori_loop(2**31 - 2, 2**31 + 2, lambda i, c: c + i, cnp.int64(0)) == 8589934590
    for shift in (np.int64(2**33 + 1), np.uint32(2**32 - 4), -1):
        for roll in (cnp.roll, cv.jit(cnp.roll)):
            np.testing.assert_array_equal(
                roll(cnp.arange(5), shift), np.roll(np.arange(5), int(shift))
            )


def test_lax_repeats_axes_of_size_one() -> None:
    rng = np.random.default_rng(0)
    for a, b in (((3, 4), (1, 4)), ((3, 1), (1, 4)), ((1, 1), (3, 4)), ((2, 1, 4), (2, 3, 1))):
        x, y = rng.random(a, np.float32), rng.random(b, np.float32)
        for f, wanted in (
            (lax.sub, np.subtract),
            (lax.mul, np.multiply),
            (lax.max, np.maximum),
            (lax.lt, np.less),
        ):
            np.testing.assert_array_equal(f(cnp.asarray(x), cnp.asarray(y)), wanted(x, y))
        found = cv.grad(lambda x, y: (lax.mul(x, y) ** 2).sum(), (0, 1))(x, y)
        full = 2 * x * y * np.ones(np.broadcast_shapes(a, b), "f")
        for grad, other, shape in zip(found, (y, x), (a, b), strict=True):
            axes = tuple(i for i, n in enumerate(shape) if n == 1)
            np.testing.assert_allclose(grad, (full * other).sum(axes, keepdims=True), rtol=1e-5)
    for shapes in (((4,), (3, 4)), ((2, 4), (3, 4))):
        with pytest.raises(cv.errors.ShapeError):
            lax.add(*map(cnp.ones, shapes))
    assert lax.add(cnp.ones((3, 4)), cnp.ones(())).shape == (3, 4)
