"""What the rules of several families share: batch axes, zeros, linear operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.core.numbers import number
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "add_batch_axis",
    "batch_to_front",
    "full",
    "inverse_permutation",
    "linear_jvp",
    "materialize",
    "move_axis",
    "same_batch_axis",
    "sizes",
    "zeros",
]


def sizes(shape: Sequence[Dim]) -> tuple[int, ...]:
    """A shape without symbols, as ints: for references, whose operands are there."""
    return tuple([int(n) for n in shape])


def full(shape: tuple[Dim, ...], value: Any, dtype: np.dtype) -> Any:
    """An array that has the same value everywhere."""
    scalar = np.asarray(value).astype(dtype)[()]
    return prims.Broadcast(shape, tuple(range(len(shape))))(scalar) if shape else scalar


def zeros(aval: ShapedArray) -> Any:
    """Zeros of a type."""
    zero = number(0, aval)
    return prims.Broadcast(aval.shape, tuple(range(aval.ndim)))(zero) if aval.shape else zero


def materialize(t: Any) -> Any:
    """A tangent as an array: a symbolic zero becomes zeros."""
    return zeros(t.aval) if type(t) is Zero else t


def linear_jvp(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """The jvp rule of a primitive that is linear in all its operands together."""
    out = primitive(*primals)
    if all(map(is_zero, tangents)):
        return out, Zero(out)
    return out, primitive(*map(materialize, tangents))


def inverse_permutation(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes this one."""
    inverse = [0] * len(permutation)
    for i, p in enumerate(permutation):
        inverse[p] = i
    return tuple(inverse)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """The array with one axis in another place, the others in their order."""
    if source == destination:
        return x
    order = [i for i in range(typeof(x).ndim) if i != source]
    order.insert(destination, source)
    return prims.Transpose(tuple(order))(x)


def add_batch_axis(x: Any, size: Dim, axis: int = 0) -> Any:
    """The same value for every position of a new axis."""
    shape = typeof(x).shape
    return prims.Broadcast((*shape[:axis], size, *shape[axis:]), (axis,))(x)


def batch_to_front(x: Any, dim: int | None, size: Dim, shape: tuple[Dim, ...] | None = None) -> Any:
    """The operand with its batch axis in front; one that has none gets it.

    `shape` is for operands that one scalar may stand in for: the shape of the others, without the batch axis.
    Then an unbatched scalar stays as it is, and a batched one takes the shape.
    """
    own = typeof(x).ndim - (dim is not None)
    if dim is None:
        return x if shape and own == 0 else add_batch_axis(x, size)
    if shape and own == 0:
        return prims.Broadcast((size, *shape), tuple(range(1, len(shape) + 1)))(x)
    return move_axis(x, dim, 0)


def same_batch_axis(
    args: Sequence[Any], dims: Sequence[int | None], size: Dim
) -> tuple[list[Any], int]:
    """Operands of one rank with their batch axes in one place, and that place: where the first has it."""
    axis = next(d for d in dims if d is not None)
    moved = [
        add_batch_axis(x, size, axis) if d is None else move_axis(x, d, axis)
        for x, d in zip(args, dims, strict=True)
    ]
    return moved, axis
