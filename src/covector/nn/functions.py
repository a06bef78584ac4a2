"""Functions of neural networks that look along an axis: softmax and its kin, one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.nn.activations import sigmoid
from covector.numpy import elementwise as el, reduce, statistics
from covector.numpy.creation import asarray, iota
from covector.numpy.fused import fused
from covector.numpy.join import split
from covector.numpy.operands import placed, together
from covector.numpy.promotion import (
    axes_of,
    axis_of,
    broadcast_shapes,
    cast,
    check_ranks,
    dim_of,
    lift,
    spread,
)
from covector.numpy.selection import where as choose
from covector.numpy.ufunc import refuse

__all__ = [
    "glu",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "one_hot",
    "softmax",
    "standardize",
]

Axis = int | Sequence[int] | None


def _inexact(name: str, *xs: Any) -> list[Any]:
    return together(name, "inexact", *xs)


def _shifted(x: Any, axes: tuple[int, ...], where: Any) -> tuple[Any, Any]:
    """The elements less the largest real part along axes, a constant for derivatives; -inf where they do not count."""
    if where is not None:
        x = choose(where, x, x.dtype.type(-np.inf))
    real = prims.real(x) if dtypes.is_complex(x.dtype) else x
    top = prims.stop_gradient(reduce.kept(prims.Max(axes)(real), x.shape, axes) if axes else real)
    return prims.sub(x, prims.convert(spread(top, x.shape), x.dtype)), top


# ------------------------------------------------------------------------------------------ logarithms


def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(sum(b * exp(a))) along axes, without overflow; with `return_sign`, of the absolute value, and the sign.

    >>> import covector
    >>> print(f"{covector.nn.logsumexp(covector.numpy.array([1000., 1000.])):.2f}")
    1000.69
    """
    axes = axes_of(axis, np.ndim(a))
    return _logsumexp(a, b, where, axes=axes, keepdims=keepdims, return_sign=return_sign)


@fused("axes", "keepdims", "return_sign")
def _logsumexp(
    a: Any, b: Any, where: Any, axes: tuple[int, ...], keepdims: bool, return_sign: bool
) -> Any:
    weights = None
    if b is None:
        (a,) = _inexact("logsumexp", a)
    else:
        a, weights = _inexact("logsumexp", a, b)
        check_ranks("logsumexp", a, weights)
        shape = broadcast_shapes(a.shape, weights.shape)
        a, weights = spread(a, shape), spread(weights, shape)
        a = choose(prims.ne(weights, weights.dtype.type(0)), a, a.dtype.type(-np.inf))
    real = el.real(a) if where is None else choose(where, el.real(a), -np.inf)
    top = prims.stop_gradient(reduce.max(real, axes, keepdims=True, initial=-np.inf))
    top = prims.select(prims.is_finite(top), top, top.dtype.type(0))
    terms = prims.exp(prims.sub(a, cast(spread(top, a.shape), a.dtype)))
    terms = terms if weights is None else prims.mul(terms, weights)
    total = reduce.sum(terms, axes, keepdims=keepdims, where=where)
    top = top if keepdims else prims.squeeze(top, axes)
    sign = prims.sign(total)
    if return_sign or not dtypes.is_complex(a.dtype):
        size = prims.abs_(total)
        out = prims.add(prims.log(size), top)
    else:
        out = prims.add(prims.log(total), cast(top, a.dtype))
    if return_sign:
        return out, sign
    if weights is not None and not dtypes.is_complex(a.dtype):
        out = prims.select(prims.lt(sign, sign.dtype.type(0)), out.dtype.type(np.nan), out)
    return out


def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Any:
    """log(mean(exp(x))) along axes, without overflow.

    As a float; the axes go unless `keepdims`.

    >>> from covector import nn, numpy as cnp
    >>> nn.logmeanexp(cnp.array([1000.0, 1000.0]))
    Array(1000., dtype=float32)
    """
    total = logsumexp(x, axis, where=where, keepdims=keepdims)
    counted = (
        np.ones(np.shape(x), bool)
        if where is None
        else spread(lift("logmeanexp", where), np.shape(x))
    )
    count = reduce.sum(counted, axis, dtype=total.dtype, keepdims=keepdims)
    return el.subtract(total, el.log(count))


