"""Random bits from a state that counts on, as XLA's generators make them; numbers without a key."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.callbacks import io_callback
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.control.composite import Composite
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct
from covector._engine.types.dims import Dim
from covector.lax.operands import array, operands
from covector.numpy.fused import fused
from covector.numpy.join import stack, unstack
from covector.numpy.operands import converted
from covector.numpy.promotion import Shape, lift, shape_of, spread

__all__ = ["RandomAlgorithm", "rng_bit_generator", "rng_uniform"]


class RandomAlgorithm(enum.IntEnum):
    """The generators of `rng_bit_generator`; the default one is Philox.

    >>> from covector import lax
    >>> lax.RandomAlgorithm.RNG_PHILOX.value
    2
    """

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2


_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_UINTS = (dtypes.uint8, dtypes.uint16, dtypes.uint32, dtypes.uint64)


def _halves(x: Any) -> tuple[Any, Any]:
    """The lower and the upper 32 bits of 64."""
    high = prims.Convert(dtypes.uint32)(prims.shift_right_logical(x, _HALF))
    return prims.Convert(dtypes.uint32)(prims.and_(x, _LOW)), high


def _whole(low: Any, high: Any) -> Any:
    """64 bits of their halves."""
    low, high = (prims.Convert(dtypes.uint64)(x) for x in (low, high))
    return prims.or_(low, prims.shift_left(high, _HALF))


def _counts(start: Any, n: int) -> tuple[Any, Any]:
    """The halves of n numbers from `start` on."""
    return _halves(prims.add(prims.Iota((n,), dtypes.uint64, 0)(), spread(start, (n,))))


def _philox(words: Any, start: Any, n: int) -> Any:
    """n blocks of four words: Philox4x32 of ten rounds under the key in the first two words of the state.

    J. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    first, second = (spread(w, (n,)) for w in words[:2])
    a, b = _counts(start, n)
    c, d = first, second
    for _ in range(10):
        low_a, high_a = _halves(prims.mul(prims.Convert(dtypes.uint64)(a), np.uint64(0xD2511F53)))
        low_c, high_c = _halves(prims.mul(prims.Convert(dtypes.uint64)(c), np.uint64(0xCD9E8D57)))
        a, b = prims.xor(prims.xor(high_c, b), first), low_c
        c, d = prims.xor(prims.xor(high_a, d), second), low_a
        first = prims.add(first, np.uint32(0x9E3779B9))
        second = prims.add(second, np.uint32(0xBB67AE85))
    return stack([a, b, c, d], -1)


def _flat(blocks: Any, count: int, shape: Shape) -> Any:
    """The first words of the blocks, in a shape."""
    words = prims.Reshape((int(np.prod(blocks.shape)),))(blocks)
    return prims.Reshape(shape)(words[:count])


