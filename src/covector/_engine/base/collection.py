"""Python's collector of garbage, held back while something is traced or compiles.

Both make many objects and hardly any cycles: the collector looks at them again and again and finds nothing, which was 8
to 12 % of the time of a compilation.  Of tracing it was half, most of it for looks at all there is; what the user's
function leaves there goes as ever if it is young.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable

from covector._engine.base.locks import guard


class _HeldBack:
    """Between entering and leaving, by any number of threads, collections are not as they were.

    `begin` sees to that, and gives what ends it.
    """

    def __init__(self, begin: Callable[[], Callable[[], None]]) -> None:
        self._begin, self._end = begin, _nothing
        self._lock = guard(threading.Lock())
        self._inside: list[int] = []  # the threads, once for each time that they entered

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._end = self._begin()
            self._inside.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside.remove(threading.get_ident())
            if not self._inside:
                self._end()

    def after_fork(self) -> None:
        """In the child of a fork there is only the thread that forked."""
        if self._inside:
            mine = threading.get_ident()
            self._inside = [thread for thread in self._inside if thread == mine]
            if not self._inside:
                self._end()


def _nothing() -> None: ...


def _off() -> Callable[[], None]:
    if not gc.isenabled():
        return _nothing
    gc.disable()
    return gc.enable


def _of_young_objects() -> Callable[[], None]:
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)

    def end() -> None:
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, old)

    return end


_NEVER = 1 << 30  # so many collections of younger objects before one of all

NO_COLLECTION = _HeldBack(_off)
NO_FULL_COLLECTION = _HeldBack(_of_young_objects)

if hasattr(os, "register_at_fork"):
    for held_back in (NO_COLLECTION, NO_FULL_COLLECTION):
        os.register_at_fork(after_in_child=held_back.after_fork)
