"""Parameters of what slides over an array: strides, dilations, and padding by name or by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covector._engine.base import errors
from covector._engine.types.dims import Dim
from covector.numpy.promotion import dim_of, integer_of

__all__ = ["Padding", "padtype_to_pads"]

Padding = str | Sequence[tuple[Dim, Dim]]
Pads = tuple[tuple[Dim, Dim], ...]


def numbers_of(name: str, what: str, values: Any) -> tuple[int, ...]:
    """A parameter that has an integer for each axis; TypeError if it is none."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(
            f"{name}: {what} must be a sequence of integers, got {values!r}{errors.at_user_line()}"
        )
    return tuple([integer_of(n, what) for n in values])


def padding_of(
    name: str,
    padding: Padding,
    sizes: Sequence[Dim],
    windows: Sequence[Dim],
    strides: Sequence[int],
) -> Pads:
    """Padding as (low, high) for each axis, for windows of these sizes, dilation included."""
    if isinstance(padding, str):
        return tuple(padtype_to_pads(sizes, windows, strides, padding))  # type: ignore[arg-type]
    pads: list[tuple[Dim, Dim]] = []
    for pair in padding:
        ends = tuple(pair) if hasattr(pair, "__iter__") else ()
        if len(ends) != 2:
            raise ValueError(
                f"{name}: padding must be a name or (low, high) for each axis, got {padding!r}"
                f"{errors.at_user_line()}"
            )
        pads.append((dim_of(ends[0], "padding"), dim_of(ends[1], "padding")))
    return tuple(pads)


def padtype_to_pads(
    in_shape: Sequence[int],
    window_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:
    """The (low, high) of each axis that a name stands for.

    'VALID' is none; with 'SAME' a window has as many places as the axis has elements, divided by the stride and
    rounded up: half of the padding is on each side, and of an odd number one more above; 'SAME_LOWER' one more below.
    ValueError for another name.

    >>> from covector import lax
    >>> lax.padtype_to_pads((5, 6), (3, 2), (2, 1), "SAME")
    [(1, 1), (0, 1)]
    """
    kind = str(padding).upper()
    if kind not in ("VALID", "SAME", "SAME_LOWER"):
        raise ValueError(
            f"padding is 'VALID', 'SAME' or 'SAME_LOWER', got {padding!r}{errors.at_user_line()}"
        )
    if not len(in_shape) == len(window_shape) == len(window_strides):
        raise ValueError(
            f"padding {padding!r} needs a window and a stride for each of {len(in_shape)} axes, got "
            f"{tuple(window_shape)} and {tuple(window_strides)}{errors.at_user_line()}"
        )
    if any(s < 1 for s in window_strides):
        raise ValueError(
            f"strides must be at least 1, got {tuple(window_strides)}{errors.at_user_line()}"
        )
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    pads: list[tuple[int, int]] = []
    for n, window, stride in zip(in_shape, window_shape, window_strides, strict=True):
        total = max((-(-n // stride) - 1) * stride + window - n, 0)
        low = total // 2 if kind == "SAME" else total - total // 2
        pads.append((low, total - low))
    return pads
