"""Loops that ask whether they have to stop: those that may go on for ever, and those that take long.

A loop counts down what it does, and asks the runtime (`cv_poll`) each few microseconds; so it hears that Ctrl-C ended
the wait for its result.
"""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.backends.base import Target
from covector._engine.backends.cpu import routines
from covector._engine.backends.cpu.contents import at_least
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.backends.cpu.module import ModuleText
from covector._engine.compile.survey import text_size
from covector._engine.ir.kernel import Callback, If, Loop, Routine, Statement, While, walk

_ATTRIBUTES = "cold nounwind memory(inaccessiblemem: readwrite)"
_COUNT_DOWN = "@llvm.usub.with.overflow.i64"


def asks(s: Statement, module: ModuleText) -> bool:
    """Whether a statement is a loop that asks."""
    return isinstance(s, While) or (isinstance(s, Loop) and id(s.body) in module.long)


def can_end(statements: Sequence[Statement], module: ModuleText) -> bool:
    """Whether something in the statements may end the Program."""
    return any(routines.can_fail(s) or asks(s, module) for s in walk(statements))


def where_to_fail(emitter: LoopEmitter, statements: Sequence[Statement]) -> str | None:
    """Where a function of its own for the statements leaves the status of what fails in it; None if nothing can."""
    if not can_end(statements, emitter.module):
        return None
    place = emitter.frame.alloca("i32", 4)
    emitter.lines.append(f"  store i32 0, ptr {place}")
    return place


def end_if_failed_there(emitter: LoopEmitter, place: str | None) -> None:
    """Leave this function, too, if that one has left a status."""
    if place is not None:
        routines.end_if_failed(emitter.one, emitter.one.line(f"load i32, ptr {place}"))


def turn(statements: Sequence[Statement], target: Target) -> int:
    """The operations of one run of statements, roughly: no more than those after which a loop asks."""
    most, found = target.limits.asked, 0
    for s in statements:
        match s:
            case Loop():
                found += at_least(s.extent) * turn(s.body, target)
            case While():  # which counts its own turns
                found += 1
            case If(_, body, orelse):
                found += max(turn(body, target), turn(orelse, target))
            case Routine():
                known = s.name in routines.ROUTINES
                cost = routines.cost(s, target.costs) if known else target.costs.unknown_step
                found += int(cost / target.costs.operation)
            case Callback():
                return most
            case _:
                found += text_size((s,), target.limits.call)
        if found >= most:
            return most
    return found


def turns(statements: Sequence[Statement], target: Target) -> int:
    """How often a loop had better be written before it goes on from the top, where it asks."""
    if any(isinstance(s, Loop | While | Routine | Callback) for s in walk(statements)):
        return 1
    return max(
        1, min(target.limits.unasked // max(turn(statements, target), 1), target.loops.turns)
    )


def ask(emitter: LoopEmitter, operations: int) -> None:
    """Count the operations of a turn that begins; ask if there were many."""
    frame, one, most = emitter.frame, emitter.one, emitter.frame.target.limits.asked
    if frame.asked is None:
        frame.asked = frame.alloca("i64", 8)
        frame.entry.append(f"  store i64 {most}, ptr {frame.asked}")
    emitter.module.asks = True
    emitter.module.declare(_COUNT_DOWN, f"declare {{i64, i1}} {_COUNT_DOWN}(i64, i64)")
    emitter.module.declare("@cv_poll", f"declare i32 @cv_poll() {_ATTRIBUTES}")
    before = one.line(f"load i64, ptr {frame.asked}")
    # The form that becomes one instruction, with the branch.
    both = one.line(f"call {{i64, i1}} {_COUNT_DOWN}(i64 {before}, i64 {max(operations, 1)})")
    left, spent = (one.line(f"extractvalue {{i64, i1}} {both}, {n}") for n in range(2))
    stem = one.fresh()[1:]
    emitter.lines += [
        f"  store i64 {left}, ptr {frame.asked}",
        f"  br i1 {spent}, label %{stem}.ask, label %{stem}.go",
    ]
    emitter.label(f"{stem}.ask")
    routines.end_if_failed(emitter, one.line("call i32 @cv_poll()"))
    emitter.lines += [f"  store i64 {most}, ptr {frame.asked}", f"  br label %{stem}.go"]
    emitter.label(f"{stem}.go")
