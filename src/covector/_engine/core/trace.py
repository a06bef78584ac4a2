"""Traces: interpreters in progress.  One current trace; a value of a trace is a Tracer; staging gives a Program.

Every operation goes to the current trace.  A trace that finds none of its own tracers among the operands
passes the operation to its parent, and runs a primitive's rules with the parent as the current trace, so that
transformations nest by nesting.  At the bottom is `EvalTrace`, which computes.  Traces are online: under `grad` and
`vmap` outside `jit` the values inside are concrete arrays.
"""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core.numbers import NUMBERS, SCALARS, number, number_type
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

if TYPE_CHECKING:
    from covector._engine.core.primitive import Online, Primitive

Array = _native.Array


class Trace:
    """An interpretation of operations.  `staging` is true where some trace below records instead of computing."""

    __slots__ = ("__weakref__", "parent", "staging")

    mapping: ClassVar[bool] = False  # whether it stands for several runs of a function
    native: ClassVar[bool] = False  # whether native levels may stand on it (see `core/levels.py`)

    def __init__(self, parent: Trace | None, staging: bool):
        self.parent, self.staging = parent, staging

    @property
    def main(self) -> Trace:
        """Itself: what libraries compare to see whether tracers are of one trace."""
        return self

    def owns(self, x: Tracer) -> bool:
        """Whether a tracer is of this trace."""
        return x._trace is self

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        """The result of the primitive on these values: one value, or a tuple if it has several results."""
        raise NotImplementedError


# The named axes in whose scope a function runs, the innermost last, with their sizes.
Axes = tuple[tuple[Hashable, Dim], ...]


class _State(threading.local):
    trace: Trace
    axes: Axes = ()
    source: errors.Source | None = (
        None  # where equations come from that are replayed, and not on the stack
    )

    # Traced values that others stand for where a function is staged again: see `standing_for`.
    stand_ins: Mapping[int, Tracer] = MappingProxyType({})
    # The same for references: see `core/refs.py`.
    cells: Mapping[Any, Any] = MappingProxyType({})


class EvalTrace(Trace):
    """The bottom: operands are concrete, the evaluator computes."""

    __slots__ = ()

    native: ClassVar[bool] = True

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        for x in args:
            if isinstance(x, Tracer):
                raise errors.UnexpectedTracerError(errors.leaked_tracer(x.describe(), x.source))
        if primitive.online:
            with using(self):
                return cast("Online", primitive).run(*args)
        return _evaluator(primitive, args)


def _no_evaluator(primitive: Primitive, args: Sequence[Any]) -> Any:
    raise RuntimeError("no evaluator is set")


_evaluator: Callable[[Primitive, Sequence[Any]], Any] = _no_evaluator


def set_evaluator(evaluator: Callable[[Primitive, Sequence[Any]], Any]) -> None:
    """The one hook by which the bottom reaches the runtime: how a primitive is computed on arrays."""
    global _evaluator
    _evaluator = evaluator


EVAL = EvalTrace(None, False)
_State.trace = EVAL
_state = _State()


def current() -> Trace:
    """The trace that the next operation goes to."""
    return _state.trace


def set_current(trace: Trace) -> Trace:
    """Make a trace the current one; returns the one before.  Undo it in a `finally`."""
    before = _state.trace
    _state.trace = trace
    if before.staging != trace.staging:
        _native.set_tracing(trace.staging)
    if (before is EVAL) != (trace is EVAL):
        _native.set_transforming(trace is not EVAL)
    return before


def named_axes() -> Axes:
    """The named axes in scope, the innermost last: part of the key of all that is kept of a traced function."""
    return _state.axes


def context() -> tuple[Hashable, ...]:
    """What tracing depends on beside arguments: the flags that change code, the mesh, the named axes."""
    return config.code_key(), config.mesh, _state.axes


def axis_size(name: Hashable) -> Dim:
    """The size of the innermost axis of this name in scope; NameError if there is none."""
    for known, size in reversed(_state.axes):
        if known == name:
            return size
    raise NameError(errors.unbound_axis(name, [known for known, _ in _state.axes]))


_as_it_is = nullcontext()


def naming(name: Hashable, size: Dim) -> AbstractContextManager[None]:
    """Run a block with one more named axis in scope; None: the axis has no name, and the scope stays."""
    return _as_it_is if name is None else in_scope((*_state.axes, (name, size)))


_scopes: dict[Axes, int] = {(): 0}  # the numbers by which native code knows named axes
_numbers = itertools.count(1)


