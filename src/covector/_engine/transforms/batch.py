"""Batching: `BatchTrace` computes with arrays that hold one more axis than the function sees."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.record import record
from covector._engine.core.levels import Element, MappedTracer
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.trace import (
    Trace,
    Tracer,
    _state,
    check_leaks,
    current,
    naming,
    set_current,
    stand_in,
    typeof,
)
from covector._engine.transforms.forward import FlatFunction
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class BatchTracer(Element):
    """One element of a batch, standing for all: its value has the batch axis `axis`."""

    __slots__ = ("_aval", "axis", "mark", "value")

    def __init__(self, trace: BatchTrace, value: Any, axis: int):
        self._trace, self.mark, self.value, self.axis = trace, trace.mark, value, axis
        self._aval: ShapedArray | None = None

    @property
    def aval(self) -> ShapedArray:
        aval = self._aval
        if aval is None:
            whole = typeof(self.value)
            aval = self._aval = whole.with_shape(
                whole.shape[: self.axis] + whole.shape[self.axis + 1 :]
            )
        return aval

    @property
    def source(self) -> errors.Source | None:
        return self.value.source if isinstance(self.value, Tracer) else None


class BatchTrace(Trace):
    """Runs each primitive's batch rule.  The rule runs with the parent as the current trace."""

    __slots__ = ("axis_name", "mark", "size")

    mapping: ClassVar[bool] = True

    def __init__(self, parent: Trace, size: Dim, axis_name: Hashable = None, mark: object = None):
        super().__init__(parent, parent.staging)
        self.size, self.axis_name = size, axis_name
        # What its tracers are known by.  A function of a custom rule may be run again over other traces, and is batched
        # in the same way then: by another trace with this mark.
        self.mark = object() if mark is None else mark

    def owns(self, x: Tracer) -> bool:
        return self._axis_of(x) is not None

    def enter(self, x: Any, axis: int) -> Any:
        """An element of a value that has this batch axis."""
        return BatchTracer(self, x, axis)

    def leave(self, x: Any) -> tuple[Any, int | None]:
        """The value that an element stands for, and its batch axis."""
        axis = self._axis_of(x)
        return (x, None) if axis is None else (x.value, axis)

    def _axis_of(self, x: Any) -> int | None:
        """The batch axis of what is mapped in this batch."""
        if type(x) is BatchTracer:
            return x.axis if x.mark is self.mark else None
        # A function of a custom rule in a native batch may close over values of that.
        return x.axis if type(x) is MappedTracer and x._trace is self.mark else None

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        if _state.stand_ins:
            args = [stand_in(x) for x in args]
        values: list[Any] = []
        dims: list[int | None] = []
        live = primitive.online  # functions may close over what is mapped
        for x in args:
            axis = self._axis_of(x)
            live |= axis is not None
            values.append(x if axis is None else x.value)
            dims.append(axis)
        parent = self.parent
        assert parent is not None
        name = self.axis_name
        if not live and (name is None or name not in primitive.axis_names):
            return parent.process(primitive, args)
        before = _state.trace
        _state.trace = parent
        try:
            how = Batching(self.size, name, self.mark)
            out, axis = how.applied(primitive, values, dims)
        finally:
            _state.trace = before
        if primitive.multiple:
            return tuple(
                [
                    o if d is None else BatchTracer(self, o, d)
                    for o, d in zip(out, axis, strict=True)
                ]
            )
        return out if axis is None else BatchTracer(self, out, axis)


def batch_flat(
    f: FlatFunction,
    args: Sequence[Any],
    dims: Sequence[int | None],
    size: Dim,
    axis_name: Hashable = None,
    mark: object = None,
) -> tuple[list[Any], list[int | None]]:
    """Results and their batch axes, for arguments with the batch axes `dims`; None: the same for all elements."""
    trace = BatchTrace(current(), size, axis_name, mark)
    values = [x if d is None else BatchTracer(trace, x, d) for x, d in zip(args, dims, strict=True)]
    before = set_current(trace)
    try:
        with naming(axis_name, size):
            outs = f(*values)
    finally:
        set_current(before)
    left = [trace.leave(x) for x in outs]
    found, axes = [x for x, _ in left], [axis for _, axis in left]
    if config.check_tracer_leaks:
        ended = weakref.ref(trace)
        del trace, values, outs, left  # or they would be what still refers to it
        check_leaks(ended, "a function under vmap")
    return found, axes


@record
class Batching:
    """A batch: its size, the name of its axis, and what its tracers are known by (None: a new one each time)."""

    size: Dim
    axis_name: Hashable = None
    mark: object = None

    def applied(
        self, primitive: Primitive, args: Sequence[Any], dims: Sequence[int | None]
    ) -> tuple[Any, Any]:
        """The result of a primitive and its batch axis, by its rule, under the current trace."""
        if isinstance(primitive, Online):
            return primitive.batch_online(args, dims, self)
        return primitive.batch_named(args, dims, self.size, self.axis_name)

    def flat(
        self, f: FlatFunction, args: Sequence[Any], dims: Sequence[int | None]
    ) -> tuple[list[Any], list[int | None]]:
        """As `batch_flat`, in this batch."""
        return batch_flat(f, args, dims, self.size, self.axis_name, self.mark)


def place_axis(x: Any, axis: int | None, target: int, size: Dim) -> Any:
    """The value with its batch axis at `target`; repeated along a new one if it has none."""
    return (
        prims.add_batch_axis(x, size, target) if axis is None else prims.move_axis(x, axis, target)
    )
