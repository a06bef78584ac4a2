"""What a row of the sweep's table is, and the operands that its operations take.

An expression names its operands and the namespaces of a framework: `np`, `lax`, `nn`, `random` of
Covector and JAX; `torch` and `F` of PyTorch, in which `np` is `torch`; `np` and `rng` of NumPy. Where
PyTorch or NumPy spell it otherwise, the row says how; where they have none, the row says "".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Operands = dict[str, np.ndarray]
Sizes = tuple[int, ...]

LENGTHS = (10, 1_000, 100_000, 10_000_000)
ROWS = (10, 1_000, 10_000)  # rows of a thousand
SIDES = (8, 64, 256, 1_024)


@dataclass(frozen=True)
class Operation:
    """One row: an operation on operands that are made for each size."""

    name: str
    ours: str
    make: Callable[[int], Operands]
    sizes: Sizes
    torch: str | None = None  # None: spelled as ours
    numpy: str | None = None
    dtype: str = "float32"  # of the operands that are made as float32
    last: bool = False  # features last: PyTorch's shapes have them first, and its memory last

    def code(self, framework: str) -> str:
        """The expression in a framework's words; empty if it has none."""
        spelled = {"torch": self.torch, "numpy": self.numpy}.get(framework)
        return self.ours if spelled is None else spelled


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normals in float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def integers(n: int, below: int, seed: int = 1) -> np.ndarray:
    """Integers from 0, as int32."""
    return np.random.default_rng(seed).integers(0, below, n, dtype=np.int32)


def vectors(n: int) -> Operands:
    """Two vectors of numbers between 0 and 1."""
    pair = np.random.default_rng(0).random((2, n), dtype=np.float32) * 0.9 + 0.05
    return {"x": pair[0].copy(), "y": pair[1].copy()}


def wide(n: int, bits: int) -> Operands:
    """Two vectors of integers of so many bits, the second without zeros."""
    return {
        "i": integers(n, 99).astype(f"i{bits // 8}"),
        "j": integers(n, 7, 2).astype(f"i{bits // 8}") + np.array(1, f"i{bits // 8}"),
    }


def short(n: int) -> Operands:
    """Rows of 30."""
    return {"a": normal(n, 30)}


def rows(n: int) -> Operands:
    """Rows of a thousand, an index of a column in each, as many numbers of rows, and a row."""
    return {
        "x": normal(n, 1_000),
        "at": integers(n, 1_000)[:, None],
        "rows": integers(n, n),
        "row": normal(1_000),
    }


def narrow(n: int) -> Operands:
    """Rows of 64, and numbers of rows."""
    return {"x": normal(n, 64), "rows": integers(n, n), "y": normal(n, 64, seed=2)}


def indexed(n: int) -> Operands:
    """A vector, places in it, and numbers of few segments."""
    return {
        "x": normal(n),
        "at": integers(n, n),
        "few": integers(n, max(1, n // 1_000)),
        "sorted": np.sort(normal(n)),
    }


def square(n: int) -> Operands:
    """Two square matrices, a vector, and a positive definite matrix."""
    a = normal(n, n)
    return {
        "a": a,
        "b": normal(n, n, seed=1) / n + np.eye(n, dtype=np.float32),
        "v": normal(n),
        "d": a @ a.T / n + np.eye(n, dtype=np.float32),
    }


def stack(side: int) -> Callable[[int], Operands]:
    """Make so many of the same."""

    def make(n: int) -> Operands:
        a, eye = normal(n, side, side), np.eye(side, dtype=np.float32)
        return {
            "a": a,
            "b": normal(n, side, side, seed=1) / side + eye,
            "v": normal(n, side, 1),
            "d": a @ a.swapaxes(1, 2) / side + eye,
        }

    return make


def shaped(**shapes: tuple[int, ...]) -> Callable[[int], Operands]:
    """Make operands of these shapes, in which 0 stands for the size."""

    def make(n: int) -> Operands:
        return {
            k: normal(*(s or n for s in shape), seed=i)
            for i, (k, shape) in enumerate(shapes.items())
        }

    return make


def complexes(*shape: int) -> Callable[[int], Operands]:
    """Make a complex64 and a float32 array of the shape, in which 0 stands for the size."""

    def make(n: int) -> Operands:
        x = normal(2, *(s or n for s in shape))
        return {"z": x[0] + 1j * x[1], "x": x[0]}

    return make
