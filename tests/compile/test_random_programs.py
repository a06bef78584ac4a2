"""Random functions: compiled = eager = the NumPy reference, and the laws of the transformations, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.amount import TIMES
from tests.compile.pool import F32, F64, I32, SMOOTH, SYMBOLIC, Function, Value
from tests.compile.programs import functions, operands

import covector as cv
from covector._engine.base.config import config
from covector._engine.control.call import reference
from covector._engine.core import trace
from covector._engine.runtime.executable import Executable
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray

N, M = dims.symbol("n", 0), dims.symbol("m", 0)

# `make fuzz` looks at many more.


def arrays(xs: Sequence[Any]) -> list[Any]:
    return [cv.numpy.asarray(x) for x in xs]


def assert_same(actual: Sequence[Any], wanted: Sequence[Any]) -> None:
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted, strict=True):
        a, w = np.asarray(a), np.asarray(w)
        assert (a.shape, a.dtype) == (w.shape, w.dtype)
        np.testing.assert_array_equal(a, w)


def assert_close(actual: Sequence[Any], wanted: Sequence[Any], rtol: float = 1e-9) -> None:
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted, strict=True):
        a, w = np.asarray(a), np.asarray(w)
        scale = max(1.0, float(np.abs(w).max(initial=0)))
        np.testing.assert_allclose(a, w, rtol=rtol, atol=rtol * scale)


# --------------------------------------------------------------------------------------------- values


@given(st.data())
@settings(max_examples=80 * TIMES)
def test_compiled_is_the_reference(data: Any) -> None:
    """Fused or not, simplified or not; run again with other values, nothing is left of the first run."""
    f = data.draw(functions())
    seed = data.draw(st.integers(0, 99))
    program = trace.stage(f, [ShapedArray(v.shape, v.dtype) for v in f.inputs])
    for skip, fuse in (("", True), ("simplify", False)):
        with config.override(fuse=fuse, skip=skip):
            executable = Executable(program)
            for values in (operands(f, seed), operands(f, seed + 1)):
                given = arrays(values)
                constants = [np.asarray(c) for c in program.constants]
                wanted = reference(program.close(), [*values, *constants])
                assert_same(executable(given), wanted)
                assert_same(given, values)


@given(st.data())
@settings(max_examples=40 * TIMES)
def test_eager_is_jit(data: Any) -> None:
    f = data.draw(functions(most=5))
    values = operands(f, data.draw(st.integers(0, 99)))
    assert_same(f(*arrays(values)), cv.jit(f)(*arrays(values)))


@given(st.data())
@settings(max_examples=40 * TIMES)
@pytest.mark.filterwarnings("ignore:.*some donated arguments cannot be used")
def test_donated_arguments(data: Any) -> None:
    """Results that take over the arguments' memory: what is updated in place may be read after."""
    f = data.draw(functions())
    values = operands(f, data.draw(st.integers(0, 99)))
    wanted = cv.jit(f)(*arrays(values))
    donated = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))
    run = cv.jit(f, donate_argnums=tuple(donated))
    taken = run.trace(*arrays(values)).taken
    assert donated.issuperset(taken)
    for _ in range(2):
        given = arrays(values)
        assert_same(run(*given), wanted)
        assert [x.is_deleted() for x in given] == [i in taken for i in range(len(given))]
        kept = [i for i in range(len(given)) if i not in donated]
        assert_same([given[i] for i in kept], [values[i] for i in kept])


@given(st.data())
@settings(max_examples=40 * TIMES)
def test_symbolic_sizes(data: Any) -> None:
    """One Program for all sizes is that of each size."""
    shapes = [(N, M), (N,), (M, N), (3, M), ()]
    inputs = [
        Value(data.draw(st.sampled_from(shapes)), data.draw(st.sampled_from([F32, F64, I32])), 4)
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    f = data.draw(functions(SYMBOLIC, inputs=[Value((N, M), F32, 4), *inputs]))
    executable = Executable(trace.stage(f, [ShapedArray(v.shape, v.dtype) for v in f.inputs]))
    for n, m in data.draw(st.permutations([(3, 2), (1, 1), (0, 4), (17, 40), (5, 0)]))[:3]:
        values = operands(f, n + m, sizes={"n": n, "m": m})
        assert_same(executable(arrays(values)), cv.jit(f)(*arrays(values)))


# ------------------------------------------------------------------------------------- transformations


@given(st.data())
@settings(max_examples=30 * TIMES)
def test_a_batch_is_a_loop(data: Any) -> None:
    f = data.draw(functions(most=5))
    size = data.draw(st.sampled_from([1, 2, 3]))
    axes = [data.draw(st.sampled_from([None, *range(len(v.shape) + 1)])) for v in f.inputs]
    axes[0] = 0 if axes[0] is None else axes[0]
    rows = [operands(f, seed) for seed in range(size)]
    given = [
        rows[0][i] if a is None else np.stack([row[i] for row in rows], a)
        for i, a in enumerate(axes)
    ]
    batched = cv.jit(cv.vmap(f, tuple(axes)))(*given)
    for k, row in enumerate(rows):
        one = [rows[0][i] if a is None else row[i] for i, a in enumerate(axes)]
        assert_same([np.asarray(b)[k] for b in batched], cv.jit(f)(*one))


def scalar(f: Function, seed: int) -> Any:
    """The results of a function weighed by chance, with its float arguments: what has a gradient."""

    def total(*xs: Any) -> Any:
        rng = np.random.default_rng(seed)
        outs = [y for y in f(*xs) if y.dtype == F64]
        return sum([(y * rng.uniform(-1, 1, y.shape)).sum() for y in outs], cv.numpy.float64(0))

    return total


@pytest.mark.parametrize("size", [None, 2])
@given(st.data())
@settings(max_examples=25 * TIMES)
def test_derivatives(size: int | None, data: Any) -> None:
    """jit of grad, eager grad, jit of jvp and slopes agree; with a size, all of it under vmap too."""
    f = data.draw(functions(SMOOTH, most=6))
    seed = data.draw(st.integers(0, 99))
    total, values, tangents = scalar(f, seed), *[operands(f, seed + k, True) for k in (0, 1)]
    live = [i for i, v in enumerate(f.inputs) if v.dtype == F64]

    def along(h: Any, *xs: Any) -> Any:
        moved = [x + h * tangents[i] if i in live else x for i, x in enumerate(xs)]
        return total(*moved)

    def slope(*xs: Any) -> Any:
        return cv.jvp(lambda h: along(h, *xs), (np.float64(0),), (np.float64(1),))[1]

    gradient = cv.grad(total, tuple(live))
    if size is None:
        found = cv.jit(gradient)(*values)
        assert_close(gradient(*arrays(values)), found)
        pushed = float(cv.jit(slope)(*values))
        pulled = sum(
            float(np.sum(np.asarray(g) * tangents[i])) for i, g in zip(live, found, strict=True)
        )
        assert_close([pushed], [pulled])
        steps = [float(cv.jit(along)(np.float64(h), *values)) for h in (1e-6, -1e-6)]
        assert_close([pushed], [(steps[0] - steps[1]) / 2e-6], 1e-4)
        return
    rows = [operands(f, seed + k, True) for k in range(size)]
    batched = cv.jit(cv.vmap(gradient))(*[np.stack(x) for x in zip(*rows, strict=True)])
    for k, row in enumerate(rows):
        assert_close([np.asarray(b)[k] for b in batched], cv.jit(gradient)(*row))
