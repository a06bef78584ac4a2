"""Compare: see the package."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.agreement.compare import KINDS, Report, group

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "agreement.md"
_TOP = """# How far results agree with those of JAX

Made by `python -m tools.agreement --jax PYTHON`: calls drawn from the signatures of JAX {version} run with both
libraries, in two processes, in the same state of `enable_x64`, and their outcomes are compared: structure, shape,
dtype, weak type and values (to the last digits of the dtype), or the class of the exception. Eigenvectors and singular
vectors may differ in their signs, and where values are equal: the matrices that they make are compared. {drawn}

What a call differs in: *value*: another number; *refused*: an exception here, a result in JAX; *accepted*: a result
here, an exception in JAX; *exception*: another class of exceptions. Differences are meant where the README says so: an
index that is known to be out of range is an error, not clamped.
"""


def run(python: str, library: str, state: str, calls: Sequence[str], kept: Path) -> dict[str, Any]:
    """The outcomes of calls with a library; those that a file has are not run again."""
    known: dict[str, Any] = {}
    if kept.exists():
        known = dict(json.loads(line) for line in kept.read_text().splitlines())
    missing = [c for c in calls if c not in known]
    path = str(ROOT / "src") if library == "covector" else ""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    while missing:
        command = [python, "-m", "tools.agreement.outcomes", library, state]
        with kept.open("a") as out:
            text = "\n".join(missing)
            subprocess.run(
                command, input=text, text=True, stdout=out, env=environment, cwd=ROOT, check=False
            )
        known = dict(json.loads(line) for line in kept.read_text().splitlines())
        left = [c for c in missing if c not in known]
        if left:  # the process ended at this call
            with kept.open("a") as out:
                print(json.dumps([left[0], {"raises": ["Crash"], "message": ""}]), file=out)
        missing = left[1:]
    return {c: known[c] for c in calls if c in known}


def calls_of(python: str, wide: bool) -> list[str]:
    """The calls, drawn by the interpreter that has JAX."""
    command = [python, "-m", "tools.agreement.calls", *(["--wide"] if wide else [])]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    made = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True
    )
    return made.stdout.splitlines()


def main() -> None:
    """Compare all calls, or those of some functions."""
    parser = argparse.ArgumentParser(prog="tools.agreement")
    parser.add_argument("--jax", required=True, help="a Python that has JAX")
    parser.add_argument("--state", choices=("off", "on"), action="append", help="of enable_x64")
    parser.add_argument(
        "--only", default="", help="functions, with commas between them: what differs is printed"
    )
    parser.add_argument("--kind", default="", help="with --only: this kind of difference alone")
    parser.add_argument("--every", type=int, default=1, help="each so many-th call alone")
    parser.add_argument(
        "--known", action="store_true", help="the calls that outcomes of JAX are kept of, alone"
    )
    parser.add_argument(
        "--kept", type=Path, default=ROOT / "build" / "agreement", help="a folder for outcomes"
    )
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    only = {n for n in options.only.split(",") if n}
    page = ""
    for state in options.state or ("off", "on"):
        theirs_kept = options.kept / f"jax-{state}.jsonl"
        if options.known:
            calls = [json.loads(line)[0] for line in theirs_kept.read_text().splitlines()]
        else:
            calls = calls_of(options.jax, state == "on")[:: options.every]
        if only:
            calls = [c for c in calls if ".".join(group(c)) in only or group(c)[0] in only]
        theirs = run(options.jax, "jax", state, calls, theirs_kept)
        own = options.kept / f"covector-{state}.jsonl"
        own.unlink(missing_ok=True)
        ours = run(sys.executable, "covector", state, calls, own)
        report = Report([(c, ours[c], theirs[c]) for c in calls if c in ours and c in theirs])
        print(state, report.table(), sep="\n")
        for kind, call, found, wanted in sorted(report.found, key=lambda d: KINDS.index(d[0])):
            if only and (not options.kind or kind == options.kind):
                print(
                    f"{kind}: {call}\n    ours   {str(found)[:300]}\n    theirs {str(wanted)[:300]}"
                )
        page += f"\n## `enable_x64({state == 'on'})`\n\n{report.table()}\n{report.names()}\n"
    if not only:
        version = subprocess.run(
            [options.jax, "-c", "import jax; print(jax.__version__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        whole = options.every == 1 and not options.known
        drawn = "" if whole else "Of all calls a sample was run."
        PAGE.write_text(_TOP.format(version=version, drawn=drawn) + page)


if __name__ == "__main__":
    main()
