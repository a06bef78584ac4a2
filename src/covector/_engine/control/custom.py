"""Custom derivative rules: `CustomJVP` and `CustomVJP`, which hold a Program and the user's rule for it.

Where values are computed, the user's functions run as they are (`OnlineJVP`, `OnlineVJP`), so that Python's control
flow on values works in them.  Where operations are staged, the function becomes a Program, once for each signature,
and the rule stays a function that is staged when a derivative is asked for, once for each of its signatures too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar, Protocol, TypeVar

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.record import record, replace
from covector._engine.control.call import Call, Called, spread
from covector._engine.core.primitive import Online, Primitive, Zero, is_zero
from covector._engine.core.trace import Tracer, current, stage, standing_for, typeof
from covector._engine.ir.program import Program, without_dead_code
from covector._engine.transforms.batch import Batching, place_axis
from covector._engine.transforms.forward import Flat, LinearTracer
from covector._engine.transforms.programs import (
    JVPProgram,
    Mask,
    TransposedProgram,
    batch_program,
    interned,
    split_program,
    stage_closed,
    with_residuals,
)
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

T = TypeVar("T")
Values = list[Any]
Backward = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


class JVPRule(Protocol):
    """What is known of a derivative forwards: (results, their tangents).  Tangents, given and returned, may be Zero."""

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, Values]: ...


class VJPRule(Protocol):
    """What is known of a derivative backwards: (residuals, results, backward).

    `backward` takes the residuals and the cotangents of the results, and gives those of the arguments; each cotangent
    may be Zero.  `perturbed` says which arguments are differentiated.
    """

    def __call__(
        self, primals: Sequence[Any], perturbed: Mask, constants: Sequence[Any]
    ) -> tuple[Values, Values, Backward]: ...


class Memory:
    """What was staged of a function with a custom rule, by signature: it lives as long as the function."""

    __slots__ = ("key", "table")

    def __init__(self, table: dict[Any, Any], key: Hashable):
        self.table, self.key = table, key

    def under(self, *more: Hashable) -> Memory:
        """The part of it for something made from this function."""
        return Memory(self.table, None if self.key is None else (self.key, *more))

    def get(self, avals: tuple[ShapedArray, ...]) -> Any:
        """What was kept for operands of these types; None if there is nothing."""
        return None if self.key is None else self.table.get((self.key, avals, config.code_key()))

    def keep(self, avals: tuple[ShapedArray, ...], found: Any) -> None:
        """Keep it, if it may be found again."""
        if self.key is not None:
            self.table[self.key, avals, config.code_key()] = found


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


class _OnlineCustom(Online):
    """A function with a custom rule, as it is called."""

    kind: ClassVar[str]
    primitive: ClassVar[Callable[..., Primitive]]  # makes what stands for it in a Program
    capturing: ClassVar[
        Callable[..., Any]
    ]  # makes the rule of a function that closes over traced values

    def __init__(self, name: str, fun: Flat, rule: Any, outcome: Outcome, memory: Memory):
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
        found = self.memory.get(avals)
        if found is None:
            program = without_dead_code(stage(self.fun, avals, self.function_name))
            closed, constants, n = program.close(), program.constants, len(avals)
            captured = Captured([(i, c) for i, c in enumerate(constants) if isinstance(c, Tracer)])
            if captured.values:
                primitive = self.primitive(closed, self.capturing(self.rule, captured), n)
            else:
                primitive = self.primitive(interned(closed), self.rule, n)
            found = primitive, constants, self.outcome.value
            if not captured.values:
                self.memory.keep(avals, found)
        primitive, constants, self.outcome.value = found
        return primitive(*args, *constants)

    def batch_online(
        self, args: Sequence[Any], dims: Sequence[int | None], how: Batching
    ) -> tuple[Any, Any]:
        axes, mapped = Outcome(), any(d is not None for d in dims)

        def run(*values: Any) -> Values:
            outs, found = how.flat(self.fun, values, dims)
            if mapped:
                outs = [place_axis(x, d, 0, how.size) for x, d in zip(outs, found, strict=True)]
                found = [0] * len(outs)
            axes.value = self.outcome.value, found
            return outs

        rule = self._batched_rule(tuple(dims), how, axes)
        memory = self.memory.under("batch", tuple(dims), how.size, how.axis_name)
        outs = type(self)(self.function_name, run, rule, axes, memory)(*args)
        self.outcome.value, found = axes.value
        return outs, found

    def _batched_rule(self, dims: tuple[int | None, ...], how: Batching, axes: Outcome) -> Any:
        """The rule for operands with these batch axes; it notes what the function itself notes, and batch axes."""
        raise NotImplementedError


def _kept(primitive: Primitive, key: Mask, make: Callable[[Mask], T]) -> T:
    """What is derived from a rule, kept by the primitive: the rule may lead to it, so elsewhere it would never go."""
    table: dict[Mask, T] = primitive.__dict__.setdefault("_derived", {})
    if key not in table:
        table[key] = make(key)
    return table[key]


# ------------------------------------------------------------------------------------------------------ forwards


class OnlineJVP(_OnlineCustom):
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

    def _batched_rule(self, dims: tuple[int | None, ...], how: Batching, axes: Outcome) -> Any:
        return BatchedJVP(self.rule, dims, how, _Noting(self.outcome, axes))


class _Noting:
    """Hands on what a function noted, with the batch axes that were found."""

    def __init__(self, inner: Outcome, outer: Outcome):
        self.inner, self.outer = inner, outer

    def __call__(self, axes: list[int | None]) -> None:
        self.outer.value = self.inner.value, axes


def _forget(axes: list[int | None]) -> None:
    """For rules of staged functions, whose results' batch axes are known."""


