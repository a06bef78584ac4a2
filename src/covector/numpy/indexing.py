"""Indexing: x[...].  What is out of bounds at run time is clamped or filled, as in JAX."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.core import trace
from covector._engine.core.levels import LevelTracer
from covector.numpy.fused import fused, outside
from covector.numpy.index_plan import (
    Form,
    IndexPlan,
    Strided,
    Window,
    form_of,
    given_entries,
    index_of,
    index_vectors,
    is_array,
    lead_of,
    new_axes,
    parse,
    result_axes,
    result_shape,
    starts_of,
)
from covector.numpy.operands import converted
from covector.numpy.promotion import (
    Array,
    Shape,
)

__all__ = ["getitem"]


_MODES: dict[str, prims.IndexMode] = {
    "clip": "clip",
    "fill": "fill",
    "drop": "fill",
    "fill_or_drop": "fill",
    "promise_in_bounds": "promise_in_bounds",
}


def getitem(x: Any, index: Any) -> Any:
    """x[index]: NumPy's indexing.

    Integers out of bounds raise IndexError; those in Arrays are clamped to the bounds, inside jit or not.
    """
    if type(x) is Array and trace.current() is trace.EVAL:
        entries = tuple(given_entries(index))
        if not any(map(is_array, entries)):
            return _read_host(x, entries)
        index = entries
    return read_index(x, index, "clip")


def read_index(
    x: Any,
    index: Any,
    mode: prims.IndexMode,
    fill_value: Any = None,
    checked: bool = True,
    wrap: bool = True,
) -> Any:
    """x[index], with what happens out of bounds; outside any trace it is compiled for the index's form."""
    if not (type(x) is Array or isinstance(x, LevelTracer)) or not outside():
        return read(x, parse(index, x.shape, checked, wrap), mode, fill_value)
    form, numbers = form_of(index, x.shape, checked, wrap)
    return _read_form(x, numbers, form=form, mode=mode, fill_value=fill_value, wrap=wrap)


@fused("form", "mode", "fill_value", "wrap")
def _read_form(
    x: Any, numbers: tuple[Any, ...], form: Form, mode: prims.IndexMode, fill_value: Any, wrap: bool
) -> Any:
    """x[index], compiled for the index's form."""
    return read(x, parse(index_of(form, numbers), x.shape, False, wrap), mode, fill_value)


def _read_host(x: Any, index: Any) -> Any:
    """Basic indexing of an array that is there: a copy of NumPy's view, which compiles nothing."""
    with suppress(IndexError):
        found = _native.array_from(np.asarray(x)[index], None, x.weak_type)
        return _native.commit(found) if x.committed else found
    return read(x, parse(index, x.shape), "clip")  # says it better, or a Number is out of bounds


def read(x: Any, plan: IndexPlan, mode: prims.IndexMode, fill_value: Any = None) -> Any:
    """The elements that a plan is for."""
    for s in plan.strided:
        x = read_strided(x, s)
    shape = result_shape(plan, lead_of(plan))
    if 0 in shape:
        return converted(prims.full(shape, 0, x.dtype), x.dtype, x.weak_type)
    check_not_empty(plan, x.shape)
    if plan.advanced or (plan.dynamic and mode == "fill"):
        out = _gather(x, plan, mode, fill_value)
    else:
        out = _read_window(x, plan.windows)
        out = prims.squeeze(out, [i for i, w in enumerate(plan.windows) if not w.stays])
    return prims.expand_dims(out, new_axes(plan))


def read_strided(x: Any, s: Strided) -> Any:
    """A strided slice along one axis."""
    starts = tuple([s.start if i == s.axis else 0 for i in range(x.ndim)])
    stop = s.start + (s.size - 1) * s.step + 1
    limits = tuple([stop if i == s.axis else n for i, n in enumerate(x.shape)])
    if (starts, limits) != ((0,) * x.ndim, x.shape) or s.step != 1:
        x = prims.Slice(
            starts, limits, tuple([s.step if i == s.axis else 1 for i in range(x.ndim)])
        )(x)
    return prims.Reverse((s.axis,))(x) if s.reverse else x


def _read_window(x: Any, windows: Sequence[Window]) -> Any:
    sizes = tuple([w.size for w in windows])
    if any(w.dynamic for w in windows):
        return prims.DynamicSlice(sizes)(x, *starts_of(windows))
    if sizes == x.shape:
        return x
    limits = tuple([w.start + w.size for w in windows])
    return prims.Slice(tuple([w.start for w in windows]), limits, (1,) * len(windows))(x)


def check_not_empty(plan: IndexPlan, shape: Shape) -> None:
    """IndexError if elements are taken along an axis that has none."""
    for axis, _ in plan.arrays:
        if shape[axis] == 0:
            raise IndexError(
                f"elements were indexed along axis {axis}, which has size 0{errors.at_user_line()}"
            )


def _gather(x: Any, plan: IndexPlan, mode: prims.IndexMode, fill_value: Any) -> Any:
    vectors, axes = index_vectors(plan, x.shape)
    collapsed = tuple([i for i, w in enumerate(plan.windows) if not w.stays])
    numbers = prims.GatherDimensionNumbers(result_axes(plan), collapsed, axes)
    return prims.Gather(numbers, tuple([w.size for w in plan.windows]), mode, fill_value)(
        x, vectors
    )


def mode_of(mode: Any, default: prims.IndexMode) -> prims.IndexMode:
    """A mode by its name, or as a GatherScatterMode; ValueError if there is none such."""
    if mode is None:
        return default
    name = str(getattr(mode, "name", mode)).lower()
    if name not in _MODES:
        raise ValueError(
            f"{mode!r} is no mode of indexing{errors.at_user_line()}; there are 'clip', 'fill' (reading), "
            "'drop' (writing) and 'promise_in_bounds'"
        )
    return _MODES[name]
