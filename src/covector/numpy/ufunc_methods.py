"""What ufuncs do beside being called: reduce, accumulate, outer, at, reduceat."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import ordering, reduce as reductions
from covector.numpy.creation import asarray, iota
from covector.numpy.folds import fold, folds
from covector.numpy.indexing import read_index
from covector.numpy.join import concatenate
from covector.numpy.operands import converted, mask_of, refuse_out
from covector.numpy.promotion import axes_of, axis_of, cast, lift, spread
from covector.numpy.selection import where as choose
from covector.numpy.shape import cut, moveaxis, reshape

__all__ = ["accumulate", "at", "outer", "reduce", "reduceat"]


class _Known(NamedTuple):
    """What a ufunc's methods are under other names."""

    reduction: Callable[..., Any] | None = None
    running: Callable[..., Any] | None = None
    update: str | None = None


def _largest(x: Any, axis: int, dtype: Any) -> Any:
    return prims.CumMax(axis)(x if dtype is None else cast(x, dtype))


def _smallest(x: Any, axis: int, dtype: Any) -> Any:
    return prims.CumMin(axis)(x if dtype is None else cast(x, dtype))


def _without_dtype(f: Callable[..., Any]) -> Callable[..., Any]:
    def reduction(a: Any, axis: Any, dtype: Any, *rest: Any) -> Any:
        return f(a if dtype is None else converted(lift("reduce", a), dtype), axis, *rest)

    return reduction


_KNOWN: dict[str, _Known] = {
    "add": _Known(reductions.sum, ordering.cumsum, "add"),
    "multiply": _Known(reductions.prod, ordering.cumprod, "multiply"),
    "maximum": _Known(_without_dtype(reductions.max), _largest, "max"),
    "minimum": _Known(_without_dtype(reductions.min), _smallest, "min"),
    "subtract": _Known(update="subtract"),
}
_NONE = _Known()


def _check_binary(f: Any, method: str) -> None:
    if f.nin != 2 or f.nout != 1:
        raise ValueError(
            f"{f.__name__}.{method}{errors.at_user_line()}: only ufuncs of two operands with one result have it, this "
            f"one has {f.nin} and {f.nout}"
        )


def _rows(name: str, a: Any, axes: tuple[int, ...], dtype: Any) -> Any:
    """The array with these axes as one, in front."""
    a = lift(name, a)
    a = a if dtype is None else converted(a, dtypes.as_dtype(dtype))
    rest = [i for i in range(a.ndim) if i not in axes]
    return reshape(prims.Transpose((*axes, *rest))(a), (-1, *[a.shape[i] for i in rest]))


def by_own(own: Callable[..., Any], name: str, bound: inspect.BoundArguments) -> Any:
    """What a function that somebody gave for a method makes of its arguments: arrays by position, others by keyword."""
    bound.apply_defaults()
    options = dict(bound.arguments)
    name_of = options.pop("self").__name__
    refuse_out(f"{name_of}.{name}", options.pop("out", None))
    if name == "at":
        _check_not_in_place(name_of, options.pop("inplace"))
    arrays = [options.pop(k) for k in ("a", "indices", "b") if options.get(k) is not None]
    return own(*arrays, **options)


