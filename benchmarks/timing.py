"""Clocks: how a call, a cold compile and a process are measured."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Thunk = Callable[[], Any]
Block = Callable[[Any], Any]

MIN_SAMPLE = 0.02  # seconds: a sample shorter than this repeats the call
MAX_CALLS = 100_000
IN_CHILD = ("memory", "fresh", "again")  # the kinds of case that need a process of their own


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector out of a sample, as `timeit` does."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def sample(call: Thunk, block: Block, calls: int) -> float:
    """Return the seconds per call over `calls` calls in a row, the last of which is waited for."""
    block(call())  # the sample starts with a quiet device and warm caches
    with no_garbage_collection():
        return _timed(call, block, calls)


def _timed(call: Thunk, block: Block, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls - 1):
        call()
    block(call())
    return (time.perf_counter() - start) / calls


def autorange(call: Thunk, block: Block) -> int:
    """Return how many calls make a sample of at least `MIN_SAMPLE` seconds."""
    calls = 1
    while calls < MAX_CALLS:
        seconds = sample(call, block, calls) * calls
        if seconds >= MIN_SAMPLE:
            break
        wanted = int(calls * min(10.0, 1.2 * MIN_SAMPLE / max(seconds, 1e-9))) + 1
        calls = min(MAX_CALLS, max(calls + 1, wanted))
    return calls


def geometric(calls: list[Thunk], block: Block, count: int = 200) -> Callable[[], float]:
    """Return the call that samples every one of `calls`: the geometric mean of their seconds.

    Garbage is collected once: before each of a hundred samples it would take longer than they do.
    """
    for call in calls:
        block(call())

    def mean() -> float:
        with no_garbage_collection():
            logs = [math.log(_timed(call, block, count)) for call in calls]
        return math.exp(math.fsum(logs) / len(logs))

    return mean


def once(call: Thunk, block: Block) -> float:
    """Return the seconds of one first call: nothing is warmed, nothing is repeated."""
    with no_garbage_collection():
        start = time.perf_counter()
        block(call())
        return time.perf_counter() - start


def peak_memory(call: Thunk, block: Block) -> float:
    """Return the most bytes that the process has in memory during a first call (Linux).

    Libraries count: which of them are loaded early and which late is no difference to the user.
    """
    time.sleep(0.3)  # copies of the inputs may still be under way
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak restarts from what is resident now
    block(call())
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024


def import_time(module: str) -> float:
    """Return the seconds that `import module` takes in a fresh interpreter."""
    clock = "import time; t = time.perf_counter()"
    return float(_child("-c", f"{clock}; import {module}; print(time.perf_counter() - t)"))


def in_child(case: str, framework: str, kind: str) -> float:
    """Return what one measurement of `case` gives in a process of its own, or in the second one."""
    command = ("-m", "benchmarks.run", "--child", case, framework)
    if kind != "again":
        return float(json.loads(_child(*command)))
    with tempfile.TemporaryDirectory() as folder:
        _child(*command, COVECTOR_CACHE="1", COVECTOR_CACHE_DIR=folder)
        return float(json.loads(_child(*command, COVECTOR_CACHE="1", COVECTOR_CACHE_DIR=folder)))


def _child(*arguments: str, **variables: str) -> str:
    # As an installed package is imported: from bytecode that is kept.
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=600, check=False, env={**kept, **variables},
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeError(last)
    return done.stdout.strip().splitlines()[-1]
