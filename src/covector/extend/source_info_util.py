"""Whose code is shown: what libraries use of `jax.extend.source_info_util`."""

from __future__ import annotations

from covector._engine.base.public import leave_out, publish

__all__ = ["register_exclusion"]


def register_exclusion(path: str) -> None:
    """Leave a library's file out of tracebacks from now on, as our own are.

    >>> from covector.extend import source_info_util
    >>> source_info_util.register_exclusion("/nowhere/library.py")
    """
    leave_out(path)


publish(__name__)
