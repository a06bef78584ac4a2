"""Transpositions by the routine that turns squares: any axes change places, how long they are, of what elements."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as onp
import pytest

import covector
import covector.numpy as np
from covector._engine.backends.base import Job, Target
from covector._engine.backends.reference import kernels as oracle
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.compile.schedule import schedule
from covector._engine.core import trace
from covector._engine.ir import check
from covector._engine.ir.kernel import Kernel
from covector._engine.types.avals import ShapedArray

SHAPES = [
    (3, 20, 17),
    (40, 5, 33),
    (2, 50, 60),
    (17, 16, 30),
    (5, 300, 3),
    (4, 7, 9, 11),
    (20, 3, 2, 30),
]
DTYPES = ["bool", "uint8", "float16", "int32", "float32", "complex64"]


def numbers(shape: tuple[int, ...], dtype: str) -> onp.ndarray:
    found = onp.random.default_rng(0).integers(0, 200, shape)
    return (found * (1 + 2j) if "complex" in dtype else found).astype(dtype)


def kernels(f: Any, *xs: onp.ndarray) -> str:
    return covector.jit(f).lower(*xs).compile().as_text("kernels")


def reference(f: Any, *xs: onp.ndarray) -> onp.ndarray:
    """The same, one operation at a time: no transposition is read beside something else."""
    (found,) = covector.tree.leaves(f(*map(np.asarray, xs)))
    return onp.asarray(found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_reversed(shape: tuple[int, ...], dtype: str):
    x = numbers(shape, dtype)
    onp.testing.assert_array_equal(covector.jit(np.transpose)(x), x.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", [20, 33, 64, 130])
def test_read_beside_other_things(side: int, dtype: str):
    """What is read as columns among rows is turned tile by tile: once each, at any sides, both parts of an element."""
    x, y = numbers((side, side + 5), dtype), numbers((side + 5, side), dtype)[::-1].copy()
    programs = {
        "chosen": (lambda x, y: (np.where(y == 6, y, x.T),), 1),
        "of a part": (lambda x, y: (np.where(y[3:, 2:] == 6, y[3:, 2:], x[2:, 3:].T),), 1),
        "two of them": (lambda x, y: (np.where(x.T == 6, y, x[::-1].T),), 2),
    }
    for name, (f, count) in programs.items():
        text = kernels(covector.jit(f), x, y)
        assert text.count("turn(") == count, (name, text)
        expected = reference(f, x, y)
        onp.testing.assert_array_equal(covector.jit(f)(x, y)[0], expected, err_msg=name)


def test_conditions_and_data_are_not_turned():
    """What is read under a condition, or where data says, may not be there: no tile of it is read before."""
    x, y = numbers((40, 50), "float32"), numbers((50, 40), "float32")
    for f in (
        lambda x, y: np.pad(x[:30, :30], ((5, 5), (10, 10))).T + y,
        lambda x, y: x[np.int32(y[0] % 40)].T + y,
    ):
        onp.testing.assert_array_equal(covector.jit(f)(x, y), reference(f, x, y))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_all_orders(dtype: str):
    x = numbers((18, 3, 2, 20), dtype)
    for order in itertools.permutations(range(4)):
        turned = covector.jit(lambda x, order=order: np.transpose(x, order))(x)
        onp.testing.assert_array_equal(turned, x.transpose(order))


def test_wide_elements():
    """Also of 8 and 16 bytes."""
    with covector.enable_x64(True):
        for dtype in ("float64", "complex128"):
            for shape in SHAPES:
                x = numbers(shape, dtype)
                onp.testing.assert_array_equal(covector.jit(np.transpose)(x), x.T)


def test_parts():
    """Of arrays, and into arrays, that are not whole; backwards; in place."""
    x = numbers((30, 9, 40), "float32")
    for part in (
        lambda x: x[2:, 1:, 3:],
        lambda x: x[::-1, :, :],
        lambda x: x[:, ::2, :],
        lambda x: x[:, :, ::2],
    ):
        made = covector.jit(lambda x, part=part: np.transpose(part(x)))(x)
        onp.testing.assert_array_equal(made, part(x).T)
    wide = covector.jit(lambda x: np.pad(x.T, ((1, 2), (0, 0), (3, 4))))(x)
    onp.testing.assert_array_equal(wide, onp.pad(x.T, ((1, 2), (0, 0), (3, 4))))
    square = numbers((33, 33), "float32")
    given = covector.jit(lambda x: x.T, donate_argnums=0)(np.asarray(square))
    onp.testing.assert_array_equal(given, square.T)


def test_two_axes_are_one():
    """Three axes reversed are one call, whichever is short; both parts of a number are one element."""
    for shape in ((3, 50, 60), (60, 50, 3), (3, 50, 3)):
        for dtype in ("float32", "complex64", "uint8"):
            text = kernels(np.transpose, numbers(shape, dtype))
            assert ("turn(" in text and "for " not in text) == (shape != (3, 50, 3)), text


@pytest.mark.parametrize("shape", [(3, 20, 17), (17, 20, 3), (40, 33)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex64", "complex128"])
def test_what_a_call_means(shape: tuple[int, ...], dtype: str):
    """The oracle gives the same by plain loops and by the routine's meaning."""
    job, x = Job(Target("model", vector_bits=512)), numbers(shape, dtype)
    aval = ShapedArray(shape, x.dtype)
    program = trace.stage(lambda x: [np.transpose(x)], [aval], "turned").close()
    kernel = run_passes(program, TO_KERNEL, job)["lower"]
    assert isinstance(kernel, Kernel)
    scheduled = schedule(kernel, job)
    check.verify(scheduled, "schedule")
    assert "turn(" in str(scheduled)
    for made in (kernel, scheduled):
        (turned,) = oracle.run(made, [x], planned=False)
        onp.testing.assert_array_equal(turned.view(x.dtype).reshape(x.T.shape), x.T)