def _scope_of(axes: Axes) -> int:
    """The number of named axes.  It is theirs as long as they are among the last thousand, and no others' ever."""
    found = _scopes.get(axes)
    if found is None:
        if len(_scopes) > 1000:
            _scopes.clear()
            _scopes[()] = 0
        found = _scopes.setdefault(axes, next(_numbers))
    return found


@contextmanager
def in_scope(axes: Axes) -> Generator[None]:
    """Run a block with these named axes in scope."""
    before = _state.axes
    _state.axes = axes
    _native.set_scope(_scope_of(axes))
    try:
        yield
    finally:
        _state.axes = before
        _native.set_scope(_scope_of(before))


@contextmanager
def using(trace: Trace) -> Generator[None]:
    """Run a block with another current trace."""
    before = set_current(trace)
    try:
        yield
    finally:
        set_current(before)


class Tracer:
    """A value that stands in for an array inside a trace.  `isinstance(x, covector.Array)` holds for it.

    Its operators and methods are those of arrays.  They are set by `covector.numpy.methods` when that is loaded, from
    one table for both: an operator promotes and broadcasts as NumPy's functions do, which are above this file.
    """

    __slots__ = ("__weakref__", "_trace")

    _trace: Trace

    @property
    def aval(self) -> ShapedArray:
        raise NotImplementedError

    @property
    def source(self) -> errors.Source | None:
        """Where the value was made, if that is known."""
        return None

    def concrete(self) -> Any:
        """The value, if there is one: tracers of transformations outside jit have it.  Else None."""
        return None

    def describe(self) -> str:
        """For messages: what this is."""
        return f"a traced {self.aval.text()}"

    def __repr__(self) -> str:
        return f"Traced<{self.aval.text()}>"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        value = self.concrete()
        if value is None:
            raise errors.ConcretizationTypeError(self._unknown("text in a certain format"))
        return format(value, spec)

    def _unknown(self, wanted: str) -> str:
        """For messages: that it has no value that could be used as this."""
        return errors.traced_value(self.describe(), wanted)

    def _value(self, wanted: str, error: type[Exception] = errors.ConcretizationTypeError) -> Any:
        """The value, to become what traces cannot follow: a number, a NumPy array.  An error if there is none."""
        value = self.concrete()
        if value is None:
            raise error(self._unknown(wanted))
        return value

    def __bool__(self) -> bool:
        value = self.concrete()
        if value is None:
            raise errors.TracerBoolConversionError(errors.traced_bool(self.describe()))
        return bool(value)

    def __int__(self) -> int:
        return int(self._value("a Python int"))

    def __float__(self) -> float:
        return float(self._value("a Python float"))

    def __complex__(self) -> complex:
        return complex(self._value("a Python complex"))

    def __index__(self) -> int:
        value = self._value("a Python integer", errors.TracerIntegerConversionError)
        return value.__index__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self._value("a NumPy array", errors.TracerArrayConversionError)
        return np.array(value, dtype) if copy else np.asarray(value, dtype)

    def __reduce__(self) -> Any:
        raise errors.ConcretizationTypeError(self._unknown("something to pickle"))

    def __len__(self) -> int:
        if not self.aval.shape:
            raise TypeError("len() of an array without dimensions")
        return self.aval.shape[0]  # type: ignore[return-value]

    # Not a method that raises: libraries ask `isinstance(x, Hashable)` before they put something into a dict.
    __hash__ = None  # type: ignore[assignment]

    __array_priority__ = 1000

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype

    @property
    def weak_type(self) -> bool:
        return self.aval.weak_type

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> Any:
        return self.aval.size


Array.register(Tracer)


def typeof(x: Any) -> ShapedArray:
    """The abstract value of an array, tracer, or number; TypeError if it is none of these.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.typeof(cnp.ones((2, 3)))
    ShapedArray(float32[2,3])
    """
    if type(x) is Array:
        return ShapedArray(x.shape, x.dtype, x.weak_type)
    if isinstance(x, Tracer):
        return x.aval
    if isinstance(x, np.ndarray | np.generic):
        dtype = dtypes.native(x.dtype)
        if dtype is None:
            raise TypeError(errors.not_an_array(x, "an operation"))
        if _native.is_masked(x):
            raise TypeError(errors.masked_array("an operation"))
        return ShapedArray(x.shape, dtype)
    if type(x) in NUMBERS:
        return ShapedArray((), number_type(type(x)), type(x) is not bool)
    for base in SCALARS:  # subclasses of Python's scalars
        if isinstance(x, base):
            return ShapedArray((), dtypes.of_number(base), base is not bool)
    raise TypeError(errors.not_an_array(x, "an operation"))


