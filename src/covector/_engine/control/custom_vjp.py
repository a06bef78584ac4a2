"""`CustomVJP`: a Program with a rule of the user's for its derivative backwards."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
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
from covector._engine.control.masked_rules import MaskedVJP, Ruled
from covector._engine.control.touching import settling
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.program import Program
from covector._engine.transforms.batch import Batching, place_axis
from covector._engine.transforms.programs import (
    Mask,
    TransposedProgram,
    stage_closed,
    with_residuals,
)
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Backward = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


class VJPRule(Protocol):
    """What is known of a derivative backwards: (residuals, results, backward).

    `backward` takes the residuals and the cotangents of the results, and gives those of the arguments; each cotangent
    may be Zero.  `perturbed` says which arguments are differentiated.
    """

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]: ...


class OnlineVJP(OnlineCustom):
    """A call of a function with a rule for its vjp."""

    name: ClassVar[str] = "custom_vjp"
    kind: ClassVar[str] = "custom_vjp"
    rule: VJPRule

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        perturbed = tuple([not is_zero(t) for t in tangents])
        rule = self.rule, primals, perturbed, ()
        residuals, outs, backward = calling(self.kind, self.function_name, *rule)
        return outs, _custom_linear(self.function_name, backward, residuals, outs, tangents)

    def _try_rule(self, *args: Any, note: Callable[[], None]) -> None:
        perturbed = tuple([typeof(x).differentiable() for x in args])
        residuals, outs, backward = self.rule(args, perturbed, ())
        note()
        types = [typeof(o) for o in outs]
        ones = [prims.zeros(a.tangent()) if a.differentiable() else Zero(a) for a in types]
        backward(residuals, ones)

    def _batched_rule(self, dims: Axes, how: Batching, axes: Outcome) -> Any:
        return BatchedVJP(self.rule, dims, how, Noting(self.outcome, axes))


def _custom_linear(
    name: str,
    backward: Backward,
    residuals: Sequence[Any],
    outs: Sequence[Any],
    tangents: Sequence[Any],
) -> tuple[Any, ...]:
    """The tangents of the results: what only `backward` knows, recorded as such."""
    types = tuple([typeof(o) for o in outs])
    live = [a.differentiable() for a in types]
    nonzero = tuple([not is_zero(t) for t in tangents])
    pushed: Sequence[Any] = ()
    if any(live):
        linear = CustomLinear(name, backward, len(residuals), nonzero, types)
        pushed = linear(*residuals, *compress(tangents, nonzero))
    return tuple(spread(pushed, live, types))


@record
class CustomLinear(Primitive):
    """The tangents of what has a rule for its vjp alone: it can only be transposed.

    Other rules push tangents on the way to a gradient (of loops, of roots): so it refuses when it is computed.
    Operands: residuals, the tangents of arguments in the mask.  Results: the tangents of floating results.
    """

    function_name: str
    backward: Backward
    residuals: int
    nonzero: Mask
    results: tuple[ShapedArray, ...]
    name: ClassVar[str] = "custom_linear"
    users_transpose: ClassVar[bool] = True
    users_slope: ClassVar[bool] = True
    multiple: ClassVar[bool] = True

    def text(self) -> str:
        return f"custom_linear[{self.function_name}]"

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return tuple([a.tangent() for a in self.results if a.differentiable()])

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        live = [a.differentiable() for a in self.results]
        cts = list(spread(ct, live, self.results))
        residuals = args[: self.residuals]
        backs = calling("custom_vjp", self.function_name, self.backward, residuals, cts)
        pulled = zip(args[self.residuals :], compress(backs, self.nonzero), strict=True)
        # A tangent may be known: zeros that another rule was given.
        return [
            *[None] * self.residuals,
            *[b if isinstance(t, Linear) else None for t, b in pulled],
        ]

    def _refused(self) -> TypeError:
        return TypeError(errors.no_forward_mode(self.function_name))

    # Every way to compute it, or to differentiate it once more before it is transposed:

    def reference(self, *xs: Any) -> Any:
        raise self._refused()

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        raise self._refused()

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        raise self._refused()

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        """Its way back batched: the results have the batch axis 0."""
        n, wide = self.residuals, [a.with_shape((size, *a.shape)) for a in self.results]
        tangents = zip(map(typeof, args[n:]), dims[n:], strict=True)
        pairs = [
            next(tangents) if mine else (ShapedArray((), self.results[0].dtype), None)
            for mine in self.nonzero
        ]
        avals, arguments = zip(*pairs, strict=True)
        back = BatchedBackward(
            self.backward,
            (*dims[:n], *[0] * len(wide)),
            arguments,
            avals,
            self.results,
            Batching(size, axis_name),
        )
        linear = replace(self, backward=back, results=tuple(wide))
        pushed = linear(*args)
        return pushed, [0] * len(pushed)


@record
class CapturingVJP:
    """The rule of a function that closes over traced values: they are residuals too."""

    rule: VJPRule
    captured: Captured

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]:
        more, captured = self.captured.of(constants), self.captured
        residuals, outs, backward = captured.given(more, self.rule, primals, perturbed, constants)
        n = len(residuals)

        def back(values: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
            return captured.given(values[n:], backward, values[:n], cts)

        return [*residuals, *more], outs, back


@record
class TouchingVJP(Touching):
    """Where the rule is one for the vjp."""

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]:
        found, after = self.touches.run(self.rule, primals, perturbed, constants)
        residuals, outs, backward = found
        n = len(outs)

        def back(values: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
            return backward(values, cts[:n])

        return residuals, [*outs, *after], back


@record
class BatchedVJP:
    """A rule on operands with batch axes.  All results have the batch axis 0, if an operand has any."""

    rule: VJPRule
    dims: Axes  # of the arguments, then of constants
    how: Batching
    note: Callable[[list[int | None]], None]

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]:
        n, stop, size = len(primals), len(self.dims), self.how.size
        found: list[Any] = []

        def run(*values: Any) -> Values:
            residuals, outs, backward = self.rule(values[:n], perturbed, values[n:])
            types = tuple([typeof(o) for o in outs])
            found[:] = [backward, len(residuals), types]
            return [*residuals, *outs]

        given = [*primals, *constants[: stop - n]]
        values, axes = self.how.flat(run, given, self.dims)
        backward, m, types = found
        residuals, outs, places = values[:m], values[m:], axes[m:]
        if any(d is not None for d in axes) or any(d is not None for d in self.dims):
            outs = [place_axis(x, d, 0, size) for x, d in zip(outs, places, strict=True)]
            places = list[int | None]([0] * len(outs))
        self.note(places)
        taken = (*axes[:m], *places)
        arguments = self.dims[:n]
        avals = tuple([typeof(x) for x in primals])
        back = BatchedBackward(backward, taken, arguments, avals, types, self.how)
        return residuals, outs, back


@record
class BatchedBackward:
    """The way back of a `BatchedVJP`: what goes to an argument without a batch axis is the sum over the batch."""

    backward: Backward
    dims: Axes  # of residuals and results
    arguments: Axes  # the batch axes of the arguments
    avals: tuple[ShapedArray, ...]  # the arguments' types, batch axes included
    types: tuple[ShapedArray, ...]  # of the results, as the function sees them
    how: Batching

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> Values:
        n, size = len(residuals), self.how.size
        given, live = [not is_zero(c) for c in cts], list[bool]()

        def run(*values: Any) -> Values:
            backs = self.backward(values[:n], list(spread(values[n:], given, self.types)))
            live[:] = [not is_zero(b) for b in backs]
            return list(compress(backs, live))

        values = [*residuals, *compress(cts, given)]
        dims = [*self.dims[:n], *compress(self.dims[n:], given)]
        backs, axes = self.how.flat(run, values, dims)
        found = iter(zip(backs, axes, strict=True))
        result: Values = []
        for axis, aval, mine in zip(self.arguments, self.avals, live, strict=True):
            if not mine:
                result.append(Zero(aval))
                continue
            back, place = next(found)
            if axis is not None:
                back = place_axis(back, place, axis, size)
            elif place is not None:
                back = prims.Sum((place,))(back)
            result.append(back)
        return result


class CheckedVJP(Checked):
    """The rule of a function with checks, and so its own."""

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]:
        own, state = self.parted(constants)
        after: list[Any] = []

        def run(program: Program, xs: Sequence[Any]) -> Sequence[Any]:
            outs, after[:] = self.run(program, xs, state)
            return outs

        found, residuals, outs = self.base.forward((*primals, *own), perturbed, run)
        n = len(outs)

        def back(values: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
            return found(values, cts[:n])

        return residuals, [*outs, *after], back


@record
class CustomVJP(WithRule, Ruled):  # type: ignore[misc]
    """Where the rule is one for the vjp."""

    program: Program
    rule: VJPRule
    count: int
    rule_touches: bool = False  # type: ignore[misc]
    name: ClassVar[str] = "custom_vjp"
    batched_rule: ClassVar[Any] = BatchedVJP
    checked_rule: ClassVar[Any] = CheckedVJP

    def with_rule(self, program: Program, where: Mapping[int, int]) -> Primitive:
        return replace(self, program=program, rule=MaskedVJP(self, tuple(where.items())))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        given = self.of_arguments(tangents)
        nonzero = tuple([not is_zero(t) for t in given])
        found, residuals, outs = self.forward(primals, nonzero, lambda p, xs: Call(p)(*xs))
        return outs, _custom_linear(self.program.name, found, residuals, outs, given)

    def forward(
        self,
        primals: Sequence[Any],
        perturbed: Mask,
        run: Callable[[Program, Sequence[Any]], Sequence[Any]],
    ) -> tuple[ForwardProgram, list[Any], Sequence[Any]]:
        """The rule, the residuals, and the results, where `run` computes them."""
        found = kept(self, perturbed, self._forward)
        known = (*primals, *found.constants)
        outs = run(found.program, known)
        values = [*known, *outs]
        residuals = [values[i] for i in found.residuals]
        return found, residuals, outs[: len(self.program.outputs)]

    def rule_programs(self) -> tuple[Program, ...] | None:
        perturbed = self.floating
        if not any(perturbed):
            return ()
        return foreseen(lambda: kept(self, perturbed, self._forward).program)

    def _forward(self, perturbed: Mask) -> ForwardProgram:
        """The rule forwards, as a Program: from arguments and constants to results and residuals."""
        count, found = self.count, list[Any]()
        program = self.program

        def run(*values: Any) -> Values:
            residuals, outs, backward = self.rule(values[:count], perturbed, values[count:])
            found[:] = [backward]
            return [*outs, *residuals]

        name, avals = program.name, program.in_avals
        staged, constants = calling(self.name, name, stage_closed, run, avals, f"forward_{name}")
        staged, residuals = with_residuals(staged, len(program.outputs))
        types = program.out_avals, avals[:count]
        return ForwardProgram(staged, constants, residuals, found[0], *types)


class ForwardProgram:
    """A rule forwards, as a Program, and the way back, staged once for each set of cotangents."""

    def __init__(
        self, program: Program, constants: tuple[Any, ...], residuals: tuple[int, ...],
        backward: Backward, outs: Sequence[ShapedArray], args: Sequence[ShapedArray],
    ):  # fmt: skip
        self.program, self.constants = program, constants
        self.residuals = residuals  # where each is found in [inputs, outputs]
        self.backward, self.outs, self.args = backward, outs, args
        self._back: dict[Mask, TransposedProgram] = {}

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> Values:
        given = tuple([not is_zero(c) for c in cts])
        found = self.transposed(given)
        back = Call(found.program)
        backs = settling(back, *residuals, *compress(cts, given), *found.constants)
        return list(spread(backs, found.nonzero, self.args))

    def transposed(self, given: Mask) -> TransposedProgram:
        """The way back for cotangents in a mask."""
        found = self._back.get(given)
        if found is None:
            found = self._back[given] = self._staged(given)
        return found

    def _staged(self, given: Mask) -> TransposedProgram:
        n, nonzero = len(self.residuals), list[bool]()

        def run(*values: Any) -> Values:
            backs = self.backward(values[:n], list(spread(values[n:], given, self.outs)))
            nonzero[:] = [not is_zero(b) for b in backs]
            return list(compress(backs, nonzero))

        atoms = (*self.program.inputs, *self.program.outputs)
        types = [atoms[i].aval for i in self.residuals]
        types += [a.tangent() for a in compress(self.outs, given)]
        name = f"backward_{self.program.name}"
        staged, constants = stage_closed(run, types, name, later=True)
        return TransposedProgram(staged, constants, tuple(nonzero))


OnlineVJP.primitive, OnlineVJP.capturing = CustomVJP, CapturingVJP
OnlineVJP.touching = TouchingVJP
