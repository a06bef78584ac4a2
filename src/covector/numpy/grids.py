"""Grids and the indices of their elements: r_ and mgrid, diagonals and triangles, flat places and those by axis."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.dims import product
from covector.numpy import elementwise as el
from covector.numpy.creation import array, asarray, astype, ones
from covector.numpy.join import concatenate
from covector.numpy.matrices import tril_indices, triu_indices
from covector.numpy.operands import together
from covector.numpy.promotion import cast, integer_of, lift, shape_of
from covector.numpy.ranges import arange, linspace, logspace, meshgrid
from covector.numpy.selection import clip, known, nonzero, where
from covector.numpy.shape import broadcast_arrays, cut, moveaxis, reshape

__all__ = [
    "block",
    "c_",
    "diag_indices",
    "diag_indices_from",
    "geomspace",
    "index_exp",
    "ix_",
    "mask_indices",
    "mgrid",
    "ogrid",
    "r_",
    "ravel_multi_index",
    "s_",
    "tril_indices_from",
    "triu_indices_from",
    "unravel_index",
]


# ---------------------------------------------------------------------------------- grids by indexing


def _points(s: slice) -> Any:
    """The numbers that a slice stands for; an imaginary step is their count, with both ends."""
    start = 0 if s.start is None else s.start
    step = 1 if s.step is None else s.step
    if s.stop is None:
        raise ValueError(
            f"a grid was indexed with {s!r}{errors.at_user_line()}: a slice of it needs an end"
        )
    if isinstance(step, complex):
        return linspace(start, s.stop, int(abs(step)))
    return arange(start, s.stop, step)


class _Grid:
    """Coordinates, from slices: see `mgrid` and `ogrid`."""

    def __init__(self, name: str, doc: str, sparse: bool):
        self.name, self.sparse, self.__doc__ = name, sparse, doc

    def __getitem__(self, key: Any) -> Any:
        slices = key if isinstance(key, tuple) else (key,)
        for s in slices:
            if not isinstance(s, slice):
                raise TypeError(
                    f"{self.name} is indexed with slices, got {s!r}{errors.at_user_line()}"
                )
        vectors = together(self.name, "any", *[_points(s) for s in slices])
        if not isinstance(key, tuple):
            return vectors[0]
        found = meshgrid(*vectors, indexing="ij", sparse=self.sparse)
        if self.sparse:
            return found
        return concatenate([prims.expand_dims(x, (0,)) for x in found])

    def __repr__(self) -> str:
        return f"<covector.numpy.{self.name}>"


mgrid = _Grid(
    "mgrid",
    """Coordinates on a grid, stacked: indexed with a slice for each axis, whose imaginary step is a count of points.

    >>> from covector import numpy as cnp
    >>> cnp.mgrid[0:2, 0:2]
    Array([[[0, 0],
            [1, 1]],
    <BLANKLINE>
           [[0, 1],
            [0, 1]]], dtype=int32)
    """,
    False,
)
ogrid = _Grid(
    "ogrid",
    """Coordinates on a grid, as a list of arrays that broadcast to it: indexed as `mgrid` is.

    >>> from covector import numpy as cnp
    >>> [x.shape for x in cnp.ogrid[0:2, 0:1:3j]]
    [(2, 1), (1, 3)]
    """,
    True,
)


class _Concatenated:
    """Arrays, numbers and ranges one after another: see `r_` and `c_`."""

    def __init__(self, name: str, doc: str, axis: int, ndmin: int, start: int):
        self.name, self.__doc__ = name, doc
        self.axis, self.ndmin, self.start = axis, ndmin, start

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        axis, ndmin, start = self.axis, self.ndmin, self.start
        if isinstance(items[0], str):
            axis, ndmin, start = self._directive(items[0])
            items = items[1:]
        parts = []
        for item in items:
            if isinstance(item, str):
                raise ValueError(
                    f"{self.name}: the directive {item!r} must come first{errors.at_user_line()}"
                )
            x = _points(item) if isinstance(item, slice) else asarray(item)
            shape = x.shape or (1,)
            new = max(ndmin - len(shape), 0)
            before = start if start >= 0 else start + new + 1
            before = min(max(before, 0), new)
            weak = x.weak_type and not isinstance(item, slice)
            parts.append((reshape(x, (*(1,) * before, *shape, *(1,) * (new - before))), weak, item))
        numbers = [
            item if weak and not getattr(item, "shape", ()) else part for part, weak, item in parts
        ]
        dtype = together(self.name, "any", *numbers)[0].dtype
        return concatenate([astype(part, dtype) for part, _, _ in parts], axis)

    def _directive(self, text: str) -> tuple[int, int, int]:
        """The axis, the least rank and the place of the new axes, from such a string as '0,2,-1'."""
        if text in ("r", "c"):
            raise NotImplementedError(
                f"{self.name}[{text!r}]{errors.at_user_line()}: there are no matrices; use '0,2' or '0,2,0'"
            )
        try:
            numbers = [int(n) for n in text.split(",")]
            defaults = [self.axis, self.ndmin, -1]
            axis, ndmin, start = numbers + defaults[len(numbers) :]
        except ValueError:
            raise ValueError(
                f"{self.name}: the directive {text!r}{errors.at_user_line()} is not of up to three integers: "
                "axis, least rank, place of the axes"
            ) from None
        return axis, ndmin, start

    def __repr__(self) -> str:
        return f"<covector.numpy.{self.name}>"


r_ = _Concatenated(
    "r_",
    """Arrays, numbers and ranges (slices) one after another along the first axis: indexed with them.

    A first string 'axis,ndmin,start' says along which axis, of what least rank, and before which new axes they stand.

    >>> from covector import numpy as cnp
    >>> cnp.r_[1:4, 0, cnp.array([5, 6])]
    Array([1, 2, 3, 0, 5, 6], dtype=int32)
    """,
    0,
    1,
    -1,
)
c_ = _Concatenated(
    "c_",
    """Arrays, numbers and ranges (slices) beside each other along the last axis, vectors as columns.

    >>> from covector import numpy as cnp
    >>> cnp.c_[cnp.array([1, 2]), cnp.array([3, 4])]
    Array([[1, 3],
           [2, 4]], dtype=int32)
    """,
    -1,
    2,
    0,
)


class _Index:
    """What is written between the brackets: see `s_` and `index_exp`."""

    def __init__(self, name: str, doc: str, always_tuple: bool):
        self.name, self.__doc__, self.always_tuple = name, doc, always_tuple

    def __getitem__(self, key: Any) -> Any:
        return (key,) if self.always_tuple and not isinstance(key, tuple) else key

    def __repr__(self) -> str:
        return f"<covector.numpy.{self.name}>"


s_ = _Index(
    "s_",
    """The index that is written between the brackets.

    >>> from covector import numpy as cnp
    >>> cnp.s_[1:3]
    slice(1, 3, None)
    """,
    False,
)
index_exp = _Index(
    "index_exp",
    """The index that is written between the brackets, as a tuple.

    >>> from covector import numpy as cnp
    >>> cnp.index_exp[1:3]
    (slice(1, 3, None),)
    """,
    True,
)


def block(arrays: Any) -> Any:
    """Arrays put together as nested lists show them: the innermost along the last axis, and so on outwards.

    ValueError for an empty list, or lists of different depths; TypeError for shapes that do not fit.

    >>> from covector import numpy as cnp
    >>> cnp.block([[cnp.eye(2), cnp.ones((2, 1))]])
    Array([[1., 0., 1.],
           [0., 1., 1.]], dtype=float32)
    """
    depth = _depth(arrays)
    leaves = [lift("block", x) for x in _leaves(arrays)]
    rank = max([depth, *[x.ndim for x in leaves]])
    return _joined(arrays, depth, rank)


def _leaves(arrays: Any) -> list[Any]:
    return [x for part in arrays for x in _leaves(part)] if isinstance(arrays, list) else [arrays]


def _depth(arrays: Any) -> int:
    """How deep the lists are nested."""
    if isinstance(arrays, tuple):
        raise TypeError(
            f"block takes lists of arrays, got the tuple {arrays!r}{errors.at_user_line()}"
        )
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(x) for x in arrays}
    if len(depths) != 1:
        raise ValueError(
            f"block: the list {arrays!r}{errors.at_user_line()} "
            + ("is empty" if not depths else "holds parts of different depths")
        )
    return depths.pop() + 1


def _joined(arrays: Any, depth: int, rank: int) -> Any:
    if depth == 0:
        return array(lift("block", arrays), ndmin=rank)
    return concatenate([_joined(x, depth - 1, rank) for x in arrays], -depth)


# ------------------------------------------------------------------------------------------- indices


def ix_(*args: Any) -> tuple[Any, ...]:
    """Vectors of indices so shaped that together they index a grid: each along an axis of its own.

    Vectors of bool stand for the places where they hold.  ValueError for other than vectors.

    >>> from covector import numpy as cnp
    >>> rows, columns = cnp.ix_(cnp.array([0, 2]), cnp.array([1]))
    >>> rows.shape, columns.shape
    ((2, 1), (1, 1))
    """
    out = []
    for i, arg in enumerate(args):
        x = lift("ix_", asarray(arg) if isinstance(arg, Sequence) else arg)
        if x.ndim != 1:
            raise ValueError(f"ix_ takes vectors, got shape {x.shape}{errors.at_user_line()}")
        x = nonzero(x)[0] if x.dtype == dtypes.bool_ else x
        x = astype(x, dtypes.int32) if x.shape[0] == 0 else x
        out.append(reshape(x, tuple([x.shape[0] if k == i else 1 for k in range(len(args))])))
    return tuple(out)


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the elements on the diagonal of an array with `ndim` axes of length n, one for each axis.

    >>> from covector import numpy as cnp
    >>> cnp.diag_indices(2)
    (Array([0, 1], dtype=int32), Array([0, 1], dtype=int32))
    """
    n, ndim = integer_of(n, "n"), integer_of(ndim, "ndim")
    if n < 0 or ndim < 0:
        raise ValueError(
            f"diag_indices: n is {n} and ndim {ndim}{errors.at_user_line()}, neither may be negative"
        )
    return (arange(n),) * ndim


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """The indices of the elements on the diagonal of an array, all of whose axes have one length (ValueError).

    >>> from covector import numpy as cnp
    >>> cnp.diag_indices_from(cnp.ones((2, 2)))
    (Array([0, 1], dtype=int32), Array([0, 1], dtype=int32))
    """
    a = lift("diag_indices_from", arr)
    if a.ndim < 2 or len(set(a.shape)) != 1:
        raise ValueError(
            f"diag_indices_from takes two or more axes of one length, got shape {a.shape}{errors.at_user_line()}"
        )
    return diag_indices(a.shape[0], a.ndim)


