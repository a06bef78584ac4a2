"""Mutable references: cells that hold an array, and how traces take those that come from outside.

A cell is Python's: reading and writing it are no operations, so no pass of the compiler and no rule of a primitive
knows of them.  Where a function is staged that touches a cell from outside, the cell is *lifted*: its value becomes
one more input of the Program, and, if the function writes it, its last value one more output.  Who staged the
function reads the outer cell, applies the Program, and writes the cell; under a trace that lifts the cell there, in
turn.  So the order of reads and writes is that of the Python code, and derivatives and batching are those of values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeGuard, cast
from weakref import WeakSet

from covector._engine import _native
from covector._engine.base import errors, ref_errors
from covector._engine.base.record import record
from covector._engine.core.reach import may_reach
from covector._engine.core.trace import (
    EVAL,
    SCALARS,
    Array,
    Held,
    StagingTrace,
    Trace,
    Tracer,
    _state,
    current,
    stage,
    typeof,
    using,
)
from covector._engine.ir.program import Program
from covector._engine.types.avals import ShapedArray


def shared(value: Any) -> Any:
    """Another Array on the same buffer, for an Array: what a cell holds nobody else may have, as calls take it over."""
    return _native.with_weak_type(value, False) if type(value) is Array else value


def _frame(trace: Trace) -> Trace:
    """The innermost trace that records; the bottom if none does."""
    if not trace.staging:
        return EVAL
    while not isinstance(trace, StagingTrace):
        assert trace.parent is not None
        trace = trace.parent
    return trace


class Cell:
    """What a reference is without its indexing: an array that can be replaced by another of the same type."""

    __slots__ = (
        "__weakref__",
        "_borrowed",
        "_busy",
        "_gone",
        "_home",
        "_inner",
        "_level",
        "_own",
        "_single",
    )

    _is_ref: ClassVar[bool] = True  # for messages, which are below

    def __init__(
        self, inner: ShapedArray, value: Any, borrowed: bool = False, single: bool = False
    ):
        self._inner = inner  # the type of the value
        self._borrowed = borrowed  # stands for a cell of the caller's while a function runs
        self._single = single  # under vmap: has one value for all elements
        self._busy = False  # a compiled call is changing it
        self._level = current()
        self._home = _frame(self._level)
        self._own = Held(shared(value))
        self._gone: str | None = None
        _made.add(self)

    def _bound(self) -> Cell:
        """What stands for it where a rule is staged; itself elsewhere."""
        return _state.cells.get(self, self) if _state.cells else self

    def _held(self) -> tuple[Held, Trace]:
        """Where the current trace has its value, and the trace whose values it may hold."""
        if self._gone is not None:
            raise RuntimeError(ref_errors.gone(self._gone))
        if self._busy:
            raise RuntimeError(ref_errors.busy())
        frame = _frame(current())
        if frame is self._home:
            return self._own, self._level
        found = None
        if isinstance(frame, StagingTrace) and frame.refs is not None:
            found = frame.refs.get(self)
        return (self._lifted(frame) if found is None else found), frame

    def _lifted(self, frame: Trace) -> Held:
        if defers(frame):
            return cast("Later", frame.refs).held(self, frame)
        trace: Trace | None = frame
        while trace is not None and trace is not self._home and not defers(trace):
            trace = trace.parent
        if trace is None:
            raise errors.UnexpectedTracerError(ref_errors.leaked(self._inner.text()))
        assert isinstance(frame, StagingTrace), "a trace that records stands above the home"
        if frame.refs is None:
            raise errors.OutsideRefError(ref_errors.from_outside(frame.name))
        if isinstance(frame.refs, Reading):
            assert frame.parent is not None
            with using(frame.parent):
                found = frame.refs[self] = Held(self._read())
            return found
        found = frame.refs[self] = Held(frame.input(self._inner))
        return found

    def _read(self) -> Any:
        """The value, under the current trace."""
        return shared(self._bound()._held()[0].value)

    def _write(self, value: Any) -> None:
        """Replace the value by one of the same type, under the current trace."""
        cell = self._bound()
        held, level = cell._held()
        if (
            isinstance(level, StagingTrace)
            and isinstance(level.refs, Reading)
            and held is not cell._own
        ):
            raise errors.OutsideRefError(ref_errors.from_outside(level.name))
        cell._check(value, level)
        held.value, held.written = shared(value), True

    def _may_write(self) -> None:
        """ValueError where what is written here differs from element to element of a batch, or might."""
        cell = self._bound()
        cell._check(None, cell._held()[1])

    def _check(self, value: Any, level: Trace) -> None:
        """Whether a value may leave the transformations inside which it is written."""
        trace: Trace | None = current()
        while trace is not None and trace is not level:
            if trace.mapping:
                raise ValueError(ref_errors.written_in_vmap())
            if isinstance(value, Tracer) and trace.owns(value):
                raise TypeError(ref_errors.of_a_tangent())
            trace = trace.parent
        if (
            self._single
            and level is self._level
            and isinstance(value, Tracer)
            and level.owns(value)
        ):
            raise ValueError(ref_errors.of_a_batch())

    def _peek(self) -> Any:
        """For texts: the value where it was made; None elsewhere."""
        at_home = self._gone is None and not self._busy and _frame(current()) is self._home
        return self._own.value if at_home else None

    def _lend(self) -> Any:
        """The value itself, at the home trace, for a call that takes its memory over; `settle` ends that."""
        held, _ = self._held()
        self._busy = True
        return held.value

    def _settle(self, value: Any = None) -> None:
        """The end of `lend`, or of being busy, with the new value, which nobody else has; None if there is none."""
        self._busy = False
        if value is not None:
            self._own.value, self._own.written = value, True
        elif type(self._own.value) is Array and self._own.value.is_deleted():
            self._end("a compiled call that was changing it has failed")

    def _lendable(self, value: Any = None) -> bool:
        """Whether its value is an Array, of which a compiled call could take the memory, and so is what it gets."""
        if current() is not EVAL or self._level is not EVAL or isinstance(value, Tracer):
            return False
        held, _ = self._held()
        return held is self._own and type(held.value) is Array

    def _end(self, why: str) -> Any:
        """Make all further use an error; the last value."""
        value, self._own.value, self._gone = self._own.value, None, why
        self._home = self._level = EVAL  # the trace may go
        return value

    def _frozen(self, why: str) -> Any:
        """The last value, after which it cannot be used; RuntimeError unless this is where it was made."""
        held, _ = self._held()
        if held is not self._own or self._level is not current() or self._borrowed:
            raise RuntimeError(ref_errors.frozen_elsewhere())
        return self._end(why)

    @property
    def _lives(self) -> bool:
        """Whether it can still be used where it was made."""
        home = self._home
        return self._gone is None and not (isinstance(home, StagingTrace) and home.closed)

    @property
    def _outside(self) -> bool:
        """Whether it was made outside of any trace, so that it may be kept as long as what is compiled."""
        return self._level is EVAL

    @property
    def _written(self) -> bool:
        """Whether it was written where it was made."""
        return self._own.written


_native.set_cells(Cell, Held, EVAL)
_made: WeakSet[Cell] = WeakSet()  # those that there are


def any_made() -> bool:
    """Whether there is any reference that a function could touch."""
    return bool(_made)


def may_touch(rule: Any) -> bool:
    """Whether the rule of what is staged here might touch references that are values here."""
    refs = getattr(_frame(current()), "refs", None)
    if refs is None or isinstance(refs, Reading) or not _made:
        return False
    return may_reach(rule, Cell)


@contextmanager
def binding(pairs: Mapping[Any, Any]) -> Generator[None]:
    """Run a block in which the values of this mapping are read and written in the place of its keys."""
    before = _state.cells
    _state.cells = {**before, **pairs}
    try:
        yield
    finally:
        _state.cells = before


class Reading(dict[Any, Held]):
    """For a function that is staged to be applied once, at once: cells that it reads are constants of its Program.

    It may not write them.
    """


class Later(dict[Any, Held]):
    """For what is staged to run on the way back: there it reads and writes cells, which is recorded as operations."""

    deferred: ClassVar[Callable[[Any, StagingTrace], Any]]  # what is held by a cell, by operations

    def held(self, cell: Any, frame: StagingTrace) -> Any:
        """What a cell holds whenever the Program will run."""
        return type(self).deferred(cell, frame)


def defers(trace: Trace | None) -> TypeGuard[StagingTrace]:
    """Whether what is done to cells is recorded by this trace, as operations."""
    return isinstance(trace, StagingTrace) and isinstance(trace.refs, Later)


@record
class Use:
    """A cell from outside that a staged function touches."""

    cell: Any
    written: bool


Uses = tuple[Use, ...]


def stage_open(
    f: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    name: str = "main",
) -> tuple[Program, Uses]:
    """As `stage`, for functions that may touch cells from outside, and which these are.

    Each is one more input of the Program, after the others, and if written one more output.
    """
    refs: dict[Any, Held] = {}
    program = stage(f, avals, name, refs)
    return program, uses_of(refs)


def uses_of(refs: dict[Any, Held]) -> Uses:
    """What was done with the references that `stage` has met."""
    return tuple([Use(cell, held.written) for cell, held in refs.items()])


def held(uses: Uses) -> list[Any]:
    """The values of cells, under the current trace."""
    return [u.cell._read() for u in uses]


def settled(uses: Uses, outs: Sequence[Any]) -> Sequence[Any]:
    """The results of a Program that `stage_open` gave; the cells get their new values."""
    written = [u.cell for u in uses if u.written]
    if not written:
        return outs
    count = len(outs) - len(written)
    for cell, value in zip(written, outs[count:], strict=True):
        cell._write(value)
    return outs[:count]


def check_aliases(api: str, cells: Sequence[Any], captured: Uses = ()) -> None:
    """ValueError if a cell is among the arguments twice, or is an argument and captured too."""
    if not cells:
        return
    if len({id(c) for c in cells}) != len(cells):
        raise ValueError(ref_errors.passed_twice(api))
    mine = {id(c) for c in cells}
    if any(id(u.cell) in mine for u in captured):
        raise ValueError(ref_errors.passed_and_captured(api))


class Among:
    """The references among the leaves of arguments that are handed on as they are, around the other leaves.

    With `numbers`, Python's numbers are too: they are known when a function is traced.
    """

    def __init__(self, api: str, leaves: Sequence[Any], numbers: bool = False):
        self.refs = {i: x for i, x in enumerate(leaves) if isinstance(x, Cell)}
        self.kept = self.refs
        if numbers and any(type(x) in SCALARS for x in leaves):
            known = {i: x for i, x in enumerate(leaves) if type(x) in SCALARS}
            self.kept = {**self.refs, **known}
        self.total = len(leaves)
        check_aliases(api, list(self.refs.values()))

    def others(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves that are none."""
        return (
            [x for i, x in enumerate(leaves) if i not in self.kept] if self.kept else list(leaves)
        )

    def merged(self, values: Sequence[Any]) -> Sequence[Any]:
        """All leaves, with these values for the others."""
        if not self.kept:
            return values
        rest = iter(values)
        return [self.kept[i] if i in self.kept else next(rest) for i in range(self.total)]


