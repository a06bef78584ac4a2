"""The compiler, loaded when it is first needed: that is a third of the time that `import covector` would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from covector._engine.base.config import config
from covector._engine.base.events import COMPILED, measured
from covector._engine.base.locks import import_late
from covector._engine.ir.program import Program

if TYPE_CHECKING:
    from covector._engine.runtime.executable import Executable


# What is told the platform before something is compiled for it; what it raises ends that.
BEFORE_COMPILING: list[Callable[[str], None]] = []


@cache
def _executables() -> Any:
    return import_late("covector._engine.runtime.executable")


def look_at(name: str, operands: Sequence[Any], results: Sequence[Any]) -> None:
    """FloatingPointError if results of an operation have what the flags look for."""
    _executables().look_at(name, operands, results)


def compile_program(program: Program, donated: Sequence[int] = ()) -> Executable:
    """The executable of a Program, whose inputs at these positions are donated."""
    for told in BEFORE_COMPILING:
        told(config.backend)
    with measured(COMPILED, program.name):
        return _executables().Executable(program, donated)


def digest_of(program: Program) -> bytes | None:
    """The digest of a Program; None if part of it, such as a function, is of this process alone."""
    return _executables().digest_of(program)


def evaluate_checked(program: Program, args: Sequence[Any]) -> Sequence[Any]:
    """The results of a closed Program in which users' checks are; the exception of the first that fails."""
    checked = import_late("covector._engine.control.checked")
    return checked.evaluate_checked(program, args)  # type: ignore[no-any-return]
