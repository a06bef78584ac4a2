"""`CustomVmap`: a Program with a rule of the user's for its batching."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base import errors, ref_errors
from covector._engine.base.record import record
from covector._engine.control.call import Call, Called, spread
from covector._engine.control.custom import (
    Captured,
    OnlineCustom,
    Outcome,
    Touches,
    Values,
    calling,
)
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Program
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.forward import jvp_flat
from covector._engine.transforms.programs import Mask, jvp_program, linearize_program
from covector._engine.types.dims import Dim

# From the size of the batch, which operands have a batch axis (it is axis 0), the operands, and constants: the results,
# and which of them have a batch axis.
VmapRule = Callable[[Dim, Sequence[bool], Sequence[Any], Sequence[Any]], tuple[Values, list[bool]]]


def _apply(
    rule: VmapRule, args: Sequence[Any], dims: Sequence[int | None], size: Dim, count: int
) -> tuple[Values, list[int | None]]:
    """The rule on operands with these batch axes, of which the first `count` are arguments."""
    batched = [d is not None for d in dims]
    values = [x if d is None else prims.move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    outs, found = rule(size, batched[:count], values[:count], values[count:])
    return outs, [0 if mine else None for mine in found]


def _halves(outs: Sequence[Any]) -> tuple[Sequence[Any], tuple[Any, ...]]:
    """Results and tangents, of results followed by the tangents of the floating ones."""
    n, total = 0, 0
    while total < len(outs):
        total += 1 + typeof(outs[n]).differentiable()
        n += 1
    types = [typeof(o) for o in outs[:n]]
    return outs[:n], tuple(spread(outs[n:], [a.differentiable() for a in types], types))


def _floating(outs: Sequence[Any], pushed: Sequence[Any]) -> Values:
    """The tangents of floating results, zeros included."""
    live = [typeof(o).differentiable() for o in outs]
    return [prims.materialize(t) for t in compress(pushed, live)]


class OnlineVmap(OnlineCustom):
    """A call of a function with a rule for its batching."""

    name: ClassVar[str] = "custom_vmap"
    kind: ClassVar[str] = "custom_vmap"
    rule: VmapRule

    def batch_online(
        self, args: Sequence[Any], dims: Sequence[int | None], how: Batching
    ) -> tuple[Any, Any]:
        if all(d is None for d in dims):  # what it closes over may be mapped
            return super().batch_online(args, dims, how)
        given = self.rule, args, dims, how.size, len(args)
        return calling(self.kind, self.function_name, _apply, *given)

    def _batched_rule(self, dims: tuple[int | None, ...], how: Batching, axes: Outcome) -> VmapRule:
        return self.rule

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero, n = tuple([not is_zero(t) for t in tangents]), len(primals)

        def run(*values: Any) -> Values:
            given = spread(values[n:], nonzero, [typeof(x) for x in values[:n]])
            outs, pushed = jvp_flat(self.fun, values[:n], list(given))
            return [*outs, *_floating(outs, pushed)]

        memory = self.memory.under("jvp", nonzero)
        rule = PushedVmap(self.rule, nonzero)
        both = OnlineVmap(self.function_name, run, rule, self.outcome, memory)
        return _halves(both(*primals, *compress(tangents, nonzero)))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Values come from the rule where they are mapped; what is linear comes from the function."""
        outs = self(*primals)
        _, pushed = calling(self.kind, self.function_name, jvp_flat, self.fun, primals, tangents)
        return outs, pushed


@record
class PushedVmap:
    """The rule of the function that also pushes tangents along, of the arguments in the mask."""

    rule: VmapRule
    nonzero: Mask

    def __call__(
        self, size: Dim, batched: Sequence[bool], args: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, list[bool]]:
        n, found = len(self.nonzero), list[bool]()
        primals, mapped = list(args[:n]), list(batched[:n])
        tangents = list(spread(args[n:], self.nonzero, [typeof(x) for x in primals]))
        for i, mine in zip(compress(range(n), self.nonzero), batched[n:], strict=True):
            if mine and not mapped[i]:
                primals[i], mapped[i] = prims.add_batch_axis(primals[i], size), True
            elif mapped[i] and not mine:
                tangents[i] = prims.add_batch_axis(tangents[i], size)

        def run(*values: Any) -> Values:
            outs, found[:] = self.rule(size, mapped, values, constants)
            return outs

        outs, pushed = jvp_flat(run, primals, tangents)
        live = [typeof(o).differentiable() for o in outs]
        return [*outs, *_floating(outs, pushed)], [*found, *compress(found, live)]


@record
class CapturingVmap:
    """The rule of a function that closes over traced values."""

    rule: VmapRule
    captured: Captured

    def __call__(
        self, size: Dim, batched: Sequence[bool], args: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[Values, list[bool]]:
        operands = self.captured.of(constants)
        return self.captured.given(operands, self.rule, size, batched, args, constants)


@record
class CustomVmap(Called):
    """A Program with a rule for its batching.  Operands: `count` arguments, then constants."""

    program: Program
    rule: VmapRule
    count: int
    name: ClassVar[str] = "custom_vmap"
    users_batch: ClassVar[bool] = True

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([not is_zero(t) for t in tangents])
        wanted = tuple([a.differentiable() for a in self.program.out_avals])
        found = jvp_program(self.program, nonzero, wanted)
        if any(nonzero[self.count :]):  # the rule knows nothing of these tangents
            outs = Call(found.program)(*primals, *compress(tangents, nonzero), *found.constants)
            return _halves(outs)
        # Its operands: arguments, their tangents, constants.
        n, k = self.count, sum(nonzero)
        inputs = found.program.inputs
        m = len(primals)
        order = (*inputs[:n], *inputs[m : m + k], *inputs[n:m], *inputs[m + k :])
        program = Program(order, found.program.eqns, found.program.outputs, name=self.program.name)
        both = CustomVmap(program, PushedVmap(self.rule, nonzero[:n]), n + k)
        given = *primals[:n], *compress(tangents, nonzero), *primals[n:], *found.constants
        return _halves(both(*given))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([not is_zero(t) for t in tangents])
        found = linearize_program(self.program, nonzero)
        known = (*primals, *found.constants)
        outs = Call(found.known)(*known)
        residuals = found.residual_values(known, outs)
        pushed: Sequence[Any] = ()
        if any(found.nonzero):
            pushed = Call(found.linear)(*residuals, *compress(tangents, nonzero))
        types = self.program.out_avals
        return self(*primals), tuple(spread(pushed, found.nonzero, types))

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        given = self.rule, args, dims, size, self.count
        return calling(self.name, self.program.name, _apply, *given)


@record
class TouchingVmap:
    """In the place of the rule of a function that touches references: it would touch them at another time.

    Who staged the function runs it where the rule is wanted instead.
    """

    rule: VmapRule
    touches: Touches

    def __call__(self, *_: Any) -> tuple[Values, list[bool]]:
        raise errors.OutsideRefError(ref_errors.from_outside(self.touches.name))


def _custom_vmap(program: Program, rule: VmapRule, count: int, touches: bool) -> Primitive:
    return CustomVmap(program, rule, count)


OnlineVmap.primitive, OnlineVmap.capturing = staticmethod(_custom_vmap), CapturingVmap
OnlineVmap.touching = TouchingVmap
