"""What functions with custom rules have in common: run as they are, or staged once for each signature.

Where values are computed, the user's functions run, so that Python's control flow on values works in them.  Where
operations are staged, the function becomes a Program, and the rule stays a function that is staged when a derivative is
asked for, once for each of its signatures too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, TypeVar

from covector._engine.base import errors, ref_errors
from covector._engine.base.record import record, replace
from covector._engine.control.call import Call, Called, without_slope
from covector._engine.core.inside import Checking
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.refs import (
    Use,
    Uses,
    binding,
    held,
    may_touch,
    settled,
    stage_open,
    uses_of,
)
from covector._engine.core.symbolic import is_zero
from covector._engine.core.trace import (
    Held,
    Tracer,
    context,
    stage,
    standing_for,
    typeof,
)
from covector._engine.ir.program import Program, without_dead_code
from covector._engine.transforms.batch import Batching, place_axis
from covector._engine.transforms.forward import FlatFunction
from covector._engine.transforms.programs import Mask, batch_program, interned
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

T = TypeVar("T")
Values = list[Any]
Given = Sequence[Any]
Axes = tuple[int | None, ...]


class Memory:
    """What was staged of a function with a custom rule, by signature: it lives as long as the function."""

    __slots__ = ("key", "table")

    def __init__(self, table: dict[Any, Any], key: Hashable):
        self.table, self.key = table, key

    def _full(self, avals: tuple[ShapedArray, ...]) -> Hashable:
        return self.key, avals, context()

    def under(self, *more: Hashable) -> Memory:
        """The part of it for something made from this function."""
        return Memory(self.table, None if self.key is None else (self.key, *more))

    def get(self, avals: tuple[ShapedArray, ...]) -> Any:
        """What was kept for operands of these types; None if there is nothing."""
        return None if self.key is None else self.table.get(self._full(avals))

    def keep(self, avals: tuple[ShapedArray, ...], found: Any) -> None:
        """Keep it, if it may be found again."""
        if self.key is not None:
            self.table[self._full(avals)] = found


class Outcome:
    """What a run of the function tells beside its results, for each way to run it: the structure, batch axes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None


def calling(kind: str, name: str, f: Callable[..., T], *args: Any) -> T:
    """Call a user's function of a custom rule: a value that it closes over must not be differentiated."""
    try:
        return f(*args)
    except errors.UnexpectedTracerError as error:
        if isinstance(error, errors.ClosedOverError):
            raise
        raise errors.ClosedOverError(errors.closed_over(kind, name, str(error))) from error


class Captured:
    """The traced values that a staged function closes over, by their places among its constants.

    Its rule, staged later, closes over the same ones; by then their trace may be gone, and operands stand for them.
    """

    __slots__ = ("values",)

    def __init__(self, values: Sequence[tuple[int, Tracer]]):
        self.values = tuple(values)

    def of(self, constants: Sequence[Any]) -> list[Any]:
        """What stands for them."""
        return [constants[i] for i, _ in self.values]

    def given(self, operands: Sequence[Any], f: Callable[..., T], *args: Any) -> T:
        """The result of f, in which these operands stand for the captured values."""
        values = [value for _, value in self.values]
        with standing_for(list(zip(values, operands, strict=True))):
            return f(*args)


@record
class Touches:
    """The references that a staged function touches, or its rule: operands have their values, results those after it.

    `later` are those that the rule touches on the way back, when they hold what they will hold then.
    """

    uses: Uses
    later: tuple[Any, ...]
    name: str

    def __bool__(self) -> bool:
        return bool(self.uses or self.later)

    def prepare(self) -> None:
        """Touch them where the function is staged, so that they are its operands and results."""
        for use in self.uses:
            value = use.cell._read()
            if use.written:
                use.cell._write(value)

    def run(
        self, rule: Callable[..., T], primals: Given, given: Given, constants: Given
    ) -> tuple[T, list[Any]]:
        """What the rule gives, and the values of those references that are written, after it."""
        if not all(cell._lives for cell in self.later):  # who staged the function runs it instead
            raise errors.OutsideRefError(ref_errors.from_outside(self.name))
        values, rest = constants[: len(self.uses)], constants[len(self.uses) :]
        made = [
            type(use.cell)(use.cell._inner, x, True)
            for use, x in zip(self.uses, values, strict=True)
        ]
        with binding({use.cell: cell for use, cell in zip(self.uses, made, strict=True)}):
            found = rule(primals, given, rest)
        if any(
            cell._written and not use.written for use, cell in zip(self.uses, made, strict=True)
        ):
            raise errors.OutsideRefError(ref_errors.from_outside(self.name))
        last = [cell._end(f"the rule of {self.name} has ended") for cell in made]
        return found, [x for use, x in zip(self.uses, last, strict=True) if use.written]