def _matrix_shape(name: str, arr: Any) -> Any:
    a = lift(name, arr)
    if a.ndim != 2:
        raise ValueError(f"{name} takes a matrix, got shape {a.shape}{errors.at_user_line()}")
    return a.shape


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The rows and columns of a matrix's elements on and below the k-th diagonal, as int32.

    >>> from covector import numpy as cnp
    >>> cnp.tril_indices_from(cnp.ones((2, 2)))
    (Array([0, 1, 1], dtype=int32), Array([0, 0, 1], dtype=int32))
    """
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The rows and columns of a matrix's elements on and above the k-th diagonal, as int32.

    >>> from covector import numpy as cnp
    >>> cnp.triu_indices_from(cnp.ones((2, 2)))
    (Array([0, 0, 1], dtype=int32), Array([0, 1, 1], dtype=int32))
    """
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(n: int, mask_func: Any, k: Any = 0, *, size: int | None = None) -> Any:
    """The rows and columns where `mask_func(cnp.ones((n, n)), k)` is not zero; with `size` so many, filled with 0.

    >>> from covector import numpy as cnp
    >>> cnp.mask_indices(2, cnp.triu)
    (Array([0, 0, 1], dtype=int32), Array([0, 1, 1], dtype=int32))
    """
    return nonzero(mask_func(ones((n, n)), k), size=size)


