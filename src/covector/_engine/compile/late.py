"""The order of groups: what changes a value in place runs after all others that read the value, where it may.

The cotangent of `x.at[i].set(y)` is read at i, then set to 0 there.  If that is done first, what was there must be
copied: in the gradient of a loop of 20,000 of them, 80 KB in each step.
"""

from __future__ import annotations

from dataclasses import replace

from covector._engine.compile.fuse import Group, Plan, Single, stored_as
from covector._engine.ir.effects import is_kept
from covector._engine.ir.program import Eqn, Var


def updates_last(plan: Plan) -> Plan:
    """The same plan with updates behind the readers of what they update, and what needs the updates behind these."""
    order = list(range(len(plan.groups)))
    reads = [_reads(plan, group) for group in plan.groups]
    makes = [{v for eqn in eqns_of(group) for v in eqn.outputs} for group in plan.groups]
    readers = plan.readers()
    at = {n: n for n in order}
    for number in range(len(plan.groups) - 1, -1, -1):
        group = plan.groups[number]
        if not isinstance(group, Single) or is_kept(group.eqn.effects):
            continue
        starts = _starts(plan, group.eqn)
        others = {n for v in starts for n in readers.get(v, ()) if n != number}
        if not others or len(plan.groups) in others:
            continue  # who reads it in the end needs a copy anyway
        here, last = at[number], max(at[n] for n in others)
        if last < here:
            continue
        between = order[here : last + 1]
        behind = _dependents(between, reads, makes)
        if behind.isdisjoint(others) and not any(_keeps(plan.groups[n]) for n in behind):
            first = [n for n in between if n not in behind]
            order[here : last + 1] = [*first, *[n for n in between if n in behind]]
            at.update({n: position for position, n in enumerate(order)})
    if order == sorted(order):
        return plan
    return replace(plan, groups=tuple([plan.groups[n] for n in order]))


def eqns_of(group: Group) -> list[Eqn]:
    """The equations whose results a group stores."""
    return [group.eqn] if isinstance(group, Single) else group.roots


def _starts(plan: Plan, eqn: Eqn) -> set[Var]:
    """The variables that results of an equation begin as."""
    found = [eqn.inputs[n] for n in eqn.primitive.begins_as if n is not None]
    return {stored_as(a, plan.inlined) for a in found if isinstance(a, Var)}


def _reads(plan: Plan, group: Group) -> set[Var]:
    return {v for eqn in eqns_of(group) for v in plan.regions[eqn].reads}


def _keeps(group: Group) -> bool:
    return any(is_kept(eqn.effects) for eqn in eqns_of(group))


def _dependents(order: list[int], reads: list[set[Var]], makes: list[set[Var]]) -> set[int]:
    """The first of these groups, and those that need what it makes, or what these make."""
    found, made = {order[0]}, set(makes[order[0]])
    for n in order[1:]:
        if not made.isdisjoint(reads[n]):
            found.add(n)
            made |= makes[n]
    return found
