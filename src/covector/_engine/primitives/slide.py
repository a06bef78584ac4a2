"""How a window slides along an axis: what convolutions and reductions of windows have in common."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.ir.index import Index, both, compare, divide
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "Slide",
    "check_slides",
    "padded_for",
    "window_elements",
    "window_places",
    "window_under",
    "windows_over",
]

Pairs = tuple[tuple[Dim, Dim], ...]


@record
class Slide:
    """A window of `window` places, `spread` apart, that moves by `stride` along an axis of `size` elements.

    The elements are `base` apart, with nothing between them, and `low` and `high` places before and after them.
    """

    size: Dim
    window: Dim
    stride: int = 1
    low: Dim = 0
    high: Dim = 0
    base: int = 1
    spread: int = 1

    @property
    def count(self) -> Dim:
        """How many places the window has."""
        around = self.low + prims.dilated(self.size, self.base - 1) + self.high
        extent = prims.dilated(self.window, self.spread - 1)
        if dims.is_true(lambda: around < extent):
            return 0
        return dims.maximum(dims.floordiv(around - extent, self.stride) + 1, 0)

    @property
    def plain(self) -> bool:
        """Whether every place of the window is an element, wherever it is."""
        at_most = (self.count - 1) * self.stride + (self.window - 1) * self.spread
        return self.base == 1 and self.low == 0 and dims.is_true(lambda: at_most < self.size)

    def at(self, step: Dim, place: Dim) -> tuple[Dim, tuple[Expr, ...]]:
        """The element at a place of the window after so many steps, and the conditions under which there is one."""
        found, rest = divide(step * self.stride + place * self.spread - self.low, self.base)
        conditions = (
            compare("ge", found, 0),
            compare("lt", found, self.size),
            compare("eq", rest, 0),
        )
        return found, conditions

    @property
    def shift(self) -> tuple[Dim, Dim]:
        """How much padding around the elements makes it plain, once they are apart as `base` says."""
        return self.low, self.high_for(self.count)

    def high_for(self, count: Dim) -> Dim:
        """How much padding behind the elements so many places of the window need."""
        reach = (count - 1) * self.stride + (self.window - 1) * self.spread + 1
        return reach - self.low - prims.dilated(self.size, self.base - 1)

    @property
    def around(self) -> tuple[Dim, Dim]:
        """The padding with which the window, backwards, slides over its places to give back the elements."""
        extent = prims.dilated(self.window, self.spread - 1)
        low = extent - 1 - self.low
        whole = prims.dilated(self.size, self.base - 1) + extent - 1
        return low, whole - prims.dilated(self.count, self.stride - 1) - low

    def padded(self) -> Slide:
        """The same along the axis with that padding."""
        low, high = self.shift
        size = low + prims.dilated(self.size, self.base - 1) + high
        return Slide(size, self.window, self.stride, 0, 0, 1, self.spread)


def check_slides(name: str, slides: Sequence[Slide]) -> None:
    """ValueError unless strides and dilations are positive, and negative padding leaves something."""
    for axis, s in enumerate(slides):
        if s.stride < 1 or s.base < 1 or s.spread < 1:
            raise errors.ShapeError(
                f"{name} got stride {s.stride} and dilations {s.base} and {s.spread} along axis {axis} of the window"
                f"{errors.at_user_line()}; all must be at least 1"
            )
        spread = prims.dilated(s.size, s.base - 1)
        if dims.is_true(lambda s=s, n=spread: s.low + n + s.high < 0):
            raise errors.ShapeError(
                f"{name} got padding ({s.low}, {s.high}) along axis {axis} of the window, which cuts more than there is"
                f"{errors.at_user_line()}"
            )


def padded_for(slides: Sequence[Slide]) -> prims.Pad:
    """The padding, and cutting, after which all windows are plain."""
    ends = [s.shift for s in slides]
    low, high = tuple([a for a, _ in ends]), tuple([b for _, b in ends])
    return prims.Pad(low, high, tuple([s.base - 1 for s in slides]))


def window_places(slides: Sequence[Slide], index: Index) -> Iterator[tuple[Index, Index, Expr]]:
    """(place in the window, element, condition) for each place of a window at an index of the result."""
    for place in np.ndindex(*prims.sizes([s.window for s in slides])):
        found = [s.at(i, k) for s, i, k in zip(slides, index, place, strict=True)]
        own = both(*[c for _, conditions in found for c in conditions])
        yield place, tuple([at for at, _ in found]), own


def _elements(s: Slide, step: Dim) -> list[tuple[Dim, tuple[Expr, ...]]]:
    """The elements under a window after so many steps, each with the conditions under which it is one.

    If elements are apart and the window's places are not, only every `base`-th place is looked at.
    """
    if s.spread > 1 or s.base == 1:
        return [s.at(step, k) for k in range(int(s.window))]
    above, rest = divide(step * s.stride - s.low + s.base - 1, s.base)
    first = s.base - 1 - rest  # the first place with an element under it
    found: list[tuple[Dim, tuple[Expr, ...]]] = []
    for n in range(-(-int(s.window) // s.base)):
        inside = compare("ge", above + n, 0), compare("lt", above + n, s.size)
        found.append((above + n, (*inside, compare("lt", first + n * s.base, s.window))))
    return found


def window_elements(slides: Sequence[Slide], index: Index) -> Iterator[tuple[Index, Expr]]:
    """(element, condition) for all that lies under a window at an index of the result."""
    axes = [_elements(s, i) for s, i in zip(slides, index, strict=True)]
    for found in itertools.product(*axes):
        yield (
            tuple([at for at, _ in found]),
            both(*[c for _, conditions in found for c in conditions]),
        )


def windows_over(slides: Sequence[Slide], index: Index) -> Iterator[tuple[Index, Index, Expr]]:
    """(place in the window, where the window is, condition) for all windows that lie on an element of the operand."""
    axes = [_over(s, i) for s, i in zip(slides, index, strict=True)]
    for found in itertools.product(*axes):
        own = both(*[c for _, _, conditions in found for c in conditions])
        yield tuple([k for k, _, _ in found]), tuple([at for _, at, _ in found]), own


def _over(s: Slide, element: Dim) -> list[tuple[Dim, Dim, tuple[Expr, ...]]]:
    """(place, step, conditions) for the windows that lie on an element along an axis."""
    at = element * s.base + s.low
    found: list[tuple[Dim, Dim, tuple[Expr, ...]]] = []
    if s.spread > 1:
        for k in range(int(s.window)):
            step, rest = divide(at - k * s.spread, s.stride)
            inside = compare("ge", step, 0), compare("lt", step, s.count)
            found.append((k, step, (*inside, compare("eq", rest, 0))))
        return found
    last, place = divide(at, s.stride)  # the last window that may lie on it, and the place there
    for n in range(-(-int(s.window) // s.stride)):
        inside = compare("ge", last - n, 0), compare("lt", last - n, s.count)
        k = place + n * s.stride
        found.append((k, last - n, (*inside, compare("lt", k, s.window))))
    return found


def window_under(x: Any, slides: Sequence[Slide], axis: int, padding: Any = 0) -> Any:
    """What lies under each place of the windows over the last axes of x, or `padding`: a new axis, at `axis`."""
    front = typeof(x).ndim - len(slides)
    none, counts = (0,) * front, [s.count for s in slides]
    windows = prims.sizes([s.window for s in slides])
    if 0 in (*counts, *windows):
        kept = typeof(x).shape
        shape = (*kept[:axis], int(np.prod(windows)), *kept[axis:front], *counts)
        return prims.zeros(ShapedArray(shape, typeof(x).dtype))
    pad = padded_for(slides)
    nothing = np.asarray(padding).astype(typeof(x).dtype)[()]
    x = prims.Pad(none + pad.low, none + pad.high, none + pad.interior)(x, nothing)
    shape = typeof(x).shape
    found: list[Any] = []
    for place in np.ndindex(*windows):
        starts = [k * s.spread for k, s in zip(place, slides, strict=True)]
        ends = [k + (s.count - 1) * s.stride + 1 for k, s in zip(starts, slides, strict=True)]
        part = prims.Slice(
            (*none, *starts),
            (*shape[:front], *ends),
            (*[1] * front, *[s.stride for s in slides]),
        )(x)
        found.append(prims.expand_dims(part, (axis,)))
    return prims.Concatenate(axis)(*found)
