"""Counting elements by their value: of integers, or between the edges of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray
from covector.numpy.fused import fused
from covector.numpy.join import concatenate
from covector.numpy.operands import converted, together
from covector.numpy.ordering import diff, searchsorted
from covector.numpy.promotion import cast, integer_of, is_operand, lift
from covector.numpy.ranges import linspace
from covector.numpy.selection import clip, known, where
from covector.numpy.shape import cut, flip, ravel, reshape
from covector.numpy.take import take
from covector.numpy.tally import tally

__all__ = [
    "bincount",
    "digitize",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]

_range = range  # which is also the name of an argument


@fused()
def _extremes(x: Any) -> tuple[Any, Any]:
    """The least and the largest element: in one pass, on all threads."""
    return reduce.min(x), reduce.max(x)


@fused("length", "inside")
def _counted(x: Any, weights: Any, length: int, inside: bool) -> Any:
    """The sums of the weights by the value of x; those of negative values count for 0, and of large ones not.

    If all are known to be `inside` nobody asks where they are, which takes a third of the time.
    """
    if inside:
        return tally(x, weights, length, "promise_in_bounds")
    zero = x.dtype.type(0)
    places = prims.maximum(x, zero) if dtypes.kind(x.dtype) != "u" else x
    return tally(places, weights, length)


def bincount(
    x: Any,
    weights: Any = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """How often each of 0, 1, 2, ... is in a vector, or the sum of its weights.

    As int32, or in the dtype of the weights, of the length of the largest element plus 1, at least `minlength`; or of
    `length`, where larger elements are not counted.  Negative ones count as 0.  TypeError unless x is of integers,
    ConcretizationTypeError for traced values without `length`.

    >>> from covector import numpy as cnp
    >>> cnp.bincount(cnp.array([1, 3, 1]))
    Array([0, 2, 0, 1], dtype=int32)
    """
    x = lift("bincount", x)
    if dtypes.is_inexact(x.dtype):
        raise TypeError(f"bincount takes integers, got {typeof(x).text()}{errors.at_user_line()}")
    if x.ndim != 1:
        raise ValueError(f"bincount takes a vector, got shape {x.shape}{errors.at_user_line()}")
    minlength = integer_of(minlength, "minlength")
    if x.dtype == dtypes.bool_:
        x = prims.Convert(dtypes.int32)(x)
    if length is None:
        least, most = 0, -1
        if known("bincount", x, "give the number of them, as length=...").size:
            least, most = map(int, _extremes(x))
        length, inside = max(minlength, most + 1), least >= 0
    else:
        inside = False
        length = max(integer_of(length, "length"), 0)
    if not length:
        return prims.full(
            (0,), 0, dtypes.position_dtype() if weights is None else lift("bincount", weights).dtype
        )
    if weights is None:
        weights = dtypes.position_dtype(x.shape[0]).type(1)
    elif np.shape(weights) != x.shape:
        raise ValueError(
            f"bincount: weights of shape {np.shape(weights)} for a vector of shape {x.shape}{errors.at_user_line()}"
        )
    else:
        (weights,) = together("bincount", "numeric", weights)
    return _counted(x, weights, length=length, inside=inside)


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """For each element the bin that it is in: i for bins[i-1] <= x < bins[i], or with `right` bins[i-1] < x <= bins[i].

    The edges rise or fall.  As int32, of the shape of x.  ValueError unless `bins` is a vector.

    >>> from covector import numpy as cnp
    >>> cnp.digitize(cnp.array([0.5, 2.0, 9.0]), cnp.array([1, 2, 3]))
    Array([0, 2, 3], dtype=int32)
    """
    x, edges = together("digitize", "any", x, bins)
    if edges.ndim != 1:
        raise ValueError(
            f"digitize: bins of shape {edges.shape}{errors.at_user_line()}, they must be a vector"
        )
    n = edges.shape[0]
    if n == 0:
        return prims.full(x.shape, 0, dtypes.int32)
    up = searchsorted(edges, x, "left" if right else "right")
    down = el.subtract(n, searchsorted(flip(edges), x, "left" if right else "right"))
    return where(el.greater_equal(edges[n - 1], edges[0]), up, down)


# ----------------------------------------------------------------------------------------- bins of floats


def _is_edges(name: str, bins: Any) -> bool:
    """Whether bins are given by their edges; else by their number.  NotImplementedError for the name of a rule."""
    if isinstance(bins, str):
        raise NotImplementedError(
            f"{name}: bins={bins!r}{errors.at_user_line()}: rules that choose the bins from the data are not there; "
            "give their number, or their edges"
        )
    return (is_operand(bins) and np.ndim(bins) > 0) or isinstance(bins, Sequence)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of bins of one width from the smallest element to the largest, or over `range`; or those given.

    As a float vector of one more than there are bins.  A range of no width is widened by 1.

    >>> from covector import numpy as cnp
    >>> cnp.histogram_bin_edges(cnp.array([0.0, 4.0]), bins=2)
    Array([0., 2., 4.], dtype=float32)
    """
    if _is_edges("histogram_bin_edges", bins):
        edges = together("histogram_bin_edges", "inexact", asarray(bins))[0]
        if edges.ndim != 1:
            raise ValueError(
                f"histogram_bin_edges: bins of shape {edges.shape}{errors.at_user_line()}, edges are a vector"
            )
        return edges
    (a,) = together("histogram_bin_edges", "inexact", a)
    low, high = _span(a, range)
    return linspace(low, high, integer_of(bins, "bins") + 1, dtype=a.dtype)


