"""Sets: the distinct elements of arrays, and what two arrays share.

Outside `jit` results are as long as the values make them.  With `size` they have that length, cut or filled with
`fill_value`, and the functions can be traced.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import EVAL, Tracer, using
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import iota
from covector.numpy.join import concatenate
from covector.numpy.operands import beside, converted, together
from covector.numpy.ordering import searchsorted
from covector.numpy.promotion import axis_of, from_numpy, integer_of, lift
from covector.numpy.reduce import any as any_of, sum as total
from covector.numpy.selection import known, places_where, where
from covector.numpy.shape import cut, moveaxis, ravel, reshape
from covector.numpy.sorting import sort
from covector.numpy.take import take

__all__ = [
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


# ------------------------------------------------------------------------------------ distinct elements


class _UniqueAllResult(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class _UniqueCountsResult(NamedTuple):
    values: Any
    counts: Any


class _UniqueInverseResult(NamedTuple):
    values: Any
    inverse_indices: Any


def _differs(x: Any, equal_nan: bool) -> Any:
    """Whether each element along the first axis differs from the one before it; the first one does."""
    n = x.shape[0]
    if n == 0:
        return prims.full((0,), True, dtypes.bool_)
    before, after = cut(x, 0, 0, n - 1), cut(x, 0, 1, n)
    new = prims.ne(before, after)
    if equal_nan and dtypes.is_inexact(x.dtype):
        both = prims.and_(prims.ne(before, before), prims.ne(after, after))
        new = prims.and_(new, prims.not_(both))
    new = any_of(new, tuple(range(1, x.ndim)))
    return prims.Pad((1,), (0,), (0,))(new, np.bool_(True))


def _in_order(rows: Any) -> tuple[Any, Any]:
    """A vector, or the rows of a matrix, in rising order, and where each came from; equal ones stay in order."""
    if dtypes.is_complex(rows.dtype):  # by the real parts, and then by the imaginary ones
        parts = [reshape(p(rows), (*rows.shape, 1)) for p in (prims.real, prims.imag)]
        order = _in_order(reshape(concatenate(parts, -1), (rows.shape[0], -1)))[1]
        return _at(rows, order), order
    if rows.ndim == 1:
        return prims.SortPairs()(rows, iota(rows.shape, dtypes.index_dtype(rows.shape[0]), 0))
    order = prims.SortOrder()(prims.Transpose((1, 0))(rows))
    return _at(rows, order), order


def _at(x: Any, places: Any) -> Any:
    """The elements along the first axis at places that are all there."""
    return take(x, places, 0, mode="clip")


def _values_of(a: Any, equal_nan: bool) -> Any:
    """The distinct elements of a vector whose values are known, in rising order."""
    x = np.asarray(prims.Sort()(a))
    new = np.empty(len(x), bool)
    new[:1] = True
    np.not_equal(x[1:], x[:-1], out=new[1:])
    if equal_nan and len(x) and x[-1] != x[-1]:  # NaNs are last
        new[1:] &= ~((x[1:] != x[1:]) & (x[:-1] != x[:-1]))
    return beside((a,), _native.array_from(x[new]))


_NOTHING = (False, False, False)  # beside the elements


class _Groups(NamedTuple):
    """The distinct rows of an array."""

    rows: Any  # in rising order
    order: Any  # where each came from
    new: Any  # which of them differ from the one before
    starts: Any  # the places of these: `size` of them, then a further one that ends the last


def _grouped(rows: Any, equal_nan: bool, size: int | None) -> _Groups:
    """The groups of equal rows; without a size the values are known."""
    n = rows.shape[0]
    with_order = _in_order(rows)
    new = _differs(with_order[0], equal_nan)
    if size is None:
        found = np.append(np.flatnonzero(np.asarray(new)), n)
        starts = beside((new,), from_numpy("unique", found, dtypes.position_dtype(n)))
    else:
        starts = places_where(new, size + 1, n)
    return _Groups(*with_order, new, starts)


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements in rising order, or slices along an axis; NaNs are one element with `equal_nan`.

    In a tuple with them, as asked for: the index of the first of each, for each element the index of its value, and
    how many there are of each.  With `size` there are so many: the first ones, or all and then `fill_value` (by
    default the first), with counts of 0.  ConcretizationTypeError for traced values without `size`, ValueError for an
    array without elements with a `size` and no `fill_value`.

    >>> from covector import numpy as cnp
    >>> cnp.unique(cnp.array([3, 1, 3]), return_counts=True)
    (Array([1, 3], dtype=int32), Array([1, 2], dtype=int32))
    >>> cnp.unique(cnp.array([3, 1, 3]), size=3, fill_value=0)
    Array([1, 3, 0], dtype=int32)
    """
    asked = return_index, return_inverse, return_counts
    out = _unique("unique", lift("unique", ar), asked, axis, equal_nan, size, fill_value)
    return out[0] if len(out) == 1 else tuple(out)


