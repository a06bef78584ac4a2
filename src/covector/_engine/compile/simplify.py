"""Simplification of Programs: calls inlined, equal equations merged, algebraic laws, dead code left out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.record import replace
from covector._engine.compile.fuse import small_product
from covector._engine.compile.product import permuted, wanted_permutations
from covector._engine.control.call import Call
from covector._engine.control.loop import Scan
from covector._engine.ir.program import Atom, Eqn, Literal, Program, Var, map_eqns
from covector._engine.types import dtypes


def inline_calls(program: Program) -> Program:
    """The Program with the bodies of its calls in their place, and the same done inside loops."""
    if not any(isinstance(eqn.primitive, (Call, Scan)) for eqn in program.eqns):
        return program
    eqns: list[Eqn] = []
    env: dict[Var, Atom] = {}

    def atom(a: Atom) -> Atom:
        return env.get(a, a) if isinstance(a, Var) else a

    def run(body: Program, arguments: Sequence[Atom]) -> list[Atom]:
        env.update(zip(body.inputs, arguments, strict=True))
        for eqn in body.eqns:
            inputs = tuple(atom(a) for a in eqn.inputs)
            p = eqn.primitive
            if isinstance(p, Call):
                env.update(zip(eqn.outputs, run(p.program, inputs), strict=True))
                continue
            if isinstance(p, Scan):
                p = replace(p, body=inline_calls(p.body))
            outputs = tuple(Var(v.aval) for v in eqn.outputs)  # a body may be inlined twice
            env.update(zip(eqn.outputs, outputs, strict=True))
            eqns.append(Eqn(p, inputs, outputs, eqn.source))
        return [atom(a) for a in body.outputs]

    outputs = run(program, program.inputs)
    return Program(program.inputs, tuple(eqns), tuple(outputs), name=program.name)


def simplify(program: Program) -> Program:
    """One pass of laws and merging over the equations, then dead code; loops' bodies too."""
    rewriter = _Rewriter(program)
    for eqn in program.eqns:
        rewriter.add(eqn)
    outputs = [rewriter.atom(a) for a in program.outputs]
    return prune(map_eqns(program, rewriter.eqns, outputs))


