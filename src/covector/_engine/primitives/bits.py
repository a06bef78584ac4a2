"""Random bits: threefry2x32, equal bit for bit to JAX's (with partitionable threefry, its default)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Mapped, View
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.index import Index, flatten, to_scalar
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["RandomBits", "Threefry", "threefry"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
UINTS = {8: dtypes.uint8, 16: dtypes.uint16, 32: dtypes.uint32, 64: dtypes.uint64}


def hash_pair(k1: Any, k2: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """The threefry2x32 hash of 20 rounds; on uint32 scalars (Expr) and uint32 NumPy arrays alike."""
    keys = (k1, k2, k1 ^ k2 ^ PARITY)
    x1, x2 = x1 + keys[0], x2 + keys[1]
    for group in range(5):
        for r in ROTATIONS[group % 2]:
            x1 = x1 + x2
            x2 = ((x2 << r) | (x2 >> (32 - r))) ^ x1
        x1 = x1 + keys[(group + 1) % 3]
        x2 = x2 + keys[(group + 2) % 3] + (group + 1)
    return x1, x2


@record
class Threefry(Mapped):
    """The threefry2x32 hash of each pair of words (x1, x2) under a key (k1, k2): two results.

    Operands: k1, k2, x1, x2 of uint32, of one shape or scalars.  Its `element` gives the pair of both results'
    elements.
    """

    name: ClassVar[str] = "threefry2x32"
    multiple: ClassVar[bool] = True
    no_slope: ClassVar[str | None] = "bits have no derivative"

    def type(self, *xs: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
        shapes = {x.shape for x in xs if x.shape}
        if len(xs) != 4 or any(x.dtype != dtypes.uint32 for x in xs) or len(shapes) > 1:
            raise TypeError(
                f"threefry2x32 needs four operands of uint32 and of one shape, or scalars{errors.at_user_line()}, "
                f"got {', '.join(x.text() for x in xs)}"
            )
        out = ShapedArray(shapes.pop() if shapes else (), dtypes.uint32)
        return out, out

    def reference(self, *xs: Any) -> tuple[Any, Any]:
        x1, x2 = hash_pair(*np.broadcast_arrays(*[np.atleast_1d(x) for x in xs]))
        shape = np.broadcast_shapes(*[x.shape for x in xs])
        return x1.reshape(shape), x2.reshape(shape)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        shapes = [
            tuple([n for a, n in enumerate(typeof(x).shape) if a != d])
            for x, d in zip(args, dims, strict=True)
        ]
        shape = max(shapes, key=len)
        out = self(
            *[prims.batch_to_front(x, d, size, shape) for x, d in zip(args, dims, strict=True)]
        )
        return out, (0, 0)

    def element(self, index: Index, *xs: View) -> Scalar:
        words = [x(index if x.shape else ()) for x in xs]
        return hash_pair(*words)


threefry = Threefry()


@record
class RandomBits(Mapped):
    """Random unsigned integers of `width` bits in a shape, for each key.  Operand: keys, uint32 of shape (..., 2).

    An element is a hash of its row-major position under the key, so any part of it can be made anywhere.
    """

    shape: tuple[Dim, ...]
    width: int
    name: ClassVar[str] = "random_bits"
    no_slope: ClassVar[str | None] = "bits have no derivative"

    def type(self, keys: ShapedArray) -> ShapedArray:
        if keys.dtype != dtypes.uint32 or not keys.ndim or keys.shape[-1] != 2:
            raise TypeError(
                f"random_bits needs keys of uint32[..., 2]{errors.at_user_line()}, got {keys.text()}"
            )
        if self.width not in UINTS:
            raise ValueError(
                f"random_bits gives 8, 16, 32 or 64 bits{errors.at_user_line()}, not {self.width}"
            )
        return ShapedArray((*keys.shape[:-1], *self.shape), UINTS[self.width])

    def reference(self, keys: Any) -> Any:
        own = prims.sizes(self.shape)
        shape = (*keys.shape[:-1], *own)
        position = np.arange(np.prod(own, dtype=np.uint64), dtype=np.uint64).reshape(
            (1,) * (keys.ndim - 1) + own
        )
        k1, k2 = (keys[..., i].reshape(keys.shape[:-1] + (1,) * len(self.shape)) for i in (0, 1))
        words = [k1, k2, position >> np.uint64(32), position & np.uint64(0xFFFFFFFF)]
        high, low = hash_pair(
            *[np.broadcast_to(w, shape).astype(np.uint32).reshape(-1) for w in words]
        )
        if self.width == 64:
            return ((high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)).reshape(
                shape
            )
        return (high ^ low).astype(UINTS[self.width]).reshape(shape)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (keys,), (d,) = args, dims
        assert d is not None
        return self(prims.move_axis(keys, d, 0)), 0

    def element(self, index: Index, *xs: View) -> Scalar:
        (keys,) = xs
        split = len(index) - len(self.shape)
        position = flatten(index[split:], self.shape)
        k1, k2 = (keys((*index[:split], i)) for i in (0, 1))
        high, low = hash_pair(
            k1,
            k2,
            to_scalar(dims.floordiv(position, 1 << 32), dtypes.uint32),
            to_scalar(position, dtypes.uint32),
        )
        assert isinstance(high, Expr)
        if self.width == 64:
            return (scalar.convert(high, dtypes.uint64) << 32) | scalar.convert(low, dtypes.uint64)
        return scalar.convert(high ^ low, UINTS[self.width])
