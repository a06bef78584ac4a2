"""Elements: what one element of a variable is, as a scalar expression over loads.

A variable is stored (it has a place in a buffer), bound (its element at one index is a local), or computed:
then its element is its equation's `element` rule on the elements of the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from covector._engine import primitives as prims
from covector._engine.core.families import Mapped, View
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Place, constant, load
from covector._engine.ir.index import Index
from covector._engine.ir.kernel import Buffer
from covector._engine.ir.program import Atom, Eqn, Literal, Var
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

# How many equations an element is computed through by recursion; what lies deeper is computed first.
DEEPEST = 40


class Interned:
    """One node for all expressions that are built alike from the same nodes.

    So the places and conditions that rules ask for can be compared, though a rule makes its own each time it is asked.
    """

    def __init__(self) -> None:
        self._known: dict[Expr, Expr] = {}
        self._by_content: dict[Any, Expr] = {}
        self._indices: dict[Index, Index] = {}

    def __call__(self, e: Expr) -> Expr:
        known = self._known
        stack = [e]
        while stack:
            node = stack[-1]
            missing = [] if node in known else [a for a in node.args if a not in known]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if node not in known:
                known[node] = self._by_content.setdefault(self._content(node), node)
        return known[e]

    def index(self, index: Index) -> Index:
        """The index in which the parts that come from data are such nodes."""
        found = self._indices.get(index)
        if found is None:
            values: dict[str, Dim] = {}
            for i in index:
                for factor in dims.factors(i):
                    if isinstance(e := factor.payload, Expr) and self(e) is not e:
                        values[factor.key] = ix.renamed(factor, self(e))
            found = tuple(dims.substitute(i, values) for i in index) if values else index
            self._indices[index] = found
        return found

    def _content(self, node: Expr) -> Any:
        attr: Any = node.attr
        if node.op == "const":
            attr = attr.tobytes()
        return node.op, node.dtype, attr, *[self._known[a] for a in node.args]


class _Deeper(Exception):
    """An element is wanted that lies too deep below the one that was asked for."""

    def __init__(self, var: Var, index: Index, condition: Expr | None):
        self.request = var, index, condition


class Elements:
    """Elements of a Program's variables.  Results are remembered, so equal requests give one shared node."""

    def __init__(self, eqn_of: Mapping[Var, Eqn], place_of: Callable[[Var], Place | None]):
        self.eqn_of, self.place_of = eqn_of, place_of
        self.memo: dict[Any, Any] = {}
        self.bound: dict[tuple[Var, Index], Scalar] = {}
        self.interned = Interned()
        self.depth = 0

    def view(self, atom: Atom) -> View:
        """An operand, for the `element` rules."""
        if isinstance(atom, Literal):
            value = constant(atom.value, atom.aval.dtype)
            return View(atom.aval, lambda index: value)
        return View(atom.aval, partial(self.at, atom), partial(self._guarded, atom))

    def _guarded(self, atom: Atom, condition: Expr, index: Index) -> Scalar:
        return self.at(atom, index, condition)

    def at(self, atom: Atom, index: Index, condition: Expr | None = None) -> Scalar:
        """The element of an atom at an index."""
        if isinstance(atom, Literal):
            return constant(atom.value, atom.aval.dtype)
        bound = self.bound.get((atom, index))
        if bound is not None:
            return bound
        if condition is not None:
            condition = self.interned(condition)
        found = self._remembered(atom, index, condition)
        if found is None:
            index = self.interned.index(index)
            found = self._remembered(atom, index, condition)
        if found is None:
            found = self._deepest_first(atom, index, condition)
        return found

    def _remembered(self, var: Var, index: Index, condition: Expr | None) -> Scalar | None:
        return self.memo.get((var, index) if condition is None else (var, index, condition))

    def _deepest_first(self, var: Var, index: Index, condition: Expr | None) -> Scalar:
        """Compute an element by recursion; where that becomes deep, what lies deep is computed first.

        So Python's stack does not grow with the Program.  Equal requests have equal keys, as conditions are interned:
        what is computed first is found when its consumer is computed anew.
        """
        if self.depth:
            if self.depth > DEEPEST:
                raise _Deeper(var, index, condition)
            self.depth += 1
            value = self._compute(var, index, condition)
            self.depth -= 1
            self._remember(var, index, condition, value)
            return value
        wanted = [(var, index, condition)]
        while True:
            var, index, condition = wanted[-1]
            self.depth = 1
            try:
                value = self._compute(var, index, condition)
            except _Deeper as deeper:
                wanted += self._chain(*deeper.request)
                continue
            finally:
                self.depth = 0
            self._remember(var, index, condition, value)
            wanted.pop()
            if not wanted:
                return value

    def _chain(
        self, var: Var, index: Index, condition: Expr | None
    ) -> list[tuple[Var, Index, Expr | None]]:
        """What is wanted, then the elements below it at the same place that are known without asking the rules."""
        chain = [var]
        seen = {var}
        for v in chain:
            eqn = self.eqn_of.get(v)
            if eqn is None or not isinstance(eqn.primitive, prims.ElementwiseBase):
                continue
            for a in eqn.inputs:
                if isinstance(a, Literal) or a in seen or a.aval.shape != v.aval.shape:
                    continue
                if self._remembered(a, index, condition) is None:
                    seen.add(a)
                    chain.append(a)
        return [(v, index, condition) for v in chain]

    def _remember(self, var: Var, index: Index, condition: Expr | None, value: Scalar) -> None:
        self.memo[(var, index) if condition is None else (var, index, condition)] = value

    def _compute(self, var: Var, index: Index, condition: Expr | None) -> Scalar:
        place = self.place_of(var)
        if place is not None:
            return self._load(place, var.aval, index, condition)
        eqn = self.eqn_of[var]
        p = eqn.primitive
        if isinstance(p, prims.ElementwiseBase):
            # What its rule `element` does, without views: two thirds of the time, in long chains.
            avals = [a.aval for a in eqn.inputs]
            shapes = [a.shape for a in avals]
            atoms = zip(eqn.inputs, shapes, strict=True)
            return p.on_elements(
                avals, *[self.at(a, index if shape else (), condition) for a, shape in atoms]
            )
        assert isinstance(p, Mapped), eqn
        views = [self.view(a) for a in eqn.inputs]
        if condition is not None:
            views = [v.under(condition) for v in views]
        if not p.multiple:
            return p.element(index, *views)
        key = (eqn, index) if condition is None else (eqn, index, condition)
        results: Any = self.memo.get(key)
        if results is None:
            results = self.memo[key] = p.element(index, *views)
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
