"""Searching, and what accumulates along an axis."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import astype, filled
from covector.numpy.fused import compiled, fused
from covector.numpy.join import concatenate
from covector.numpy.operands import refuse_out, together
from covector.numpy.promotion import Shape, axes_of, axis_of, cast, integer_of, lift
from covector.numpy.reduce import extended, kept, strong, sum as total
from covector.numpy.selection import where
from covector.numpy.shape import cut, moveaxis, ravel, reshape
from covector.numpy.sorting import sort
from covector.numpy.take import take

__all__ = [
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "median",
    "searchsorted",
    "trapezoid",
]


# --------------------------------------------------------------------------------- running folds


def _running(name: str, primitive: Any, a: Any, axis: int | None, dtype: Any) -> Any:
    a = lift(name, a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_of(axis, a.ndim)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if wanted == dtypes.bool_:  # or, and: the larger, the smaller of bools
        extreme = prims.CumMax if primitive is prims.CumSum else prims.CumMin
        return cast(extreme(axis)(cast(cast(a, dtypes.bool_), dtypes.uint8)), dtypes.bool_)
    if wanted is None:
        wanted = dtypes.position_dtype(a.shape[axis]) if a.dtype == dtypes.bool_ else a.dtype
    return primitive(axis)(strong(cast(a, wanted)))


@compiled("a")
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The sums up to each element along an axis, or of the flattened array, in its dtype; of bool in int32.

    >>> from covector import numpy as cnp
    >>> cnp.cumsum(cnp.arange(4))
    Array([0, 1, 3, 6], dtype=int32)
    """
    refuse_out("cumsum", out)
    return _running("cumsum", prims.CumSum, a, axis, dtype)


@compiled("a")
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The products up to each element along an axis, or of the flattened array.

    The shape stays; the dtype is that of `prod`.

    >>> from covector import numpy as cnp
    >>> cnp.cumprod(cnp.array([1, 2, 3, 4]))
    Array([ 1,  2,  6, 24], dtype=int32)
    """
    refuse_out("cumprod", out)
    return _running("cumprod", prims.CumProd, a, axis, dtype)


def _cumulative(
    name: str, f: Any, first: int, x: Any, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    x = lift(name, x)
    if axis is None and x.ndim != 1:
        raise ValueError(f"{name} of shape {x.shape} needs an axis{errors.at_user_line()}")
    axis = axis_of(axis or 0, x.ndim)
    out = f(x, axis, extended(x.dtype) if dtype is None else dtype)
    if not include_initial:
        return out
    start = filled(tuple([1 if i == axis else n for i, n in enumerate(x.shape)]), first, out.dtype)
    return concatenate([start, out], axis)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The sums up to each element along an axis; `include_initial` puts a 0 in front.

    Of integers narrower than 32 bits they are in 32.  The axis may only be left out for a vector (ValueError).

    >>> from covector import numpy as cnp
    >>> cnp.cumulative_sum(cnp.array([2, 3]), include_initial=True)
    Array([0, 2, 5], dtype=int32)
    """
    return _cumulative("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The products up to each element along an axis; `include_initial` puts a 1 in front.

    Of integers narrower than 32 bits they are in 32.  The axis may only be left out for a vector (ValueError).

    >>> from covector import numpy as cnp
    >>> cnp.cumulative_prod(cnp.array([2, 3]), include_initial=True)
    Array([1, 2, 6], dtype=int32)
    """
    return _cumulative("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)


@compiled("a", "prepend", "append")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each element less the one before it along an axis, n times over.

    `prepend` and `append` are put at the ends first: arrays, or a number.  ValueError for a negative n, or a scalar.

    >>> from covector import numpy as cnp
    >>> cnp.diff(cnp.array([1, 4, 9]))
    Array([3, 5], dtype=int32)
    >>> cnp.diff(cnp.array([1, 4, 9]), n=2)
    Array([2], dtype=int32)
    """
    a = lift("diff", a)
    n, axis = integer_of(n, "n"), axis_of(axis, a.ndim)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}{errors.at_user_line()}")
    if n == 0:
        return a
    if prepend is not None or append is not None:
        given = [x for x in (prepend, a, append) if x is not None]
        parts = [_edge(e, a, axis) for e in together("diff", "any", *given)]
        a = concatenate(parts, axis)
    minus = el.not_equal if a.dtype == dtypes.bool_ else el.subtract
    for _ in range(n):
        size = a.shape[axis]
        if size != 0:
            a = minus(cut(a, axis, 1, size), cut(a, axis, 0, size - 1))
    return a