class StandIns:
    """The cells among the arguments of one call, and what stands for them while the function runs."""

    def __init__(self, api: str, leaves: Sequence[Any]):
        self.places = [i for i, x in enumerate(leaves) if isinstance(x, Cell)]
        self.made: list[Any] = []  # in the last run
        if self.places:
            check_aliases(api, [leaves[i] for i in self.places])

    def values(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves, with the values of the cells among them."""
        if not self.places:
            return list(leaves)
        return [x._read() if isinstance(x, Cell) else x for x in leaves]

    def put(
        self, leaves: Sequence[Any], values: Sequence[Any], axes: Sequence[int | None] = ()
    ) -> Sequence[Any]:
        """The values, with new cells of the leaves' kinds that hold those at their places.

        Of cells that are mapped `axes` are the batch axes: without one a cell has one value for all elements.
        """
        if not self.places:
            return values
        out = list(values)
        self.made = []
        for i in self.places:
            inner = typeof(values[i])
            out[i] = type(leaves[i])(inner, values[i], True, bool(axes) and axes[i] is None)
            self.made.append(out[i])
        return out

    def written(self) -> list[int]:
        """The places of those that were written, when the function has run."""
        return [i for i, cell in zip(self.places, self.made, strict=True) if cell._written]

    def take(self) -> list[Any]:
        """The last values of those that were written; after that none can be used."""
        why = "the function that it was an argument of has ended"
        return [v for cell in self.made for v in [cell._end(why)] if cell._written]
