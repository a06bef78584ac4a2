"""Forward derivatives: `JVPTrace` pushes tangents along; over a `PartialTrace` what is done to them is recorded.

Linearization is the second: primals are computed at once, by the traces below, while the operations on tangents
go on a `Tape`, which is a linear Program with its residuals in place.  `transforms/transpose.py` runs it backwards.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core.primitive import Online, Primitive
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import (
    Array,
    Trace,
    Tracer,
    _state,
    check_leaks,
    current,
    literal,
    set_current,
    typeof,
    using,
)
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import Atom, Eqn, Program, Var
from covector._engine.types.avals import ShapedArray

FlatFunction = Callable[..., Sequence[Any]]  # a function from flat values to flat values
# (result, tangent) of a primitive from values and tangents, as its `jvp` gives them.
Rule = Callable[[Primitive, Sequence[Any], Sequence[Any]], tuple[Any, Any]]


class JVPTracer(Tracer):
    """A value with a tangent that is not known to be zero."""

    __slots__ = ("_aval", "primal", "tangent")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self._trace, self.primal, self.tangent = trace, primal, tangent
        self._aval: ShapedArray | None = None

    @property
    def aval(self) -> ShapedArray:
        aval = self._aval
        if aval is None:
            aval = self._aval = typeof(self.primal)
        return aval

    @property
    def source(self) -> errors.Source | None:
        return self.primal.source if isinstance(self.primal, Tracer) else None

    def concrete(self) -> Any:
        primal = self.primal
        return primal.concrete() if isinstance(primal, Tracer) else primal

    def _unknown(self, wanted: str) -> str:
        primal = self.primal
        return primal._unknown(wanted) if isinstance(primal, Tracer) else super()._unknown(wanted)

    def _value(self, wanted: str, error: type[Exception] = errors.ConcretizationTypeError) -> Any:
        """An error: outside the traces the tangent would be lost.  (`bool`, which has no derivative, is free.)"""
        super()._value(wanted, error)
        raise error(errors.detached_value(self.aval.text(), wanted))


def _jvp(primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    return primitive.jvp(primals, tangents)


def _linearize(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    return primitive.linearize(primals, tangents)


class JVPTrace(Trace):
    """Computes results and pushes tangents along, by a rule that is each primitive's own if none is given.

    The rule runs with the parent as the current trace.  Both have the same `staging`, so the current trace is
    assigned directly: this is the path of every operation under `grad`.
    """

    __slots__ = ("rule",)

    def __init__(self, parent: Trace, rule: Rule = _jvp):
        super().__init__(parent, parent.staging)
        self.rule = rule

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        primals: list[Any] = []
        tangents: list[Any] = []
        live = False
        for x in args:
            if type(x) is JVPTracer and x._trace is self:
                live = True
                primals.append(x.primal)
                tangents.append(x.tangent)
            else:
                primals.append(x)
                tangents.append(Zero(x))
        parent = self.parent
        assert parent is not None
        if not live:
            return parent.process(primitive, args)
        before = _state.trace
        _state.trace = parent
        try:
            out, tangent = self.rule(primitive, primals, tangents)
        finally:
            _state.trace = before
        if primitive.multiple:
            return tuple(
                [
                    o if type(t) is Zero else JVPTracer(self, o, t)
                    for o, t in zip(out, tangent, strict=True)
                ]
            )
        return out if type(tangent) is Zero else JVPTracer(self, out, tangent)

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Primals and tangents of values; values that are not its tracers have the tangent Zero."""
        primals: list[Any] = []
        tangents: list[Any] = []
        for x in values:
            mine = type(x) is JVPTracer and x._trace is self
            primals.append(x.primal if mine else x)
            tangents.append(x.tangent if mine else Zero(x))
        return primals, tangents


def jvp_flat(
    f: FlatFunction, primals: Sequence[Any], tangents: Sequence[Any], rule: Rule = _jvp
) -> tuple[list[Any], list[Any]]:
    """Results and their tangents.  Tangents, given and returned, may be Zero."""
    trace = JVPTrace(current(), rule)
    args = [
        p if type(t) is Zero else JVPTracer(trace, p, t)
        for p, t in zip(primals, tangents, strict=True)
    ]
    before = set_current(trace)
    try:
        outs = f(*args)
    finally:
        set_current(before)
    found = trace.split(outs)
    if config.check_tracer_leaks:
        ended = weakref.ref(trace)
        del trace, args, outs  # or they would be what still refers to it
        check_leaks(ended, "a function under jvp")
    return found