# --------------------------------------------------------------------------------------------- softmax


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along an axis, without overflow; 0 where `where` does not hold.

    >>> import covector
    >>> [f"{p:.4f}" for p in covector.nn.softmax(covector.numpy.array([1., 2., 3.])).tolist()]
    ['0.0900', '0.2447', '0.6652']
    """
    return _softmax(x, where, axes=axes_of(axis, np.ndim(x)))


@fused("axes")
def _softmax(x: Any, where: Any, axes: tuple[int, ...]) -> Any:
    (x,) = _inexact("softmax", x)
    shifted, _ = _shifted(x, axes, where)
    terms = prims.exp(shifted)
    # Division is slow: one for each row, then each element is multiplied.
    share = prims.integer_pow(reduce.sum(terms, axes, keepdims=True, where=where), -1)
    result = prims.mul(terms, spread(share, x.shape))
    return result if where is None else choose(where, result, result.dtype.type(0))


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """x - log(sum(exp(x))) along an axis, without overflow; -inf where `where` does not hold.

    Shape and dtype stay; integers count as floats.

    >>> from covector import nn, numpy as cnp
    >>> nn.log_softmax(cnp.array([1.0, 1.0]))
    Array([-0.6931472, -0.6931472], dtype=float32)
    """
    return _log_softmax(x, where, axes=axes_of(axis, np.ndim(x)))


@fused("axes")
def _log_softmax(x: Any, where: Any, axes: tuple[int, ...]) -> Any:
    (x,) = _inexact("log_softmax", x)
    shifted, _ = _shifted(x, axes, where)
    total = prims.log(reduce.sum(prims.exp(shifted), axes, keepdims=True, where=where))
    result = prims.sub(shifted, spread(total, x.shape))
    return result if where is None else choose(where, result, result.dtype.type(-np.inf))


def standardize(
    x: Any,
    axis: Axis = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) along an axis; mean and variance are the elements' own if not given.

    The variance is the mean square less the squared mean with algorithm="fast", and that of x - mean with "stable".

    >>> from covector import nn, numpy as cnp
    >>> nn.standardize(cnp.array([1.0, 2.0, 3.0]))
    Array([-1.2247359,  0.       ,  1.2247359], dtype=float32)
    """
    if algorithm not in ("fast", "stable"):
        raise ValueError(
            f"standardize: algorithm is 'fast' or 'stable', not {algorithm!r}{errors.at_user_line()}"
        )
    (x,) = _inexact("standardize", x)
    return _standardize(
        x, mean, variance, epsilon, where, axes=axes_of(axis, np.ndim(x)), algorithm=algorithm
    )


@fused("axes", "algorithm")
def _standardize(
    x: Any,
    mean: Any,
    variance: Any,
    epsilon: Any,
    where: Any,
    axes: tuple[int, ...],
    algorithm: str,
) -> Any:
    (x,) = _inexact("standardize", x)
    if mean is None:
        mean = statistics.mean(x, axes, keepdims=True, where=where)
    if variance is None and algorithm == "stable":
        variance = statistics.mean(
            el.square(el.subtract(x, mean)), axes, keepdims=True, where=where
        )
    elif variance is None:
        variance = el.subtract(
            statistics.mean(el.square(x), axes, keepdims=True, where=where), el.square(mean)
        )
        if dtypes.is_complex(variance.dtype):
            raise refuse("standardize", x)
        variance = el.maximum(variance, 0.0)
    return el.multiply(
        el.subtract(x, mean), prims.rsqrt(lift("standardize", el.add(variance, epsilon)))
    )


# ----------------------------------------------------------------------------------------------- others


def one_hot(
    x: Any, num_classes: Any, *, dtype: Any = None, axis: int = -1, out_sharding: Any = None
) -> Any:
    """A new axis of length num_classes with 1 at the place that the integer names, 0 elsewhere.

    Integers outside 0 ... num_classes - 1 give zeros only.

    >>> import covector
    >>> covector.nn.one_hot(covector.numpy.array([0, 2]), 3)
    Array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    x, count = asarray(x), dim_of(num_classes)
    place = axis_of(axis, x.ndim + 1)
    shape = (*x.shape[:place], count, *x.shape[place:])
    wanted = dtypes.or_default(dtype)
    same = prims.eq(spread(prims.expand_dims(x, (place,)), shape), iota(shape, x.dtype, place))
    return placed("one_hot", cast(same, wanted), None, out_sharding)


def glu(x: Any, axis: int = -1) -> Any:
    """The gated linear unit: the first half along an axis times the sigmoid of the second.

    ValueError if the axis has an odd length.

    >>> from covector import nn, numpy as cnp
    >>> nn.glu(cnp.array([1.0, 2.0, 0.0, 100.0]))
    Array([0.5, 2. ], dtype=float32)
    """
    x = lift("glu", x)
    size = x.shape[axis_of(axis, x.ndim)]
    if size % 2 != 0:
        raise ValueError(f"glu: axis {axis} has the odd size {size}{errors.at_user_line()}")
    first, second = split(x, 2, axis)
    return el.multiply(first, sigmoid(second))
