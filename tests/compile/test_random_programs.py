"""Random Programs: compiled = reference, whatever was fused with what."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings, strategies as st

from covector import _native, ops
from covector.base.config import config
from covector.control.call import reference
from covector.core import trace
from covector.runtime.executable import Executable
from covector.types import dtypes
from covector.types.avals import ShapedArray

UNARY = (ops.neg, ops.sin, ops.tanh, ops.square, ops.abs_, ops.floor)
BINARY = (ops.add, ops.sub, ops.mul, ops.maximum, ops.minimum)
SIZES = (1, 2, 3, 5, 16, 17, 40)


def axes_of(draw: Any, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(draw(st.sets(st.integers(0, ndim - 1), min_size=1)))) if ndim else ()


def movement(draw: Any, x: Any) -> Any:
    """A random movement of x."""
    shape = x.shape
    kind = draw(
        st.sampled_from(["transpose", "reverse", "slice", "pad", "reshape", "broadcast", "concat"])
    )
    if kind == "broadcast" or not shape:
        size = draw(st.sampled_from(SIZES))
        at = draw(st.integers(0, len(shape)))
        return ops.Broadcast((*shape[:at], size, *shape[at:]), (at,))(x) if len(shape) < 3 else x
    if kind == "transpose":
        return ops.Transpose(tuple(draw(st.permutations(range(len(shape))))))(x)
    if kind == "reverse":
        return ops.Reverse(axes_of(draw, len(shape)))(x)
    if kind == "slice":
        starts = tuple(draw(st.integers(0, n - 1)) for n in shape)
        limits = tuple(draw(st.integers(s + 1, n)) for s, n in zip(starts, shape, strict=True))
        steps = tuple(draw(st.integers(1, 3)) for _ in shape)
        return ops.Slice(starts, limits, steps)(x)
    if kind == "pad":
        low, high, interior = (tuple(draw(st.integers(0, 2)) for _ in shape) for _ in range(3))
        return ops.Pad(low, high, interior)(x, 0.5)
    if kind == "concat":
        axis = draw(st.integers(0, len(shape) - 1))
        return ops.Concatenate(axis)(x, ops.neg(x)) if shape[axis] < 100 else x
    return ops.Reshape((int(np.prod(shape)),))(x)


def step(draw: Any, values: list[Any]) -> Any:
    """One more value from those there are."""
    x = draw(st.sampled_from(values))
    kind = draw(
        st.sampled_from(
            ["unary", "binary", "binary", "reduce", "softmax", "movement", "movement", "dot"]
        )
    )
    if kind == "unary":
        return draw(st.sampled_from(UNARY))(x)
    if kind == "binary":
        same = [y for y in values if y.shape == x.shape or y.shape == ()]
        return draw(st.sampled_from(BINARY))(x, draw(st.sampled_from(same)))
    if kind == "movement":
        return movement(draw, x)
    if kind == "dot":
        if len(x.shape) != 2:
            return x
        other = [y for y in values if len(y.shape) == 2 and y.shape[0] == x.shape[1]]
        if not other:
            return ops.DotGeneral((1,), (1,))(x, x)
        return ops.DotGeneral((1,), (0,))(x, draw(st.sampled_from(other)))
    axes = axes_of(draw, len(x.shape))
    if not axes:
        return x
    total = draw(st.sampled_from([ops.Sum, ops.Max, ops.Min]))(axes)(x)
    if kind == "reduce":
        return total
    return ops.sub(x, ops.Broadcast(x.shape, axes)(total))


@given(st.data())
@settings(max_examples=60)
def test_compiled_is_the_reference(data: Any) -> None:
    draw = data.draw
    shapes = draw(st.lists(st.lists(st.sampled_from(SIZES), max_size=3), min_size=1, max_size=3))
    avals = [ShapedArray(tuple(s), dtypes.float32) for s in shapes]

    def build(*xs: Any) -> Any:
        values = list(xs)
        for _ in range(draw(st.integers(1, 12))):
            y = step(draw, values)
            if int(np.prod(y.shape)) < 20_000:
                values.append(y)
        return [draw(st.sampled_from(values)) for _ in range(draw(st.integers(1, 3)))]

    program = trace.stage(build, avals)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    operands = [np.asarray(rng.uniform(-1, 1, a.shape), np.float32) for a in avals]
    wanted = reference(program, [x.astype(np.float32) for x in operands])
    for fuse in (True, False):
        with config.override(fuse=fuse):
            actual = Executable(program)([_native.array_from(x) for x in operands])
        for a, w in zip(actual, wanted, strict=True):
            np.testing.assert_allclose(
                np.asarray(a), w, rtol=2e-3, atol=2e-3 * max(1.0, np.abs(w).max(initial=0))
            )
