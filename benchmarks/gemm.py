"""Matrix products: ours, OpenBLAS's and PyTorch's times: `python -m benchmarks.gemm [--rounds N]`."""

from __future__ import annotations

import argparse
import ctypes
import random
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from covector._engine.backends.cpu import backend

# m, k, n, and whether the operands are transposed: the layers of an MLP and their gradients, others.
SHAPES = (
    (128, 784, 512, 0, 0), (128, 512, 512, 0, 0), (128, 512, 10, 0, 0),
    (784, 128, 512, 1, 0), (512, 128, 512, 1, 0), (512, 128, 10, 1, 0),
    (128, 512, 512, 0, 1), (128, 10, 512, 0, 1),
    (64, 64, 64, 0, 0), (256, 256, 256, 0, 0), (1024, 1024, 1024, 0, 0), (1024, 1024, 1024, 1, 0),
    (1024, 1024, 1024, 0, 1), (4096, 1024, 1024, 0, 0), (1, 512, 512, 0, 0), (512, 512, 1, 0, 0),
)  # fmt: skip
SAMPLE = 2e-3  # seconds of calls in a row


def routine() -> Callable[..., None]:
    """Return cv_sgemm, which the compiled code of a product calls."""
    sizes, matrix = [ctypes.c_int32] * 2 + [ctypes.c_int64] * 3, [ctypes.c_void_p, ctypes.c_int64]
    signature = ctypes.CFUNCTYPE(None, *sizes, *matrix, *matrix, ctypes.c_float, *matrix)
    return signature(backend.symbols()["cv_sgemm"])


def contenders(m: int, k: int, n: int, ta: int, tb: int) -> dict[str, Callable[[], object]]:
    """Return what multiplies the same two matrices, by name. NumPy stands for OpenBLAS."""
    a = np.random.rand(*((k, m) if ta else (m, k))).astype(np.float32)
    b = np.random.rand(*((n, k) if tb else (k, n))).astype(np.float32)
    out = np.empty((m, n), np.float32)
    left, right = (a.T if ta else a), (b.T if tb else b)
    arguments = (ta, tb, m, n, k, a.ctypes.data, a.shape[1], b.ctypes.data, b.shape[1], 0.0,
                 out.ctypes.data, n)  # fmt: skip
    call = routine()
    made: dict[str, Callable[[], object]] = {"ours": lambda: (call(*arguments), a, b)}
    made["openblas"] = lambda: np.matmul(left, right, out=out)
    if find_spec("torch"):
        torch = import_module("torch")
        x, y, z = (torch.from_numpy(array) for array in (left, right, np.empty_like(out)))
        made["torch"] = lambda: torch.mm(x, y, out=z)
    return made


def sample(call: Callable[[], object], calls: int) -> float:
    """Return the seconds per call of calls in a row."""
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def measure(shape: tuple[int, int, int, int, int], rounds: int) -> dict[str, float]:
    """Return the best seconds of each contender over rounds in which they take turns."""
    calls = contenders(*shape)
    counts = {name: max(1, int(SAMPLE / sample(call, 1))) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name in random.sample(list(calls), len(calls)):
            best[name] = min(best[name], sample(calls[name], counts[name]))
    return best


def main() -> None:
    """Print the table: microseconds, and each rival's time over ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    for shape in SHAPES:
        best = measure(shape, rounds)
        m, k, n, ta, tb = shape
        cells = [f"{m:5}x{k:4}x{n:4} {'t' if ta else '.'}{'t' if tb else '.'}"]
        cells += [f"{name} {seconds * 1e6:9.1f} us" for name, seconds in best.items()]
        cells += [
            f"{name}/ours {best[name] / best['ours']:5.2f}" for name in best if name != "ours"
        ]
        print("  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