def _span(a: Any, range: Any) -> tuple[Any, Any]:
    """The smallest and the largest edge."""
    if range is not None:
        low, high = [cast(lift("histogram", asarray(v)), a.dtype) for v in range]
    elif a.size == 0:
        low, high = a.dtype.type(0), a.dtype.type(1)
    else:
        low, high = reduce.min(a), reduce.max(a)
    flat = el.equal(low, high)
    return where(flat, el.subtract(low, 0.5), low), where(flat, el.add(high, 0.5), high)


def _bin(x: Any, edges: Any, even: bool) -> Any:
    """For each element the number of its bin, the last of which has its upper edge too; else the number of bins."""
    count = edges.shape[0] - 1
    first, last = edges[0], edges[count]
    if even:
        scale = el.divide(count, el.subtract(last, first))
        guess = clip(el.floor(el.multiply(el.subtract(x, first), scale)), 0, max(count - 1, 0))
        place = prims.Convert(dtypes.int32)(where(el.isnan(guess), 0, guess))
        # rounded products may be one off: the edges decide
        one = prims.Convert(dtypes.int32)
        place = el.subtract(place, one(el.less(x, take(edges, place, mode="clip"))))
        above = take(edges, el.add(place, 1), mode="clip")
        beyond = el.logical_and(el.greater_equal(x, above), el.less(place, count - 1))
        place = el.add(place, one(beyond))
    else:
        place = el.subtract(searchsorted(edges, x, "right"), 1)
        place = where(el.equal(x, last), count - 1, place)
    inside = el.logical_and(el.greater_equal(x, first), el.less_equal(x, last))
    return where(inside, place, count)


@fused("even", "density")
def _histogram(x: Any, edges: Any, weights: Any, even: bool, density: bool) -> Any:
    count = edges.shape[0] - 1
    out = tally(_bin(x, edges, even), weights, count)
    if not density:
        return out
    return el.divide(el.divide(out, diff(edges)), reduce.sum(out))


