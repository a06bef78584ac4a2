"""Arrays of the dtype float0 hold nothing: where functions are staged they are structure of trees, no leaves."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base import tree
from covector._engine.types import dtypes


class Nothing:
    """Stands for an array of float0 in the structure of a tree: unflattened, it is that array."""

    __slots__ = ("shape",)

    def __init__(self, shape: tuple[Any, ...]):
        self.shape = shape


def array_of_nothing(shape: tuple[Any, ...]) -> np.ndarray:
    """The array of float0 of a shape."""
    return np.zeros(shape, dtypes.float0)


def is_nothing(x: Any) -> bool:
    """Whether it is an array of float0."""
    return type(x) is np.ndarray and x.dtype == dtypes.float0


def marked(x: Any) -> tuple[list[Any], tree.TreeDef]:
    """The leaves and the structure of a tree, with `Nothing` for arrays of float0, which are structure."""
    leaves, treedef = tree.flatten(x)
    if not any(map(is_nothing, leaves)):
        return leaves, treedef
    found = [Nothing(v.shape) if is_nothing(v) else v for v in leaves]
    return tree.flatten(tree.unflatten(treedef, found))


def leaf_paths(x: Any) -> list[str]:
    """For messages: the expression that reaches each leaf that `marked` gives."""
    return [tree.keystr(path) for path, v in tree.leaves_with_path(x) if not is_nothing(v)]


def with_axis(x: Any, size: Any) -> Any:
    """The tree with one more axis in front of arrays of float0, as the others have got one."""
    leaves, treedef = tree.flatten(x)
    if not any(map(is_nothing, leaves)):
        return x
    grown = [array_of_nothing((size, *v.shape)) if is_nothing(v) else v for v in leaves]
    return tree.unflatten(treedef, grown)


tree.register_node(Nothing, lambda x: ((), x.shape), lambda shape, _: array_of_nothing(shape))
