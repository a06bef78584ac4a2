"""Functions with batching rules of the user's: names and meanings are those of `jax.custom_batching`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.api.custom_vmap import custom_vmap as custom_vmap
from covector._engine.base import tree
from covector._engine.base.public import publish
from covector.lax.control_flow import map as _map

__all__ = ["custom_vmap", "sequential_vmap"]


def sequential_vmap(f: Callable[..., Any]) -> Any:
    """The function, which `vmap` applies to one element after the other.

    >>> import covector
    >>> import covector.numpy as np
    >>> f = covector.custom_batching.sequential_vmap(lambda x: x * x)
    >>> print(covector.vmap(f)(np.arange(3)))
    [0 1 4]
    """
    custom = custom_vmap(f)

    def rule(axis_size: Any, in_batched: list[Any], *args: Any) -> Any:
        leaves, treedef = tree.flatten(args)
        flags = tree.leaves(tuple(in_batched))
        mapped = [x for x, mine in zip(leaves, flags, strict=True) if mine]

        def one(given: list[Any]) -> Any:
            rest = iter(given)
            full = [next(rest) if mine else x for x, mine in zip(leaves, flags, strict=True)]
            return f(*tree.unflatten(treedef, full))

        out = _map(one, mapped)
        return out, tree.map(lambda _: True, out)

    custom.def_vmap(rule)
    return custom


publish(__name__)
