"""Reductions: sums, extremes, logic and positions along axes; whether arrays are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import asarray
from covector.numpy.fused import compiled
from covector.numpy.operands import converted, mask_of, refuse_out
from covector.numpy.promotion import (
    Shape,
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    constant,
    lift,
    spread,
    within,
)
from covector.numpy.selection import where as choose
from covector.numpy.shape import reshape

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "array_equal",
    "array_equiv",
    "count_nonzero",
    "max",
    "min",
    "prod",
    "ptp",
    "sum",
]

Axis = int | Sequence[int] | None


class Reducer(NamedTuple):
    """What the reductions by one operation differ in."""

    name: str
    primitive: Callable[[tuple[int, ...]], Any]
    combine: Callable[..., Any]  # with the initial value
    identity: Callable[[np.dtype], Any] | None  # None: an empty reduction is an error
    extends: bool = False  # small integers and bool are computed in 32 bits
    truth: Callable[..., Any] | None = None  # what it is with dtype=bool


_SUM = Reducer("sum", prims.Sum, el.add, lambda _: 0, True, lambda *a, **k: any(*a, **k))
_PROD = Reducer("prod", prims.Prod, el.multiply, lambda _: 1, True, lambda *a, **k: all(*a, **k))
_MAX = Reducer("max", prims.Max, el.maximum, None)
_MIN = Reducer("min", prims.Min, el.minimum, None)
_NEUTRAL: dict[str, Callable[[np.dtype], Any]] = {"max": dtypes.lowest, "min": dtypes.highest}


def extended(dtype: np.dtype) -> np.dtype:
    """The dtype that sums of a dtype are computed in: of integers and bool as wide as that of numbers, or wider."""
    kind, least = dtypes.kind(dtype), dtypes.of_number(int)
    if kind == "b" or (kind == "i" and dtype.itemsize < least.itemsize):
        return least
    return dtypes.unsigned_of(least) if kind == "u" and dtype.itemsize < least.itemsize else dtype


def _reduce(
    fold: Reducer,
    a: Any,
    axis: Axis,
    dtype: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    extend: bool = True,
) -> Any:
    """The reduction in NumPy's terms."""
    a = lift(fold.name, a)
    axes = axes_of(axis, a.ndim)
    where = mask_of(fold.name, where)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if initial is not None and np.ndim(initial) != 0:
        raise ValueError(
            f"{fold.name}: the initial value must be a number, got one of shape {np.shape(initial)}"
            f"{errors.at_user_line()}"
        )
    if wanted == dtypes.bool_ and fold.truth is not None:
        out = fold.truth(a, axes, keepdims=keepdims, where=where)
        return (
            out
            if initial is None
            else fold.combine(out, cast(lift(fold.name, initial), dtypes.bool_))
        )
    if wanted is not None:
        a = cast(a, wanted)
    elif fold.extends and a.dtype == dtypes.bool_:
        a = cast(a, dtypes.position_dtype(dims.product([a.shape[i] for i in axes])))
    elif fold.extends and extend:
        a = cast(a, extended(a.dtype), a.weak_type)
    if where is not None:
        if fold.identity is None and initial is None:
            raise ValueError(
                f"{fold.name} with where needs an initial value{errors.at_user_line()}"
            )
        a = _masked(fold, a, where)
    elif fold.identity is None and initial is None:
        _check_not_empty(fold.name, a.shape, axes)
    out = _folded(fold, a, axes)
    if initial is not None:
        out = fold.combine(out, cast(within(initial, out.dtype), out.dtype))
    out = strong(out)
    return kept(out, a.shape, axes) if keepdims else out


def _folded(fold: Reducer, a: Any, axes: tuple[int, ...]) -> Any:
    """The reduction by its primitive; an extreme of complex numbers by real parts, then by imaginary ones."""
    if not axes:
        return a
    primitive = fold.primitive(axes)
    if fold.name not in _NEUTRAL or not dtypes.is_complex(a.dtype):
        return primitive(a)
    return extreme_of_complex(primitive, a, axes, _NEUTRAL[fold.name](dtypes.real_of(a.dtype)))


