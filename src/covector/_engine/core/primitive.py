"""`Primitive`: the contract of an operation, and the families whose members share rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from covector._engine.base import errors
from covector._engine.base.record import fields
from covector._engine.core import trace
from covector._engine.core.inside import Checking, Fault, Interpreter, Widening
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Builder, Fit, Fitting, Kept, Operand, Result
from covector._engine.ir.effects import Effect
from covector._engine.ir.index import Index
from covector._engine.ir.program import Atom, Eqn, Program
from covector._engine.ir.scalar import Expr, Scalar, combined
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

State = tuple[Expr, ...]  # of a fold
MadeBy = Callable[[Atom], Eqn | None]  # the equation that an operand comes from
Types = Sequence[ShapedArray]

# Puts a primitive on a tape: its results, for operands of which some are linear.
Recorder = Callable[["Primitive", Sequence[Any]], Sequence[Any]]


class _Typed:
    """Known by type alone.  Made from a type, or from a value whose type is looked up when it is asked for."""

    __slots__ = ("_of",)

    def __init__(self, of: Any):
        self._of = of

    @property
    def aval(self) -> ShapedArray:
        if type(self._of) is not ShapedArray:
            self._of = trace.typeof(self._of)
        return self._of

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.aval.text()})"


class Zero(_Typed):
    """A symbolic zero: a tangent or cotangent that is known to be zero and never materialised."""

    __slots__ = ()

    @staticmethod
    def from_primal_value(value: Any) -> Zero:
        """The zero tangent of a value."""
        return Zero(trace.typeof(value).tangent())


class Linear(_Typed):
    """In a transpose rule: the place of an operand that the operation is linear in, known by type alone."""

    __slots__ = ()

    _is_linear: ClassVar[bool] = True  # for messages, which are below

    @property
    def dtype(self) -> np.dtype:
        """That of its type."""
        return self.aval.dtype


class NoSlope:
    """In place of a partial derivative: it is zero wherever there is one, as of what is piecewise constant."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_SLOPE"


NO_SLOPE = NoSlope()


class NotDifferentiable:
    """In place of a partial derivative: there is none on purpose.  A tangent that is not zero is an error."""

    __slots__ = ("argument", "why")

    def __init__(self, argument: str, why: str):
        self.argument, self.why = argument, why

    def error(self, primitive: str) -> errors.NotDifferentiableError:
        """What to raise."""
        return errors.NotDifferentiableError(
            errors.not_differentiable(primitive, self.argument, self.why, trace._state.source)
        )


class View:
    """In an `element` rule: an operand, as a function from an index to the element there."""

    __slots__ = ("aval", "read", "read_guarded")

    def __init__(
        self,
        aval: ShapedArray,
        read: Callable[[Index], Scalar],
        read_guarded: Callable[[Expr, Index], Scalar] | None = None,
    ):
        self.aval, self.read, self.read_guarded = aval, read, read_guarded

    def __call__(self, index: Index) -> Scalar:
        return self.read(index)

    def guarded(self, condition: Expr, index: Index) -> Scalar:
        """The element where the condition holds, else an unspecified value, for which no memory is read."""
        if self.read_guarded is None or (condition.op == "const" and condition.attr):
            return self.read(index)
        return self.read_guarded(condition, index)

    def under(self, condition: Expr) -> View:
        """The same operand, of which every element is read only where the condition holds."""
        return View(
            self.aval,
            lambda index: self.guarded(condition, index),
            lambda inner, index: self.guarded(condition & inner, index),
        )

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype


