"""Arrays with elements before and after along their axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray
from covector.numpy.join import concatenate, repeat
from covector.numpy.operands import converted
from covector.numpy.ordering import median
from covector.numpy.promotion import axis_of, cast, is_operand, lift, within
from covector.numpy.ranges import linspace
from covector.numpy.shape import cut, moveaxis
from covector.numpy.statistics import mean

__all__ = ["pad"]


def _pairs(name: str, values: Any, rank: int) -> list[tuple[int, int]]:
    """(before, after) for each axis, from any of NumPy's forms."""
    if isinstance(values, dict):
        widths = [(0, 0)] * rank
        for axis, width in values.items():
            widths[axis_of(axis, rank)] = (width, width) if isinstance(width, int) else tuple(width)
        return widths
    pairs = np.broadcast_to(np.asarray(values), (rank, 2))
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ValueError(
            f"pad: {name} are integers that are not negative, got {values}{errors.at_user_line()}"
        )
    return [(int(low), int(high)) for low, high in pairs]


# What may be said beside the mode.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "edge": (),
    "empty": (),
    "linear_ramp": ("end_values",),
    "maximum": ("stat_length",),
    "mean": ("stat_length",),
    "median": ("stat_length",),
    "minimum": ("stat_length",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
}


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """The array with elements before and after along each axis.

    `pad_width` is (before, after) for each axis, or one such pair, or one number; or a dict of axis to those.
    Modes: 'constant' (with `constant_values`), 'edge', 'empty' (zeros), 'linear_ramp' (to `end_values`), 'maximum',
    'mean', 'median', 'minimum' (of `stat_length` elements at the end), 'reflect', 'symmetric' (with `reflect_type`
    'even' or 'odd'), 'wrap'; or a function (padded vector, widths, axis, kwargs) that returns the vector.  ValueError
    for another mode, or what does not go with it.

    >>> from covector import numpy as cnp
    >>> cnp.pad(cnp.ones(2), (1, 2))
    Array([0., 1., 1., 0., 0.], dtype=float32)
    """
    a = lift("pad", array)
    widths = _pairs("widths", pad_width, a.ndim)
    if not widths and not callable(mode):
        return a
    if callable(mode):
        return _by_function(a, widths, mode, kwargs)
    if mode not in _OPTIONS:
        raise NotImplementedError(
            f"pad: mode {mode!r}{errors.at_user_line()}; there are {', '.join(map(repr, _OPTIONS))}"
        )
    wrong = set(kwargs) - set(_OPTIONS[mode])
    if wrong:
        raise ValueError(
            f"pad: mode {mode!r} does not take {', '.join(sorted(wrong))}{errors.at_user_line()}"
        )
    if mode in ("constant", "empty"):
        return _pad_constant(a, widths, kwargs.get("constant_values", 0))
    piece = _piece_of(mode, kwargs, a.ndim)
    for axis, (low, high) in enumerate(widths):
        if low or high:
            if a.shape[axis] == 0:
                raise ValueError(
                    f"pad: mode {mode!r} has no elements to take along axis {axis} of an array of shape {a.shape}"
                    f"{errors.at_user_line()}; use mode='constant'"
                )
            a = piece(a, axis, low, high)
    return a


Piece = Callable[[Any, int, int, int], Any]


def _piece_of(mode: str, options: dict[str, Any], rank: int) -> Piece:
    """How one axis is padded."""
    if mode in ("reflect", "symmetric"):
        kind = options.get("reflect_type", "even")
        if kind not in ("even", "odd"):
            raise ValueError(
                f"pad: reflect_type is {kind!r}{errors.at_user_line()}; it is 'even' or 'odd'"
            )
        return _pad_mirror(int(mode == "reflect"), kind == "odd")
    if mode == "linear_ramp":
        return _pad_ramp(np.broadcast_to(np.asarray(options.get("end_values", 0)), (rank, 2)))
    if mode in _STATISTICS:
        length = options.get("stat_length")
        lengths = None if length is None else _pairs("stat_length", length, rank)
        return _pad_statistic(_STATISTICS[mode], lengths)
    return _pad_edge if mode == "edge" else _pad_wrap


def _as_in(a: Any, value: Any) -> Any:
    """What is put beside an array: of its dtype, and as weak."""
    value = cast(within(value, a.dtype), a.dtype)
    return converted(asarray(value), a.dtype, True) if a.weak_type else value