def extreme_of_complex(
    primitive: Callable[[Any], Any], a: Any, axes: tuple[int, ...], neutral: Any
) -> Any:
    """Along axes by the real parts, then by the imaginary ones; `neutral` is that of no elements."""
    real, imag = prims.real(a), prims.imag(a)
    first = primitive(real)
    beside = prims.eq(real, spread(kept(first, a.shape, axes), a.shape))
    second = primitive(prims.select(beside, imag, imag.dtype.type(neutral)))
    undefined = prims.Any_(axes)(prims.ne(a, a))
    nan = a.dtype.type(complex(np.nan, np.nan))
    return prims.select(undefined, nan, prims.complex_(first, second))


def strong(x: Any) -> Any:
    """The array without weakness: reductions of Python's numbers are arrays like others."""
    return prims.Convert(x.dtype)(x) if typeof(x).weak_type else x


def _masked(fold: Reducer, a: Any, where: Any) -> Any:
    neutral = (fold.identity or _NEUTRAL[fold.name])(a.dtype)
    if broadcast_shapes(a.shape, where.shape) != a.shape:
        raise ValueError(_unfit_mask(fold.name, where, a))
    return choose(where, a, a.dtype.type(neutral))


def _unfit_mask(name: str, where: Any, a: Any) -> str:
    return f"{name}: where of shape {where.shape} does not broadcast to {a.shape}{errors.at_user_line()}"


def _check_not_empty(name: str, shape: Shape, axes: tuple[int, ...]) -> None:
    for i in axes:
        if shape[i] == 0:
            raise ValueError(
                f"{name} of an array of shape {shape} along axis {i}, which has no elements{errors.at_user_line()}; "
                "give an initial value"
            )


def kept(out: Any, shape: Shape, axes: tuple[int, ...]) -> Any:
    """A reduction's result with the axes that went as axes of length 1."""
    return (
        prims.Reshape(tuple([1 if i in axes else n for i, n in enumerate(shape)]))(out)
        if axes
        else out
    )


# ------------------------------------------------------------------------------------ sums and extremes


@compiled("a", "where")
def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The sum along axes (all by default).  Integers below 32 bits, and bool, are added up as 32-bit ones.

    `keepdims` leaves axes of length 1; `where` says which elements count; `initial` is added.
    ValueError if an axis is out of bounds.

    >>> from covector import numpy as cnp
    >>> cnp.sum(cnp.ones((2, 3)), axis=0)
    Array([2., 2., 2.], dtype=float32)
    """
    refuse_out("sum", out)
    return _reduce(_SUM, a, axis, dtype, keepdims, initial, where, promote_integers)


@compiled("a", "where")
def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The product along axes (all by default), as `sum`.

    >>> from covector import numpy as cnp
    >>> cnp.prod(cnp.array([[1, 2], [3, 4]]), axis=0)
    Array([3, 8], dtype=int32)
    """
    refuse_out("prod", out)
    return _reduce(_PROD, a, axis, dtype, keepdims, initial, where, promote_integers)


