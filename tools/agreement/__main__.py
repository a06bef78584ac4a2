"""Compare: see the package."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.agreement.compare import Report, asks_numpy, difference, group, reasons_page
from tools.agreement.outcomes import SECONDS
from tools.agreement.stored import PATH, sampled

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "agreement.md"
_TOP = """# How far results agree with those of JAX

Made by `python -m tools.agreement --jax PYTHON`: calls drawn from the signatures of JAX {version} run with both
libraries, in two processes, in the same state of `enable_x64`, and their outcomes are compared: structure, shape,
dtype, weak type and values (to the last digits of the dtype), or the class of the exception. Eigenvectors and
singular vectors may differ in their signs, and where values are equal: the matrices that they make are compared.
*Calls* are what was compared. Those that took JAX more than {seconds} s are *out of time*, and not compared; where
still fewer were compared than are *drawn*, of the rest JAX's outcomes were not known by then.

What a call differs in: *value*: another number; *refused*: an exception here, a result in JAX; *accepted*: a result
here, an exception in JAX; *exception*: another class of exceptions. Those that are *deliberate* are counted apart;
the end of this page says which they are, and why.
"""
_KEPT = """
Our own outcomes are those that were kept of the runs before this one: not all are of the newest revision.
"""


def run(python: str, library: str, state: str, calls: Sequence[str], kept: Path) -> dict[str, Any]:
    """The outcomes of calls with a library; those that a file has are not run again."""
    known: dict[str, Any] = {}
    if kept.exists():
        known = dict(json.loads(line) for line in kept.read_text().splitlines())
    missing = [c for c in calls if c not in known]
    path = str(ROOT / "src") if library != "jax" else ""
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
            known[left[0]] = {"raises": ["Crash"], "message": ""}
            with kept.open("a") as out:
                print(json.dumps([left[0], known[left[0]]]), file=out)
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


def compared(
    python: str, state: str, calls: Sequence[str], module: str, kept: Path, again: bool
) -> Iterator[tuple[str, Any, Any, Any]]:
    """Each call of a module, with our outcome, that of JAX and, where these differ, that of NumPy."""
    name = f"{state}-{module}.jsonl"
    own = kept / f"covector-{name}"
    if again:
        own.unlink(missing_ok=True)
    theirs = run(python, "jax", state, calls, kept / f"jax-{name}")
    ours = run(sys.executable, "covector", state, calls, own)
    differ = [c for c in calls if asks_numpy(c, difference(c, ours[c], theirs[c]))]
    numpys = run(sys.executable, "numpy", state, differ, kept / f"numpy-{name}")
    return ((c, ours[c], theirs[c], numpys.get(c)) for c in calls)


def _known(kept: Path, state: str, module: str, calls: Sequence[str]) -> list[str]:
    """The calls of which both libraries' outcomes are kept."""
    paths = [kept / f"{library}-{state}-{module}.jsonl" for library in ("jax", "covector")]
    found = [
        {json.loads(line)[0] for line in path.read_text().splitlines()} if path.exists() else set()
        for path in paths
    ]
    return [c for c in calls if all(c in known for known in found)]


def main() -> None:
    """Compare all calls, or those of some functions."""
    options = _options()
    version = _version(options.jax)
    kept = options.kept / f"{version}-{_digest()}"
    kept.mkdir(parents=True, exist_ok=True)
    only = {n for n in options.only.split(",") if n}
    page, stored = "", list[str]()
    again = not (options.resume or options.known)
    for state in options.state or ("off", "on"):
        modules: dict[str, list[str]] = {}
        for call in calls_of(options.jax, state == "on"):
            module, name = group(call)
            if not only or module in only or f"{module}.{name}" in only:
                modules.setdefault(module, []).append(call)
        drawn = {module: len(calls) for module, calls in modules.items()}
        for module, calls in modules.items():
            known = _known(kept, state, module, calls) if options.known else calls
            modules[module] = known[:: options.every]
        report = Report(
            pair
            for module, calls in modules.items()
            for pair in compared(options.jax, state, calls, module, kept, again)
        )
        report.drawn = drawn
        stored += sampled(state, report.agreeing)
        print(state, report.table(), sep="\n")
        if only:
            print(report.shown(options.kind))
        page += f"\n## `enable_x64({state == 'on'})`\n\n{report.table()}\n{report.names()}\n"
    if not only:
        top = _TOP.format(version=version, seconds=SECONDS) + ("" if again else _KEPT)
        PAGE.write_text(top + page + reasons_page())
        PATH.write_text("\n".join(stored) + "\n")


def _version(python: str) -> str:
    """JAX's version there."""
    command = [python, "-c", "import importlib.metadata as m; print(m.version('jax'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _digest() -> str:
    """Of what runs the calls: outcomes that were kept are of the same arrays."""
    return hashlib.sha256((ROOT / "tools/agreement/outcomes.py").read_bytes()).hexdigest()[:12]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.agreement")
    parser.add_argument("--jax", required=True, help="a Python that has JAX")
    parser.add_argument("--state", choices=("off", "on"), action="append", help="of enable_x64")
    parser.add_argument(
        "--only",
        default="",
        help="modules and functions, with commas between them: what differs is printed",
    )
    parser.add_argument("--kind", default="", help="with --only: this kind of difference alone")
    parser.add_argument("--every", type=int, default=1, help="each so many-th call of a module")
    parser.add_argument(
        "--known", action="store_true", help="nothing is run: calls of which outcomes are kept"
    )
    parser.add_argument(
        "--resume", action="store_true", help="our outcomes of the run before are taken too"
    )
    parser.add_argument(
        "--kept",
        type=Path,
        default=ROOT / "build" / "agreement",
        help="a folder for outcomes; those of JAX are taken from there where they are",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
