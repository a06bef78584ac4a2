"""Elements: what one element of a variable is, as a scalar expression over loads.

A variable is stored (it has a place in a buffer), bound (its element at one index is a local), or computed:
then its element is its equation's `element` rule on the elements of the operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine import primitives as prims
from covector._engine.core.primitive import Index, Mapped, Scalar, View
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Place, constant, load
from covector._engine.ir.kernel import Buffer
from covector._engine.ir.program import Atom, Eqn, Literal, Var
from covector._engine.ir.scalar import Expr
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

# Equations in a row that are computed one after the other instead of by recursion.
LONG = 40


class Elements:
    """Elements of a Program's variables.  Results are remembered, so equal requests give one shared node."""

    def __init__(
        self,
        eqn_of: dict[Var, Eqn],
        place_of: Callable[[Var], Place | None],
        on_load: Callable[[Var, Index], None] | None = None,
    ):
        self.eqn_of, self.place_of, self.on_load = eqn_of, place_of, on_load
        self.memo: dict[Any, Any] = {}
        self.bound: dict[tuple[Var, Index], Scalar] = {}

    def view(self, atom: Atom) -> View:
        """An operand, for the `element` rules."""
        if isinstance(atom, Literal):
            value = constant(atom.value, atom.aval.dtype)
            return View(atom.aval, lambda index: value)
        return View(
            atom.aval, lambda index: self.at(atom, index), lambda c, index: self.at(atom, index, c)
        )

    def touch(self, eqn: Eqn, index: Index) -> None:
        """Compute long elementwise chains below an equation from below: no recursion grows with the Program."""
        chain: list[Var] = []
        seen: set[Var] = set()
        stack = [a for a in eqn.inputs if isinstance(a, Var)]
        while stack:
            v = stack.pop()
            if v in seen or v not in self.eqn_of:
                continue
            seen.add(v)
            producer = self.eqn_of[v]
            if (
                isinstance(producer.primitive, prims.ElementwiseBase)
                and v.aval.shape == eqn.outputs[0].aval.shape
            ):
                chain.append(v)
            stack.extend(a for a in producer.inputs if isinstance(a, Var))
        if len(chain) > LONG:
            for v in _in_order(chain, self.eqn_of):
                self.at(v, index)

    def at(self, atom: Atom, index: Index, condition: Expr | None = None) -> Scalar:
        """The element of an atom at an index."""
        if isinstance(atom, Literal):
            return constant(atom.value, atom.aval.dtype)
        bound = self.bound.get((atom, index))
        if bound is not None:
            return bound
        key = (atom, index) if condition is None else (atom, index, condition)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._compute(atom, index, condition)
        return found

    def _compute(self, var: Var, index: Index, condition: Expr | None) -> Scalar:
        place = self.place_of(var)
        if place is not None:
            if self.on_load is not None:
                self.on_load(var, index)
            return self._load(place, var.aval, index, condition)
        eqn = self.eqn_of[var]
        assert isinstance(eqn.primitive, Mapped), eqn
        views = [self.view(a) for a in eqn.inputs]
        if condition is not None:
            views = [v.under(condition) for v in views]
        if not eqn.primitive.multiple:
            return eqn.primitive.element(index, *views)
        key = (eqn, index) if condition is None else (eqn, index, condition)
        results: Any = self.memo.get(key)
        if results is None:
            results = self.memo[key] = eqn.primitive.element(index, *views)
        return results[eqn.outputs.index(var)]

    def _load(
        self, place: Place, aval: ShapedArray, index: Index, condition: Expr | None
    ) -> Scalar:
        offset = ix.rejoin(place.offset + ix.flatten(index, aval.shape))
        if not dtypes.is_complex(aval.dtype):
            return self._one(place.buffer, offset, condition)
        return self._one(place.buffer, offset * 2, condition), self._one(
            place.buffer, offset * 2 + 1, condition
        )

    def _one(self, buffer: Buffer, offset: Dim, condition: Expr | None) -> Expr:
        key = (buffer, offset, condition)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = load(buffer, offset, condition)
        return found


def _in_order(chain: list[Var], inlined: dict[Var, Eqn]) -> list[Var]:
    """Variables with producers before consumers."""
    members, done, order = set(chain), set[Var](), list[Var]()
    for top in chain:
        stack = [top]
        while stack:
            v = stack[-1]
            if v in done:
                stack.pop()
                continue
            missing = [a for a in inlined[v].inputs if a in members and a not in done]
            if missing:
                stack.extend(missing)  # type: ignore[arg-type]
            else:
                done.add(v)
                order.append(v)
                stack.pop()
    return order
