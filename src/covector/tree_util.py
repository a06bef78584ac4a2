"""Registering containers of one's own, and the longer names of `covector.tree`; as in `jax.tree_util`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

import optree

from covector import tree
from covector._engine.base import tree as base
from covector._engine.base.errors import at_user_line
from covector._engine.base.public import publish

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "default_registry",
    "flatten_one_level",
    "flatten_one_level_with_keys",
    "is_tree_leaf",
    "is_tree_node",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]

T = TypeVar("T", bound=type)

DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey = (
    tree.DictKey,
    tree.FlattenedIndexKey,
    tree.GetAttrKey,
    tree.SequenceKey,
)
KeyEntry, KeyPath, PyTreeDef, keystr = tree.KeyEntry, tree.KeyPath, tree.PyTreeDef, tree.keystr

tree_all, tree_broadcast, tree_map = tree.all, tree.broadcast, tree.map
tree_flatten, tree_leaves, tree_structure = tree.flatten, tree.leaves, tree.structure
tree_reduce, tree_reduce_associative = tree.reduce, tree.reduce_associative
tree_transpose, tree_unflatten = tree.transpose, tree.unflatten
tree_flatten_with_path, tree_leaves_with_path = tree.flatten_with_path, tree.leaves_with_path
tree_map_with_path = tree.map_with_path


def _entry(key: Any) -> Any:
    """A key as it stands in optree's paths."""
    if isinstance(key, GetAttrKey):
        return tree.AttributeName(str(key))
    return key if isinstance(key, SequenceKey | DictKey | FlattenedIndexKey) else tree.OwnKey(key)


