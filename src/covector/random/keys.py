"""Keys of random numbers: pairs of uint32 words, made from seeds, split, and folded with data."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors, tree
from covector._engine.base.public import bounded
from covector._engine.core.numbers import entered
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.numpy.creation import array, asarray
from covector.numpy.dtype import prng_key
from covector.numpy.fused import fused
from covector.numpy.indexing import getitem
from covector.numpy.join import concatenate, stack, unstack
from covector.numpy.promotion import (
    Array,
    Shape,
    array_it_stands_for,
    broadcast_shapes,
    cast,
    lift,
    shape_of,
    spread,
    stands_for_array,
)
from covector.numpy.shape import reshape

_HIGH = np.uint64(32)


class KeyType:
    """The dtype of keys: `key<fry>`, for the generator threefry2x32."""

    name = "key<fry>"
    type = prng_key
    itemsize = 8

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyType) or other == self.name

    def __hash__(self) -> int:
        return hash(self.name)


KEY_TYPE = KeyType()


@bounded
class Key:
    """An array of keys.  Its words are a uint32 array with one axis more, of length 2.

    A pytree node, so that jit, vmap, scan and the rest take it; `vmap` maps over its leading axes.

    >>> from covector import random
    >>> key = random.key(0)
    >>> key.shape, key.dtype
    ((), key<fry>)
    >>> random.split(key)[0] == key
    Array(False, dtype=bool)
    """

    __slots__ = ("words",)

    def __init__(self, words: Any):
        self.words = words

    @property
    def shape(self) -> Shape:
        """The shape of the array of keys."""
        return self.words.shape[:-1]

    @property
    def dtype(self) -> KeyType:
        """key<fry>."""
        return KEY_TYPE

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of keys."""
        return self.words.size // 2

    def __bool__(self) -> bool:
        raise TypeError(f"keys have no truth value{errors.at_user_line()}")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a single key")
        return operator.index(self.shape[0])

    def __getitem__(self, index: Any) -> Key:
        entries = index if isinstance(index, tuple) else (index,)
        if not any(e is Ellipsis for e in entries):
            entries = (*entries, Ellipsis)
        return Key(getitem(self.words, (*entries, slice(None))))

    def __iter__(self) -> Iterator[Key]:
        if not self.shape:
            raise TypeError("a single key cannot be iterated over; split it")
        return iter([Key(words) for words in unstack(self.words)])

    def reshape(self, *shape: Any) -> Key:
        """The keys in another shape."""
        new = shape[0] if len(shape) == 1 and isinstance(shape[0], Iterable) else shape
        rest = (
            reshape(self.words, (*new, 2)) if -1 not in new else _inferred(self.words, tuple(new))
        )
        return Key(rest)

    def ravel(self) -> Key:
        """The keys on one axis."""
        return self.reshape(-1)

    flatten = ravel

    def block_until_ready(self) -> Key:
        """Wait until the words are computed."""
        self.words.block_until_ready()
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            f"keys cannot be made a NumPy array{errors.at_user_line()}: their words are covector.random.key_data(key)"
        )

    def __repr__(self) -> str:
        if type(self.words) is Array:
            return f"Key({self.shape}, dtype=key<fry>) of\n{np.asarray(self.words)}"
        return f"Key of {self.words!r}"

    @property
    def aval(self) -> ShapedArray:
        """The type of the keys: their shape and `key<fry>`.

        >>> from covector import random
        >>> random.split(random.key(0), 3).aval.shape
        (3,)
        """
        return ShapedArray(self.shape, self.dtype)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Key):
            return self._compared(other)
        shape = (*broadcast_shapes(self.shape, other.shape), 2)
        same = prims.eq(*[spread(lift("==", k.words), shape) for k in (self, other)])
        return prims.All((len(same.shape) - 1,))(same)

    def __ne__(self, other: object) -> Any:
        if not isinstance(other, Key):
            return self._compared(other)
        return prims.not_(self == other)

    def _compared(self, other: object) -> Any:
        """What is no array is another thing than a key; arrays and numbers are a TypeError."""
        if hasattr(other, "dtype") or isinstance(other, int | float | complex):
            raise TypeError(
                f"a key compared with {other!r}{errors.at_user_line()}: keys are compared with keys; their words are "
                "covector.random.key_data(key)"
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _inferred(words: Any, new: tuple[int, ...]) -> Any:
    known = [n for n in new if n != -1]
    rest = words.size // 2 // int(np.prod(known)) if 0 not in known else 0
    return reshape(words, (*[rest if n == -1 else n for n in new], 2))


Array.register(Key)
tree.register_node(
    Key,
    lambda k: ((k.words,), None),
    lambda _, children: Key(*children),
    children=("words",),
    plain=True,
    public=False,
)


def words_of(name: str, key: Any, batched: bool = False) -> Any:
    """The words of a key, or of a raw uint32 array that stands for one; TypeError for anything else."""
    if stands_for_array(key):
        key = array_it_stands_for(key)
    words = key.words if isinstance(key, Key) else key
    if not isinstance(words, Tracer) and type(words) is not Array:
        if not isinstance(words, np.ndarray):
            raise TypeError(
                f"{name} takes a key, got {key!r} of type {type(key).__name__}{errors.at_user_line()}; "
                "make one with covector.random.key(seed)"
            )
        words = asarray(words)
    if words.dtype != dtypes.uint32 or not words.shape or words.shape[-1] != 2:
        raise TypeError(
            f"{name} takes a key, got {typeof(words).text()}{errors.at_user_line()}; "
            "make one with covector.random.key(seed)"
        )
    if not batched and len(words.shape) != 1:
        raise ValueError(
            f"{name} takes a single key, got an array of keys of shape {words.shape[:-1]}{errors.at_user_line()}; "
            "use vmap"
        )
    return words


def _like(key: Any, words: Any) -> Any:
    """Words as a key of the same form."""
    return Key(words) if isinstance(key, Key) else words


# ------------------------------------------------------------------------------------------- from seeds


def _check_impl(name: str, impl: Any) -> None:
    """ValueError for a generator that there is not, TypeError for what names none."""
    if isinstance(impl, int | float):
        raise TypeError(
            f"{name}: impl is {impl!r}{errors.at_user_line()}; it is the name of a generator, 'threefry2x32'"
        )
    if impl is not None and str(impl) not in ("threefry2x32", "fry", "key<fry>"):
        raise ValueError(
            f"{name}: there is no generator {impl!r}{errors.at_user_line()}; the one there is is 'threefry2x32'"
        )


def _seed_words(name: str, seed: Any, impl: Any) -> Any:
    _check_impl(name, impl)
    if isinstance(seed, np.integer):
        seed = int(seed)
    if isinstance(seed, np.bool_):
        seed = bool(seed)
    if isinstance(seed, int):
        if not -(2**63) <= seed < 2**63:
            raise OverflowError(
                f"{name}: the seed {seed} does not fit 64 bits, signed{errors.at_user_line()}"
            )
        high = seed >> 32 & 0xFFFFFFFF if dtypes.of_number(int) == dtypes.int64 else 0
        return array(np.array([high, seed & 0xFFFFFFFF], np.uint32))
    seed = lift(name, seed)
    if not dtypes.is_integer(seed.dtype) or seed.shape:
        raise TypeError(
            f"{name} takes an integer seed, got {typeof(seed).text()}{errors.at_user_line()}"
        )
    low = cast(seed, dtypes.uint32)
    if seed.dtype.itemsize == 8:
        high = cast(prims.shift_right_logical(seed, seed.dtype.type(32)), dtypes.uint32)
    else:
        high = prims.full((), 0, dtypes.uint32)
    return stack([high, low])


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """A key from an integer seed.  The same seed gives the same numbers, which are those of JAX.

    Truth values are the seeds 0 and 1.  There is one generator, 'threefry2x32', JAX's default; its others ('rbg',
    'unsafe_rbg', 'philox4x32', ...) are a ValueError: their numbers depend on the device, and under `vmap` on the
    batch.  `lax.rng_bit_generator` has the bits of 'rbg'.

    >>> import covector
    >>> covector.random.uniform(covector.random.key(0), (2,))
    Array([0.947667 , 0.9785799], dtype=float32)
    """
    return Key(_seed_words("key", seed, impl if dtype is None else dtype))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A key from an integer seed, in the older form of a uint32 array of its two words.

    `random.key` makes keys that are no numbers; both are taken everywhere.  TypeError unless the seed is an integer.

    >>> from covector import random
    >>> random.PRNGKey(7)
    Array([0, 7], dtype=uint32)
    """
    return _seed_words("PRNGKey", seed, impl)


def key_data(keys: Any) -> Any:
    """The words of keys, as uint32 with a last axis of length 2.

    >>> from covector import random
    >>> random.key_data(random.key(7))
    Array([0, 7], dtype=uint32)
    """
    return words_of("key_data", keys, batched=True)


def key_words(aval: ShapedArray) -> ShapedArray | None:
    """The type of the words of keys of a type; None for a type that is not of keys."""
    dtype: Any = aval.dtype
    if not isinstance(dtype, KeyType):
        return None
    return ShapedArray((*aval.shape, 2), np.dtype("uint32"))


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """Keys from their words: the inverse of `key_data`.

    TypeError unless they are uint32 with a last axis of length 2.

    >>> from covector import random
    >>> random.wrap_key_data(random.key_data(random.key(7)))
    Key((), dtype=key<fry>) of
    [0 7]
    """
    return Key(words_of("wrap_key_data", lift("wrap_key_data", key_bits_array), batched=True))


def key_impl(keys: Any) -> str:
    """The name of the generator of keys.

    >>> from covector import random
    >>> random.key_impl(random.key(0))
    'threefry2x32'
    """
    words_of("key_impl", keys, batched=True)
    return "threefry2x32"


def key_dtype(impl: Any = None) -> KeyType:
    """The dtype of keys of a generator; ValueError for another one than 'threefry2x32'.

    >>> from covector import random
    >>> random.key_dtype()
    key<fry>
    """
    _check_impl("key_dtype", impl)
    return KEY_TYPE


def clone(key: Any) -> Any:
    """The key itself, said to be used again on purpose.

    TypeError for what is no key.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.clone(key) == key
    Array(True, dtype=bool)
    """
    return _like(key, words_of("clone", key, batched=True))


# ------------------------------------------------------------------------------------- new keys from old


def split_words(words: Any, shape: Shape) -> Any:
    """The words of new keys: the hashes of the counts 0, 1, ... under one key."""
    pairs = prims.RandomBits(shape, 64)(words)
    high = prims.Convert(dtypes.uint32)(prims.shift_right_logical(pairs, _HIGH))
    low = prims.Convert(dtypes.uint32)(prims.and_(pairs, np.uint64(0xFFFFFFFF)))
    return concatenate([prims.expand_dims(w, (len(shape),)) for w in (high, low)], -1)


_split = fused("shape")(split_words)


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New keys from one, `num` or a shape of them; the old one should not be used again.

    >>> import covector
    >>> covector.random.split(covector.random.key(0), 3).shape
    (3,)
    """
    shape = shape_of(num, "num")
    return _like(key, _split(words_of("split", key), shape=shape))


@fused()
def _fold_in(words: Any, data: Any) -> Any:
    first, second = unstack(words)
    return stack(prims.threefry(first, second, np.uint32(0), data))


def fold_in(key: Any, data: Any) -> Any:
    """A new key from one and an integer, such as the number of a step or a device.

    TypeError unless `data` is an integer, or a truth value; OverflowError for numbers that uint32 does not have.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.fold_in(key, 3)
    Key((), dtype=key<fry>) of
    [2467461003 3840466878]
    """
    words, data = words_of("fold_in", key), entered(data)
    if isinstance(data, int):
        if not 0 <= data < 2**32:
            raise OverflowError(
                f"fold_in: {data} does not fit uint32{errors.at_user_line()}; fold larger numbers in part by part"
            )
        data = np.uint32(data)
    data = lift("fold_in", data)
    if data.shape or not (dtypes.is_integer(data.dtype) or data.dtype == dtypes.bool_):
        raise TypeError(
            f"fold_in takes an integer scalar, got {typeof(data).text()}{errors.at_user_line()}"
        )
    return _like(key, _fold_in(words, cast(data, dtypes.uint32)))
