"""Attention: the weighted means of values that queries ask for, with what they may look at."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.nn.functions import logsumexp, softmax
from covector.numpy import elementwise as el
from covector.numpy.creation import iota
from covector.numpy.einsum import einsum
from covector.numpy.operands import together
from covector.numpy.promotion import Shape, cast, lift
from covector.numpy.selection import where as choose
from covector.numpy.shape import moveaxis, reshape

__all__ = ["dot_product_attention"]

_NAME = "dot_product_attention"


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """softmax(scale * query keyᵀ + bias) value, for each head.

    Shapes: query (..., T, N, H), key and value (..., S, K, H), where K divides N: then heads share keys.  bias and
    mask broadcast to (..., N, T, S).  `scale` is 1/sqrt(H) if not given.  The softmax is computed in float32 for
    16-bit floats.

    A query does not look where the mask does not hold; with `is_causal` after its own place; with
    `local_window_size` more than so many places before or after it (one number, or two); with
    `key_value_seq_lengths`, of shape (...), at places from that one on.  Queries at places from that of
    `query_seq_lengths` on have zeros for results.  With `return_residual` the logarithms of the sums of exponentials
    are returned too, of shape (..., T, N).  `implementation` is None or "xla": there is one.

    ValueError for shapes that do not fit, TypeError for lengths and sizes that are no integers.

    >>> from covector import nn, numpy as cnp
    >>> q, kv = cnp.ones((5, 2, 4)), cnp.ones((7, 2, 4))
    >>> nn.dot_product_attention(q, kv, kv).shape
    (5, 2, 4)
    """
    if implementation not in (None, "xla"):
        raise ValueError(
            f"{_NAME}: implementation={implementation!r}{errors.at_user_line()}; it is None or 'xla'"
        )
    query, key, value = together(_NAME, "inexact", query, key, value)
    *lead, rows, heads, width = query.shape
    groups, columns = operator.index(key.shape[-2]), key.shape[-3]
    if (
        key.shape != value.shape
        or heads % groups
        or key.shape[-1] != width
        or query.ndim != key.ndim
    ):
        raise ValueError(
            f"{_NAME} got shapes {query.shape}, {key.shape} and {value.shape}{errors.at_user_line()}; "
            "it takes (..., T, N, H) and twice (..., S, K, H), where K divides N"
        )
    factor = float(1 / np.sqrt(width) if scale is None else scale)
    wide = dtypes.float32 if query.dtype.itemsize == 2 else query.dtype
    grouped = reshape(query, (*lead, rows, groups, heads // groups, width))
    logits = einsum("...tkgh,...skh->...kgts", grouped, key, preferred_element_type=wide)
    logits = el.multiply(reshape(logits, (*lead, heads, rows, columns)), factor)
    if bias is not None:
        logits = el.add(logits, cast(lift(_NAME, bias), wide))
    places = [iota((rows, columns), dtypes.int32, axis) for axis in (0, 1)]
    masks = [mask, *_windows(places, is_causal, local_window_size)]
    if key_value_seq_lengths is not None:
        masks.append(el.less(places[1], _lengths("key_value", key_value_seq_lengths, lead)))
    if query_seq_lengths is not None:
        masks.append(el.less(places[0], _lengths("query", query_seq_lengths, lead)))
    for m in masks:
        if m is not None:
            least = wide.type(-0.7 * float(dtypes.finfo(dtypes.float32).max))
            logits = choose(m, logits, least)
    weights = cast(softmax(logits), query.dtype)
    weights = reshape(weights, (*lead, groups, heads // groups, rows, columns))
    out = einsum("...kgts,...skh->...tkgh", weights, value)
    out = reshape(out, (*lead, rows, heads, width))
    if query_seq_lengths is not None:
        limit = _lengths("query", query_seq_lengths, lead)
        out = choose(el.less(iota((rows, 1, 1), dtypes.int32, 0), limit), out, out.dtype.type(0))
    if not return_residual:
        return out
    return out, cast(moveaxis(logsumexp(logits, axis=-1), -1, -2), query.dtype)


def _windows(places: Sequence[Any], is_causal: bool, size: Any) -> list[Any]:
    """Where queries look, by the distance of the places alone."""
    row, column = places
    found = [el.greater_equal(row, column)] if is_causal else []
    if size is None:
        return found
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2 or not all(hasattr(n, "__index__") for n in sides):
        raise TypeError(
            f"{_NAME}: local_window_size is {size!r}{errors.at_user_line()}; it is an integer, or two"
        )
    left, right = map(operator.index, sides)
    after = el.subtract(column, row)
    return [*found, el.logical_and(el.greater_equal(after, -left), el.less_equal(after, right))]


def _lengths(which: str, lengths: Any, lead: Shape | list[Any]) -> Any:
    """The lengths with axes of heads, queries and keys behind those that they have."""
    lengths = lift(_NAME, np.asarray(lengths) if isinstance(lengths, list) else lengths)
    wanted = tuple(lead)
    if lengths.shape != wanted and not (lengths.shape == (1,) and not wanted):
        raise ValueError(
            f"{_NAME}: {which}_seq_lengths has shape {lengths.shape}{errors.at_user_line()}, but needs {wanted}"
        )
    if not dtypes.is_integer(lengths.dtype):
        raise ValueError(
            f"{_NAME}: {which}_seq_lengths has the dtype {lengths.dtype}{errors.at_user_line()}; lengths are integers"
        )
    shaped = reshape(lengths, wanted)
    return prims.expand_dims(shaped, tuple(range(len(wanted), len(wanted) + 3)))
