"""Generators of random numbers: those that there are, and others made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.control.open import own
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy.creation import asarray
from covector.numpy.join import concatenate
from covector.numpy.promotion import lift
from covector.numpy.shape import reshape
from covector.random import generators
from covector.random.generators import Generator
from covector.random.keys import Key, seeded

__all__ = [
    "define_prng_impl",
    "random_seed",
    "rbg_prng_impl",
    "seed_with_impl",
    "threefry2x32_p",
    "threefry_2x32",
    "threefry_prng_impl",
    "unsafe_rbg_prng_impl",
]

threefry_prng_impl = generators.THREEFRY
rbg_prng_impl = generators.RBG
unsafe_rbg_prng_impl = generators.UNSAFE_RBG
threefry2x32_p = own(prims.threefry.name, prims.threefry)


def define_prng_impl(
    *,
    key_shape: tuple[int, ...],
    seed: Callable[[Any], Any],
    split: Callable[[Any, tuple[int, ...]], Any],
    random_bits: Callable[[Any, int, tuple[int, ...]], Any],
    fold_in: Callable[[Any, Any], Any],
    name: str = "<unnamed>",
    tag: str = "?",
) -> Generator:
    """A generator of these functions, to be given as `random.key(seed, impl=)`.

    A key is an array of uint32 of the shape `key_shape`.  `seed` makes one of an integer, `fold_in` of a key and a
    number of uint32; `split` makes a shape of them of one, and `random_bits` unsigned integers of 8, 16, 32 or 64 bits
    in a shape.  TypeError where they give something else.

    >>> from covector import numpy, random
    >>> from covector.extend.random import define_prng_impl
    >>> def split(key, shape):
    ...     return key + numpy.arange(numpy.prod(numpy.array(shape)), dtype="uint32").reshape(*shape, 1)
    >>> counting = define_prng_impl(
    ...     key_shape=(1,), seed=lambda s: s.astype("uint32").reshape(1), split=split,
    ...     random_bits=lambda key, width, shape: numpy.full(shape, key[0], f"uint{width}"),
    ...     fold_in=lambda key, data: key * data, name="counting", tag="count")
    >>> random.bits(random.fold_in(random.key(5, impl=counting), 3), (2,))
    Array([15, 15], dtype=uint32)
    """
    functions = {"seed": seed, "split": split, "random_bits": random_bits, "fold_in": fold_in}
    return generators.define(name, tag, tuple(key_shape), functions)


def random_seed(seeds: Any, impl: Any) -> Key:
    """Keys of a generator from integers, one for each.

    >>> from covector.extend import random as generators
    >>> generators.random_seed([1, 2], generators.rbg_prng_impl).shape
    (2,)
    """
    generator = generators.chosen("random_seed", impl)
    if not np.ndim(seeds):
        return seeded("random_seed", seeds, generator)
    seeds = asarray(seeds)
    if not dtypes.is_integer(seeds.dtype):
        raise TypeError(
            f"random_seed takes integers, got {typeof(seeds).text()}{errors.at_user_line()}"
        )
    words = vmap(generator.seed)(reshape(seeds, (-1,)))
    return Key(reshape(words, (*seeds.shape, generator.length)), generator)


def seed_with_impl(impl: Any, seed: Any) -> Key:
    """The key of a generator from an integer, as `random.key(seed, impl=impl)`.

    >>> from covector.extend import random as generators
    >>> generators.seed_with_impl(generators.rbg_prng_impl, 3).dtype
    key<rbg>
    """
    return random_seed(seed, impl)


def threefry_2x32(keypair: Any, count: Any) -> Any:
    """The threefry2x32 hash of counts under a pair of words: the first half of the counts goes with the second.

    TypeError unless all are uint32.

    >>> import numpy
    >>> from covector.extend.random import threefry_2x32
    >>> words = numpy.zeros(2, "uint32")
    >>> threefry_2x32(words, words)
    Array([1797259609, 2579123966], dtype=uint32)
    """
    first, second = (lift("threefry_2x32", word) for word in keypair)
    count = lift("threefry_2x32", count)
    for x in (first, second, count):
        if x.dtype != dtypes.uint32:
            raise TypeError(
                f"threefry_2x32 takes uint32, got {typeof(x).text()}{errors.at_user_line()}"
            )
    flat = reshape(count, (-1,))
    if odd := flat.shape[0] % 2:
        flat = concatenate([flat, prims.full((1,), 0, dtypes.uint32)])
    half = flat.shape[0] // 2
    hashed = concatenate(prims.threefry(first, second, flat[:half], flat[half:]))
    return reshape(hashed[: hashed.shape[0] - odd], count.shape)


publish(__name__, arrays=(__name__,))