def _unique(
    name: str,
    a: Any,
    asked: tuple[bool, bool, bool],
    axis: int | None,
    equal_nan: bool,
    size: int | None,
    fill_value: Any,
) -> list[Any]:
    """The distinct elements, and what is asked for: index, inverse, counts."""
    if a.weak_type:
        values, *about = _unique(
            name, prims.Convert(a.dtype)(a), asked, axis, equal_nan, size, fill_value
        )
        return [_weak_as(a, values), *about]
    shape, place = a.shape, 0 if axis is None else axis_of(axis, a.ndim)
    positions = dtypes.position_dtype(*shape)
    a = ravel(a) if axis is None else moveaxis(a, place, 0)
    if size is None:
        value = beside((a,), _native.array_from(known(name, a, "give its length, as size=...")))
        with using(EVAL):
            if a.ndim == 1 and not (
                any(asked) or isinstance(a, Tracer) or dtypes.is_complex(a.dtype)
            ):
                return [_values_of(value, equal_nan)]
            groups = _grouped(_as_rows(value), equal_nan, None)
    else:
        size = integer_of(size, "size")
        if a.shape[0] == 0 and size and fill_value is None:
            raise ValueError(
                f"{name} of no elements with size={size}{errors.at_user_line()}: give a fill_value"
            )
        groups = _grouped(_as_rows(a), equal_nan, size)
    index = _first(groups, a.shape[0])
    values = _at(a, index) if a.shape[0] else cut(a, 0, 0, 0)
    if size is not None and (fill_value is not None or a.shape[0] == 0):
        values = _filled(values, groups, size, fill_value)
    out = [moveaxis(values, 0, place)]
    about: list[Any] = []
    if asked[0]:
        about.append(index)
    if asked[1]:
        inverse = _inverse(groups)
        about.append(reshape(inverse, shape) if axis is None else inverse)
    if asked[2]:
        last = groups.starts.shape[0] if a.shape[0] else 1
        about.append(prims.sub(cut(groups.starts, 0, 1, last), cut(groups.starts, 0, 0, last - 1)))
    return out + [converted(x, positions) for x in about]


def _weak_as(x: Any, out: Any) -> Any:
    """A result of the elements of x, weak as they are; complex ones, whose parts are taken apart, are strong."""
    return converted(out, out.dtype, x.weak_type and not dtypes.is_complex(x.dtype))


def _as_rows(a: Any) -> Any:
    """An array as a matrix whose rows are its slices along the first axis; a vector as it is."""
    return a if a.ndim == 1 else reshape(a, (a.shape[0], int(np.prod(a.shape[1:]))))


def _first(groups: _Groups, n: Any) -> Any:
    """The index of the first of each group; behind the last group that of the first."""
    starts = cut(groups.starts, 0, 0, groups.starts.shape[0] - 1)
    if n == 0:
        return cut(starts, 0, 0, 0)
    return _at(groups.order, where(el.less(starts, n), starts, 0))


def _filled(values: Any, groups: _Groups, size: int, fill_value: Any) -> Any:
    """The values of the groups, and `fill_value` behind them up to the size."""
    fill = None if fill_value is None else converted(lift("unique", fill_value), values.dtype)
    if values.shape[0] == 0 and size:
        return prims.Broadcast((size, *values.shape[1:]), tuple(range(values.ndim)))(fill)
    if fill is None:
        return values
    there = el.less(cut(groups.starts, 0, 0, size), groups.new.shape[0])
    return where(reshape(there, (size,) + (1,) * (values.ndim - 1)), values, fill)


