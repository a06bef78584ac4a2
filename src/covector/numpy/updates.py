"""Updates at an index: x.at[index].set(y) and its kin, which return the changed array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import bounded
from covector._engine.core import trace
from covector._engine.core.trace import SCALARS
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import asarray, ones_like
from covector.numpy.fused import fused
from covector.numpy.indexing import (
    Form,
    Plan,
    Window,
    form_of,
    index_of,
    index_vectors,
    mode_of,
    new_axes,
    parse,
    read,
    read_index,
    read_strided,
    result_axes,
    starts_of,
)  # fmt: skip
from covector.numpy.promotion import Array, Shape, cast, spread
from covector.numpy.shape import broadcast_shapes

__all__ = ["At", "AtIndex", "at"]

Combine = Callable[[Any, Any], Any]

_COMBINE: dict[str, Combine] = {
    "set": lambda old, new: new, "add": prims.add, "mul": prims.mul, "min": prims.minimum, "max": prims.maximum,
}  # fmt: skip


def update(x: Any, index: Any, y: Any, combine: str, mode: Any = None, unique: bool = False) -> Any:
    """The array with `y`, broadcast to the shape of x[index], combined into it there."""
    wanted = mode_of(mode, "fill")
    y = y if type(y) in SCALARS else asarray(y)
    if type(x) is not Array or trace.current() is not trace.EVAL:
        return _update_plan(x, parse(index, x.shape, mode is None), y, combine, wanted, unique)
    form, numbers = form_of(index, x.shape, mode is None)
    if mode is None and not any(type(n) is Array for n in numbers):
        wanted = "clip"  # known to be in bounds
    return _update_form(x, numbers, y, form=form, combine=combine, mode=wanted, unique=bool(unique))


@fused("form", "combine", "mode", "unique")
def _update_form(
    x: Any,
    numbers: tuple[Any, ...],
    y: Any,
    form: Form,
    combine: str,
    mode: prims.IndexMode,
    unique: bool,
) -> Any:
    """An update, compiled for the index's form."""
    return _update_plan(
        x, parse(index_of(form, numbers), x.shape, checked=False), y, combine, mode, unique
    )


def _update_plan(
    x: Any, plan: Plan, y: Any, combine: str, mode: prims.IndexMode, unique: bool
) -> Any:
    y = asarray(y, x.dtype)
    if x.dtype == dtypes.bool_ and combine != "set":
        wide = (cast(v, dtypes.int32) for v in (x, y))
        return cast(_update_plan(next(wide), plan, next(wide), combine, mode, unique), dtypes.bool_)
    return _inside_strides(x, plan, list(plan.strided), y, combine, mode, unique)


def _inside_strides(
    x: Any, plan: Plan, strided: list[Any], y: Any, combine: str, mode: str, unique: bool
) -> Any:
    """Strided slices from the outside in: the part is read, changed, and put back."""
    if not strided:
        return _update_windows(x, plan, y, combine, mode, unique)
    s, *rest = strided
    part = _inside_strides(read_strided(x, s), plan, rest, y, combine, mode, unique)
    if s.reverse:
        part = prims.Reverse((s.axis,))(part)
    if s.step == 1 and s.size == x.shape[s.axis]:
        return part
    rank = len(x.shape)
    low = tuple([s.start if i == s.axis else 0 for i in range(rank)])
    high = tuple(
        [
            n - s.start - (s.size - 1) * s.step - 1 if i == s.axis else 0
            for i, n in enumerate(x.shape)
        ]
    )
    interior = tuple([s.step - 1 if i == s.axis else 0 for i in range(rank)])
    pad = prims.Pad(low, high, interior)
    mine = pad(prims.full(part.shape, True, dtypes.bool_), dtypes.bool_.type(False))
    return prims.select(mine, pad(part, x.dtype.type(0)), x)


def _update_windows(x: Any, plan: Plan, y: Any, combine: str, mode: str, unique: bool) -> Any:
    if plan.arrays or (plan.dynamic and mode != "clip"):
        return _scatter(x, plan, y, combine, mode, unique)
    sizes = tuple([w.size for w in plan.windows])
    y = prims.Reshape(sizes)(_fitted(y, _result_shape(plan, ())))
    whole = all(_is_whole(w, n) for w, n in zip(plan.windows, x.shape, strict=True))
    if combine != "set":
        old = read(
            x,
            Plan(
                (),
                tuple([Window(w.start, w.size, True) for w in plan.windows]),
                (),
                tuple(range(len(sizes))),
            ),
            "clip",
        )
        y = _COMBINE[combine](old, y)
    return y if whole else prims.DynamicUpdateSlice()(x, y, *starts_of(plan.windows))


def _is_whole(w: Window, n: Any) -> bool:
    return not w.dynamic and w.start == 0 and w.size == n


