"""Which values a loop keeps for its gradient: its body taken apart in what is known and what is linear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from covector._engine import primitives as prims
from covector._engine.base.record import record
from covector._engine.control.derived import Layout, Results, either
from covector._engine.core.families import Mapped
from covector._engine.core.symbolic import Linear
from covector._engine.ir import scalar
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Program,
    Var,
    without_dead_code,
)
from covector._engine.transforms.programs import (
    Mask,
    SplitProgram,
    derived,
    linearize_program,
    part_of,
    split_program,
)
from covector._engine.transforms.widen import asks_for_bits
from covector._engine.types import dtypes


@record
class Origin:
    """Where a residual comes from: a position among the `Known` values of a kind."""

    kind: Literal["consts", "hoisted", "xs", "ys"]
    position: int


@record
class Known:
    """The values that residuals are among, once the known loop has run."""

    consts: Sequence[Any]  # the known consts, and `constants`
    hoisted: Sequence[Any]
    xs: Sequence[Any]  # the known ones
    ys: Sequence[Any]  # all stacked results of `SplitBody.known`

    def chosen(self, sources: Sequence[Origin]) -> list[Any]:
        """The values from these sources."""
        return [getattr(self, s.kind)[s.position] for s in sources]


@record(eq=False)
class SplitBody:
    """A body in two: what is known, which also gives residuals, and what is linear.

    `hoisted` computes, from the known consts and `constants`, residuals that are the same in every step; they are
    consts of both.  Consts of `known`: the known consts, `constants`, hoisted ones.  Consts of `linear`: those in
    `const_sources`, linear consts; its xs: those in `xs_sources`, linear xs.
    """

    known: Program
    constants: tuple[Any, ...]
    hoisted: Program
    linear: Program
    const_sources: tuple[Origin, ...]
    xs_sources: tuple[Origin, ...]
    live: Results[bool]  # which carried values `linear` carries, and which stacked results it gives


@derived
def linearize_body(body: Program, layout: Layout, nonzero: Mask) -> SplitBody:
    """The body, and the linear one that pushes tangents of the values in `nonzero`."""
    given, (found, live) = layout.operands(nonzero), _linearized(body, layout, nonzero)
    linear = Layout(sum(given.consts), sum(live.carry))
    return _Splitter(found, layout, len(given.xs), len(live.ys)).result(linear, live)


@derived
def known_steps(body: Program, layout: Layout, nonzero: Mask) -> tuple[Program, tuple[Any, ...]]:
    """What the body gives where it is linearized, from what it takes and constants."""
    known = _linearized(body, layout, nonzero)[0]
    mine, rest = len(body.outputs), len(known.known.outputs) - len(body.outputs)
    every = (True,) * len(known.known.inputs)
    return part_of(known.known, (True,) * mine + (False,) * rest, every), known.constants


def _linearized(body: Program, layout: Layout, nonzero: Mask) -> tuple[SplitProgram, Results[Any]]:
    """The body split, and which of its results have tangents if those of the carry have them from step to step."""
    given = layout.operands(nonzero)
    carry, ys = given.carry, (False,) * (len(body.outputs) - layout.carry)
    while True:
        found = linearize_program(body, (*given.consts, *carry, *given.xs), (*carry, *ys))
        live = layout.results(found.nonzero)
        if live.carry == carry:
            return found, live
        carry = either(carry, live.carry)


@derived
def split_body(body: Program, layout: Layout, linear: Mask) -> SplitBody:
    """A body that is linear in some values, split into what does not depend on these, and the rest."""
    given = layout.operands(linear)
    carry, ys = given.carry, (False,) * (len(body.outputs) - layout.carry)
    while True:
        found = split_program(body, (*given.consts, *carry, *given.xs), (*carry, *ys))
        live = layout.results(found.nonzero)
        if live.carry == carry:
            break
        carry = either(carry, live.carry)
    known = Layout(_count_false(given.consts), _count_false(carry))
    splitter = _Splitter(found, known, _count_false(given.xs), _count_false(live.ys))
    return splitter.result(Layout(sum(given.consts), sum(carry)), live)


def _count_false(mask: Mask) -> int:
    return len(mask) - sum(mask)


class _Splitter:
    """Decides for each residual of a body where it comes from: kept anyway, computed again, hoisted, or stacked."""

    def __init__(self, split: SplitProgram, layout: Layout, num_xs: int, num_ys: int):
        self.split = split
        known = split.known
        inputs = layout.operands(known.inputs)
        self.carry = inputs.carry
        self.xs, extra = inputs.xs[:num_xs], inputs.xs[num_xs:]
        self.consts = inputs.consts + extra
        outputs = layout.results(known.outputs)
        self.carry_out = outputs.carry
        self.ys: list[Atom] = list(outputs.ys[:num_ys])
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

    def result(self, linear: Layout, live: Results[bool]) -> SplitBody:
        split = self.split
        values = [*split.known.inputs, *split.known.outputs]
        residuals = [values[i] for i in split.residuals]
        for r in sorted(
            residuals, key=self._is_cheap
        ):  # what must be stored first: others may follow from it
            self._place(r)
        const_vars: dict[Var, Origin] = {v: Origin("consts", i) for i, v in enumerate(self.consts)}
        const_vars |= {v: Origin("hoisted", i) for i, v in enumerate(self.hoisted)}
        xs_vars: dict[Atom, Origin] = {v: Origin("xs", i) for i, v in enumerate(self.xs)}
        for i, v in enumerate(self.ys):
            xs_vars.setdefault(v, Origin("ys", i))
        eqns = self._linear_eqns(residuals)
        read = {a for eqn in eqns for a in eqn.inputs} | set(split.linear.outputs)
        const_sources = {v: s for v, s in const_vars.items() if v in read}
        xs_sources = {v: s for v, s in xs_vars.items() if v in read and v not in const_sources}
        own = linear.operands(split.linear.inputs[len(residuals) :])
        program = Program(
            (*const_sources, *own.consts, *own.carry, *xs_sources, *own.xs),  # type: ignore[arg-type]
            tuple(eqns), split.linear.outputs, name=split.linear.name,
        )  # fmt: skip
        return SplitBody(
            self._known(), split.constants, self._hoisting(), program,
            tuple(const_sources.values()), tuple(xs_sources.values()), live,
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
        again = [eqn for eqn in self.split.known.eqns if not self.again.isdisjoint(eqn.outputs)]
        names: dict[Atom, Atom] = dict(zip(self.split.linear.inputs, residuals, strict=False))
        return again + [
            Eqn(e.primitive, tuple([names.get(a, a) for a in e.inputs]), e.outputs, e.source)
            for e in self.split.linear.eqns
        ]

    def _hoisting(self) -> Program:
        """What is computed once, before the loop."""
        return without_dead_code(
            Program(self.consts, self.split.known.eqns, tuple(self.hoisted), name="hoisted"),
            keep=lambda eqn: False,
        )

    def _known(self) -> Program:
        """The known body, which reads hoisted values instead of computing them, and gives what is stacked."""
        given = set(self.hoisted)
        eqns: list[Eqn] = []
        for eqn in self.split.known.eqns:
            # All of its results or, with new names, none are computed here; what has effects may have none.
            if not eqn.outputs or not given.issuperset(eqn.outputs):
                outputs = tuple([Var(v.aval) if v in given else v for v in eqn.outputs])
                eqns.append(Eqn(eqn.primitive, eqn.inputs, outputs, eqn.source))
        inputs = (*self.consts, *self.hoisted, *self.carry, *self.xs)
        return without_dead_code(
            Program(inputs, tuple(eqns), (*self.carry_out, *self.ys), name=self.split.known.name)
        )


def _is_cheap(eqn: Eqn) -> bool:
    """Whether an equation costs less than storing its result and reading it again.

    Not what takes numbers with all bits: those that are stored are rounded.
    """
    p = eqn.primitive
    if not isinstance(p, Mapped) or asks_for_bits(eqn):
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


def is_linear(values: Sequence[Any]) -> tuple[bool, ...]:
    """Which of these are linear."""
    return tuple([isinstance(v, Linear) for v in values])


def linear_values(values: Sequence[Any]) -> list[Any]:
    """Those that are linear."""
    return [v for v in values if isinstance(v, Linear)]


def known_values(values: Sequence[Any]) -> list[Any]:
    """Those that are not linear."""
    return [v for v in values if not isinstance(v, Linear)]
