"""Rules hold for symbolic shapes: staged without sizes, run with some."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.primitives import interpret
from tests.primitives.makers import array, f64, i32, u32

from covector._engine import primitives as prims
from covector._engine.base.record import fields, replace
from covector._engine.core import trace
from covector._engine.core.families import Mapped
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero
from covector._engine.ir.program import Literal
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector.extend.testing import random

n, m = dims.symbol("n", 0), dims.symbol("m", 1)
SIZES = ({"n": 0, "m": 3}, {"n": 1, "m": 1}, {"n": 3, "m": 2}, {"n": 4, "m": 5})
axis = prims.GatherDimensionNumbers((1,), (0,), (0,))

ROWS: list[tuple[Primitive, tuple[ShapedArray, ...], tuple[int, ...]]] = [
    # primitive, operands, which it is linear in together
    (prims.Broadcast((m, n, 3), (0, 2)), (array((n,)),), (0,)),
    (prims.Reshape((n * m,)), (array((n, m)),), (0,)),
    (prims.Reshape((n, m)), (array((n * m,)),), (0,)),
    (prims.Reshape((n, m * 2, 3)), (array((n * m, 6)),), (0,)),
    (prims.Reshape((m, n, 1)), (array((n, m)),), (0,)),
    (prims.Reshape((n + 1, m)), (array((n * m + m,)),), (0,)),
    (prims.Transpose((1, 0)), (array((n, m)),), (0,)),
    (prims.Reverse((0,)), (array((n, m)),), (0,)),
    (prims.Slice((0, 1), (n, m), (2, 1)), (array((n, m)),), (0,)),
    (prims.Pad((1, n), (0, m), (2, 0)), (array((n, m)), array(())), (0, 1)),
    (prims.Pad((0, -1), (m, 1), (0, 0)), (array((n, m)), array(())), (0, 1)),
    (prims.Concatenate(0), (array((n, m)), array((n + 1, m)), array((2, m))), (0, 1, 2)),
    (prims.Iota((n, m), f64, 1), (), ()),
    (prims.Sum((1,)), (array((n, m)),), (0,)),
    (prims.Max((0,)), (array((n, m)),), ()),
    (prims.Prod((1,)), (array((n, m)),), ()),
    (prims.CumSum(0), (array((n, m)),), (0,)),
    (prims.CumProd(0), (array((n, m)),), ()),
    (prims.CumMax(1, True), (array((n, m)),), ()),
    (prims.CumLogSumExp(0), (array((n, m)),), ()),
    (prims.Recurrence(0), (array((n, m)), array((n, m))), (1,)),
    (prims.Prod((0, 1)), (array((n, m)),), ()),
    (prims.Argmax(1, i32), (array((n, m)),), ()),
    (prims.DotGeneral((1,), (0,)), (array((n, m)), array((m, n + 1))), (0,)),
    (prims.Gather(axis, (1, n), "clip"), (array((m, n)), array((4, 1), i32)), (0,)),
    (prims.Gather(axis, (1, n), "fill", 0), (array((m, n)), array((4, 1), i32)), (0,)),
    (prims.DynamicSlice((1, n)), (array((m, n)), array((), i32), array((), i32)), (0,)),
    (prims.Scatter(prims.ScatterDimensionNumbers((1,), (0,), (0,)), "fill", "add"),
     (array((m, n)), array((4, 1), i32), array((4, n))), (0, 2)),
    (prims.DynamicUpdateSlice(), (array((m, n)), array((1, n)), array((), i32), array((), i32)), (0, 1)),
    (prims.RandomBits((n, m), 32), (array((2,), u32),), ()),
]  # fmt: skip
rows = pytest.mark.parametrize(
    ("primitive", "avals", "linear"), ROWS, ids=[p.text() for p, _, _ in ROWS]
)


def sized(x: Any, sizes: dict[str, int]) -> Any:
    """The same with values in place of the symbols."""
    if isinstance(x, dims.Polynomial):
        return dims.substitute(x, sizes)
    if isinstance(x, tuple):
        return tuple([sized(e, sizes) for e in x])
    if isinstance(x, Primitive) and fields(x):
        return replace(x, **{name: sized(getattr(x, name), sizes) for name in fields(x)})  # type: ignore[type-var]
    return x


def instances(avals: tuple[ShapedArray, ...], sizes: dict[str, int]) -> list[Any]:
    rng = np.random.default_rng(3)
    return [random(rng, ShapedArray(sized(a.shape, sizes), a.dtype)) for a in avals]


@rows
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_element_rule(primitive: Primitive, avals: Any, linear: Any, sizes: dict[str, int]) -> None:
    if isinstance(primitive, Mapped):
        xs = instances(avals, sizes)
        wanted = sized(primitive, sizes)(*xs)
        actual = interpret.run_mapped(primitive, xs, avals, sizes)
        np.testing.assert_array_equal(actual, wanted)


def tangent(primitive: Any, linear: tuple[int, ...], size: Any, *xs: Any) -> Any:
    tangents = [x if trace.typeof(x).differentiable() else Zero(trace.typeof(x)) for x in xs]
    return prims.materialize(primitive.jvp(xs, tangents)[1])


def cotangents(primitive: Any, linear: tuple[int, ...], size: Any, *xs: Any) -> Any:
    args = [Linear(trace.typeof(x)) if i in linear else x for i, x in enumerate(xs)]
    return tuple([ct for ct in primitive.transpose(primitive(*xs), *args) if ct is not None])


def batched(primitive: Any, linear: tuple[int, ...], size: Any, *xs: Any) -> Any:
    out, place = primitive.batch(xs, [0 if i == 0 else None for i in range(len(xs))], size)
    return prims.move_axis(out, place, 0)


@rows
@pytest.mark.parametrize("rule", [tangent, cotangents, batched], ids=lambda f: f.__name__)
def test_program_of_a_rule(
    rule: Any, primitive: Primitive, avals: Any, linear: tuple[int, ...]
) -> None:
    """A rule that is staged without sizes and run with some does the same as with these sizes from the start."""
    if (
        not avals
        or (rule is cotangents and not linear)
        or (rule is tangent and not avals[0].differentiable())
    ):
        pytest.skip("there is no such rule")
    if rule is batched:
        avals = (avals[0].with_shape((n + 1, *avals[0].shape)), *avals[1:])
    program = trace.stage(lambda *xs: flat(rule(primitive, linear, n + 1, *xs)), avals)
    for sizes in SIZES:
        xs = instances(avals, sizes)
        env: dict[Any, Any] = dict(zip(program.inputs, xs, strict=True))
        for eqn in program.eqns:
            args = [a.value if isinstance(a, Literal) else env[a] for a in eqn.inputs]
            (out,) = eqn.outputs
            env[out] = sized(eqn.primitive, sizes)(*args)
            assert env[out].shape == sized(out.aval.shape, sizes)
        outs = [a.value if isinstance(a, Literal) else env[a] for a in program.outputs]
        wanted = flat(rule(sized(primitive, sizes), linear, sizes["n"] + 1, *xs))
        for actual, value in zip(outs, wanted, strict=True):
            np.testing.assert_allclose(actual, value, rtol=1e-12)


def flat(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def test_nothing_is_read_from_an_axis_that_turns_out_empty() -> None:
    """The types allow a slice of an axis of unknown length; the interpreter fails if a read is out of bounds."""
    rows = prims.Gather(axis, (1, m), "clip")
    avals = array((n, m)), array((4, 1), i32)
    for mode in ("clip", "fill", "promise_in_bounds"):
        gather = replace(rows, mode=mode)
        interpret.run_mapped(
            gather, [np.zeros((0, 2)), np.zeros((4, 1), np.int32)], avals, {"n": 0, "m": 2}
        )
    starts = [np.zeros((), np.int32)] * 2
    avals = array((n, m)), array((), i32), array((), i32)
    interpret.run_mapped(
        prims.DynamicSlice((1, m)), [np.zeros((0, 2)), *starts], avals, {"n": 0, "m": 2}
    )