def _bits_by_philox(words: Any, start: Any, shape: Shape, wide: bool) -> tuple[Any, int]:
    """Bits, and how far they count."""
    count = int(dims.product(shape))
    n = -(-count // (2 if wide else 4))
    blocks = _philox(words, start, n)
    if wide:
        blocks = stack([_whole(blocks[:, i], blocks[:, i + 1]) for i in (0, 2)], -1)
    return _flat(blocks, count, shape), n


def _bits_by_threefry(words: Any, start: Any, shape: Shape, wide: bool) -> tuple[Any, int]:
    """Bits, and how far they count: pairs of words lie along the first even axis, or along the first, which is cut."""
    if wide or not shape:
        count = int(dims.product(shape))
        low, high = prims.threefry(*words[:2], *_counts(start, count))
        return _flat(_whole(low, high) if wide else low, count, shape), count
    axis = next((a for a, n in enumerate(shape) if n % 2 == 0), 0)
    half = (*shape[:axis], (shape[axis] + 1) // 2, *shape[axis + 1 :])
    count = int(dims.product(half))
    pair = prims.threefry(*words[:2], *_counts(start, count))
    both = stack([prims.Reshape(half)(w) for w in pair], axis + 1)
    longer = (*half[:axis], 2 * half[axis], *half[axis + 1 :])
    cut = tuple([slice(n) for n in shape])
    return prims.Reshape(longer)(both)[cut], count


@record
class RngBitGenerator(Composite):
    """The state after it, and random bits in a shape, of a state uint32[4] or uint64[2].

    Of a batch of states, as in JAX, the bits are those of the first alone, in one more axis.
    """

    shape: Shape
    dtype: np.dtype
    threefry: bool
    name: ClassVar[str] = "rng_bit_generator"
    multiple: ClassVar[bool] = True
    no_slope: ClassVar[str | None] = "bits have no derivative"

    def type(self, state: ShapedArray) -> tuple[ShapedArray, ShapedArray]:
        return state, ShapedArray(self.shape, self.dtype)

    def compute(self, state: Any) -> tuple[Any, Any]:
        wide_state = state.dtype == dtypes.uint64
        words = [h for w in unstack(state) for h in _halves(w)] if wide_state else unstack(state)
        start = _whole(*words[2:])
        generate = _bits_by_threefry if self.threefry else _bits_by_philox
        bits, count = generate(words, start, self.shape, self.dtype == dtypes.uint64)
        after = prims.add(start, np.uint64(count))
        new = stack([_whole(*words[:2]), after] if wide_state else [*words[:2], *_halves(after)])
        return new, converted(bits, self.dtype)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (states,), (axis,) = args, dims
        assert axis is not None
        states = prims.move_axis(states, axis, 0)
        after, bits = replace(self, shape=(size, *self.shape))(states[0])
        return (prims.Concatenate(0)(prims.expand_dims(after, (0,)), states[1:]), bits), (0, 0)


@fused("shape", "dtype", "threefry")
def generated(state: Any, shape: Shape, dtype: np.dtype, threefry: bool = False) -> tuple[Any, Any]:
    """The state after it, and bits: by Philox, or threefry, from a state that is known to be one."""
    return RngBitGenerator(shape, dtype, threefry)(state)


def rng_bit_generator(
    key: Any,
    shape: Any,
    dtype: Any = np.uint32,
    algorithm: RandomAlgorithm = RandomAlgorithm.RNG_DEFAULT,
    *,
    out_sharding: Any = None,
) -> tuple[Any, Any]:
    """The state after it, and random bits as unsigned integers, from a state of 128 bits.

    The state is uint32[4] or uint64[2]; its first half is a key, its second half counts.  The bits are those of XLA.
    Under `vmap`, as in JAX, those of all states are the bits of the first, so that no two are equal.
    TypeError for another state or dtype, ValueError for another algorithm.

    >>> from covector import lax, numpy as cnp
    >>> state, bits = lax.rng_bit_generator(cnp.zeros(4, "uint32"), (2,))
    >>> state, bits
    (Array([0, 0, 1, 0], dtype=uint32), Array([1713891541, 3781805453], dtype=uint32))
    """
    state, wanted = array("rng_bit_generator", key), dtypes.as_dtype(dtype)
    if (state.dtype, state.shape) not in ((dtypes.uint32, (4,)), (dtypes.uint64, (2,))):
        raise TypeError(
            f"rng_bit_generator takes a state uint32[4] or uint64[2], got {typeof(state).text()}{errors.at_user_line()}"
        )
    if wanted not in _UINTS:
        raise TypeError(
            f"rng_bit_generator gives unsigned integers, not {wanted.name}{errors.at_user_line()}"
        )
    if algorithm not in list(RandomAlgorithm):
        raise ValueError(
            f"rng_bit_generator: {algorithm!r} is no algorithm{errors.at_user_line()}; "
            f"use one of {', '.join(RandomAlgorithm.__members__)}"
        )
    threefry = RandomAlgorithm(algorithm) is RandomAlgorithm.RNG_THREE_FRY
    return generated(state, shape=shape_of(shape), dtype=wanted, threefry=threefry)


def _fresh_state() -> np.ndarray:
    return np.frombuffer(secrets.token_bytes(16), np.uint32)


def rng_uniform(a: Any, b: Any, shape: Any) -> Any:
    """Numbers spread evenly over [a, b), other ones each time: a function without a key, and so not repeatable.

    Floats or integers, as a and b are.  Each run of a jitted function draws anew, as it calls the host back.
    TypeError for bounds that are not single numbers, or of different dtypes.

    >>> from covector import lax
    >>> lax.rng_uniform(0.0, 1.0, (3,)).shape
    (3,)
    """
    a, b = (lift("rng_uniform", x) for x in operands("rng_uniform", a, b))
    if a.shape or b.shape or dtypes.kind(a.dtype) not in "iuf" or a.dtype != b.dtype:
        raise errors.DtypeError(
            f"rng_uniform takes two real numbers, got {typeof(a).text()} and {typeof(b).text()}{errors.at_user_line()}"
        )
    shape = shape_of(shape)
    state = io_callback(_fresh_state, ShapeDtypeStruct((4,), np.uint32))
    # 64 bits inside, whatever dtypes are allowed outside.
    _, bits = generated(state, shape=shape, dtype=dtypes.uint64, threefry=False)
    low, high = (spread(x, shape) for x in (a, b))
    if not dtypes.is_float(a.dtype):
        span = prims.maximum(converted(prims.sub(high, low), dtypes.uint64), np.uint64(1))
        return prims.add(low, converted(prims.rem(bits, span), a.dtype))
    kept = converted(prims.shift_right_logical(bits, np.uint64(11)), dtypes.float64)
    unit = prims.mul(kept, 2.0**-53)
    low, high = (converted(x, dtypes.float64) for x in (low, high))
    drawn = prims.add(low, prims.mul(unit, prims.sub(high, low)))
    # Rounded to fewer digits it may be b, which is not below b.
    below = prims.nextafter(spread(b, shape), spread(a, shape))
    return prims.minimum(converted(drawn, a.dtype), prims.maximum(below, spread(a, shape)))
