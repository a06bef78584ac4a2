"""A sample of JAX's outcomes, of every module, against which the tests hold Covector where there is no JAX."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.agreement.compare import group

PATH = Path(__file__).resolve().parents[2] / "tests" / "surface" / "golden" / "jax_outcomes.jsonl"
SHARE = 150  # one call of so many is stored, and of a small module
LEAST = 6
LONGEST = 400  # characters of a line


def sampled(state: str, agreeing: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Lines of calls that agree, spread evenly over each module: state, call, outcome without texts of exceptions."""
    modules: dict[str, list[str]] = defaultdict(list)
    for call, found in agreeing:
        outcome = {**found, "message": ""} if isinstance(found, dict) else found
        line = json.dumps([state, call, outcome])
        if len(line) <= LONGEST:
            modules[group(call)[0]].append(line)
    for _, lines in sorted(modules.items()):
        yield from lines[:: max(1, min(SHARE, len(lines) // LEAST))]


def rows() -> list[tuple[str, str, Any]]:
    """What is stored: state, call and JAX's outcome."""
    return [tuple(json.loads(line)) for line in PATH.read_text().splitlines()]
