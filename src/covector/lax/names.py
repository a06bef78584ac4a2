"""What of `covector.lax` is loaded when it is first asked for: the primitives by name, as `sin_p`, and modules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LATER = ("linalg",)


def __getattr__(name: str) -> Any:
    if name == "linalg":
        return import_module("covector.lax.linalg")
    if not name.endswith("_p") or name.startswith("_"):
        raise AttributeError(f"module 'covector.lax' has no attribute {name!r}")
    return import_module("covector._engine.control.names").named(name)
