"""Some hundred operations at sizes from 10 to 10 million: `python -m benchmarks.sweep [--only TEXT]`.

It prints how much of the best peer's time each takes, the worst first, and writes the table to a
file if asked. The frameworks run in one process, each in its turn; the least of some short samples
counts.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import frameworks, timing
from benchmarks.operations import Operation
from benchmarks.sweep_table import table

PEERS = ("jax", "torch", "numpy")
NARROW = ("bfloat16",)  # what NumPy lacks
LONG = 0.2  # seconds of a call that is measured twice only
PARTS = ("lax", "nn", "random", "ops", "scipy.linalg")

Times = dict[str, float]


def call_of(op: Operation, name: str, n: int) -> Callable[[], Any] | None:
    """An operation's call in a framework, or None if it has none."""
    code = op.code(name)
    if not code or (name == "numpy" and op.dtype in NARROW):
        return None
    f = frameworks.load(name)
    operands = {k: v for k, v in op.make(n).items() if re.search(rf"\b{k}\b", code)}
    scope: dict[str, Any] = {"N": n, "np": f.np, "rng": np.random.default_rng(0)}
    if name == "torch":
        scope |= {"np": f.module, "torch": f.module, "F": f.module.nn.functional}
        arrays = {k: torch_array(f.module, op, v) for k, v in operands.items()}
    else:
        arrays = {k: f.array(v.astype(dtype_of(op, v))) for k, v in operands.items()}
    if name in ("covector", "jax"):
        for part in PARTS:
            import_module(f"{name}.{part}")
        scope |= {part: getattr(f.module, part.split(".")[0]) for part in (*PARTS, "scipy")}
        arrays |= {"key": f.module.random.key(0)} if "key" in code else {}
    run = f.jit(eval(f"lambda {', '.join(arrays)}: {code}", scope))
    values = tuple(arrays.values())
    return lambda: run(*values)


def dtype_of(op: Operation, value: np.ndarray) -> Any:
    """What an operand is turned into: integers stay what they are."""
    if value.dtype != np.float32:
        return value.dtype
    return getattr(import_module("ml_dtypes"), op.dtype) if op.dtype in NARROW else op.dtype


def torch_array(torch: Any, op: Operation, value: np.ndarray) -> Any:
    """An operand in PyTorch, with features last in memory where the operation has them so."""
    array = torch.from_numpy(value)
    if op.last:
        kernel = array.shape[0] == array.shape[1] and array.ndim == 4 and value.shape[0] < 9
        array = array.permute(*((3, 2, 0, 1) if kernel else (0, 3, 1, 2)))
        return array.contiguous(memory_format=torch.channels_last)
    return array.to(getattr(torch, op.dtype)) if value.dtype == np.float32 else array


def measure(op: Operation, n: int, names: Iterable[str], rounds: int) -> Times:
    """The seconds of one operation at one size in each framework that has it."""
    found = {name: call for name in names if (call := call_of(op, name, n)) is not None}
    counts: dict[str, int] = {}
    best: Times = {}
    for name, call in found.items():
        block = frameworks.load(name).block
        block(call())
        counts[name] = timing.autorange(call, block)
    for turn in range(rounds):
        for name, call in found.items():
            if turn < 2 or best[name] < LONG:
                seconds = timing.sample(call, frameworks.load(name).block, counts[name])
                best[name] = min(seconds, best.get(name, math.inf))
    return best


def line(op: Operation, n: int, times: Times) -> tuple[float, str]:
    """The ratio to the best peer, and the row of the table."""
    peers = {name: seconds for name, seconds in times.items() if name != "covector"}
    peer = min(peers, key=peers.__getitem__)
    ratio = times["covector"] / peers[peer]
    dtype = "" if op.dtype == "float32" else f" {op.dtype}"
    cells = " | ".join(
        f"{times[name] * 1e6:.4g}" if name in times else "" for name in ("covector", *PEERS)
    )
    return ratio, f"| {ratio:.2f} | {peer} | {op.name}{dtype} | {n} | {cells} |"


def main() -> int:
    """Measure what the command line asks for."""
    os.environ.setdefault("COVECTOR_CACHE", "0")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], help="a regular expression for 'name dtype n'"
    )
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=float, default=0.003, help="seconds of one sample")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    timing.MIN_SAMPLE = options.sample
    names = ("covector", *options.peers.split(","))
    if "torch" in names:
        frameworks.load("torch").module.set_grad_enabled(False)
    for name in names:
        frameworks.load(name)
    gc.freeze()  # each sample begins with a collection, which would look at all of their modules
    lines: list[tuple[float, str]] = []
    for op in table():
        for n in op.sizes:
            label = f"{op.name} {op.dtype} {n}"
            if options.only and not any(re.search(text, label) for text in options.only):
                continue
            try:
                lines.append(line(op, n, measure(op, n, names, options.rounds)))
                print(lines[-1][1], flush=True)
            except Exception as error:  # a case that fails is a line too
                print(
                    f"FAILED {label}: {type(error).__name__}: {str(error).splitlines()[:1]}",
                    flush=True,
                )
            gc.collect()
    head = f"| of the best | best | operation | size | {' µs | '.join(('covector', *PEERS))} µs |\n|{' --- |' * 8}"
    mean = math.exp(sum(math.log(ratio) for ratio, _ in lines) / max(1, len(lines)))
    behind = sum(ratio > 1 for ratio, _ in lines)
    text = "\n".join([head, *(row for _, row in sorted(lines, reverse=True))])
    note = f"{len(lines)} rows, geometric mean {mean:.3f} of the best peer, {behind} behind it."
    print(f"\n{text}\n\n{note}")
    if options.output:
        options.output.write_text(f"{text}\n\n{note}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
