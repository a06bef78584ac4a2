"""Elements combined by the segment that each belongs to: names and meanings are those of `jax.ops`."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy import reduce
from covector.numpy.creation import iota
from covector.numpy.fused import fused
from covector.numpy.operands import converted
from covector.numpy.promotion import integer_of, lift
from covector.numpy.selection import known
from covector.numpy.shape import reshape
from covector.numpy.tally import tally

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtypes.is_complex(dtype) else dtypes.lowest(dtype)


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtypes.is_complex(dtype) else dtypes.highest(dtype)


# By name: the update, what the elements start from, and the reduction over buckets.
_KINDS: dict[str, tuple[str, Any, Any]] = {
    "segment_sum": ("add", lambda _: 0, reduce.sum),
    "segment_prod": ("multiply", lambda _: 1, reduce.prod),
    "segment_max": ("max", _lowest, reduce.max),
    "segment_min": ("min", _highest, reduce.min),
}


def _segments(
    name: str,
    data: Any,
    segment_ids: Any,
    num_segments: Any,
    sorted_: bool,
    unique: bool,
    bucket_size: int | None,
    mode: Any,
) -> Any:
    update, first, total = _KINDS[name]
    x, ids = lift(name, data), lift(name, segment_ids)
    if not dtypes.is_integer(ids.dtype):
        raise TypeError(
            f"{name} takes integer segment_ids, got {typeof(ids).text()}{errors.at_user_line()}"
        )
    if ids.shape != x.shape[: ids.ndim]:
        raise ValueError(
            f"{name}: segment_ids of shape {ids.shape} for data of shape {x.shape}{errors.at_user_line()}; they name "
            "the segment of each slice along the leading axes"
        )
    if x.dtype == dtypes.bool_ and update in ("add", "multiply"):
        raise TypeError(
            f"{name} takes numbers, got {typeof(x).text()}{errors.at_user_line()}; use segment_max or segment_min, or "
            "count them as integers with astype(int)"
        )
    if num_segments is None:
        values = known(name, ids, "give the number of segments, as num_segments=...")
        count = max(int(values.max()) + 1, 0) if values.size else 0
    else:
        count = integer_of(num_segments, "num_segments")
    errors.check_flags(name, indices_are_sorted=sorted_, unique_indices=unique)
    if count < 0:
        raise ValueError(
            f"{name}: num_segments is {count}{errors.at_user_line()}, it must not be negative"
        )
    start = first(x.dtype)
    if bucket_size is not None:
        size = integer_of(bucket_size, "bucket_size")
        parts = _by_buckets(x, ids, count, size, update, start, mode)
        return converted(total(parts, 0), x.dtype)
    if name == "segment_sum" and x.shape == ids.shape and x.ndim == 1 and not unique:
        return _sums(x, ids, count=count, mode=mode)
    out = prims.full((count, *x.shape[ids.ndim :]), start, x.dtype)
    if count == 0 or x.size == 0:
        return out
    options = {"indices_are_sorted": sorted_, "unique_indices": unique, "mode": mode}
    return getattr(out.at[ids], update)(x, wrap_negative_indices=False, **options)


@fused("count", "mode")
def _sums(x: Any, ids: Any, count: int, mode: Any) -> Any:
    return tally(ids, x, count, mode)


def _by_buckets(x: Any, ids: Any, count: int, size: int, update: str, start: Any, mode: Any) -> Any:
    """The segments of each run of `size` elements by itself, stacked: sums of fewer numbers are more exact."""
    rows = int(np.prod(ids.shape))
    x, ids = reshape(x, (rows, *x.shape[ids.ndim :])), reshape(ids, (rows,))
    buckets = -(-rows // size)
    bucket = prims.div(iota((rows,), dtypes.int32, 0), np.int32(size))
    out = prims.full((buckets, count, *x.shape[1:]), start, x.dtype)
    return getattr(out.at[bucket, ids], update)(x, mode=mode, wrap_negative_indices=False)


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The sums of the slices of data with the same number in `segment_ids`, for each number below `num_segments`.

    Slices with other numbers, negative ones too, are left out; without `num_segments` there are as many as the ids
    (which must be concrete) say.  `bucket_size` adds up runs of so many slices first.  TypeError unless the ids are
    integers and the data numbers, ValueError unless the ids have the shape of the data's leading axes.

    >>> from covector import numpy as cnp, ops
    >>> ops.segment_sum(cnp.array([1, 2, 3, 4]), cnp.array([0, 0, 1, 1]), 2)
    Array([3, 7], dtype=int32)
    """
    return _segments(
        "segment_sum",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
    )


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The products of the slices of data with the same number in `segment_ids`; 1 where there are none.

    Arguments and errors are those of `segment_sum`.

    >>> from covector import numpy as cnp, ops
    >>> ops.segment_prod(cnp.array([1, 2, 3, 4]), cnp.array([0, 0, 1, 1]), 2)
    Array([ 2, 12], dtype=int32)
    """
    return _segments(
        "segment_prod",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
    )


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The largest of the slices of data with the same number; minus infinity, or the least integer, of none.

    Arguments and errors are those of `segment_sum`.

    >>> from covector import numpy as cnp, ops
    >>> ops.segment_max(cnp.array([1, 2, 3, 4]), cnp.array([0, 0, 1, 1]), 2)
    Array([2, 4], dtype=int32)
    """
    return _segments(
        "segment_max",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
    )


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The smallest of the slices of data with the same number; infinity, or the largest integer, of none.

    Arguments and errors are those of `segment_sum`.

    >>> from covector import numpy as cnp, ops
    >>> ops.segment_min(cnp.array([1, 2, 3, 4]), cnp.array([0, 0, 1, 1]), 2)
    Array([1, 3], dtype=int32)
    """
    return _segments(
        "segment_min",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
    )


publish(__name__)