def _jvp_runner(
    rule: JVPRule, avals: Sequence[ShapedArray], nonzero: Sequence[bool], count: int
) -> tuple[Flat, list[bool]]:
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
class BatchedJVP:
    """A rule on operands with batch axes.  All results have the batch axis 0, if an operand has any."""

    rule: JVPRule
    dims: tuple[int | None, ...]  # of the arguments, then of constants
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
            axes = [0] * len(values)
        outs = values[: len(live)]
        self.note(axes[: len(live)])
        return outs, list(spread(values[len(live) :], live, [typeof(o) for o in outs]))


@record
class CustomJVP(Called):
    """A Program with a rule for its jvp.  Operands: `count` arguments, then constants, which have no tangents."""

    program: Program
    rule: JVPRule
    count: int
    name: ClassVar[str] = "custom_jvp"

    def _derivative(self, tangents: Sequence[Any]) -> tuple[JVPProgram, Mask]:
        if not all(map(is_zero, tangents[self.count :])):
            raise errors.ClosedOverError(errors.closed_over(self.name, self.program.name))
        nonzero = tuple([not is_zero(t) for t in tangents[: self.count]])
        return _kept(self, nonzero, self._staged), nonzero

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
        found, nonzero = self._derivative(tangents)
        n, types = len(self.program.outputs), self.program.out_avals
        m, k = len(primals), len(found.constants)
        mask = (*[False] * m, *[True] * sum(nonzero), *[False] * k)
        split = split_program(found.program, mask)
        if any(split.nonzero[:n]):
            raise TypeError(errors.depends_on_tangents(self.program.name))
        known = (*primals, *found.constants, *split.constants)
        outs = Call(split.known)(*known)
        residuals = split.residual_values(known, outs)
        pushed: Sequence[Any] = ()
        if any(split.nonzero):
            pushed = Call(split.linear)(*residuals, *compress(tangents, nonzero))
        linear, live = iter(split.nonzero[n:]), iter(pushed)
        return outs[:n], tuple([
            next(live) if given and next(linear) else Zero(aval)
            for given, aval in zip(found.nonzero, types, strict=True)
        ])  # fmt: skip

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self.batch_named(args, dims, size, None)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        wanted = (True,) * len(self.program.outputs)
        found = batch_program(self.program, tuple(dims), size, axis_name, wanted)
        rule = BatchedJVP(self.rule, tuple(dims), Batching(size, axis_name), _forget)
        return replace(self, program=found.program, rule=rule)(*args, *found.constants), found.dims


