"""Small Programs written out element by element, their values in registers: bodies of loops on a few numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from covector._engine.backends.base import Limits
from covector._engine.compile.elements import Elements
from covector._engine.compile.folding import Folding
from covector._engine.compile.fuse import fold_places, fold_space, folds
from covector._engine.core.primitive import Folded, Index, Mapped, Scalar
from covector._engine.ir import builder
from covector._engine.ir.builder import Builder, Names, Place, constant
from covector._engine.ir.program import Eqn, Program, Var, seen_through
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims


def is_small(program: Program, in_locals: Sequence[bool], limits: Limits) -> bool:
    """Whether a Program can be written out, where these inputs are kept in locals."""
    program = seen_through(program)
    stored = {v for v, local in zip(program.inputs, in_locals, strict=True) if not local}
    total = 0
    for eqn in program.eqns:
        p = eqn.primitive
        if isinstance(p, Mapped):
            if p.at_data and eqn.inputs[0] not in stored:
                return False  # a place that comes from data: locals have none
        elif p.has_programs:
            held_ = [a not in stored for a in eqn.inputs]
            if not p.fits_locals(lambda body, mask: is_small(body, mask, limits), held_):
                return False
        elif not isinstance(p, Folded):
            return False
        else:
            shape, _ = fold_space(eqn)
            if not dims.is_constant(shape):
                return False
            total += dims.product(shape)  # type: ignore[operator]
        for v in eqn.outputs:
            if not dims.is_constant(v.aval.shape) or v.aval.size > limits.tiny_array:
                return False
            total += v.aval.size  # type: ignore[operator]
    held = (v for v, local in zip(program.inputs, in_locals, strict=True) if local)
    return total <= limits.tiny_body and all(
        dims.is_constant(a.aval.shape) and a.aval.size <= limits.tiny_array
        for a in (*program.outputs, *held)
    )


def written_out(
    program: Program, inputs: Sequence[Place | builder.AllElements], b: Builder
) -> list[builder.AllElements]:
    """The elements of the results, where each input lies at a place or is these elements."""
    program = seen_through(program)
    places = {v: x for v, x in zip(program.inputs, inputs, strict=True) if isinstance(x, Place)}
    elements = _WrittenOut({v: e for e in program.eqns for v in e.outputs}, places, b.names)
    for v, x in zip(program.inputs, inputs, strict=True):
        if not isinstance(x, Place):
            elements.bound.update(((v, at), element) for at, element in x.items())
    for eqn in program.eqns:  # in order, so that no recursion grows with the body
        if eqn.primitive.has_programs:
            operands = [
                places[a]
                if isinstance(a, Var) and a in places
                else {at: elements.at(a, at) for at in points(a.aval.shape)}
                for a in eqn.inputs
            ]
            for v, found in zip(eqn.outputs, eqn.primitive.written(b, operands), strict=True):
                elements.bound.update(((v, at), element) for at, element in found.items())
            continue
        for v in eqn.outputs:
            for at in points(v.aval.shape):
                elements.at(v, at)
    return [{at: elements.at(a, at) for at in points(a.aval.shape)} for a in program.outputs]


def points(shape: Sequence[Any]) -> list[Index]:
    """All indices of a shape, in order."""
    return list(itertools.product(*[range(int(n)) for n in shape]))


class _WrittenOut(Elements):
    """Elements of a small Program: folds are written out too."""

    def __init__(self, eqn_of: dict[Var, Eqn], places: dict[Var, Place], names: Names):
        super().__init__(eqn_of, places.get)
        self.names = names

    def _compute(self, var: Var, index: Index, condition: Expr | None) -> Scalar:
        shape = var.aval.shape
        if any(isinstance(i, int) and not 0 <= i < n for i, n in zip(index, shape, strict=True)):
            return constant(
                var.aval.dtype.type(0), var.aval.dtype
            )  # around a padded operand: not used
        eqn = self.eqn_of.get(var)
        if eqn is None or not folds(eqn):
            return super()._compute(var, index, condition)
        shape, inner = fold_space(eqn)
        folding = Folding(eqn, self.names)
        outer = iter(index)
        fixed = [0 if a in inner else next(outer) for a in range(len(shape))]
        state = folding.starts
        for n, point in enumerate(points([shape[a] for a in inner])):
            for a, i in zip(inner, point, strict=True):
                fixed[a] = i
            at = tuple(fixed)
            places = zip(eqn.inputs, fold_places(eqn, at), strict=True)
            lifted = folding.fold.lift(at, *[self.at(a, place) for a, place in places])
            # The first element replaces the start: one operation less, and no 0 + -0.
            first = n == 0 and folding.operation
            state = lifted if first else folding.fold.combine(state, lifted)
        return folding.fold.finish(state, folding.dtype)
