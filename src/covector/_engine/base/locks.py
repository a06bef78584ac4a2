"""Locks that a fork waits for: the child has only the thread that forked, and would wait for ever for one of another.

Nothing may be half done in LLVM either when the process forks, or when it ends and LLVM takes itself down.
"""

from __future__ import annotations

import os
import sys
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


class _Importing:
    """What is being imported late: a fork waits for it, one import does not wait for another.

    So no lock is held while a module runs, which may wait for a module that another thread imports.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside: list[int] = []  # the threads, once for each time that they entered

    def __enter__(self) -> None:
        with self._changed:
            self._inside.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._inside.remove(threading.get_ident())
            self._changed.notify_all()

    def acquire(self, blocking: bool = True) -> bool:
        """Let no thread begin, as soon as no other one is inside; False if one is and one is not to wait."""
        mine = threading.get_ident()
        if not self._changed.acquire(blocking):
            return False
        while any(thread != mine for thread in self._inside):
            if not blocking:
                self._changed.release()
                return False
            self._changed.wait()
        return True

    def release(self) -> None:
        """Let others begin again."""
        self._changed.release()


_importing = _Importing()
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


# Parts of other packages, whose own import broke off, as Ctrl-C or a lack of memory makes it.  Ours asks no package
# for a part, and has functions of the same names.
_orphans: set[str] = set()


def import_late(name: str) -> ModuleType:
    """Import a module when it is first needed, which a fork waits for.

    A child would find the module half imported, by a thread that it does not have.  After an import that broke off
    Python makes the package anew, but not the parts that it had imported, which are not attributes of the new one.
    """
    with _importing:
        while True:
            try:
                module = import_module(name)
            except BaseException as error:
                bound = _bind_orphans()
                _orphans.update([m for m in sys.modules.copy() if _is_orphan(m)])
                if not bound or not isinstance(error, Exception):
                    raise
            else:
                _bind_orphans()
                return module


def _package(name: str) -> str:
    return name.rpartition(".")[0]


def _is_orphan(name: str) -> bool:
    package = _package(name)
    return package != "" and package not in sys.modules and not name.startswith("covector.")


def _bind_orphans() -> bool:
    """Make them attributes of the packages that are there again; whether there were any such."""
    found = [m for m in _orphans.copy() if _package(m) in sys.modules and m in sys.modules]
    for name in found:
        vars(sys.modules[_package(name)]).setdefault(name.rpartition(".")[2], sys.modules[name])
        _orphans.discard(name)
    return bool(found)


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


def close() -> None:
    """Let no thread enter the compiler any more, for good.  One that is inside has time to get out.

    Threads that Python stops at exit keep what they hold, and what is freed after that could wait for them.
    """
    if COMPILING.acquire(timeout=30):
        for lock in _entered:
            lock.__enter__()