@compiled("a", "where")
def max(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element along axes (all by default); NaN if one is NaN.

    Complex numbers are ordered by their real parts, then by the imaginary ones.

    ValueError if there are no elements and no `initial`.  Of equally large elements each gets its share of the
    gradient.

    >>> from covector import numpy as cnp
    >>> cnp.max(cnp.array([[1, 5], [7, 2]]), axis=0)
    Array([7, 5], dtype=int32)
    """
    refuse_out("max", out)
    return _reduce(_MAX, a, axis, None, keepdims, initial, where)


@compiled("a", "where")
def min(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element along axes (all by default), as `max`.

    >>> from covector import numpy as cnp
    >>> cnp.min(cnp.array([[1, 5], [7, 2]]), axis=0)
    Array([1, 2], dtype=int32)
    """
    refuse_out("min", out)
    return _reduce(_MIN, a, axis, None, keepdims, initial, where)


amax, amin = max, min


def _logical(name: str, primitive: Any, a: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    """`all` or `any`."""
    a = cast(lift(name, a), dtypes.bool_)
    if where is not None:
        neutral = name == "all"
        if broadcast_shapes(a.shape, (where := mask_of(name, where)).shape) != a.shape:
            raise ValueError(_unfit_mask(name, where, a))
        a = choose(where, a, neutral)
    axes = axes_of(axis, a.ndim)
    result = strong(primitive(axes)(a) if axes else a)
    return kept(result, a.shape, axes) if keepdims else result


@compiled("a", "where")
def all(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether all elements along axes are not zero.

    As a bool; `axis` and `where` as of `sum`.  True of no elements.

    >>> from covector import numpy as cnp
    >>> cnp.all(cnp.array([[1, 0], [2, 3]]), axis=1)
    Array([False,  True], dtype=bool)
    """
    refuse_out("all", out)
    return _logical("all", prims.All, a, axis, keepdims, where)


@compiled("a", "where")
def any(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether one element along axes is not zero.

    As a bool; `axis` and `where` as of `sum`.  False of no elements.

    >>> from covector import numpy as cnp
    >>> cnp.any(cnp.array([[0, 0], [2, 0]]), axis=1)
    Array([False,  True], dtype=bool)
    """
    refuse_out("any", out)
    return _logical("any", prims.Any_, a, axis, keepdims, where)


@compiled("a")
def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many elements along axes are not zero, as int32.

    >>> from covector import numpy as cnp
    >>> cnp.count_nonzero(cnp.array([[0, 1], [2, 3]]), axis=1)
    Array([1, 2], dtype=int32)
    """
    return sum(cast(lift("count_nonzero", a), dtypes.bool_), axis, keepdims=keepdims)


@compiled("a")
def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest less the smallest element along axes.

    The dtype stays.  ValueError if there are no elements.

    >>> from covector import numpy as cnp
    >>> cnp.ptp(cnp.array([3, 9, 4]))
    Array(6, dtype=int32)
    """
    refuse_out("ptp", out)
    return el.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


# ------------------------------------------------------------------------------------------ positions


def _arg(name: str, primitive: Any, a: Any, axis: int | None, keepdims: bool | None) -> Any:
    a = lift(name, a)
    shape = a.shape
    if axis is None:
        axes = tuple(range(len(shape)))
        a, axis = reshape(a, (dims.product(shape),)), 0
    else:
        axis = axis_of(axis, len(shape))
        axes = (axis,)
    if a.shape[axis] == 0:
        raise ValueError(
            f"{name} of an array of shape {shape} finds no elements{errors.at_user_line()}"
        )
    out = primitive(axis, dtypes.position_dtype(a.shape[axis]))(a)
    return kept(out, shape, axes) if keepdims else out


@compiled("a")
def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the largest element along an axis (or into the flattened array), as int32.

    The first of equals; the first NaN, if there is one.  ValueError if there are no elements.

    >>> from covector import numpy as cnp
    >>> cnp.argmax(cnp.array([[1, 5], [7, 2]]), axis=1)
    Array([1, 0], dtype=int32)
    """
    refuse_out("argmax", out)
    return _arg("argmax", prims.Argmax, a, axis, keepdims)


@compiled("a")
def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the smallest element along an axis (or into the flattened array), as int32.

    The first of equals; the first NaN, if there is one.  ValueError if there are no elements.

    >>> from covector import numpy as cnp
    >>> cnp.argmin(cnp.array([[1, 5], [7, 2]]), axis=1)
    Array([0, 1], dtype=int32)
    """
    refuse_out("argmin", out)
    return _arg("argmin", prims.Argmin, a, axis, keepdims)


def _listed(name: str, x: Any) -> Any:
    """An operand, which may be a list or a tuple."""
    if isinstance(x, list | tuple):
        return asarray(x)
    return lift(name, x)


@compiled("a1", "a2")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have one shape and equal elements, as a bool array of shape ().

    NaNs are equal only with `equal_nan`.  Lists and tuples count as arrays.

    >>> from covector import numpy as cnp
    >>> cnp.array_equal(cnp.array([1, 2]), cnp.array([1.0, 2.0]))
    Array(True, dtype=bool)
    """
    x, y = _listed("array_equal", a1), _listed("array_equal", a2)
    if x.shape != y.shape:
        return constant(False, dtypes.bool_)
    same = el.equal(x, y)
    if equal_nan:
        same = el.logical_or(same, el.logical_and(el.isnan(x), el.isnan(y)))
    return converted(prims.All(tuple(range(same.ndim)))(same), dtypes.bool_)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays broadcast together and then have equal elements, as a bool array of shape ().

    Lists and tuples count as arrays.

    >>> from covector import numpy as cnp
    >>> cnp.array_equiv(cnp.array([1, 1]), 1)
    Array(True, dtype=bool)
    """
    x, y = _listed("array_equiv", a1), _listed("array_equiv", a2)
    try:
        shape = broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return constant(False, dtypes.bool_)
    same = el.equal(spread(x, shape), spread(y, shape))
    return converted(prims.All(tuple(range(same.ndim)))(same), dtypes.bool_)