def _pad_constant(a: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    zeros = (0,) * len(widths)
    if is_operand(values) and not np.shape(values):
        low, high = (tuple([w[i] for w in widths]) for i in (0, 1))
        return prims.Pad(low, high, zeros)(a, _as_in(a, values))
    pairs = np.broadcast_to(np.asarray(values), (len(widths), 2))
    for axis, width in enumerate(widths):
        for side in (0, 1):
            own = [
                tuple([width[k] if i == axis and k == side else 0 for i in range(len(widths))])
                for k in (0, 1)
            ]
            a = prims.Pad(own[0], own[1], zeros)(a, _as_in(a, pairs[axis, side]))
    return a


def _pad_edge(a: Any, axis: int, low: int, high: int) -> Any:
    n = a.shape[axis]
    first, last = cut(a, axis, 0, 1), cut(a, axis, n - 1, n)
    return prims.Concatenate(axis)(repeat(first, low, axis), a, repeat(last, high, axis))


def _pad_wrap(a: Any, axis: int, low: int, high: int) -> Any:
    n = a.shape[axis]
    before, after = -(-low // n), -(-high // n)
    whole = prims.Concatenate(axis)(*[a] * (before + 1 + after))
    return cut(whole, axis, before * n - low, before * n + n + high)


def _pad_mirror(edge: int, odd: bool) -> Piece:
    """Mirrored at the ends; with edge = 1 the outermost element is not repeated, `odd` mirrors the values, too.

    No step goes further than one mirror image, after which the end is again where the array is its own image.
    """

    def piece(a: Any, axis: int, low: int, high: int) -> Any:
        reach = a.shape[axis] - edge
        if reach == 0:
            return _pad_edge(a, axis, low, high)
        while low or high:
            n, before, after = a.shape[axis], min(low, reach), min(high, reach)
            sides = (edge, edge + before), (n - edge - after, n - edge)
            left, right = (prims.Reverse((axis,))(cut(a, axis, *side)) for side in sides)
            if odd:
                first, last = cut(a, axis, 0, 1), cut(a, axis, n - 1, n)
                left, right = (
                    el.subtract(el.multiply(end, 2), x) for end, x in ((first, left), (last, right))
                )
            a = prims.Concatenate(axis)(left, a, right)
            low, high = low - before, high - after
        return a

    return piece


def _pad_ramp(ends: np.ndarray) -> Piece:
    """Steps of one size from the end values to the outermost elements."""

    def piece(a: Any, axis: int, low: int, high: int) -> Any:
        n = a.shape[axis]

        def ramp(end: Any, edge: Any, count: int) -> Any:
            edge = prims.squeeze(edge, (axis,))
            steps = linspace(end, edge, count, endpoint=False, dtype=a.dtype, axis=axis)
            return _as_in(a, steps)

        left = ramp(ends[axis, 0], cut(a, axis, 0, 1), low)
        right = prims.Reverse((axis,))(ramp(ends[axis, 1], cut(a, axis, n - 1, n), high))
        return prims.Concatenate(axis)(left, a, right)

    return piece


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": reduce.max,
    "mean": mean,
    "median": median,
    "minimum": reduce.min,
}


def _pad_statistic(statistic: Callable[..., Any], lengths: list[tuple[int, int]] | None) -> Piece:
    """One value of so many elements at each end, or of all; rounded for integers."""

    def piece(a: Any, axis: int, low: int, high: int) -> Any:
        n = a.shape[axis]
        before, after = (n, n) if lengths is None else [min(length, n) for length in lengths[axis]]

        def value(part: Any, count: int) -> Any:
            found = statistic(part, axis, keepdims=True)
            if dtypes.is_integer(a.dtype) and dtypes.is_inexact(found.dtype):
                found = el.rint(found)
            return repeat(_as_in(a, found), count, axis)

        left, right = value(cut(a, axis, 0, before), low), value(cut(a, axis, n - after, n), high)
        return prims.Concatenate(axis)(left, a, right)

    return piece


def _by_function(
    a: Any, widths: list[tuple[int, int]], function: Callable[..., Any], kwargs: dict[str, Any]
) -> Any:
    """Zeros around, then each vector along each axis replaced by what the function returns of it."""
    a = _pad_constant(a, widths, 0)
    for axis, width in enumerate(widths):
        rows = moveaxis(a, axis, -1)
        lead = rows.shape[:-1]
        flat = prims.Reshape((int(np.prod(lead)), rows.shape[-1]))(rows)
        out = [function(flat[i], width, axis, kwargs) for i in range(flat.shape[0])]
        if any(o is None for o in out):
            raise ValueError(
                f"pad: the function returned nothing{errors.at_user_line()}: arrays are immutable, so it must return "
                "the padded vector"
            )
        stacked = concatenate([prims.expand_dims(asarray(o, a.dtype), (0,)) for o in out])
        a = moveaxis(prims.Reshape((*lead, rows.shape[-1]))(stacked), -1, axis)
    return a
