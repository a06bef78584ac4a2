"""Places: where variables are read by what is computed from them.  The `element` rules are asked, one at a time.

A rule is given stand-ins for the values of its operands and its reads are noted, so following a chain of equations
takes neither recursion nor the expressions themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from covector._engine import primitives as prims
from covector._engine.backends.base import Limits
from covector._engine.compile.elements import Elements, Interned
from covector._engine.core.families import Mapped, Movement, View
from covector._engine.ir import index as ix
from covector._engine.ir.builder import constant
from covector._engine.ir.index import Index
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim

# An index, and the condition under which the element there is read (None: always).
Where = tuple[Index, Expr | None]


class Places:
    """Answers where an equation reads its operands, given where its result is read."""

    def __init__(self, program: Program, limits: Limits):
        self._interned = Interned()
        self._stand_ins: dict[tuple[Var, Index], Scalar] = {}
        self._found: dict[tuple[Eqn, Where], tuple[tuple[Var, Where], ...]] = {}
        self._of_index = Elements(
            _functions_of_the_index(program, limits.looked_through), lambda v: None
        )

    def below(self, eqn: Eqn, place: Where) -> Iterable[tuple[Var, Where]]:
        """The variables that the element of a mapped equation's result reads, and where."""
        index, condition = place
        if isinstance(eqn.primitive, prims.ElementwiseBase):
            scalar = ((), condition)
            variables = [a for a in eqn.inputs if isinstance(a, Var)]
            return [(a, place if a.aval.shape else scalar) for a in variables]
        found = self._found.get((eqn, place))
        if found is None:
            reads: dict[tuple[Var, Where], None] = {}
            views = [self._view(a, reads) for a in eqn.inputs]
            if condition is not None:
                views = [v.under(condition) for v in views]
            mapped_of(eqn).element(index, *views)
            found = self._found[eqn, place] = tuple(reads)
        return found

    def is_of_the_index(self, eqn: Eqn) -> bool:
        """Whether an equation's elements are functions of their indices, which take few steps and no memory."""
        return not self._of_index.eqn_of.keys().isdisjoint(eqn.outputs)

    def _view(self, atom: Atom, reads: dict[tuple[Var, Where], None]) -> View:
        if isinstance(atom, Literal):
            value = constant(atom.value, atom.aval.dtype)
            return View(atom.aval, lambda index: value)

        def read(index: Index, condition: Expr | None = None) -> Scalar:
            index = self._interned.index(index)
            if condition is not None:
                condition = self._interned(condition)
            reads[atom, (index, condition)] = None
            if atom in self._of_index.eqn_of:
                return self._of_index.at(atom, index)
            return self._stand_in(atom, index)

        return View(atom.aval, read, lambda condition, index: read(index, condition))

    def _stand_in(self, var: Var, index: Index) -> Scalar:
        """The same for equal requests, so that an index that comes from data is equal to itself."""
        found = self._stand_ins.get((var, index))
        if found is None:
            part = dtypes.real_of(var.aval.dtype)
            one = Expr("local", (), part, "x")
            both = one, Expr("local", (), part, "x")
            found = self._stand_ins[var, index] = both if dtypes.is_complex(var.aval.dtype) else one
        return found


def mapped_of(eqn: Eqn) -> Mapped:
    """The primitive of an equation that is mapped: each element on its own."""
    p = eqn.primitive
    assert isinstance(p, Mapped)
    return p


def _functions_of_the_index(program: Program, most: int) -> dict[Var, Eqn]:
    """What is computed in few steps from iotas and literals: rules that take it for an index see which it is."""
    steps: dict[Var, int] = {}
    found: dict[Var, Eqn] = {}
    for eqn in program.eqns:
        p = eqn.primitive
        iota = isinstance(p, Mapped) and not eqn.inputs
        if not iota and not isinstance(p, (Movement, prims.ElementwiseBase)):
            continue
        if all(isinstance(a, Literal) or a in steps for a in eqn.inputs):
            count = 1 + sum(steps[a] for a in eqn.inputs if isinstance(a, Var))
            if count <= most:
                for v in eqn.outputs:
                    steps[v], found[v] = count, eqn
    return found


def own_index(shape: Iterable[Dim]) -> Index:
    """The canonical loop variables of a space: one an axis; 0 for an axis of size 1."""
    return tuple(0 if n == 1 else ix.loop_variable(f"i{a}", n) for a, n in enumerate(shape))


def moved(index: Index, own: Index, there: Index) -> Index:
    """An index in terms of the variables `own`, where these have other values."""
    if own == there:
        return index
    values: Mapping[str, Dim] = {f"i{a}": i for a, i in enumerate(there)}
    return tuple(dims.substitute(i, values) for i in index)


def length(index: Index) -> int:
    """How long an index is, in factors."""
    return sum(1 for i in index for _ in dims.factors(i))


def comes_from_data(index: Index) -> bool:
    """Whether a part of an index is computed from values."""
    return any(isinstance(a.payload, Expr) for i in index for a in dims.factors(i))


def reads_through(eqn: Eqn) -> bool:
    """Whether an equation only renames places of one operand that is not much larger: storing that serves as well."""
    p: Any = eqn.primitive
    if not isinstance(p, Movement) or len(eqn.inputs) != 1:
        return False
    operand, result = eqn.inputs[0].aval.size, eqn.outputs[0].aval.size
    return dims.is_true(lambda: operand <= result * 2)
