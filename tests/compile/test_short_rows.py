"""Rows shorter than a vector share one; small arrays that a step makes and uses up lie in registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.backends import registry
from covector._engine.backends.base import Job, Target
from covector._engine.backends.reference import kernels as oracle
from covector._engine.compile import memory
from covector._engine.compile.pipeline import TO_KERNEL, run_passes
from covector._engine.core import trace
from covector._engine.ir.access import uses
from covector._engine.ir.kernel import Kernel, Loop, walk
from covector._engine.ir.program import Program
from covector._engine.runtime.executable import Executable
from covector._engine.types.avals import ShapedArray

F32 = np.dtype("f")


def traced(f: Callable[..., Any], *operands: Any) -> Program:
    avals = [ShapedArray(x.shape, x.dtype) for x in operands]
    return trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), avals, "f").close()


def chosen(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Kernel:
    """The loops of a function with the schedules that are chosen for vectors of 512 bits, checked by the oracle."""
    program = traced(f, *[np.empty(shape, F32) for shape in shapes])
    job = Job(Target("cpu", vector_bits=512))
    stages = run_passes(program, TO_KERNEL, job)
    made, plain = stages["schedule"], stages["lower"]
    assert isinstance(made, Kernel)
    assert isinstance(plain, Kernel)
    rng = np.random.default_rng(2)
    operands = [rng.normal(size=shape).astype(F32) for shape in shapes]
    wanted = oracle.run(plain, operands, planned=False)
    cpu = registry.backend("cpu")
    loaded = cpu.load(partial(memory.plan, made, job), program, job, lambda key, make: make())
    for found in (
        oracle.run(made, operands, planned=False),
        oracle.run(memory.plan(made, job), operands),
        loaded([cnp.asarray(x) for x in operands], ()),
    ):
        for got, other in zip(found, wanted, strict=True):
            wanted_ = np.asarray(other).reshape(-1)
            found_ = np.asarray(got).reshape(-1).view(wanted_.dtype)
            np.testing.assert_allclose(found_, wanted_, rtol=2e-5, atol=2e-5, err_msg=f"{made}")
    return made


def lanes_of(kernel: Kernel) -> list[tuple[object, int]]:
    """The extents of the loops with lanes, and how many they have."""
    found = [s for s in walk(kernel.body) if isinstance(s, Loop) and s.schedule.vector]
    return [(s.extent, s.schedule.vector) for s in found]


def bodies(p: Any, v: Any) -> Any:
    def step(state: Any, _: None) -> Any:
        p, v = state
        d = p[None] - p[:, None]
        r = (d * d).sum(-1) + 1e-2
        v = v + 1e-3 * (d * (1.0 / (r * cnp.sqrt(r)))[..., None]).sum(1)
        return (p + 1e-3 * v, v), None

    return lax.scan(step, (p, v), None, length=3)[0]


def test_short_rows_share_a_vector() -> None:
    """Two rows of 8, four of 4; what is read of one row for all, or of one element for a row, is picked."""
    assert lanes_of(chosen(lambda x, y: cnp.sqrt(abs(x)) + y, (6, 8), (8,))) == [(48, 16)]
    assert lanes_of(chosen(lambda x, y: cnp.sqrt(abs(x)) + y, (8, 4), (4,))) == [(32, 16)]
    assert lanes_of(chosen(lambda x, y: x / y[:, None] / cnp.pi, (6, 8), (6,))) == [(48, 16)]
    # Rows that do not fill whole vectors stay by themselves.
    assert lanes_of(chosen(lambda x, y: cnp.sqrt(abs(x)) + y, (5, 8), (8,))) == [(8, 8)]


def test_parts_of_sums_of_short_rows_share_a_vector() -> None:
    assert lanes_of(chosen(lambda x: x.sum(0), (64, 8))) == [(16, 16), (8, 8)]
    assert lanes_of(chosen(lambda x: x.max(0), (64, 4))) == [(16, 16), (4, 4)]
    assert lanes_of(chosen(lambda x: x.sum(0), (63, 8))) == [(8, 8)]


def test_what_a_step_makes_and_uses_up_lies_in_registers() -> None:
    made = chosen(bodies, (8, 3), (8, 3))
    assert {(16, 16), (64, 16)} <= {*lanes_of(made)}
    private = {b.name: b.size for b in uses(made.body) if b.kind == "local"}
    assert sorted(map(int, private.values())) == [16, 64], made
    # Not what is read after the loop, nor what is large.
    assert not any(b.kind == "local" for b in uses(chosen(bodies, (40, 3), (40, 3)).body))


PICKED: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "rows again": (lambda x, y: cnp.sin(x) + y, ((6, 8), (8,))),
    "elements again": (lambda x, y: cnp.repeat(x, 8) * y, ((6,), (48,))),
    "rows further apart": (lambda x, y: cnp.sqrt(abs(x[:, :8])) * y, ((6, 40), (6, 8))),
    "elements further apart": (
        lambda x, y: cnp.sqrt(abs(x[:, :1])) * cnp.exp(y),
        ((6, 40), (6, 8)),
    ),
    "rows backwards": (lambda x, y: cnp.sqrt(abs(x[::-1])) * y, ((6, 8), (8,))),
    "elements backwards": (lambda x, y: cnp.sqrt(abs(x[:, ::-1])) * y, ((6, 8), (8,))),
    "places": (lambda x, y: cnp.argsort(x, 1) + cnp.cumsum(y), ((6, 8), (8,))),
    "a rest": (lambda x, y: cnp.repeat(x, 4) * y, ((11,), (44,))),
    "columns": (lambda x, y: (x * y).T, ((16, 8), (8,))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "bool", "complex64", "float16"])
@pytest.mark.parametrize("name", PICKED)
def test_lanes_of_short_rows_are_picked(name: str, dtype: str) -> None:
    f, shapes = PICKED[name]
    if name == "places" and dtype in ("complex64", "bool"):
        return
    rng = np.random.default_rng(3)
    operands = [cnp.asarray(rng.integers(1, 9, size=shape).astype(dtype)) for shape in shapes]
    (wanted,) = Executable(traced(f, *operands), backend="reference")(operands)
    np.testing.assert_allclose(np.asarray(cv.jit(f)(*operands)), np.asarray(wanted), rtol=2e-3)
