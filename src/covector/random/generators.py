"""Generators of random numbers: what their keys are made of, and how seeds, keys and bits become keys and bits.

`random.key(seed, impl=)` chooses one by name; `extend.random.define_prng_impl` makes others.  A key is kept as
`length` words of uint32 on one axis; the methods take those of one key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.base.public import bounded
from covector._engine.core.trace import typeof
from covector._engine.types import dims, dtypes
from covector.lax.rng import generated
from covector.numpy.creation import array, asarray
from covector.numpy.dtype import prng_key
from covector.numpy.indexing import getitem
from covector.numpy.join import concatenate, stack, unstack
from covector.numpy.promotion import Shape, cast, lift
from covector.numpy.shape import reshape

_HIGH = np.uint64(32)
_UINTS = {8: dtypes.uint8, 16: dtypes.uint16, 32: dtypes.uint32, 64: dtypes.uint64}


class Generator:
    """A generator, equal to itself alone: what it does to the words of one key."""

    def __init__(self, name: str, tag: str, key_shape: Shape):
        self.name, self.tag, self.key_shape = name, tag, key_shape
        self.length = int(dims.product(key_shape))
        self.dtype = KeyType(self)

    def seed(self, seed: Any) -> Any:
        """The words of a key, from a Python integer of 64 bits or an integer array of shape ()."""
        raise NotImplementedError(f"the generator {self.name!r} has no seeds")

    def split(self, words: Any, shape: Shape) -> Any:
        """The words of new keys, in this shape."""
        raise NotImplementedError(f"the generator {self.name!r} does not split keys")

    def fold_in(self, words: Any, data: Any) -> Any:
        """The words of a new key, from those of one and a number of uint32."""
        raise NotImplementedError(f"the generator {self.name!r} folds nothing into keys")

    def bits(self, words: Any, shape: Shape, width: int) -> Any:
        """Random unsigned integers of 8, 16, 32 or 64 bits."""
        raise NotImplementedError(f"the generator {self.name!r} gives no bits")

    def __repr__(self) -> str:
        return f"PRNGSpec({self.name!r})"

    def __str__(self) -> str:
        return self.tag

    def __reduce__(self) -> Any:
        if NAMED.get(self.name) is not self:
            raise TypeError(f"the generator {self.name!r} is of users' functions: it has no copy")
        return _named, (self.name,)


@bounded
class KeyType:
    """The dtype of keys, such as `key<fry>`, of the generator threefry2x32."""

    type = prng_key

    def __init__(self, generator: Generator):
        self.generator = generator

    @property
    def name(self) -> str:
        """The text of the dtype."""
        return f"key<{self.generator.tag}>"

    @property
    def itemsize(self) -> int:
        """The bytes of one key."""
        return 4 * self.generator.length

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return other.generator is self.generator if type(other) is KeyType else other == self.name

    def __hash__(self) -> int:
        return hash(self.name)


# ------------------------------------------------------------------------------------------ threefry


def _pair(seed: Any) -> Any:
    """The upper and the lower 32 bits of a seed."""
    if isinstance(seed, int):
        high = seed >> 32 & 0xFFFFFFFF if dtypes.of_number(int) == dtypes.int64 else 0
        return array(np.array([high, seed & 0xFFFFFFFF], np.uint32))
    low = cast(seed, dtypes.uint32)
    if seed.dtype.itemsize == 8:
        high = cast(prims.shift_right_logical(seed, seed.dtype.type(32)), dtypes.uint32)
    else:
        high = prims.full((), 0, dtypes.uint32)
    return stack([high, low])


def _split_pair(words: Any, shape: Shape) -> Any:
    """New pairs of words: the hashes of the counts 0, 1, ... under one pair, or more."""
    pairs = prims.RandomBits(shape, 64)(words)
    high = prims.Convert(dtypes.uint32)(prims.shift_right_logical(pairs, _HIGH))
    low = prims.Convert(dtypes.uint32)(prims.and_(pairs, np.uint64(0xFFFFFFFF)))
    return concatenate([prims.expand_dims(w, (len(pairs.shape),)) for w in (high, low)], -1)


def _fold_pair(words: Any, data: Any) -> Any:
    first, second = unstack(words)
    return stack(prims.threefry(first, second, np.uint32(0), data))


class _Threefry(Generator):
    """Words are hashed: any part of the bits can be made anywhere."""

    def seed(self, seed: Any) -> Any:
        return _pair(seed)

    def split(self, words: Any, shape: Shape) -> Any:
        return _split_pair(words, shape)

    def fold_in(self, words: Any, data: Any) -> Any:
        return _fold_pair(words, data)

    def bits(self, words: Any, shape: Shape, width: int) -> Any:
        return prims.RandomBits(shape, width)(words)


# ------------------------------------------------------------------------------ XLA's, which is Philox


class _Rbg(Generator):
    """Bits of `lax.rng_bit_generator`; keys are two of threefry, each split and folded as those are."""

    def seed(self, seed: Any) -> Any:
        return concatenate([_pair(seed)] * 2)

    def split(self, words: Any, shape: Shape) -> Any:
        halves = _split_pair(reshape(words, (2, 2)), shape)
        return concatenate(unstack(halves), -1)

    def fold_in(self, words: Any, data: Any) -> Any:
        first, second = unstack(reshape(words, (2, 2)))
        return concatenate([_fold_pair(first, data), _fold_pair(second, data)])

    def bits(self, words: Any, shape: Shape, width: int) -> Any:
        return generated(words, shape=shape, dtype=_UINTS[width])[1]


class _UnsafeRbg(_Rbg):
    """Keys are split and folded by Philox too: each tenth block of its bits is a new key."""

    def split(self, words: Any, shape: Shape) -> Any:
        blocks = self.bits(words, (10 * int(dims.product(shape)), 4), 32)
        return reshape(getitem(blocks, slice(None, None, 10)), (*shape, 4))

    def fold_in(self, words: Any, data: Any) -> Any:
        blocks = self.bits(self.seed(data), (10, 4), 32)
        return prims.xor(words, getitem(blocks, -1))


# ------------------------------------------------------------------------ hashes of counters of other sizes


def _counts(shape: Shape) -> list[Any]:
    """The upper and the lower 32 bits of the row-major positions in a shape."""
    flat = prims.Iota((dims.product(shape),), dtypes.uint64, 0)()
    high = prims.shift_right_logical(flat, _HIGH)
    low = prims.and_(flat, np.uint64(0xFFFFFFFF))
    return [prims.Reshape(shape)(prims.Convert(dtypes.uint32)(half)) for half in (high, low)]


class _Hashed(Generator):
    """Keys and bits are hashes of counters, of which one half counts for keys, and the first words for bits."""

    hash: ClassVar[prims.Hash]
    # The places of words of a seed and of counts among the operands of the hash; the others are those of a key, or 0.
    of_seed: ClassVar[tuple[int, int]]
    of_keys: ClassVar[tuple[int, int]]
    of_bits: ClassVar[tuple[int, int]]
    operands: ClassVar[int]

    def _hashed(self, words: Sequence[Any], places: tuple[int, int], pair: Sequence[Any]) -> Any:
        zero = np.uint32(0)
        given = [*words, *[zero] * (self.operands - len(words))]
        for place, word in zip(places, pair, strict=True):
            given[place] = word
        return self.hash(*given)

    def seed(self, seed: Any) -> Any:
        return self._key(self._hashed((), self.of_seed, unstack(_pair(seed))))

    def split(self, words: Any, shape: Shape) -> Any:
        return self._key(self._hashed(unstack(words), self.of_keys, _counts(shape)))

    def fold_in(self, words: Any, data: Any) -> Any:
        return self._key(self._hashed(unstack(words), self.of_keys, (np.uint32(0), data)))

    def _key(self, hashed: Sequence[Any]) -> Any:
        return stack(hashed[: self.length], -1)

    def bits(self, words: Any, shape: Shape, width: int) -> Any:
        hashed = self._hashed(unstack(words), self.of_bits, _counts(shape))
        if width == 64:
            high, low = (prims.Convert(dtypes.uint64)(x) for x in self.halves(hashed))
            return prims.or_(prims.shift_left(high, _HIGH), low)
        mixed = functools.reduce(prims.xor, hashed)
        return mixed if width == 32 else prims.Convert(_UINTS[width])(mixed)

    def halves(self, hashed: Sequence[Any]) -> Sequence[Any]:
        """The upper and the lower half of 64 random bits."""
        return hashed[:2]


class _Threefry4(_Hashed):
    hash, operands = prims.threefry4, 8
    of_seed, of_keys, of_bits = (0, 1), (6, 7), (4, 5)

    def halves(self, hashed: Sequence[Any]) -> Sequence[Any]:
        return [prims.xor(hashed[i], hashed[i + 2]) for i in (0, 1)]


class _Philox2(_Hashed):
    hash, operands = prims.philox2, 3
    of_seed, of_keys, of_bits = (1, 2), (1, 2), (1, 2)


class _Philox4(_Hashed):
    hash, operands = prims.philox4, 6
    of_seed, of_keys, of_bits = (2, 3), (4, 5), (2, 3)


# ------------------------------------------------------------------------------------- of functions


class _Defined(Generator):
    """A generator of users' functions, on arrays of the shape of its keys."""

    def __init__(self, name: str, tag: str, key_shape: Shape, **functions: Callable[..., Any]):
        super().__init__(name, tag, key_shape)
        self._functions = functions

    def seed(self, seed: Any) -> Any:
        if isinstance(seed, int):
            wide = dtypes.of_number(int) == dtypes.int64
            seed = asarray(np.int64(seed) if wide else np.int64(seed).astype(np.int32))
        return self._words("seed", (), seed)

    def split(self, words: Any, shape: Shape) -> Any:
        return self._words("split", shape, self._key(words), shape)

    def fold_in(self, words: Any, data: Any) -> Any:
        return self._words("fold_in", (), self._key(words), data)

    def bits(self, words: Any, shape: Shape, width: int) -> Any:
        return self._called("random_bits", shape, _UINTS[width], self._key(words), width, shape)

    def _key(self, words: Any) -> Any:
        return reshape(words, self.key_shape)

    def _words(self, which: str, shape: Shape, *args: Any) -> Any:
        keys = self._called(which, (*shape, *self.key_shape), dtypes.uint32, *args)
        return reshape(keys, (*shape, self.length))

    def _called(self, which: str, shape: Shape, dtype: np.dtype, *args: Any) -> Any:
        """The result of a user's function; TypeError unless it has this type."""
        out = lift(which, self._functions[which](*args))
        if (out.shape, out.dtype) != (tuple(shape), dtype):
            raise TypeError(
                f"{which} of the generator {self.name!r} gave {typeof(out).text()}{errors.at_user_line()}; it must "
                f"give {dtype.name} of shape {tuple(shape)}"
            )
        return out


