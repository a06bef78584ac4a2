"""Collectives: how the elements of a named axis meet.  `vmap(f, axis_name="i")` gives an axis its name.

Each function takes a pytree of arrays, does the same to every leaf, and has the same result for a leaf whether its
value differs from element to element or not.  A name that no transformation around the function has given is a
`NameError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors, tree
from covector._engine.core import trace
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim
from covector.lax.operands import array
from covector.numpy.creation import iota
from covector.numpy.promotion import axis_of, integer_of
from covector.numpy.selection import where

# fmt: off
__all__ = [
    "all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pcast", "pmax", "pmean", "pmin", "ppermute",
    "pshuffle", "psum", "psum_scatter", "pswapaxes", "ragged_all_to_all",
]
# fmt: on

AxisName = Hashable | tuple[Hashable, ...]
Groups = tuple[tuple[int, ...], ...] | None


def _names(axis_name: AxisName) -> tuple[Hashable, ...]:
    names = axis_name if isinstance(axis_name, tuple) else (axis_name,)
    if len(set(names)) != len(names):
        raise ValueError(f"an axis is named twice in {axis_name!r}{errors.at_user_line()}")
    return names


def _one_name(function: str, axis_name: AxisName) -> Hashable:
    names = _names(axis_name)
    if len(names) != 1:
        raise ValueError(
            f"{function} goes along one named axis, got {axis_name!r}{errors.at_user_line()}"
        )
    return names[0]


def _known_size(function: str, name: Hashable) -> int:
    size = trace.axis_size(name)
    if not isinstance(size, int):
        raise ValueError(
            f"{function} needs the size of the axis {name!r} to be known, it is {size}"
            f"{errors.at_user_line()}"
        )
    return size


def _grouped(
    function: str, names: Sequence[Hashable], groups: Any
) -> tuple[Groups, Callable[[Hashable], Dim]]:
    """The groups, checked, and the number of elements that meet along an axis."""
    if groups is None:
        return None, trace.axis_size
    if len(names) != 1:
        raise ValueError(
            f"{function}: axis_index_groups go with one named axis, got {tuple(names)}"
            f"{errors.at_user_line()}"
        )
    size = _known_size(function, names[0])
    made = tuple([tuple([integer_of(i, "an index of a group") for i in g]) for g in groups])
    if sorted(i for g in made for i in g) != list(range(size)) or len({len(g) for g in made}) != 1:
        raise ValueError(
            f"{function}: axis_index_groups must be groups of one length that hold each of the {size} indices of "
            f"{names[0]!r} once, got {groups}{errors.at_user_line()}"
        )
    return made, lambda name: len(made[0])


def axis_size(axis_name: AxisName) -> Any:
    """The number of elements along a named axis; of several, their product.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: x / covector.lax.axis_size("i"), axis_name="i")(np.arange(4.0))
    Array([0.  , 0.25, 0.5 , 0.75], dtype=float32)
    """
    return math.prod([trace.axis_size(name) for name in _names(axis_name)])


def axis_index(axis_name: AxisName) -> Any:
    """Which element along a named axis this is: int32.  Of several axes the last varies fastest.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: x * covector.lax.axis_index("i"), axis_name="i")(np.ones(3))
    Array([0., 1., 2.], dtype=float32)
    """
    index: Any = None
    for name in _names(axis_name):
        size = trace.axis_size(name)
        mine = prims.AxisIndex(name)()
        index = mine if index is None else prims.add(prims.mul(index, np.int32(size)), mine)
    return np.int32(0) if index is None else index


# ------------------------------------------------------------------------------------- reductions


def _reduced(function: str, op: str, fold: Any, x: Any, axis_name: AxisName, groups: Any) -> Any:
    names = _names(axis_name)
    positions = tuple([n for n in names if isinstance(n, int)])
    named = [n for n in names if not isinstance(n, int)]
    made, size_of = _grouped(function, named, groups)
    sizes = [size_of(name) for name in named]

    def reduced(leaf: Any) -> Any:
        if op == "add" and type(leaf) in SCALARS and not positions:
            return leaf * math.prod(sizes)
        leaf = array(function, leaf)
        if op == "add" and leaf.dtype == dtypes.bool_:
            leaf = prims.Convert(dtypes.int32)(leaf)
        if positions:
            along = {axis_of(a, leaf.ndim, "axis_name") for a in positions}
            leaf = fold(tuple(sorted(along)))(leaf)
        for name, size in zip(named, sizes, strict=True):
            leaf = prims.AllReduce(name, op, size, made)(leaf)
        return leaf

    return tree.map(reduced, x, space=tree.PUBLIC)  # a key is one leaf, and no number


def psum(x: Any, axis_name: AxisName, *, axis_index_groups: Any = None) -> Any:
    """The sum over all elements along one or several named axes.

    Args:
        x: a pytree of arrays or numbers.  Of bools it counts.
        axis_name: a name, or a tuple of names; an int in it is an axis of the arrays themselves.
        axis_index_groups: lists of indices, of one length; elements of a group meet each other only.

    Returns:
        The sums, equal for all elements (of a group).  Of a Python number: that number times the size.

    Raises:
        NameError: no axis of this name is in scope.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: x / covector.lax.psum(x, "i"), axis_name="i")(np.arange(4.0))
    Array([0.        , 0.16666667, 0.33333334, 0.5       ], dtype=float32)
    """
    return _reduced("psum", "add", prims.Sum, x, axis_name, axis_index_groups)


def pmean(x: Any, axis_name: AxisName, *, axis_index_groups: Any = None) -> Any:
    """The mean over all elements along named axes; arguments as of `psum`.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: x - covector.lax.pmean(x, "i"), axis_name="i")(np.arange(3.0))
    Array([-1.,  0.,  1.], dtype=float32)
    """
    names = _names(axis_name)
    total = psum(x, axis_name, axis_index_groups=axis_index_groups)
    named = tuple([n for n in names if not isinstance(n, int)])
    count = psum(1, named, axis_index_groups=axis_index_groups) if named else 1

    def mean(whole: Any, leaf: Any) -> Any:
        own = [typeof(leaf).shape[a] for a in names if isinstance(a, int)]
        return whole / (count * math.prod(own))

    return tree.map(mean, total, x, space=tree.PUBLIC)


def pmax(x: Any, axis_name: AxisName, *, axis_index_groups: Any = None) -> Any:
    """The maximum over all elements along named axes; arguments as of `psum`.  Ties share its derivative.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.pmax(x, "i"), axis_name="i")(np.arange(3.0))
    Array([2., 2., 2.], dtype=float32)
    """
    return _reduced("pmax", "max", prims.Max, x, axis_name, axis_index_groups)


def pmin(x: Any, axis_name: AxisName, *, axis_index_groups: Any = None) -> Any:
    """The minimum over all elements along named axes; arguments as of `psum`.  Ties share its derivative.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.pmin(x, "i"), axis_name="i")(np.arange(3.0))
    Array([0., 0., 0.], dtype=float32)
    """
    return _reduced("pmin", "min", prims.Min, x, axis_name, axis_index_groups)


def psum_scatter(
    x: Any,
    axis_name: AxisName,
    *,
    scatter_dimension: int = 0,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """As `psum`, but element i gets only part i of the sum along `scatter_dimension`.

    That axis of the arrays has the size of the named one and disappears; with `tiled` it has a multiple of that size,
    and is divided by it.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.psum_scatter(x, "i"), axis_name="i")(np.eye(3))
    Array([1., 1., 1.], dtype=float32)
    """
    names = _names(axis_name)
    groups, size_of = _grouped("psum_scatter", names, axis_index_groups)

    def scattered(leaf: Any) -> Any:
        leaf = array("psum_scatter", leaf)
        axis = axis_of(scatter_dimension, leaf.ndim, "scatter_dimension")
        if len(names) > 1 and not tiled:
            leaf = _parted("psum_scatter", leaf, axis, names, [size_of(n) for n in names], False)
        for name in names:
            leaf = prims.ReduceScatter(name, axis, tiled, size_of(name), groups)(leaf)
        return leaf

    return tree.map(scattered, x, space=tree.PUBLIC)


# --------------------------------------------------------------------------------------- movements


def all_gather(
    x: Any,
    axis_name: AxisName,
    *,
    axis_index_groups: Any = None,
    axis: int = 0,
    tiled: bool = False,
    to: str = "varying",
) -> Any:
    """The arrays of all elements along named axes, stacked along a new `axis`, or joined along it with `tiled`.

    `to` is accepted for programs that say how the result is typed; here it has no effect.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.all_gather(x, "i"), axis_name="i", out_axes=None)(np.arange(3))
    Array([0, 1, 2], dtype=int32)
    """
    names = _names(axis_name)
    groups, size_of = _grouped("all_gather", names, axis_index_groups)

    def gathered(leaf: Any) -> Any:
        leaf = array("all_gather", leaf)
        at = axis_of(axis, leaf.ndim + (not tiled), "axis")
        for name in reversed(names):
            leaf = prims.AllGather(name, at, tiled, size_of(name), groups)(leaf)
        if not tiled and len(names) != 1:
            shape = leaf.shape
            count = math.prod(shape[at : at + len(names)])
            leaf = prims.Reshape((*shape[:at], count, *shape[at + len(names) :]))(leaf)
        return leaf

    return tree.map(gathered, x)


def all_to_all(
    x: Any,
    axis_name: AxisName,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Element i gets part i of the array of each element: `split_axis` is handed out, `concat_axis` comes in.

    Without `tiled`, `split_axis` has the size of the named axis and disappears, and `concat_axis` is a new axis of
    that size.  With it, `split_axis` is divided by that size and `concat_axis` multiplied.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.all_to_all(x, "i", 0, 0), axis_name="i")(np.arange(4).reshape(2, 2))
    Array([[0, 2],
           [1, 3]], dtype=int32)
    """
    names = _names(axis_name)
    groups, size_of = _grouped("all_to_all", names, axis_index_groups)

    def exchanged(leaf: Any) -> Any:
        leaf = array("all_to_all", leaf)
        split = axis_of(split_axis, leaf.ndim, "split_axis")
        concat = axis_of(concat_axis, leaf.ndim, "concat_axis")
        if len(names) == 1:
            return prims.AllToAll(names[0], split, concat, tiled, size_of(names[0]), groups)(leaf)
        return _exchanged_along(names, [size_of(n) for n in names], leaf, split, concat, tiled)

    return tree.map(exchanged, x)


