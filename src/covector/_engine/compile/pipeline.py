"""The compiler on one page: lists of named passes, from which backends choose.

Each pass can be printed (COVECTOR_DUMP=<name>), left out if it is optional (COVECTOR_SKIP=<name>), and is
verified after (COVECTOR_VERIFY=1, always in tests).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from covector._engine.backends.base import IR, Job, Pass
from covector._engine.base.config import config
from covector._engine.compile import memory
from covector._engine.compile.invariants import hoist_invariants
from covector._engine.compile.lower import lower
from covector._engine.compile.schedule import schedule
from covector._engine.compile.simplify import layouts, simplify
from covector._engine.compile.turned import turn
from covector._engine.ir import check
from covector._engine.ir.program import Program, inline_calls


def _simplify(program: Program, _: Job) -> Program:
    """Laws and merging until nothing changes (most Programs: two rounds)."""
    for _round in range(4):
        before = len(program.eqns)
        program = simplify(program)
        if len(program.eqns) == before:
            break
    return program


AS_TRACED: tuple[Pass, ...] = (Pass("trace", lambda program, job: program),)  # as it was recorded

TO_KERNEL: tuple[Pass, ...] = (
    *AS_TRACED,
    # From here: no Call, also in loops.
    Pass("inline", lambda program, job: inline_calls(program)),
    Pass("simplify", _simplify, optional=True),
    # From here: large products lie as gemm takes them.
    Pass("layouts", layouts),
    Pass("invariants", hoist_invariants, optional=True),
    # Fusion, then plain loops: a Kernel.
    Pass("lower", lower),
    # From here: small arrays of loops lie as lanes go through them.
    Pass("turned", turn, optional=True),
    # From here: loops have lanes and threads, and every schedule is legal.
    Pass("schedule", schedule, optional=True),
    # From here: every buffer has a place.
    Pass("memory", memory.plan),
)


def run_passes(program: Program, passes: Sequence[Pass], job: Job) -> dict[str, IR]:
    """What each pass gave, by name; the last is what the backend loads."""
    skipped = config.skip.split(",")
    dumped = config.dump.split(",")
    stages: dict[str, IR] = {}
    current: IR = program.close()
    for step in passes:
        before = current
        if not (step.optional and step.name in skipped):
            current = step.run(current, job)
        stages[step.name] = current
        if step.name in dumped or "all" in dumped:
            print(f"---- {program.name} after {step.name}\n{current}", file=sys.stderr)
        if config.verify:
            check.verify(current, step.name)
            check.verify_effects(before, current, step.name)
    return stages
