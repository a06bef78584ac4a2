"""Keys of random numbers: words of uint32 under a generator, made from seeds, split, and folded with data."""

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
from covector._engine.runtime.device import check_places
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.numpy.creation import asarray
from covector.numpy.fused import fused
from covector.numpy.indexing import getitem
from covector.numpy.join import unstack
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
from covector.numpy.shape import reshape, transpose
from covector.random.generators import NAMED, THREEFRY, Generator, KeyType, chosen, default


@bounded
class Key:
    """An array of keys.  Its words are a uint32 array with one axis more; the generator says how many there are.

    A pytree node, so that jit, vmap, scan and the rest take it; `vmap` maps over its leading axes.

    >>> from covector import random
    >>> key = random.key(0)
    >>> key.shape, key.dtype
    ((), key<fry>)
    >>> random.split(key)[0] == key
    Array(False, dtype=bool)
    """

    __slots__ = ("__weakref__", "generator", "words")

    def __init__(self, words: Any, generator: Generator = THREEFRY):
        self.words, self.generator = words, generator

    def like(self, words: Any) -> Key:
        """Keys of the same generator, of these words.

        >>> from covector import random
        >>> key = random.key(0)
        >>> key.like(random.key_data(key)) == key
        Array(True, dtype=bool)
        """
        return Key(words, self.generator)

    @property
    def shape(self) -> Shape:
        """The shape of the array of keys."""
        return self.words.shape[:-1]

    @property
    def dtype(self) -> KeyType:
        """The dtype of the generator's keys, such as key<fry>."""
        return self.generator.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of keys."""
        return self.words.size // self.generator.length

    def __getattr__(self, name: str) -> Any:
        plain = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name.startswith("__") or not hasattr(Tracer, name):
            raise AttributeError(plain, name=name, obj=self)
        raise AttributeError(
            f"{plain}{errors.at_user_line()}: keys are no numbers; `random.bits` and its like give some, and "
            "`random.key_data` the words that a key is made of",
            name=name,
            obj=self,
        )

    def __pos__(self) -> Key:
        return self

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
        return self.like(getitem(self.words, (*entries, slice(None))))

    def __iter__(self) -> Iterator[Key]:
        if not self.shape:
            raise TypeError("a single key cannot be iterated over; split it")
        return iter([self.like(words) for words in unstack(self.words)])

    def reshape(self, *shape: Any, order: str = "C", out_sharding: Any = None) -> Key:
        """The keys in another shape, as arrays."""
        new = shape[0] if len(shape) == 1 and isinstance(shape[0], Iterable) else shape
        if order == "F":
            return self._turned().reshape(tuple(new)[::-1])._turned()
        check_places("reshape", "out_sharding", (out_sharding,))
        if -1 in new:
            known = [n for n in new if n != -1]
            rest = self.size // int(np.prod(known)) if 0 not in known else 0
            new = [rest if n == -1 else n for n in new]
        return self.like(reshape(self.words, (*new, self.generator.length)))

    def _turned(self) -> Key:
        """The axes in the opposite order."""
        return self.like(transpose(self.words, (*range(self.ndim)[::-1], self.ndim)))

    def ravel(self, order: str = "C", *, out_sharding: Any = None) -> Key:
        """The keys on one axis."""
        return self.reshape(-1, order=order, out_sharding=out_sharding)

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
            return f"Key({self.shape}, dtype={self.dtype}) of\n{np.asarray(self.words)}"
        return f"Key of {self.words!r}"

    @property
    def aval(self) -> ShapedArray:
        """The type of the keys: their shape and dtype.

        >>> from covector import random
        >>> random.split(random.key(0), 3).aval.shape
        (3,)
        """
        return ShapedArray(self.shape, self.dtype)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Key):
            return self._compared(other)
        if self.generator is not other.generator:
            raise TypeError(
                f"keys of {self.dtype} compared with keys of {other.dtype}{errors.at_user_line()}"
            )
        shape = (*broadcast_shapes(self.shape, other.shape), self.generator.length)
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


Array.register(Key)
tree.register_node(
    Key,
    lambda k: ((k.words,), (k.generator,)),
    lambda generator, children: Key(*children, *generator),
    children=("words",),
    statics=("generator",),
    plain=True,
    public=False,
)


def key_of(name: str, key: Any, batched: bool = False) -> Key:
    """The argument as a key, or keys: one, or words of the default generator; TypeError for anything else."""
    if stands_for_array(key):
        key = array_it_stands_for(key)
    made = key if isinstance(key, Key) else of_words(name, key, default())
    if not batched and made.ndim:
        raise ValueError(
            f"{name} takes a single key, got an array of keys of shape {made.shape}{errors.at_user_line()}; "
            "use vmap"
        )
    return made


def of_words(name: str, words: Any, generator: Generator) -> Key:
    """Keys of a generator from an array of the shape of its keys, with axes before; TypeError for anything else."""
    if not isinstance(words, Tracer) and type(words) is not Array:
        if not isinstance(words, np.ndarray):
            raise TypeError(
                f"{name} takes a key, got {words!r} of type {type(words).__name__}{errors.at_user_line()}; "
                "make one with covector.random.key(seed)"
            )
        words = asarray(words)
    own = generator.key_shape
    if words.dtype != dtypes.uint32 or tuple(words.shape[-len(own) :]) != own:
        raise TypeError(
            f"{name} takes a key, got {typeof(words).text()}{errors.at_user_line()}; "
            "make one with covector.random.key(seed)"
        )
    if len(own) > 1:
        words = reshape(words, (*words.shape[: -len(own)], generator.length))
    return Key(words, generator)


def _as_given(given: Any, made: Key) -> Any:
    """A key in the form of another: typed, or the array of its words."""
    return made if isinstance(given, Key) else data_of(made)


def data_of(keys: Key) -> Any:
    """The array that keys are made of, in the shape that the generator gives it."""
    own = keys.generator.key_shape
    return keys.words if len(own) == 1 else reshape(keys.words, (*keys.shape, *own))


# ------------------------------------------------------------------------------------------- from seeds


def seeded(name: str, seed: Any, generator: Generator) -> Key:
    """The key of an integer; TypeError for what is none, OverflowError for one beyond 64 bits."""
    if isinstance(seed, np.integer | np.bool_):
        seed = seed.item()
    if isinstance(seed, int):
        if not -(2**63) <= seed < 2**63:
            raise OverflowError(
                f"{name}: the seed {seed} does not fit 64 bits, signed{errors.at_user_line()}"
            )
        return Key(generator.seed(int(seed)), generator)
    seed = lift(name, seed)
    if not dtypes.is_integer(seed.dtype) or seed.shape:
        raise TypeError(
            f"{name} takes an integer seed, got {typeof(seed).text()}{errors.at_user_line()}"
        )
    return Key(generator.seed(seed), generator)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """A key from an integer seed.  The same seed gives the same numbers, which are those of JAX.

    `impl`, or `dtype`, chooses the generator: 'threefry2x32', which is the default as long as the flag
    `default_prng_impl` names no other, 'threefry4x32', 'philox2x32' or 'philox4x32', which hash counters too, 'rbg' or
    'unsafe_rbg', whose bits are those of `lax.rng_bit_generator`, or one that `extend.random.define_prng_impl` made.
    Bits of 'rbg' under a batch of keys (`vmap`) depend on the first key alone, as in JAX.  Truth values are
    the seeds 0 and 1.  ValueError for a generator that there is not.

    >>> import covector
    >>> covector.random.uniform(covector.random.key(0), (2,))
    Array([0.947667 , 0.9785799], dtype=float32)
    """
    return seeded("key", seed, chosen("key", impl, dtype))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A key from an integer seed, in the older form of a uint32 array of its words, which tells no generator.

    `random.key` makes keys that are no numbers; both are taken everywhere.  TypeError unless the seed is an integer.

    >>> from covector import random
    >>> random.PRNGKey(7)
    Array([0, 7], dtype=uint32)
    """
    return data_of(seeded("PRNGKey", seed, chosen("PRNGKey", impl)))