class Primitive:
    """An operation that the system knows by name.  Parameters are fields; rules are methods.

    With `multiple`, results, tangents, cotangents and batch axes come as tuples, one entry a result.
    """

    name: ClassVar[str]
    multiple: ClassVar[bool] = False
    effects: ClassVar[frozenset[Effect]] = frozenset()
    # Why the derivative is zero wherever there is one, if it is; the same, of some operands.
    no_slope: ClassVar[str | None] = None
    no_slope_of: ClassVar[Mapping[int, str]] = MappingProxyType({})
    axis_names: ClassVar[frozenset[Hashable]] = frozenset()  # the named axes that it reads
    not_differentiable: ClassVar[str | None] = None  # why, if there is no derivative on purpose

    def __call__(self, *args: Any) -> Any:
        """Apply it to values under the current trace."""
        return trace._state.trace.process(self, args)

    def type(self, *avals: ShapedArray) -> ShapedArray | tuple[ShapedArray, ...]:
        """The type of the result from the types of the operands; TypeError or ValueError if they do not fit."""
        raise self._missing("type")

    def reference(self, *xs: Any) -> Any:
        """Its meaning in NumPy."""
        raise self._missing("reference")

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """(result, tangent) from values and tangents; a tangent may be a Zero, not all are."""
        if self.no_slope is None and self.not_differentiable is None:
            raise self._missing("jvp")
        for i, t in enumerate(tangents):
            if self.not_differentiable is not None and type(t) is not Zero:
                raise NotDifferentiable(f"operand {i}", self.not_differentiable).error(self.name)
        out = self(*primals)
        if not self.multiple:
            return out, Zero(trace.typeof(out))
        return out, tuple([Zero(trace.typeof(o)) for o in out])

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """As `jvp`, where what is done to tangents is recorded and not computed.

        Primitives that hold Programs split them here into what is known and what is linear.
        """
        return self.jvp(primals, tangents)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        """The cotangents of the operands that are `Linear`; None for the others."""
        raise self._missing("transpose")

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        """(result, its batch axis) where operand i has the batch axis dims[i], or None."""
        raise self._missing("batch")

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        """As `batch`, along an axis that has a name: for primitives that read named axes, or hold Programs."""
        return self.batch(args, dims, size)

    # Whether floating results may have NaNs that operands have not.
    makes_nan: ClassVar[bool] = True
    only_checks: ClassVar[bool] = False  # whether it is there for its faults alone

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        """What can go wrong with operands of these types, beside NaNs."""
        return ()

    # -- numbers -----------------------------------------------------------------------------------

    asks_for_bits: ClassVar[bool] = False  # whether it takes what comes from numbers with all bits

    def element_operands(self, count: int) -> Sequence[int]:
        """Of so many operands those whose elements the result's are, or are computed from one by one."""
        return ()

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        """Record its equation where numbers keep 64 bits.  The results in 64 bits, None for those that have none.

        What is computed from numbers alone has such a form, not what comes from a weakly typed array too.
        """
        how.record(eqn)
        elements = self.element_operands(len(eqn.inputs))
        if not elements or eqn.outputs[0].aval.wide() is None:
            return (None,) * len(eqn.outputs)
        weak = [i for i in elements if eqn.inputs[i].aval.wide() is not None]
        variables = [eqn.inputs[i] for i in weak if not how.is_constant(eqn.inputs[i])]
        if variables and all(how.wide(v) is None for v in variables):
            return (None,)
        inputs = list(eqn.inputs)
        for i in weak:
            inputs[i] = how.widened(inputs[i], eqn.source)
        return (how.computed(self, tuple(inputs), eqn.source),)

    # -- what passes ask ---------------------------------------------------------------------------

    begins_as: ClassVar[tuple[int | None, ...]] = ()  # the operand that each result copies
    carried: ClassVar[tuple[int | None, ...]] = ()  # the operand in whose place a loop leaves each
    same_memory: ClassVar[bool] = False  # the result lies in memory exactly as the one operand does
    fills: ClassVar[bool] = False  # every element of the result is the operand, if that is a number

    # Whether each result is the operand at its place, in its memory, and nothing else is moved across the equation.
    passes_on: ClassVar[bool] = False
    transparent: ClassVar[bool] = False  # whether its derivatives are its Program's
    online: ClassVar[bool] = False  # whether it is an `Online`: traces ask this of each operation
    users_transpose: ClassVar[bool] = False  # whether `transpose` calls a function of the user's

    # Whether a class has `programs`, which passes ask of each equation: 2 % of the cold compile of a long chain.
    has_programs: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.has_programs = cls.programs is not Primitive.programs
        if cls.has_programs and cls.effects is Primitive.effects:
            cls.effects = property(_effects_inside)  # type: ignore[assignment]

    def programs(self) -> tuple[Program, ...]:
        """The Programs among its parameters."""
        return ()

    def interpreted(self, how: Interpreter, *xs: Any) -> Sequence[Any]:
        """Of what holds Programs, the results, by running these as they are."""
        raise self._missing("interpreted")

    def checked(
        self, how: Checking, xs: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Of what holds Programs in which something can fail, the results and the state after it."""
        raise self._missing("checked")

    def keeping(self, keep: Callable[[Eqn], bool] | None) -> Primitive:
        """The same; of a loop with a condition, one whose derivatives keep what these equations compute."""
        return self

    def rule_programs(self) -> tuple[Program, ...] | None:
        """What a user's rule computes forwards, for a derivative in all arguments; None: that is not known before."""
        return ()

    def with_programs(self, programs: Sequence[Program]) -> Primitive:
        """The same with other Programs, of the same types, in the place of its own."""
        raise self._missing("with_programs")

    def inlined(self) -> Program | None:
        """The Program whose results its results are, if it is nothing but a call."""
        return None

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        """What is left if only some results are used: a primitive, the operands that it takes, the results it gives.

        It may give more than is used.  None: all of it is needed.
        """
        return None

    def depends(self, on: tuple[bool, ...]) -> Sequence[bool] | None:
        """Of what holds Programs, which results depend on these operands; None: all do."""
        return None

    def in_two(
        self, args: Sequence[Any], linear: tuple[bool, ...], record: Recorder
    ) -> Sequence[Any] | None:
        """Of what holds Programs, the results, where some operands are linear: `record` puts these on their tape.

        What depends on none of them is computed under the current trace, once.  None: it is not parted so.
        """
        return None

    def constant_inputs(self) -> tuple[tuple[int | None, ...], ...]:
        """For each of its Programs, if they run many times: which operand each input is, the same in all runs.

        None for an input that changes; nothing at all where nothing is run many times.
        """
        return ()

    def on_host(self, arrays: Sequence[Any]) -> Any:
        """The result on arrays, by a function of the user's: NotImplemented if it is compiled, as most are."""
        return NotImplemented

    def taking(
        self, programs: Sequence[Program], operands: Sequence[Atom], values: Sequence[Atom]
    ) -> tuple[Primitive, tuple[Atom, ...]]:
        """The same with Programs that take `values` as further inputs, at their end, in all runs; and its operands."""
        raise self._missing("taking")

    def parted(
        self, keep: Callable[[Eqn], bool]
    ) -> tuple[Primitive, Primitive, tuple[ShapedArray, ...]] | None:
        """For what holds Programs, of whose equations some are to be kept and some computed again for a derivative.

        The same, which also gives what is kept, of these types, as further results; and the same, which takes that as
        further operands instead of computing it.  None: all is kept, or nothing.
        """
        return None

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Atom | Eqn | Sequence[Eqn] | None:
        """A simpler way to the result of an equation of this primitive: what it equals, or another equation.

        Of several equations, the last one gives the result.
        """
        return None

    def arranged(self, avals: Types) -> tuple[Primitive, tuple[tuple[int, ...], ...]] | None:
        """For operands that do not lie as it takes them: how to permute their axes, and what to do with them then."""
        return None

    def alone(self, avals: Types, small: int) -> bool:
        """Whether it is lowered by its own rule; else its elements are computed in a loop nest, with others.

        `small` is the number of multiplications, an element of the batch, below which a product is not worth a routine.
        """
        return True

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """Build the statements that compute the results at their places."""
        raise self._missing("lower")

    def fits_locals(self, fit: Fitting, in_locals: Sequence[bool]) -> Fit | None:
        """How it can be written out in a small Program, where these operands are in locals; None if it cannot.

        For what holds Programs; `fit` says the same of these.
        """
        return None

    def written(self, b: Builder, operands: Sequence[Kept]) -> list[Kept]:
        """Build the statements that compute the results: in locals, element by element, or where operands lie."""
        raise self._missing("written")

    # -- text --------------------------------------------------------------------------------------

    def text(self) -> str:
        """Name and parameters, for printing."""
        params = [
            f"{name}={getattr(self, name)}"
            for name in fields(self)
            if name != "name" and not isinstance(getattr(self, name), Program)
        ]
        return f"{self.name}[{', '.join(params)}]" if params else self.name

    def _missing(self, rule: str) -> errors.MissingRuleError:
        return errors.MissingRuleError(errors.missing_rule(self.name, rule, type(self)))


def _effects_inside(p: Primitive) -> frozenset[Effect]:
    """Of what holds Programs and says nothing else: what they do."""
    return frozenset[Effect]().union(*[program.effects for program in p.programs()])


class Online(Primitive):
    """An operation that Python functions define, one for each interpretation: nothing is known of it before they run.

    Where values are computed, or recorded as linear, `run` gives the results.  Where operations are staged, `staged`
    makes it a primitive that holds Programs.  It is no equation of a Program itself.
    """

    online: ClassVar[bool] = True
    multiple: ClassVar[bool] = True

    def run(self, *args: Any) -> Sequence[Any]:
        """The results, by operations under the current trace."""
        raise self._missing("run")

    def staged(self, *args: Any) -> Sequence[Any]:
        """The results, by a primitive that stands for this one in the Program that is being staged."""
        raise self._missing("staged")

    def batch_online(
        self, args: Sequence[Any], dims: Sequence[int | None], how: Any
    ) -> tuple[Any, Any]:
        """As `batch`, where `how` (a `Batching`) says in which batch: its functions may close over mapped values."""
        raise self._missing("batch_online")


class Mapped(Primitive):
    """Each element of the result comes from a few elements of the operands: computed inside its consumer."""

    at_data: ClassVar[bool] = False  # where it reads its first operand comes from others' values

    def alone(self, avals: Types, small: int) -> bool:
        return False

    def element(self, index: Index, *xs: View) -> Scalar:
        """The result's element at an index."""
        raise self._missing("element")

    def work(self, operands: int) -> float:
        """Operations that an element takes beside those of its operands' elements, about."""
        return 100.0


class Movement(Mapped):
    """Elements change place, not value.  Linear in every floating operand."""

    makes_nan: ClassVar[bool] = False

    def element_operands(self, count: int) -> Sequence[int]:
        return range(count)

    def work(self, operands: int) -> float:
        return 0.5


class Folded(Primitive):
    """Each element of the result is a fold over axes of a space, with a state of one or several scalars.

    The result's element is `finish(s)`, where s begins as `start` and takes in what the operands have at each point,
    lifted to a state, with `combine`.  That is associative and commutative up to rounding: any order and grouping
    will do.
    """

    begins_nest: ClassVar[bool] = False  # others may join its loop nest, but it joins none

    def alone(self, avals: Types, small: int) -> bool:
        return False

    def space(self, avals: Types) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
        """The space's shape, and the axes that are folded; the others are the result's, in order."""
        raise self._missing("space")

    def places(self, index: Index, avals: Types) -> tuple[Index, ...]:
        """Where each operand is read for a point of the space."""
        raise self._missing("places")

    def operation(self, dtype: np.dtype) -> str | None:
        """The scalar operation that combines each scalar of the state on its own; None if it is not one."""
        return None

    def start(self, dtype: np.dtype) -> State:
        """The state before the first element, for operands of this dtype."""
        raise self._missing("start")

    def lift(self, index: Index, *xs: Scalar) -> State:
        """The state of one element of each operand, at this point of the space."""
        raise self._missing("lift")

    def combine(self, a: State, b: State) -> State:
        """The state of the elements of both."""
        raise self._missing("combine")

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        """The result's element."""
        raise self._missing("finish")


class Reduction(Folded):
    """Axes of the one operand disappear."""

    axes: tuple[int, ...]

    def space(self, avals: Types) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
        return avals[0].shape, self.axes

    def places(self, index: Index, avals: Types) -> tuple[Index, ...]:
        return (index,)


class Cumulative(Primitive):
    """A running fold along one axis: each element of the result is that of the operands' elements up to it.

    Operands and result have one shape.  Element k is `finish(s_k)`, with s_k = combine(s_{k-1}, lift(elements at k))
    from s_{-1} = `start`; from the other end with `reverse`.  `combine` is associative but need not commute: the
    state of the elements that come first is its first operand.
    """

    axis: int
    reverse: bool

    def start(self, dtype: np.dtype) -> State:
        """The state before the first element, for operands of this dtype."""
        raise self._missing("start")

    def lift(self, *xs: Scalar) -> State:
        """The state of one element of each operand."""
        raise self._missing("lift")

    def combine(self, a: State, b: State) -> State:
        """The state of the elements of a, then those of b."""
        raise self._missing("combine")

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        """The result's element."""
        raise self._missing("finish")

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A state that takes in one element after the other along the axis; the other axes are loops around it."""
        (out,) = results
        shape, dtype = out.aval.shape, out.aval.dtype
        index = [b.variable("c", n) for n in shape]
        step, extent = index[self.axis], shape[self.axis]
        index[self.axis] = extent - 1 - step if self.reverse else step
        at = tuple(index)
        with ExitStack() as loops:
            for axis, n in enumerate(shape):
                if axis != self.axis:
                    loops.enter_context(b.loop(index[axis], n, free=True))
            state = tuple([b.local(e) for e in self.start(dtype)])
            with b.loop(step, extent):
                b.assign(state, self.combine(state, self.lift(*[x.at(at) for x in operands])))
                b.store(out.place, shape, at, self.finish(state, dtype))


class Update(Primitive):
    """The first operand with elements of another, the update, combined into places that indices name.

    For each element u of the update where `in_bounds` holds: out[target] = combine(out[target], u), with loops over
    the update's axes in the order that `loop_axes` says.
    """

    update: ClassVar[int]  # which operand is the update; those but it and the first are indices
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def element_operands(self, count: int) -> Sequence[int]:
        return 0, self.update

    @property
    def combination(self) -> str:
        """What becomes of an element of the result: 'set', or a scalar operation (add, mul, min, max)."""
        raise NotImplementedError

    def loop_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes of an update of this rank, the outermost loop's first.  It matters where 'set' meets duplicates."""
        return tuple(range(ndim))

    def independent_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes of the update of which each value has places of its own: its loop's runs do not meet.

        Where a place is the same all along such an axis, one value at most is in bounds.
        """
        raise NotImplementedError

    def target(self, index: Index, *xs: View) -> tuple[Index, Expr | None]:
        """(where, in_bounds) of the update's element at an index; None: it always is in bounds.

        Given the views of all operands, it reads those of the indices only.
        """
        raise self._missing("target")

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """Copy what the update starts from, unless it lies there, then combine the update's elements into it."""
        (out,) = results
        b.copy(out.place, operands[0])
        update = operands[self.update]
        shape = update.aval.shape
        index = tuple([b.variable("u", n) for n in shape])
        where, inside = self.target(index, *[View(x.aval, x.at, x.guarded) for x in operands])
        value = update.at(index)
        if self.combination != "set":
            value = combined(self.combination, b.element(out, where), value)
        order = self.loop_axes(len(shape))
        place = ix.flatten(where, out.aval.shape)
        free = {a for a in self.independent_axes(len(shape)) if ix.depends(place, str(index[a]))}
        with ExitStack() as loops:
            for axis in order:
                loops.enter_context(b.loop(index[axis], shape[axis], free=axis in free))
            if inside is not None:
                loops.enter_context(b.if_(inside))
            b.store(out.place, out.aval.shape, where, value)


def is_zero(x: Any) -> bool:
    """Whether a tangent or cotangent is a symbolic zero."""
    return type(x) is Zero
