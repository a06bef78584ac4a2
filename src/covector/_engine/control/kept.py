"""What a derivative keeps of a Program, and what it computes again: also in loops and branches inside, by a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from covector._engine import primitives as prims
from covector._engine.base.depth import deep
from covector._engine.base.record import record
from covector._engine.ir.program import (
    Eqn,
    Program,
    Rewriting,
    Var,
    atoms_read,
    inline_transparent,
    map_eqns,
    without_dead_code,
)


@record(eq=False)
class Parts:
    """The equations of a Program as they run forwards, and as they compute again what was not kept."""

    forward: tuple[Eqn, ...]
    again: tuple[Eqn, ...]
    kept: tuple[Var, ...]


def parts_of(eqns: Sequence[Eqn], keep: Callable[[Eqn], bool]) -> Parts:
    """The equations in two.  What is kept of a loop, or of branches, is a result of it, and another one takes that."""
    forward, again = list[Eqn](), list[Eqn]()
    kept: list[Var] = []
    for eqn in eqns:
        p = eqn.primitive
        found = p.parted(keep) if p.has_programs and not eqn.effects else None
        if found is not None:
            first, second, types = found
            more = tuple(map(Var, types))
            forward.append(Eqn(first, eqn.inputs, (*eqn.outputs, *more), eqn.source))
            again.append(Eqn(second, (*eqn.inputs, *more), eqn.outputs, eqn.source))
            kept += more
            continue
        forward.append(eqn)
        if keep(eqn):
            kept += eqn.outputs
        else:
            again.append(eqn)
    return Parts(tuple(forward), tuple(again), tuple(kept))


# The label of what a loop of unknown length leaves for its way back, where a policy asks it to.
TAPE = "states of a loop"


def is_of_a_tape(eqn: Eqn) -> bool:
    """Whether it names what a loop leaves for its way back: that is kept by every policy."""
    return isinstance(eqn.primitive, prims.Named) and eqn.primitive.label is TAPE


def has_effects(eqn: Eqn) -> bool:
    """What must be kept in any case: it is done once."""
    return bool(eqn.effects)


def silent(program: Program) -> Program:
    """What computes a Program's results again, without effects that these do not need."""

    def changed(program: Program, inside: Rewriting) -> Program:
        eqns = [
            Eqn(inside.inside(e.primitive), e.inputs, e.outputs, e.source) for e in program.eqns
        ]
        return without_dead_code(map_eqns(program, eqns), keep=lambda eqn: False)

    return Rewriting(changed)(program) if program.effects else program


@record(eq=False)
class PartedBody:
    """A body that also gives what is kept, and one that takes it, after its own inputs, instead of computing it."""

    first: Program
    second: Program
    kept: tuple[Var, ...]


@deep
def parted_body(body: Program, keep: Callable[[Eqn], bool]) -> PartedBody:
    """The body of a loop, or a branch, in two."""
    body = inline_transparent(body)
    parts = parts_of(body.eqns, keep)
    again = without_dead_code(map_eqns(body, parts.again))
    read = atoms_read(again)
    kept = tuple([v for v in parts.kept if v in read])
    first = Program(body.inputs, parts.forward, (*body.outputs, *kept), name=body.name)
    second = Program((*again.inputs, *kept), again.eqns, again.outputs, name=body.name)
    return PartedBody(first, second, kept)
