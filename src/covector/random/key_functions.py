"""Functions of arrays that are given keys: what they do with them, or that they do not take them.

A function that only moves elements is run for each word of the keys, under a trace that lets operations pass that move
elements, and no other: nothing is ever computed with words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors, tree
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import current, set_current, typeof
from covector._engine.transforms.batch import BatchTrace, BatchTracer, place_axis
from covector._engine.types import dtypes
from covector.numpy.comparison import logical_not
from covector.numpy.creation import full, zeros
from covector.numpy.promotion import broadcast_shapes, shape_of
from covector.numpy.reduce import any as any_
from covector.numpy.shape import broadcast_to
from covector.random.generators import KeyType
from covector.random.keys import Key

# ------------------------------------------------------------------------------------------ movements

# The operands that are moved, by position; None: all.  The others say where to.
_MOVED: dict[type[Primitive], tuple[int, ...] | None] = {
    **dict.fromkeys(
        (prims.Broadcast, prims.Reshape, prims.Transpose, prims.Reverse, prims.Copy, prims.Slice),
        (0,),
    ),
    **dict.fromkeys((prims.DynamicSlice, prims.Gather, prims.Named), (0,)),
    **dict.fromkeys((prims.Concatenate, prims.Pad, prims.OptimizationBarrier), None),
    prims.DynamicUpdateSlice: (0, 1),
    prims.Scatter: (0, 2),
    prims.Select: (1, 2),
}


class _KeyTrace(BatchTrace):
    """A batch of words: operations that move them are applied, others are a TypeError."""

    __slots__ = ("name",)

    def __init__(self, name: str, size: int):
        super().__init__(current(), size)
        self.name = name

    def process(self, primitive: Primitive, args: Sequence[Any]) -> Any:
        mine = [i for i, x in enumerate(args) if self._axis_of(x) is not None]
        if mine:
            moved = _MOVED.get(type(primitive), ())
            if moved is None:
                moved = tuple(range(len(args)))
            if mine != list(moved) or getattr(primitive, "combine", "set") != "set":
                raise TypeError(self._refusal(primitive, args, mine))
        return super().process(primitive, args)

    def _refusal(self, primitive: Primitive, args: Sequence[Any], mine: Sequence[int]) -> str:
        why = f"there is no {primitive.name} of keys"
        if type(primitive) in _MOVED:
            others = [i for i in range(len(args)) if i not in mine]
            why = "what is put among keys has to be keys, and they are no indices or masks"
            if not others:
                why = "keys are no indices or masks"
        return f"{self.name} of keys{errors.at_user_line()}: {why}"


def move(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function that moves elements, of keys among its arguments or in containers of them."""
    leaves, structure = tree.flatten((args, kwargs), is_leaf=lambda x: isinstance(x, Key))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Key)]
    keys = [leaves[i] for i in places]
    generator = keys[0].generator
    if any(k.generator is not generator for k in keys):
        names = ", ".join(str(k.dtype) for k in keys)
        raise TypeError(
            f"{function.__name__} of keys of several types{errors.at_user_line()}: {names}"
        )
    trace = _KeyTrace(function.__name__, generator.length)
    for i, k in zip(places, keys, strict=True):
        leaves[i] = BatchTracer(trace, k.words, len(k.shape))
    before = set_current(trace)
    try:
        positional, keywords = tree.unflatten(structure, leaves)
        found = function(*positional, **keywords)
    finally:
        set_current(before)

    def whole(x: Any) -> Any:
        axis = trace._axis_of(x)
        if axis is None and typeof(x).size == 0 and typeof(x).dtype == dtypes.uint32:
            return Key(zeros((*x.shape, generator.length), np.uint32), generator)
        if axis is None:
            return x
        return Key(place_axis(x.value, axis, len(x.shape), generator.length), generator)

    return tree.map(whole, found)


_MOVING = frozenset(
    """append array array_split asarray astype atleast_1d atleast_2d atleast_3d block broadcast broadcast_arrays
    broadcast_in_dim broadcast_like broadcast_to broadcast_to_rank choose collapse column_stack concat concatenate conj
    conjugate convert_element_type copy delete diag diagonal dsplit dstack dynamic_index_in_dim dynamic_slice
    dynamic_slice_in_dim dynamic_update_index_in_dim dynamic_update_slice dynamic_update_slice_in_dim expand_dims
    extract flip fliplr flipud gather hsplit hstack index_in_dim insert matrix_transpose meshgrid moveaxis nan_to_num
    permute_dims positive ravel real repeat reshape resize rev roll rollaxis rot90 scatter select select_n slice
    slice_in_dim split squeeze stack swapaxes take take_along_axis tile transpose unstack vsplit vstack where""".split()  # noqa: SIM905 -- easier to read than quoted names
)