def _parted(
    function: str,
    leaf: Any,
    axis: int,
    names: Sequence[Hashable],
    sizes: Sequence[Dim],
    tiled: bool,
) -> Any:
    """The array with an axis as one for each of several named axes, and with `tiled` one of what is left."""
    shape, count = leaf.shape, math.prod(sizes)
    if shape[axis] % count if tiled else shape[axis] != count:
        wanted = "a multiple of the size" if tiled else "the size"
        raise ValueError(
            f"{function}: axis {axis} of {typeof(leaf).text()} must have {wanted} {count} of the axes {tuple(names)}"
            f"{errors.at_user_line()}"
        )
    rest = (shape[axis] // count,) if tiled else ()
    return prims.Reshape((*shape[:axis], *sizes, *rest, *shape[axis + 1 :]))(leaf)


def _exchanged_along(
    names: Sequence[Hashable], sizes: Sequence[Dim], leaf: Any, split: int, concat: int, tiled: bool
) -> Any:
    """`all_to_all` along several named axes as if they were one, the last of them fastest: one after the other."""
    leaf = _parted("all_to_all", leaf, split, names, sizes, tiled)
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):  # senders come in front
        leaf = prims.AllToAll(name, split + i, i, False, size)(leaf)
    leaf = prims.Reshape((math.prod(sizes), *leaf.shape[len(names) :]))(leaf)
    leaf = prims.move_axis(leaf, 0, concat)
    if not tiled:
        return leaf
    shape = leaf.shape
    return prims.Reshape(
        (*shape[:concat], shape[concat] * shape[concat + 1], *shape[concat + 2 :])
    )(leaf)


