"""What there is one of, whichever thread asks for it first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


def single(make: Callable[..., T]) -> Callable[..., T]:
    """`make`, called once for each tuple of arguments: all threads have the same object.

    Of two threads that ask at once each makes one, and the first that is kept is what both are given.
    `functools.cache` gives each thread its own, of which one is nowhere kept: of the machine code in it, while others
    ran it, nothing was left.
    """
    kept: dict[tuple[Hashable, ...], T] = {}

    @functools.wraps(make)
    def the(*args: Any) -> T:
        try:
            return kept[args]
        except KeyError:
            return kept.setdefault(args, make(*args))

    return the
