"""The bodies of differentiated, transposed and batched loops, and which values a loop keeps for its gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Literal

from covector._engine import primitives as prims
from covector._engine.core.primitive import Mapped
from covector._engine.ir import scalar
from covector._engine.ir.program import Atom, Eqn, Program, Var, without_dead_code
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    batch_program,
    derived,
    jvp_program,
    linearize_program,
    split_program,
    transpose_program,
)
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A body made from another one.  Its consts are the other's (or those named beside), then `constants`."""

    program: Program
    num_consts: int
    num_carry: int
    constants: tuple[Any, ...]
    carry: Mask  # which carried values of the other one have a tangent, cotangent or batch axis
    ys: tuple[Any, ...]  # the same of its stacked results; batch axes for a batched body


def parts(
    values: Sequence[Any], num_consts: int, num_carry: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Operands (or their types, or masks) as consts, carry, xs."""
    stop = num_consts + num_carry
    return list(values[:num_consts]), list(values[num_consts:stop]), list(values[stop:])


def _either(a: Sequence[bool], b: Sequence[bool]) -> list[bool]:
    return [x or y for x, y in zip(a, b, strict=True)]


@derived
def jvp_body(body: Program, num_consts: int, num_carry: int, nonzero: Mask) -> Body:
    """The body that also pushes tangents.

    Consts: those of the body, their tangents; carry and xs, and the results, likewise.
    """
    consts, carry, xs = parts(nonzero, num_consts, num_carry)
    ys = [False] * (len(body.outputs) - num_carry)
    while True:
        found = jvp_program(body, (*consts, *carry, *xs), (*carry, *ys))
        if list(found.nonzero[:num_carry]) == carry:
            break
        carry = _either(carry, found.nonzero[:num_carry])
    inputs = found.program.inputs
    n = len(body.inputs)
    c, s, x = parts(inputs[:n], num_consts, num_carry)
    ct, st, rest = parts(inputs[n:], sum(consts), sum(carry))
    xt, extra = rest[: sum(xs)], rest[sum(xs) :]
    outs, m = found.program.outputs, len(body.outputs)
    tangents = outs[m:]
    results = (
        *outs[:num_carry],
        *tangents[: sum(carry)],
        *outs[num_carry:m],
        *tangents[sum(carry) :],
    )
    program = Program(
        (*c, *ct, *extra, *s, *st, *x, *xt), found.program.eqns, results, name=found.program.name
    )
    return Body(
        program, num_consts + len(ct) + len(extra), num_carry + len(st), found.constants,
        tuple(carry), found.nonzero[num_carry:],
    )  # fmt: skip


@derived
def batch_body(
    body: Program,
    num_consts: int,
    num_carry: int,
    dims: tuple[int | None, ...],
    size: Dim,
    axis_name: Any = None,
) -> Body:
    """The body on values with batch axes: those of consts and slices as given, of carried values 0."""
    consts, carry, xs = parts(dims, num_consts, num_carry)
    mapped = [d is not None for d in carry]
    ys = [False] * (len(body.outputs) - num_carry)
    while True:
        axes = (*consts, *[0 if m else None for m in mapped], *xs)
        found = batch_program(body, axes, size, axis_name, (*mapped, *ys))
        carried = [d is not None for d in found.dims[:num_carry]]
        if carried == mapped:
            break
        mapped = _either(mapped, carried)
    n = len(body.inputs)
    inputs = found.program.inputs
    c, s, x = parts(inputs[:n], num_consts, num_carry)
    program = Program(
        (*c, *inputs[n:], *s, *x),
        found.program.eqns,
        found.program.outputs,
        name=found.program.name,
    )
    return Body(
        program,
        num_consts + len(found.constants),
        num_carry,
        found.constants,
        tuple(mapped),
        found.dims[num_carry:],
    )


@dataclass(frozen=True, slots=True, eq=False)
class TransposedBody:
    """The body of the backward loop.

    Consts: the known ones, `constants`.  Carry: sums of the cotangents of linear consts (those in `consts`), cotangents
    of carried values (those in `carry`).  Xs: the known ones, cotangents of stacked results.  Stacked results:
    cotangents of linear xs (those in `xs`).
    """

    program: Program
    num_consts: int
    constants: tuple[Any, ...]
    consts: Mask
    carry: Mask
    xs: Mask


@derived
def transpose_body(
    body: Program, num_consts: int, num_carry: int, linear: Mask, given: Mask
) -> TransposedBody:
    """The transpose of a body whose carried values are all linear; `given` says which cotangents there are."""
    consts, carry, xs = parts(linear, num_consts, num_carry)
    assert all(carry)
    live, ys = list(given[:num_carry]), given[num_carry:]
    k, c = sum(consts), num_carry
    while True:
        wanted = (*[False] * k, *live, *[False] * sum(xs))
        found = transpose_program(body, linear, (*live, *ys), wanted)
        if list(found.nonzero[k : k + c]) == live:
            break
        live = _either(live, found.nonzero[k : k + c])
    known = found.program.inputs
    known_consts, rest = known[: num_consts - k], known[num_consts - k :]
    n = len(xs) - sum(xs)
    known_xs, cts, extra = (
        rest[:n],
        rest[n : n + sum(live) + sum(ys)],
        rest[n + sum(live) + sum(ys) :],
    )
    carry_cts, ys_cts = cts[: sum(live)], cts[sum(live) :]
    in_sums = list(found.nonzero[:k])
    outs = found.program.outputs
    new, rest_outs = outs[: sum(in_sums)], outs[sum(in_sums) :]
    sums = [Var(a.aval) for a in new]
    totals = [Var(a.aval) for a in new]
    adds = [Eqn(prims.add, (s, a), (t,), None) for s, a, t in zip(sums, new, totals, strict=True)]
    program = Program(
        (*known_consts, *extra, *sums, *carry_cts, *known_xs, *ys_cts),
        (*found.program.eqns, *adds), (*totals, *rest_outs), name=found.program.name,
    )  # fmt: skip
    return TransposedBody(
        program,
        len(known_consts) + len(extra),
        found.constants,
        tuple(in_sums),
        tuple(live),
        found.nonzero[k + c :],
    )


def live_parts(
    body: Program, num_consts: int, num_carry: int, used: Sequence[bool]
) -> tuple[list[bool], list[bool]]:
    """Which inputs and outputs of a body matter, if these results of the loop are used."""
    outputs = list(used)
    while True:
        live = {a for a in compress(body.outputs, outputs) if isinstance(a, Var)}
        for eqn in reversed(body.eqns):
            if eqn.effects or any(v in live for v in eqn.outputs):
                live.update(a for a in eqn.inputs if isinstance(a, Var))
        inputs = [v in live for v in body.inputs]
        carried = _either(outputs[:num_carry], inputs[num_consts : num_consts + num_carry])
        if carried == outputs[:num_carry]:
            inputs[num_consts : num_consts + num_carry] = carried
            return inputs, outputs
        outputs[:num_carry] = carried


# --------------------------------------------------------------------------------------- splitting, and residuals

Source = tuple[Literal["const", "hoisted", "xs", "ys"], int]


@dataclass(frozen=True, slots=True, eq=False)
class SplitBody:
    """A body in two: what is known, which also gives residuals, and what is linear.

    `hoisted` computes, from the known consts and `constants`, residuals that are the same in every step; they are
    consts of both.  Consts of `known`: the known consts, `constants`, hoisted ones.  Consts of `linear`: those in
    `const_sources`, linear consts; its xs: those in `xs_sources`, linear xs.  A source is a kind and a position:
    "const" among the known consts and `constants`, "hoisted", "xs" among the known ones, "ys" among the stacked
    results of `known`.
    """

    known: Program
    constants: tuple[Any, ...]
    hoisted: Program
    linear: Program
    const_sources: tuple[Source, ...]
    xs_sources: tuple[Source, ...]
    carry: Mask  # which carried values `linear` carries
    ys: Mask  # which stacked results `linear` gives


@derived
def linearize_body(body: Program, num_consts: int, num_carry: int, nonzero: Mask) -> SplitBody:
    """The body, and the linear one that pushes tangents of the values in `nonzero`."""
    consts, carry, xs = parts(nonzero, num_consts, num_carry)
    ys = [False] * (len(body.outputs) - num_carry)
    while True:
        found = linearize_program(body, (*consts, *carry, *xs), (*carry, *ys))
        if list(found.nonzero[:num_carry]) == carry:
            break
        carry = _either(carry, found.nonzero[:num_carry])
    known = num_consts, num_carry, len(xs), len(ys)
    return _Splitter(found, *known).result(
        (sum(consts), sum(carry)), tuple(carry), found.nonzero[num_carry:]
    )


@derived
def split_body(body: Program, num_consts: int, num_carry: int, linear: Mask) -> SplitBody:
    """A body that is linear in some values, split into what does not depend on these, and the rest."""
    consts, carry, xs = parts(linear, num_consts, num_carry)
    ys = [False] * (len(body.outputs) - num_carry)
    while True:
        found = split_program(body, (*consts, *carry, *xs), (*carry, *ys))
        if list(found.nonzero[:num_carry]) == carry:
            break
        carry = _either(carry, found.nonzero[:num_carry])
    linear_ys = found.nonzero[num_carry:]
    known = [len(m) - sum(m) for m in (consts, carry, xs, linear_ys)]
    return _Splitter(found, *known).result((sum(consts), sum(carry)), tuple(carry), linear_ys)


class _Splitter:
    """Decides for each residual of a body where it comes from: kept anyway, computed again, hoisted, or stacked."""

    def __init__(
        self, split: SplitProgram, num_consts: int, num_carry: int, num_xs: int, num_ys: int
    ):
        self.split = split
        known = split.known
        consts, self.carry, rest = parts(known.inputs, num_consts, num_carry)
        self.xs = rest[:num_xs]
        self.consts = consts + rest[num_xs:]
        self.carry_out = list(known.outputs[:num_carry])
        self.ys: list[Atom] = list(known.outputs[num_carry : num_carry + num_ys])
        self.producer = {v: eqn for eqn in known.eqns for v in eqn.outputs}
        self.hoisted: list[Var] = []
        self.again: set[Var] = set()  # what the linear body computes again
        self.invariant = self._invariant()

    def _invariant(self) -> set[Atom]:
        """The values that are the same in every step."""
        found: set[Atom] = set(self.consts)
        for eqn in self.split.known.eqns:
            if not eqn.effects and all(a in found or not isinstance(a, Var) for a in eqn.inputs):
                found.update(eqn.outputs)
        return found

    def result(self, linear: tuple[int, int], carry: Mask, ys: Mask) -> SplitBody:
        split = self.split
        values = [*split.known.inputs, *split.known.outputs]
        residuals = [values[i] for i in split.residuals]
        for r in sorted(
            residuals, key=self._is_cheap
        ):  # what must be stored first: others may follow from it
            self._place(r)
        const_vars: dict[Var, Source] = {v: ("const", i) for i, v in enumerate(self.consts)}
        const_vars |= {v: ("hoisted", i) for i, v in enumerate(self.hoisted)}
        xs_vars: dict[Atom, Source] = {v: ("xs", i) for i, v in enumerate(self.xs)}
        for i, v in enumerate(self.ys):
            xs_vars.setdefault(v, ("ys", i))
        eqns = self._linear_eqns(residuals)
        read = {a for eqn in eqns for a in eqn.inputs} | set(split.linear.outputs)
        const_sources = {v: s for v, s in const_vars.items() if v in read}
        xs_sources = {v: s for v, s in xs_vars.items() if v in read and v not in const_sources}
        consts, carried, xs = parts(split.linear.inputs[len(residuals) :], *linear)
        program = Program(
            (*const_sources, *consts, *carried, *xs_sources, *xs),  # type: ignore[arg-type]
            tuple(eqns), split.linear.outputs, name=split.linear.name,
        )  # fmt: skip
        return SplitBody(
            self._known(), split.constants, self._hoisting(), program,
            tuple(const_sources.values()), tuple(xs_sources.values()), carry, ys,
        )  # fmt: skip

    def _place(self, r: Atom) -> None:
        """See to it that the linear body can have this residual."""
        assert isinstance(r, Var)
        if self._is_kept(r) or self._compute_again(r):
            return
        if r in self.invariant:
            self.hoisted.append(r)
        else:
            self.ys.append(r)

    def _is_cheap(self, r: Atom) -> bool:
        eqn = self.producer.get(r)  # type: ignore[arg-type]
        return eqn is not None and _is_cheap(eqn)

    def _is_kept(self, v: Atom) -> bool:
        return (
            v in self.consts or v in self.xs or v in self.ys or v in self.hoisted or v in self.again
        )

    def _compute_again(self, r: Var, limit: int = 8) -> bool:
        """Whether the residual follows by a few cheap equations from values that are kept; if so note them."""
        found: set[Var] = set()
        pending: list[Atom] = [r]
        while pending:
            v = pending.pop()
            if not isinstance(v, Var) or v in found or self._is_kept(v):
                continue
            eqn = self.producer.get(v)
            if eqn is None or not _is_cheap(eqn) or len(found) == limit:
                return False
            found.add(v)
            pending.extend(eqn.inputs)
        self.again |= found
        return True

    def _linear_eqns(self, residuals: Sequence[Atom]) -> list[Eqn]:
        """What is computed again, then the linear equations, on the known body's variables."""
        again = [eqn for eqn in self.split.known.eqns if eqn.outputs[0] in self.again]
        names: dict[Atom, Atom] = dict(zip(self.split.linear.inputs, residuals, strict=False))
        return again + [
            Eqn(e.primitive, tuple([names.get(a, a) for a in e.inputs]), e.outputs, e.source)
            for e in self.split.linear.eqns
        ]

    def _hoisting(self) -> Program:
        """What is computed once, before the loop."""
        return without_dead_code(
            Program(tuple(self.consts), self.split.known.eqns, tuple(self.hoisted), name="hoisted"),
            keep=lambda eqn: False,
        )

    def _known(self) -> Program:
        """The known body, which reads hoisted values instead of computing them, and gives what is stacked."""
        given = set(self.hoisted)
        eqns: list[Eqn] = []
        for eqn in self.split.known.eqns:
            if not given.issuperset(
                eqn.outputs
            ):  # all of its results or, with new names, none are computed here
                outputs = tuple([Var(v.aval) if v in given else v for v in eqn.outputs])
                eqns.append(Eqn(eqn.primitive, eqn.inputs, outputs, eqn.source))
        inputs = (*self.consts, *self.hoisted, *self.carry, *self.xs)
        return without_dead_code(
            Program(inputs, tuple(eqns), (*self.carry_out, *self.ys), name=self.split.known.name)
        )


def _is_cheap(eqn: Eqn) -> bool:
    """Whether an equation costs less than storing its result and reading it again."""
    p = eqn.primitive
    if not isinstance(p, Mapped):
        return False
    if not isinstance(p, prims.ElementwiseBase):
        return True
    if any(dtypes.is_complex(a.aval.dtype) for a in (*eqn.inputs, *eqn.outputs)):
        return False
    operands = [scalar.Expr("local", (), a.aval.dtype, str(i)) for i, a in enumerate(eqn.inputs)]
    result = p.on_elements([a.aval for a in eqn.inputs], *operands)
    return isinstance(result, scalar.Expr) and not any(e.op in _DEAR for e in _nodes(result))


_DEAR = {"call", "iterate", "div", "rem", "sqrt"}


def _nodes(e: scalar.Expr) -> Iterable[scalar.Expr]:
    yield e
    for arg in e.args:
        yield from _nodes(arg)
