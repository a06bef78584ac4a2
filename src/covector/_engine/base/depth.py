"""Recursion that is as deep as Programs inside of Programs are, on a stack that is not.

Python has room for 1,000 frames, of which one level takes 5 to 25.  From so many levels on, what is further in is
done first, from the bottom of the stack; then what was broken off begins again, and finds it.  So what is done this
way must have no effect but its result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
TOGETHER = 12  # levels
OFTEN = 4  # times, for one level more


class _Task(BaseException):
    """Something that is to be done before what asked for it, which is too deep."""

    def __init__(self, table: dict[Any, Any], key: Any, f: Callable[[], Any]):
        super().__init__("too deep")
        self.table, self.key, self.f = table, key, f
        self.begun = 0

    def run(self) -> None:
        """Do it, and remember the result."""
        self.table[self.key] = self.f()


class Depth(threading.local):
    """How many levels of one kind are inside of each other on the stack of this thread, and how many may be."""

    level = 0
    most = 0

    def kept(self, table: dict[K, T], key: K, f: Callable[[], T]) -> T:
        """What a function gives, which is remembered in a table under a key."""
        if key in table:
            return table[key]
        if not self.level:
            self._in_turns(_Task(table, key, f))
            return table[key]
        if self.level >= self.most:
            raise _Task(table, key, f)
        self.level += 1
        try:
            found = table[key] = f()
        finally:
            self.level -= 1
        return found

    def _in_turns(self, task: _Task) -> None:
        """Do something after what it needs from too far inside of it.

        What begins often may take more levels: so it ends, if only by Python's limit, also where what is further in is
        made anew whenever it is asked for.
        """
        pending = [task]
        while pending:
            last = pending[-1]
            self.level, self.most = 1, TOGETHER + last.begun // OFTEN
            last.begun += 1
            try:
                last.run()
                pending.pop()
            except _Task as needed:
                pending.append(needed)
            finally:
                self.level = 0
