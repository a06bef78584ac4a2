"""Operands that do not fit are refused, with the shapes, the dtypes and the user's line in the message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.ops.samples import array, bf16, bool_, c64, f32, i32

from covector import ops
from covector.core.primitive import Zero

ROWS = ops.GatherDimensionNumbers((1,), (0,), (0,))
POINTS = ops.ScatterDimensionNumbers((), (0,), (0,))
a34, a5, scalar = array((3, 4)), array((5,)), array(())

CASES: list[tuple[Any, tuple[Any, ...], type[Exception], str]] = [
    (ops.Broadcast((3, 4), (0,)), (a5,), ValueError, r"float64\[5\] to \(3, 4\) with the new axes \(0,\)"),
    (ops.Broadcast((3, 4), (2,)), (a5,), ValueError, r"axes \(2,\) of an array with 2 dimensions"),
    (ops.Reshape((5,)), (a34,), ValueError, r"float64\[3,4\], which has 12 elements, to \(5,\), which has 5"),
    (ops.Transpose((0, 0)), (a34,), ValueError, r"\(0, 0\), which is not a permutation of the 2 axes"),
    (ops.Reverse((2,)), (a34,), ValueError, r"axes \(2,\)"),
    (ops.Slice((0,), (6,), (1,)), (a5,), ValueError, r"from 0 to 6 with stride 1 does not fit axis 0 of float64\[5\]"),
    (ops.Slice((0,), (5,), (0,)), (a5,), ValueError, "stride of at least 1"),
    (ops.Slice((0, 0), (1, 1), (1, 1)), (a5,), ValueError, r"starts for each of the 1 dimensions"),
    (ops.Pad((0,), (0,), (0,)), (a5, array((), f32)), TypeError, r"scalar of the same dtype .* float32\[\]"),
    (ops.Pad((-3,), (-3,), (0,)), (a5, scalar), ValueError, r"gives the shape \(-1,\)"),
    (ops.Concatenate(0), (a34, a5), TypeError, r"got float64\[3,4\], float64\[5\]"),
    (ops.Concatenate(0), (), TypeError, "at least one"),
    (ops.Iota((3,), bool_, 0), (), TypeError, "number dtype"),
    (ops.Sum((0,)), (array((3,), bool_),), TypeError, r"bool\[3\].*convert it to an integer dtype"),
    (ops.Sum((1, 1)), (a34,), ValueError, "twice"),
    (ops.Max((0,)), (array((3,), c64),), TypeError, r"complex64\[3\]"),
    (ops.Any_((0,)), (a5,), TypeError, "reduce_or does not take"),
    (ops.Argmax(0, i32), (array((0, 3)),), ValueError, "which is empty"),
    (ops.Argmax(0, f32), (a5,), TypeError, "the result an integer"),
    (ops.DotGeneral((1,), (0,)), (a34, a5), TypeError, r"contracted axes \(1,\) of lhs .* sizes, \(4,\) and \(5,\)"),
    (ops.DotGeneral((0,), (0,)), (a5, array((5,), f32)), TypeError, "one dtype"),
    (ops.DotGeneral((0,), (0,)), (array((5,), bool_),) * 2, TypeError, "not bool"),
    (ops.DotGeneral((0,), (0,), (), (), i32), (a5, a5), TypeError, "cannot give int32"),
    (ops.Gather(ROWS, (1, 4)), (a34, array((2, 1), bf16)), TypeError, r"integer indices, got bfloat16\[2,1\]"),
    (ops.Gather(ROWS, (1, 4)), (a34, array((2, 2), i32)), ValueError, r"must have size 1; they are int32\[2,2\]"),
    (ops.Gather(ROWS, (1, 5)), (a34, array((2, 1), i32)), ValueError, "slice size 5 for axis 1"),
    (ops.Gather(ROWS, (2, 4)), (a34, array((2, 1), i32)), ValueError, "1 for the axes"),
    (ops.DynamicSlice((2, 2)), (a34, array((), i32)), TypeError, r"needs 2 integer scalars .* got int32\[\]"),
    (ops.DynamicSlice((6,)), (a5, array((), i32)), ValueError, "do not fit"),
    (ops.DynamicUpdateSlice(), (a5, array((6,)), array((), i32)), TypeError, r"the update float64\[6\]"),
    (ops.Scatter(POINTS), (a5, array((2, 1), i32), array((3,))), ValueError, r"updates float64\[3\], which do not fit"),
    (ops.Scatter(POINTS), (a5, array((2, 1), i32), array((2,), f32)), TypeError, "one dtype"),
]  # fmt: skip


@pytest.mark.parametrize(("primitive", "avals", "error", "message"), CASES)
def test_message(
    primitive: Any, avals: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        primitive.type(*avals)
    assert "test_messages.py" in str(caught.value)


def test_the_slope_of_scatter_mul_needs_a_promise() -> None:
    x, t = ops.zeros(a5), Zero(a5)
    updates = ops.zeros(array((2,)))
    with pytest.raises(NotImplementedError, match="unique_indices=True"):
        ops.Scatter(POINTS, "fill", "mul").jvp(
            (x, np.zeros((2, 1), np.int32), updates), (t, t, updates)
        )