def _edge(e: Any, a: Any, axis: int) -> Any:
    """A number or array to stand before or after along an axis."""
    shape = tuple([1 if i == axis else m for i, m in enumerate(a.shape)])
    return prims.Broadcast(shape, tuple(range(a.ndim)))(e) if not e.shape else e


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Each element of the flattened array less the one before it, between further ones.

    >>> from covector import numpy as cnp
    >>> cnp.ediff1d(cnp.array([1, 4, 9]), to_end=0)
    Array([3, 5, 0], dtype=int32)
    """
    ary = ravel(ary)
    if ary.dtype == dtypes.bool_:
        raise TypeError(
            f"ediff1d of bool{errors.at_user_line()}: bool has no difference; use diff, which says where it changes"
        )
    steps = diff(ary)
    first, last = (None if e is None else ravel(e) for e in (to_begin, to_end))
    return astype(concatenate([p for p in (first, steps, last) if p is not None]), steps.dtype)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral along an axis by the trapezoidal rule, at the points x or `dx` apart.

    As a float; the axis goes.  0 of fewer than two elements.

    >>> from covector import numpy as cnp
    >>> cnp.trapezoid(cnp.array([0.0, 1.0, 4.0]), dx=0.5)
    Array(1.5, dtype=float32)
    """
    (y,) = together("trapezoid", "inexact", y)
    y = moveaxis(y, axis, -1)
    if x is not None:
        x = lift("trapezoid", x)
        dx = diff(x) if x.ndim == 1 else diff(moveaxis(x, axis, -1))
        if x.ndim == 1:
            dx = reshape(dx, (*(1,) * (y.ndim - 1), dx.shape[0]))
    n = y.shape[-1]
    first = 1 if n else 0
    pairs = el.add(cut(y, y.ndim - 1, first, n), cut(y, y.ndim - 1, 0, n - first))
    return el.multiply(total(el.multiply(pairs, dx), -1), 0.5)


# ------------------------------------------------------------------------------------ searching


