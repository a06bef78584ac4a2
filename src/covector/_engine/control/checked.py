"""`checkify`: the Program that says what went wrong in it, beside its results; and `Check`, which users' checks are.

The state is an integer, 0 or the number of the first failure, and the values that its message shows, in slots that
failures share.  It goes through the Program as further values, through loops as further carry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.depth import deep
from covector._engine.base.record import record, replace
from covector._engine.control.call import Call, without_slope
from covector._engine.control.callback import Arguments
from covector._engine.control.state import WithState
from covector._engine.core.inside import Failure, Fault, Interpreter, Message
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.effects import CHECKING, Effect
from covector._engine.ir.program import Eqn, Program, Var, map_eqns
from covector._engine.transforms.programs import derived
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Kinds = frozenset[type[errors.CheckError]]
CODE = ShapedArray((), np.dtype(np.int32))


@record
class Stated:
    """The message of a user's check: a text with places for arrays and for what is none."""

    text: str
    arguments: Arguments
    where: str

    def __call__(self, *values: Any) -> str:
        args, kwargs = self.arguments.unflatten(values)
        try:
            return f"{self.text.format(*args, **kwargs)} (`check` failed){self.where}"
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            given = ", ".join([*map(repr, args), *[f"{k}={v!r}" for k, v in kwargs.items()]])
            raise ValueError(
                f"check: the message {self.text!r} cannot be formatted with ({given}){self.where}: "
                f"{type(error).__name__}: {error}"
            ) from error


def error_of(
    failures: Sequence[Failure], places: Sequence[tuple[int, ...]], state: Sequence[Any]
) -> errors.CheckError | None:
    """The exception for a state, whose values are known; None where nothing failed.  It may have batch axes."""
    codes, values = np.asarray(state[0]), [np.asarray(x) for x in state[1:]]

    def error(at: tuple[int, ...]) -> errors.CheckError:
        n = int(codes[at]) - 1
        failure = failures[n]
        return failure.kind(failure.message(*[values[i][at] for i in places[n]]))

    if not codes.ndim:
        return error(()) if codes else None
    found = [
        f"at mapped index {', '.join(map(str, at))}: {error(at)}"
        for at in np.ndindex(codes.shape)
        if codes[at]
    ]
    return errors.CheckError("\n".join(found)) if found else None


class StateCheck(Primitive):
    """A family: something is to fail if the operands say so.  Operands: a state, with batch axes or not.

    `places`: where among the values of the state those of each failure are.
    """

    failures: tuple[Failure, ...]
    places: tuple[tuple[int, ...], ...]
    multiple: ClassVar[bool] = True
    only_checks: ClassVar[bool] = True
    effects: ClassVar[frozenset[Effect]] = frozenset({CHECKING})
    no_slope: ClassVar[str | None] = "it has no results"

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return ()

    def text(self) -> str:
        return f"{self.name}[{', '.join([f.kind.__name__ for f in self.failures])}]"

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        state = [prims.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)]
        return self(*state), ()

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        n = avals[0].ndim
        return [
            Fault(failure, _FailedIn(k + 1, at, n))
            for k, (failure, at) in enumerate(zip(self.failures, self.places, strict=True))
        ]


