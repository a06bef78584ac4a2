"""The older form of `shard_map`: `jax.experimental.shard_map`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.api import sharded
from covector._engine.base.public import publish

__all__ = ["shard_map"]


def shard_map(
    f: Callable[..., Any], mesh: Any, in_specs: Any, out_specs: Any, check_rep: bool = True
) -> Callable[..., Any]:
    """A function of parts of arrays, on each device of a mesh: `covector.shard_map`, whose `check_vma` is `check_rep`.

    >>> import covector
    >>> from covector.experimental.shard_map import shard_map
    >>> mesh, rows = covector.make_mesh((1,), ("x",)), covector.P("x")
    >>> shard_map(lambda x: 2 * x, mesh, rows, rows)(covector.numpy.ones(2))
    Array([2., 2.], dtype=float32)
    """
    return sharded.shard_map(
        f, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=check_rep
    )


publish(__name__)
