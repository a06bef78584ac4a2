"""What the oracle of Kernels works on: memory that knows what it holds, and what is known in the body that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from covector._engine.ir.kernel import Buffer
from covector._engine.ir.scalar import Expr

Array = np.ndarray


@dataclass(slots=True)
class Memory:
    """Bytes, and which of them hold something."""

    bytes: Array
    holds: Array

    @classmethod
    def of(cls, size: int) -> Memory:
        return cls(np.full(size, 0xA5, np.uint8), np.zeros(size, np.bool_))

    def forget(self, start: int, size: int) -> None:
        """What is there is no value any more."""
        self.bytes[start : start + size] = 0xA5
        self.holds[start : start + size] = False


@dataclass(slots=True)
class Scope:
    """What is known in the body that runs: values of nodes, of locals, of loop variables, private memory."""

    values: dict[Expr, Array] = field(default_factory=dict)
    locals: dict[Expr, Array] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    lanes: int | None = None  # how many runs of a loop are side by side
    mask: Any = np.True_  # which of them are here
    wide: frozenset[Buffer] = frozenset()  # private buffers that each lane has for itself
    inside: frozenset[Expr] = frozenset()  # locals that each lane has for itself
