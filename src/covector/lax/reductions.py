"""Reductions and running folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.types import dtypes
from covector.lax.examples import EXAMPLES
from covector.lax.operands import array
from covector.lax.prefixes import associative_scan
from covector.numpy.comparison import larger, smaller
from covector.numpy.elementwise import logaddexp
from covector.numpy.operands import converted
from covector.numpy.promotion import axes_of, axis_of
from covector.numpy.reduce import extreme_of_complex

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
]

# ----------------------------------------------------------------------------------------- reductions


def _reduction(
    name: str,
    primitive: Callable[[tuple[int, ...]], Any],
    doc: str,
    neutral: Callable[[np.dtype], Any] | None = None,
) -> Any:
    """A reduction of `lax`; with `neutral` an extreme, which complex numbers have by their parts."""

    def f(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
        x = array(name, operand)
        along = tuple(sorted(axes_of(tuple(axes), x.ndim, "axes")))
        if not along:
            return x
        if neutral is not None and dtypes.is_complex(x.dtype):
            least = neutral(dtypes.real_of(x.dtype))
            found = extreme_of_complex(primitive(along), x, along, least)
            return converted(found, x.dtype, x.weak_type)
        return primitive(along)(x)

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
    dtypes.lowest,
)
reduce_min = _reduction(
    "reduce_min",
    prims.Min,
    "The smallest along axes; infinity, or the largest integer, of no elements.",
    dtypes.highest,
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


def _cumulative(
    name: str,
    primitive: Callable[[int, bool], Any],
    doc: str,
    of_complex: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """A running fold; of complex numbers by a function of two, if the primitive does not take them."""

    def f(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = array(name, operand)
        along = axis_of(axis, x.ndim)
        if of_complex is not None and dtypes.is_complex(x.dtype):
            out = associative_scan(of_complex, x, bool(reverse), along)
            return converted(out, x.dtype, x.weak_type)
        return primitive(along, bool(reverse))(x)

    f.__name__ = f.__qualname__ = name
    text = f"{doc} along an axis; from the end with `reverse`.\n\nShape and dtype stay."
    f.__doc__, f.__module__ = f"{text}{EXAMPLES[name]}", "covector.lax"
    return f


cumsum = _cumulative("cumsum", prims.CumSum, "The sums up to each element")
cumprod = _cumulative("cumprod", prims.CumProd, "The products up to each element")
cummax = _cumulative("cummax", prims.CumMax, "The largest up to each element", larger)
cummin = _cumulative("cummin", prims.CumMin, "The smallest up to each element", smaller)
cumlogsumexp = _cumulative(
    "cumlogsumexp",
    prims.CumLogSumExp,
    "log of the sums of exp up to each element, without overflow,",
    logaddexp,
)