def register_pytree_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_with_keys_func: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Make a class a container.  ValueError if it is one already.

    `flatten_func(x)` gives (children, static data), `unflatten_func(static data, children)` makes x again; the static
    data must be hashable and comparable.  `flatten_with_keys_func` gives (key, child) pairs instead of children.

    >>> import covector
    >>> class Point:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    >>> covector.tree_util.register_pytree_node(Point, lambda p: ((p.x, p.y), None), lambda _, xy: Point(*xy))
    >>> covector.tree.leaves(Point(1, 2))
    [1, 2]
    """
    _register(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


def _register(
    cls: type,
    to_children: Callable[[Any], tuple[Iterable[Any], Any]],
    from_children: Callable[[Any, Any], Any],
    with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]] | None,
    **attributes: Any,
) -> None:
    """`attributes` are those of `base.register_node` for classes that hold their children in attributes."""

    def with_entries(x: Any) -> tuple[Any, ...]:
        children, data = to_children(x)
        if with_keys is None:
            return tuple(children), data
        pairs, _ = with_keys(x)
        return tuple(children), data, tuple([_entry(key) for key, _ in pairs])

    try:
        base.register_node(cls, to_children, from_children, with_entries=with_entries, **attributes)
    except ValueError as error:
        raise ValueError(f"{cls.__name__} is a container already{at_user_line()}") from error


def register_pytree_with_keys(
    nodetype: type,
    flatten_with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]],
    unflatten_func: Callable[[Any, Any], Any],
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]] | None = None,
) -> None:
    """Make a class a container whose children have names: `flatten_with_keys(x)` gives ((key, child) pairs, data).

    ValueError for a class that is one already.

    >>> from covector import tree_util
    >>> class Box:
    ...     def __init__(self, x):
    ...         self.x = x
    >>> def with_keys(box):
    ...     return ((tree_util.GetAttrKey('x'), box.x),), None
    >>> tree_util.register_pytree_with_keys(Box, with_keys, lambda data, children: Box(*children))
    >>> tree_util.tree_leaves(Box(3))
    [3]
    """

    def children_alone(x: Any) -> tuple[Iterable[Any], Any]:
        pairs, data = flatten_with_keys(x)
        return [child for _, child in pairs], data

    register_pytree_node(
        nodetype, flatten_func or children_alone, unflatten_func, flatten_with_keys
    )


def register_pytree_node_class(cls: T) -> T:
    """A class decorator: the class has methods `tree_flatten(self)` and `tree_unflatten(cls, data, children)`.

    >>> from covector import tree_util
    >>> @tree_util.register_pytree_node_class
    ... class Pair:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    ...     def tree_flatten(self):
    ...         return (self.x, self.y), None
    ...     @classmethod
    ...     def tree_unflatten(cls, data, children):
    ...         return cls(*children)
    >>> tree_util.tree_leaves(Pair(1, 2))
    [1, 2]
    """
    register_pytree_node(cls, lambda x: x.tree_flatten(), cls.tree_unflatten)  # type: ignore[attr-defined]
    return cls


def register_pytree_with_keys_class(cls: T) -> T:
    """A class decorator for methods `tree_flatten_with_keys(self)` and `tree_unflatten(cls, data, children)`.

    >>> from covector import tree_util
    >>> @tree_util.register_pytree_with_keys_class
    ... class Named:
    ...     def __init__(self, x):
    ...         self.x = x
    ...     def tree_flatten_with_keys(self):
    ...         return ((tree_util.GetAttrKey('x'), self.x),), None
    ...     @classmethod
    ...     def tree_unflatten(cls, data, children):
    ...         return cls(*children)
    >>> [tree_util.keystr(path) for path, _ in tree_util.tree_leaves_with_path(Named(1))]
    ['.x']
    """
    register_pytree_with_keys(
        cls,
        lambda x: x.tree_flatten_with_keys(),
        cls.tree_unflatten,  # type: ignore[attr-defined]
        (lambda x: x.tree_flatten()) if hasattr(cls, "tree_flatten") else None,
    )
    return cls


def register_static(cls: T) -> T:
    """A class decorator: instances are containers without children, compared as static data.

    >>> from covector import tree_util
    >>> @tree_util.register_static
    ... class Name(str):
    ...     pass
    >>> tree_util.tree_leaves([Name('a'), 1])
    [1]
    """
    register_pytree_node(cls, lambda x: ((), x), lambda x, _: x)
    return cls


def register_dataclass(
    nodetype: Any = None,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Any:
    """Make a dataclass a container: `data_fields` are children, `meta_fields` are static data.

    If they are left out, fields with metadata={"static": True} are static and all others children.  Also a decorator.
    ValueError unless each field is in just one, or in `drop_fields`, which get their defaults.

    >>> import covector
    >>> import dataclasses
    >>> @covector.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: float
    ...     kind: str = covector.tree.static(default="dense")
    >>> covector.tree.map(lambda w: w + 1, Layer(1.0))
    Layer(weight=2.0, kind='dense')
    """
    if nodetype is None:
        return functools.partial(
            register_dataclass,
            data_fields=data_fields,
            meta_fields=meta_fields,
            drop_fields=drop_fields,
        )
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            f"register_dataclass takes data_fields and meta_fields together{at_user_line()}"
        )
    cls: Any = nodetype  # what pyright makes of is_dataclass is not a class
    own = (
        {f.name: f for f in dataclasses.fields(cls) if f.init}
        if dataclasses.is_dataclass(cls)
        else None
    )
    if data_fields is None or meta_fields is None:
        if own is None:
            raise TypeError(
                f"register_dataclass of {nodetype!r}, which is no dataclass, needs data_fields and "
                f"meta_fields{at_user_line()}"
            )
        data_fields = [n for n, f in own.items() if not f.metadata.get("static", False)]
        meta_fields = [n for n, f in own.items() if f.metadata.get("static", False)]
    children, static = tuple(data_fields), tuple(meta_fields)
    given = (*children, *static, *drop_fields)
    if len(set(given)) < len(given) or (own is not None and set(given) != set(own)):
        raise ValueError(
            f"register_dataclass of {nodetype.__name__}{at_user_line()}: its fields are {', '.join(own or ())}, but "
            f"{', '.join(given) or 'none'} were given; each must be given just once"
        )

    def flatten(x: Any) -> tuple[tuple[Any, ...], Hashable]:
        return tuple([getattr(x, n) for n in children]), tuple([getattr(x, n) for n in static])

    def with_keys(x: Any) -> tuple[list[tuple[Any, Any]], Hashable]:
        values, data = flatten(x)
        return [(GetAttrKey(n), v) for n, v in zip(children, values, strict=True)], data

    def unflatten(data: Any, values: Any) -> Any:
        return nodetype(
            **dict(zip(children, values, strict=True)), **dict(zip(static, data, strict=True))
        )

    _register(
        nodetype,
        flatten,
        unflatten,
        with_keys,
        children=children,
        statics=static,
        plain=_is_plain(nodetype, (*children, *static)),
    )
    return nodetype


def _is_plain(cls: type, names: Sequence[str]) -> bool:
    """Whether calling a class does nothing but set these attributes: its `__init__` is what a dataclass gets."""
    params = cls.__dict__.get("__dataclass_params__")
    own = getattr(cls, "__dataclass_fields__", {})
    return (
        params is not None
        and params.init
        and set(own) == set(names)  # no class variables, and nothing that only __init__ takes
        and not hasattr(cls, "__post_init__")
        and cls.__new__ is object.__new__
        and (params.frozen or cls.__setattr__ is object.__setattr__)
        and not any(
            hasattr(cls.__dict__.get(n), "__set__") and not hasattr(cls.__dict__[n], "__objclass__")
            for n in names
        )
    )


class Partial(functools.partial[Any]):
    """functools.partial as a container: the bound arguments are children, the function is static data.

    >>> import covector
    >>> add_two = covector.tree_util.Partial(lambda x, y: x + y, 2)
    >>> add_two(3), covector.tree.leaves(add_two)
    (5, [2])
    """


register_pytree_node(
    Partial,
    lambda p: ((p.args, p.keywords), p.func),
    lambda func, children: Partial(func, *children[0], **children[1]),
    lambda p: (((GetAttrKey("args"), p.args), (GetAttrKey("keywords"), p.keywords)), p.func),
)


def is_tree_node(typ: type) -> bool:
    """Whether values of a class are containers.

    >>> from covector import tree_util
    >>> tree_util.is_tree_node(dict), tree_util.is_tree_node(int)
    (True, False)
    """
    kinds = optree.register_pytree_node.get(typ, namespace=tree.NAMESPACE)  # type: ignore[attr-defined]
    return kinds is not None


def all_leaves(iterable: Iterable[Any], is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether none of the values is a container.

    >>> from covector import tree_util
    >>> tree_util.all_leaves([1, 2]), tree_util.all_leaves([1, [2]])
    (True, False)
    """
    return all(is_tree_leaf(x, is_leaf) for x in iterable)