def literal(x: Any, aval: ShapedArray) -> Literal:
    """A scalar as a constant of the Program; OverflowError if it does not fit its dtype."""
    try:
        array = np.asarray(x, aval.dtype) if type(x) is int else np.asarray(x).astype(aval.dtype)
        value: Any = array[()]
    except OverflowError:
        raise OverflowError(errors.does_not_fit(int(x), aval.dtype.name)) from None
    return Literal(value, aval, x if aval.weak_type else None)


class StagedTracer(Tracer):
    """A variable of the Program that is being recorded."""

    __slots__ = ("_source", "_var")

    def __init__(self, trace: StagingTrace, var: Var, source: errors.Source | None = None):
        self._trace, self._var, self._source = trace, var, source

    @property
    def aval(self) -> ShapedArray:
        return self._var.aval

    @property
    def source(self) -> errors.Source | None:
        return self._source

    def describe(self) -> str:
        return super().describe() + cast("StagingTrace", self._trace).origin(self._var)


class Held:
    """The value of a reference, as one trace has it, and whether it was written there."""

    __slots__ = ("value", "written")

    def __init__(self, value: Any):
        self.value, self.written = value, False


class StagingTrace(Trace):
    """Records equations instead of computing them."""

    __slots__ = ("closed", "constants", "eqns", "inputs", "name", "names", "refs")

    def __init__(
        self,
        parent: Trace,
        name: str = "main",
        refs: dict[Any, Held] | None = None,
        names: Callable[[], Sequence[str]] | None = None,
    ):
        super().__init__(parent, True)
        self.name, self.names = name, names  # `names` gives those of the inputs, for messages
        # References from outside, which are inputs; None if there may be none (see `core/refs.py`).
        self.refs = refs
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        self.constants: dict[
            int, tuple[Var, Any]
        ] = {}  # by identity; the value is kept alive beside
        self.closed = False

    def input(self, aval: ShapedArray) -> StagedTracer:
        """A new input of the Program."""
        var = Var(aval)
        self.inputs.append(var)
        return StagedTracer(self, var, _state.source or errors.user_source())

    def origin(self, var: Var) -> str:
        """For messages: the arguments of the function that a variable depends on, if they have names."""
        if self.names is None or self.closed:
            return ""
        needed, pending = {var}, [var]
        producer = {v: eqn for eqn in self.eqns for v in eqn.outputs}
        while pending:
            eqn = producer.get(pending.pop())
            new = [a for a in (eqn.inputs if eqn else ()) if isinstance(a, Var) and a not in needed]
            needed.update(new)
            pending += new
        names = self.names()
        found = [name for v, name in zip(self.inputs, names, strict=False) if v in needed]
        more = "" if len(found) <= 3 else f" and {len(found) - 3} more"
        return f" (it depends on {', '.join(found[:3])}{more} of {self.name})" if found else ""

    def atom(self, x: Any) -> Atom:
        """The atom of a value: its variable, a literal, or a constant of the Program."""
        if type(x) is StagedTracer and x._trace is self:
            return x._var
        aval = typeof(x)
        if not aval.shape and not isinstance(x, Tracer) and type(x) is not Array:
            return literal(x, aval)
        if _state.stand_ins and isinstance(x, Tracer):
            x = stand_in(x)
            if type(x) is StagedTracer and x._trace is self:
                return x._var
        found = self.constants.get(id(x))
        if found is None:
            if isinstance(x, Tracer) and (_is_closed(x._trace) or self._is_below(x._trace)):
                raise errors.UnexpectedTracerError(errors.leaked_tracer(x.describe(), x.source))
            found = self.constants[id(x)] = (Var(aval), x)
        return found[0]

    def _is_below(self, trace: Trace | None) -> bool:
        """Whether this trace is one that another stands on: its values depend on what is recorded here."""
        while trace is not None and trace is not self:
            trace = trace.parent
        return trace is self

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        if self.closed:
            raise errors.UnexpectedTracerError(errors.leaked_tracer("a traced value", None))
        if primitive.online:
            with using(self):
                return cast("Online", primitive).staged(*args)
        inputs = tuple([self.atom(x) for x in args])
        return self.record(primitive, inputs)

    def record(self, primitive: Primitive, inputs: tuple[Atom, ...]) -> Any:
        """Append an equation; the tracers of its results."""
        source = _state.source or errors.user_source()
        types = primitive.type(*[a.aval for a in inputs])
        if isinstance(types, tuple):  # of a primitive with `multiple`
            outputs = tuple([Var(t) for t in types])
            self.eqns.append(Eqn(primitive, inputs, outputs, source))
            return tuple([StagedTracer(self, v, source) for v in outputs])
        var = Var(types)
        self.eqns.append(Eqn(primitive, inputs, (var,), source))
        return StagedTracer(self, var, source)

    def program(self, outputs: Sequence[Any]) -> Program:
        """What was recorded, with these values as the results, and those of references that were written.

        Nothing can be recorded after.
        """
        refs = (self.refs or {}).values()
        atoms = tuple([self.atom(x) for x in (*outputs, *[r.value for r in refs if r.written])])
        for r in refs:
            r.value = None
        self.closed = True
        pairs = list(self.constants.values())
        return Program(
            tuple(self.inputs), tuple(self.eqns), atoms,
            tuple(var for var, _ in pairs), tuple(value for _, value in pairs), self.name,
        )  # fmt: skip


