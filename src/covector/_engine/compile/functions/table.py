"""The row type of the table of functions."""

from __future__ import annotations

from collections.abc import Callable

from covector._engine.base.record import record
from covector._engine.ir.scalar import Expr

Interval = tuple[float, float]


@record
class Function:
    """A named function: how to build its expression, where and against which bound it is tested."""

    name: str
    builder: Callable[..., Expr]
    arity: int = 1
    domain: tuple[Interval, ...] = ((float("-inf"), float("inf")),)  # one for each operand
    # largest error in units in the last place: float32, float64
    ulp: tuple[float, float] = (
        2.0,
        2.0,
    )
    text: str = ""
    rare: bool = False  # hardly ever executed: a backend keeps it small and out of the way
    any_float: bool = False  # whether the builder takes 16-bit floats as they are
