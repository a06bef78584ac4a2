"""Run the benchmarks: `python -m benchmarks.run [--only NAME] [--frameworks NAMES]`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import frameworks, report, timing
from benchmarks.cases import Case
from benchmarks.suite import CASES

RESULTS = Path(__file__).parent / "results.md"
PATIENCE = 10.0  # seconds of rounds that one framework may take in one case, after three of them


def measure(case: Case, names: list[str], rounds: int) -> report.Row:
    """Measure one case on the named frameworks, round after round, each in its turn."""
    row = report.Row(case)
    samplers: dict[str, Callable[[], float]] = {}
    results: dict[str, list[np.ndarray]] = {}
    for name in names:
        _attempt(row, name, lambda name=name: samplers.update({name: sampler(case, name, results)}))
    compare(row, results)
    spent = dict.fromkeys(names, 0.0)
    for number in range(rounds):
        for name in _rotated(list(samplers), number):
            if name in row.failures or (number >= 3 and spent[name] > PATIENCE):
                continue
            start = time.perf_counter()
            _attempt(row, name, lambda name=name: _keep_best(row, name, samplers[name]()))
            spent[name] += time.perf_counter() - start
    samplers.clear()
    gc.collect()
    return row


def sampler(case: Case, name: str, results: dict[str, list[np.ndarray]]) -> Callable[[], float]:
    """Return the call that takes one sample of `case`; puts the first call's result in `results`."""
    if case.kind == "import":
        return partial(timing.import_time, name)
    if case.kind in timing.IN_CHILD:
        return partial(timing.in_child, case.name, name, case.kind)
    framework = frameworks.load(name)
    block = framework.block
    if case.kind == "cold":
        return lambda: timing.once(case.build(framework), block) / case.per
    if case.kind == "geometric":
        return timing.geometric(case.build(framework), block)
    call = case.build(framework)
    if case.compared:
        results[name] = frameworks.host_values(call())
    calls = timing.autorange(call, block)
    return lambda: timing.sample(call, block, calls) / case.per


def compare(row: report.Row, results: dict[str, list[np.ndarray]]) -> None:
    """Make it a failure of Covector's if its first result is not that of every peer."""
    ours = results.pop(report.OURS, None)
    for peer, theirs in results.items() if ours is not None else ():
        _attempt(row, report.OURS, lambda peer=peer, theirs=theirs: _agree(ours, theirs, peer))


def _agree(ours: list[np.ndarray], theirs: list[np.ndarray], peer: str) -> None:
    shapes, wanted = [x.shape for x in ours], [x.shape for x in theirs]
    if shapes != wanted:
        raise ValueError(f"shapes {shapes}, but {wanted} on {peer}")
    for x, y in zip(ours, theirs, strict=True):
        if not np.allclose(x, y, rtol=1e-2, atol=1e-3):
            raise ValueError(f"differs from {peer} by up to {np.abs(x - y).max()}")


def child(case: str, name: str) -> None:
    """Print the one measurement that is made in a process of its own."""
    framework = frameworks.load(name)
    measured = timing.peak_memory if CASES[case].kind == "memory" else timing.once
    print(json.dumps(measured(CASES[case].build(framework), framework.block)))


def _keep_best(row: report.Row, name: str, value: float) -> None:
    row.values[name] = min(value, row.values.get(name, value))


def _attempt(row: report.Row, name: str, action: Callable[[], object]) -> None:
    """Run `action`; a failure is a result too, and must not end the run."""
    try:
        action()
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        row.failures[name] = f"{type(error).__name__}: {first}"[:200]
        row.values.pop(name, None)


def _rotated(names: list[str], number: int) -> list[str]:
    turn = number % len(names) if names else 0
    return names[turn:] + names[:turn]


def _installed(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of the frameworks that are there, and why the others are not."""
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = frameworks.load(name).version
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {error}"
            print(f"{name} is left out: {absent[name]}", file=sys.stderr)
    return versions, absent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="part of a name or group")
    parser.add_argument("--frameworks", default=",".join(frameworks.NAMES), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round: do they run, not how fast")
    parser.add_argument("--output", type=Path, help="where the report goes; a full run: results.md")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--child", nargs=2, metavar=("CASE", "FRAMEWORK"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for; the exit status is 1 if Covector failed in a case."""
    os.environ.setdefault("COVECTOR_CACHE", "0")  # a cold compile is to be cold
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    warnings.filterwarnings("ignore")
    options = _arguments()
    if options.list:
        print("\n".join(f"{c.group:12} {c.name:20} {c.text}" for c in CASES.values()))
        return 0
    if options.child:
        child(*options.child)
        return 0
    wanted = [part for text in options.only for part in text.split(",")]
    cases = [
        c for c in CASES.values() if not wanted or any(w in c.name or w in c.group for w in wanted)
    ]
    if options.quick:
        options.rounds, timing.MIN_SAMPLE = 1, 0.0
    versions, absent = _installed(options.frameworks.split(","))
    rows: list[report.Row] = []
    ours: dict[str, float] = {}
    for number, case in enumerate(cases, 1):
        row = measure(case, [n for n in versions if n in case.frameworks], options.rounds)
        row.beside = {name: ours[name] for name in case.beside if name in ours}
        ours |= {case.name: row.values[report.OURS]} if report.OURS in row.values else {}
        rows.append(row)
        shown = {n: report.show(v, case.kind) for n, v in row.values.items()} | row.failures
        cells = "  ".join(f"{name} {value}" for name, value in shown.items())
        print(f"[{number:2}/{len(cases)}] {case.name:20} {cells}", flush=True)
    text = report.markdown(rows, versions, options.rounds, absent)
    full = not (wanted or options.quick) and {*versions, *absent} == set(frameworks.NAMES)
    if output := options.output or (RESULTS if full else None):
        output.write_text(text)
        print(f"written: {output}")
    else:
        print("\n" + text)
    return int(any(report.OURS in row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main())
