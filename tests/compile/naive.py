"""A naive proof of a memory plan: run the Kernel, and look with each byte that is read whose value it is.

It holds for one run only and costs a hundred times what `ir/sharing.py` takes, but nothing in it can be wrong that is
clever: each byte knows the buffers whose value it has, by who wrote it last, and only these may read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine.backends.reference.kernels import KernelError, Machine, Who, shown
from covector._engine.ir.kernel import Buffer, Copy, Kernel


class OverwrittenError(Exception):
    """A buffer's value was read after another one's was written in its place."""


class Naive(Machine):
    """A Kernel that runs in the memory of its plan; private buffers are not looked at."""

    def __init__(self, kernel: Kernel):
        super().__init__(kernel, {}, planned=True, aliased=True, order=None)
        self.most = 9
        self.owners: dict[int, np.ndarray] = {}  # of each memory: a bit for each buffer, a byte
        # Buffers that are in one memory with others have a bit each; there are at most some dozens of them.
        self.bit = {b: np.int64(1) << n for n, b in enumerate(self.where)}
        assert len(self.bit) < 63

    def owned(self, buffer: Buffer) -> np.ndarray:
        """Whose values the bytes of a buffer's memory are."""
        memory, start = self.where[buffer]
        every = self.owners.setdefault(id(memory), np.zeros(memory.bytes.size, np.int64))
        return every[start : start + self._size(buffer)]

    def fill(self, buffer: Buffer, x: Any) -> None:
        super().fill(buffer, x)
        self.owned(buffer)[:] = self.bit[buffer]

    def rows(self, buffer: Buffer, dtype: np.dtype) -> np.ndarray:
        """As `owned`, a row an element."""
        owned = self.owned(buffer)
        return owned[: owned.size // dtype.itemsize * dtype.itemsize].reshape(-1, dtype.itemsize)

    def read(self, buffer: Buffer, at: Any, dtype: np.dtype, mask: Any, who: Who) -> Any:
        found = super().read(buffer, at, dtype, mask, who)
        if buffer.kind != "local":
            there, here = np.broadcast_arrays(at, mask)
            owners = self.rows(buffer, dtype)[there[here]]
            if not np.all(owners & self.bit[buffer]):
                raise OverwrittenError(f"{shown(who)} reads {buffer}, which was overwritten")
        return found

    def write(self, buffer: Buffer, at: Any, value: Any, mask: Any, who: Who) -> None:
        super().write(buffer, at, value, mask, who)
        if buffer.kind != "local":
            there, _, here = np.broadcast_arrays(at, value, mask)
            self.rows(buffer, value.dtype)[there[here]] = self.bit[buffer]

    def copy(self, s: Copy) -> None:
        """What is no value of the source is none of the target; a copy onto itself is a value of both."""
        (target, to), (source, start), size = s.target, s.source, s.size
        dtype = target.dtype
        first, second, n = self.number(to), self.number(start), self.number(size)
        before = self.rows(source, dtype)[second : second + n].copy()
        super().copy(s)
        after = self.rows(target, dtype)[first : first + n]
        same = after.ctypes.data == self.rows(source, dtype)[second:].ctypes.data
        held = np.where(before & self.bit[source], self.bit[target], 0)
        after[:] = before & ~self.bit[target] | held if same else held

    def swap(self, first: Buffer, second: Buffer) -> None:
        """The bytes stay, and are the other buffer's."""
        a, b = self.bit[first], self.bit[second]
        super().swap(first, second)
        for memory in {id(self.where[x][0]): self.where[x][0] for x in (first, second)}.values():
            every = self.owners.setdefault(id(memory), np.zeros(memory.bytes.size, np.int64))
            both = every & (a | b)
            every &= ~(a | b)
            every |= np.where(both & a, b, 0) | np.where(both & b, a, 0)


def results(kernel: Kernel, inputs: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """What a Kernel gives; None if a run reads a value that is gone, or does something that no Kernel may."""
    machine = Naive(kernel)
    try:
        for buffer, x in zip(kernel.inputs, inputs, strict=True):
            machine.fill(buffer, x)
        machine.statements(kernel.body, outermost=True)
        return [machine.all_of(buffer) for buffer in kernel.outputs]
    except (OverwrittenError, KernelError):
        return None
