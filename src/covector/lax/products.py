"""Products of arrays, summed over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector.lax.operands import array
from covector.numpy.linear import contract
from covector.numpy.precision import (
    DotAlgorithm,
    DotAlgorithmPreset,
    Precision,
    PrecisionLike,
    check_precision,
)

__all__ = [
    "DotAlgorithm",
    "DotAlgorithmPreset",
    "DotDimensionNumbers",
    "Precision",
    "PrecisionLike",
    "batch_matmul",
    "dot",
    "dot_general",
]

DotDimensionNumbers = tuple[
    tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]
]


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over contracted axes, for each element of the batch axes.

    `dimension_numbers` is ((axes of lhs, axes of rhs) to contract, (axes of lhs, axes of rhs) that are batch axes); one
    axis may be a number.
    The result's axes are the batch axes, then the other ones of lhs, then those of rhs.  Its dtype is
    `preferred_element_type`, or the operands'.  Products are always computed in full precision.
    TypeError if dtypes or sizes differ.

    >>> from covector import lax, numpy as cnp
    >>> lax.dot_general(cnp.ones((5, 2, 3)), cnp.ones((5, 3, 4)), (((2,), (1,)), ((0,), (0,)))).shape
    (5, 2, 4)
    """
    check_precision("dot_general", precision)
    x, y = array("dot_general", lhs), array("dot_general", rhs)
    contracted, batch = dimension_numbers
    return contract(x, y, _pair(contracted), _pair(batch), preferred_element_type)


def _pair(
    axes: tuple[int | Sequence[int], int | Sequence[int]],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    ours, theirs = (tuple([int(a) for a in ([x] if isinstance(x, int) else x)]) for x in axes)
    return ours, theirs


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: DotDimensionNumbers | None = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of vectors and matrices; with `dimension_numbers` as `dot_general`.

    TypeError if an operand has other than one or two axes, or the sizes differ.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.dot(x, x)
    Array([[ 7, 10],
           [15, 22]], dtype=int32)
    """
    x, y = array("dot", lhs), array("dot", rhs)
    if dimension_numbers is None:
        if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2):
            raise errors.ShapeError(
                f"dot of {typeof(x).text()} and {typeof(y).text()}{errors.at_user_line()} needs vectors or matrices; "
                "use dot_general"
            )
        dimension_numbers = (((x.ndim - 1,), (0,)), ((), ()))
    return dot_general(x, y, dimension_numbers, precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: PrecisionLike = None) -> Any:
    """The matrix product over the last two axes, for each element of the axes before them, which both have.

    TypeError if an operand has fewer than two axes, the other has another number of them, or the sizes differ.

    >>> from covector import lax, numpy as cnp
    >>> lax.batch_matmul(cnp.ones((5, 2, 3)), cnp.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    x, y = array("batch_matmul", lhs), array("batch_matmul", rhs)
    if x.ndim < 2 or x.ndim != y.ndim:
        raise TypeError(
            f"batch_matmul of {typeof(x).text()} and {typeof(y).text()}{errors.at_user_line()} needs arrays of "
            "one rank, of at least two"
        )
    batch = tuple(range(x.ndim - 2))
    return dot_general(x, y, (((x.ndim - 1,), (x.ndim - 2,)), (batch, batch)), precision)
