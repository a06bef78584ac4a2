"""The native levels of eager transformations, as Python knows them: their traces, and their values.

Outside of any other trace `grad` records on a native tape, and `vmap` computes in a native batch (see
`native/dispatch/levels.h`); they may stand on each other.  Calls of operators, functions of `covector.numpy` and jitted
functions are theirs in native code.  A `LevelTrace` is for the primitives that Python code applies one by one.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core.trace import Trace, Tracer, current, using
from covector._engine.types.avals import ShapedArray

Level = _native.Tape | _native.Batch


class LevelTrace(Trace):
    """Hands operations on values of its level to native code; its parent computes the others."""

    __slots__ = ("axis_name", "level")

    native: ClassVar[bool] = True

    def __init__(self, level: Level, parent: Trace, axis_name: Hashable = None):
        super().__init__(parent, False)
        self.level, self.axis_name = level, axis_name

    def owns(self, x: Tracer) -> bool:
        return isinstance(x, LevelTracer) and x.level is self.level

    def process(self, primitive: Any, args: Sequence[Any]) -> Any:
        level: Any = self.level
        if not self.concerns(primitive):
            for x in args:
                if isinstance(x, LevelTracer) and x._trace is level:
                    break
            else:
                assert self.parent is not None
                return self.parent.process(primitive, args)
        before = _native.set_level(level)
        try:
            return self.apply(primitive, args)
        finally:
            _native.set_level(before)

    def concerns(self, primitive: Any) -> bool:
        """Whether it is this level's, whatever its operands are."""
        return False

    def apply(self, primitive: Any, args: Sequence[Any]) -> Any:
        """The results of a primitive, some of whose operands are of this level, which is the innermost."""
        raise NotImplementedError


def trace_of(level: Level) -> LevelTrace:
    """The trace of a level that is in progress."""
    at: Trace | None = current()
    while at is not None:
        if isinstance(at, LevelTrace) and at.level is level:
            return at
        at = at.parent
    raise errors.UnexpectedTracerError(errors.leaked_tracer("a traced value", None))


@contextmanager
def outside(inside: LevelTrace) -> Generator[None]:
    """Run a block where the level stands on: its rules are operations there."""
    assert inside.parent is not None
    before = _native.set_level(inside.level.outer)
    try:
        with using(inside.parent):
            yield
    finally:
        _native.set_level(before)


class LevelTracer(Tracer):
    """A value of a level: what it has of Python's tracers."""

    __slots__ = ()

    @property
    def level(self) -> Level:
        """The level that it is of."""
        return self._trace  # type: ignore[return-value]

    @property
    def aval(self) -> ShapedArray:
        return ShapedArray(self.shape, self.dtype, self.weak_type)


class _OnTape(LevelTracer):
    """A value on a tape."""

    __slots__ = ()

    primal: Any

    def concrete(self) -> Any:
        return self.primal.concrete() if isinstance(self.primal, Tracer) else self.primal

    def _value(self, wanted: str, error: type[Exception] = errors.ConcretizationTypeError) -> Any:
        """An error: outside the traces the tangent would be lost.  (`bool`, which has no derivative, is free.)"""
        raise error(errors.detached_value(self.aval.text(), wanted))


class Element(Tracer):
    """One element of a batch, standing for all: what the tracers of both kinds of batches have."""

    __slots__ = ()

    _trace: Any

    def describe(self) -> str:
        return f"a mapped {self.aval.text()} (one value for each of {self._trace.size} elements)"

    def _unknown(self, wanted: str) -> str:
        return errors.mapped_value(self.describe(), wanted)

    def __bool__(self) -> bool:
        raise errors.TracerBoolConversionError(self._unknown("a truth value"))


class _InBatch(LevelTracer, Element):
    """A value in a batch."""

    __slots__ = ()

    value: Any
    axis: int


TapeTracer: Any = _native.tape_tracer_type(_OnTape)
MappedTracer: Any = _native.mapped_tracer_type(_InBatch)


def serves() -> bool:
    """Whether levels serve here: there is no trace but theirs, and no flag that wants each operation looked at."""
    looked_at = config.debug_nans or config.debug_infs or config.check_tracer_leaks
    return current().native and config.fast_paths and not looked_at


def marked(x: Any) -> bool:
    """Whether calls of now know a value as one of the innermost level."""
    return isinstance(x, LevelTracer) and x.level is _native.level()
