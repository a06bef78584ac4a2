"""What is kept of traced functions and compiled code, in many places, can be forgotten in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

T = TypeVar("T")

_forgetting: list[Callable[[], object]] = []


def forgotten_by(clear: Callable[[], object]) -> None:
    """Let `clear_caches` call this."""
    _forgetting.append(clear)


def members(found: WeakSet[T]) -> list[T]:
    """Those that there are now, whatever other threads add meanwhile."""
    while True:
        try:
            return list(found)
        except RuntimeError:  # the set changed its size: weak sets know no other way to say so
            continue


def clear_caches() -> None:
    """Forget all that was traced and compiled in this process; what is kept on disk stays.

    Functions are traced and compiled again when they are called next.  Arrays stay.

    >>> import covector
    >>> f = covector.jit(lambda x: x + 1)
    >>> _ = f(1.0)
    >>> covector.clear_caches()
    >>> f.cache_size()
    0
    """
    for clear in _forgetting:
        clear()
