"""Random order and random choices: permutations, samples with and without replacement, categories."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import iota, zeros
from covector.numpy.fused import fused
from covector.numpy.operands import converted, together
from covector.numpy.ordering import searchsorted
from covector.numpy.promotion import Shape, axis_of, integer_of, lift, shape_of, type_key
from covector.numpy.ranges import arange
from covector.numpy.reduce import argmax
from covector.numpy.shape import expand_dims, moveaxis, reshape, transpose
from covector.numpy.take import take, take_along_axis
from covector.random.distributions import gumbel
from covector.random.keys import bits_of, key_of
from covector.random.samplers import randint, result_shape, split_in, uniform

__all__ = ["categorical", "choice", "permutation"]

# ----------------------------------------------------------------------------- order and choice


def _shuffled(key: Any, n: int, shape: Shape, axis: int) -> Any:
    """The indices along an axis of a shape, shuffled: sorted by random bits, often enough for no two to be equal."""
    rounds = math.ceil(3 * math.log(max(1, n)) / math.log(2**32 - 1))
    order = None
    for _ in range(rounds):
        key, now = split_in(key)
        keys = moveaxis(bits_of(now, shape, 32), axis, -1)
        by_keys = prims.SortOrder()(expand_dims(keys, -2))
        order = (
            by_keys
            if order is None
            else take_along_axis(order, by_keys, -1, mode="promise_in_bounds")
        )
    if order is None:
        return iota(shape, dtypes.index_dtype(shape[axis]), axis)
    return moveaxis(order, -1, axis)


_shuffle = fused("n", "shape", "axis")(_shuffled)


def permutation(
    key: Any, x: Any, axis: int = 0, independent: bool = False, *, out_sharding: Any = None
) -> Any:
    """The elements along an axis in random order; of an integer n, the numbers below it.

    With `independent`, every row has an order of its own.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.permutation(key, 5)
    Array([0, 1, 4, 3, 2], dtype=int32)
    """
    key = key_of("permutation", key)
    if not np.ndim(x):
        if not dtypes.is_integer(type_key(x)[0]):
            raise TypeError(
                f"permutation takes an integer or an array with axes, got {x!r}{errors.at_user_line()}"
            )
        n = integer_of(x, "the number to permute")
        axis_of(axis, 1)
        if n < 0:
            raise ValueError(f"permutation of {n} numbers{errors.at_user_line()}")
        return converted(_shuffle(key, n=n, shape=(n,), axis=0), dtypes.or_default(None, int))
    x = lift("permutation", x)
    axis = axis_of(axis, x.ndim)
    if not dims.is_constant(x.shape):
        raise NotImplementedError(
            f"permutation of {typeof(x).text()}{errors.at_user_line()}: its size must be known"
        )
    if independent and x.ndim > 1:
        order = _shuffle(key, n=operator.index(x.size), shape=x.shape, axis=axis)
        return take_along_axis(x, order, axis)
    n = x.shape[axis]
    if x.size == 0:
        return x
    return take(x, _shuffle(key, n=n, shape=(n,), axis=0), axis, mode="clip")


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Elements of `a` along an axis (or of the numbers below `a`), picked at random; `p` are their probabilities.

    Without `replace` each is picked once at most.  ValueError if there are not enough.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.choice(key, 10, (3,), replace=False)
    Array([0, 1, 8], dtype=int32)
    """
    if not isinstance(shape, Sequence):
        raise TypeError(f"choice: shape must be a sequence, got {shape!r}{errors.at_user_line()}")
    shape = shape_of(shape)
    a = lift("choice", a) if np.ndim(a) else integer_of(a, "a")
    single = isinstance(a, int)
    axis = 0 if single else axis_of(axis, a.ndim)
    count = a if single else operator.index(a.shape[axis])
    draws = math.prod(operator.index(n) for n in shape)
    if draws == 0:
        return zeros(shape, dtypes.or_default(None, int) if single else a.dtype)
    if count <= 0:
        raise ValueError(f"choice: there is nothing to choose from{errors.at_user_line()}")
    if not replace and draws > count:
        raise ValueError(
            f"choice of {draws} out of {count} without replacement{errors.at_user_line()}"
        )
    if p is not None:
        indices = _weighted(key, p, count, draws, shape, replace, mode)
    elif replace:
        indices = randint(key, shape, 0, count)
    else:
        indices = permutation(key, count)[:draws]
    if single:
        result = converted(indices, dtypes.or_default(None, int))
    else:
        result = take(a, indices, axis, mode="clip")
    return reshape(result, shape if single else (*a.shape[:axis], *shape, *a.shape[axis + 1 :]))


def _weighted(
    key: Any, p: Any, count: int, draws: int, shape: Shape, replace: bool, mode: str | None
) -> Any:
    """Indices with probabilities: by their running sum, or those of the largest log p + gumbel noise."""
    (p,) = together("choice", "inexact", p)
    if p.shape != (count,):
        raise ValueError(
            f"choice: p has the shape {p.shape}, it needs ({count},){errors.at_user_line()}"
        )
    if not replace:
        noisy = el.add(gumbel(key, (count,), p.dtype, mode), el.log(p))
        _, order = prims.SortPairs()(prims.neg(noisy), arange(count))
        return order[:draws]
    sums = prims.CumSum(0)(p)
    r = el.multiply(sums[-1], el.subtract(1.0, uniform(key, shape, p.dtype)))
    return searchsorted(sums, r)


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Indices along an axis, with probabilities softmax(logits), for each of the other axes.

    `shape`, if given, ends with the logits' shape without the axis; the axes before that are further samples.  As
    int32.  Without `replace` the samples of one place differ.

    >>> from covector import numpy as cnp, random
    >>> key = random.key(0)
    >>> random.categorical(key, cnp.log(cnp.array([0.1, 0.1, 0.8])), shape=(4,))
    Array([1, 2, 2, 1], dtype=int32)
    """
    logits = lift("categorical", logits)
    axis = axis_of(axis, logits.ndim)
    batch = logits.shape[:axis] + logits.shape[axis + 1 :]
    wanted = result_shape(
        "categorical", batch if shape is None else shape, zeros(batch, bool) if batch else False
    )
    extra = len(wanted) - len(batch)
    prefix, own = wanted[:extra], wanted[extra:]
    if not replace:
        return _without_replacement(key, logits, axis, prefix, wanted, mode)
    full = (*prefix, *own[:axis], logits.shape[axis], *own[axis:])
    noise = gumbel(key, full, logits.dtype, mode)
    return argmax(el.add(noise, expand_dims(logits, tuple(range(extra)))), axis=extra + axis)


def _without_replacement(
    key: Any, logits: Any, axis: int, prefix: Shape, wanted: Shape, mode: str | None
) -> Any:
    count = math.prod(operator.index(n) for n in prefix)
    if count > operator.index(logits.shape[axis]):
        raise ValueError(
            f"categorical: {count} samples of {logits.shape[axis]} categories without replacement"
            f"{errors.at_user_line()}"
        )
    noisy = moveaxis(el.add(logits, gumbel(key, logits.shape, logits.dtype, mode)), axis, -1)
    _, order = prims.SortPairs()(
        prims.neg(noisy), iota(noisy.shape, dtypes.index_dtype(noisy.shape[-1]), noisy.ndim - 1)
    )
    picked = order[..., :count]
    return reshape(transpose(picked, (picked.ndim - 1, *range(picked.ndim - 1))), wanted)
