"""A state that goes through Programs: what a check found, or the values of references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from covector._engine.core.trace import _known, _state
from covector._engine.ir.program import Eqn, Literal, Program
from covector._engine.transforms.programs import stage_without_constants
from covector._engine.types.avals import ShapedArray


class WithState:
    """Makes Programs take a state after their operands and give one after their results: see `core/inside.py`."""

    prefix: ClassVar[str] = ""  # of the names of what is made

    def __init__(self) -> None:
        self._made: dict[Program, Program] = {}

    @property
    def types(self) -> list[ShapedArray]:
        """The types of the state."""
        raise NotImplementedError

    def _applied(
        self, eqn: Eqn, given: Sequence[Any], state: Sequence[Any]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The results of an equation, and the state after it."""
        raise NotImplementedError

    def program(self, program: Program) -> Program:
        """The Program that takes a state after its operands and gives one after its results."""
        found = self._made.get(program)
        if found is None:
            n = len(program.inputs)

            def run(*args: Any) -> list[Any]:
                outs, state = self._run(program, args[:n], args[n:])
                return [*outs, *state]

            avals = [*program.in_avals, *self.types]
            found = stage_without_constants(run, avals, f"{self.prefix}{program.name}")
            self._made[program] = found
        return found

    def _run(
        self, program: Program, args: Sequence[Any], state: Sequence[Any]
    ) -> tuple[list[Any], Sequence[Any]]:
        env: dict[Any, Any] = dict(zip(program.inputs, args, strict=True))
        before = _state.source
        try:
            for eqn in program.eqns:
                _state.source = eqn.source or before
                given = [_known(a) if type(a) is Literal else env[a] for a in eqn.inputs]
                outs, state = self._applied(eqn, given, state)
                env.update(zip(eqn.outputs, outs, strict=True))
        finally:
            _state.source = before
        return [_known(a) if type(a) is Literal else env[a] for a in program.outputs], state
