"""What is alike is looked at once: schedules, functions, tables of numbers; and all of it computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.compile.schedules import EAGER

import covector as cv
import covector.numpy as cnp
from covector import lax, nn
from covector._engine.backends.base import Job
from covector._engine.backends.reference import kernels as oracle
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.compile.schedule import schedule
from covector._engine.core import trace
from covector._engine.ir import check
from covector._engine.ir.kernel import Kernel
from covector._engine.types.avals import ShapedArray

LAYERS = 12


def layers(x: Any, ws: Any) -> Any:
    """Convolutions, in pairs that are equal, and rows that are normalised: private rows, and folds."""
    for n, w in enumerate(ws):
        x = lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = nn.softmax(x) if n % 2 else cnp.tanh(x)
    return x


def test_nests_that_are_alike_are_scheduled_once() -> None:
    """Sums in pieces have buffers between their steps; each array has its own."""
    said: list[str] = []
    job = Job(EAGER, explain=lambda topic: said.append)
    aval = ShapedArray((5, 50), np.dtype("f"))

    def each(*xs: Any) -> list[Any]:
        return [(((x - x.mean()) ** 2).sum(), x.sum(0), nn.softmax(x)) for x in xs]

    program = trace.stage(lambda *xs: cv.tree.leaves(each(*xs)), [aval] * 5, "each").close()
    kernel = run_passes(program, TO_KERNEL, job)["lower"]
    assert isinstance(kernel, Kernel)
    made = schedule(kernel, job)
    check.verify(made, "schedule")
    assert sum("as one before that is alike" in line for line in said) >= 4
    operands = [np.random.default_rng(n).normal(size=(5, 50)).astype("f") for n in range(5)]
    wanted = oracle.run(kernel, operands, planned=False)
    for got, other in zip(oracle.run(made, operands, planned=False), wanted, strict=True):
        np.testing.assert_allclose(got, other, rtol=1e-4, atol=1e-5)


def test_equal_layers_share_their_numbers() -> None:
    x = cnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 4)).astype("f"))
    ws = [
        cnp.asarray(np.random.default_rng(n).normal(size=(3, 3, 4, 4)).astype("f"))
        for n in range(LAYERS)
    ]
    text = cv.jit(layers).lower(x, ws).compile().as_text("llvm")
    assert text.count("call i32 @cv_sconv") == LAYERS
    assert text.count("@numbers0 = private") == 1
    assert "@numbers1" not in text
    wanted = layers(x, ws)
    np.testing.assert_allclose(
        np.asarray(cv.jit(layers)(x, ws)), np.asarray(wanted), rtol=1e-4, atol=1e-5
    )


def test_what_is_kept_for_the_way_back_is_found_again() -> None:
    """Pointers are made anew where they are needed: results of layers are read long after they were written."""
    x = cnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 4)).astype("f"))
    ws = [
        cnp.asarray(np.random.default_rng(n).normal(size=(3, 3, 4, 4)).astype("f")) * 0.3
        for n in range(LAYERS)
    ]
    loss = cv.grad(lambda ws: (layers(x, ws) ** 2).sum())
    for got, other in zip(cv.jit(loss)(ws), loss(ws), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(other), rtol=1e-3, atol=1e-5)
