"""What of `covector.lax` is loaded when it is first asked for: the primitives by name, as `sin_p`, and modules."""

from __future__ import annotations

from typing import Any

from covector._engine.base.locks import import_late

# The modules that have what is loaded late.
HOMES = {
    "RandomAlgorithm": "rng",
    "rng_bit_generator": "rng",
    "rng_uniform": "rng",
    "scaled_dot": "scaled",
}


def primitive(name: str) -> Any:
    """The primitive of this name, or None."""
    if not name.endswith("_p") or name.startswith("_"):
        return None
    found = import_late("covector.lax.composed").composed().get(name)
    return found or import_late("covector._engine.control.names").names().get(name)
