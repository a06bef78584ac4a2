"""Rows of arrays, which are the steps of a loop: how large they are, and how one is read and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray


def bytes_of(types: Sequence[ShapedArray]) -> int:
    """How much memory values take; those of unknown sizes are taken to be large."""
    sizes = [a.size * a.dtype.itemsize for a in types]
    return sum([n if isinstance(n, int) else 1 << 16 for n in sizes])


def put_row(stack: Any, x: Any, place: Any) -> Any:
    """The stack with a value at a place."""
    shape = typeof(x).shape
    row = prims.Reshape((1, *shape))(x)
    return prims.DynamicUpdateSlice()(stack, row, place, *[np.int64(0) for _ in shape])


def get_row(stack: Any, place: Any) -> Any:
    """What is in a stack at a place."""
    _, *shape = typeof(stack).shape
    row = prims.DynamicSlice((1, *shape))(stack, place, *[np.int64(0) for _ in shape])
    return prims.Reshape(tuple(shape))(row)
