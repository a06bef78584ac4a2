"""Arrays of loops that are turned: the same values, and they lie as lanes go through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends import registry
from covector._engine.backends.base import Job, Target
from covector._engine.backends.reference import kernels as oracle
from covector._engine.compile import memory
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.compile.schedule import schedule
from covector._engine.compile.turned import axes_of, turn
from covector._engine.core import trace
from covector._engine.ir import check, index as ix
from covector._engine.ir.kernel import Kernel
from covector._engine.ir.program import Program
from covector._engine.types.avals import ShapedArray


def attracted(p: Any, v: Any) -> Any:
    d = p[None] - p[:, None]
    w = 1.0 / ((d * d).sum(-1) + 0.1)
    return p + 0.1 * v, v + 0.1 * (d * w[..., None]).sum(1)


def steps(p: Any, v: Any) -> Any:
    return lax.scan(lambda s, _: (attracted(*s), None), (p, v), None, length=2)[0]


def kept(p: Any, v: Any) -> Any:
    """What each step gives is kept, and read by a loop that goes back."""
    carry, seen = lax.scan(lambda s, _: (attracted(*s), s[0]), (p, v), None, length=2)
    again = lax.scan(lambda s, x: ((s * x).sum(0) + x, s[0]), carry[0], seen, reverse=True)
    return carry, again


def until(p: Any, v: Any) -> Any:
    """A loop with a condition, which asks about the array, and has a loop inside."""

    def step(s: Any) -> Any:
        p, v = steps(s[0], s[1])
        return p, v, s[2] + 1

    return lax.while_loop(lambda s: (s[0][0].sum() > -50.0) & (s[2] < 2), step, (p, v, 0))


def rows_in_place(p: Any, v: Any) -> Any:
    """One row is changed in each step, at a place that the loop counts."""

    def step(i: Any, s: Any) -> Any:
        p, v = attracted(*s)
        return p.at[i].set(v[i] * 2), v

    return lax.fori_loop(0, 5, step, (p, v))


def rows_from_data(p: Any, v: Any) -> Any:
    """Rows are picked by what is computed: their array stays as it is, the others need not."""

    def step(s: Any, _: Any) -> Any:
        p, v = attracted(*s)
        order = (abs(p[:, 0]) * 10).astype(np.int32) % len(p)
        return (p[order], v), order

    return lax.scan(step, (p, v), None, length=3)


def gradient(p: Any, v: Any) -> Any:
    return cv.grad(lambda p, v: (steps(p, v)[0] ** 2).sum(), (0, 1))(p, v)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...], str, bool]] = {
    "steps": (steps, (8, 3), "float32", True),
    "rows of four": (steps, (10, 4), "float64", True),
    "pairs": (steps, (8, 2), "float32", True),
    "rows long enough": (steps, (9, 8), "float32", False),
    "few rows": (steps, (3, 3), "float32", False),
    "kept": (kept, (8, 3), "float32", True),
    "until": (until, (8, 3), "float32", True),
    "rows in place": (rows_in_place, (8, 3), "float32", False),
    "rows from data": (rows_from_data, (12, 3), "float32", False),
    "gradient": (gradient, (8, 3), "float32", True),
    "side by side": (cv.vmap(steps), (2, 8, 3), "float32", True),
    "complex": (lambda p, v: steps(p * (1 + 2j), v * 1j), (8, 3), "float32", True),
}


MODEL = Job(
    Target("model", 512, 2)
)  # what is worth turning depends on the lanes: the same on every machine


def lowered(name: str, job: Job) -> tuple[Program, Kernel]:
    """The plain loops of a Program."""
    f, shape, dtype, _ = FUNCTIONS[name]
    aval = ShapedArray(shape, np.dtype(dtype))
    program = trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), [aval, aval], name).close()
    kernel = run_passes(program, TO_KERNEL, job)["lower"]
    assert isinstance(kernel, Kernel)
    return program, kernel


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_the_same(name: str) -> None:
    """By the oracle, whatever the order of free loops, bit for bit; and by compiled code."""
    cpu = registry.backend("cpu")
    job = Job(cpu.target())
    program, kernel = lowered(name, MODEL)
    turned = turn(kernel, MODEL)
    assert (turned is not kernel) == FUNCTIONS[name][3]
    if turned is kernel:
        return
    check.verify(turned, "turned")
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=v.aval.shape).astype(v.aval.dtype) for v in program.inputs]
    wanted = oracle.run(kernel, operands, planned=False)
    for got, other in zip(oracle.run(turned, operands, planned=False), wanted, strict=True):
        np.testing.assert_array_equal(got, other)
    planned = memory.plan(schedule(turned, job), job)
    check.verify(planned, "memory")
    loaded = cpu.load(partial(lambda k: k, planned), program, job, lambda key, make: make())
    for got, other in zip(loaded([cnp.asarray(x) for x in operands], ()), wanted, strict=True):
        flat = np.asarray(got).view(np.asarray(other).dtype).reshape(np.shape(other))
        np.testing.assert_allclose(flat, other, rtol=1e-3, atol=1e-4)


def test_arrays_without_elements() -> None:
    """In a loop that changes one in place, what lies best has no answer."""

    def f(x: Any) -> Any:
        return lax.dynamic_update_slice(x, x[:0, :, 5:58] + 1, (0, 0, 2, 0))

    assert cv.jit(f)(np.zeros((2, 0, 239, 3), np.float32)).shape == (2, 0, 239, 3)


def test_lanes_run_along_the_long_axis() -> None:
    """8 bodies in space: rows of 8, and no nest of the step has lanes along 3 numbers."""
    job = Job(Target("model", 256, 2))
    text = str(schedule(turn(lowered("steps", job)[1], job), job))
    inside = text[text.index("for t") : text.index("<->")]
    assert "vector 8" in inside, text
    assert "vector 4" not in inside, text
    assert "3*" not in inside, text


@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=4),
    st.data(),
)
def test_axes_are_found_again(shape: list[int], data: st.DataObject) -> None:
    """From the places of an array, whichever way each axis is gone through; and turning is a permutation."""
    size = int(np.prod(shape))
    variables = [ix.loop_variable(f"i{n}", extent) for n, extent in enumerate(shape)]
    backwards = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    index = [
        extent - 1 - i if back else i
        for i, extent, back in zip(variables, shape, backwards, strict=True)
    ]
    place = ix.flatten(index, shape)
    axes = axes_of(size, [place])
    assert axes is not None
    assert axes.extents == tuple(shape[::-1])
    assert axes.index(place) == tuple(index[::-1])
    axis = data.draw(st.integers(0, len(shape) - 1))
    places = [axes.index(n) for n in range(size)]
    assert sorted(axes.turned(p, axis) for p in places if p is not None) == list(range(size))  # type: ignore[type-var]


def test_places_without_axes_are_refused() -> None:
    """Steps that are no multiples of each other, and places that leave their row."""
    i, j = ix.loop_variable("i", 4), ix.loop_variable("j", 6)
    assert axes_of(24, [i + 4 * j]) is not None
    assert axes_of(24, [i + 4 * j, j]) is None  # 6 of them in rows of 4
    assert axes_of(24, [3 * i + 2 * j]) is None
    assert axes_of(24, [i * j]) is None
    assert axes_of(24, [i + 4 * j, 2 * ix.loop_variable("k", 4)]) is None
