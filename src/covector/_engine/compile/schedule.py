"""How many lanes and copies of a body: loops that lowering wants lanes for get numbers from the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from covector._engine.backends.base import Explain, Job, Target
from covector._engine.ir import scalar
from covector._engine.ir.kernel import (
    If,
    Kernel,
    Loop,
    Schedule,
    Statement,
    While,
    expressions,
    nodes,
    roots,
    walk,
)
from covector._engine.ir.scalar import Expr
from covector._engine.types.dims import Dim


def schedule(kernel: Kernel, job: Job) -> Kernel:
    """The Kernel with its loops scheduled for the target."""
    explain, target = job.explain("schedule"), job.target

    def within(body: Sequence[Statement], in_lanes: bool) -> tuple[Statement, ...]:
        return tuple([_scheduled(s, in_lanes, target, explain, within) for s in body])

    return kernel.with_body(within(kernel.body, False))


def _scheduled(
    s: Statement,
    in_lanes: bool,
    target: Target,
    explain: Explain,
    within: Callable[[Sequence[Statement], bool], tuple[Statement, ...]],
) -> Statement:
    """A statement, and those inside, with lanes in numbers."""
    match s:
        case Loop():
            made = s.schedule
            if made.vector and in_lanes:
                made = replace(made, vector=0, unroll=1)
                explain(f"{s.name}: no lanes, a loop around it has them")
            elif made.vector:
                made = lanes(s, target)
                explain(f"{s.name} < {s.extent}:{made}, {text_size(s.body)} operations in the body")
            inside = within(s.body, in_lanes or made.vector > 1)
            return replace(s, body=inside, schedule=made)
        case If():
            return replace(s, body=within(s.body, in_lanes), orelse=within(s.orelse, in_lanes))
        case While():
            return replace(s, test=within(s.test, in_lanes), body=within(s.body, in_lanes))
        case _:
            return s


def lanes(loop: Loop, target: Target) -> Schedule:
    """A loop with as many lanes as the widest dtype of its body fits, no more than there are elements."""
    made, extent = loop.schedule, loop.extent
    count = max(min(_fitting(loop.body, target), _covering(extent)), 2)
    copies = made.unroll if text_size(loop.body) <= target.limits.body else 1
    while copies > 1 and isinstance(extent, int) and extent < count * copies:
        copies //= 2
    return replace(made, vector=count, unroll=copies)


def _covering(extent: Dim) -> int:
    """The power of two that is not below an extent; of one that is not known, more than any vector has."""
    return 1 << max(extent - 1, 1).bit_length() if isinstance(extent, int) else 1 << 30


def _fitting(body: Sequence[Statement], target: Target) -> int:
    """How many elements of the widest dtype in a body one vector has."""
    seen: set[Expr] = set()
    least = target.most_lanes
    for s in walk(body):
        stack = list(expressions(s))
        while stack:
            e = stack.pop()
            if e not in seen:
                seen.add(e)
                if e.dtype != scalar.BOOL and e.op != "const":
                    least = min(least, target.lanes(e.dtype))
                stack.extend(e.args)
    return least


def text_size(body: Sequence[Statement]) -> int:
    """How much text a body is, in operations; a call is several."""
    seen: set[Expr] = set()
    found = (e for s in walk(body) for e in nodes(roots(s), seen))
    return sum(12 if e.op == "call" else 1 for e in found)
