"""Pytrees: nested containers of leaves.  Names and meanings are those of `jax.tree`.

Tuples, lists, dicts, named tuples, None and registered classes are containers; everything else is a leaf.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import optree

from covector._engine.base import tree as base
from covector._engine.base.errors import at_user_line
from covector._engine.base.public import publish
from covector._engine.base.record import record

base.load()  # `optree` is told of our own classes before users flatten them
NAMESPACE = base.PUBLIC
PyTreeDef = optree.PyTreeSpec
IsLeaf = Callable[[Any], bool] | None

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]

unflatten = base.unflatten


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves in order, and the structure.  None has no leaves; dict keys are sorted.

    `is_leaf(x)` says what else is a leaf.

    >>> from covector import tree
    >>> leaves, structure = tree.flatten({'b': 1, 'a': [2, None]})
    >>> leaves
    [2, 1]
    """
    return optree.tree_flatten(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves in order.

    `is_leaf(x)` says what else is a leaf.

    >>> from covector import tree
    >>> tree.leaves({'b': 1, 'a': [2, None]})
    [2, 1]
    """
    return optree.tree_leaves(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure alone.

    `is_leaf(x)` says what else is a leaf.

    >>> from covector import tree
    >>> tree.structure({'a': 1, 'b': [2, 3]}) == tree.structure({'a': 0, 'b': [0, 0]})
    True
    """
    return optree.tree_structure(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree of f(leaf, ...), with the leaves of `tree` and what is in their place in the other trees.

    The other trees have the first one's structure, or that structure with more below its leaves; ValueError if not.

    >>> from covector import tree
    >>> tree.map(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    return base.map(f, tree, *rest, is_leaf=is_leaf, space=NAMESPACE)


class _NoneGiven:
    """The default of an argument of which None is a value."""

    def __repr__(self) -> str:
        return "<none given>"


_NONE_GIVEN: Any = _NoneGiven()


def reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _NONE_GIVEN,
    is_leaf: IsLeaf = None,
) -> Any:
    """The leaves combined two by two from the left, after `initializer` if there is one.

    TypeError for a tree without leaves and no initializer.

    >>> from covector import tree
    >>> tree.reduce(lambda a, b: a + b, {'a': 1, 'b': [2, 3]})
    6
    """
    first = () if initializer is _NONE_GIVEN else (initializer,)
    return functools.reduce(function, leaves(tree, is_leaf), *first)


def reduce_associative(
    operation: Callable[[Any, Any], Any],
    tree: Any,
    *,
    identity: Any = _NONE_GIVEN,
    is_leaf: IsLeaf = None,
) -> Any:
    """The leaves combined by an associative operation, as a balanced tree; `identity` if there are none.

    TypeError for a tree without leaves and no identity.

    >>> from covector import tree
    >>> tree.reduce_associative(lambda a, b: a + b, {'a': 1, 'b': [2, 3]})
    6
    """
    values = leaves(tree, is_leaf)
    if not values:
        if identity is _NONE_GIVEN:
            raise TypeError(
                f"reduce_associative of a tree without leaves needs an identity{at_user_line()}"
            )
        return identity
    while len(values) > 1:
        pairs = [operation(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[len(pairs) * 2 :]
    return values[0]


def all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true.

    >>> from covector import tree
    >>> tree.all({'a': True, 'b': [True, False]})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def transpose(
    outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any
) -> Any:
    """A tree of trees turned inside out: with the inner structure outside.

    Without `inner_treedef` it is that of the first inner tree.  ValueError if an inner tree differs.

    >>> from covector import tree
    >>> tree.transpose(tree.structure(("x", "y")), None, ({"a": 1}, {"a": 2}))
    {'a': (1, 2)}
    """
    subtrees = outer_treedef.flatten_up_to(pytree_to_transpose)
    if inner_treedef is None and not subtrees:
        raise ValueError(
            f"transpose of a tree without leaves needs the inner structure{at_user_line()}"
        )
    inner = inner_treedef if inner_treedef is not None else structure(subtrees[0])
    columns = [inner.flatten_up_to(t) for t in subtrees]
    rows = zip(*columns, strict=True) if columns else [()] * inner.num_leaves
    return unflatten(inner, [unflatten(outer_treedef, row) for row in rows])


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """The prefix with each of its leaves repeated for every leaf of the full tree in its place.

    ValueError unless the one is a prefix of the other.

    >>> from covector import tree
    >>> tree.broadcast({'a': 0, 'b': 1}, {'a': [1, 2], 'b': 3})
    {'a': [0, 0], 'b': 1}
    """
    return unflatten(
        structure(full_tree, is_leaf),
        base.broadcast_prefix(prefix_tree, full_tree, "prefix_tree", is_leaf, NAMESPACE),
    )


# -------------------------------------------------------------------------------------------- key paths


@record
class SequenceKey:
    """A step of a key path: an element of a list or tuple.

    >>> from covector import tree
    >>> tree.leaves_with_path([1])
    [((SequenceKey(idx=0),), 1)]
    """

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@record
class DictKey:
    """A step of a key path: an element of a dict.

    >>> from covector import tree
    >>> tree.leaves_with_path({'a': 1})
    [((DictKey(key='a'),), 1)]
    """

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@record
class GetAttrKey:
    """A step of a key path: an attribute.

    >>> from covector import tree_util
    >>> tree_util.keystr((tree_util.GetAttrKey('weights'),))
    '.weights'
    """

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@record
class FlattenedIndexKey:
    """A step of a key path: a child of a registered class that did not name it.

    >>> from covector import tree_util
    >>> tree_util.keystr((tree_util.FlattenedIndexKey(0),))
    '[<flat index 0>]'
    """

    key: Any

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyEntry = SequenceKey | DictKey | GetAttrKey | FlattenedIndexKey
KeyPath = tuple[Any, ...]


class AttributeName(str):
    """An attribute in optree's paths, with its dot: as messages about arguments show it."""

    __slots__ = ()


class OwnKey:
    """A key of a registered class that is none of ours, in optree's paths."""

    __slots__ = ("key",)

    def __init__(self, key: Any):
        self.key = key

    def __eq__(self, other: object) -> bool:
        return type(other) is OwnKey and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.key)


def _key(entry: optree.PyTreeEntry) -> Any:
    """A step of optree's accessors as a key."""
    step = entry.entry
    if type(step) is OwnKey:
        return step.key
    if isinstance(step, AttributeName):
        return GetAttrKey(step[1:])
    if not isinstance(step, str | int | bool | float | bytes | tuple):
        return (
            step
            if type(step) in (SequenceKey, DictKey, GetAttrKey, FlattenedIndexKey)
            else DictKey(step)
        )
    if isinstance(entry, optree.NamedTupleEntry):
        return GetAttrKey(entry.field)
    if isinstance(entry, optree.SequenceEntry):
        return SequenceKey(step)  # type: ignore[arg-type]
    if isinstance(entry, optree.MappingEntry):
        return DictKey(step)
    if isinstance(entry, optree.GetAttrEntry):
        return GetAttrKey(str(step))
    return FlattenedIndexKey(step)


def _answers(tree: Any, is_leaf: Callable[..., bool], path: KeyPath = ()) -> Iterator[bool]:
    """What `is_leaf(path, value)` says of each value, outside in: the order in which optree asks."""
    stop = bool(is_leaf(path, tree))
    yield stop
    if stop or optree.tree_is_leaf(tree, namespace=NAMESPACE):
        return
    accessors, children = base.flatten_with_accessors(tree, lambda x: x is not tree)
    for accessor, child in zip(accessors, children, strict=True):
        yield from _answers(child, is_leaf, (*path, _key(accessor[0])))


def _next_answer(answers: Iterator[bool], _: Any) -> bool:
    return next(answers)


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """The leaves with their key paths, and the structure.  With `is_leaf_takes_path` it is is_leaf(path, value).

    >>> from covector import tree
    >>> tree.flatten_with_path({"a": [1]})[0]
    [((DictKey(key='a'), SequenceKey(idx=0)), 1)]
    """
    stop = is_leaf
    if is_leaf is not None and is_leaf_takes_path:
        answers = list(_answers(tree, is_leaf))
        is_leaf, stop = (functools.partial(_next_answer, iter(answers)) for _ in range(2))
    accessors, found = base.flatten_with_accessors(tree, is_leaf)
    paths = [tuple([_key(entry) for entry in accessor]) for accessor in accessors]
    return list(zip(paths, found, strict=True)), structure(tree, stop)


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """(key path, leaf) pairs in order.

    >>> import covector
    >>> from covector import tree
    >>> [(covector.tree_util.keystr(path), leaf) for path, leaf in tree.leaves_with_path({'a': [1, 2]})]
    [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """A tree of f(key path, leaf, ...), as `map`.

    >>> from covector import tree
    >>> tree.map_with_path(lambda path, x: f'{path[0]}: {x}', {'a': 1, 'b': 2})
    {'a': "['a']: 1", 'b': "['b']: 2"}
    """
    pairs, treedef = flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    others = [treedef.flatten_up_to(r) for r in rest]
    return unflatten(
        treedef, [f(path, x, *xs) for (path, x), *xs in zip(pairs, *others, strict=True)]
    )


def keystr(keys: Iterable[Any], *, simple: bool = False, separator: str = "") -> str:
    """A key path as text, such as ['a'][0].name; `simple` leaves the brackets and quotes out.

    >>> from covector import tree_util
    >>> ((path, _),) = tree_util.tree_leaves_with_path({'a': [1]})
    >>> tree_util.keystr(path), tree_util.keystr(path, simple=True, separator='/')
    ("['a'][0]", 'a/0')
    """
    if not simple:
        return separator.join(str(k) for k in keys)
    return separator.join(
        str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in keys
    )


def static(**kwargs: Any) -> Any:
    """A field that `covector.tree_util.register_dataclass` takes as static; arguments as of `dataclasses.field`.

    An entry "static" of `metadata` stays as it is.

    >>> import covector, dataclasses
    >>> @covector.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weights: object
    ...     name: str = covector.tree.static(default="dense")
    >>> covector.tree.leaves(Layer(1.0))
    [1.0]
    """
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **kwargs)


publish(__name__)
