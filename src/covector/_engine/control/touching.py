"""Programs that touch references by operations are run: what these read and write becomes values that go through them.

The values go through loops, branches and calls as the state of checks does: as further carry, operands and results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covector._engine.control.state import WithState
from covector._engine.core.primitive import Primitive
from covector._engine.core.refs import _frame, defers
from covector._engine.core.touches import ReadRef, Touch, WriteRef
from covector._engine.core.trace import current
from covector._engine.ir.effects import TOUCHING
from covector._engine.ir.program import Eqn, Program
from covector._engine.types.avals import ShapedArray


def settling(primitive: Primitive, *args: Any) -> Any:
    """The results of a primitive that holds Programs; the references that these touch are read and written.

    Where that is recorded for later too, it stays as it is.
    """
    if TOUCHING not in primitive.effects or defers(_frame(current())):
        return primitive(*args)
    cells, written = _touched(primitive)
    outs, after = primitive.checked(Lifting(cells), args, [c._read() for c in cells])
    for cell, value in zip(cells, after, strict=True):
        if cell in written:
            cell._write(value)
    return outs


def _touched(primitive: Primitive) -> tuple[list[Any], set[Any]]:
    """The references that the Programs of a primitive touch, and those that they write."""
    found = [
        eqn.primitive
        for program in primitive.programs()
        for inner in program.within()
        for eqn in inner.eqns
        if isinstance(eqn.primitive, Touch)
    ]
    return list(dict.fromkeys([p.cell for p in found])), {
        p.cell for p in found if isinstance(p, WriteRef)
    }


class Lifting(WithState):
    """How Programs get the values of references as a state that goes through them: see `core/inside.py`."""

    def __init__(self, cells: Sequence[Any]):
        super().__init__()
        self._places = {cell: i for i, cell in enumerate(cells)}

    @property
    def types(self) -> list[ShapedArray]:
        """The types of the values."""
        return [cell._inner for cell in self._places]

    def fails(self, program: Program) -> bool:
        """Whether a Program touches references."""
        return TOUCHING in program.effects

    survey = fails

    def bare(self, program: Program) -> Program:
        """The Program, which has no checks of these."""
        return program

    def beside(
        self, p: Primitive, program: Program, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """For what has rules of its own, the results of its Program and the values after it: it runs once."""
        return self._run(program, given, state)

    def _applied(
        self, eqn: Eqn, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        p = eqn.primitive
        match p:
            case ReadRef(cell):
                return (state[self._places[cell]],), state
            case WriteRef(cell):
                at = self._places[cell]
                return (), [*state[:at], *given, *state[at + 1 :]]
            case _ if TOUCHING in p.effects:
                return p.checked(self, given, state)
            case _:
                out = p(*given)
                return out if p.multiple else (out,), state
