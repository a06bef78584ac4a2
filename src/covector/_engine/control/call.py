"""`Call`: a Program as one operation, which is what `jit` makes of a function inside a transformation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors, ref_errors
from covector._engine.base.record import record, replace
from covector._engine.control.touching import settling
from covector._engine.core.inside import Checking, Interpreter
from covector._engine.core.primitive import Primitive, Recorder
from covector._engine.core.refs import any_made
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import (
    Literal,
    Program,
    inputs_read,
)
from covector._engine.transforms.programs import (
    Mask,
    batch_program,
    dependent,
    derived,
    jvp_program,
    linearize_program,
    part_of,
    split_program,
    transpose_program,
)
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim


def reference(program: Program, args: Sequence[Any]) -> list[Any]:
    """A Program's meaning in NumPy: that of its equations, one after the other."""
    env: dict[Any, Any] = dict(zip(program.inputs, args, strict=True))
    for eqn in program.eqns:
        out = eqn.primitive.reference(
            *[a.value if type(a) is Literal else env[a] for a in eqn.inputs]
        )
        env.update(zip(eqn.outputs, out if eqn.primitive.multiple else (out,), strict=True))
    return [a.value if type(a) is Literal else env[a] for a in program.outputs]


class InNumPy:
    """The interpreter that gives a Program's meaning in NumPy."""

    def run(self, program: Program, args: Sequence[Any], step: int | None = None) -> list[Any]:
        """The results of a closed Program."""
        return reference(program, args)

    def number(self, x: Any) -> Any:
        """The value of a scalar."""
        return x

    def part(self, x: Any, at: int | tuple[int, ...]) -> Any:
        """A part of an array."""
        return np.asarray(x)[at]

    def stacked(self, parts: Sequence[Any], aval: ShapedArray) -> Any:
        """The array whose parts these are."""
        return in_one(parts, aval)


def in_one(parts: Sequence[Any], aval: ShapedArray) -> np.ndarray:
    """The NumPy array of this type whose parts these are, in order."""
    if not parts:
        return np.zeros(tuple(map(dims.least, aval.shape)), aval.dtype)
    stack = np.stack([np.asarray(x) for x in parts])
    return stack if stack.ndim == aval.ndim else stack.reshape(aval.shape)  # type: ignore[arg-type]


IN_NUMPY = InNumPy()


@derived
def axis_names_of(program: Program) -> frozenset[Hashable]:
    """The named axes that its equations read."""
    return frozenset[Hashable]().union(*[eqn.primitive.axis_names for eqn in program.eqns])


@derived
def has_users_batch(program: Program) -> bool:
    """Whether anything in it is batched by a rule of the user's, which is told of all elements at once."""
    return any(eqn.primitive.users_batch for p in program.within() for eqn in p.eqns)


@derived
def _has_touching_rule(program: Program) -> bool:
    return any(eqn.primitive.rule_touches for p in program.within() for eqn in p.eqns)


def refuse_touching_rules(name: str, program: Program) -> None:
    """OutsideRefError if rules in a Program touch references: its results come from the functions, not from them."""
    if any_made() and _has_touching_rule(program):
        raise errors.OutsideRefError(ref_errors.in_rule_of(name))


def spread(
    values: Iterable[Any], mask: Sequence[bool], types: Sequence[ShapedArray]
) -> Iterator[Any]:
    """The values where the mask holds, Zeros elsewhere."""
    rest = iter(values)
    for live, aval in zip(mask, types, strict=True):
        yield next(rest) if live else Zero(aval)


def left(values: Sequence[Any], mask: Sequence[bool]) -> tuple[Any, ...]:
    """Those where the mask does not hold."""
    return tuple([x for x, mine in zip(values, mask, strict=True) if not mine])


def merged(known: Iterable[Any], linear: Iterable[Any], mask: Sequence[bool]) -> list[Any]:
    """The linear ones where the mask holds, known ones elsewhere."""
    first, second = iter(known), iter(linear)
    return [next(second) if mine else next(first) for mine in mask]


def check_types(
    name: str, what: str, expected: Sequence[ShapedArray], found: Sequence[ShapedArray]
) -> None:
    """TypeError unless these are the types that are expected, up to weak ones."""
    if len(expected) != len(found) or any(
        e.shape != f.shape or e.dtype != f.dtype for e, f in zip(expected, found, strict=True)
    ):
        raise TypeError(
            f"{name}: the {what} must be {', '.join(e.text() for e in expected)}; "
            f"they are {', '.join(f.text() for f in found)}{errors.at_user_line()}"
        )


