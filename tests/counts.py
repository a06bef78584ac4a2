"""What a run does, in numbers that are the same on each machine: growth is asserted by them, never by seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from covector import clear_caches

T = TypeVar("T")


def calls(run: Callable[[], T], afresh: bool = True) -> tuple[int, T]:
    """How many functions a run calls, and its result; what was made before it is forgotten, if not asked otherwise."""
    called, before = 0, sys.getprofile()
    if afresh:  # whatever tests ran before
        clear_caches()

    def see(frame: object, event: str, arg: object) -> None:
        nonlocal called
        called += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        result = run()
    finally:
        sys.setprofile(before)
    return called, result


def steps(run: Callable[[], T]) -> tuple[int, T]:
    """How many lines of Python a run goes through, each turn of a loop among them, and its result."""
    passed, before = 0, sys.gettrace()

    def see(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal passed
        passed += event == "line"
        return see

    sys.settrace(see)
    try:
        result = run()
    finally:
        sys.settrace(before)
    return passed, result


def lines_in_loops(jitted: Any, *args: Any) -> list[str]:
    """What the Kernel of a jitted function does inside a loop or a choice, a statement a line."""
    text = jitted.lower(*args).compile().as_text("kernels")
    return [line.strip() for line in text.splitlines() if line.startswith(" " * 8)]
