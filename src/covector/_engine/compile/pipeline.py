"""The compiler on one page: Program to Kernel by a list of named passes.

Each pass can be printed (COVECTOR_DUMP=<name>), left out if it is optional (COVECTOR_SKIP=<name>), and is
verified after (COVECTOR_VERIFY=1, always in tests).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from covector._engine.base.config import config
from covector._engine.compile import memory
from covector._engine.compile.invariants import hoist_invariants
from covector._engine.compile.lower import lower
from covector._engine.compile.simplify import inline_calls, layouts, simplify
from covector._engine.ir import check
from covector._engine.ir.kernel import Kernel
from covector._engine.ir.program import Program


@dataclass(frozen=True, slots=True)
class Pass:
    """A named step.  `optional`: results are the same without it."""

    name: str
    run: Callable[[Any, Job], Any]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What a compilation is asked for beside the Program."""

    donated: tuple[int, ...] = ()


def _simplify(program: Program, _: Job) -> Program:
    """Laws and merging until nothing changes (most Programs: two rounds)."""
    for _round in range(4):
        before = len(program.eqns)
        program = simplify(program)
        if len(program.eqns) == before:
            break
    return program


PASSES: tuple[Pass, ...] = (
    Pass("trace", lambda program, job: program),  # as it was recorded
    Pass("inline", lambda program, job: inline_calls(program)),  # from here: no Call, also in loops
    Pass("simplify", _simplify, optional=True),
    Pass(
        "layouts", lambda program, job: layouts(program)
    ),  # from here: large products lie as gemm takes them
    Pass(
        "invariants", lambda program, job: hoist_invariants(program, explain("loop")), optional=True
    ),
    Pass("lower", lambda program, job: lower(program, explain)),  # fusion, then loops: a Kernel
    Pass(
        "memory", lambda kernel, job: memory.plan(kernel, job.donated, explain("copy"))
    ),  # from here: every buffer has a place
)


def explain(topic: str) -> Callable[[str], None]:
    """What prints the reasons for decisions on a topic, if they were asked for."""
    if topic not in config.explain.split(","):
        return lambda text: None
    return lambda text: print(f"[{topic}] {text}", file=sys.stderr)


def run_passes(program: Program, donated: Sequence[int] = ()) -> dict[str, Program | Kernel]:
    """What each pass gave, by name; the last is the Kernel to emit."""
    job = Job(tuple(donated))
    skipped = config.skip.split(",")
    dumped = config.dump.split(",")
    stages: dict[str, Program | Kernel] = {}
    current: Program | Kernel = program.close()
    for step in PASSES:
        if not (step.optional and step.name in skipped):
            current = step.run(current, job)
        stages[step.name] = current
        if step.name in dumped or "all" in dumped:
            print(f"---- {program.name} after {step.name}\n{current}", file=sys.stderr)
        if config.verify:
            check.verify(current, step.name)
    return stages