def materialized(tangents: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    """The tangents in the mask, zeros where they are symbolic."""
    return [prims.materialize(t) for t in compress(tangents, mask)]


def without_slope(x: Any) -> Any:
    """The value as a constant: it has no derivative."""
    return prims.stop_gradient(x) if typeof(x).differentiable() else x


def given_ones(tangents: Sequence[Any]) -> list[Any]:
    """Those that are not symbolic zeros."""
    return [t for t in tangents if not is_zero(t)]


def added_onto(sums: Sequence[Any], linear: Sequence[bool]) -> tuple[Mask, list[Any]]:
    """Of the linear operands, which are added to sums; and these, None for others."""
    own = list(compress(sums, linear))
    return tuple([x is not None for x in own]), own


def total(before: Any, back: Any) -> Any:
    """The sum of what has arrived before, if that is not None, and a cotangent, if there is one."""
    there = before is not None and back is not None and not is_zero(back)
    return prims.add_any(before, back) if there else back


class Called(Primitive):
    """A family: the results of a closed Program, which takes the place of the equation when it is compiled.

    What its members are differentiated and batched to is theirs.
    """

    program: Program
    multiple: ClassVar[bool] = True

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return axis_names_of(self.program)

    def text(self) -> str:
        return f"{self.name}[{self.program.name}]"

    def programs(self) -> tuple[Program, ...]:
        return (self.program,)

    def with_programs(self, programs: Sequence[Program]) -> Primitive:
        return replace(self, program=programs[0])

    def inlined(self) -> Program | None:
        return self.program

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        expected = self.program.in_avals
        if len(avals) != len(expected) or any(
            a.shape != e.shape or a.dtype != e.dtype for a, e in zip(avals, expected, strict=True)
        ):
            raise TypeError(
                f"{self.text()} takes {', '.join(e.text() for e in expected)}; "
                f"it got {', '.join(a.text() for a in avals)}{errors.at_user_line()}"
            )
        return self.program.out_avals

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        return tuple(self.interpreted(IN_NUMPY, *xs))

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        return how.run(self.program, xs)

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        return how.beside(self, self.program, xs, state)

    def of(self, program: Program, backwards: bool = False) -> Primitive:
        """What does with another Program, derived from its own, as this does with its own."""
        return Call(program)

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        linear = tuple([isinstance(x, Linear) for x in args])
        given = tuple([not is_zero(c) for c in ct])
        adds, sums = added_onto(sums, linear)
        found = transpose_program(self.program, linear, given, (), adds)
        known = [x for x, mine in zip(args, linear, strict=True) if not mine]
        back, summed = self.of(found.program, True), compress(sums, found.summed)
        backs = iter(settling(back, *known, *compress(ct, given), *summed, *found.constants))
        live = iter(found.nonzero)
        return [
            (next(backs) if next(live) else Zero(x.aval)) if mine else None
            for x, mine in zip(args, linear, strict=True)
        ]


class Transparent(Called):
    """A family: what is nothing but its Program also when it is differentiated and batched."""

    transparent: ClassVar[bool] = True
    adds_onto: ClassVar[bool] = True

    def depends(self, on: tuple[bool, ...]) -> Sequence[bool] | None:
        return dependent(self.program, on)

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        takes = inputs_read(part_of(self.program, tuple(used)))
        return self.of(part_of(self.program, tuple(used), takes)), takes, used

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        outs = self.of(how.program(self.program))(*xs, *state)
        n = len(self.program.outputs)
        return outs[:n], outs[n:]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents])
        found = jvp_program(self.program, nonzero)
        outs = self.of(found.program)(*primals, *compress(tangents, nonzero), *found.constants)
        n = len(self.program.outputs)
        return outs[:n], tuple(spread(outs[n:], found.nonzero, self.program.out_avals))

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        found = batch_program(self.program, tuple(dims), size, axis_name)
        return self.of(found.program)(*args, *found.constants), found.dims


@record
class Call(Transparent):
    """The results of a closed Program.  Differentiated, transposed and batched, it is a Call of another Program."""

    program: Program
    name: ClassVar[str] = "call"

    def in_two(
        self, args: Sequence[Any], linear: tuple[bool, ...], record: Recorder
    ) -> Sequence[Any]:
        found = split_program(self.program, linear)
        known = (*left(args, linear), *found.constants)
        outs = Call(found.known)(*known)
        residuals = found.residual_values(known, outs)
        pushed = record(Call(found.linear), [*residuals, *compress(args, linear)])
        return merged(outs, pushed, found.nonzero)

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = tuple([type(t) is not Zero for t in tangents])
        found = linearize_program(self.program, nonzero)
        known = (*primals, *found.constants)
        outs = Call(found.known)(*known)
        pushed: Sequence[Any] = ()
        if any(found.nonzero):
            residuals = found.residual_values(known, outs)
            pushed = Call(found.linear)(*residuals, *compress(tangents, nonzero))
        n = len(self.program.outputs)
        return outs[:n], tuple(spread(pushed, found.nonzero, self.program.out_avals))


def over_lanes(
    one: Program, lanes: tuple[Dim, ...], mapped: Mask
) -> tuple[Program, tuple[Any, ...]]:
    """The Program that does the same on values with leading axes, those in a mask; further operands."""
    program, constants = one, ()
    for size in reversed(lanes):
        axes = [0 if mine else None for mine in mapped] + [None] * len(constants)
        batched = batch_program(program, tuple(axes), size, None, (True,) * len(program.outputs))
        program, constants = batched.program, (*constants, *batched.constants)
    return program, constants
