"""Order: what changes a value in place comes after all others that read the value, where it may.

The cotangent of `x.at[i].set(y)` is read at i, then set to 0 there.  If that is done first, what was there must be
copied: in the gradient of a loop of 20,000 of them, 80 KB in each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from covector._engine.base.record import record, replace
from covector._engine.compile.fuse import Group, Plan, Single, stored_as
from covector._engine.core.families import Update
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import Eqn, Program, Var, map_eqns


@record
class Step:
    """Something that is done: what it reads, what it makes, and which of what it reads it may change in place."""

    reads: frozenset[Var]
    makes: frozenset[Var]
    changes: frozenset[Var]
    fixed: bool  # whether it has effects, whose order stays


def updates_last(plan: Plan) -> Plan:
    """The same plan with updates behind the readers of what they update, and what needs the updates behind these."""
    steps = [
        Step(_reads(plan, group), _makes(group), _starts(plan, group), any(map(_keeps, eqns)))
        for group in plan.groups
        if (eqns := eqns_of(group))
    ]
    ends = {stored_as(a, plan.inlined) for a in plan.program.outputs if isinstance(a, Var)}
    order = last_of(steps, ends)
    if order is None:
        return plan
    return replace(plan, groups=tuple([plan.groups[n] for n in order]))


def equations_last(program: Program) -> Program:
    """The same Program with updates behind the other equations that read what they update.

    Before fusion too: one loop nest would read what an update changes, and what it has made.
    """
    if not any(isinstance(eqn.primitive, Update) for eqn in program.eqns):
        return program
    steps = [
        Step(
            frozenset([a for a in eqn.inputs if isinstance(a, Var)]),
            frozenset(eqn.outputs),
            frozenset([a for a in eqn.inputs[:1] if isinstance(a, Var)])
            if isinstance(eqn.primitive, Update)
            else frozenset(),
            _keeps(eqn),
        )
        for eqn in program.eqns
    ]
    order = last_of(steps, {a for a in program.outputs if isinstance(a, Var)})
    return program if order is None else map_eqns(program, [program.eqns[n] for n in order])


def last_of(steps: Sequence[Step], ends: set[Var]) -> list[int] | None:
    """The order in which changes come last; None if that is the order that there is.

    What is in `ends` is read after all steps: it needs a copy anyway.  So do all but one of those that change the same
    value, and where these are many that one is not looked for: 1,000 that add to the same zeros are a million pairs.
    """
    order = list(range(len(steps)))
    at = dict(enumerate(order))
    readers, changes = _readers(steps), Counter([v for step in steps for v in step.changes])
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if step.fixed or any(v in ends or changes[v] > MANY for v in step.changes):
            continue
        others = {n for v in step.changes for n in readers[v] if n != number}
        here, last = at[number], max([at[n] for n in others], default=-1)
        if last < here:
            continue
        between = order[here : last + 1]
        behind = _dependents(between, steps, others)
        if behind is not None:
            moved = [n for n in between if n not in behind] + [n for n in between if n in behind]
            order[here : last + 1] = moved
            at.update({n: here + position for position, n in enumerate(moved)})
    return None if order == sorted(order) else order


MANY = 4  # changes of one value


def _readers(steps: Sequence[Step]) -> dict[Var, list[int]]:
    found: dict[Var, list[int]] = {}
    for n, step in enumerate(steps):
        for v in step.reads:
            found.setdefault(v, []).append(n)
    return found


def eqns_of(group: Group) -> list[Eqn]:
    """The equations whose results a group stores."""
    return [group.eqn] if isinstance(group, Single) else group.roots


def _makes(group: Group) -> frozenset[Var]:
    return frozenset([v for eqn in eqns_of(group) for v in eqn.outputs])


def _reads(plan: Plan, group: Group) -> frozenset[Var]:
    return frozenset([v for eqn in eqns_of(group) for v in plan.regions[eqn].reads])


def _starts(plan: Plan, group: Group) -> frozenset[Var]:
    """The variables that results of an update, or of a loop, begin as."""
    if not isinstance(group, Single):
        return frozenset()
    p = group.eqn.primitive
    found = [group.eqn.inputs[n] for n in (*p.begins_as, *p.carried) if n is not None]
    below = [stored_as(a, plan.inlined) for a in found if isinstance(a, Var)]
    return frozenset(below) & _reads(plan, group)


def _keeps(eqn: Eqn) -> bool:
    return is_kept(eqn.effects)


def _dependents(
    between: Sequence[int], steps: Sequence[Step], others: Collection[int]
) -> set[int] | None:
    """The first of these steps, and those that need what it makes, or what these make.

    None if one of the others is among them, or one whose place is fixed.
    """
    made = set(steps[between[0]].makes)
    if any(not made.isdisjoint(steps[n].reads) for n in others):
        return None
    found = {between[0]}
    for n in between[1:]:
        if not made.isdisjoint(steps[n].reads):
            if n in others or steps[n].fixed:
                return None
            found.add(n)
            made |= steps[n].makes
    return found
