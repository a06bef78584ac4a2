"""Python's collector of garbage, held back while something compiles.

The compiler makes many objects and hardly any cycles: the collector looks at them again and again and finds nothing,
which was 8 to 12 % of the time of a compilation.
"""

from __future__ import annotations

import gc
import os
import threading

from covector._engine.base.locks import guard


class _HeldBack:
    """Between entering and leaving, by any number of threads, there is no collection."""

    def __init__(self) -> None:
        self._lock = guard(threading.Lock())
        self._inside: list[int] = []  # the threads, once for each time that they entered
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside.append(threading.get_ident())

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside.remove(threading.get_ident())
            self._end()

    def _end(self) -> None:
        if not self._inside and self._was_on:
            gc.enable()

    def after_fork(self) -> None:
        """In the child of a fork there is only the thread that forked."""
        if self._inside:
            mine = threading.get_ident()
            self._inside = [thread for thread in self._inside if thread == mine]
            self._end()


NO_COLLECTION = _HeldBack()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=NO_COLLECTION.after_fork)