@record
class Touching:
    """A family: rules of functions that touch references, or whose rules do: their values are the first constants.

    Those after it are its last results.
    """

    rule: Callable[..., Any]
    touches: Touches


class OnlineCustom(Online):
    """A function with a custom rule, as it is called."""

    kind: ClassVar[str]
    primitive: ClassVar[Callable[..., Primitive]]  # makes what stands for it in a Program
    # Make the rule of a function that closes over traced values, and of one that touches references.
    capturing: ClassVar[Callable[..., Any]]
    touching: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        name: str,
        fun: FlatFunction,
        rule: Any,
        outcome: Outcome,
        memory: Memory,
    ):
        self.function_name, self.fun, self.rule = name, fun, rule
        self.outcome, self.memory = outcome, memory

    def text(self) -> str:
        return f"{self.name}[{self.function_name}]"

    def run(self, *args: Any) -> Sequence[Any]:
        return calling(self.kind, self.function_name, self.fun, *args)

    def staged(self, *args: Any) -> Sequence[Any]:
        return calling(self.kind, self.function_name, self._staged, *args)

    def _staged(self, *args: Any) -> Sequence[Any]:
        avals = tuple([typeof(x) for x in args])
        touching = may_touch(self.rule)
        memory = self.memory.under("touching") if touching else self.memory
        found = memory.get(avals)
        if found is None:
            found = self._made(avals, touching)
            _, constants, _, uses, lasts = found
            if lasts:
                memory.keep(avals, found)
        primitive, constants, self.outcome.value, uses, _ = found
        outs = primitive(*args, *held(uses), *constants)
        written = sum(u.written for u in uses)
        stop = len(outs) - written
        # What a rule writes to a reference has no derivative.
        return settled(uses, (*outs[:stop], *map(without_slope, outs[stop:])))

    def _made(
        self, avals: tuple[ShapedArray, ...], touching: bool
    ) -> tuple[Primitive, tuple[Any, ...], Any, Uses, bool]:
        """The primitive, its constants, what was noted, the references, and whether it can be kept."""
        fun, n = self.fun, len(avals)
        touches = self._touches(avals) if touching else Touches((), (), self.function_name)

        def prepared(*args: Any) -> Sequence[Any]:
            touches.prepare()
            return fun(*args)

        of = prepared if touches.uses else fun
        program, uses = stage_open(of, avals, self.function_name)
        program = without_dead_code(program)
        closed, constants, rule = program.close(), program.constants, self.rule
        captured = Captured([(i, c) for i, c in enumerate(constants) if isinstance(c, Tracer)])
        if captured.values:
            rule = self.capturing(rule, captured)
        touches = replace(touches, uses=uses)
        if touches:
            rule = self.touching(rule, touches)
        lasts = not captured.values and not touches
        primitive = self.primitive(interned(closed) if lasts else closed, rule, n, bool(uses))
        return primitive, constants, self.outcome.value, uses, lasts

    def _touches(self, avals: tuple[ShapedArray, ...]) -> Touches:
        """The references that the rule touches, found by running it; none where it refuses, which it says in time.

        They must be known when the function is staged: what it does before and after them is recorded as values.
        """
        refs: dict[Any, Held] = {}
        forwards: list[Use] = []

        def run(*args: Any) -> Sequence[Any]:
            self._try_rule(*args, note=lambda: forwards.extend(uses_of(refs)))
            return ()

        try:
            stage(run, avals, self.function_name, refs)
        except Exception:  # of the user's function, which may say so that there is no derivative
            forwards.clear()
        return Touches(tuple(forwards), tuple(refs), self.function_name)

    def _try_rule(self, *args: Any, note: Callable[[], None]) -> None:
        """Run the rule for derivatives in all arguments; `note` is called after what runs forwards."""

    def batch_online(
        self, args: Sequence[Any], dims: Sequence[int | None], how: Batching
    ) -> tuple[Any, Any]:
        axes, mapped = Outcome(), any(d is not None for d in dims)

        def run(*values: Any) -> Values:
            outs, found = how.flat(self.fun, values, dims)
            if mapped:
                outs = [place_axis(x, d, 0, how.size) for x, d in zip(outs, found, strict=True)]
                found = list[int | None]([0] * len(outs))
            axes.value = self.outcome.value, found
            return outs

        rule = self._batched_rule(tuple(dims), how, axes)
        memory = self.memory.under("batch", tuple(dims), how.size, how.axis_name)
        outs = type(self)(self.function_name, run, rule, axes, memory)(*args)
        self.outcome.value, found = axes.value
        return outs, found

    def _batched_rule(self, dims: Axes, how: Batching, axes: Outcome) -> Any:
        """The rule for operands with these batch axes; it notes what the function itself notes, and batch axes."""
        raise NotImplementedError


