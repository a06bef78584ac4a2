"""Taylor mode: `JetTrace` computes with values that know their derivatives of all orders along a path.

A value is a function of one variable, at 0.  Its derivative is another such value, made when it is asked for: the jvp
rule of the primitive says how, applied to the operands and their derivatives.  What was computed is remembered, so that
values share what their derivatives have in common: a rule that uses the result itself, as that of `exp` does, finds it.
So the work of K orders grows as K squared for each operation, and nothing is needed of a primitive but its jvp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import (
    Trace,
    Tracer,
    current,
    evaluate,
    set_current,
    typeof,
    using,
)
from covector._engine.transforms.forward import FlatFunction
from covector._engine.types.avals import ShapedArray


class _Application:
    """A primitive on operands, some of them tracers of a `JetTrace`; and the derivatives of its results."""

    __slots__ = ("args", "found", "primitive", "results", "trace")

    def __init__(self, trace: JetTrace, primitive: Primitive, args: Sequence[Any]):
        self.trace, self.primitive, self.args = trace, primitive, args
        self.results: tuple[Any, ...] = ()
        self.found: Sequence[Any] | None = None

    def derivatives(self) -> Sequence[Any]:
        """The derivative of each result: a tracer, a value that is the same all along the path, or Zero."""
        found = self.found
        if found is None:
            tangents = [self.trace.derivative(x) for x in self.args]
            if all(type(t) is Zero for t in tangents):
                found = [Zero(x) for x in self.results]
            else:
                rule = _RULES.get(self.primitive, _by_jvp)
                with using(self.trace):
                    pushed = rule(self.primitive, self.args, tangents)
                found = pushed if self.primitive.multiple else (pushed,)
            self.found = found
        return found


def _by_jvp(primitive: Primitive, args: Sequence[Any], tangents: Sequence[Any]) -> Any:
    return primitive.jvp(args, tangents)[1]


def _quotient(primitive: Primitive, args: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """z' = (x' - z y') / y: one division, where the jvp has two, of which the next derivative would have four."""
    (x, y), (dx, dy) = args, tangents
    if type(dy) is Zero or not typeof(x).differentiable():
        return _by_jvp(primitive, args, tangents)
    z = primitive(x, y)
    moved = prims.mul(z, dy)
    return primitive(prims.neg(moved) if type(dx) is Zero else prims.sub(dx, moved), y)


_RULES: dict[Primitive, Callable[..., Any]] = {prims.div: _quotient}


class JetTracer(Tracer):
    """A value on a path: what it is at 0, and where its derivative comes from."""

    __slots__ = ("_aval", "index", "origin", "primal")

    def __init__(self, trace: JetTrace, primal: Any, origin: Any, index: int):
        self._trace, self.primal, self.origin, self.index = trace, primal, origin, index
        self._aval: ShapedArray | None = None

    @property
    def aval(self) -> ShapedArray:
        aval = self._aval
        if aval is None:
            aval = self._aval = typeof(self.primal)
        return aval

    def concrete(self) -> Any:
        primal = self.primal
        return primal.concrete() if isinstance(primal, Tracer) else primal


class JetTrace(Trace):
    """Computes values at 0 by its parent, and remembers what they are computed from."""

    __slots__ = ("known",)

    def __init__(self, parent: Trace):
        super().__init__(parent, parent.staging)
        self.known: dict[Any, _Application] = {}

    def is_mine(self, x: Any) -> bool:
        """Whether a value is a tracer of this trace."""
        return type(x) is JetTracer and x._trace is self

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        parent = self.parent
        assert parent is not None
        if not any(map(self.is_mine, args)):
            return parent.process(primitive, args)
        key = primitive, *map(_key, args)
        application = self.known.get(key)
        if application is None:
            application = self._applied(primitive, args)
            self.known[key] = application
        results = application.results
        return results if primitive.multiple else results[0]

    def _applied(self, primitive: Primitive, args: Sequence[Any]) -> _Application:
        parent = self.parent
        assert parent is not None
        application = _Application(self, primitive, args)
        if primitive.transparent and (program := primitive.inlined()) is not None:
            with using(self):
                application.results = tuple(evaluate(program, args))
            return application
        with using(parent):
            out = parent.process(primitive, [x.primal if self.is_mine(x) else x for x in args])
        outs = out if primitive.multiple else (out,)
        application.results = tuple([
            JetTracer(self, x, application, i) if typeof(x).differentiable() else x
            for i, x in enumerate(outs)
        ])  # fmt: skip
        return application

    def derivative(self, x: Any) -> Any:
        """The derivative of a value along the path."""
        if not self.is_mine(x):
            return Zero(x)
        return x.origin.derivatives()[x.index]

    def at_zero(self, x: Any) -> Any:
        """What a value is at 0."""
        return x.primal if self.is_mine(x) else x


def _key(x: Any) -> Any:
    """What equal operands have in common.  Those without a value of their own are kept alive by what is remembered."""
    if isinstance(x, np.generic | bool | int | float | complex):
        return type(x), np.asarray(x).tobytes()
    return id(x)


class _Path:
    """An argument: its derivatives are given."""

    __slots__ = ("found",)

    def __init__(self, derivative: Any):
        self.found = (derivative,)

    def derivatives(self) -> Sequence[Any]:
        """The derivative, alone."""
        return self.found


def jet_flat(
    f: FlatFunction, primals: Sequence[Any], series: Sequence[Sequence[Any]], order: int
) -> tuple[list[Any], list[list[Any]]]:
    """Results, and their derivatives of the orders 1 to `order`, which may be Zero; `series` are those of primals."""
    parent = current()
    trace = JetTrace(parent)
    args: list[Any] = []
    for primal, terms in zip(primals, series, strict=True):
        following: Any = Zero(primal)
        for term in reversed(terms):
            following = JetTracer(trace, term, _Path(following), 0)
        args.append(JetTracer(trace, primal, _Path(following), 0) if terms else primal)
    before = set_current(trace)
    try:
        outs = list(f(*args))
        found: list[list[Any]] = []
        for out in outs:
            terms = []
            for _ in range(order):
                out = Zero(out.aval) if type(out) is Zero else trace.derivative(out)
                terms.append(out if type(out) is Zero else trace.at_zero(out))
            found.append(terms)
        return [trace.at_zero(x) for x in outs], found
    finally:
        set_current(before)