def _identity(x: Tracer) -> int:
    """A number that is the same for tracers of one variable."""
    return id(x._var) if type(x) is StagedTracer else id(x)


def stand_in(x: Any) -> Any:
    """What stands for a value; the value itself if nothing does."""
    return _state.stand_ins.get(_identity(x), x) if isinstance(x, Tracer) else x


@contextmanager
def standing_for(pairs: Sequence[tuple[Tracer, Tracer]]) -> Generator[None]:
    """Run a block in which the second of a pair is recorded where the first is met.

    So functions that close over the first ones, whose trace may be gone, are staged again.
    """
    before = _state.stand_ins
    _state.stand_ins = {**before, **{_identity(old): new for old, new in pairs}}
    try:
        yield
    finally:
        _state.stand_ins = before


def _is_closed(trace: Trace) -> bool:
    return isinstance(trace, StagingTrace) and trace.closed


Unpack = Callable[[Sequence[Any]], tuple[Sequence[Any], Mapping[str, Any]]]
Pack = Callable[[Any], Sequence[Any]]


def stage(
    f: Callable[..., Any],
    avals: Sequence[ShapedArray],
    name: str = "main",
    refs: dict[Any, Held] | None = None,
    around: tuple[Unpack, Pack] | None = None,
    names: Callable[[], Sequence[str]] | None = None,
) -> Program:
    """The Program of a function from flat values to flat values.

    `refs` takes the references from outside that the function touches; without it that is an error.
    `names` gives the names of the arguments, for messages.
    `around` makes the function's arguments of the flat values, and flat values of its result.  It is called from here,
    and so is the function: functions that call jitted ones may nest as deep as Python's stack has room for, and each
    frame of ours takes room.
    """
    trace = StagingTrace(current(), name, refs, names)
    before = set_current(trace)
    try:
        values = [trace.input(aval) for aval in avals]
        if around is None:
            outputs = f(*values)
        else:
            unpack, pack = around
            args, kwargs = unpack(values)
            outputs = pack(f(*args, **kwargs))
            del args, kwargs
        program = trace.program(outputs)
    finally:
        trace.closed, trace.names = True, None
        set_current(before)
    if config.check_tracer_leaks:
        ended = weakref.ref(trace)
        del trace, values, outputs  # or they would be what still refers to it
        check_leaks(ended, name)
    return program


def check_leaks(trace: weakref.ref[Any], name: str) -> None:
    """LeakedTracerError if a trace that has ended is still referred to: by tracers that something keeps."""
    if trace() is None:
        return
    gc.collect()
    left = trace()
    if left is None:
        return
    tracers = [x for x in gc.get_objects() if isinstance(x, Tracer) and x._trace is left]
    found = [f"{x.describe()}, made at {x.source}" if x.source else x.describe() for x in tracers]
    raise errors.LeakedTracerError(errors.leaked_tracers(name, found))


def evaluate(
    program: Program, args: Sequence[Any], constants: Sequence[Any] | None = None
) -> list[Any]:
    """Run a Program, equation by equation, under the current trace.  What is recorded keeps the equations' sources."""
    env: dict[Atom, Any] = dict(zip(program.inputs, args, strict=True))
    env.update(
        zip(
            program.constant_vars,
            program.constants if constants is None else constants,
            strict=True,
        )
    )
    before = _state.source
    try:
        for eqn in program.eqns:
            _state.source = eqn.source or before
            out = eqn.primitive(*[_known(a) if type(a) is Literal else env[a] for a in eqn.inputs])
            if eqn.primitive.multiple:
                env.update(zip(eqn.outputs, out, strict=True))
            else:
                env[eqn.outputs[0]] = out
    finally:
        _state.source = before
    return [_known(a) if type(a) is Literal else env[a] for a in program.outputs]


def _known(x: Literal) -> Any:
    """The value of a literal, of its type; of a number all bits."""
    if not x.aval.weak_type:
        return x.value
    return number(x.value if x.number is None else x.number, x.aval)
