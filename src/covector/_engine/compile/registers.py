"""Small arrays that each run of a loop makes and uses up lie in its frame, where LLVM makes registers of them.

It can if no loop is left in which their places change: loops with lanes are no longer than their vectors, plain ones
are written out.  Stored and loaded again an element takes nine cycles, which in a loop every step waits for.
"""

from __future__ import annotations

from collections.abc import Mapping

from covector._engine.backends.base import Explain, Target
from covector._engine.base.record import replace
from covector._engine.compile.survey import is_written_out
from covector._engine.ir import index as ix
from covector._engine.ir.access import Access, Reader, Whole, from_data
from covector._engine.ir.kernel import Buffer, Kernel, Loop, Store, Swap
from covector._engine.ir.renaming import Renaming
from covector._engine.types.dims import Dim


class _Private(Renaming):
    """The same statements on other buffers."""

    def __init__(self, buffers: Mapping[Buffer, Buffer]):
        super().__init__({})
        self._buffers = buffers

    def buffer(self, b: Buffer) -> Buffer:
        return self._buffers.get(b, b)


def in_registers(kernel: Kernel, target: Target, explain: Explain) -> Kernel:
    """The Kernel with what may lie in registers in private memory."""
    if not any(isinstance(s, Loop) and not s.free for s in kernel.body):
        return kernel
    found: dict[Buffer, list[Access]] = {}
    for a in Reader().walk(kernel.body):
        if a.buffer.kind == "temp":
            found.setdefault(a.buffer, []).append(a)
    private: dict[Buffer, Buffer] = {}
    for b, accesses in found.items():
        if _is_small(b, target) and _is_used_up(accesses, target):
            private[b] = replace(b, kind="local")
            explain(f"{b.name}: in registers, as a run of a loop makes it and uses it up")
    return kernel.with_body(_Private(private).body(kernel.body)) if private else kernel


def _is_small(b: Buffer, target: Target) -> bool:
    most = target.loops.registers * target.vector_bits // 8
    return isinstance(b.size, int) and b.size * b.dtype.itemsize <= most


def _is_used_up(accesses: list[Access], target: Target) -> bool:
    """Whether all accesses are in a run of one loop, which is the same memory in each, and at places that are known."""
    first = accesses[0]
    around = [x for x in first.around if isinstance(x, Loop)]
    outside = 0
    while outside < len(around) and not around[outside].free:
        outside += 1
    if not outside or not first.writes or not isinstance(first.statement, Store):
        return False
    loop = around[outside - 1]
    if sum(isinstance(s, Loop) for s in loop.body) >= target.limits.many_inner_loops:
        return False
    return all(_is_known(a, loop, target) for a in accesses)


def _is_known(a: Access, loop: Loop, target: Target) -> bool:
    """Whether an access is in a loop, by loads and stores, at places that are numbers when all is written out."""
    if loop not in a.around or a.size != 1 or isinstance(a.statement, Swap) or a.during:
        return False
    inside = a.around[a.around.index(loop) + 1 :]
    place = a.place
    if isinstance(place, Whole) or from_data(place):
        return False
    return all(isinstance(x, Loop) and _is_fixed(place, x, target) for x in inside)


def _is_fixed(place: Dim, loop: Loop, target: Target) -> bool:
    """Whether a place is a number in each run of a loop that is left when it is written."""
    how = loop.schedule
    if how.parallel:
        return False
    if not ix.depends(place, loop.name):
        return True
    if how.vector:
        return loop.extent == how.vector * max(how.unroll, 1)
    return is_written_out(loop, target)