def key_data(keys: Any) -> Any:
    """The words of keys, as uint32 with one axis more, of length 2 for threefry2x32.

    >>> from covector import random
    >>> random.key_data(random.key(7))
    Array([0, 7], dtype=uint32)
    """
    return data_of(key_of("key_data", keys, batched=True))


def key_words(aval: ShapedArray) -> ShapedArray | None:
    """The type of the words of keys of a type; None for a type that is not of keys."""
    dtype: Any = aval.dtype
    if not isinstance(dtype, KeyType):
        return None
    return ShapedArray((*aval.shape, dtype.generator.length), np.dtype("uint32"))


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Key:
    """Keys from their words: the inverse of `key_data`.

    TypeError unless they are uint32, and their last axes the shape of a key of the generator, which `impl` or `dtype`
    names.

    >>> from covector import random
    >>> random.wrap_key_data(random.key_data(random.key(7)))
    Key((), dtype=key<fry>) of
    [0 7]
    """
    words = lift("wrap_key_data", key_bits_array)
    return of_words("wrap_key_data", words, chosen("wrap_key_data", impl, dtype))


def key_impl(keys: Any) -> str | Generator:
    """The generator of keys: its name, or itself if it was defined by a user.

    >>> from covector import random
    >>> random.key_impl(random.key(0))
    'threefry2x32'
    """
    generator = key_of("key_impl", keys, batched=True).generator
    return generator.name if NAMED.get(generator.name) is generator else generator


def key_dtype(impl_spec: Any = None) -> KeyType:
    """The dtype of keys of a generator; ValueError for one that there is not.

    >>> from covector import random
    >>> random.key_dtype()
    key<fry>
    """
    return chosen("key_dtype", impl_spec).dtype


def clone(key: Any) -> Any:
    """The key itself, said to be used again on purpose.

    TypeError for what is no key.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.clone(key) == key
    Array(True, dtype=bool)
    """
    return _as_given(key, key_of("clone", key, batched=True))


# ------------------------------------------------------------------------------------- new keys from old


def split_key(key: Key, shape: Shape) -> Key:
    """New keys in a shape, from one."""
    return key.like(key.generator.split(key.words, shape))


def bits_of(key: Key, shape: Shape, width: int) -> Any:
    """Random unsigned integers of so many bits, from a key."""
    return key.generator.bits(key.words, shape, width)


_split = fused("shape")(split_key)


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New keys from one, `num` or a shape of them; the old one should not be used again.

    >>> import covector
    >>> covector.random.split(covector.random.key(0), 3).shape
    (3,)
    """
    shape = shape_of(num, "num")
    return _as_given(key, _split(key_of("split", key), shape=shape))


@fused()
def _fold_in(key: Key, data: Any) -> Key:
    return key.like(key.generator.fold_in(key.words, data))


def fold_in(key: Any, data: Any) -> Any:
    """A new key from one and an integer, such as the number of a step or a device.

    TypeError unless `data` is an integer, or a truth value; OverflowError for numbers that uint32 does not have.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.fold_in(key, 3)
    Key((), dtype=key<fry>) of
    [2467461003 3840466878]
    """
    typed, data = key_of("fold_in", key), entered(data)
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
    return _as_given(key, _fold_in(typed, cast(data, dtypes.uint32)))
