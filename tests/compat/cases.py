"""What the programs are made of: cases, each a function that gives a computation and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A computation by name; its results agree if they are this close, or equal where they are no floats."""

    name: str
    make: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]
    rtol: float
    atol: float
    repeats: int


CASES: list[Case] = []


def case(rtol: float = 1e-5, atol: float = 1e-6, repeats: int = 5) -> Callable[..., Any]:
    """A decorator for what makes a case.  The computation is timed when first called, and `repeats` times after."""

    def note(make: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append(Case(make.__name__, make, rtol, atol, repeats))
        return make

    return note
