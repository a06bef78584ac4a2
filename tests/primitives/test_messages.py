"""Operands that do not fit are refused, with the shapes, the dtypes and the user's line in the message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.primitives.makers import array, bf16, bool_, c64, f32, i32

from covector._engine import primitives as prims
from covector._engine.core.symbolic import Zero

ROWS = prims.GatherDimensionNumbers((1,), (0,), (0,))
POINTS = prims.ScatterDimensionNumbers((), (0,), (0,))
a34, a5, scalar = array((3, 4)), array((5,)), array(())

CASES: list[tuple[Any, tuple[Any, ...], type[Exception], str]] = [
    (prims.Broadcast((3, 4), (0,)), (a5,), ValueError, r"float64\[5\] to \(3, 4\) with the new axes \(0,\)"),
    (prims.Broadcast((3, 4), (2,)), (a5,), ValueError, r"axes \(2,\) of an array with 2 dimensions"),
    (prims.Reshape((5,)), (a34,), ValueError, r"float64\[3,4\], which has 12 elements, to \(5,\), which has 5"),
    (prims.Transpose((0, 0)), (a34,), ValueError, r"\(0, 0\), which is not a permutation of the 2 axes"),
    (prims.Reverse((2,)), (a34,), ValueError, r"axes \(2,\)"),
    (
        prims.Slice((0,), (6,), (1,)), (a5,), ValueError,
        r"from 0 to 6 with stride 1 does not fit axis 0 of float64\[5\]",
    ),
    (prims.Slice((0,), (5,), (0,)), (a5,), ValueError, "stride of at least 1"),
    (prims.Slice((0, 0), (1, 1), (1, 1)), (a5,), ValueError, r"starts for each of the 1 dimensions"),
    (prims.Pad((0,), (0,), (0,)), (a5, array((), f32)), TypeError, r"scalar of the same dtype .* float32\[\]"),
    (prims.Pad((-3,), (-3,), (0,)), (a5, scalar), ValueError, r"gives the shape \(-1,\)"),
    (prims.Concatenate(0), (a34, a5), TypeError, r"got float64\[3,4\], float64\[5\]"),
    (prims.Concatenate(0), (), TypeError, "at least one"),
    (prims.Iota((3,), bool_, 0), (), TypeError, "number dtype"),
    (prims.Sum((0,)), (array((3,), bool_),), TypeError, r"bool\[3\].*convert it to an integer dtype"),
    (prims.Sum((1, 1)), (a34,), ValueError, "twice"),
    (prims.Max((0,)), (array((3,), c64),), TypeError, r"complex64\[3\]"),
    (prims.Any_((0,)), (a5,), TypeError, "reduce_or does not take"),
    (prims.Argmax(0, i32), (array((0, 3)),), ValueError, "which is empty"),
    (prims.Argmax(0, f32), (a5,), TypeError, "the result an integer"),
    (prims.DotGeneral((1,), (0,)), (a34, a5), TypeError, r"contracted axes \(1,\) of lhs .* sizes, \(4,\) and \(5,\)"),
    (prims.DotGeneral((0,), (0,)), (a5, array((5,), f32)), TypeError, "one dtype"),
    (prims.DotGeneral((0,), (0,)), (array((5,), bool_),) * 2, TypeError, "not bool"),
    (prims.DotGeneral((0,), (0,), (), (), i32), (a5, a5), TypeError, "cannot give int32"),
    (prims.Gather(ROWS, (1, 4)), (a34, array((2, 1), bf16)), TypeError, r"integer indices, got bfloat16\[2,1\]"),
    (prims.Gather(ROWS, (1, 4)), (a34, array((2, 2), i32)), ValueError, r"must have size 1; they are int32\[2,2\]"),
    (prims.Gather(ROWS, (1, 5)), (a34, array((2, 1), i32)), ValueError, "slice size 5 for axis 1"),
    (prims.Gather(ROWS, (2, 4)), (a34, array((2, 1), i32)), ValueError, "1 for the axes"),
    (prims.DynamicSlice((2, 2)), (a34, array((), i32)), TypeError, r"needs 2 integer scalars .* got int32\[\]"),
    (prims.DynamicSlice((6,)), (a5, array((), i32)), ValueError, "do not fit"),
    (prims.DynamicUpdateSlice(), (a5, array((6,)), array((), i32)), TypeError, r"the update float64\[6\]"),
    (
        prims.Scatter(POINTS), (a5, array((2, 1), i32), array((3,))), ValueError,
        r"updates float64\[3\], which do not fit",
    ),
    (prims.Scatter(POINTS), (a5, array((2, 1), i32), array((2,), f32)), TypeError, "one dtype"),
]  # fmt: skip


@pytest.mark.parametrize(("primitive", "avals", "error", "message"), CASES)
def test_message(
    primitive: Any, avals: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        primitive.type(*avals)
    assert "test_messages.py" in str(caught.value)


def test_the_slope_of_scatter_mul_needs_a_promise() -> None:
    x, t = prims.zeros(a5), Zero(a5)
    updates = prims.zeros(array((2,)))
    with pytest.raises(NotImplementedError, match="unique_indices=True"):
        prims.Scatter(POINTS, "fill", "mul").jvp(
            (x, np.zeros((2, 1), np.int32), updates), (t, t, updates)
        )
