"""Linear operations with a transpose of the user's: `LinearCall`; `LinearSolve`, which solves a linear system."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import compress
from typing import Any, ClassVar

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.control.call import IN_NUMPY, Call, Called
from covector._engine.control.custom import kept
from covector._engine.control.custom_vjp import BatchedBackward
from covector._engine.control.touching import settling
from covector._engine.core.inside import Checking, Interpreter
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.ir.program import Program, Var, replace_inputs
from covector._engine.transforms.batch import Batching, place_axis
from covector._engine.transforms.programs import batch_program, linearize_program, stage_closed
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Transposed = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


@record
class LinearCall(Called):
    """A Program that is linear in the operands after the first `count`, with a function for its transpose.

    `transposed` takes residuals and cotangents of the results, and gives those of the linear operands.
    """

    program: Program
    transposed: Transposed
    count: int
    name: ClassVar[str] = "linear_call"
    users_slope: ClassVar[bool] = True

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        n = self.count
        if not all(map(is_zero, tangents[:n])):
            raise NotImplementedError(
                f"linear_call of {self.program.name}{errors.at_user_line()} is differentiated with respect to a "
                "residual: only the derivative in the linear arguments is known"
            )
        outs = self(*primals)
        if all(map(is_zero, tangents)):
            return outs, tuple([Zero(a) for a in self.program.out_avals])
        return outs, self(*primals[:n], *map(prims.materialize, tangents[n:]))

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        n = self.count
        residuals = args[:n]
        if any(isinstance(x, Linear) for x in residuals):
            raise NotImplementedError(
                f"linear_call of {self.program.name}{errors.at_user_line()} is transposed in a residual"
            )
        program, constants = kept(self, (), lambda _: self._transposed())
        back = LinearCall(program, _Forward(self.program, n), n + len(constants))
        backs = settling(back, *residuals, *constants, *map(prims.materialize, ct))
        return [*[None] * n, *backs]

    def _transposed(self) -> tuple[Program, tuple[Any, ...]]:
        """The transpose as a Program of residuals, its constants, cotangents."""
        n, ins = self.count, self.program.in_avals
        types = [*ins[:n], *[a.tangent() for a in self.program.out_avals]]

        def run(*values: Any) -> list[Any]:
            backs = self.transposed(values[:n], values[n:])
            return [
                prims.materialize(Zero(a) if is_zero(b) else b)
                for b, a in zip(backs, ins[n:], strict=True)
            ]

        program, constants = stage_closed(run, types, f"transposed_{self.program.name}", later=True)
        k = len(types)
        inputs = program.inputs
        return replace_inputs(program, (*inputs[:n], *inputs[k:], *inputs[n:k])), constants

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        n, m = self.count, len(args)
        wanted = (True,) * len(self.program.outputs)
        found = batch_program(self.program, tuple(dims), size, axis_name, wanted)
        inputs, k = found.program.inputs, len(found.constants)
        program = replace_inputs(found.program, (*inputs[:n], *inputs[m:], *inputs[n:m]))
        taken = (*dims[:n], *[None] * k, *found.dims)
        how, types = Batching(size, axis_name), self.program.out_avals
        back = BatchedBackward(
            _Own(self.transposed, n), taken, tuple(dims[n:]), program.in_avals[n + k :], types, how
        )
        call = LinearCall(program, back, n + k)
        return call(*args[:n], *found.constants, *args[n:]), found.dims


@record
class _Own:
    """A transpose that takes the first residuals alone: others follow in a batch."""

    transposed: Transposed
    count: int

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
        return self.transposed(residuals[: self.count], list(map(prims.materialize, cts)))


@record
class _Forward:
    """The transpose of a transpose: the Program itself."""

    program: Program
    count: int

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
        return Call(self.program)(*residuals[: self.count], *map(prims.materialize, cts))


@record
class LinearSolve(Primitive):
    """The solution x of a linear system A x = b.

    Operands: the constants of `matvec` (A x), of `vecmat` (A^T x), of `solve` and of `transpose_solve`, so many as
    `counts` says, then b.  Each Program takes its own constants, then x or b.  `solve` may give more than x.
    """

    matvec: Program
    vecmat: Program | None
    solve: Program
    transpose_solve: Program | None
    counts: tuple[int, int, int, int]
    name: ClassVar[str] = "custom_linear_solve"
    multiple: ClassVar[bool] = True

    def _split(self, values: Sequence[Any]) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
        """The constants of each Program, and b."""
        rest, found = tuple(values), list[tuple[Any, ...]]()
        for n in self.counts:
            found.append(rest[:n])
            rest = rest[n:]
        return found, rest

    @property
    def size(self) -> int:
        """How many arrays x is."""
        return len(self.matvec.outputs)

    def programs(self) -> tuple[Program, ...]:
        return (self.solve,)

    def with_programs(self, programs: Sequence[Program]) -> Primitive:
        return replace(self, solve=programs[0])

    def inlined(self) -> Program:
        consts, _ = self._split([Var(a) for a in self._in_avals()])
        solve = self.solve
        inputs = [*consts[0], *consts[1], *solve.inputs[: self.counts[2]], *consts[3]]
        return Program(
            (*inputs, *solve.inputs[self.counts[2] :]), solve.eqns, solve.outputs, name=self.name
        )

    def _in_avals(self) -> list[ShapedArray]:
        found: list[ShapedArray] = []
        for program, n in zip(
            (self.matvec, self.vecmat, self.solve, self.transpose_solve), self.counts, strict=True
        ):
            found += program.in_avals[:n] if program is not None else ()
        return [*found, *self.solve.in_avals[self.counts[2] :]]

    def type(self, *avals: ShapedArray) -> tuple[ShapedArray, ...]:
        return self.solve.out_avals

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        return tuple(self.interpreted(IN_NUMPY, *xs))

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        consts, b = self._split(xs)
        return how.run(self.solve, [*consts[2], *b])

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        programs = self.matvec, self.vecmat, self.solve, self.transpose_solve
        bare = [None if p is None else how.bare(p) for p in programs]
        return how.beside(LinearSolve(*bare, self.counts), self.inlined(), xs, state)  # type: ignore[arg-type]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """From A x = b: A dx = db - dA x.  How it is solved does not matter."""
        outs, n = self(*primals), self.size
        consts, _ = self._split(primals)
        pushed, right = self._split(tangents)
        right = list(right)
        nonzero = [not is_zero(t) for t in pushed[0]]
        if any(nonzero):
            found = linearize_program(self.matvec, (*nonzero, *[False] * n))
            known = (*consts[0], *outs[:n], *found.constants)
            residuals = found.residual_values(known, Call(found.known)(*known))
            moved = Call(found.linear)(*residuals, *compress(pushed[0], nonzero))
            for i, t in zip(compress(range(n), found.nonzero), moved, strict=True):
                right[i] = prims.neg(t) if is_zero(right[i]) else prims.sub(right[i], t)
        more = [Zero(a) for a in self.solve.out_avals[n:]]
        if all(map(is_zero, right)):
            return outs, (*[Zero(a) for a in self.solve.out_avals[:n]], *more)
        constants = primals[: sum(self.counts)]
        moved = self(*constants, *map(prims.materialize, right))
        return outs, (*moved[:n], *more)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        consts, b = self._split(args)
        if self.vecmat is None or self.transpose_solve is None:
            raise TypeError(
                f"custom_linear_solve{errors.at_user_line()}: transpose_solve is required for backwards mode "
                "differentiation"
            )
        a, v, s, t = self.counts
        back = LinearSolve(self.vecmat, self.matvec, self.transpose_solve, self.solve, (v, a, t, s))
        cts = map(prims.materialize, ct[: self.size])
        outs = back(*consts[1], *consts[0], *consts[3], *consts[2], *cts)
        backs = [y if isinstance(x, Linear) else None for x, y in zip(b, outs, strict=False)]
        return [*[None] * sum(self.counts), *backs]

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        consts, b = self._split(args)
        axes, b_axes = self._split(dims)
        programs: list[Program | None] = []
        values: list[Any] = []
        counts: list[int] = []
        found: Any = None
        outs_axes: Sequence[int | None] = ()
        for program, own, own_axes in zip(
            (self.matvec, self.vecmat, self.solve, self.transpose_solve), consts, axes, strict=True
        ):
            if program is None:
                programs.append(None)
                counts.append(0)
                continue
            n = len(own)
            wanted = (True,) * len(program.outputs)
            mapped = (*own_axes, *[0] * (len(program.inputs) - n))
            found = batch_program(program, mapped, size, axis_name, wanted)
            inputs, m = found.program.inputs, len(program.inputs)
            programs.append(replace_inputs(found.program, (*inputs[:n], *inputs[m:], *inputs[n:m])))
            values += [*own, *found.constants]
            counts.append(n + len(found.constants))
            if program is self.solve:
                outs_axes = found.dims
        right = [place_axis(x, d, 0, size) for x, d in zip(b, b_axes, strict=True)]
        solve = LinearSolve(*programs, tuple(counts))  # type: ignore[arg-type]
        return solve(*values, *right), outs_axes
