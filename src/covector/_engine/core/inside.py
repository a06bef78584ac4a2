"""What primitives are asked that hold Programs, or can fail: how Programs run inside of them, and are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.ir.program import Atom, Eqn, Program, Var
from covector._engine.types.avals import ShapedArray

if TYPE_CHECKING:
    from covector._engine.core.primitive import Primitive

Types = Sequence[ShapedArray]


class Interpreter(Protocol):
    """How the Programs inside of a primitive are run, on what stands for arrays."""

    def run(self, program: Program, args: Sequence[Any], step: int | None = None) -> Sequence[Any]:
        """The results of a closed Program; of the body of a loop, in one of its steps."""
        ...

    def number(self, x: Any) -> Any:
        """The value of a scalar, which says what runs next."""
        ...

    def part(self, x: Any, at: int | tuple[int, ...]) -> Any:
        """A part of an array, at an index of its leading axes."""
        ...

    def stacked(self, parts: Sequence[Any], aval: ShapedArray) -> Any:
        """The array of this type whose parts these are, in order."""
        ...


@record
class Message:
    """A text with places for values, and the user's line, which follows it."""

    text: str
    where: str = ""

    def __call__(self, *values: Any) -> str:
        return self.text.format(*values) + self.where


@record
class Failure:
    """Something that can go wrong: of which kind, its message, and the types of the values that this shows."""

    kind: type[errors.CheckError]
    message: Callable[..., str]
    values: Types = ()


class Fault(NamedTuple):
    """A failure, and the test for it: from operands and results, whether it is there, and the message's values."""

    failure: Failure
    test: Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Sequence[Any]]]


class Widening(Protocol):
    """Where numbers keep 64 bits: the equations of a Program are recorded again, with more: `transforms/widen.py`."""

    def wide(self, a: Atom) -> Atom | None:
        """The value in 64 bits, computed from the numbers that it comes from; None if it comes from none."""
        ...

    def widened(self, a: Atom, source: errors.Source | None = None) -> Atom:
        """The same; of what comes from no number, the value converted."""
        ...

    def is_constant(self, a: Atom) -> bool:
        """Whether it is a constant, or comes from constants alone: they are as wide as what they meet."""
        ...

    def record(self, eqn: Eqn) -> None:
        """Record an equation."""
        ...

    def computed(
        self, primitive: Primitive, inputs: tuple[Atom, ...], source: errors.Source | None
    ) -> Var:
        """The result of one more operation, which is recorded."""
        ...


class Checking(Protocol):
    """How Programs get checks that a state goes through: `control/checked.py`."""

    @property
    def types(self) -> Types:
        """The types of the state's values."""
        ...

    def survey(self, program: Program) -> bool:
        """Note what can fail in a Program; whether something can."""
        ...

    def fails(self, program: Program) -> bool:
        """Whether something can fail in a Program."""
        ...

    def program(self, program: Program) -> Program:
        """The Program that takes a state after its operands and gives one after its results."""
        ...

    def bare(self, program: Program) -> Program:
        """The Program without checks of users'."""
        ...

    def beside(
        self, p: Primitive, program: Program, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """For what is to stay one operation: its results, and the state after its Program."""
        ...
