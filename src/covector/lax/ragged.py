"""Products of rows in groups, each with a matrix of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.numpy.linear import contract
from covector.numpy.precision import PrecisionLike, check_precision
from covector.numpy.promotion import axis_of

__all__ = ["RaggedDotDimensionNumbers", "ragged_dot", "ragged_dot_general"]

Axes = tuple[int, ...]


class RaggedDotDimensionNumbers(NamedTuple):
    """Which axes of a ragged product are what: those of `dot_general`, the one with groups, and that of the groups.

    >>> from covector import lax
    >>> lax.RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), [0], [0]).rhs_group_dimensions
    [0]
    """

    dot_dimension_numbers: Any
    lhs_ragged_dimensions: Sequence[int]
    rhs_group_dimensions: Sequence[int]


def ragged_dot(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of each row of lhs (m, k) with the matrix of its group, of rhs (g, k, n): an array (m, n).

    The first rows, as many as `group_sizes` says first, are those of the first group, and so on; rows beyond all
    groups give zeros.  TypeError for sizes that do not fit; `group_offset` is not supported.

    >>> from covector import lax, numpy as cnp
    >>> x, w = cnp.ones((3, 2)), cnp.array([[[1.0], [1.0]], [[5.0], [5.0]]])
    >>> lax.ragged_dot(x, w, cnp.array([1, 2])).ravel()
    Array([ 2., 10., 10.], dtype=float32)
    """
    numbers = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))
    return ragged_dot_general(
        lhs, rhs, group_sizes, numbers, precision, preferred_element_type, group_offset
    )


def ragged_dot_general(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """`dot_general` where the elements along one axis of lhs are in groups of `group_sizes`, one after the other.

    If that axis is neither contracted nor a batch axis, each group meets its own part of rhs, along the group axis
    of that.  If it is contracted, each group is summed up on its own: the result has an axis of groups in front.  If
    it is a batch axis it is a `dot_general`.  TypeError for sizes that do not fit.

    >>> from covector import lax, numpy as cnp
    >>> numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
    >>> lax.ragged_dot_general(cnp.ones(5), cnp.ones(5), cnp.array([2, 3]), numbers)
    Array([2., 3.], dtype=float32)
    """
    name = "ragged_dot_general"
    check_precision(name, precision)
    x, y, counts = (array(name, v) for v in (lhs, rhs, group_sizes))
    if not dtypes.is_integer(counts.dtype):
        raise TypeError(
            f"{name}: group_sizes must be integers, got {typeof(counts).text()}{errors.at_user_line()}"
        )
    (contracted, batch), ragged, grouped = ragged_dot_dimension_numbers
    ours, theirs = (tuple([int(a) for a in axes]) for axes in contracted)
    ours_batch, theirs_batch = (tuple([int(a) for a in axes]) for axes in batch)
    if group_offset is not None or len(ragged) != 1 or counts.ndim != 1:
        raise NotImplementedError(
            f"{name} takes group sizes of one axis, one ragged axis and no offset, got sizes of {typeof(counts).text()}"
            f" and axes {tuple(ragged)}{errors.at_user_line()}; vmap it for more"
        )
    (axis,) = [axis_of(a, x.ndim, "lhs_ragged_dimensions") for a in ragged]
    if axis in ours_batch:
        return contract(x, y, (ours, theirs), (ours_batch, theirs_batch), preferred_element_type)
    parted = _in_groups(x, counts, axis)
    if axis in ours:
        first = tuple([a + 1 for a in ours]), theirs
        out = contract(
            parted,
            y,
            first,
            (tuple([a + 1 for a in ours_batch]), theirs_batch),
            preferred_element_type,
        )
        return prims.move_axis(out, len(ours_batch), 0)
    (group,) = [axis_of(a, y.ndim, "rhs_group_dimensions") for a in grouped]
    if y.shape[group] != counts.shape[0]:
        raise TypeError(
            f"{name} of {typeof(x).text()} and {typeof(y).text()} in {counts.shape[0]} groups{errors.at_user_line()}: "
            f"axis {group} of rhs must be as long"
        )
    pairs = (0, *[a + 1 for a in ours]), (group, *theirs)
    return contract(
        parted, y, pairs, (tuple([a + 1 for a in ours_batch]), theirs_batch), preferred_element_type
    )


def _in_groups(x: Any, counts: Any, axis: int) -> Any:
    """The array once for each group, in front, with zeros where the elements along an axis are of another group."""
    counts = prims.convert(counts, dtypes.int64)
    ends = prims.CumSum(0)(counts)
    shape = (*typeof(counts).shape, *x.shape)
    others = tuple(range(1, len(shape)))
    place = prims.Iota(shape, dtypes.int64, axis + 1)()
    start, end = (prims.Broadcast(shape, others)(v) for v in (prims.sub(ends, counts), ends))
    own = prims.and_(prims.ge(place, start), prims.lt(place, end))
    return prims.select(own, prims.Broadcast(shape, (0,))(x), prims.zeros(typeof(x).with_shape(())))