# ---------------------------------------------------------------------------------------- comparisons


def _equal(a: Any, b: Any) -> Any:
    """Whether keys are equal, each; TypeError for what is no key."""
    for x in (a, b):
        if not isinstance(x, Key):
            raise TypeError(
                f"a key compared with {x!r}{errors.at_user_line()}: keys are compared with keys; their words are "
                "covector.random.key_data(key)"
            )
    return a == b


def _close(a: Any, b: Any, *_: Any, **__: Any) -> Any:
    """Keys are equal or not, so that they are close if they are equal."""
    return _equal(a, b)


def _array_equal(a: Any, b: Any, equal_nan: bool = False) -> Any:
    return full((), False) if np.shape(a) != np.shape(b) else _equal(a, b).all()


def _array_equiv(a: Any, b: Any) -> Any:
    try:
        broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return full((), False)
    return _equal(a, b).all()


def _is_in(element: Any, test_elements: Any, *_: Any, invert: bool = False, **__: Any) -> Any:
    if isinstance(element, Key) and isinstance(test_elements, Key):
        element = element.reshape(*element.shape, 1)
        test_elements = test_elements.ravel()
    found = any_(_equal(element, test_elements), axis=-1)
    return logical_not(found) if invert else found


def _never(x: Key, *_: Any) -> Any:
    """A key is no NaN and not infinite."""
    return zeros(x.shape, bool)


# -------------------------------------------------------------------------------------- constant keys


def _filled(word: int) -> Callable[..., Any]:
    """Keys, all of whose words are one number; arrays of numbers where `dtype` asks for them."""

    def like(a: Key, dtype: Any = None, shape: Any = None, **_: Any) -> Any:
        shape = _shape(shape, a)
        if dtype is not None and dtype != a.dtype:
            return full(shape, word, dtype)
        return a.like(full((*shape, a.generator.length), word, np.uint32))

    return like


def _full(shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
    return _full_like(fill_value, fill_value, dtype, shape)


def _shape(shape: Any, like: Any) -> tuple[Any, ...]:
    return np.shape(like) if shape is None else shape_of(shape)


def _full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, **_: Any) -> Any:
    if isinstance(a, Key) and not isinstance(fill_value, Key) and dtype not in (None, a.dtype):
        return full(_shape(shape, a), fill_value, dtype)
    if not isinstance(fill_value, Key) or (dtype is not None and dtype != fill_value.dtype):
        raise TypeError(
            f"keys filled with {fill_value!r}, dtype={dtype!r}{errors.at_user_line()}: what is put among keys is keys"
        )
    return move(broadcast_to, (fill_value, _shape(shape, a)), {})


_OWN: dict[str, Callable[..., Any]] = {
    "allclose": lambda *args, **kwargs: _close(*args, **kwargs).all(),
    "array_equal": _array_equal,
    "array_equiv": _array_equiv,
    "empty_like": _filled(0),
    "eq": _equal,
    "equal": _equal,
    "full": _full,
    "full_like": _full_like,
    "isclose": _close,
    "isfinite": lambda x: full(x.shape, True),
    "isin": _is_in,
    "isinf": _never,
    "isnan": _never,
    "isneginf": _never,
    "isposinf": _never,
    "ne": lambda a, b: logical_not(_equal(a, b)),
    "not_equal": lambda a, b: logical_not(_equal(a, b)),
    "ones_like": _filled(1),
    "zeros_like": _filled(0),
}


# ------------------------------------------------------------------------------------------- dispatch


def _without_dtype(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], dtype: KeyType
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments without the keys' own dtype, where they have to be of that; TypeError for another."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    for name in ("dtype", "new_dtype"):
        wanted = bound.arguments.get(name)
        if wanted is None:
            continue
        if wanted != dtype:
            raise TypeError(
                f"{function.__name__} of {dtype}, to be of {wanted!r}{errors.at_user_line()}: keys are no numbers; "
                "their words are covector.random.key_data(key)"
            )
        bound.arguments[name] = None if name == "dtype" else np.dtype(np.uint32)
        if function.__name__ == "astype":
            bound.arguments[name] = np.dtype(np.uint32)
    return bound.args, bound.kwargs


def apply(
    self: Key, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A function of arrays that keys are arguments of, or in a list of them."""
    if function.__module__.startswith("covector.random"):
        return NotImplemented
    name = function.__name__
    if name in _OWN:
        return _OWN[name](*args, **kwargs)
    if name not in _MOVING:
        return NotImplemented
    args, kwargs = _without_dtype(function, args, kwargs, self.dtype)
    return move(function, args, kwargs)


def install() -> None:
    """Let keys take the calls of functions of arrays."""
    setattr(Key, "__covector_function__", apply)  # noqa: B010 -- a class with slots
