"""What it takes to run machine code that was made before: small, and kept on disk beside the object file.

Nothing here needs the compiler, nor imports it.
"""

from __future__ import annotations

import marshal
from typing import Any

import numpy as np

from covector._engine.base.record import record
from covector._engine.ir.content import as_bytes
from covector._engine.types import dtypes

_DTYPES = {d.name: d for d in dtypes.ALL}


@record
class Function:
    """A named function for so many lanes of these dtypes, as backends/cpu/library.py compiles it."""

    name: str
    dtypes: tuple[np.dtype, ...]
    width: int

    @property
    def symbol(self) -> str:
        """Its name for the linker."""
        return f"cv.{self.name}.{self.width}.{'.'.join(d.name for d in self.dtypes)}"

    def packed(self) -> tuple[Any, ...]:
        """It as what `marshal` writes."""
        return self.name, tuple([d.name for d in self.dtypes]), self.width

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> Function:
        """It from what `packed` gave."""
        name, names, width = packed
        return cls(name, tuple([_DTYPES[n] for n in names]), width)


@record
class Plan:
    """All that is known of a Kernel's machine code but the code."""

    key: str  # of the object file
    wanted: tuple[Function, ...]  # the shared functions that it calls
    arena_bytes: int
    cost_ns: float
    aliases: tuple[tuple[int, int], ...]  # (result, operand) that may be one place in memory
    dims: tuple[str, ...]  # the names of symbolic dimensions, in the order of their values
    routines: bool  # whether it calls any, which libraries may be needed for
    repeats: bool  # whether a loop asks if it has to stop: the data say how often it runs, or it takes long
    kept: bool = True  # False: the code is linked to functions of this process

    def pack(self) -> bytes:
        """It as bytes; none if it means nothing in another process."""
        if not self.kept:
            return b""
        wanted = tuple([f.packed() for f in self.wanted])
        others = (
            self.arena_bytes,
            self.cost_ns,
            self.aliases,
            self.dims,
            self.routines,
            self.repeats,
        )
        content = (self.key, wanted, *others)
        return as_bytes(content)

    @classmethod
    def unpack(cls, data: bytes) -> Plan | None:
        """It from what `pack` gave; None if that was nothing."""
        if not data:
            return None
        key, wanted, *others = marshal.loads(data)
        return cls(key, tuple(map(Function.unpacked, wanted)), *others)


def pack_function(wanted: tuple[Function, ...], data: bytes) -> bytes:
    """An object file with the functions that it calls."""
    return as_bytes((tuple([f.packed() for f in wanted]), data))


def unpack_function(packed: bytes) -> tuple[tuple[Function, ...], bytes]:
    """What `pack_function` was given."""
    wanted, data = marshal.loads(packed)
    return tuple(map(Function.unpacked, wanted)), data