def _inverse(groups: _Groups) -> Any:
    """For each row the number of its group."""
    n = groups.order.shape[0]
    if n == 0:
        return groups.order
    dtype = groups.order.dtype
    number = prims.sub(prims.CumSum(0)(prims.Convert(dtype)(groups.new)), dtype.type(1))
    return prims.full((n,), 0, dtype).at[groups.order].set(number, unique_indices=True)


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements, and all that `unique` tells of them, as a named tuple.

    Its fields are values, indices, inverse_indices and counts; NaNs are distinct.  Errors are those of `unique`.

    >>> from covector import numpy as cnp
    >>> cnp.unique_all(cnp.array([3, 1, 3])).indices
    Array([1, 0], dtype=int32)
    """
    return _UniqueAllResult(
        *unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements and how many there are of each, as a named tuple (values, counts).

    NaNs are distinct.  Errors are those of `unique`.

    >>> from covector import numpy as cnp
    >>> cnp.unique_counts(cnp.array([3, 1, 3])).counts
    Array([1, 2], dtype=int32)
    """
    return _UniqueCountsResult(
        *unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements and for each element the index of its value: a named tuple (values, inverse_indices).

    NaNs are distinct.  Errors are those of `unique`.

    >>> from covector import numpy as cnp
    >>> cnp.unique_inverse(cnp.array([3, 1, 3])).inverse_indices
    Array([1, 0, 1], dtype=int32)
    """
    return _UniqueInverseResult(
        *unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements in rising order; NaNs are distinct.

    Errors are those of `unique`.

    >>> from covector import numpy as cnp
    >>> cnp.unique_values(cnp.array([3, 1, 3]))
    Array([1, 3], dtype=int32)
    """
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# ------------------------------------------------------------------------------------------ two sets

_FEW = 16  # so many comparisons of each element take less than a search, whose table must first be sorted


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Any:
    """Whether each element is one of `test_elements` (or is none, with `invert`); NaN is none.

    As a bool array of the shape of `element`.  The methods 'compare_all', 'binary_search' and 'sort' give the same;
    ValueError for others.

    >>> from covector import numpy as cnp
    >>> cnp.isin(cnp.array([[1, 2], [3, 4]]), cnp.array([2, 3]))
    Array([[False,  True],
           [ True, False]], dtype=bool)
    """
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise ValueError(
            f"isin: method {method!r}{errors.at_user_line()}; there are 'auto', 'compare_all', 'binary_search' "
            "and 'sort'"
        )
    x, tests = together("isin", "any", element, test_elements)
    tests = ravel(tests)
    if tests.shape[0] <= _FEW or method == "compare_all":
        tests = reshape(tests, (*(1,) * x.ndim, tests.shape[0]))
        found = any_of(el.equal(prims.expand_dims(x, (x.ndim,)), tests), -1)
    else:
        table = sort(tests)
        places = searchsorted(table, x)
        found = el.equal(take(table, places, mode="clip"), x)
    return el.logical_not(found) if invert else found


def _vectors(name: str, ar1: Any, ar2: Any) -> list[Any]:
    return [ravel(x) for x in together(name, "any", ar1, ar2)]


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements of two arrays, in rising order.

    `size` and `fill_value`, and errors, are those of `unique`.

    >>> from covector import numpy as cnp
    >>> cnp.union1d(cnp.array([3, 1]), cnp.array([2, 1]))
    Array([1, 2, 3], dtype=int32)
    """
    both = concatenate(_vectors("union1d", ar1, ar2))
    return _unique("union1d", both, _NOTHING, None, True, size, fill_value)[0]


def _chosen(name: str, x: Any, keep: Any, size: int | None, fill_value: Any, default: Any) -> Any:
    """The elements of a vector where a mask holds; with a size so many, filled with `fill_value`, or the default."""
    if size is None:
        places = np.flatnonzero(known(name, keep, "give its length, as size=..."))
        return _at(x, from_numpy(name, places, dtypes.index_dtype(*x.shape)))
    size, n = integer_of(size, "size"), x.shape[0]
    fill = converted(lift(name, default if fill_value is None else fill_value), x.dtype)
    if n == 0:
        return prims.Broadcast((size,), (0,))(fill)
    places = places_where(keep, size, n)
    return where(el.less(places, n), take(x, places, mode="clip"), fill)


def setdiff1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements of `ar1` that are not in `ar2`, in rising order; as they come with `assume_unique`.

    With `size` there are so many, the last ones `fill_value` (0) if need be.  ConcretizationTypeError for traced
    values without `size`.

    >>> from covector import numpy as cnp
    >>> cnp.setdiff1d(cnp.array([3, 1, 2]), cnp.array([2]))
    Array([1, 3], dtype=int32)
    """
    x, y = ravel(lift("setdiff1d", ar1)), ar2
    if size is None:
        x = x if assume_unique else _unique("setdiff1d", x, _NOTHING, None, True, None, None)[0]
        return _weak_as(x, _chosen("setdiff1d", x, isin(x, y, invert=True), None, None, 0))
    keep = isin(x, y, invert=True)
    if not assume_unique:
        x, order = _in_order(x)
        keep = prims.and_(_at(keep, order), _differs(x, True)) if x.shape[0] else keep
    return _weak_as(x, _chosen("setdiff1d", x, keep, size, fill_value, 0))


def _distinct(x: Any, assume_unique: bool) -> tuple[Any, Any, Any]:
    """The elements in rising order, where they came from, and which of them are the first of their kind."""
    x, order = _in_order(x)
    new = prims.full(x.shape, True, dtypes.bool_) if assume_unique else _differs(x, True)
    return x, order, new


def setxor1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The elements that are in one of two arrays and not in the other, in rising order.

    With `size` there are so many, the last ones `fill_value` (by default the first of the result) if need be.
    ConcretizationTypeError for traced values without `size`.

    >>> from covector import numpy as cnp
    >>> cnp.setxor1d(cnp.array([3, 1]), cnp.array([2, 1]))
    Array([2, 3], dtype=int32)
    """
    sides = _vectors("setxor1d", ar1, ar2)
    kept = []
    for x, other in (sides, sides[::-1]):
        if x.shape[0] == 0:
            continue
        x, _, new = _distinct(x, assume_unique)
        kept.append((x, prims.and_(new, isin(x, other, invert=True))))
    if not kept:
        return _chosen(
            "setxor1d", sides[0], prims.full((0,), False, dtypes.bool_), size, fill_value, 0
        )
    x, order = _in_order(concatenate([part for part, _ in kept]))
    keep = _at(concatenate([mask for _, mask in kept]), order)
    out = _chosen("setxor1d", x, keep, size, fill_value, _first_kept(x, keep))
    return _weak_as(sides[0], out)


def _first_kept(x: Any, keep: Any) -> Any:
    """The first element where a mask holds; 0 if there is none."""
    place = places_where(keep, 1, x.shape[0])[0]
    return where(el.less(place, x.shape[0]), take(x, place, mode="clip"), x.dtype.type(0))


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The elements that two arrays share, in rising order.

    With `return_indices` also where they are first in each, as a tuple of three.  With `size` there are so many, the
    last ones `fill_value` (by default the first of the result) if need be, with indices out of bounds.
    ConcretizationTypeError for traced values without `size`.

    >>> from covector import numpy as cnp
    >>> cnp.intersect1d(cnp.array([3, 1]), cnp.array([2, 3, 1]))
    Array([1, 3], dtype=int32)
    """
    x, y = both = _vectors("intersect1d", ar1, ar2)
    if x.shape[0] == 0:
        keep = prims.full((0,), False, dtypes.bool_)
        values, order = x, prims.full((0,), 0, dtypes.int32)
    else:
        values, order, new = _distinct(x, assume_unique)
        keep = prims.and_(new, isin(values, y))
    default = _first_kept(values, keep) if size is not None and x.shape[0] else 0
    out = _weak_as(both[0], _chosen("intersect1d", values, keep, size, fill_value, default))
    if not return_indices:
        return out
    positions = dtypes.position_dtype(*x.shape, *y.shape)
    first = converted(_chosen("intersect1d", order, keep, size, None, x.shape[0]), positions)
    if y.shape[0] == 0:
        return out, first, prims.full(out.shape, 0, positions)
    table, places = _in_order(y)
    second = take(places, searchsorted(table, out), mode="clip")
    if size is not None:
        second = where(el.less(iota(out.shape, dtypes.int32, 0), total(keep)), second, y.shape[0])
    return out, first, converted(second, positions)
