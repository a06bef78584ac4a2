"""Reductions, running folds, and sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.examples import EXAMPLES
from covector.lax.operands import array
from covector.numpy.promotion import axes_of, axis_of, integer_of

__all__ = [
    "argmax",
    "argmin",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "reduce_xor",
    "sort",
    "sort_key_val",
    "top_k",
]

# ----------------------------------------------------------------------------------------- reductions


def _reduction(name: str, primitive: Callable[[tuple[int, ...]], Any], doc: str) -> Any:
    def f(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
        x = array(name, operand)
        along = tuple(sorted(axes_of(tuple(axes), x.ndim, "axes")))
        return primitive(along)(x) if along else x

    f.__name__ = f.__qualname__ = name
    f.__doc__, f.__module__ = f"{doc}{_REDUCED}{EXAMPLES[name]}", "covector.lax"
    return f


_REDUCED = (
    "\n\nThe axes go; the dtype stays.  ValueError for an axis that is not there, or there twice."
)

reduce_sum = _reduction("reduce_sum", prims.Sum, "The sum along axes.")
reduce_prod = _reduction("reduce_prod", prims.Prod, "The product along axes.")
reduce_max = _reduction(
    "reduce_max",
    prims.Max,
    "The largest along axes; minus infinity, or the least integer, of no elements.",
)
reduce_min = _reduction(
    "reduce_min",
    prims.Min,
    "The smallest along axes; infinity, or the largest integer, of no elements.",
)
reduce_or = _reduction(
    "reduce_or", prims.Any_, "Whether one is true along axes; of integers bit by bit."
)
reduce_and = _reduction(
    "reduce_and", prims.All, "Whether all are true along axes; of integers bit by bit."
)
reduce_xor = _reduction(
    "reduce_xor", prims.Xor, "Whether an odd number is true along axes; of integers bit by bit."
)


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the largest element along an axis: the first of equals; the first NaN, if there is one.

    In `index_dtype`; the axis goes.  ValueError for an axis of length 0.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.argmax(x, 1, cnp.int32)
    Array([1, 1], dtype=int32)
    """
    x = array("argmax", operand)
    return prims.Argmax(axis_of(axis, x.ndim), dtypes.as_dtype(index_dtype))(x)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the smallest element along an axis: the first of equals; the first NaN, if there is one.

    In `index_dtype`; the axis goes.  ValueError for an axis of length 0.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.array([[1, 2], [3, 4]])
    >>> lax.argmin(x, 1, cnp.int32)
    Array([0, 0], dtype=int32)
    """
    x = array("argmin", operand)
    return prims.Argmin(axis_of(axis, x.ndim), dtypes.as_dtype(index_dtype))(x)


# -------------------------------------------------------------------------------------- running folds


def _cumulative(name: str, primitive: Callable[[int, bool], Any], doc: str) -> Any:
    def f(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = array(name, operand)
        return primitive(axis_of(axis, x.ndim), bool(reverse))(x)

    f.__name__ = f.__qualname__ = name
    text = f"{doc} along an axis; from the end with `reverse`.\n\nShape and dtype stay."
    f.__doc__, f.__module__ = f"{text}{EXAMPLES[name]}", "covector.lax"
    return f


cumsum = _cumulative("cumsum", prims.CumSum, "The sums up to each element")
cumprod = _cumulative("cumprod", prims.CumProd, "The products up to each element")
cummax = _cumulative("cummax", prims.CumMax, "The largest up to each element")
cummin = _cumulative("cummin", prims.CumMin, "The smallest up to each element")
cumlogsumexp = _cumulative(
    "cumlogsumexp",
    prims.CumLogSumExp,
    "log of the sums of exp up to each element, without overflow,",
)

# -------------------------------------------------------------------------------------------- sorting


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """An array sorted along an axis, NaN last; or several, all in the order of the first `num_keys` of them.

    Rows are sorted by the first key, equal ones by the next, and stay in their order if all keys are equal.
    TypeError unless the arrays have one shape.

    >>> from covector import lax, numpy as cnp
    >>> [x.tolist() for x in lax.sort((cnp.array([2, 1, 2]), cnp.array([1, 2, 0])), num_keys=2)]
    [[1, 2, 2], [2, 0, 1]]
    """
    single = not isinstance(operand, Sequence)
    xs = [array("sort", x) for x in ([operand] if single else operand)]
    if not xs or not 1 <= num_keys <= len(xs):
        raise ValueError(f"sort of {len(xs)} arrays by {num_keys} keys{errors.at_user_line()}")
    if any(x.shape != xs[0].shape for x in xs):
        raise errors.ShapeError(errors.shape_mismatch("sort", [typeof(x).text() for x in xs]))
    axis, last = axis_of(dimension, xs[0].ndim, "dimension"), xs[0].ndim - 1
    done = _sorted_last([prims.move_axis(x, axis, last) for x in xs], num_keys)
    results = [prims.move_axis(x, last, axis) for x in done]
    return results[0] if single else tuple(results)


def _sorted_last(xs: list[Any], num_keys: int) -> Sequence[Any]:
    """The arrays sorted along the last axis by the first ones."""
    if num_keys == 1 and len(xs) == 2:
        return prims.SortPairs()(*xs)
    shape = xs[0].shape
    order = prims.Iota(shape, dtypes.index_dtype(shape[-1]), len(shape) - 1)()
    if num_keys == 1:
        first, order = prims.SortPairs()(xs[0], order)
        return [first, *[prims.take_along_last(x, order) for x in xs[1:]]]
    for n, key in enumerate(reversed(xs[:num_keys])):  # the last key first: sorting is stable
        _, order = prims.SortPairs()(key if n == 0 else prims.take_along_last(key, order), order)
    return [prims.take_along_last(x, order) for x in xs]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> Any:
    """(the keys sorted along an axis, the values in the keys' order); TypeError unless they have one shape.

    >>> from covector import lax, numpy as cnp
    >>> lax.sort_key_val(cnp.array([3, 1, 2]), cnp.array([10, 20, 30]))
    (Array([1, 2, 3], dtype=int32), Array([20, 30, 10], dtype=int32))
    """
    return sort((keys, values), dimension, is_stable)


def top_k(operand: Any, k: int, *, axis: int = -1) -> Any:
    """(the k largest elements along an axis, the largest first, and their indices as int32); NaN is the largest.

    Of equal elements the first ones.  ValueError if there are fewer than k.

    >>> from covector import lax, numpy as cnp
    >>> lax.top_k(cnp.array([3, 1, 2]), 2)
    (Array([3, 2], dtype=int32), Array([0, 2], dtype=int32))
    """
    x = array("top_k", operand)
    axis, k, last = axis_of(axis, x.ndim), integer_of(k, "k"), x.ndim - 1
    x = prims.move_axis(x, axis, last)
    n = x.shape[last]
    if not 0 <= k <= n:
        raise ValueError(f"top_k of {k} of {n} elements{errors.at_user_line()}")
    # Backwards before and after an ascending stable sort: the largest first, equal ones in order.
    backwards = prims.Reverse((last,))
    places = prims.Iota(x.shape, dtypes.index_dtype(n), last)()
    rising = prims.SortPairs()(backwards(x), backwards(places))
    starts, limits = (0,) * last + (n - k,), x.shape
    parts = [backwards(prims.Slice(starts, limits, (1,) * x.ndim)(r)) for r in rising]
    return tuple([prims.move_axis(p, last, axis) for p in parts])
