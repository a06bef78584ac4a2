"""Scans that go through arrays point by point: the points outside, on lanes and threads, the steps inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp
from covector._engine.backends.cpu import backend
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.ir.kernel import Kernel, Loop, walk
from covector._engine.runtime.executable import job_of

STEPS = 7
SIZES: tuple[Any, ...] = (16, 64, 101, 1000, (3, 40), (40, 3), (2, 5, 33))


def values(shape: Any, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=shape) * 3
    return found.astype(dtype)


def loops_of(run: Callable[..., Any], *args: Any) -> tuple[list[Loop], Kernel]:
    """The outermost loops of a function, and its Kernel."""
    program = covector.jit(run).trace(*args).program
    kernel = run_passes(program, TO_KERNEL, job_of(backend.BACKEND, ()))["memory"]
    assert isinstance(kernel, Kernel)
    return [s for s in kernel.body if isinstance(s, Loop)], kernel


def has_points(run: Callable[..., Any], *args: Any) -> bool:
    """Whether there is a loop over steps inside one over points."""
    outer, _ = loops_of(run, *args)
    return any(
        loop.free and any(isinstance(s, Loop) and not s.free for s in walk(loop.body))
        for loop in outer
    )


def check(
    step: Callable[..., Any], init: Any, xs: Any = None, points: bool = True, **how: Any
) -> None:
    """The loop gives what its steps give one after the other, and has points outside or not."""

    def run(init: Any, xs: Any) -> Any:
        return lax.scan(step, init, xs, length=STEPS if xs is None else None, **how)

    assert has_points(run, init, xs) is points
    with covector.disable_jit():
        wanted = run(init, xs)
    found = covector.jit(run)(init, xs)
    for a, b in zip(covector.tree.leaves(found), covector.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "complex64"])
def test_points_of_one_array(shape: Any, dtype: str) -> None:
    def step(x: Any, _: Any) -> Any:
        return x * cnp.asarray(5 if dtype != "float32" else 0.5, dtype) + 3, None

    check(step, values(shape, dtype))


def test_arrays_that_depend_on_each_other() -> None:
    def step(carry: Any, _: Any) -> Any:
        x, y = carry
        return (x + 0.1 * y, cnp.where(x > y, y - 0.1 * cnp.sin(x), x)), None

    check(step, (values(101), values(101, seed=1)))


def test_numbers_beside_arrays() -> None:
    """A counter, numbers that the steps see, and those that they give."""

    def step(carry: Any, t: Any) -> Any:
        n, x = carry
        return (n + 1, x * t + n), n * t

    check(step, (np.float32(2.0), values(65)), values(STEPS, seed=1))
    check(step, (np.float32(2.0), values((3, 40))), values(STEPS, seed=1), reverse=True)


def test_constants_are_read_anywhere() -> None:
    scale, row, table = values((5, 40), seed=1), values(40, seed=2), values(200, seed=3)

    def step(x: Any, _: Any) -> Any:
        return x * 0.1 * scale + row + table[::-1].reshape(5, 40), None

    check(step, values((5, 40)))


@pytest.mark.parametrize("unroll", [2, 3, 4])
def test_turns_of_several_steps(unroll: int) -> None:
    check(lambda x, _: (x * 0.5 + 1, None), values(100), unroll=unroll)


@pytest.mark.parametrize(
    "step",
    [
        lambda x, _: (cnp.roll(x, 1) * 0.5, None),  # a neighbour
        lambda x, _: (x - x.mean(), None),  # all of them
        lambda x, _: (x[::-1] * 0.5, None),
        lambda x, _: (x * 0.5, x),  # a stack of arrays
    ],
)
def test_what_is_not_computed_point_by_point(step: Callable[..., Any]) -> None:
    check(step, values(100), points=False)


def test_inside_another_loop_and_a_condition() -> None:
    def inner(x: Any) -> Any:
        return lax.scan(lambda c, _: (c * 0.5 + x, None), x, None, length=3)[0]

    def outer(x: Any, _: Any) -> Any:
        return lax.cond(x.sum() > 0, inner, lambda x: x + 1, x), None

    check(outer, values(101), points=False)  # at the top
    x = values(101)
    slope = covector.grad(lambda x: inner(x).sum())(x)
    np.testing.assert_allclose(np.asarray(slope), np.full(101, 1.875), rtol=1e-6)
    rows = covector.vmap(inner)(values((4, 33)))
    np.testing.assert_allclose(np.asarray(rows), values((4, 33)) * 1.875, rtol=1e-5)


def test_a_donated_array_is_overwritten() -> None:
    fun = covector.jit(
        lambda x: lax.scan(lambda x, _: (x * 0.5 + 3, None), x, None, length=STEPS)[0],
        donate_argnums=0,
    )
    x = cnp.asarray(values(1001))
    wanted = values(1001)
    for _ in range(STEPS):
        wanted = wanted * np.float32(0.5) + np.float32(3)
    np.testing.assert_array_equal(np.asarray(fun(x)), wanted)


def test_nothing_is_stored_between_steps() -> None:
    def run(x: Any) -> Any:
        return lax.scan(lambda x, _: (x * 5 + 3, None), x, None, length=1000)[0]

    (loop,), kernel = loops_of(run, np.arange(16384, dtype=np.int32))
    assert loop.schedule.vector > 1
    assert loop.schedule.parallel
    assert kernel.arena == 0
