"""Numbers that keep their bits inside a Program.

A Python number is weakly typed: it takes the dtype of the arrays that it meets, with all of its 64 bits if they have
so many.  A Program that is traced for one cannot know which they are, and computes with it in 32 bits.  Where such
a value, or what was computed from it alone, becomes one of 64 bits, that computation is recorded once more, in 64 bits,
from the number itself: the input of the Program is then one of 64 bits.  What nothing needs any more is dead code.
"""

from __future__ import annotations

from covector._engine import primitives as prims
from covector._engine.core.primitive import Movement
from covector._engine.core.trace import StagedTracer, StagingTrace, _state
from covector._engine.ir.program import Atom, Eqn, Literal, Var
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = ["wide_form"]

_WIDER = {
    dtypes.int32: dtypes.int64,
    dtypes.float32: dtypes.float64,
    dtypes.complex64: dtypes.complex128,
}


def wide_form(x: StagedTracer) -> StagedTracer:
    """A weakly typed value of a Program in 64 bits, computed from the numbers it comes from; x if there are none."""
    trace = x._trace
    assert isinstance(trace, StagingTrace)
    if trace.closed or x._var.aval.dtype not in _WIDER:
        return x
    if trace.widening is None:
        trace.widening = _Widening(trace)
    found = trace.widening.find(x._var)
    return x if found is None else found


def _wide(aval: ShapedArray) -> ShapedArray:
    return ShapedArray(aval.shape, _WIDER[aval.dtype], True)


class _Widening:
    """The values of one Program in 64 bits, as far as they were asked for.  None: it comes from no number."""

    __slots__ = ("indexed", "producers", "trace", "wide")

    def __init__(self, trace: StagingTrace):
        self.trace = trace
        self.wide: dict[Var, StagedTracer | None] = {}
        self.producers: dict[Var, Eqn] = {}
        self.indexed = 0  # so many equations are among the producers

    def find(self, root: Var) -> StagedTracer | None:
        """The value in 64 bits.  Its operands come first; a stack of our own, as chains may be long."""
        for eqn in self.trace.eqns[self.indexed :]:
            self.producers.update(dict.fromkeys(eqn.outputs, eqn))
        self.indexed = len(self.trace.eqns)
        stack = [root]
        while stack:
            var = stack[-1]
            eqn = self.producers.get(var)
            if var in self.wide:
                stack.pop()
            elif eqn is None:
                self.wide[var] = self.begin(var)
            elif not _is_repeatable(eqn):
                self.wide[var] = None
            elif pending := [
                a
                for a in eqn.inputs
                if isinstance(a, Var) and a.aval.weak_type and a not in self.wide
            ]:
                stack += pending
            else:
                self.wide[var] = self.repeat(eqn)
        return self.wide[root]

    def begin(self, var: Var) -> StagedTracer | None:
        """Of an input that is a number, or of a value of an enclosing trace."""
        trace = self.trace
        if var in trace.numbers:
            wide = Var(_wide(var.aval))
            trace.inputs[trace.inputs.index(var)] = wide
            trace.eqns.insert(0, Eqn(prims.Convert(var.aval.dtype, True), (wide,), (var,), None))
            self.indexed += 1
            return StagedTracer(trace, wide)
        value = next((value for v, value in trace.constants.values() if v is var), None)
        if type(value) is not StagedTracer:
            return None
        wide_value = wide_form(value)
        atom = None if wide_value is value else trace.atom(wide_value)
        return StagedTracer(trace, atom) if isinstance(atom, Var) else None

    def repeat(self, eqn: Eqn) -> StagedTracer | None:
        """The equation in 64 bits, if it comes from a number at all."""
        if all(isinstance(a, Literal) or self.wide.get(a) is None for a in eqn.inputs):
            return None
        return self.record(eqn)

    def record(self, eqn: Eqn) -> StagedTracer:
        primitive = eqn.primitive
        if isinstance(primitive, prims.Convert):
            primitive = prims.Convert(_WIDER[primitive.dtype], True)
        before = _state.source
        _state.source = eqn.source or before
        try:
            return self.trace.record(primitive, tuple([self.operand(a) for a in eqn.inputs]))
        finally:
            _state.source = before

    def operand(self, atom: Atom) -> Atom:
        if not atom.aval.weak_type:
            return atom
        aval = _wide(atom.aval)
        if isinstance(atom, Literal):
            number = atom.value.item() if atom.number is None else atom.number
            return Literal(aval.dtype.type(number), aval)
        found, eqn = self.wide[atom], self.producers.get(atom)
        if found is None and eqn is not None and _is_repeatable(eqn) and _is_constant(eqn):
            found = self.wide[atom] = self.record(eqn)
        if found is None:
            found = self.trace.record(prims.Convert(aval.dtype, True), (atom,))
        return found._var


def _is_constant(eqn: Eqn) -> bool:
    return all(isinstance(a, Literal) for a in eqn.inputs)


def _is_repeatable(eqn: Eqn) -> bool:
    """Whether the equation computes weakly typed elements from such, and nothing else but conditions."""
    types = [a.aval for a in (*eqn.inputs, *eqn.outputs)]
    return (
        isinstance(eqn.primitive, prims.ElementwiseBase | Movement)
        and len(eqn.outputs) == 1
        and eqn.outputs[0].aval.weak_type
        and all(t.dtype in _WIDER if t.weak_type else t.dtype == dtypes.bool_ for t in types)
    )
