"""Trees of truth values over arguments, and trees that have the form of others: of `vjp` and `linearize`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from covector._engine.base import errors, tree


def truths(what: str, given: Any, treedef: tree.TreeDef) -> list[bool]:
    """A truth value for each leaf of a structure, of a tree of them that may be as deep as it or end before.

    Nodes fit by the number of their children, whatever they are; dicts by their keys.  ValueError for others.
    """
    found: list[bool] = []
    _spread(what, given, treedef, found)
    return found


def _spread(what: str, given: Any, treedef: tree.TreeDef, found: list[bool]) -> None:
    if isinstance(given, bool):
        found += [given] * treedef.num_leaves
        return
    children = tree.children(given)
    if children is None:
        raise ValueError(
            f"{what} is {given!r} of type {type(given).__name__}{errors.at_user_line()}; it takes True, False and "
            "trees of these, as (True, False) for two arguments"
        )
    parts, keys = treedef.children(), treedef.entries()
    alike = type(given) is not dict or treedef.type is not dict or sorted(given) == sorted(keys)
    if treedef.is_leaf() or len(children) != len(parts) or not alike:
        raise ValueError(
            f"{what} is {given!r}{errors.at_user_line()}, which has not the form of what it is for, {treedef}"
        )
    for key, part, entry in zip(keys, parts, children, strict=True):
        _spread(f"{what}[{key!r}]", entry, part, found)


def mirrored(treedef: tree.TreeDef, leaves: Iterable[Any]) -> Any:
    """A tree of a structure's form with other leaves: nodes that are no list, dict or None become tuples."""
    return _mirrored(treedef, iter(leaves))


def _mirrored(treedef: tree.TreeDef, leaves: Iterator[Any]) -> Any:
    if treedef.is_leaf():
        return next(leaves)
    if treedef.type in (None, type(None)):
        return None
    parts = [_mirrored(part, leaves) for part in treedef.children()]
    if treedef.type is dict:
        return dict(zip(treedef.entries(), parts, strict=True))
    return parts if treedef.type is list else tuple(parts)
