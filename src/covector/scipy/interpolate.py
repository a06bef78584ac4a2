"""Interpolation on grids: names and meanings are those of `jax.scipy.interpolate`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.public import bounded, publish
from covector._engine.core.trace import Tracer
from covector.numpy import elementwise as el
from covector.numpy.creation import array
from covector.numpy.join import stack
from covector.numpy.operands import together
from covector.numpy.ordering import searchsorted
from covector.numpy.promotion import broadcast_shapes, spread
from covector.numpy.selection import clip, where
from covector.numpy.shape import reshape

__all__ = ["RegularGridInterpolator"]

_METHODS = ("linear", "nearest")


@bounded
class RegularGridInterpolator:
    """A function of n numbers, from its values on a grid: linear in each cell, or the nearest value.

    `points` has a vector for each axis of the grid, increasing; `values` are (len(points[0]), ..., ...), numbers or
    arrays.  Outside of the grid it is `fill_value`, or goes on as in the nearest cell if that is None; with
    `bounds_error` places outside are a ValueError, which can be told outside of `jit` only.

    ValueError for another method, for points that do not increase or do not fit the values.

    >>> import covector.numpy as np
    >>> from covector.scipy.interpolate import RegularGridInterpolator
    >>> x, y = np.array([0.0, 1.0]), np.array([0.0, 1.0, 2.0])
    >>> f = RegularGridInterpolator((x, y), x[:, None] + 10 * y)
    >>> f(np.array([[0.5, 1.5], [0.0, 3.0]]))
    Array([15.5,  nan], dtype=float32)
    """

    def __init__(
        self,
        points: Sequence[Any],
        values: Any,
        method: str = "linear",
        bounds_error: bool = False,
        fill_value: Any = np.nan,
    ):
        self._check(method)
        values = array(values)
        self.grid = tuple(array(p) for p in points)
        (self.values,) = together("RegularGridInterpolator", "inexact", values)
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value
        if len(self.grid) > values.ndim:
            raise ValueError(
                f"RegularGridInterpolator: {len(self.grid)} axes of points for values of the shape {values.shape}"
                f"{errors.at_user_line()}"
            )
        for axis, (p, n) in enumerate(zip(self.grid, values.shape, strict=False)):
            if p.ndim != 1 or p.shape[0] != n:
                raise ValueError(
                    f"RegularGridInterpolator: points[{axis}] has the shape {p.shape}{errors.at_user_line()}; the "
                    f"values have {n} along that axis"
                )
            if not isinstance(p, Tracer) and not bool((p[1:] > p[:-1]).all()):
                raise ValueError(
                    f"RegularGridInterpolator: points[{axis}] do not increase{errors.at_user_line()}"
                )

    def _check(self, method: str) -> None:
        if method not in _METHODS:
            raise ValueError(
                f"RegularGridInterpolator: method is {method!r}{errors.at_user_line()}; it is one of {_METHODS}"
            )

    def __call__(self, xi: Any, method: str | None = None) -> Any:
        """The values at places (..., n), or at a tuple of n arrays.

        >>> import covector.numpy as np
        >>> from covector.scipy.interpolate import RegularGridInterpolator
        >>> f = RegularGridInterpolator((np.array([0.0, 1.0]),), np.array([1.0, 2.0]), method="nearest")
        >>> f((np.array([0.2, 0.9]),))
        Array([1., 2.], dtype=float32)
        """
        method = self.method if method is None else method
        self._check(method)
        n = len(self.grid)
        if isinstance(xi, tuple):
            parts = [array(x) for x in xi]
            shape = broadcast_shapes(*[p.shape for p in parts])
            xi = stack([spread(p, shape) for p in parts], axis=-1)
        xi = array(xi)
        if xi.ndim == 0 or xi.shape[-1] != n:
            raise ValueError(
                f"RegularGridInterpolator: places have the shape {xi.shape}{errors.at_user_line()}; the last axis must "
                f"be {n}, one number for each axis of the grid"
            )
        rows = reshape(xi, (-1, n))
        columns = [
            together("RegularGridInterpolator", "inexact", rows[:, i], self.grid[i])
            for i in range(n)
        ]
        outside: Any = False
        for x, grid in columns:
            beyond = el.logical_or(el.less(x, grid[0]), el.greater(x, grid[-1]))
            outside = el.logical_or(outside, beyond)
        if self.bounds_error and bool(outside.any()):
            raise ValueError(
                f"RegularGridInterpolator: places outside of the grid{errors.at_user_line()}; without bounds_error "
                "they have the fill_value"
            )
        found = self._linear(columns) if method == "linear" else self._nearest(columns)
        if not self.bounds_error and self.fill_value is not None:
            blank = reshape(outside, (-1,) + (1,) * (found.ndim - 1))
            found = where(blank, self.fill_value, found)
        return reshape(found, (*xi.shape[:-1], *self.values.shape[n:]))

    def _cells(self, columns: list[Any]) -> list[tuple[Any, Any]]:
        """For each axis the cell of each place, and how far through it."""
        cells: list[tuple[Any, Any]] = []
        for x, grid in columns:
            i = clip(el.subtract(searchsorted(grid, x), 1), 0, max(grid.shape[0] - 2, 0))
            following = clip(el.add(i, 1), 0, grid.shape[0] - 1)
            width = el.subtract(grid[following], grid[i])
            share = el.divide(el.subtract(x, grid[i]), where(el.equal(width, 0), 1, width))
            cells.append((i, share))
        return cells

    def _linear(self, columns: list[Any]) -> Any:
        cells = self._cells(columns)
        inner = (1,) * (self.values.ndim - len(cells))
        total: Any = 0.0
        for corner in itertools.product((0, 1), repeat=len(cells)):
            weight: Any = 1.0
            for side, (_, share) in zip(corner, cells, strict=True):
                weight = el.multiply(weight, share if side else el.subtract(1, share))
            at = tuple(
                clip(el.add(i, side), 0, n - 1)
                for side, (i, _), n in zip(corner, cells, self.values.shape, strict=False)
            )
            total = el.add(total, el.multiply(self.values[at], reshape(weight, (-1, *inner))))
        return total

    def _nearest(self, columns: list[Any]) -> Any:
        at = [
            where(el.less_equal(share, 0.5), i, el.add(i, 1)) for i, share in self._cells(columns)
        ]
        return self.values[
            tuple(clip(i, 0, n - 1) for i, n in zip(at, self.values.shape, strict=False))
        ]


publish(__name__)