def prune(program: Program) -> Program:
    """Without equations, and parts of loops, whose results nobody reads."""
    live = {a for a in program.outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(program.eqns):
        used = [v in live for v in eqn.outputs]
        if not any(used) and not eqn.effects:
            continue
        if isinstance(eqn.primitive, Scan) and not all(used) and not eqn.effects:
            scan, takes, gives = eqn.primitive.pruned(used)
            inputs, outputs = (
                tuple(compress(eqn.inputs, takes)),
                tuple(compress(eqn.outputs, gives)),
            )
            eqn = Eqn(scan, inputs, outputs, eqn.source)
        kept.append(eqn)
        live.update(a for a in eqn.inputs if isinstance(a, Var))
    return map_eqns(program, kept[::-1])


class _Rewriter:
    """Rebuilds a Program equation by equation."""

    def __init__(self, program: Program):
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
        inputs = tuple(self.atom(a) for a in eqn.inputs)
        p = eqn.primitive
        if isinstance(p, Scan):
            p = replace(p, body=simplify(p.body))
        same = p is eqn.primitive and all(a is b for a, b in zip(inputs, eqn.inputs, strict=True))
        eqn = eqn if same else Eqn(p, inputs, eqn.outputs, eqn.source)
        for law in _laws_of(type(p)):
            found = law(eqn, self)
            if isinstance(found, Eqn):
                eqn = found
            elif found is not None:
                self.env[eqn.outputs[0]] = found
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


def _key(eqn: Eqn) -> Any:
    """What equal equations have in common; None if they must not be merged."""
    if eqn.effects or isinstance(eqn.primitive, (Scan, Call)):
        return None
    atoms = tuple(
        a if isinstance(a, Var) else (a.aval.dtype, a.value.tobytes(), a.aval.weak_type)
        for a in eqn.inputs
    )
    p = eqn.primitive
    return p, atoms


def _is_literal(a: Atom, value: float) -> bool:
    return isinstance(a, Literal) and bool(a.value == value)


Law = Callable[[Eqn, _Rewriter], Atom | Eqn | None]


def _same_value(eqn: Eqn, _: _Rewriter) -> Atom | None:
    """Operations that change nothing, or only the weakness of the type."""
    p, out = eqn.primitive, eqn.outputs[0].aval
    x = eqn.inputs[0]
    same_shape = out.shape == x.aval.shape
    match p:
        case prims.Convert() if x.aval.dtype == p.dtype and same_shape:
            return x
        case prims.Reshape() | prims.Broadcast() | prims.Slice() if same_shape:
            return x
        case prims.Pad() if (
            same_shape and not any(p.low) and not any(p.high) and not any(p.interior)
        ):
            return x
        case prims.Transpose() if p.permutation == tuple(range(len(p.permutation))):
            return x
        case prims.Sum() | prims.Prod() | prims.Max() | prims.Min() if not p.axes:
            return x
        case prims.Concatenate() if len(eqn.inputs) == 1:
            return x
        case _:
            return None


def _arithmetic(eqn: Eqn, rewriter: _Rewriter) -> Atom | None:
    """x * 1, x + (-0 or an integer 0), x / 1, -(-x)."""
    p = eqn.primitive
    if p is prims.stop_gradient:
        return eqn.inputs[0]
    if p not in (prims.add, prims.sub, prims.mul, prims.div, prims.neg):
        return None
    x, y = eqn.inputs[0], eqn.inputs[-1]
    shape = eqn.outputs[0].aval.shape
    if p is prims.neg:
        made = rewriter.made_by(x)
        return made.inputs[0] if made is not None and made.primitive is prims.neg else None
    if p in (prims.mul, prims.div) and _is_literal(y, 1) and x.aval.shape == shape:
        return x
    if p is prims.mul and _is_literal(x, 1) and y.aval.shape == shape:
        return y
    if (
        p in (prims.add, prims.sub)
        and x.aval.shape == shape
        and _is_literal(y, 0)
        and not _is_negative_zero_matter(eqn)
    ):
        return x
    if (
        p is prims.add
        and _is_literal(x, 0)
        and y.aval.shape == shape
        and not _is_negative_zero_matter(eqn)
    ):
        return y
    return None


def _reciprocal(eqn: Eqn, _: _Rewriter) -> Eqn | None:
    """x / c is x * (1 / c) where 1 / c is exact: c is a power of two."""
    if eqn.primitive is not prims.div or not isinstance(y := eqn.inputs[1], Literal):
        return None
    dtype, c = y.aval.dtype, y.value
    if dtypes.kind(dtype) != "f" or not np.isfinite(c) or abs(np.frexp(float(c))[0]) != 0.5:
        return None
    limits, inverse = dtypes.finfo(dtype), 1 / float(c)
    if not float(limits.tiny) <= abs(inverse) <= float(limits.max):
        return None
    inputs = (eqn.inputs[0], Literal(dtype.type(inverse), y.aval))
    return Eqn(prims.mul, inputs, eqn.outputs, eqn.source)


def _is_negative_zero_matter(eqn: Eqn) -> bool:
    """Whether adding zero could change a -0 to 0: for floats it does, unless the literal is itself -0."""
    dtype = eqn.outputs[0].aval.dtype
    if not dtypes.is_inexact(dtype):
        return False
    value = next(a.value for a in eqn.inputs if isinstance(a, Literal))
    parts = (value.real, value.imag) if dtypes.is_complex(dtype) else (value,)
    return any(bool(np.signbit(part)) != (eqn.primitive is prims.add) for part in parts)


def _power(eqn: Eqn, _: _Rewriter) -> Eqn | None:
    """x ** 2 is a square."""
    if eqn.primitive.n == 2:
        return Eqn(prims.square, eqn.inputs, eqn.outputs, eqn.source)
    return None


def _compose(eqn: Eqn, rewriter: _Rewriter) -> Eqn | None:
    """Movements of movements: one movement."""
    made = rewriter.made_by(eqn.inputs[0])
    if made is None or len(made.inputs) != 1:
        return None
    match eqn.primitive, made.primitive:
        case prims.Transpose(), prims.Transpose():
            outer, inner = eqn.primitive.permutation, made.primitive.permutation
            p: Any = prims.Transpose(tuple(inner[a] for a in outer))
        case prims.Reshape(), prims.Reshape():
            p = eqn.primitive
        case prims.Broadcast(), prims.Broadcast():
            shape, axes = eqn.primitive.shape, eqn.primitive.axes
            kept = [a for a in range(len(shape)) if a not in axes]
            p = prims.Broadcast(
                shape, tuple(sorted((*axes, *[kept[a] for a in made.primitive.axes])))
            )
        case _:
            return None
    return Eqn(p, made.inputs, eqn.outputs, eqn.source)


def _absorb_permutation(eqn: Eqn, rewriter: _Rewriter) -> Eqn | None:
    """A product of a permuted operand is one of the operand over other axes, if its free axes keep their order."""
    p = eqn.primitive
    inputs = list(eqn.inputs)
    for side in (0, 1):
        made = rewriter.made_by(inputs[side])
        if made is None or not isinstance(made.primitive, prims.Transpose):
            continue
        permutation = made.primitive.permutation
        ndim = len(permutation)
        free = [permutation[a] for a in (p.lhs_free(ndim) if side == 0 else p.rhs_free(ndim))]
        if free != sorted(free):
            continue
        if side == 0:
            contract, batch = (
                tuple(permutation[a] for a in axes) for axes in (p.lhs_contract, p.lhs_batch)
            )
            p = replace(p, lhs_contract=contract, lhs_batch=batch)
        else:
            contract, batch = (
                tuple(permutation[a] for a in axes) for axes in (p.rhs_contract, p.rhs_batch)
            )
            p = replace(p, rhs_contract=contract, rhs_batch=batch)
        inputs[side] = made.inputs[0]
    return None if p is eqn.primitive else Eqn(p, tuple(inputs), eqn.outputs, eqn.source)


# Which primitives a law is about, and the law; in the order in which they are tried.
LAWS: tuple[tuple[tuple[type, ...], Law], ...] = (
    ((prims.Transpose, prims.Reshape, prims.Broadcast), _compose),
    (
        (prims.Convert, prims.Reshape, prims.Broadcast, prims.Slice, prims.Pad, prims.Transpose, prims.Concatenate,
         prims.Sum, prims.Prod, prims.Max, prims.Min),
        _same_value,
    ),
    ((prims.Elementwise,), _arithmetic),
    ((prims.Elementwise,), _reciprocal),
    ((prims.IntegerPow,), _power),
    ((prims.DotGeneral,), _absorb_permutation),
)  # fmt: skip


@functools.cache
def _laws_of(kind: type) -> tuple[Law, ...]:
    """The laws for a class of primitives: most have none."""
    return tuple(law for kinds, law in LAWS if issubclass(kind, kinds))


def layouts(program: Program) -> Program:
    """Permute the operands of large products to where gemm takes them, if they are not there."""
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        p = eqn.primitive
        if isinstance(p, Scan):
            eqns.append(Eqn(replace(p, body=layouts(p.body)), eqn.inputs, eqn.outputs, eqn.source))
            continue
        if not isinstance(p, prims.DotGeneral) or small_product(eqn):
            eqns.append(eqn)
            continue
        permutations = wanted_permutations(p, *[a.aval.shape for a in eqn.inputs])
        inputs: list[Atom] = []
        for a, permutation in zip(eqn.inputs, permutations, strict=True):
            if permutation != tuple(range(len(permutation))):
                primitive = prims.Transpose(permutation)
                moved = Var(primitive.type(a.aval))
                eqns.append(Eqn(primitive, (a,), (moved,), eqn.source))
                a = moved
            inputs.append(a)
        eqns.append(Eqn(permuted(p, *permutations), tuple(inputs), eqn.outputs, eqn.source))
    return map_eqns(program, eqns)