@compiled("a")
def median(
    a: Any,
    axis: int | tuple[int, ...] | None = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    """The middle element along axes (all by default), or the mean of the two middle ones; NaN if one is NaN.

    As a float; integers count as floats.  TypeError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.median(cnp.array([[3, 1, 2], [7, 9, 8]]), axis=1)
    Array([2., 8.], dtype=float32)
    """
    refuse_out("median", out)
    (a,) = together("median", "inexact", a)
    axes = axes_of(axis, a.ndim)
    rest = [i for i in range(a.ndim) if i not in axes]
    lead = tuple([a.shape[i] for i in rest])
    joined = dims.product([a.shape[i] for i in axes])
    rows = reshape(prims.Transpose((*rest, *axes))(a), (*lead, joined))
    last, n = rows.ndim - 1, operator.index(joined)
    if n == 0 and 0 not in lead:
        raise ValueError(f"median of an array without elements{errors.at_user_line()}")
    if n == 0:
        nothing = prims.full(lead, 0, a.dtype)
        return kept(nothing, a.shape, axes) if keepdims else nothing
    ordered = sort(rows)
    low, high, top = (
        prims.squeeze(cut(ordered, last, i, i + 1), (last,)) for i in ((n - 1) // 2, n // 2, n - 1)
    )
    middle = el.add(el.multiply(low, 0.5), el.multiply(high, 0.5))
    out = where(el.isnan(top), middle.dtype.type(np.nan), middle)
    return kept(out, a.shape, axes) if keepdims else out


def _sorts_before(x: Any, y: Any) -> Any:
    """Whether x comes before y in sorted order: NaN comes last, and complex numbers with one after those without."""
    if not dtypes.is_complex(x.dtype):
        return _nan_last(x, y)
    (a, b), (c, d) = (prims.real(x), prims.imag(x)), (prims.real(y), prims.imag(y))
    x_nans, y_nans = prims.ne(b, b), prims.ne(d, d)
    same = prims.or_(prims.eq(a, c), prims.and_(prims.ne(a, a), prims.ne(c, c)))
    # of numbers with different real parts, the one with a NaN in its imaginary part is behind the one without
    first = prims.select(prims.eq(x_nans, y_nans), _nan_last(a, c), y_nans)
    apart = prims.select(prims.or_(prims.ne(a, a), prims.ne(c, c)), _nan_last(a, c), first)
    return prims.select(same, _nan_last(b, d), apart)


def _nan_last(x: Any, y: Any) -> Any:
    less = prims.lt(x, y)
    if not dtypes.is_inexact(x.dtype):
        return less
    return prims.or_(less, prims.and_(prims.ne(y, y), prims.eq(x, x)))


def _halved(a: Any, shape: Shape, goes_up: Any) -> Any:
    """For each result how many elements of a sorted vector `goes_up` holds of: those in front, and no others.

    What is left is halved as often as the length needs, the same way for all, so that a step is a read, a comparison
    and a sum.
    """
    n = operator.index(a.shape[0])
    dtype = dtypes.index_dtype(n)
    numbers = prims.GatherDimensionNumbers((), (0,), (0,))

    def up(place: Any) -> Any:
        vectors = prims.expand_dims(place, (place.ndim,))
        return goes_up(prims.Gather(numbers, (1,), "promise_in_bounds")(a, vectors))

    low = filled(shape, 0, dtype)
    while n > 1:
        half = n // 2
        above = up(prims.add(low, dtype.type(half - 1)))
        low = prims.add(low, prims.select(above, dtype.type(half), dtype.type(0)))
        n -= half
    return prims.add(low, prims.Convert(dtype)(up(low)))


@fused("right")
def _search(a: Any, v: Any, right: bool) -> Any:
    """By halving, in the order of `sort`, where NaN is the largest."""
    if dtypes.is_complex(a.dtype):
        if right:
            return _halved(a, v.shape, lambda found: prims.not_(_sorts_before(v, found)))
        return _halved(a, v.shape, lambda found: _sorts_before(found, v))
    compare = prims.le if right else prims.lt
    place = _halved(a, v.shape, lambda found: compare(found, v))
    if not dtypes.is_inexact(a.dtype):
        return place
    # of a NaN the comparisons say nothing: it belongs behind the numbers, or behind everything
    numbers = a.shape[0] if right else _halved(a, (), lambda found: prims.eq(found, found))
    return where(el.isnan(v), numbers, place)


def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
) -> Any:
    """Where to put v into a sorted vector to keep it sorted: before equal elements, or after them with side="right".

    >>> from covector import numpy as cnp
    >>> cnp.searchsorted(cnp.array([1., 2., 2., 5.]), 2.)
    Array(1, dtype=int32)
    """
    if side not in ("left", "right"):
        raise ValueError(
            f"searchsorted: side is 'left' or 'right', not {side!r}{errors.at_user_line()}"
        )
    a, v = together("searchsorted", "any", a, v)
    if a.ndim != 1:
        raise ValueError(f"searchsorted takes a vector, got shape {a.shape}{errors.at_user_line()}")
    if sorter is not None:
        a = take(a, sorter, 0, mode="clip")
    if a.shape[0] == 0:
        return filled(v.shape, 0, dtypes.int32)
    return _search(a, v, right=side == "right")
