"""Reasons for decisions, printed if they are asked for (`COVECTOR_EXPLAIN`)."""

from __future__ import annotations

import sys
from collections.abc import Callable

from covector._engine.base.config import config


def unheard(text: str) -> None:
    """For reasons that nobody asked for: they need not be put into words."""


def is_asked(topic: str) -> bool:
    """Whether somebody wants the reasons for decisions on a topic."""
    return topic in config.explain.split(",")


def explain(topic: str) -> Callable[[str], None]:
    """What prints the reasons for decisions on a topic, if they were asked for."""
    if not is_asked(topic):
        return unheard
    return lambda text: print(f"[{topic}] {text}", file=sys.stderr)
