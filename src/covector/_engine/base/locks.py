"""Locks that a fork waits for: the child has only the thread that forked, and would wait for ever for one of another.

Nothing may be half done in LLVM either when the process forks, or when it ends and LLVM takes itself down.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Lock = TypeVar("Lock", bound=AbstractContextManager[Any])

# Held by whoever is inside the compiler behind Kernels: LLVM, the linker, the imports of both.
COMPILING = threading.RLock()

_guarded: list[AbstractContextManager[Any]] = [COMPILING]
_held: list[AbstractContextManager[Any]] = []


def guard(lock: Lock) -> Lock:
    """Make forks wait for this lock too.  Whoever holds it must not ask for one that was guarded before it."""
    _guarded.append(lock)
    return lock


def _take_all() -> None:
    for lock in _guarded:
        lock.__enter__()
        _held.append(lock)


def _let_go() -> None:
    taken = _held[::-1]
    _held.clear()  # first: with the last lock another thread that forks may begin to fill it
    for lock in taken:
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_all, after_in_parent=_let_go, after_in_child=_let_go)
# For good: no thread enters the compiler any more.  One that is inside has time to get out.
atexit.register(COMPILING.acquire, timeout=30)
