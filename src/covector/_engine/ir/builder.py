"""Building Kernels: what a primitive's `lower` rule is given, and the pieces that lowering is made of.

A rule sees its operands (`Operand`: elements, or the place where they lie), its results (`Result`: where they are to
be stored) and a `Builder`, which takes statements in the order in which they are to run:

    with b.loop(i := b.variable("i", n), n):
        total = b.local(const(0, float32))
        with b.while_() as holds:
            holds(total < x.at((i,)))
            b.assign((total,), (total * 2 + 1,))
        b.store(out.place, out.aval.shape, (i,), total)

`compile/lower.py` has the Builder that puts whole Programs into Kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from covector._engine.base.errors import Source
from covector._engine.base.record import record, replace
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
    Copy,
    If,
    Init,
    Loop,
    Origin,
    Routine,
    Statement,
    Store,
    Swap,
    While,
)
from covector._engine.ir.program import Program
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Index = tuple[Dim, ...]
AllElements = Mapping[Index, Scalar]  # all the elements of a small value


@record
class Fit:
    """How something can be written out: where results lie, and which inputs it changes there."""

    places: tuple[int | None, ...]  # the input in whose memory a result lies; None: it is in locals
    changed: frozenset[int]
    size: int = 0  # how many elements are computed
    memory: int = 0  # how many elements of new memory it takes

    def keeps(self, kept: Sequence[int]) -> bool:
        """Whether these inputs stay as they are."""
        return self.changed.isdisjoint(kept)


class Fitting(ABC):
    """Says how Programs can be written out, where some of their inputs are in locals, the others in memory."""

    @abstractmethod
    def __call__(self, program: Program, in_locals: Sequence[bool]) -> Fit | None:
        """How a Program can be written out; None if it cannot."""

    @abstractmethod
    def is_tiny(self, aval: ShapedArray) -> bool:
        """Whether a value may be in locals."""


@record
class Place:
    """Where a variable lies: a buffer, and the offset of its first element (of the variable's dtype)."""

    buffer: Buffer
    offset: Dim = 0

    def slice(self, aval: ShapedArray, position: Dim) -> Place:
        """Where one of the values of this type is that are stacked here."""
        return Place(self.buffer, self.offset + position * aval.size)


def load(buffer: Buffer, index: Dim, condition: Expr | None = None) -> Expr:
    """One element of a buffer, read only where the condition holds."""
    return Expr("load", () if condition is None else (condition,), buffer.dtype, (buffer, index))


def constant(value: np.generic, dtype: np.dtype) -> Scalar:
    """A literal's element."""
    if dtypes.is_complex(dtype):
        part = dtypes.real_of(dtype)
        return const(value.real, part), const(value.imag, part)
    return const(value, dtype)


def parts(x: Scalar) -> tuple[Expr, ...]:
    """The real scalars of an element: one, or two of a complex one."""
    return x if isinstance(x, tuple) else (x,)


def whole(values: Sequence[Expr]) -> Scalar:
    """The element of these parts."""
    return values[0] if len(values) == 1 else (values[0], values[1])


def store(
    place: Place, shape: Sequence[Dim], index: Index, value: Scalar, condition: Expr | None = None
) -> list[Store]:
    """The statements that store one element."""
    offset = place.offset + ix.flatten(index, shape)
    values = parts(value)
    if len(values) == 1:
        return [Store(place.buffer, offset, values[0], condition)]
    return [Store(place.buffer, offset * 2 + n, v, condition) for n, v in enumerate(values)]


def buffer_dtype(aval: ShapedArray) -> np.dtype:
    """The dtype of the buffer that holds such values."""
    return dtypes.real_of(aval.dtype)


def buffer_size(aval: ShapedArray) -> Dim:
    """The number of elements of the buffer that holds such a value."""
    return aval.size * 2 if dtypes.is_complex(aval.dtype) else aval.size


@record
class Points:
    """Where a Program is computed, each point on its own, and how many of them had better be computed side by side."""

    shape: tuple[Dim, ...]
    together: int


class Names:
    """Fresh names within a Kernel."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def fresh(self, stem: str) -> str:
        n = self._count[stem] = self._count.get(stem, 0) + 1
        return f"{stem}{n - 1}"

    def local(self, dtype: np.dtype, stem: str = "s") -> Expr:
        return Expr("local", (), dtype, self.fresh(stem))


Kept = Place | AllElements  # where a value is kept: in memory, or as expressions


class StoredElements:
    """The elements of what is stored at a place.  Equal requests give one shared node."""

    __slots__ = ("aval", "memo", "place")

    def __init__(self, place: Place, aval: ShapedArray):
        self.place, self.aval = place, aval
        self.memo: dict[tuple[Index, Expr | None], Scalar] = {}

    def at(self, index: Index, condition: Expr | None = None) -> Scalar:
        """The element at an index, read only where the condition holds."""
        found = self.memo.get((index, condition))
        if found is None:
            buffer = self.place.buffer
            offset = ix.rejoin(self.place.offset + ix.flatten(index, self.aval.shape))
            if dtypes.is_complex(self.aval.dtype):
                found = tuple([load(buffer, offset * 2 + n, condition) for n in (0, 1)])
                found = found[0], found[1]
            else:
                found = load(buffer, offset, condition)
            self.memo[index, condition] = found
        return found


class Operand:
    """An operand of the equation that is lowered."""

    __slots__ = ("_place", "_reader", "aval", "literal")

    def __init__(self, aval: ShapedArray, literal: np.generic | None, place: Callable[[], Place]):
        self.aval, self.literal = aval, literal
        self._place = place
        self._reader: StoredElements | None = None

    @property
    def place(self) -> Place:
        """Where it lies; a literal is stored first, by statements here."""
        return self._place()

    def at(self, index: Index) -> Scalar:
        """Its element at an index."""
        return self._at(index, None)

    def guarded(self, condition: Expr, index: Index) -> Scalar:
        """The element where the condition holds, else an unspecified value, for which no memory is read."""
        return self._at(index, condition)

    def _at(self, index: Index, condition: Expr | None) -> Scalar:
        if self.literal is not None:
            return constant(self.literal, self.aval.dtype)
        if self._reader is None:
            self._reader = StoredElements(self._place(), self.aval)
        return self._reader.at(index, condition)


@record
class Result:
    """A result of the equation that is lowered: its type, and where it is to be stored."""

    aval: ShapedArray
    place: Place


class Builder(ABC):
    """Takes statements in order; blocks (`loop`, `if_`, `else_`, `while_`) are `with` statements."""

    def __init__(self, names: Names):
        self.names = names
        self.statements: list[Statement] = []
        self.operation = "a result"  # the equation that is lowered
        self.source: Source | None = None  # the user's line of that

    # -- names, locals, buffers --------------------------------------------------------------------

    def variable(self, stem: str, extent: Dim) -> Dim:
        """A new loop variable; 0 for a loop of one step."""
        return 0 if extent == 1 else ix.loop_variable(self.names.fresh(stem), extent)

    def local(self, value: Expr, stem: str = "s") -> Expr:
        """A new local that begins with a value; it lives to the end of the block."""
        local = self.names.local(value.dtype, stem)
        self.add(Init(local, value))
        return local

    def assign(self, targets: Sequence[Expr], values: Sequence[Expr]) -> None:
        """Give locals new values, all at once."""
        self.add(Assign(tuple(targets), tuple(values)))

    def temp(self, stem: str, dtype: np.dtype, size: Dim) -> Buffer:
        """A new buffer in the arena."""
        return Buffer(self.names.fresh(stem), dtype, size, "temp")

    def temp_like(self, aval: ShapedArray, stem: str = "t") -> Place:
        """A place for a value in a new buffer."""
        return Place(self.temp(stem, buffer_dtype(aval), buffer_size(aval)))

    # -- statements --------------------------------------------------------------------------------

    def add(self, *statements: Statement) -> None:
        """Take statements as they are."""
        self.statements.extend(statements)

    def element(self, result: Result, index: Index) -> Scalar:
        """What is stored of a result."""
        return StoredElements(result.place, result.aval).at(index)

    def store(
        self,
        place: Place,
        shape: Sequence[Dim],
        index: Index,
        value: Scalar,
        condition: Expr | None = None,
    ) -> None:
        """Store one element, if there is no condition or it holds."""
        self.statements.extend(store(place, shape, index, value, condition))

    def copy(self, target: Place, source: Operand | Place, aval: ShapedArray | None = None) -> None:
        """Copy a value, unless it lies there already."""
        if isinstance(source, Operand):
            aval = source.aval
            if source.literal is not None:
                self.store(target, (), (), constant(source.literal, aval.dtype))
                return
            source = source.place
        assert aval is not None
        if source != target:
            factor = 2 if dtypes.is_complex(aval.dtype) else 1
            to, origin = ((p.buffer, p.offset * factor) for p in (target, source))
            self.add(Copy(to, origin, buffer_size(aval), self._origin(aval)))

    def swap(self, first: Place, second: Place, aval: ShapedArray) -> None:
        """Exchange the memory of two buffers."""
        self.add(Swap(first.buffer, second.buffer, self._origin(aval)))

    def _origin(self, aval: ShapedArray) -> Origin:
        return Origin(aval, self.operation, self.source)

    def routine(
        self,
        name: str,
        places: Sequence[tuple[Place, ShapedArray]],
        parameters: Sequence[Dim],
        writes: Sequence[int],
        updates: Sequence[int] = (),
        work: Dim = 1,
    ) -> None:
        """Call a routine of the runtime, which writes these of the places; of `updates` it takes in what is there.

        `work` is how many steps it takes, in its own measure: `Costs.steps` says how long one is.
        """
        parts_of = [2 if dtypes.is_complex(aval.dtype) else 1 for _, aval in places]
        where = [(p.buffer, p.offset * n) for (p, _), n in zip(places, parts_of, strict=True)]
        numbers, written = tuple(parameters), tuple(writes)
        self.add(Routine(name, tuple(where), numbers, written, tuple(updates), work))

    def callback(
        self,
        who: Any,
        function: Callable[..., Any],
        operands: Sequence[tuple[Place, ShapedArray]],
        results: Sequence[tuple[Place, ShapedArray]] = (),
    ) -> None:
        """Call a function of the host's, from arrays to a sequence of arrays."""
        values = (*operands, *results)
        places = tuple([
            (p.buffer, p.offset * 2 if dtypes.is_complex(aval.dtype) else p.offset)
            for p, aval in values
        ])  # fmt: skip
        types = tuple([aval for _, aval in values])
        self.add(Callback(who, function, places, types, len(operands), self.source))

    # -- blocks ------------------------------------------------------------------------------------

    @contextmanager
    def block(self) -> Generator[list[Statement]]:
        """What is built here goes into the list instead."""
        outer, inner = self.statements, list[Statement]()
        self.statements = inner
        try:
            yield inner
        finally:
            self.statements = outer

    @contextmanager
    def loop(
        self, variable: Dim, extent: Dim, free: bool = False, own: Sequence[Buffer] = ()
    ) -> Generator[None]:
        """For each value of a variable below the extent; nothing around the body if that is 1.

        `free`: the runs do not depend on each other, but for folds; those that are side by side need memory of their
        `own` in place of these buffers.  How the loop runs is not said here: `compile/schedule.py` decides.
        """
        with self.block() as body:
            yield
        if extent == 1:
            self.add(*body)
        else:
            self.add(Loop(variable, extent, tuple(body), free=free, own=tuple(own)))

    @contextmanager
    def if_(self, condition: Expr) -> Generator[None]:
        """Only if a condition holds."""
        with self.block() as body:
            yield
        self.add(If(condition, tuple(body)))

    @contextmanager
    def else_(self) -> Generator[None]:
        """Only if the condition of the block before does not hold."""
        branch = self.statements[-1]
        assert isinstance(branch, If) and not branch.orelse, "there is no `if_` before"
        with self.block() as body:
            yield
        self.statements[-1] = replace(branch, orelse=tuple(body))

    @contextmanager
    def while_(self) -> Generator[Callable[[Expr], None]]:
        """As long as a condition holds.

        What is built first computes the condition, each time anew; then the function that this gives is called with
        it; then the body is built.
        """
        tested: list[tuple[Expr, tuple[Statement, ...]]] = []
        with self.block() as body:

            def holds(condition: Expr) -> None:
                assert not tested, "a loop has one condition"
                tested.append((condition, tuple(body)))
                body.clear()

            yield holds
        assert tested, "a `while_` without a condition"
        ((condition, test),) = tested
        self.add(While(test, condition, tuple(body)))

    @abstractmethod
    def explain(self, topic: str, reason: str) -> None:
        """Give a reason to who asked for them (COVECTOR_EXPLAIN)."""

    # -- Programs ----------------------------------------------------------------------------------

    @abstractmethod
    def program(self, program: Program, inputs: Sequence[Place], outputs: Sequence[Place]) -> None:
        """Compute a Program from and to these places."""

    @abstractmethod
    def longest_turn(self) -> int:
        """How long a turn of an unrolled loop may be, in equations, or in elements if they are written out."""

    @property
    @abstractmethod
    def fit(self) -> Fitting:
        """Says how Programs can be written out element by element."""

    @abstractmethod
    def written_out(self, program: Program, inputs: Sequence[Kept]) -> list[Kept]:
        """The results of a Program that fits: elements, of which nothing is stored, or where an input lies."""

    @abstractmethod
    def points(self, program: Program, carried: Sequence[bool]) -> Points | None:
        """The points of the body of a loop that carries these inputs, if each is computed from itself alone."""

    @abstractmethod
    def at_points(
        self, program: Program, inputs: Sequence[Place | AllElements], points: Sequence[Index]
    ) -> list[AllElements]:
        """The results of such a Program at these points: expressions, of which nothing is stored."""
