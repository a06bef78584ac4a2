"""Room on the stack for what goes as deep as users nest their functions, and the Programs that become of these.

Python has room for 1,000 frames, of which one level takes 5 to 25.  So what calls itself once for each level asks for
room at each: `deep`.  Public functions and compiled ones ask by themselves.  See `native/python/room.cc`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from types import CodeType
from typing import ParamSpec, TypeVar

from covector._engine import _native
from covector._engine.base import errors

P = ParamSpec("P")
R = TypeVar("R")


def deep(f: Callable[P, R]) -> Callable[P, R]:
    """The function, which may call itself as often as something is nested."""

    @wraps(f)
    def with_room(*args: P.args, **kwargs: P.kwargs) -> R:
        return _native.with_room(f, *args, **kwargs)

    return with_room


FRAMES_OF_LEVEL = 60  # that a pass of the compiler takes, at most, for one loop inside of another


def going_through(levels: int, f: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what goes through a Program that is so many levels deep, by recursion."""
    return _native.with_frames(500 + FRAMES_OF_LEVEL * levels, f, *args, **kwargs)


def _too_deep(reason: str) -> Exception:
    """The error where there is no room for more: which function of the user's is inside of itself, and how often."""
    found: Counter[CodeType] = Counter()
    frames = 0
    frame = sys._getframe(1)
    while frame is not None:
        frames += 1
        if not frame.f_code.co_filename.startswith(errors.NO_USERS):
            found[frame.f_code] += 1
        frame = frame.f_back
    nested = ""
    if found:
        code, count = found.most_common(1)[0]
        where = errors.Source(code, code.co_firstlineno)
        nested = f": {count:,} times the function at {where} on {frames:,} frames of the stack"
    limit = sys.getrecursionlimit()
    return errors.NestingError(
        f"functions are nested too deep{errors.at_user_line()}{nested}; {reason}. If that has an end, raise Python's "
        f"limit, which is {limit}: sys.setrecursionlimit({2 * limit})"
    )


# What optree, and native code that takes arguments apart, begin and end their errors with.
_OF_OPTREE = "Maximum recursion depth exceeded during "
_OF_ARGUMENTS = " while flattening the arguments of a compiled function"


def _deep_tree(error: Exception) -> Exception | None:
    """The error that a tree is too deep, in the place of one that says so; None of any other."""
    said = str(error)
    if not said.startswith(_OF_OPTREE) and not said.endswith(_OF_ARGUMENTS):
        return None
    return errors.NestingError(
        f"a tree has containers inside each other deeper than there is room for{errors.at_user_line()}; "
        "about 1,000 levels are. Hold such a chain in one flat list; or, if its links are alike, stack each of "
        "their arrays along a new axis and go through them with lax.scan"
    )


_native.set_hooks(too_deep=_too_deep, deep_tree=_deep_tree)