def is_tree_leaf(x: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether a value is a leaf.

    >>> from covector import tree_util
    >>> tree_util.is_tree_leaf(1), tree_util.is_tree_leaf([1])
    (True, False)
    """
    return optree.tree_is_leaf(x, is_leaf=is_leaf, namespace=tree.NAMESPACE)


def treedef_is_leaf(treedef: tree.PyTreeDef) -> bool:
    """Whether a structure is that of one leaf.

    >>> from covector import tree_util
    >>> tree_util.treedef_is_leaf(tree_util.tree_structure(1))
    True
    """
    return treedef.num_nodes == 1 and treedef.num_leaves == 1


def flatten_one_level(tree: Any) -> tuple[Any, Any]:
    """The children of a container, and what else it is made of; ValueError for a leaf.

    >>> from covector import tree_util
    >>> tree_util.flatten_one_level({'b': 1, 'a': (2, 3)})
    (((2, 3), 1), ('a', 'b'))
    """
    if tree is None:
        return (), None
    if optree.tree_is_leaf(tree, namespace=base.PUBLIC):
        raise ValueError(
            f"flatten_one_level takes a container, got {tree!r} of type {type(tree).__name__}{at_user_line()}"
        )
    children, data, _, _ = optree.tree_flatten_one_level(tree, namespace=base.PUBLIC)
    made = list(children) if type(tree) is list else tuple(children)
    return made, tuple(data) if isinstance(data, list) else data


def flatten_one_level_with_keys(tree: Any) -> tuple[Any, Any]:
    """The children of a container, each with the key that leads to it, and what else it is made of.

    ValueError for a leaf.

    >>> from covector import tree_util
    >>> tree_util.flatten_one_level_with_keys([1])[0]
    ((SequenceKey(idx=0), 1),)
    """
    children, data = flatten_one_level(tree)
    paths = tree_leaves_with_path(tree, is_leaf=lambda x: x is not tree)
    return tuple([(path[0], x) for (path, _), x in zip(paths, children, strict=True)]), data


class PyTreeRegistry:
    """The containers that are known: Python's, and those that were registered.  There is one, `default_registry`.

    >>> from covector import tree_util
    >>> tree_util.default_registry.flatten([1, (2, 3)])[0]
    [1, 2, 3]
    """

    flatten = staticmethod(tree.flatten)
    flatten_one_level = staticmethod(flatten_one_level)
    flatten_one_level_with_keys = staticmethod(flatten_one_level_with_keys)


default_registry = PyTreeRegistry()


def treedef_children(treedef: tree.PyTreeDef) -> list[tree.PyTreeDef]:
    """The structures one level below.

    >>> from covector import tree_util
    >>> [str(child) for child in tree_util.treedef_children(tree_util.tree_structure([1, 2]))]
    ['PyTreeSpec(*)', 'PyTreeSpec(*)']
    """
    return treedef.children()


def treedef_tuple(treedefs: Iterable[tree.PyTreeDef]) -> tree.PyTreeDef:
    """The structure of a tuple of trees of these structures.

    >>> from covector import tree_util
    >>> leaf = tree_util.tree_structure(0)
    >>> tree_util.tree_unflatten(tree_util.treedef_tuple([leaf, leaf]), [1, 2])
    (1, 2)
    """
    return tree.structure(tuple([t.unflatten(range(t.num_leaves)) for t in treedefs]))


publish(__name__)