def reduce(
    self: Any,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The ufunc's results of all elements along an axis (several, or all with None), from the first to the last.

    `initial` stands in front; `where` says which elements count, and needs it, or a ufunc with an identity.
    ValueError unless the ufunc has two operands, or if there are no elements and nothing in front.
    """
    _check_binary(self, "reduce")
    name = f"{self.__name__}.reduce"
    refuse_out(name, out)
    known = _KNOWN.get(self.__name__, _NONE)
    if known.reduction is not None:
        wanted = None if dtype is None else dtypes.as_dtype(dtype)
        return known.reduction(a, axis, wanted, None, keepdims, initial, where)
    a, mask = lift(name, a), mask_of(name, where)
    axes = axes_of(axis, a.ndim)
    rows = _rows(name, a, axes, dtype)
    if initial is None and (mask is not None or rows.shape[0] == 0):
        initial = self.identity
        if initial is None:
            raise ValueError(
                f"{name} with where, or of no elements, needs an initial value{errors.at_user_line()}"
            )
    if initial is None:
        first, rows = prims.squeeze(cut(rows, 0, 0, 1), (0,)), cut(rows, 0, 1, rows.shape[0])
        first = _closed(self, first)
    else:
        wanted = _closed(self, prims.full((), 1, rows.dtype)).dtype
        first = spread(asarray(initial, wanted), rows.shape[1:])
    if mask is None:
        result = fold(self, first, rows) if rows.shape[0] else first
    else:
        masks = _rows(name, spread(mask, a.shape), axes, None)
        result = fold(lambda c, x, m: choose(m, self(c, x), c), first, rows, masks)
    if keepdims:
        result = prims.expand_dims(result, axes)
    return result


def _closed(f: Any, x: Any) -> Any:
    """A value in the dtype that the ufunc gives for two of them: its results go on as operands."""
    one = x if not x.shape else prims.full((), 1, x.dtype)
    found = f(one, one).dtype
    if found == dtypes.bool_ != x.dtype and not f.__name__.startswith("logical"):
        raise TypeError(
            f"{f.__name__} gives bool{errors.at_user_line()}, which is no operand beside {x.dtype.name}: convert the "
            "array to bool first"
        )
    return cast(x, found)


def accumulate(self: Any, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
    """The ufunc's results of all elements up to each along an axis; the shape stays.

    ValueError unless the ufunc has two operands.
    """
    _check_binary(self, "accumulate")
    name = f"{self.__name__}.accumulate"
    refuse_out(name, out)
    a = lift(name, a)
    axis = axis_of(axis, a.ndim)
    running = _KNOWN.get(self.__name__, _NONE).running
    if running is not None:
        return running(a, axis, None if dtype is None else dtypes.as_dtype(dtype))
    rows = _rows(name, a, (axis,), dtype)
    if rows.shape[0] == 0:
        return a
    first = _closed(self, prims.squeeze(cut(rows, 0, 0, 1), (0,)))
    start = prims.expand_dims(first, (0,))
    if rows.shape[0] > 1:
        start = concatenate([start, folds(self, first, cut(rows, 0, 1, rows.shape[0]))])
    return moveaxis(start, 0, axis)


def outer(self: Any, A: Any, B: Any, /) -> Any:
    """The ufunc of each element of one array with each of another: shape (*A.shape, *B.shape)."""
    if self.nin != 2:
        raise ValueError(
            f"{self.__name__}.outer{errors.at_user_line()}: only ufuncs of two operands have it"
        )
    a, b = lift("outer", A), lift("outer", B)
    return self(prims.expand_dims(a, range(a.ndim, a.ndim + b.ndim)), b)


def _check_not_in_place(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"{name}.at cannot change an array{errors.at_user_line()}: arrays are immutable. Pass "
            "inplace=False, and it returns the changed array"
        )


def at(self: Any, a: Any, indices: Any, b: Any = None, *, inplace: bool = True) -> Any:
    """The array with the elements at an index replaced by the ufunc's result of them (and of b), one after another.

    An element that is named twice is replaced twice.  Integers become floats where the ufunc gives floats.
    ValueError unless `inplace=False`: arrays cannot be changed.
    """
    _check_not_in_place(self.__name__, inplace)
    a = lift("at", a)
    if self.nin == 1:
        return a.at[indices].apply(self)
    _check_binary(self, "at")
    update = _KNOWN.get(self.__name__, _NONE).update
    if update is not None:
        return getattr(a.at[indices], update)(b)
    numbers = reshape(iota((a.size,), dtypes.index_dtype(a.size), 0), a.shape)
    places = read_index(numbers, indices, "fill", -1)
    values = spread(lift("at", b), places.shape)
    given = self(_one_of(a), _one_of(values)).dtype
    if dtypes.is_inexact(given) and not dtypes.is_inexact(a.dtype):
        a = cast(a, given)

    def step(flat: Any, place: Any, value: Any) -> Any:
        old = read_index(flat, place, "clip")
        target = choose(prims.lt(place, place.dtype.type(0)), flat.shape[0], place)
        return flat.at[target].set(cast(self(old, value), flat.dtype), mode="drop")

    flat = fold(step, reshape(a, (-1,)), reshape(places, (-1,)), reshape(values, (-1,)))
    return reshape(flat, a.shape)


def _one_of(x: Any) -> Any:
    """A number that is promoted as an array's elements are."""
    one = prims.full((), 1, x.dtype)
    return one.item() if x.weak_type else one


def reduceat(
    self: Any, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None
) -> Any:
    """The ufunc's reductions of pieces along an axis: from each index to the next, or the one element if that is no
    piece.

    ValueError unless the ufunc has two operands and the indices are a vector.
    """
    _check_binary(self, "reduceat")
    name = f"{self.__name__}.reduceat"
    refuse_out(name, out)
    a, starts = lift(name, a), lift(name, indices)
    axis = axis_of(axis, a.ndim)
    if starts.ndim != 1 or not dtypes.is_integer(starts.dtype):
        raise ValueError(
            f"{name}: the indices are {starts.dtype.name} of shape {starts.shape}{errors.at_user_line()}, they must "
            "be a vector of integers"
        )
    rows = _rows(name, a, (axis,), dtype)
    count, n = starts.shape[0], rows.shape[0]
    shape = (count, *rows.shape[1:])
    starts = cast(starts, dtypes.int32)
    following = concatenate([cut(starts, 0, 1, count), prims.full((1,), n, dtypes.int32)])

    def column(x: Any) -> Any:
        return reshape(x, (count,) + (1,) * (len(shape) - 1))

    def step(carry: Any, row: Any, i: Any) -> Any:
        row = spread(row, shape)
        begins = column(prims.eq(starts, i))
        inside = column(prims.and_(prims.lt(starts, i), prims.gt(following, i)))
        return choose(begins, row, choose(inside, self(carry, row), carry))

    first = prims.full(shape, 0, _closed(self, rows).dtype)
    return moveaxis(fold(step, first, rows, iota((n,), dtypes.int32, 0)), 0, axis)
