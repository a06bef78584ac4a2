"""Hashes of counters under keys, from which random bits are made: threefry and Philox, of two and of four words.

J. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011.  The functions take uint32 scalars (Expr) and
uint32 NumPy arrays alike.
"""

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
from covector._engine.ir.index import Index
from covector._engine.ir.scalar import Expr, Scalar
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["Hash", "philox2", "philox4", "threefry", "threefry4"]

PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
ROTATIONS_OF_FOUR = (
    *((10, 26), (11, 21), (13, 27), (23, 5)),
    *((6, 20), (17, 11), (25, 10), (18, 20)),
)
WEYL = (0x9E3779B9, 0xBB67AE85)
MULTIPLIER = 0xD256D193
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)


def _mixed(x: Any, y: Any, r: int) -> tuple[Any, Any]:
    """Two words after a step of threefry, which rotates one."""
    x = x + y
    return x, ((y << r) | (y >> (32 - r))) ^ x


def hash_pair(k1: Any, k2: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Threefry of two words and 20 rounds."""
    keys = (k1, k2, k1 ^ k2 ^ PARITY)
    x1, x2 = x1 + keys[0], x2 + keys[1]
    for group in range(5):
        for r in ROTATIONS[group % 2]:
            x1, x2 = _mixed(x1, x2, r)
        x1 = x1 + keys[(group + 1) % 3]
        x2 = x2 + keys[(group + 2) % 3] + (group + 1)
    return x1, x2


def _threefry_of_four(k1: Any, k2: Any, k3: Any, k4: Any, *xs: Any) -> tuple[Any, ...]:
    """Threefry of four words and 20 rounds."""
    keys = (k1, k2, k3, k4, k1 ^ k2 ^ k3 ^ k4 ^ PARITY)
    x1, x2, x3, x4 = (x + k for x, k in zip(xs, keys, strict=False))
    for turn in range(20):
        one, other = ROTATIONS_OF_FOUR[turn % 8]
        if turn % 2 == 0:
            (x1, x2), (x3, x4) = _mixed(x1, x2, one), _mixed(x3, x4, other)
        else:
            (x1, x4), (x3, x2) = _mixed(x1, x4, one), _mixed(x3, x2, other)
        if turn % 4 == 3:
            n = turn // 4 + 1
            x1, x2, x3, x4 = (
                x + keys[(n + i) % 5] + (n if i == 3 else 0) for i, x in enumerate((x1, x2, x3, x4))
            )
    return x1, x2, x3, x4


def _product(x: Any, factor: int) -> tuple[Any, Any]:
    """The upper and the lower half of a product of 64 bits."""
    if isinstance(x, Expr):
        whole = scalar.convert(x, dtypes.uint64) * factor
        return scalar.convert(whole >> 32, dtypes.uint32), scalar.convert(whole, dtypes.uint32)
    whole = x.astype(np.uint64) * np.uint64(factor)
    return (whole >> np.uint64(32)).astype(np.uint32), whole.astype(np.uint32)


def _philox_of_two(k: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Philox of two words and ten rounds."""
    for turn in range(10):
        k = k + WEYL[0] if turn else k
        high, low = _product(x1, MULTIPLIER)
        x1, x2 = high ^ x2 ^ k, low
    return x1, x2


def _philox_of_four(k1: Any, k2: Any, *xs: Any) -> tuple[Any, ...]:
    """Philox of four words and ten rounds."""
    x1, x2, x3, x4 = xs
    for turn in range(10):
        k1, k2 = (k1 + WEYL[0], k2 + WEYL[1]) if turn else (k1, k2)
        high, low = _product(x1, MULTIPLIERS[0])
        high_3, low_3 = _product(x3, MULTIPLIERS[1])
        x1, x2, x3, x4 = high_3 ^ x2 ^ k1, low_3, high ^ x4 ^ k2, low
    return x1, x2, x3, x4


_FUNCTIONS = {
    "threefry2x32": (hash_pair, 2, 2),
    "threefry4x32": (_threefry_of_four, 4, 4),
    "philox2x32": (_philox_of_two, 1, 2),
    "philox4x32": (_philox_of_four, 2, 4),
}


@record
class Hash(Mapped):
    """The hash of the words of counters under those of keys: as many results as words of a counter.

    Operands: the words of a key, and those of a counter, of uint32, of one shape or scalars.  Its `element` gives the
    elements of all results.
    """

    kind: str
    multiple: ClassVar[bool] = True
    no_slope: ClassVar[str | None] = "bits have no derivative"

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.kind

    @property
    def sizes(self) -> tuple[int, int]:
        """How many words a key and a counter have."""
        return _FUNCTIONS[self.kind][1:]

    def type(self, *xs: ShapedArray) -> tuple[ShapedArray, ...]:
        key, counter = self.sizes
        shapes = {x.shape for x in xs if x.shape}
        if len(xs) != key + counter or any(x.dtype != dtypes.uint32 for x in xs) or len(shapes) > 1:
            raise TypeError(
                f"{self.kind} needs {key + counter} operands of uint32 and of one shape, or scalars"
                f"{errors.at_user_line()}, got {', '.join(x.text() for x in xs)}"
            )
        return (ShapedArray(shapes.pop() if shapes else (), dtypes.uint32),) * counter

    def reference(self, *xs: Any) -> tuple[Any, ...]:
        words = np.broadcast_arrays(*[np.atleast_1d(x) for x in xs])
        shape = np.broadcast_shapes(*[x.shape for x in xs])
        return tuple([x.reshape(shape) for x in _FUNCTIONS[self.kind][0](*words)])

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        shapes = [
            tuple([n for a, n in enumerate(typeof(x).shape) if a != d])
            for x, d in zip(args, dims, strict=True)
        ]
        shape = max(shapes, key=len)
        out = self(
            *[prims.batch_to_front(x, d, size, shape) for x, d in zip(args, dims, strict=True)]
        )
        return out, (0,) * len(out)

    def element(self, index: Index, *xs: View) -> Scalar:
        words = [x(index if x.shape else ()) for x in xs]
        return _FUNCTIONS[self.kind][0](*words)


threefry, threefry4 = Hash("threefry2x32"), Hash("threefry4x32")
philox2, philox4 = Hash("philox2x32"), Hash("philox4x32")
