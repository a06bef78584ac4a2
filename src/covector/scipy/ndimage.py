"""Images between their pixels: names and meanings are those of `jax.scipy.ndimage`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import array
from covector.numpy.operands import converted, together
from covector.numpy.selection import clip, where

__all__ = ["map_coordinates"]


def _mirrored(i: Any, n: int) -> Any:
    """... 2 1 | 0 1 2 | 1 0 ..."""
    period = max(2 * (n - 1), 1)
    return el.subtract(n - 1, el.abs(el.subtract(el.remainder(i, period), n - 1)))


def _reflected(i: Any, n: int) -> Any:
    """... 1 0 | 0 1 2 | 2 1 ..."""
    i = el.remainder(i, 2 * n)
    return el.minimum(i, el.subtract(2 * n - 1, i))


# What is at a place outside: the place inside of which it is the value.
_MODES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda i, n: clip(i, 0, n - 1),
    "nearest": lambda i, n: clip(i, 0, n - 1),
    "wrap": lambda i, n: el.remainder(i, n),
    "mirror": _mirrored,
    "reflect": _reflected,
}


def map_coordinates(
    input: Any,
    coordinates: Sequence[Any],
    order: int,
    mode: str = "constant",
    cval: Any = 0.0,
) -> Any:
    """The values of an image at places between its elements.

    `coordinates` has an array of places for each axis, broadcast together; the result has their shape and the dtype of
    the image.  `order` 0 takes the nearest element, 1 goes linearly.  Outside is `cval` ('constant'), or the image
    again: its edge ('nearest'), its start ('wrap'), or it backwards, without ('mirror') or with its edge twice
    ('reflect').
    Differentiable in the image, and for order 1 in the places.

    ValueError for another mode or number of coordinates, NotImplementedError for another order.

    >>> import covector.numpy as np
    >>> from covector.scipy.ndimage import map_coordinates
    >>> image = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> map_coordinates(image, [np.array([0.5, 1.0]), np.array([0.5, 0.0])], order=1)
    Array([1.5, 2. ], dtype=float32)
    """
    image = array(input)
    places = [array(c) for c in coordinates]
    if len(places) != image.ndim:
        raise ValueError(
            f"map_coordinates: {len(places)} coordinates for an image of {image.ndim} axes{errors.at_user_line()}; "
            "there must be one for each"
        )
    if mode not in _MODES:
        raise ValueError(
            f"map_coordinates: mode is {mode!r}{errors.at_user_line()}; it is one of {', '.join(_MODES)}"
        )
    if order not in (0, 1):
        raise NotImplementedError(
            f"map_coordinates with order={order!r}{errors.at_user_line()}: orders are 0 (nearest) and 1 (linear)"
        )
    if any(dtypes.is_complex(p.dtype) for p in places):
        raise TypeError(f"map_coordinates: complex coordinates{errors.at_user_line()}")
    around = _nearest if order == 0 else _two
    pairs = [around(p) for p in together("map_coordinates", "any", *places)] if places else []
    cval = converted(array(cval), image.dtype)
    total: Any = None
    for corner in itertools.product(*pairs):
        index = [_MODES[mode](i, n) for (i, _), n in zip(corner, image.shape, strict=True)]
        value = image[tuple(index)]
        if mode == "constant":
            for (i, _), n in zip(corner, image.shape, strict=True):
                inside = el.logical_and(el.greater_equal(i, 0), el.less(i, n))
                value = where(inside, value, cval)
        for _, weight in corner:
            if weight is not None:
                value = el.multiply(value, weight)
        total = value if total is None else el.add(total, value)
    if dtypes.is_integer(image.dtype) and dtypes.is_inexact(total.dtype):
        total = prims.round_half_away(total)  # as SciPy does
    return converted(total, image.dtype)


def _nearest(place: Any) -> list[tuple[Any, Any]]:
    """The nearest element, which counts in full."""
    if dtypes.is_inexact(place.dtype):
        place = el.floor(el.add(place, 0.5))
    return [(converted(place, dtypes.int32), None)]


def _two(place: Any) -> list[tuple[Any, Any]]:
    """The elements on both sides, and how much each counts."""
    low = el.floor(place)
    share = el.subtract(place, low)
    first = converted(low, dtypes.int32)
    return [(first, el.subtract(1, share)), (el.add(first, 1), share)]


publish(__name__)