_MODES = ("raise", "wrap", "clip")


def ravel_multi_index(
    multi_index: Sequence[Any],
    dims: Sequence[int],
    mode: Any = "raise",
    order: str = "C",
    *,
    dtype: Any = None,
) -> Any:
    """The places in the flattened array of a shape that indices along its axes stand for.

    Indices out of bounds raise ValueError, for which they must be concrete; or with mode 'wrap' they count round, and
    with 'clip' the nearest is meant: one mode, or one for each axis.

    >>> from covector import numpy as cnp
    >>> cnp.ravel_multi_index((cnp.array([0, 1]), cnp.array([2, 0])), (2, 3))
    Array([2, 3], dtype=int32)
    """
    shape = shape_of(dims, "dims")
    modes = (mode,) * len(shape) if isinstance(mode, str) else tuple(mode)
    if len(multi_index) != len(shape) or len(modes) != len(shape):
        raise ValueError(
            f"ravel_multi_index: {len(multi_index)} indices and {len(modes)} modes for {len(shape)} axes"
            f"{errors.at_user_line()}"
        )
    if order not in ("C", "F") or not set(modes) <= set(_MODES):
        raise ValueError(
            f"ravel_multi_index: mode {mode!r}, order {order!r}{errors.at_user_line()}; a mode is one of "
            f"{', '.join(_MODES)}, an order 'C' or 'F'"
        )
    wanted = dtypes.position_dtype(*shape) if dtype is None else dtypes.as_dtype(dtype)
    parts = []
    for x, n, each in zip(multi_index, shape, modes, strict=True):
        i = lift("ravel_multi_index", x)
        if dtypes.is_inexact(i.dtype):
            raise TypeError(
                f"ravel_multi_index takes integers, got {typeof(i).text()}{errors.at_user_line()}"
            )
        if each == "raise":
            values = known("ravel_multi_index", i, "use mode='clip' or mode='wrap'")
            if ((values < 0) | (values >= n)).any():
                raise ValueError(
                    f"ravel_multi_index: an index is out of bounds for an axis of length {n}{errors.at_user_line()}"
                )
        i = clip(i, 0, n - 1) if each == "clip" else el.remainder(i, n) if each == "wrap" else i
        parts.append(cast(i, wanted))
    if not parts:
        return asarray(0, wanted)
    lengths = list(shape)
    if order == "F":
        parts, lengths = parts[::-1], lengths[::-1]
    out = parts[0]
    for i, n in zip(parts[1:], lengths[1:], strict=True):
        out = el.add(el.multiply(out, n), i)
    return out


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The indices along the axes of a shape for places in its flattened array, negative ones counted from the end.

    Places out of bounds stand for the nearest element.

    >>> from covector import numpy as cnp
    >>> cnp.unravel_index(cnp.array([1, 5]), (2, 3))
    (Array([0, 1], dtype=int32), Array([1, 2], dtype=int32))
    """
    i, sizes = lift("unravel_index", indices), shape_of(shape)
    if dtypes.is_inexact(i.dtype):
        raise TypeError(
            f"unravel_index takes integers, got {typeof(i).text()}{errors.at_user_line()}"
        )
    if i.dtype == dtypes.bool_:
        i = cast(i, dtypes.int32)
    total = operator.index(product(sizes))
    if total == 0:
        raise ValueError(
            f"unravel_index of the shape {sizes}{errors.at_user_line()}, which has no elements"
        )
    i = clip(where(el.less(i, 0), el.add(i, total), i), 0, total - 1)
    out = []
    for n in reversed(sizes):
        out.append(el.remainder(i, n))
        i = el.floor_divide(i, n)
    return tuple(out[::-1])


# ------------------------------------------------------------------------------------------- ranges


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers from `start` to `stop`, each the same multiple of the one before it, along an axis.

    The ends have one sign, or are complex; as a float unless a dtype is given.  ValueError for a negative `num`.

    >>> from covector import numpy as cnp
    >>> cnp.geomspace(1, 1000, 4)
    Array([   1.,   10.,  100., 1000.], dtype=float32)
    """
    num = integer_of(num, "num")
    low, high = together("geomspace", "inexact", start, stop)
    wanted = low.dtype if dtype is None else dtypes.as_dtype(dtype)
    above = wanted if dtypes.is_inexact(wanted) else dtypes.float64
    computed = dtypes.promote((low.dtype, False), (above, False))[0]
    low, high = broadcast_arrays(astype(low, computed), astype(high, computed))
    sign = el.sign(low)
    ends = [el.log10(el.divide(x, sign)) for x in (low, high)]
    values = el.multiply(logspace(ends[0], ends[1], num, endpoint), sign)
    if num > 0:  # exactly, at the ends
        values = concatenate([prims.expand_dims(low, (0,)), cut(values, 0, 1, num)])
    if num > 1 and endpoint:
        values = concatenate([cut(values, 0, 0, num - 1), prims.expand_dims(high, (0,))])
    if dtypes.is_integer(wanted):  # a whole number that is meant is met
        near = el.rint(values)
        off = el.abs(el.subtract(values, near))
        values = where(el.less(off, el.multiply(el.abs(near), 1e-12)), near, values)
    return astype(moveaxis(values, 0, axis), wanted)
