"""Pytrees: nested containers of leaves, on `optree`."""

from __future__ import annotations

import atexit
import builtins
import functools
import threading
import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.exact import exact
from covector._engine.base.locks import guard, import_late
from covector._engine.base.record import record

NAMESPACE = "covector"
# For users' trees: there what stands for one array is a leaf, which the transformations take apart.
PUBLIC = "covector.public"
# As the first, with the names of children, which cost more to ask for than the children: for key paths.
_NAMED = "covector.named"

if TYPE_CHECKING:
    import optree
    import optree.utils

    TreeDef = optree.PyTreeSpec
else:

    class _Unloaded:
        """`optree` until something is asked of it: a tenth of the time that `import covector` took."""

        def __getattr__(self, name: str) -> Any:
            return getattr(load(), name)

    optree = _Unloaded()


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeDef]:
    """The leaves in order, and the structure.  None has no leaves; dict keys are sorted."""
    return optree.tree_flatten(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves.  Dicts are in the order of their keys, as leaves are.

    ValueError for another number of leaves.

    >>> from covector import tree
    >>> tree.unflatten(tree.structure({'a': 0, 'b': [0]}), [1, 2])
    {'a': 1, 'b': [2]}
    """
    return treedef.traverse(leaves, _in_order)


def _in_order(node: Any) -> Any:
    """A dict in the order of its keys; any other node as it is.

    Structures are equal whatever the order of the dicts that they were made from, so a function that is compiled once
    for all of them must not see it.
    """
    if type(node) is dict or type(node) is defaultdict:
        keys = optree.utils.total_order_sorted(node)
        if list(node) != keys:
            items = [(key, node[key]) for key in keys]
            node.clear()
            node.update(items)
    return node


def content(treedef: TreeDef) -> Hashable:
    """A key that is equal for structures whose static data are the same bit for bit: see `exact`."""
    return treedef.walk([None] * treedef.num_leaves, _node_content)  # type: ignore[no-any-return]


def _node_content(cls: type, data: Any, children: tuple[Any, ...]) -> Hashable:
    return cls, exact(_hashable(data)), children


def _hashable(data: Any) -> Any:
    """Static data with tuples for lists: optree keeps the keys of dicts as lists."""
    if isinstance(data, list) or type(data) is tuple:
        return tuple(builtins.map(_hashable, data))
    return data


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves in order."""
    return optree.tree_leaves(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeDef:
    """The structure alone."""
    return optree.tree_structure(tree, is_leaf=is_leaf, namespace=NAMESPACE)


def map(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[[Any], bool] | None = None,
    space: str = NAMESPACE,
) -> Any:
    """A tree of f(leaf, ...); the rest must have the first one's structure as a prefix."""
    found, treedef = optree.tree_flatten(tree, is_leaf=is_leaf, namespace=space)
    columns = [found, *[treedef.flatten_up_to(other) for other in rest]]
    return unflatten(treedef, builtins.map(f, *columns))


def keystr(path: Sequence[Any]) -> str:
    """A key path as the text that would index it: ['a'][0]."""
    return "".join(
        f"[{key!r}]" if not isinstance(key, str) or not key.startswith(".") else key for key in path
    )


def leaves_with_path(tree: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """(key path, leaf) pairs in order."""
    paths, found, _ = optree.tree_flatten_with_path(tree, namespace=_NAMED)
    return list(zip(paths, found, strict=True))


def flatten_with_accessors(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[optree.PyTreeAccessor], list[Any]]:
    """The way to each leaf of a user's tree, and the leaves."""

    def stop(x: Any) -> bool:
        return (is_leaf is not None and is_leaf(x)) or type(x) in _atoms

    accessors, found, _ = optree.tree_flatten_with_accessor(tree, is_leaf=stop, namespace=_NAMED)
    return accessors, found


def broadcast_prefix(
    prefix: Any,
    tree: Any,
    what: str,
    is_leaf: Callable[[Any], bool] | None = None,
    space: str = NAMESPACE,
) -> list[Any]:
    """One leaf of `prefix` for each leaf of `tree`; ValueError names `what` if it is no prefix.

    None in the prefix counts as a leaf, as in `in_axes=(0, None)`.
    """
    result: list[Any] = []

    def walk(p: Any, t: Any, path: str) -> None:
        if p is None or (is_leaf is not None and is_leaf(p)) or _is_leaf(p, space):
            result.extend([p] * optree.tree_structure(t, namespace=space).num_leaves)
            return
        p_children, p_def = _one_level(p, space)
        t_children, t_def = _one_level(t, space)
        if (
            t_children is None
            or p_children is None
            or p_def != t_def
            or len(p_children) != len(t_children)
        ):
            raise ValueError(
                f"{what} must be a tree prefix of the values it is for: at {what}{path} there is "
                f"{p!r}, but the value there is {_describe(t)}{errors.at_user_line()}"
            )
        for i, (a, b) in enumerate(zip(p_children, t_children, strict=True)):
            walk(a, b, f"{path}[{i}]")

    walk(prefix, tree, "")
    return result


class Prefix:
    """A prefix of trees, such as `in_axes`: its leaves for those of a tree, remembered by the tree's structure."""

    __slots__ = ("_known", "prefix", "what")

    def __init__(self, prefix: Any, what: str):
        self.prefix, self.what = prefix, what
        self._known: dict[Any, list[Any]] = {}

    def over(self, structure: Any, tree: Callable[[], Any]) -> list[Any]:
        """One leaf of the prefix for each leaf of the tree, which `structure` stands for; not to be changed."""
        try:
            found = self._known.get(structure)
        except TypeError:  # it has data that is not hashable
            return broadcast_prefix(self.prefix, tree(), self.what)
        if found is None:
            found = broadcast_prefix(self.prefix, tree(), self.what)
            if len(self._known) < 64:
                self._known[structure] = found
        return found


def _is_leaf(x: Any, space: str = NAMESPACE) -> bool:
    return optree.tree_is_leaf(x, namespace=space)


def _one_level(x: Any, space: str = NAMESPACE) -> tuple[list[Any] | None, Any]:
    if x is None or _is_leaf(x, space):
        return None, None
    children, metadata, _, _ = optree.tree_flatten_one_level(x, namespace=space)
    return list(children), (type(x), metadata)


def children(x: Any) -> list[Any] | None:
    """The children of a node; None of a leaf."""
    return [] if x is None else _one_level(x, PUBLIC)[0]


def _describe(x: Any) -> str:
    children, _ = _one_level(x)
    return f"a {type(x).__name__}" + ("" if children is None else f" of {len(children)}")


@record
class Registered:
    """A registered class: how it is made again, and the attributes that hold its children if they are such."""

    from_children: Callable[[Any, Any], Any]
    children: tuple[str, ...] | None
    statics: tuple[str, ...]
    plain: bool


@record
class _Rules:
    """What optree is told of a class: how it is taken apart in each namespace, and made again."""

    cls: type
    spaces: dict[str, Callable[[Any], tuple[Any, ...]]]
    from_children: Callable[[Any, Any], Any]


_entering = guard(threading.Lock())
# Classes of ours, until optree is there; it is before users can name any.
_waiting: list[_Rules] | None = []


def load() -> Any:
    """`optree`, loaded when it is first needed, and told of the classes that were registered before."""
    global _waiting
    found = import_late("optree")
    with _entering:
        if _waiting is not None:
            for rules in _waiting:
                _enter(found, rules)
            _waiting = None
            globals()["optree"] = found  # to type checkers it is the module from the start
            atexit.register(_end, found)  # after optree's own, so that it comes before
    return found


class _Ending:
    """`optree` while Python ends, and it forgets what is a container: daemon threads would take all for leaves.

    They wait here, until they end.  Functions that are to run at the end run on one thread, and still have it.
    """

    def __init__(self, loaded: Any):
        self._loaded, self._thread = loaded, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        if threading.get_ident() != self._thread:
            threading.Event().wait()
        return getattr(self._loaded, name)


def _end(loaded: Any) -> None:
    globals()["optree"] = _Ending(loaded)


def _enter(optree: Any, rules: _Rules) -> None:
    with warnings.catch_warnings():
        # A named tuple, too, may be registered: what is registered counts.
        warnings.filterwarnings("ignore", r".* is a subclass of `collections\.namedtuple`")
        for space, flatten in rules.spaces.items():
            optree.register_pytree_node(rules.cls, flatten, rules.from_children, namespace=space)


_nodes: dict[type, Registered] = {}
_atoms: set[type] = set()  # what is a leaf to users


def register_node(
    cls: type,
    to_children: Callable[[Any], tuple[Iterable[Any], Any]],
    from_children: Callable[[Any, Any], Any],
    *,
    children: tuple[str, ...] | None = None,
    statics: tuple[str, ...] = (),
    plain: bool = False,
    with_entries: Callable[[Any], tuple[Any, ...]] | None = None,
    public: bool = True,
) -> None:
    """Make a class a container: `to_children(x)` gives (children, static data), `from_children` undoes it.

    With `children`, these attributes are the children and those in `statics` the static data, and the class, called
    with all by name, makes x again: `jit` then flattens and makes it natively.  It does not even call the class if
    that is `plain`: sets these attributes and does nothing else.  `with_entries` is
    `to_children` with a third result, the names of the children for key paths.  What is not `public` is a leaf to
    users.  ValueError if it is one already.
    """
    named = to_children if with_entries is None else with_entries
    spaces = {NAMESPACE: to_children, _NAMED: named, **({PUBLIC: to_children} if public else {})}
    rules = _Rules(cls, spaces, from_children)
    with _entering:
        if _waiting is not None:
            _waiting.append(rules)
        else:
            _enter(optree, rules)
    if not public:
        _atoms.add(cls)
    _nodes[cls] = Registered(from_children, children, statics, plain)
    _native.register_node(cls, children, statics, to_children)


def registered(cls: type) -> Registered | None:
    """How a registered class is made again; None for one that is not registered, or a leaf to users."""
    return None if cls in _atoms else _nodes.get(cls)


def registered_classes() -> list[type]:
    """The classes that are registered and containers to users."""
    return [cls for cls in _nodes if cls not in _atoms]


def native_flatten(x: Any) -> tuple[list[Any], Any] | None:
    """For the native flattener: children and static data of the containers it does not know; None for a leaf."""
    if _is_leaf(x):
        return None
    children, metadata, _, _ = optree.tree_flatten_one_level(x, namespace=NAMESPACE)
    return list(children), _hashable(metadata)


def recipe(treedef: TreeDef, leaves: Iterable[Any]) -> tuple[Any, ...]:
    """How native code makes a tree of this structure: the `out_spec` of an Entry, from those of the leaves."""
    return treedef.walk(leaves, _node_recipe)


def _node_recipe(cls: type, data: Any, children: tuple[Any, ...]) -> tuple[Any, ...]:
    if cls is type(None):
        return ("none",)
    if cls in (tuple, list):
        return (cls.__name__, list(children))
    if cls is dict:
        return ("dict", data, list(children))
    node = _nodes.get(cls)
    if node is not None and node.children is not None:
        names = (*node.children, *node.statics)
        return ("fields" if node.plain else "object", cls, names, data or (), list(children))
    if node is not None:
        return ("registered", node.from_children, data, list(children))
    if optree.is_namedtuple_class(cls) and cls.__mro__[1] is tuple:
        return ("namedtuple", cls, list(children))
    return ("custom", functools.partial(_make, cls, data), list(children))


def _make(cls: Any, data: Any, children: tuple[Any, ...]) -> Any:
    """One of the containers that optree knows of itself."""
    if cls is defaultdict:
        factory, keys = data
        return defaultdict(factory, zip(keys, children, strict=True))
    if cls is OrderedDict:
        return OrderedDict(zip(data, children, strict=True))
    if cls is deque:
        return deque(children, maxlen=data)
    return cls(children) if optree.is_structseq_class(cls) else cls(*children)


_native.set_hooks(flatten=native_flatten, exact=exact)
