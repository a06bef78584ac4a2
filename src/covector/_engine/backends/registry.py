"""The backends by name: the one place that knows which there are.  Each is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from covector._engine.base.locks import import_late

if TYPE_CHECKING:
    from covector._engine.backends.base import Backend

# A module of each backend, which has it under the name BACKEND.  The flag `backend` takes these names.
MODULES = {
    "cpu": "covector._engine.backends.cpu.backend",
    "reference": "covector._engine.backends.reference.backend",
}


@cache
def backend(name: str) -> Backend:
    """The backend of this name; RuntimeError if there is none."""
    if name not in MODULES:
        raise RuntimeError(f"there is no backend {name!r}; the backends are {', '.join(MODULES)}")
    return import_late(MODULES[name]).BACKEND