def ppermute(x: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    """Send arrays along named axes: a pair (source, destination) of indices says who sends to whom.

    Along several axes elements are counted as `axis_index` does.  No index may send or receive twice; an element that
    receives nothing gets zeros.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.ppermute(x, "i", [(0, 1), (1, 2)]), axis_name="i")(np.arange(1.0, 4.0))
    Array([0., 1., 2.], dtype=float32)
    """
    names = _names(axis_name)
    sizes = [_known_size("ppermute", name) for name in names]
    sources = [-1] * math.prod(sizes)
    pairs = [(integer_of(s, "a source"), integer_of(d, "a destination")) for s, d in perm]
    for s, d in pairs:
        if not (0 <= s < len(sources) and 0 <= d < len(sources)):
            raise ValueError(
                f"ppermute: the pair {(s, d)} does not fit the axis {axis_name!r} of size {len(sources)}"
                f"{errors.at_user_line()}"
            )
        sources[d] = s
    if any(len({pair[k] for pair in pairs}) != len(pairs) for k in (0, 1)):
        raise ValueError(
            f"ppermute: sources and destinations must be different ones, got {list(perm)}"
            f"{errors.at_user_line()}"
        )
    move = prims.Permute(names, tuple(sizes), tuple(sources))
    return tree.map(lambda leaf: move(array("ppermute", leaf)), x)


def pshuffle(x: Any, axis_name: AxisName, perm: Sequence[int]) -> Any:
    """Element i gets the array of element `perm[i]`; along several axes they are counted as `axis_index` does.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.pshuffle(x, "i", [2, 0, 1]), axis_name="i")(np.arange(1.0, 4.0))
    Array([3., 1., 2.], dtype=float32)
    """
    size = math.prod([_known_size("pshuffle", name) for name in _names(axis_name)])
    if sorted(perm) != list(range(size)):
        raise ValueError(
            f"pshuffle: perm must be a permutation of 0 to {size - 1}, got {list(perm)}{errors.at_user_line()}"
        )
    return ppermute(x, axis_name, list(zip(perm, range(size), strict=True)))


def pswapaxes(x: Any, axis_name: AxisName, axis: int, *, axis_index_groups: Any = None) -> Any:
    """Exchange a named axis with an axis of the arrays, which has its size.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.pswapaxes(x, "i", 0), axis_name="i")(np.arange(4).reshape(2, 2))
    Array([[0, 2],
           [1, 3]], dtype=int32)
    """
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def pbroadcast(x: Any, axis_name: AxisName, source: int) -> Any:
    """Every element gets the array of the element `source`, which is counted along all named axes.

    >>> import covector, covector.numpy as np
    >>> covector.vmap(lambda x: covector.lax.pbroadcast(x, "i", 1), axis_name="i")(np.arange(3.0))
    Array([1., 1., 1.], dtype=float32)
    """
    names = _names(axis_name)
    sizes = [_known_size("pbroadcast", name) for name in names]
    at = integer_of(source, "the source of pbroadcast")
    if not 0 <= at < math.prod(sizes):
        raise ValueError(
            f"pbroadcast: the source {source} is not on the axis {axis_name!r} of size {math.prod(sizes)}"
            f"{errors.at_user_line()}"
        )

    def sent(leaf: Any) -> Any:
        leaf, rest = array("pbroadcast", leaf), at
        for name, size in reversed([*zip(names, sizes, strict=True)]):
            every = prims.AllGather(name, 0, False, size)(leaf)
            leaf = prims.squeeze(prims.take_rows(every, [rest % size], 0), (0,))
            rest //= size
        return leaf

    return tree.map(sent, x)


def pcast(x: Any, axis_name: AxisName, *, to: str) -> Any:
    """The same values, said to differ along an axis (`to="varying"`), or to be parts of its sum or one value for all.

    Which of these a value is need not be said here: each is what it is in every element.

    >>> import covector
    >>> from covector import lax
    >>> from covector import numpy as np
    >>> print(covector.vmap(lambda x: lax.pcast(x, "i", to="varying"), axis_name="i")(np.arange(3.0)))
    [0. 1. 2.]
    """
    names = _names(axis_name)
    if names and to not in ("varying", "reduced", "unreduced"):
        raise ValueError(
            f"pcast: `to` is 'varying', 'reduced' or 'unreduced', got {to!r}{errors.at_user_line()}"
        )
    for name in names:
        trace.axis_size(name)  # a NameError if there is none
    return tree.map(lambda leaf: array("pcast", leaf), x)


def ragged_all_to_all(
    operand: Any,
    output: Any,
    input_offsets: Any,
    send_sizes: Any,
    output_offsets: Any,
    recv_sizes: Any,
    *,
    axis_name: AxisName,
    axis_index_groups: Any = None,
) -> Any:
    """Rows sent to every element, another number to each.

    Element i sends the rows `operand[input_offsets[j] : input_offsets[j] + send_sizes[j]]` to element j, which has
    them in its result from row `output_offsets[j]` (as the sender says) on.  The other rows are those of `output`.

    Args:
        operand: the rows to send, (n, ...).
        output: what the result starts from, (m, ...), of the operand's dtype.
        input_offsets, send_sizes, output_offsets, recv_sizes: integers, one for each element of the axis.

    >>> import covector, covector.numpy as np
    >>> def swap(x):
    ...     one = np.ones(2, int)
    ...     there = np.full(2, covector.lax.axis_index("i"))
    ...     return covector.lax.ragged_all_to_all(x, np.zeros(2), np.arange(2), one, there, one, axis_name="i")
    >>> covector.vmap(swap, axis_name="i")(np.array([[1.0, 2.0], [3.0, 4.0]]))
    Array([[1., 3.],
           [2., 4.]], dtype=float32)
    """
    if axis_index_groups is not None:
        raise ValueError(f"ragged_all_to_all takes no axis_index_groups{errors.at_user_line()}")
    name = _one_name("ragged_all_to_all", axis_name)
    size = trace.axis_size(name)
    operand, output = array("ragged_all_to_all", operand), array("ragged_all_to_all", output)
    whats = ("input_offsets", "send_sizes", "output_offsets", "recv_sizes")
    vectors = [input_offsets, send_sizes, output_offsets, recv_sizes]
    for what, v in zip(whats, vectors, strict=True):
        aval = typeof(v)
        if aval.shape != (size,) or not dtypes.is_integer(aval.dtype):
            raise ValueError(
                f"ragged_all_to_all: {what} must be {size} integers, one for each element of {name!r}, got "
                f"{aval.text()}{errors.at_user_line()}"
            )
    if operand.dtype != output.dtype or operand.shape[1:] != output.shape[1:]:
        raise ValueError(
            f"ragged_all_to_all: operand {typeof(operand).text()} and output {typeof(output).text()} must have one "
            f"dtype and rows of one shape{errors.at_user_line()}"
        )
    mine = partial(all_to_all, axis_name=name, split_axis=0, concat_axis=0)
    begin, count, start = [mine(v) for v in vectors[:3]]  # what each sender says for this element
    rows = output.shape[0]
    row = iota((rows, size), dtypes.int32, 0)
    inside = (row >= start) & (row < start + count)  # (rows of the result, senders)
    sender = inside.argmax(1)
    source = prims.Sum((1,))(where(inside, row - start + begin, 0))
    found = all_gather(operand, name)[sender, source]
    wide = inside.any(1).reshape((rows, *[1] * (output.ndim - 1)))
    return where(wide, found, output)