class LinearTracer(Tracer):
    """A value on a tape: the result of operations that are linear in the tape's inputs."""

    __slots__ = ("_aval", "index")

    def __init__(self, trace: PartialTrace, index: int, aval: ShapedArray):
        self._trace, self.index, self._aval = trace, index, aval

    @property
    def aval(self) -> ShapedArray:
        return self._aval

    def describe(self) -> str:
        return f"a tangent {self._aval.text()}"


# Primitive, operands, index of the first result, type(s) of the result(s), the user's line if that is known.
Node = tuple[Primitive, Sequence[Any], int, Any, errors.Source | None]


class PartialTrace(Trace):
    """Computes what does not depend on its tracers, by its parent; records what does."""

    __slots__ = ("count", "nodes")

    def __init__(self, parent: Trace):
        super().__init__(parent, parent.staging)
        self.nodes: list[Node] | None = []
        self.count = 0

    def input(self, aval: ShapedArray) -> LinearTracer:
        """The next input of the tape."""
        self.count += 1
        return LinearTracer(self, self.count - 1, aval)

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        for x in args:
            if type(x) is LinearTracer and x._trace is self:
                break
        else:
            parent = self.parent
            assert parent is not None
            return parent.process(primitive, args)
        if isinstance(primitive, Online):
            with using(self):
                return primitive.run(*args)
        if is_kept(primitive.effects):
            if not primitive.has_programs:
                raise TypeError(errors.effect_of_a_tangent(primitive.name, _state.source))
        elif primitive.has_programs and (parted := self._parted(primitive, args)) is not None:
            return parted
        return self._record(primitive, args)

    def _parted(self, primitive: Primitive, args: Sequence[Any]) -> tuple[Any, ...] | None:
        """What holds Programs in two: results that depend on no tracer are computed.  None: it can't be parted."""
        mine = tuple([type(x) is LinearTracer and x._trace is self for x in args])
        linear = primitive.depends(mine)
        if linear is None or all(linear):
            return None
        parent = self.parent
        assert parent is not None
        with using(parent):
            found = primitive.in_two(args, mine, self._record)
        if found is not None:
            return tuple(found)
        known = primitive.live([not x for x in linear])
        if known is None or any(compress(mine, known[1])):
            return None
        results = [None] * len(linear)
        rest = primitive.live(linear) if any(linear) else None
        for part, process in ((known, parent.process), (rest, self._record)):
            if part is not None:
                part_of, takes, gives = part
                outs = process(part_of, list(compress(args, takes)))
                for i, out in zip(compress(range(len(gives)), gives), outs, strict=True):
                    if linear[i] == (part is rest):
                        results[i] = out
        return tuple(results)

    def _record(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        """A node of the tape."""
        nodes, index = self.nodes, self.count
        if nodes is None:
            raise errors.UnexpectedTracerError(errors.leaked_tracer("a tangent", None))
        types = primitive.type(*[x._aval if type(x) is LinearTracer else typeof(x) for x in args])
        source = _state.source
        if source is None and self.staging:
            source = errors.user_source()
        nodes.append((primitive, args, index, types, source))
        if isinstance(types, tuple):  # of a primitive with `multiple`
            self.count += len(types)
            return tuple([LinearTracer(self, index + i, t) for i, t in enumerate(types)])
        self.count += 1
        return LinearTracer(self, index, types)

    def close(self, inputs: Sequence[ShapedArray], outputs: Sequence[Any]) -> Tape:
        """What was recorded.  Nothing can be recorded after; tracers no longer lead to it."""
        nodes = self.nodes
        assert nodes is not None
        self.nodes = None
        indices = [
            x.index if type(x) is LinearTracer and x._trace is self else None for x in outputs
        ]
        return Tape(self, nodes, self.count, tuple(inputs), indices)


class Tape:
    """A linear Program as it was recorded, residuals in place.  Inputs are the values 0, 1, ..."""

    __slots__ = ("count", "inputs", "nodes", "outputs", "trace")

    def __init__(
        self,
        trace: PartialTrace,
        nodes: list[Node],
        count: int,
        inputs: tuple[ShapedArray, ...],
        outputs: list[int | None],
    ):
        self.trace, self.nodes, self.count = trace, nodes, count
        self.inputs = inputs
        self.outputs = outputs  # the index of each output; None where it is zero

    def is_mine(self, x: Any) -> bool:
        return type(x) is LinearTracer and x._trace is self.trace

    def instantiate(self, output: int, aval: ShapedArray) -> None:
        """Make an output that is zero an output all the same."""
        if self.outputs[output] is None:
            self.add_known(output, np.zeros((), aval.dtype)[()], aval)

    def add_known(self, output: int, value: Any, aval: ShapedArray | None = None) -> None:
        """Make a known value, repeated to a shape, an output."""
        if self.outputs[output] is None:
            aval = typeof(value) if aval is None else aval
            axes = tuple(range(aval.ndim - typeof(value).ndim))  # the new ones
            self.nodes.append((prims.Broadcast(aval.shape, axes), (value,), self.count, aval, None))
            self.outputs[output] = self.count
            self.count += 1

    def live_nodes(self) -> list[Node]:
        """The nodes that an output depends on, in order."""
        live = {i for i in self.outputs if i is not None}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            primitive, args, first, types, _ = node
            if any(
                i in live for i in range(first, first + (len(types) if primitive.multiple else 1))
            ):
                kept.append(node)
                live.update(x.index for x in args if self.is_mine(x))
        return kept[::-1]

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """The output tangents of input tangents, under the current trace; None where an output is zero."""
        env: list[Any] = [*tangents] + [None] * (self.count - len(tangents))
        for primitive, args, first, _, _ in self.live_nodes():
            out = primitive(*[env[x.index] if self.is_mine(x) else x for x in args])
            if primitive.multiple:
                env[first : first + len(out)] = out
            else:
                env[first] = out
        return [None if i is None else env[i] for i in self.outputs]

    def program(self, name: str = "linear") -> tuple[Program, list[Any]]:
        """The linear Program (residuals first, then tangents, to the outputs that are not zero); the residuals."""
        env: list[Var | None] = [Var(aval) for aval in self.inputs] + [None] * (
            self.count - len(self.inputs)
        )
        inputs = env[: len(self.inputs)]
        residuals: dict[int, tuple[Var, Any]] = {}
        eqns: list[Eqn] = []

        def atom(x: Any) -> Atom:
            if self.is_mine(x):
                return env[x.index]  # type: ignore[return-value]
            if not isinstance(x, Tracer) and type(x) is not Array and not np.shape(x):
                return literal(x, typeof(x))
            if id(x) not in residuals:
                residuals[id(x)] = Var(typeof(x)), x
            return residuals[id(x)][0]

        for primitive, args, first, types, source in self.live_nodes():
            atoms = tuple([atom(x) for x in args])
            outs = tuple([Var(t) for t in (types if primitive.multiple else (types,))])
            env[first : first + len(outs)] = outs
            eqns.append(Eqn(primitive, atoms, outs, source))
        known = tuple(var for var, _ in residuals.values())
        outputs = tuple(env[i] for i in self.outputs if i is not None)
        program = Program(known + tuple(inputs), tuple(eqns), outputs, name=name)  # type: ignore[arg-type]
        return program, [value for _, value in residuals.values()]


def linearize_flat(
    f: FlatFunction, primals: Sequence[Any], nonzero: Sequence[bool] | None = None
) -> tuple[list[Any], Tape]:
    """Results, and the tape from the tangents of the primals (those in the mask `nonzero`) to the results'."""
    partial = PartialTrace(current())
    trace = JVPTrace(partial, _linearize)
    inputs: list[ShapedArray] = []

    def entering(i: int, p: Any) -> Any:
        if nonzero is not None and not nonzero[i]:
            return p
        inputs.append(typeof(p).tangent())
        return JVPTracer(trace, p, partial.input(inputs[-1]))

    args = [entering(i, p) for i, p in enumerate(primals)]
    before = set_current(trace)
    try:
        outs, tangents = trace.split(f(*args))
        tape = partial.close(inputs, tangents)
    finally:
        partial.nodes = None
        set_current(before)
    if config.check_tracer_leaks:
        ended = weakref.ref(trace)
        del trace, args  # or they would be what still refers to it
        check_leaks(ended, "a function that is differentiated")
    return outs, tape


def record_flat(
    f: FlatFunction, args: Sequence[Any], linear: Sequence[bool]
) -> tuple[list[Any], Tape]:
    """The tape of a function that is linear in some arguments (given as types); its other results' values."""
    partial = PartialTrace(current())
    inputs = [aval for aval, mine in zip(args, linear, strict=True) if mine]
    values = [partial.input(x) if mine else x for x, mine in zip(args, linear, strict=True)]
    before = set_current(partial)
    try:
        outs = list(f(*values))
        return outs, partial.close(inputs, outs)
    finally:
        partial.nodes = None
        set_current(before)
