"""What a traced function does with references: those among its arguments, and those that it closes over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covector._engine.base.record import record
from covector._engine.core.refs import Cell, Uses, check_aliases
from covector._engine.core.trace import EVAL, Tracer, current
from covector._engine.ir.program import Program
from covector._engine.runtime.eager import as_array


@record(eq=False)
class Touched:
    """The references that a Program stands for a function of.

    Its inputs: the leaves of the arguments, then the captured references.  Its outputs: the results, then the new
    values of references among the arguments (at these positions), then those of captured ones that are written.
    """

    written: tuple[int, ...] = ()
    captured: Uses = ()

    def __bool__(self) -> bool:
        return bool(self.written or self.captured)

    @property
    def lasting(self) -> bool:
        """Whether what is captured was made outside of any trace."""
        return all(u.cell._outside for u in self.captured)

    def cells(self, refs: Sequence[int], leaves: int) -> tuple[list[int], list[int]]:
        """Of a function that has these leaves, some of which are references: all references.

        As positions among the inputs; and which of these are written, in the order of the outputs.
        """
        found = [*refs, *range(leaves, leaves + len(self.captured))]
        written = [i for i, u in enumerate(self.captured, len(refs)) if u.written]
        return found, [*map(list(refs).index, self.written), *written]

    def check(self, api: str, leaves: Sequence[Any]) -> None:
        """ValueError if one reference would be two."""
        check_aliases(api, [x for x in leaves if isinstance(x, Cell)], self.captured)

    def values(self, leaves: Sequence[Any]) -> list[Any]:
        """The values of the inputs."""
        given = [x._read() if isinstance(x, Cell) else x for x in leaves]
        return given + [u.cell._read() for u in self.captured]

    def tracers(self, leaves: Sequence[Any], constants: Sequence[Any]) -> bool:
        """Whether any of the values that a call takes is traced."""
        return any(isinstance(x, Tracer) for x in (*self.values(leaves), *constants))

    def targets(self, leaves: Sequence[Any]) -> list[tuple[int, Any]]:
        """The references that are written, with their positions among the inputs."""
        n = len(leaves)
        mine = [(i, leaves[i]) for i in self.written]
        return mine + [(n + i, u.cell) for i, u in enumerate(self.captured) if u.written]

    def settled(self, leaves: Sequence[Any], outs: Sequence[Any]) -> Sequence[Any]:
        """The results among the outputs; what is written is written."""
        targets = self.targets(leaves)
        count = len(outs) - len(targets)
        for (_, cell), value in zip(targets, outs[count:], strict=True):
            cell._write(value)
        return outs[:count]


def lent(program: Program, touched: Touched, leaves: Sequence[Any]) -> tuple[int, ...]:
    """The inputs whose memory a compiled call may take: of references that it writes, outside of any trace.

    Where it calls back it takes none, as what the function raises must leave them as they were.
    """
    if current() is not EVAL or program.effects:
        return ()
    return tuple([i for i, cell in touched.targets(leaves) if cell._lendable()])


def run(
    executable: Any,
    touched: Touched,
    leaves: Sequence[Any],
    lending: Sequence[int],
    donated: Sequence[int],
) -> Sequence[Any]:
    """The results of a compiled Program on values, outside of any trace; what is written is written."""
    targets = touched.targets(leaves)
    for _, cell in targets:
        cell._may_write()
    arrays = [as_array(x) for x in touched.values(leaves)]
    taken = [(i, cell) for i, cell in targets if i in lending]
    new: dict[int, Any] = {}
    try:
        for i, cell in taken:
            arrays[i] = cell._lend()
        for _, cell in targets:
            cell._busy = True
        outs = executable(arrays, [*donated, *lending])
        count = len(outs) - len(targets)
        new = {id(cell): x for (_, cell), x in zip(targets, outs[count:], strict=True)}
    finally:
        for _, cell in targets:
            cell._settle(new.get(id(cell)))
    return outs[:count]
