"""`CustomJVP`: a Program with a rule of the user's for its derivative forwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any, ClassVar, Protocol

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.control.call import Call, spread
from covector._engine.control.custom import (
    Axes,
    Captured,
    Checked,
    Noting,
    OnlineCustom,
    Outcome,
    Touching,
    Values,
    WithRule,
    calling,
    foreseen,
    kept,
)
from covector._engine.control.masked_rules import MaskedJVP, Ruled
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import current, typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.batch import Batching, place_axis
from covector._engine.transforms.forward import FlatFunction, LinearTracer
from covector._engine.transforms.programs import (
    JVPProgram,
    Mask,
    SplitProgram,
    split_program,
    stage_closed,
)
from covector._engine.types.avals import ShapedArray


class JVPRule(Protocol):
    """What is known of a derivative forwards: (results, their tangents).  Tangents, given and returned, may be Zero."""

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]: ...


class OnlineJVP(OnlineCustom):
    """A call of a function with a rule for its jvp."""

    name: ClassVar[str] = "custom_jvp"
    kind: ClassVar[str] = "custom_jvp"
    rule: JVPRule

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return calling(self.kind, self.function_name, self.rule, primals, tangents, ())

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        outs, pushed = self.jvp(primals, tangents)
        trace = current()
        for x in outs:
            if type(x) is LinearTracer and x._trace is trace:
                raise TypeError(errors.depends_on_tangents(self.function_name))
        found = [
            t if type(t) is LinearTracer and t._trace is trace else Zero(x)
            for x, t in zip(outs, pushed, strict=True)
        ]
        return outs, found

    def _try_rule(self, *args: Any, note: Callable[[], None]) -> None:
        types = [typeof(x) for x in args]
        ones = [prims.zeros(a.tangent()) if a.differentiable() else Zero(a) for a in types]
        self.rule(args, ones, ())
        note()

    def _batched_rule(self, dims: Axes, how: Batching, axes: Outcome) -> Any:
        return BatchedJVP(self.rule, dims, how, Noting(self.outcome, axes))


def _jvp_runner(
    rule: JVPRule, avals: Sequence[ShapedArray], nonzero: Sequence[bool], count: int
) -> tuple[FlatFunction, list[bool]]:
    n, found = len(avals), list[bool]()

    def run(*values: Any) -> Values:
        tangents = list(spread(values[n + count :], nonzero, avals))
        outs, pushed = rule(values[:n], tangents, values[n : n + count])
        found[:] = [not is_zero(t) for t in pushed]
        return [*outs, *compress(pushed, found)]

    return run, found


@record
class CapturingJVP:
    """The rule of a function that closes over traced values."""

    rule: JVPRule
    captured: Captured

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]:
        operands = self.captured.of(constants)
        return self.captured.given(operands, self.rule, primals, tangents, constants)


@record
class TouchingJVP(Touching):
    """Where the rule is one for the jvp."""

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]:
        (outs, pushed), after = self.touches.run(self.rule, primals, tangents, constants)
        return [*outs, *after], [*pushed, *map(Zero, after)]


@record
class BatchedJVP:
    """A rule on operands with batch axes.  All results have the batch axis 0, if an operand has any."""

    rule: JVPRule
    dims: Axes  # of the arguments, then of constants
    how: Batching
    note: Callable[[list[int | None]], None]

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]:
        n, stop, size = len(primals), len(self.dims), self.how.size
        nonzero, live = [not is_zero(t) for t in tangents], list[bool]()
        types: list[ShapedArray] = []

        def run(*values: Any) -> Values:
            types[:] = [typeof(x) for x in values[:n]]
            pushed = list(spread(values[stop:], nonzero, types))
            outs, found = self.rule(values[:n], pushed, values[n:stop])
            live[:] = [not is_zero(t) for t in found]
            return [*outs, *compress(found, live)]

        given = [*primals, *constants[: stop - n], *compress(tangents, nonzero)]
        dims = [*self.dims, *compress(self.dims[:n], nonzero)]
        values, axes = self.how.flat(run, given, dims)
        if any(d is not None for d in self.dims) or any(d is not None for d in axes):
            values = [place_axis(x, d, 0, size) for x, d in zip(values, axes, strict=True)]
            axes = list[int | None]([0] * len(values))
        outs = values[: len(live)]
        self.note(axes[: len(live)])
        return outs, list(spread(values[len(live) :], live, [typeof(o) for o in outs]))


class CheckedJVP(Checked):
    """The rule of a function with checks, and so its own."""

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]:
        own, state = self.parted(constants)
        after: list[Any] = []

        def run(known: Program, xs: Sequence[Any]) -> Sequence[Any]:
            outs, after[:] = self.run(known, xs, state)
            return outs

        zeros = [Zero(x) for x in own]
        outs, pushed = self.base.linearized((*primals, *own), (*tangents, *zeros), run)
        return [*outs, *after], [*pushed, *map(Zero, after)]


@record
class CustomJVP(WithRule, Ruled):  # type: ignore[misc]
    """Where the rule is one for the jvp."""

    program: Program
    rule: JVPRule
    count: int
    rule_touches: bool = False  # type: ignore[misc]
    name: ClassVar[str] = "custom_jvp"
    batched_rule: ClassVar[Any] = BatchedJVP
    checked_rule: ClassVar[Any] = CheckedJVP

    def with_rule(self, program: Program, where: Mapping[int, int]) -> Primitive:
        return replace(self, program=program, rule=MaskedJVP(self, tuple(where.items())))

    def _derivative(self, tangents: Sequence[Any]) -> tuple[JVPProgram, Mask]:
        nonzero = tuple([not is_zero(t) for t in self.of_arguments(tangents)])
        return kept(self, nonzero, self._staged), nonzero

    def _staged(self, nonzero: Mask) -> JVPProgram:
        """The rule as a Program: from arguments, constants, and the tangents in the mask."""
        avals, count = self.program.in_avals, self.count
        run, live = _jvp_runner(self.rule, avals[:count], nonzero, len(avals) - count)
        types = [*avals, *[a.tangent() for a in compress(avals[:count], nonzero)]]
        name = self.program.name
        program, constants = calling(self.name, name, stage_closed, run, types, f"jvp_{name}")
        return JVPProgram(program, constants, tuple(live))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        found, nonzero = self._derivative(tangents)
        outs = Call(found.program)(*primals, *compress(tangents, nonzero), *found.constants)
        n = len(self.program.outputs)
        return outs[:n], tuple(spread(outs[n:], found.nonzero, self.program.out_avals))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return self.linearized(primals, tangents, lambda known, xs: Call(known)(*xs))

    def _split(self, nonzero: Mask) -> tuple[JVPProgram, SplitProgram]:
        """The rule in two: what is known, and what is linear in the tangents."""
        found = kept(self, nonzero, self._staged)
        m, k = len(self.program.inputs), len(found.constants)
        mask = (*[False] * m, *[True] * sum(nonzero), *[False] * k)
        split = split_program(found.program, mask)
        if any(split.nonzero[: len(self.program.outputs)]):
            raise TypeError(errors.depends_on_tangents(self.program.name))
        return found, split

    def linearized(
        self,
        primals: Sequence[Any],
        tangents: Sequence[Any],
        run: Callable[[Program, Sequence[Any]], Sequence[Any]],
    ) -> tuple[Sequence[Any], tuple[Any, ...]]:
        """Results and tangents, where `run` computes what is known."""
        _, nonzero = self._derivative(tangents)
        found, split = self._split(nonzero)
        n, types = len(self.program.outputs), self.program.out_avals
        known = (*primals, *found.constants, *split.constants)
        outs = run(split.known, known)
        residuals = split.residual_values(known, outs)
        pushed: Sequence[Any] = ()
        if any(split.nonzero):
            pushed = Call(split.linear)(*residuals, *compress(tangents, nonzero))
        linear, live = iter(split.nonzero[n:]), iter(pushed)
        return outs[:n], tuple([
            next(live) if given and next(linear) else Zero(aval)
            for given, aval in zip(found.nonzero, types, strict=True)
        ])  # fmt: skip

    def rule_programs(self) -> tuple[Program, ...] | None:
        nonzero = self.floating
        return foreseen(lambda: self._split(nonzero)[1].known) if any(nonzero) else ()


OnlineJVP.primitive, OnlineJVP.capturing = CustomJVP, CapturingJVP
OnlineJVP.touching = TouchingJVP
