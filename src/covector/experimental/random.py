"""A generator of random numbers, which counts what it gave: names and meanings are `jax.experimental.random`'s."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Sequence
from typing import Any

from covector import numpy as cnp, random
from covector._engine.base import errors
from covector._engine.base.public import bounded, publish
from covector.ref import Ref, new_ref
from covector.tree_util import register_pytree_node_class

__all__ = ["StatefulPRNG", "stateful_rng"]

_Size = int | Sequence[int] | None


def _shape(size: _Size, *parameters: Any) -> tuple[Any, ...]:
    """The shape that is asked for, else that of the parameters together."""
    if size is None:
        return cnp.broadcast_shapes(*[cnp.shape(p) for p in parameters])
    return (size,) if isinstance(size, int) else tuple(size)


@register_pytree_node_class
@bounded
class StatefulPRNG:
    """A generator: each of its keys is `fold_in` of one key and of a count, which it holds in a `Ref`.

    It may be made, taken and used inside of `jit`, as a `Ref` may.  Made by `stateful_rng`.

    >>> from covector.experimental.random import stateful_rng
    >>> rng = stateful_rng(0)
    >>> rng.normal(size=(2,)).shape, bool(rng.random() != rng.random())
    ((2,), True)
    """

    def __init__(self, base_key: Any, counter: Ref):
        self._base_key, self._counter = base_key, counter

    def __repr__(self) -> str:
        return f"StatefulPRNG({self._base_key}, {self._counter})"

    def tree_flatten(self) -> tuple[tuple[Any, Ref], None]:
        """The key and the count, as a tree's node.

        >>> import covector
        >>> from covector.experimental.random import stateful_rng
        >>> len(covector.tree.leaves(stateful_rng(0)))
        2
        """
        return (self._base_key, self._counter), None

    @classmethod
    def tree_unflatten(cls, data: None, children: Sequence[Any]) -> StatefulPRNG:
        """The generator of a key and a count.

        >>> import covector
        >>> from covector.experimental.random import stateful_rng
        >>> rng = covector.tree.map(lambda x: x, stateful_rng(0))
        >>> type(rng).__name__
        'StatefulPRNG'
        """
        made = object.__new__(cls)
        made._base_key, made._counter = children
        return made

    def key(self, shape: int | Sequence[int] = ()) -> Any:
        """The next key, or so many that are split off it.

        ValueError if the generator was `split`: its parts have keys of their own.

        >>> from covector.experimental.random import stateful_rng
        >>> stateful_rng(0).key((2, 3)).shape
        (2, 3)
        """
        if self._base_key.ndim:
            raise ValueError(
                f"StatefulPRNG.key: this generator was split into {self._base_key.shape}{errors.at_user_line()}; give "
                "its parts to a function by vmap, or take spawn(n), a list"
            )
        count = self._counter[...]
        self._counter[...] = count + 1
        key, wanted = random.fold_in(self._base_key, count), _shape(shape)
        return random.split(key, wanted) if wanted else key

    def split(self, num: int | Sequence[int]) -> StatefulPRNG:
        """So many generators as one, for `vmap` to take apart.

        >>> import covector
        >>> from covector.experimental.random import stateful_rng
        >>> covector.vmap(lambda rng: rng.random())(stateful_rng(0).split(3)).shape
        (3,)
        """
        keys = self.key(num)
        return StatefulPRNG(keys, new_ref(cnp.zeros(keys.shape, "int32")))

    def spawn(self, n_children: int) -> list[StatefulPRNG]:
        """A list of so many generators, independent of each other and of this one.

        >>> from covector.experimental.random import stateful_rng
        >>> len(stateful_rng(0).spawn(2))
        2
        """
        keys = self.key(operator.index(n_children))
        return [StatefulPRNG(keys[i], new_ref(cnp.int32(0))) for i in range(n_children)]

    def random(self, size: _Size = None, dtype: Any = float) -> Any:
        """Uniform in [0, 1).

        >>> from covector.experimental.random import stateful_rng
        >>> 0 <= float(stateful_rng(0).random()) < 1
        True
        """
        return self.uniform(size=size, dtype=dtype)

    def uniform(
        self, low: Any = 0, high: Any = 1, size: _Size = None, *, dtype: Any = float
    ) -> Any:
        """Uniform in [low, high), of the size, or of the shape of the bounds.

        >>> from covector.experimental.random import stateful_rng
        >>> stateful_rng(0).uniform(1, 2, 3).shape
        (3,)
        """
        return random.uniform(self.key(), _shape(size, low, high), dtype, low, high)

    def normal(
        self, loc: Any = 0, scale: Any = 1, size: _Size = None, *, dtype: Any = float
    ) -> Any:
        """Normal, with a mean and a standard deviation.

        >>> from covector.experimental.random import stateful_rng
        >>> stateful_rng(0).normal(scale=2, size=(2,)).shape
        (2,)
        """
        drawn = random.normal(self.key(), _shape(size, loc, scale), dtype)
        return (loc + scale * drawn).astype(drawn.dtype)

    def integers(self, low: Any, high: Any = None, size: _Size = None, *, dtype: Any = int) -> Any:
        """Integers of [low, high), or of [0, low) if that is all that is given.

        >>> from covector.experimental.random import stateful_rng
        >>> stateful_rng(0).integers(1).item()
        0
        """
        low, high = (0, low) if high is None else (low, high)
        return random.randint(self.key(), _shape(size, low, high), low, high, dtype)


def stateful_rng(seed: Any = None, *, impl: Any = None) -> StatefulPRNG:
    """A generator of random numbers, from a seed, an integer; from the machine's own entropy if there is none.

    TypeError if the seed is no integer.

    >>> from covector.experimental.random import stateful_rng
    >>> rng = stateful_rng(3)
    >>> rng.integers(10).item() == stateful_rng(3).integers(10).item()
    True
    """
    if seed is None:
        seed = secrets.randbits(31)
    return StatefulPRNG(random.key(seed, impl=impl), new_ref(cnp.int32(0)))


publish(__name__)
