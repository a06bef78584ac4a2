"""Estimates from samples: covariances, slopes, values between points, angles without jumps."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import astype
from covector.numpy.join import concatenate
from covector.numpy.linear import dot
from covector.numpy.operands import converted, together
from covector.numpy.ordering import cumsum, diff, searchsorted
from covector.numpy.promotion import (
    axes_of,
    axis_of,
    cast,
    check_ranks,
    is_operand,
    lift,
    target,
    type_key,
)
from covector.numpy.selection import clip, where
from covector.numpy.shape import atleast_2d, cut, reshape, squeeze, transpose
from covector.numpy.sorting import argsort
from covector.numpy.statistics import average
from covector.numpy.take import take

__all__ = ["corrcoef", "cov", "gradient", "interp", "unwrap"]


# --------------------------------------------------------------------------------------- covariances


def _observed(name: str, m: Any, y: Any, rowvar: bool, dtype: Any) -> Any:
    """The variables as the rows of a matrix of floats."""
    given = [m] if y is None else [m, y]
    xs = together(name, "inexact", *given)
    for x in xs:
        if x.ndim > 2:
            raise ValueError(
                f"{name} takes at most two dimensions, got shape {x.shape}{errors.at_user_line()}"
            )
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype)
        if not dtypes.is_inexact(wanted):
            raise ValueError(
                f"{name} with dtype={wanted.name}{errors.at_user_line()}: it is computed in a float or complex dtype"
            )
        xs = [astype(x, wanted) for x in xs]
    check_ranks(name, *xs)
    rows = [atleast_2d(x) if rowvar or x.ndim < 2 else transpose(x) for x in xs]
    return rows[0] if len(rows) == 1 else concatenate(rows, 0)


def _weights_of(name: str, argument: str, w: Any, count: Any) -> Any:
    """Weights of observations as a vector; ValueError for another shape."""
    w = lift(name, w)
    if w.shape != (count,):
        raise ValueError(
            f"{name}: {argument} of shape {w.shape} for {count} observations{errors.at_user_line()}"
        )
    return w


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Any:
    """The covariances of variables, the rows of a matrix (with `rowvar`, else its columns), and of those of `y`.

    The sum of products is divided by the number of observations less `ddof`, which is 0 with `bias` and else 1.
    `fweights` are integers that say how often each observation was made, `aweights` how much it counts.  As a float
    matrix, or a number for one variable.  ValueError for weights that are not one for each observation.

    >>> from covector import numpy as cnp
    >>> cnp.cov(cnp.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    Array([[ 1., -1.],
           [-1.,  1.]], dtype=float32)
    """
    x = _observed("cov", m, y, rowvar, dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    real = dtypes.real_of(x.dtype)
    count = x.shape[1]
    counts = aweighted = None
    if fweights is not None:
        counts = _weights_of("cov", "fweights", fweights, count)
        if not dtypes.is_integer(counts.dtype):
            raise TypeError(
                f"cov: fweights are integers, got {counts.dtype.name}{errors.at_user_line()}"
            )
        counts = cast(counts, real)
    if aweights is not None:
        aweighted = cast(_weights_of("cov", "aweights", aweights, count), real)
    both = [v for v in (counts, aweighted) if v is not None]
    w = el.multiply(*both) if len(both) == 2 else both[0] if both else None
    mean = average(x, axis=1, weights=w)
    total = real.type(count) if w is None else reduce.sum(w)
    factor = el.subtract(total, ddof)
    if aweighted is not None and ddof != 0:
        squares = reduce.sum(el.multiply(w, aweighted))
        factor = el.subtract(total, el.divide(el.multiply(ddof, squares), total))
    centred = el.subtract(x, reshape(mean, (-1, 1)))
    weighted = centred if w is None else el.multiply(centred, reshape(w, (1, -1)))
    factor = el.maximum(factor, 0)  # more is estimated than was observed: there is no number for it
    return squeeze(el.divide(dot(centred, el.conj(transpose(weighted))), factor))


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """The correlations of variables: their covariances divided by their standard deviations.

    Arguments and errors are those of `cov`.

    >>> from covector import numpy as cnp
    >>> cnp.corrcoef(cnp.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    Array([[ 1., -1.],
           [-1.,  1.]], dtype=float32)
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return el.divide(c, c)
    deviation = el.sqrt(prims.real(c.diagonal()) if dtypes.is_complex(c.dtype) else c.diagonal())
    c = el.divide(el.divide(c, reshape(deviation, (-1, 1))), reshape(deviation, (1, -1)))
    if not dtypes.is_complex(c.dtype):
        return clip(c, -1, 1)
    return prims.complex_(clip(prims.real(c), -1, 1), clip(prims.imag(c), -1, 1))


# -------------------------------------------------------------------------------------------- slopes


def _slopes(f: Any, h: Any, axis: int, order: int) -> Any:
    """Central differences along an axis, one-sided ones at its ends; `h` is the distance of two points, or of each."""
    n = f.shape[axis]

    def part(start: int, stop: int) -> Any:
        return cut(f, axis, start, stop)

    def along(v: Any) -> Any:
        return reshape(v, tuple([-1 if i == axis else 1 for i in range(f.ndim)]))

    if not getattr(h, "shape", ()):
        inner = el.divide(el.subtract(part(2, n), part(0, n - 2)), el.multiply(h, 2))
        ends = [(h, h), (h, h)]
    else:
        before, after = along(cut(h, 0, 0, n - 2)), along(cut(h, 0, 1, n - 1))
        both = el.add(before, after)
        low = el.multiply(part(0, n - 2), el.divide(el.negative(after), el.multiply(before, both)))
        mid = el.multiply(
            part(1, n - 1), el.divide(el.subtract(after, before), el.multiply(before, after))
        )
        high = el.multiply(part(2, n), el.divide(before, el.multiply(after, both)))
        inner = el.add(el.add(low, mid), high)
        ends = [(h[0], h[min(1, n - 2)]), (h[n - 2], h[max(n - 3, 0)])]
    first = _one_sided(part(0, 1), part(1, 2), part(2, 3) if order == 2 else None, *ends[0])
    last = _one_sided(
        part(n - 1, n), part(n - 2, n - 1), part(n - 3, n - 2) if order == 2 else None, *ends[1]
    )
    return concatenate([first, inner, el.negative(last)], axis)


def _one_sided(a: Any, b: Any, c: Any, h: Any, k: Any) -> Any:
    """The slope at the first of two or three points, the second h away and the third k further."""
    if c is None:
        return el.divide(el.subtract(b, a), h)
    both = el.add(h, k)
    weights = (
        el.negative(el.divide(el.add(el.multiply(h, 2), k), el.multiply(h, both))),
        el.divide(both, el.multiply(h, k)),
        el.negative(el.divide(h, el.multiply(k, both))),
    )
    terms = [el.multiply(x, w) for x, w in zip((a, b, c), weights, strict=True)]
    return el.add(el.add(terms[0], terms[1]), terms[2])


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """The slopes of sampled values along axes: differences of neighbours, at the ends of the first or second order.

    One array for one axis, else a list.  `varargs` are the distances of points: one number for all axes, or for each
    axis one, or a vector of coordinates.  ValueError for an axis with fewer points than it takes.

    >>> from covector import numpy as cnp
    >>> cnp.gradient(cnp.array([1.0, 4.0, 9.0, 16.0]))
    Array([3., 4., 6., 7.], dtype=float32)
    """
    order = 1 if edge_order is None else edge_order
    if order not in (1, 2):
        raise ValueError(f"gradient: edge_order is {order!r}{errors.at_user_line()}; it is 1 or 2")
    f = lift("gradient", f)
    distances = [type_key(h) for h in varargs if not np.ndim(h)]
    f = cast(f, *target("inexact", type_key(f), *distances))
    axes = axes_of(axis, f.ndim)
    given = varargs * len(axes) if len(varargs) == 1 and np.ndim(varargs[0]) == 0 else varargs
    given = given or (1.0,) * len(axes)
    if len(given) != len(axes):
        raise TypeError(
            f"gradient: {len(varargs)} distances for {len(axes)} axes{errors.at_user_line()}; give one for each"
        )
    out = []
    for i, h in zip(axes, given, strict=True):
        n = f.shape[i]
        if n < order + 1:
            raise ValueError(
                f"gradient of shape {f.shape} along axis {i}{errors.at_user_line()}: it takes {order + 1} points"
            )
        if np.ndim(h):
            h = lift("gradient", h)
            if h.shape != (n,):
                raise ValueError(
                    f"gradient: coordinates of shape {h.shape} for an axis of length {n}{errors.at_user_line()}"
                )
            h = diff(cast(h, dtypes.real_of(f.dtype)) if not dtypes.is_inexact(h.dtype) else h)
        out.append(_slopes(f, h, i, order))
    return out[0] if len(out) == 1 else out


# ------------------------------------------------------------------------------------ between points


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """The values at x of the function that joins the points (xp, fp) by straight lines; xp rises.

    Below the first point it is `left` (the first value) and above the last `right` (the last one), where
    "extrapolate" goes straight on.  With `period` coordinates count round.  As a float; `fp` may be complex.
    ValueError unless xp and fp are vectors of one length.

    >>> from covector import numpy as cnp
    >>> cnp.interp(cnp.array([0.5, 9.0]), cnp.array([0.0, 1.0]), cnp.array([10.0, 20.0]))
    Array([15., 20.], dtype=float32)
    """
    for argument, value in (("left", left), ("right", right)):
        if isinstance(value, str) and value != "extrapolate":
            raise ValueError(
                f"interp: {argument}={value!r}{errors.at_user_line()}; it is a number or 'extrapolate'"
            )
    weak_x, weak_xp, weak_fp = (is_operand(v) and type_key(v)[1] for v in (x, xp, fp))
    x, xp = together("interp", "inexact", x, xp)
    if dtypes.is_complex(x.dtype):
        raise ValueError(
            f"interp: x and xp must be real{errors.at_user_line()}, got {x.dtype.name}"
        )
    fp = together("interp", "inexact", fp)[0]
    if xp.ndim != 1 or xp.shape != fp.shape or xp.shape[0] == 0:
        raise ValueError(
            f"interp: xp of shape {xp.shape} and fp of shape {fp.shape}{errors.at_user_line()}; they must be vectors "
            "of one length, and not empty"
        )
    dtype, weak = dtypes.promote((x.dtype, weak_x and weak_xp), (fp.dtype, weak_fp))
    fp = converted(fp, dtype)
    if period is not None:
        x, xp, fp, left, right = _round(x, xp, fp, period)
    n = xp.shape[0]
    i = clip(searchsorted(xp, x, side="right"), 1, max(n - 1, 1))
    x0, x1 = take(xp, el.subtract(i, 1), mode="clip"), take(xp, i, mode="clip")
    f0, f1 = take(fp, el.subtract(i, 1), mode="clip"), take(fp, i, mode="clip")
    width = el.subtract(x1, x0)
    flat = el.equal(width, 0)
    slope = el.divide(el.subtract(x, x0), where(flat, 1, width))
    f = where(flat, f0, el.add(f0, el.multiply(slope, el.subtract(f1, f0))))
    for value, outside, end in (
        (left, el.less(x, xp[0]), fp[0]),
        (right, el.greater(x, xp[n - 1]), fp[n - 1]),
    ):
        if not isinstance(value, str):
            f = where(outside, end if value is None else value, f)
    return prims.Convert(f.dtype, True)(f) if weak else f


def _round(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Points of a function that repeats itself, in order, with one more at each end."""
    if not is_operand(period) or np.ndim(period) != 0:
        raise ValueError(
            f"interp: the period is {period!r}{errors.at_user_line()}, it must be a number"
        )
    period = el.abs(period)
    x, xp = el.remainder(x, period), el.remainder(xp, period)
    order = argsort(xp)
    xp, fp = take(xp, order, mode="clip"), take(fp, order, mode="clip")
    n = xp.shape[0]
    xp = concatenate([el.subtract(xp[n - 1 :], period), xp, el.add(xp[:1], period)])
    return x, xp, concatenate([fp[n - 1 :], fp, fp[:1]]), None, None


def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * np.pi) -> Any:
    """Angles (or what else has a period) without jumps: each differs from the last by at most half a period.

    Differences of at most `discont` (half a period) stay.  Integers with an integer period stay integers.

    >>> from covector import numpy as cnp
    >>> cnp.unwrap(cnp.array([0, 2, 5, 1]), period=6)
    Array([0, 2, 5, 7], dtype=int32)
    """
    p, span = together("unwrap", "numeric", p, period)
    if dtypes.is_complex(p.dtype):
        raise ValueError(f"unwrap takes real numbers, got {p.dtype.name}{errors.at_user_line()}")
    axis = axis_of(axis, p.ndim)
    n = p.shape[axis]
    if n == 0:
        return p
    whole = dtypes.is_integer(p.dtype)
    half = el.floor_divide(span, 2) if whole else el.divide(span, 2)
    steps = diff(p, axis=axis)
    inside = el.subtract(el.remainder(el.add(steps, half), span), half)
    up = el.logical_and(el.equal(inside, el.negative(half)), el.greater(steps, 0))
    if whole:
        up = el.logical_and(up, el.equal(el.multiply(half, 2), span))
    inside = where(up, half, inside)  # a step of half a period up stays up
    limit = half if discont is None else discont
    correction = where(el.less(el.abs(steps), limit), 0, el.subtract(inside, steps))
    rest = el.add(cut(p, axis, 1, n), cumsum(correction, axis))
    return concatenate([cut(p, axis, 0, 1), astype(rest, p.dtype)], axis)
