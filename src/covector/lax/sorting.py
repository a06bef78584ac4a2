"""Sorting, and the largest elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.numpy.promotion import axis_of, integer_of
from covector.numpy.sorting import smallest

__all__ = ["approx_max_k", "approx_min_k", "sort", "sort_key_val", "top_k"]


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """An array sorted along an axis, NaN last; or several, all in the order of the first `num_keys` of them.

    Rows are sorted by the first key, equal ones by the next, and stay in their order if all keys are equal. Complex
    numbers are sorted by their real parts, equal ones by the imaginary parts.  TypeError unless the arrays have one
    shape, ValueError for more keys than there are arrays.

    >>> from covector import lax, numpy as cnp
    >>> [x.tolist() for x in lax.sort((cnp.array([2, 1, 2]), cnp.array([1, 2, 0])), num_keys=2)]
    [[1, 2, 2], [2, 0, 1]]
    """
    errors.check_flags("sort", is_stable=is_stable)
    single = not isinstance(operand, Sequence)
    xs = [array("sort", x) for x in ([operand] if single else operand)]
    if not xs:
        raise TypeError(f"sort needs at least one array{errors.at_user_line()}")
    if not 1 <= num_keys <= len(xs):
        raise ValueError(f"sort of {len(xs)} arrays by {num_keys} keys{errors.at_user_line()}")
    if any(x.shape != xs[0].shape for x in xs):
        raise errors.ShapeError(errors.shape_mismatch("sort", [typeof(x).text() for x in xs]))
    axis, last = axis_of(dimension, xs[0].ndim, "dimension"), xs[0].ndim - 1
    done = prims.sorted_last([prims.move_axis(x, axis, last) for x in xs], num_keys)
    results = [prims.move_axis(x, last, axis) for x in done]
    return results[0] if single else tuple(results)


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> Any:
    """(the keys sorted along an axis, the values in the keys' order); TypeError unless they have one shape.

    >>> from covector import lax, numpy as cnp
    >>> lax.sort_key_val(cnp.array([3, 1, 2]), cnp.array([10, 20, 30]))
    (Array([1, 2, 3], dtype=int32), Array([20, 30, 10], dtype=int32))
    """
    return sort((keys, values), dimension, is_stable)


def top_k(operand: Any, k: int, *, axis: int = -1, is_stable: bool = True) -> Any:
    """[the k largest elements along an axis, the largest first, and their indices as int32]; NaN is the largest.

    Of equal elements the first ones.  All NaNs are equal, as in `sort`, whatever their signs.  ValueError if there are
    fewer than k, or for complex numbers.

    >>> from covector import lax, numpy as cnp
    >>> lax.top_k(cnp.array([3, 1, 2]), 2)
    [Array([3, 2], dtype=int32), Array([0, 2], dtype=int32)]
    """
    errors.check_flags("top_k", is_stable=is_stable)
    return _chosen("top_k", array("top_k", operand), k, axis, _largest)


def _chosen(name: str, x: Any, k: Any, axis: int, choose: Callable[[Any, int], Any]) -> list[Any]:
    k, last = integer_of(k, "k"), x.ndim - 1
    if k < 0:
        raise ValueError(f"{name}: k must not be negative, got {k}{errors.at_user_line()}")
    axis = axis_of(axis, x.ndim)
    parts = choose(prims.move_axis(x, axis, last), k)
    return [prims.move_axis(part, last, axis) for part in parts]


def _largest(x: Any, k: int) -> Any:
    return prims.TopK(k)(x)


def _floating(name: str, x: Any, recall_target: float) -> Any:
    """The operand of an approximate search; ValueError unless it is real and floating."""
    x = array(name, x)
    if dtypes.kind(x.dtype) != "f":
        raise ValueError(f"{name} takes floats, got {typeof(x).text()}{errors.at_user_line()}")
    if not 0 < recall_target <= 1:
        raise ValueError(
            f"{name}: recall_target is above 0 and at most 1, got {recall_target}{errors.at_user_line()}"
        )
    return x


def _candidates(x: Any, k: Any, axis: int, recall: float, whole: int) -> int:
    """How many elements an approximate search leaves: some of each of the parts that the axis is folded into.

    Each part gives one of its elements.  With m parts the recall of k elements is about (1 - 1 / m)^(k - 1) (F. Chern
    et al., "TPU-KNN: k nearest neighbor search at peak FLOP/s", 2022); parts come in tiles of 128, or 1024 of a vector.
    """
    k, n = integer_of(k, "k"), x.shape[axis_of(axis, x.ndim)]
    tile = 1024 if x.ndim == 1 else 128
    if n <= tile:
        return n
    if k == 1:
        return tile
    if recall == 1:
        return n
    parts = min(max(int((1 - k) / math.log(recall)), tile), n)
    folds = ((n if whole < 0 else whole) // parts).bit_length() - 1
    if folds < 1:
        return n
    folds = min(folds, (n // tile - 1).bit_length())
    return min(-(-n // (tile * 2**folds)) * tile, n)


def _approximate(
    name: str, operand: Any, k: Any, axis: int, recall: float, whole: int | None, best: Any
) -> Any:
    """The best k; all candidates instead, for an axis that is part of one of `whole` elements, unless that is None."""
    x = _floating(name, operand, recall)
    return _chosen(
        name, x, k if whole is None else _candidates(x, k, axis, recall, whole), axis, best
    )


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> Any:
    """[the k largest floats along an axis, the largest first, and their indices]: exactly, whatever the recall asked.

    `recall_target` and what follows say how much may be missed for speed; here nothing is.  Without `aggregate_to_topk`
    there are more of them, as many as JAX's search leaves candidates.  ValueError if there are fewer than k, and for an
    operand that is not real and floating.

    >>> from covector import lax, numpy as cnp
    >>> lax.approx_max_k(cnp.array([3., 1., 2.]), 2)
    [Array([3., 2.], dtype=float32), Array([0, 2], dtype=int32)]
    """
    whole = None if aggregate_to_topk else reduction_input_size_override
    return _approximate(
        "approx_max_k", operand, k, reduction_dimension, recall_target, whole, _largest
    )


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> Any:
    """[the k smallest floats along an axis, the smallest first, and their indices]: as `approx_max_k`.

    >>> from covector import lax, numpy as cnp
    >>> lax.approx_min_k(cnp.array([3., 1., 2.]), 2)
    [Array([1., 2.], dtype=float32), Array([1, 2], dtype=int32)]
    """
    whole = None if aggregate_to_topk else reduction_input_size_override
    return _approximate(
        "approx_min_k", operand, k, reduction_dimension, recall_target, whole, smallest
    )
