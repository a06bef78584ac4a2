"""Functions on pytrees, nested containers of leaves: the short names of `covector.tree_util`, as `jax.tree`."""

from __future__ import annotations

import dataclasses
from typing import Any

from covector import tree_util

__all__ = [
    "all", "broadcast", "flatten", "flatten_with_path", "leaves", "leaves_with_path", "map", "map_with_path",
    "reduce", "reduce_associative", "static", "structure", "transpose", "unflatten",
]  # fmt: skip

all = tree_util.tree_all
broadcast = tree_util.tree_broadcast
flatten, unflatten = tree_util.tree_flatten, tree_util.tree_unflatten
flatten_with_path = tree_util.tree_flatten_with_path
leaves, leaves_with_path = tree_util.tree_leaves, tree_util.tree_leaves_with_path
map, map_with_path = tree_util.tree_map, tree_util.tree_map_with_path
reduce, reduce_associative = tree_util.tree_reduce, tree_util.tree_reduce_associative
structure, transpose = tree_util.tree_structure, tree_util.tree_transpose


def static(**kwargs: Any) -> Any:
    """A field that `covector.tree_util.register_dataclass` takes as static; arguments as of `dataclasses.field`."""
    metadata = {**(kwargs.pop("metadata", None) or {}), "static": True}
    return dataclasses.field(metadata=metadata, **kwargs)
