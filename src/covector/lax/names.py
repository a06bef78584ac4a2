"""What of `covector.lax` is loaded when it is first asked for: the primitives by name, as `sin_p`, and modules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from covector._engine.base.public import missing

_RANDOM = ("RandomAlgorithm", "rng_bit_generator", "rng_uniform")
LATER = ("linalg", "scaled_dot", *_RANDOM)


def __getattr__(name: str) -> Any:
    if name == "linalg":
        return import_module("covector.lax.linalg")
    if name in _RANDOM:
        return getattr(import_module("covector.lax.rng"), name)
    if name == "scaled_dot":
        return import_module("covector.lax.scaled").scaled_dot
    if not name.endswith("_p") or name.startswith("_"):
        raise missing("covector.lax", name)
    found = import_module("covector.lax.composed").composed().get(name)
    found = found or import_module("covector._engine.control.names").names().get(name)
    if found is None:
        raise missing("covector.lax", name)
    return found
