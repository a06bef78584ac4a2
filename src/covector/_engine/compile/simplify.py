"""Simplification of Programs: equal equations merged, laws applied, dead code left out.

Nothing here knows a primitive: what holds Programs, what has a law, what wants its operands in a layout says so.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.backends.base import Job
from covector._engine.compile.fuse import is_single, types_of
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Rewriting,
    Var,
    map_eqns,
    without_dead_code,
)
from covector._engine.types import dtypes


def simplify(program: Program) -> Program:
    """One pass of laws and merging over the equations, then dead code; in the Programs inside too."""
    return Rewriting(_simplified)(program)


def _simplified(program: Program, inside: Rewriting) -> Program:
    rewriter = _Rewriter(inside)
    for eqn in program.eqns:
        rewriter.add(eqn)
    outputs = [rewriter.atom(a) for a in program.outputs]
    return without_dead_code(map_eqns(program, rewriter.eqns, outputs))


class _Rewriter:
    """Rebuilds a Program equation by equation."""

    def __init__(self, inside: Rewriting) -> None:
        self.inside = inside
        self.env: dict[Var, Atom] = {}
        self.eqns: list[Eqn] = []
        self.producer: dict[Var, Eqn] = {}
        self.known: dict[Any, tuple[Atom, ...]] = {}

    def atom(self, a: Atom) -> Atom:
        return self.env.get(a, a) if isinstance(a, Var) else a

    def made_by(self, a: Atom) -> Eqn | None:
        return self.producer.get(a) if isinstance(a, Var) else None

    def add(self, eqn: Eqn) -> None:
        """Take over an equation, in a simpler form if a law fits."""
        inputs = tuple([self.atom(a) for a in eqn.inputs])
        p = self.inside.inside(eqn.primitive)
        same = p is eqn.primitive and inputs == eqn.inputs  # atoms are equal if they are the same
        eqn = eqn if same else Eqn(p, inputs, eqn.outputs, eqn.source)
        while (found := eqn.primitive.simplified(eqn, self.made_by)) is not None:
            if isinstance(found, (Var, Literal)):
                self.env[eqn.outputs[0]] = found
                return
            if isinstance(found, Eqn):
                eqn = found
                continue
            *before, eqn = found
            for one in before:
                self.add(one)
            inputs = tuple([self.atom(a) for a in eqn.inputs])
            eqn = Eqn(eqn.primitive, inputs, eqn.outputs, eqn.source)
        if (value := _known(eqn)) is not None:
            self.env[eqn.outputs[0]] = value
            return
        key = _key(eqn)
        results = self.known.get(key) if key is not None else None
        if results is not None:
            self.env.update(zip(eqn.outputs, results, strict=True))
            return
        if key is not None:
            self.known[key] = eqn.outputs
        self.emit(eqn)

    def emit(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)
        for v in eqn.outputs:
            self.producer[v] = eqn


def _known(eqn: Eqn) -> Literal | None:
    """The value of an operation on known integers, which is exact.

    `x % 2` divides by what is chosen between 1 and 2.
    """
    aval = eqn.outputs[0].aval if eqn.outputs else None
    if aval is None or aval.shape or dtypes.is_inexact(aval.dtype):
        return None
    if not isinstance(eqn.primitive, prims.ElementwiseBase) or len(eqn.outputs) != 1:
        return None
    values: list[Any] = []
    for a in eqn.inputs:
        if not isinstance(a, Literal) or dtypes.is_inexact(a.aval.dtype):
            return None
        values.append(a.value)
    if not values:
        return None
    with np.errstate(all="ignore"):
        value: Any = np.asarray(eqn.primitive.reference(*values)).astype(aval.dtype)[()]
    return Literal(value, aval)


def _key(eqn: Eqn) -> Any:
    """What equal equations have in common; None if they must not be merged, or hold Programs, which differ."""
    if eqn.primitive.has_programs or eqn.effects:
        return None
    atoms = tuple([
        a if isinstance(a, Var) else (a.aval.dtype, a.value.tobytes(), a.aval.weak_type)
        for a in eqn.inputs
    ])  # fmt: skip
    return eqn.primitive, atoms


def layouts(program: Program, job: Job) -> Program:
    """Permute the operands of what is lowered by its own rule to where it takes them, if they are not there."""
    return Rewriting(lambda program, arranged: _arranged(program, arranged, job))(program)


def _arranged(program: Program, arranged: Rewriting, job: Job) -> Program:
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        p = arranged.inside(eqn.primitive)
        if p is not eqn.primitive:
            eqn = Eqn(p, eqn.inputs, eqn.outputs, eqn.source)
        wanted = p.arranged(types_of(eqn)) if is_single(eqn, job.target) else None
        if wanted is not None:
            primitive, permutations = wanted
            inputs: list[Atom] = []
            for a, permutation in zip(eqn.inputs, permutations, strict=True):
                if permutation != tuple(range(len(permutation))):
                    move = prims.Transpose(permutation)
                    moved = Var(move.type(a.aval))
                    eqns.append(Eqn(move, (a,), (moved,), eqn.source))
                    a = moved
                inputs.append(a)
            eqn = Eqn(primitive, tuple(inputs), eqn.outputs, eqn.source)
        eqns.append(eqn)
    same = all(map(operator.is_, eqns, program.eqns))
    return program if same else map_eqns(program, eqns)
