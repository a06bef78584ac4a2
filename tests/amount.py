"""How much of what can be tested is: what takes minutes, or all of it.

`COVECTOR_TEST_TIMES` says how many times as many random programs and numbers there are (`make fuzz`).  With
`COVECTOR_TEST_FULL=1` (`make test-full`) what is enumerated is tested in full, of which `make test` takes a sample, and
what the references compute there runs as compiled code.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

TIMES = int(os.environ.get("COVECTOR_TEST_TIMES", "1"))
FULL = os.environ.get("COVECTOR_TEST_FULL", "0") == "1"

# Seconds after which another process is taken for one that hangs: many times what any takes that has a core for itself.
HANGS = 900


def some(cases: Iterable[T], count: int, seed: int = 0) -> list[T]:
    """So many of the cases, the same ones in each run; in full all of them."""
    found = list(cases)
    return found if FULL or len(found) <= count else random.Random(seed).sample(found, count)
