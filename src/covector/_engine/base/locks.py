"""Locks that a fork waits for: the child has only the thread that forked, and would wait for ever for one of another.

Nothing may be half done in LLVM either when the process forks, or when it ends and LLVM takes itself down.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, TypeVar

# Held by whoever is inside the compiler behind Kernels: LLVM, the linker, the imports of both.
COMPILING = threading.RLock()


class Lock(Protocol):
    """What this file asks of a lock."""

    def acquire(self, blocking: bool = True) -> bool:
        """Take it; False if it is taken and one is not to wait."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


_importing = threading.RLock()
_guarded: list[Lock] = [COMPILING, _importing]
_entered: list[AbstractContextManager[Any]] = []  # those that cannot be tried
_held: list[Lock] = []

L = TypeVar("L", bound=Lock)


def guard(lock: L) -> L:
    """Make forks wait for this lock too."""
    _guarded.append(lock)
    return lock


def guard_entered(lock: AbstractContextManager[Any]) -> None:
    """Make forks wait for what is no more than entered.  Whoever is inside asks for no other lock."""
    _entered.append(lock)


def import_late(name: str) -> ModuleType:
    """Import a module when it is first needed, which a fork waits for.

    A child would find the module half imported, by a thread that it does not have.
    """
    with _importing:
        return import_module(name)


def _take_all() -> None:
    """Take all of them, or none while it waits for one: so it does not matter in which order others take several."""
    taken: list[Lock] = []
    missing: Lock | None = None
    while True:
        if missing is not None:
            missing.acquire()
            taken.append(missing)
        others = [lock for lock in _guarded if lock not in taken]
        missing = next((lock for lock in others if not _tried(lock, taken)), None)
        if missing is None:
            break
        _release(taken)
    for lock in _entered:
        lock.__enter__()
    _held.extend(taken)


def _tried(lock: Lock, taken: list[Lock]) -> bool:
    got = lock.acquire(blocking=False)
    if got:
        taken.append(lock)
    return got


def _release(taken: list[Lock]) -> None:
    while taken:
        taken.pop().release()


def _let_go() -> None:
    taken = _held.copy()
    _held.clear()  # first: with the last lock another thread that forks may begin to fill it
    for lock in reversed(_entered):
        lock.__exit__(None, None, None)
    _release(taken)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_all, after_in_parent=_let_go, after_in_child=_let_go)
# For good: no thread enters the compiler any more.  One that is inside has time to get out.
atexit.register(COMPILING.acquire, timeout=30)