def _result_shape(plan: Plan, lead: Shape) -> Shape:
    """The shape of x[index]; `lead` is that of the index arrays together."""
    shape: list[Any] = []
    for entry in plan.layout:
        if entry == "indices":
            shape += lead
        elif isinstance(entry, int):
            shape.append(plan.windows[entry].size)
        else:
            shape.append(1)
    return tuple(shape)


def _fitted(y: Any, shape: Shape) -> Any:
    """The update in the shape of x[index]; leading axes of length 1 beyond that go."""
    extra = len(y.shape) - len(shape)
    if extra > 0 and all(n == 1 for n in y.shape[:extra]):
        y = prims.Reshape(y.shape[extra:])(y)
    try:
        fits = broadcast_shapes(y.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"an update of shape {y.shape} does not fit the indexed elements, which have the shape {shape}"
            f"{errors.at_user_line()}"
        )
    return spread(y, shape)


def _scatter(x: Any, plan: Plan, y: Any, combine: str, mode: str, unique: bool) -> Any:
    vectors, axes = index_vectors(plan, x.shape)
    y = _fitted(y, _result_shape(plan, vectors.shape[:-1]))
    y = prims.squeeze(y, new_axes(plan))
    inserted = tuple([i for i, w in enumerate(plan.windows) if not w.stays])
    numbers = prims.ScatterDimensionNumbers(result_axes(plan), inserted, axes)
    return prims.Scatter(numbers, mode, combine, unique)(x, vectors, y)  # type: ignore[arg-type]


@bounded
class AtIndex:
    """One place in an array, to be read or updated: what x.at[index] gives.

    Every method returns a new array and leaves the old one as it is.  Indices that are data and out of bounds are
    left out when updating; mode="clip" takes the nearest place instead.  Of several updates of one element `add`,
    `multiply`, `min` and `max` count all, `set` keeps the last.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any):
        self.array, self.index = array, index

    def __repr__(self) -> str:
        return f"AtIndex({self.array!r}, {self.index!r})"

    def get(
        self, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        fill_value: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """x[index], with a choice of what happens out of bounds: mode="fill" gives `fill_value` (NaN)."""
        return read_index(self.array, self.index, mode_of(mode, "clip"), fill_value, mode is None)

    def _update(self, combine: str, values: Any, options: dict[str, Any]) -> Any:
        unknown = set(options) - {
            "mode",
            "indices_are_sorted",
            "unique_indices",
            "fill_value",
            "wrap_negative_indices",
            "out_sharding",
        }
        if unknown:
            raise TypeError(
                f"unknown options of an update: {', '.join(sorted(unknown))}{errors.at_user_line()}"
            )
        unique = options.get("unique_indices", False)
        return update(self.array, self.index, values, combine, options.get("mode"), unique)

    def set(self, values: Any, /, **options: Any) -> Any:
        """The array with these values at the index.

        >>> from covector import numpy as cnp
        >>> cnp.zeros(3).at[1].set(5.)
        Array([0., 5., 0.], dtype=float32)
        """
        return self._update("set", values, options)

    def add(self, values: Any, /, **options: Any) -> Any:
        """The array with these values added at the index."""
        return self._update("add", values, options)

    def subtract(self, values: Any, /, **options: Any) -> Any:
        """The array with these values subtracted at the index."""
        return self._update("add", el.negative(asarray(values)), options)

    def multiply(self, values: Any, /, **options: Any) -> Any:
        """The array multiplied by these values at the index."""
        return self._update("mul", values, options)

    mul = multiply

    def min(self, values: Any, /, **options: Any) -> Any:
        """The array with the smaller of its elements and these values at the index."""
        return self._update("min", values, options)

    def max(self, values: Any, /, **options: Any) -> Any:
        """The array with the larger of its elements and these values at the index."""
        return self._update("max", values, options)

    def divide(self, values: Any, /, **options: Any) -> Any:
        """The array divided by these values at the index."""
        by = update(ones_like(self.array), self.index, values, "mul", options.get("mode"))
        return el.divide(self.array, by)

    def power(self, values: Any, /, **options: Any) -> Any:
        """The array to the power of these values at the index."""
        exponents = update(ones_like(self.array), self.index, values, "mul", options.get("mode"))
        return el.power(self.array, exponents)

    def apply(self, func: Callable[[Any], Any], /, **options: Any) -> Any:
        """The array with a function applied to the elements at the index, once to each."""
        return self._update("set", func(self.get(mode=options.get("mode"))), options)


class At:
    """x.at: indexed, it gives the place to be updated."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self.array, index)

    def __repr__(self) -> str:
        return f"At({self.array!r})"


def at(x: Any) -> At:
    """The updates of an array."""
    return At(x)
