"""Which equations with Programs inside become functions of their own, that compiled code calls.

What a loop does forwards is in its way back several times, and that again in the way back of the loop around it: so
the gradient of nested loops has few Programs, but written out they are quadratic in the depth, and LLVM takes more than
linear time for one long function.  Where a Program is much longer written out than its Programs are, what occurs in
several places, and what is deep, is lowered once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from covector._engine.backends.base import Limits
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.ir.program import Eqn, Program
from covector._engine.types import dims


@record(eq=False)
class Outline:
    """A Program without what is called: how many equations it has written out, and how deep it is."""

    size: int
    depth: int


def called(program: Program, limits: Limits) -> dict[Primitive, Eqn]:
    """The primitives that are called wherever they stand, with one of the places, those inside others first."""
    if not all(dims.is_constant(v.aval.shape) for v in program.inputs):
        return {}
    programs = _inner_first(program)
    if _written_out(programs)[program] <= limits.written_out:
        return {}
    places = Counter(e.primitive for p in programs for e in p.eqns if _is_cut(e.primitive))
    outermost = {e.primitive for e in program.eqns if places[e.primitive] == 1}
    found: dict[Primitive, Eqn] = {}
    outlines: dict[Program, Outline] = {}
    for p in programs:
        size, depth = 0, 0
        for eqn in p.eqns:
            size += 1
            if not _is_cut(eqn.primitive) or eqn.primitive in found:
                continue
            inside = [outlines[q] for q in eqn.primitive.programs()]
            own = sum(one.size for one in inside)
            below = 1 + max([one.depth for one in inside], default=0)
            often = places[eqn.primitive] > 1 and own >= limits.called
            deep = below >= limits.called_depth and own >= limits.called
            if (often or deep) and eqn.primitive not in outermost and not eqn.effects:
                found[eqn.primitive] = eqn
                continue
            size, depth = size + own, max(depth, below)
        outlines[p] = Outline(size, depth)
    return found


def _is_cut(primitive: Primitive) -> bool:
    """Whether what is inside may be called: it is no run for each of many elements.

    These are small and go side by side on lanes, which no call does: the gradient of an adaptive solver over 1,000
    starts took 0.55 ms, and 7 with calls.
    """
    return primitive.has_programs and not primitive.side_by_side


def _inside(program: Program) -> list[Program]:
    """The Programs of a Program's equations, as often as they stand there."""
    return [q for e in program.eqns if _is_cut(e.primitive) for q in e.primitive.programs()]


def _inner_first(program: Program) -> list[Program]:
    """A Program and all inside of it, each once, after those inside of it."""
    found: dict[Program, None] = {}
    pending = [program]
    while pending:
        last = pending[-1]
        missing = [] if last in found else [q for q in _inside(last) if q not in found]
        if missing:
            pending += missing
            continue
        found[pending.pop()] = None
    return list(found)


def _written_out(programs: list[Program]) -> Mapping[Program, int]:
    """How many equations each Program has, those inside counted wherever they stand."""
    found: dict[Program, int] = {}
    for p in programs:
        found[p] = len(p.eqns) + sum(found[q] for q in _inside(p))
    return found