THREEFRY = _Threefry("threefry2x32", "fry", (2,))
RBG = _Rbg("rbg", "rbg", (4,))
UNSAFE_RBG = _UnsafeRbg("unsafe_rbg", "urbg", (4,))
_OTHERS = (
    _Threefry4("threefry4x32", "fry4", (4,)),
    _Philox2("philox2x32", "phx2", (1,)),
    _Philox4("philox4x32", "phx4", (2,)),
)
NAMED: dict[str, Generator] = {g.name: g for g in (THREEFRY, RBG, UNSAFE_RBG, *_OTHERS)}
KEY_TYPE = THREEFRY.dtype


def _named(name: str) -> Generator:
    return NAMED[name]


def define(
    name: str, tag: str, key_shape: Shape, functions: dict[str, Callable[..., Any]]
) -> Generator:
    """A generator of users' functions; ValueError for keys without words."""
    made = _Defined(name, tag, key_shape, **functions)
    if not made.length or not key_shape:
        raise ValueError(
            f"the generator {name!r} has keys of shape {key_shape}{errors.at_user_line()}, which hold nothing"
        )
    return made


def default() -> Generator:
    """The generator of what names none: that of the flag `default_prng_impl`."""
    return NAMED[config.default_prng_impl]


def chosen(name: str, impl: Any, dtype: Any = None) -> Generator:
    """The generator that a function's arguments name.

    ValueError for a name that is not known, or two arguments; TypeError for what names none.
    """
    if dtype is not None:
        if impl is not None:
            raise ValueError(f"{name} takes impl or dtype, not both{errors.at_user_line()}")
        impl = dtype
    if impl is None:
        return default()
    if isinstance(impl, KeyType):
        return impl.generator
    if isinstance(impl, Generator):
        return impl
    if not isinstance(impl, str):
        raise TypeError(
            f"{name}: impl is {impl!r}{errors.at_user_line()}; it is the name of a generator, such as 'threefry2x32'"
        )
    if impl not in NAMED:
        raise ValueError(
            f"{name}: there is no generator {impl!r}{errors.at_user_line()}; those that there are: {', '.join(NAMED)}"
        )
    return NAMED[impl]