# ----------------------------------------------------------------------------------------------------- backwards


class OnlineVJP(_OnlineCustom):
    """A call of a function with a rule for its vjp."""

    name: ClassVar[str] = "custom_vjp"
    kind: ClassVar[str] = "custom_vjp"
    rule: VJPRule

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        raise TypeError(errors.no_forward_mode(self.function_name))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        perturbed = tuple([not is_zero(t) for t in tangents])
        rule = self.rule, primals, perturbed, ()
        residuals, outs, backward = calling(self.kind, self.function_name, *rule)
        return outs, _custom_linear(self.function_name, backward, residuals, outs, tangents)

    def _batched_rule(self, dims: tuple[int | None, ...], how: Batching, axes: Outcome) -> Any:
        return BatchedVJP(self.rule, dims, how, _Noting(self.outcome, axes))


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

    Operands: residuals, the tangents of arguments in the mask.  Results: the tangents of floating results.
    """

    function_name: str
    backward: Backward
    residuals: int
    nonzero: Mask
    results: tuple[ShapedArray, ...]
    name: ClassVar[str] = "custom_linear"
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
        return [*[None] * self.residuals, *compress(backs, self.nonzero)]

    def _forward(self, *args: Any) -> Any:
        raise TypeError(errors.no_forward_mode(self.function_name))

    # Every way to compute it, or to differentiate it once more before it is transposed.
    reference = jvp = lower = batch = _forward


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
class BatchedVJP:
    """A rule on operands with batch axes.  All results have the batch axis 0, if an operand has any."""

    rule: VJPRule
    dims: tuple[int | None, ...]  # of the arguments, then of constants
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
            places = [0] * len(outs)
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
    dims: tuple[int | None, ...]  # of residuals and results
    arguments: tuple[int | None, ...]  # the batch axes of the arguments
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


@record
class CustomVJP(Called):
    """A Program with a rule for its vjp.  Operands: `count` arguments, then constants, which have no tangents."""

    program: Program
    rule: VJPRule
    count: int
    name: ClassVar[str] = "custom_vjp"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        raise TypeError(errors.no_forward_mode(self.program.name))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        if not all(map(is_zero, tangents[self.count :])):
            raise errors.ClosedOverError(errors.closed_over(self.name, self.program.name))
        given = tangents[: self.count]
        nonzero = tuple([not is_zero(t) for t in given])
        found = _kept(self, nonzero, self._forward)
        known = (*primals, *found.constants)
        outs = Call(found.program)(*known)
        values = [*known, *outs]
        residuals = [values[i] for i in found.residuals]
        results = outs[: len(self.program.outputs)]
        return results, _custom_linear(self.program.name, found, residuals, results, given)

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

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self.batch_named(args, dims, size, None)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        wanted = (True,) * len(self.program.outputs)
        found = batch_program(self.program, tuple(dims), size, axis_name, wanted)
        rule = BatchedVJP(self.rule, tuple(dims), Batching(size, axis_name), _forget)
        return replace(self, program=found.program, rule=rule)(*args, *found.constants), found.dims


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
        found = self._back.get(given)
        if found is None:
            found = self._back[given] = self._transposed(given)
        backs = Call(found.program)(*residuals, *compress(cts, given), *found.constants)
        return list(spread(backs, found.nonzero, self.args))

    def _transposed(self, given: Mask) -> TransposedProgram:
        n, nonzero = len(self.residuals), list[bool]()

        def run(*values: Any) -> Values:
            backs = self.backward(values[:n], list(spread(values[n:], given, self.outs)))
            nonzero[:] = [not is_zero(b) for b in backs]
            return list(compress(backs, nonzero))

        atoms = (*self.program.inputs, *self.program.outputs)
        types = [atoms[i].aval for i in self.residuals]
        types += [a.tangent() for a in compress(self.outs, given)]
        staged, constants = stage_closed(run, types, f"backward_{self.program.name}")
        return TransposedProgram(staged, constants, tuple(nonzero))


OnlineJVP.primitive, OnlineJVP.capturing = CustomJVP, CapturingJVP
OnlineVJP.primitive, OnlineVJP.capturing = CustomVJP, CapturingVJP