def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
    out_sharding: Any = None,
) -> tuple[Any, Any]:
    """How many elements are in each bin, or the sum of their weights, and the edges of the bins.

    `bins` is their number, from the smallest element to the largest or over `range`, or a vector of edges that rise.
    The last bin has its upper edge too.  Counts are floats; with `density` their integral is 1.  ValueError if the
    weights do not have the shape of the elements.

    >>> from covector import numpy as cnp
    >>> cnp.histogram(cnp.array([0, 1, 3, 4]), bins=2)
    (Array([2., 2.], dtype=float32), Array([0., 2., 4.], dtype=float32))
    """
    (x,) = together("histogram", "inexact", a)
    if weights is None:
        edges = histogram_bin_edges(x, bins, range)
        weights = x.dtype.type(1)
    else:
        x, weights = together("histogram", "inexact", x, weights)
        if weights.shape != x.shape:
            raise ValueError(
                f"histogram: weights of shape {weights.shape} for elements of shape {x.shape}{errors.at_user_line()}"
            )
        edges = histogram_bin_edges(x, bins, range)
        weights = ravel(weights)
    x, edges = together("histogram", "inexact", ravel(x), edges)
    if edges.shape[0] < 2:
        return prims.full((0,), 0, weights.dtype), edges
    return (
        _histogram(x, edges, weights, even=not _is_edges("histogram", bins), density=bool(density)),
        converted(edges, edges.dtype),
    )


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Any, Any, Any]:
    """How many of the points (x, y) are in each bin of a grid, and the edges along both axes.

    `bins` is a number or a vector of edges for both, or a pair of these; the rest is that of `histogramdd`.

    >>> from covector import numpy as cnp
    >>> cnp.histogram2d(cnp.array([0.0, 1.0]), cnp.array([0.0, 1.0]), bins=2)[0]
    Array([[1, 0],
           [0, 1]], dtype=int32)
    """
    x, y = together("histogram2d", "inexact", x, y)
    if x.ndim != 1 or x.shape != y.shape:
        raise errors.ShapeError(
            f"histogram2d takes two vectors of one length, got shapes {x.shape} and {y.shape}{errors.at_user_line()}"
        )
    if _is_edges("histogram2d", bins) and len(bins) not in (1, 2):  # edges for both axes
        bins = [bins, bins]
    points = concatenate([reshape(v, (-1, 1)) for v in (x, y)], 1)
    counts, edges = histogramdd(points, bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Any, list[Any]]:
    """How many of the points, the rows of a matrix, are in each bin of a grid, and a list of the edges along its axes.

    `bins` is a number for all axes, or for each one a number or a vector of edges; `range` a pair for each axis.
    Counts are int32; with `density` they are divided by their sum and by the volume of the bin.  ValueError for other
    numbers of them.

    >>> from covector import numpy as cnp
    >>> cnp.histogramdd(cnp.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), bins=2)[0]
    Array([[1, 0],
           [1, 1]], dtype=int32)
    """
    (points,) = together("histogramdd", "inexact", sample)
    if points.ndim != 2:
        raise ValueError(
            f"histogramdd takes the points as rows of a matrix, got shape {points.shape}{errors.at_user_line()}"
        )
    rank = points.shape[1]
    each = list(bins) if _is_edges("histogramdd", bins) else [bins] * rank
    spans = [None] * rank if range is None else list(range)
    if len(each) != rank or len(spans) != rank:
        raise ValueError(
            f"histogramdd of {rank} coordinates got bins for {len(each)} and ranges for {len(spans)} of them"
            f"{errors.at_user_line()}"
        )
    given = [_is_edges("histogramdd", b) for b in each]
    columns = [prims.squeeze(cut(points, 1, i, i + 1), (1,)) for i in _range(rank)]
    edges = [
        together("histogramdd", "inexact", points, histogram_bin_edges(column, b, span))[1]
        for column, b, span in zip(columns, each, spans, strict=True)
    ]
    one = dtypes.position_dtype(points.shape[0]).type(1)
    weights = one if weights is None else lift("histogramdd", weights)
    if weights.shape not in ((), points.shape[:1]):
        raise ValueError(
            f"histogramdd: weights of shape {weights.shape} for {points.shape[0]} points{errors.at_user_line()}"
        )
    places = tuple(
        _bin(column, e, not known) for column, e, known in zip(columns, edges, given, strict=True)
    )
    shape = tuple([e.shape[0] - 1 for e in edges])
    counts = prims.full(shape, 0, weights.dtype).at[places].add(weights, mode="drop")
    if density:
        counts = counts if dtypes.is_inexact(counts.dtype) else cast(counts, edges[0].dtype)
        counts = el.divide(counts, reduce.sum(counts))
        for i, e in enumerate(edges):
            counts = el.divide(counts, reshape(diff(e), (-1,) + (1,) * (rank - 1 - i)))
    return counts, edges
