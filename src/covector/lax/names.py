"""The primitives of `covector.lax` by name, as `sin_p`: found when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from covector._engine.base.public import missing


def __getattr__(name: str) -> Any:
    if not name.endswith("_p") or name.startswith("_"):
        raise missing("covector.lax", name)
    found = import_module("covector._engine.control.names").names().get(name)
    if found is None:
        raise missing("covector.lax", name)
    return found
