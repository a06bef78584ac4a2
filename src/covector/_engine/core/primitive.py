"""`Primitive`: the contract of an operation.  Families whose members share rules are in `families`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from covector._engine.base import errors
from covector._engine.base.record import fields
from covector._engine.core import trace
from covector._engine.core.inside import Checking, Fault, Interpreter, Widening
from covector._engine.core.symbolic import NotDifferentiable, Zero
from covector._engine.ir.builder import Builder, Fit, Fitting, Kept, Operand, Result
from covector._engine.ir.effects import Effect
from covector._engine.ir.program import Atom, Eqn, Program
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

MadeBy = Callable[[Atom], Eqn | None]  # the equation that an operand comes from
Types = Sequence[ShapedArray]

# Puts a primitive on a tape: its results, for operands of which some are linear.
Recorder = Callable[["Primitive", Sequence[Any]], Sequence[Any]]


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
        return self.transpose_onto((None,) * len(args), ct, *args)

    adds_onto: ClassVar[bool] = False  # whether `transpose_onto` adds to what is given
    reads_part: ClassVar[bool] = False  # whether it also reads but a part of its first operand

    def transpose_onto(self, sums: Sequence[Any], ct: Any, *args: Any) -> Sequence[Any]:
        """As `transpose`, where each cotangent is added to what is in `sums`, if that is not None.

        So the parts of a large array that are read, in a loop within a loop too, are added where they lie.
        """
        raise self._missing("transpose")

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        """(result, its batch axis) where operand i has the batch axis dims[i], or None."""
        raise self._missing("batch")

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        """As `batch`, along an axis that may have a name: in its place for what reads named axes, or holds Programs."""
        return self.batch(args, dims, size)

    @property
    def asks_axis(self) -> bool:
        """Whether a rule of the user's is told the name of the batch axis."""
        return False

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

    scratch: ClassVar[bool] = False  # no element of the result is read before it is set
    # Whether each result is the operand at its place, in its memory, and nothing else is moved across the equation.
    passes_on: ClassVar[bool] = False
    transparent: ClassVar[bool] = False  # whether its derivatives are its Program's
    online: ClassVar[bool] = False  # whether it is an `Online`: traces ask this of each operation
    users_transpose: ClassVar[bool] = False  # whether `transpose` calls a function of the user's
    users_slope: ClassVar[bool] = (
        False  # whether slopes back may be others than those forwards, by a rule of the user's
    )

    # Whether `batch` is the user's: loops and branches then run all elements together, as it is told of all.
    users_batch: ClassVar[bool] = False

    # Whether a rule of the user's touches references where it runs forwards, where the function itself does not.
    rule_touches: ClassVar[bool] = False

    # Whether a class has `programs`, which passes ask of each equation: 2 % of the cold compile of a long chain.
    has_programs: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.has_programs = cls.programs is not Primitive.programs
        if cls.has_programs and cls.effects is Primitive.effects:
            cls.effects = property(_effects_inside)  # type: ignore[assignment]

    def programs(self) -> tuple[Program, ...]:
        """The Programs among its parameters."""
        return ()

    @property
    def side_by_side(self) -> bool:
        """Whether the Programs run once for each of many elements, which may be on lanes."""
        return False

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
