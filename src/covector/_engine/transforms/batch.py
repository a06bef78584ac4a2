"""Batching: `BatchTrace` computes with arrays that hold one more axis than the function sees."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.trace import (
    Trace,
    Tracer,
    _state,
    current,
    naming,
    set_current,
    stand_in,
    typeof,
)
from covector._engine.transforms.forward import FlatFunction
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


class BatchTracer(Tracer):
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

    def describe(self) -> str:
        trace = self._trace
        assert isinstance(trace, BatchTrace)
        return f"a mapped {self.aval.text()} (one value for each of {trace.size} elements)"

    def _unknown(self, wanted: str) -> str:
        return errors.mapped_value(self.describe(), wanted)

    def __bool__(self) -> bool:
        raise errors.TracerBoolConversionError(self._unknown("a truth value"))


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
        return type(x) is BatchTracer and x.mark is self.mark

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        if _state.stand_ins:
            args = [stand_in(x) for x in args]
        values: list[Any] = []
        dims: list[int | None] = []
        live, mark = primitive.online, self.mark  # functions may close over what is mapped
        for x in args:
            if type(x) is BatchTracer and x.mark is mark:
                live = True
                values.append(x.value)
                dims.append(x.axis)
            else:
                values.append(x)
                dims.append(None)
        parent = self.parent
        assert parent is not None
        name = self.axis_name
        if not live and (name is None or name not in primitive.axis_names):
            return parent.process(primitive, args)
        before = _state.trace
        _state.trace = parent
        try:
            if isinstance(primitive, Online):
                out, axis = primitive.batch_online(values, dims, Batching(self.size, name, mark))
            elif name is None:
                out, axis = primitive.batch(values, dims, self.size)
            else:
                out, axis = primitive.batch_named(values, dims, self.size, name)
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
        if axis_name is None:
            outs = f(*values)
        else:
            with naming(axis_name, size):
                outs = f(*values)
    finally:
        set_current(before)
    found: list[Any] = []
    axes: list[int | None] = []
    for x in outs:
        mine = type(x) is BatchTracer and x.mark is trace.mark
        found.append(x.value if mine else x)
        axes.append(x.axis if mine else None)
    return found, axes


@record
class Batching:
    """A batch: its size, the name of its axis, and what its tracers are known by (None: a new one each time)."""

    size: Dim
    axis_name: Hashable = None
    mark: object = None

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