@record
class Check(StateCheck):
    """It raises an exception.  In what is compiled it must have been made a result before."""

    failures: tuple[Failure, ...]
    places: tuple[tuple[int, ...], ...]
    name: ClassVar[str] = "check"

    def on_host(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        error = error_of(self.failures, self.places, arrays)
        if error is not None:
            raise error
        return ()

    def _refused(self) -> ValueError:
        where = [f.message.where for f in self.failures if isinstance(f.message, Stated)]
        return ValueError(errors.check_in_compiled(where[0] if where else ""))

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        raise self._refused()

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        raise self._refused()


@record
class DebugCheck(StateCheck):
    """It does nothing where it was not made a result: what it stands for there is an empty Program."""

    failures: tuple[Failure, ...]
    places: tuple[tuple[int, ...], ...]
    name: ClassVar[str] = "debug_check"
    effects: ClassVar[frozenset[Effect]] = frozenset({Effect("debug check")})

    def programs(self) -> tuple[Program, ...]:
        return ()

    def with_programs(self, programs: Sequence[Program]) -> Primitive:
        return self

    def inlined(self) -> Program:
        types = [CODE, *self.failures[0].values]
        return Program(tuple(map(Var, types)), (), (), name=self.name)

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        return ()

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        return ()


@record
class _FailedIn:
    """The test of a failure of a `Check`."""

    code: int
    places: tuple[int, ...]
    ndim: int  # batch axes

    def __call__(
        self, operands: Sequence[Any], results: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        state = prims.first_of(operands, self.ndim)
        return prims.eq(state[0], np.int32(self.code)), [state[1 + i] for i in self.places]


def _nan_in(x: Any) -> Any:
    if dtypes.is_complex(typeof(x).dtype):
        return prims.or_(_nan_in(prims.real(x)), _nan_in(prims.imag(x)))
    return prims.any_of(prims.ne(x, x))


def _nan_in_results(operands: Sequence[Any], results: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """The test for NaNs."""
    found = [_nan_in(x) for x in results if dtypes.is_inexact(typeof(x).dtype)]
    return reduce(prims.or_, found), ()


# --------------------------------------------------------------------------------------- the transformation


@record(eq=False)
class CheckedProgram:
    """The Program, which takes a state after its operands and gives one after its results."""

    program: Program
    failures: tuple[Failure, ...]
    places: tuple[tuple[int, ...], ...]
    slots: tuple[ShapedArray, ...]  # the types of the state's values

    def start(self) -> list[Any]:
        """The state in which nothing has failed."""
        return [np.int32(0), *map(prims.zeros, self.slots)]


@derived
def checked_program(program: Program, kinds: Kinds, debug: bool) -> CheckedProgram:
    """A closed Program with the checks of these kinds; `debug`: with those that do nothing elsewhere, too."""
    checks = Checks(kinds, debug)
    checks.survey(program)
    failures = tuple(checks.codes)
    places = tuple([checks.places[f] for f in failures])
    checks.complete = True
    return CheckedProgram(checks.program(program), failures, places, tuple(checks.slots))


def evaluate_checked(program: Program, args: Sequence[Any]) -> Sequence[Any]:
    """The results of a closed Program in which users' checks are; the exception of the first that fails."""
    found = checked_program(program, frozenset({errors.FailedCheckError}), False)
    outs = Call(found.program)(*args, *found.start())
    n = len(program.outputs)
    error = error_of(found.failures, found.places, outs[n:])
    if error is not None:
        raise error
    return outs[:n]


class Checks(WithState):
    """The checks of a Program and of those in it: what can fail, with its number and slots; and the Programs made."""

    prefix = "checked_"

    def __init__(self, kinds: Kinds, debug: bool):
        super().__init__()
        self.kinds, self.debug = kinds, debug
        self.codes: dict[Failure, int] = {}
        self.places: dict[Failure, tuple[int, ...]] = {}
        self.slots: list[ShapedArray] = []
        self.complete = False  # whether all failures are known: the state has been made
        self._fails: dict[Program, bool] = {}

    @property
    def types(self) -> list[ShapedArray]:
        """The types of a state."""
        return [CODE, *self.slots]

    # ------------------------------------------------------------------------------------- what can fail

    def survey(self, program: Program) -> bool:
        """Note what can fail in a Program; whether something can.

        A user's rule may lead back to the function that it is of: so what fails is looked for until no more is found.
        """
        failing = set[Program]()
        while program not in self._fails:
            looked, count = set[Program](), len(failing)
            self._look(program, looked, failing)
            if len(failing) == count:
                self._fails.update({p: p in failing for p in looked})
        return self._fails[program]

    @deep
    def _look(self, program: Program, looked: set[Program], failing: set[Program]) -> bool:
        """Whether something can fail in a Program, by what was found out before, once for each of those in it."""
        known = self._fails.get(program)
        if known is not None:
            return known
        if program not in looked:
            looked.add(program)
            found = False
            for eqn in program.eqns:
                rules = eqn.primitive.rule_programs()
                for inner in (*eqn.primitive.programs(), *(rules or ())):
                    found |= self._look(inner, looked, failing)
                if rules is None or rules:
                    for kind in sorted(self.kinds, key=lambda k: k.__name__):
                        self._note(_unforeseen(kind))
                for fault in self._faults(eqn):
                    found = True
                    self._note(fault.failure)
            if found:
                failing.add(program)
        return program in failing

    def _faults(self, eqn: Eqn) -> Iterator[Fault]:
        """What can fail in an equation itself, and where."""
        p = eqn.primitive
        if isinstance(p, DebugCheck) and not self.debug:
            return
        where = "" if eqn.source is None else f" (at {eqn.source})"
        for fault in p.faults(*[a.aval for a in eqn.inputs]):
            if fault.failure.kind in self.kinds:
                yield _placed(fault, where)
        made = [v.aval for v in eqn.outputs]
        looked_for = errors.NaNError in self.kinds and p.makes_nan and not p.has_programs
        if looked_for and any(dtypes.is_inexact(a.dtype) for a in made):
            text = f"nan generated by primitive: {p.name}."
            yield Fault(Failure(errors.NaNError, Message(text, where)), _nan_in_results)

    def _note(self, failure: Failure) -> None:
        if failure in self.codes:
            return
        if self.complete:
            self.codes[failure] = self.codes[_unforeseen(failure.kind)]
            self.places[failure] = ()
            return
        self.codes[failure] = len(self.codes) + 1
        taken: list[int] = []
        for aval in failure.values:
            free = [i for i, a in enumerate(self.slots) if a == aval and i not in taken]
            if not free:
                free = [len(self.slots)]
                self.slots.append(aval)
            taken.append(free[0])
        self.places[failure] = tuple(taken)

    # ------------------------------------------------------------------------------------------- Programs

    @deep
    def bare(self, program: Program) -> Program:
        """The Program without checks of users'."""
        if not any(e.primitive.only_checks or e.primitive.has_programs for e in program.eqns):
            return program
        eqns = [
            Eqn(self._bare(e.primitive), e.inputs, e.outputs, e.source)
            for e in program.eqns
            if not e.primitive.only_checks
        ]
        return map_eqns(program, eqns)

    def _bare(self, p: Primitive) -> Primitive:
        if not p.has_programs:
            return p
        programs = p.programs()
        bare = [self.bare(inner) for inner in programs]
        same = all(a.eqns == b.eqns for a, b in zip(programs, bare, strict=True))
        return p if same else p.with_programs(bare)

    def fails(self, program: Program) -> bool:
        """Whether something can fail in a Program."""
        return self._fails[program]

    def _applied(
        self, eqn: Eqn, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The results of an equation, and the state after it."""
        p = eqn.primitive
        if p.has_programs and any(map(self.fails, (*p.programs(), *(p.rule_programs() or ())))):
            return p.checked(self, given, state)
        outs: Sequence[Any] = ()
        if not p.only_checks:
            out = self._bare(p)(*given)
            outs = out if p.multiple else (out,)
        for fault in self._faults(eqn):
            state = self._failed(fault.failure, *fault.test(given, outs), state)
        return outs, state

    def _failed(
        self, failure: Failure, bad: Any, values: Sequence[Any], state: Sequence[Any]
    ) -> list[Any]:
        """The state after a test, with the values that its message shows: the first failure stays."""
        first = prims.and_(bad, prims.eq(state[0], np.int32(0)))
        after = [prims.select(first, np.int32(self.codes[failure]), state[0]), *state[1:]]
        for i, x in zip(self.places[failure], values, strict=False):  # none of an unforeseen one
            after[1 + i] = prims.select(first, without_slope(x), state[1 + i])
        return after

    def beside(
        self, p: Primitive, program: Program, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """For what is to stay one operation, with rules of its own: its results, and what failed in its Program.

        What is computed twice is merged where it is compiled.
        """
        outs = self._bare(p)(*given)
        known = map(without_slope, given)
        return outs, Call(self.program(program))(*known, *state)[len(outs) :]


def _unforeseen(kind: type[errors.CheckError]) -> Failure:
    """What fails in a rule for derivatives in some arguments, and was not met in the one for all."""
    return Failure(
        kind, Message("a check failed in the rule of a function with custom derivatives")
    )


def _placed(fault: Fault, where: str) -> Fault:
    """The fault with the user's line in its message, if it has none."""
    message = fault.failure.message
    if isinstance(message, Message) and not message.where:
        return Fault(replace(fault.failure, message=replace(message, where=where)), fault.test)
    return fault
