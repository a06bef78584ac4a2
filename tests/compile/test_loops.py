"""What the emitted loops must get right, and what is shared among them."""

from typing import Any

import numpy as np

import covector
from covector import numpy as cnp


def test_private_rows_of_lanes_inside_another_loop() -> None:
    """The lanes of the second axis each have a row of their own, though the loop around them is plain."""
    x = np.random.default_rng(0).integers(0, 3, (2, 5, 5, 5)).astype(np.float64)
    index = np.arange(25, dtype=np.int32).reshape(5, 5, 1) % 5

    def least(x: Any) -> Any:
        return cnp.sum(
            cnp.min(cnp.take_along_axis(x, index, 2), axis=(0, 2)) * cnp.arange(1.0, 6.0)
        )

    gradient = covector.grad(least)
    together = np.asarray(covector.jit(covector.vmap(gradient))(x))
    np.testing.assert_allclose(together, [np.asarray(gradient(row)) for row in x], rtol=1e-6)
    picked = np.take_along_axis(x, index[None], 3)
    ties = (picked == picked.min(axis=(1, 3), keepdims=True)).astype(np.float64)
    wanted = np.zeros_like(x)
    shares = ties / ties.sum(axis=(1, 3), keepdims=True) * np.arange(1.0, 6.0)[:, None]
    np.put_along_axis(wanted, np.broadcast_to(index, picked.shape), shares, 3)
    np.testing.assert_allclose(together, wanted, rtol=1e-6)


def test_equal_loops_are_compiled_once() -> None:
    def layers(count: int) -> str:
        def run(x: Any, *ws: Any) -> Any:
            for w in ws:
                x = cnp.tanh(x @ w)
            return x

        w = np.ones((64, 64), np.float32)
        return covector.jit(run).lower(w, *[w] * count).compile().as_text("llvm")

    few, many = layers(6), layers(12)
    assert many.count("define") == few.count("define")
    assert many.count("call void @loop") == 2 * few.count("call void @loop") == 12


def test_reductions_of_many_loops() -> None:
    """Locals that a loop folds into stay with it when it becomes a function."""

    def run(*xs: Any) -> Any:
        return [cnp.sum(x) for x in xs], [cnp.cumsum(x)[-1] for x in xs], [cnp.sort(x) for x in xs]

    xs = [np.random.default_rng(n).standard_normal(100 + n) for n in range(8)]
    sums, last, ordered = covector.jit(run)(*xs)
    np.testing.assert_allclose(sums, [x.sum() for x in xs], rtol=1e-6)
    np.testing.assert_allclose(last, [x.sum() for x in xs], rtol=1e-6)
    for x, y in zip(xs, ordered, strict=True):
        np.testing.assert_array_equal(np.asarray(y), np.sort(x))


def test_indices_from_data_are_printed() -> None:
    x, i = np.ones((3, 4), np.float32), np.zeros(2, np.int32)
    text = covector.jit(lambda x, i: x[i] + 1).lower(x, i).compile().as_text()
    assert "in0[" in text
    assert "in1[" in text
    assert "%" not in text