class Noting:
    """Hands on what a function noted, with the batch axes that were found."""

    def __init__(self, inner: Outcome, outer: Outcome):
        self.inner, self.outer = inner, outer

    def __call__(self, axes: list[int | None]) -> None:
        self.outer.value = self.inner.value, axes


def forget(axes: list[int | None]) -> None:
    """For rules of staged functions, whose results' batch axes are known."""


class WithRule(Called):
    """A family: a Program with a rule of the user's for a derivative.

    Operands: `count` arguments, then constants, which have no tangents.
    """

    rule: Any
    count: int
    rule_touches: bool  # type: ignore[misc]
    # Make the rule on operands with batch axes, and the one in which checks are.
    batched_rule: ClassVar[Callable[..., Any]]
    checked_rule: ClassVar[Callable[..., Any]]

    def of_arguments(self, tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the arguments; ClosedOverError if a constant has one."""
        if not all(map(is_zero, tangents[self.count :])):
            raise errors.ClosedOverError(errors.closed_over(self.name, self.program.name))
        return tangents[: self.count]

    @property
    def floating(self) -> Mask:
        """Which arguments may have tangents."""
        return tuple([a.differentiable() for a in self.program.in_avals[: self.count]])

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The same with checks, also in its rule: not in what runs there after all results, when it is too late."""
        rule = self.checked_rule(self, how)
        outs = replace(self, program=how.program(self.program), rule=rule)(*xs, *state)
        n = len(self.program.outputs)
        return outs[:n], [*map(without_slope, outs[n:])]

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        wanted = (True,) * len(self.program.outputs)
        found = batch_program(self.program, tuple(dims), size, axis_name, wanted)
        rule = self.batched_rule(self.rule, tuple(dims), Batching(size, axis_name), forget)
        return replace(self, program=found.program, rule=rule)(*args, *found.constants), found.dims


class Checked:
    """The base of rules of functions with checks: what fails in them changes the state, which follows the constants.

    Of the results of the rule the state after it is the last ones.
    """

    def __init__(self, base: Any, how: Checking):
        self.base, self.how = base, how

    def parted(self, constants: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The constants, and the state."""
        n = len(constants) - len(self.how.types)
        return constants[:n], constants[n:]

    def run(
        self, program: Program, args: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The results of a Program, and the state after it."""
        self.how.survey(program)
        outs = Call(self.how.program(program))(*args, *state)
        n = len(program.outputs)
        return outs[:n], outs[n:]


def foreseen(make: Callable[[], Program]) -> tuple[Program, ...] | None:
    """The Program of a rule; None for one that refuses, which it says when it is asked for."""
    try:
        return (make(),)
    except Exception:  # of the user's function, which may say so that there is no derivative
        return None


def kept(primitive: Primitive, key: Mask, make: Callable[[Mask], T]) -> T:
    """What is derived from a rule, kept by the primitive: the rule may lead to it, so elsewhere it would never go."""
    table: dict[Mask, T] = primitive.__dict__.setdefault("_derived", {})
    if key not in table:
        table[key] = make(key)
    return table[key]
