"""Eager `vmap` in a native batch: of what is inside no trace but those of native levels.

Calls of operators, functions of `covector.numpy` and jitted functions are batched in native code; `MappedTrace` is for
the primitives that Python code applies one by one.  The specification is the trace of `transforms/batch.py`, which
serves every other nesting.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from covector._engine import _native, primitives as prims
from covector._engine.core import levels
from covector._engine.core.levels import LevelTrace, MappedTracer
from covector._engine.core.trace import current, named_axes, naming, set_current
from covector._engine.runtime.eager import (
    as_array,
    batched_by_rules,
    function_of,
    operand_of,
    ufunc_of,
)
from covector._engine.transforms.batch import batch_flat
from covector._engine.transforms.forward import FlatFunction
from covector._engine.types.dims import Dim


class MappedTrace(LevelTrace):
    """Batches operations on values of its batch."""

    __slots__ = ()

    mapping: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """How many elements the batch has."""
        return self._batch.size

    @property
    def _batch(self) -> _native.Batch:
        assert isinstance(self.level, _native.Batch)
        return self.level

    def enter(self, x: Any, axis: int) -> Any:
        """An element of a value that has this batch axis."""
        return self._batch.input(x, axis)

    def leave(self, x: Any) -> tuple[Any, int | None]:
        """The value that an element stands for, and its batch axis."""
        mine = type(x) is MappedTracer and x._trace is self.level
        return (x.value, x.axis) if mine else (x, None)

    def concerns(self, primitive: Any) -> bool:
        # Functions of an `Online` may close over what is mapped.
        name = self.axis_name
        return primitive.online or (name is not None and name in primitive.axis_names)

    def apply(self, primitive: Any, args: Sequence[Any]) -> Any:
        if isinstance(primitive, prims.ElementwiseBase):
            return ufunc_of(primitive, len(args))(*[as_array(x) for x in args])
        operands = [operand_of(primitive, x) for x in args]
        named = named_axes() and (primitive.axis_names or primitive.asks_axis)
        if primitive.online or primitive.effects or named:
            marks, _ = _native.marks(operands)
            return batched_by_rules(primitive, operands, marks, self._batch)
        return function_of(primitive)(*operands)


def batch(
    f: FlatFunction,
    args: Sequence[Any],
    axes: Sequence[int | None],
    size: Dim,
    axis_name: Hashable = None,
) -> tuple[list[Any], list[int | None]]:
    """As `batch_flat`, natively where that serves."""
    if type(size) is not int or not levels.serves():
        return batch_flat(f, args, axes, size, axis_name)
    if not all(d is None or _native.is_native_value(x) for x, d in zip(args, axes, strict=True)):
        return batch_flat(f, args, axes, size, axis_name)
    inside = _native.Batch(size)
    values = [x if d is None else inside.input(x, d) for x, d in zip(args, axes, strict=True)]
    trace = MappedTrace(inside, current(), axis_name)
    before = set_current(trace)
    outer = _native.set_level(inside)
    try:
        with naming(axis_name, size):
            outs = f(*values)
    finally:
        _native.set_level(outer)
        inside.close()
        set_current(before)
    left = [trace.leave(x) for x in outs]
    return [x for x, _ in left], [axis for _, axis in left]
