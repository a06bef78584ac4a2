"""The primitives of `covector.lax` by name, as `sin_p`: found when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if not name.endswith("_p") or name.startswith("_"):
        raise AttributeError(f"module 'covector.lax' has no attribute {name!r}")
    found = import_module("covector.lax.composed").composed().get(name)
    return found or import_module("covector._engine.control.names").named(name)
