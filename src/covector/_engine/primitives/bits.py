"""Random bits: threefry2x32, equal bit for bit to JAX's (with partitionable threefry, its default)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Mapped, View
from covector._engine.ir import scalar
from covector._engine.ir.index import Index, flatten, to_scalar
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.primitives.hashes import hash_pair
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["RandomBits"]

UINTS = {8: dtypes.uint8, 16: dtypes.uint16, 32: dtypes.uint32, 64: dtypes.uint64}


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
