"""Classes that `vmap` takes apart as their library says: `interpreters.batching.register_vmappable`.

Such an object is a leaf for `in_axes` and `out_axes`, whatever it is to pytrees.  `vmap` sees it as structure: it is
put aside before, and what the function is called with is made of it where the batch's trace runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import as_array
from covector._engine.base import tree
from covector._engine.base.record import record
from covector._engine.core.trace import current
from covector._engine.types.dtypes import named_dtype

# Of the size, a value, its batch axis, and that of the result.
Place = Callable[[Any, Any, int | None, Any], Any]


@record
class Vmappable:
    """How a class is taken apart and made again, and what is an entry of `in_axes` for it."""

    spec: type
    to_elt: Callable[..., Any]
    from_elt: Callable[..., Any]


VMAPPABLES: dict[type, Vmappable] = {}


@record
class Aside:
    """An object that was put aside, and its entry of `in_axes`."""

    value: Any
    entry: Any


tree.register_node(
    Aside, lambda a: ((), (a.value, a.entry)), lambda data, _: Aside(*data), public=False
)


def is_vmappable(x: Any) -> bool:
    """Whether the class was registered."""
    return type(x) in VMAPPABLES


def is_entry(x: Any) -> bool:
    """Whether it is an entry of `in_axes` for an object of a registered class."""
    return any(type(x) is found.spec for found in VMAPPABLES.values())


def around(
    run: Callable[..., Any], call: Callable[..., Any], given: Any, axes: Any, place: Place
) -> Any:
    """What `run(call, args, kwargs)` gives, which maps `call`, where objects of registered classes may be among both.

    `given` are the arguments, `axes` what is said of those and of the results.
    """
    (args, kwargs), (in_axes, out_axes) = given, axes
    trace: Any = None

    def of_elements(*args: Any, **kwargs: Any) -> Any:
        nonlocal trace
        trace = current()
        args, kwargs = tree.map(partial(_entered, trace), (args, kwargs), is_leaf=_is_aside)
        return _put_aside(call(*args, **kwargs))

    outs = run(of_elements, _put_aside(args, in_axes), _put_aside(kwargs, 0))
    leaves, treedef = tree.flatten(outs, _is_aside)
    entries = _over(out_axes, treedef, "out_axes")
    made = [_left(trace, place, x, entry) for x, entry in zip(leaves, entries, strict=True)]
    return tree.unflatten(treedef, made)


def _put_aside(x: Any, entries: Any = None) -> Any:
    """The tree without objects of registered classes; their axes are those of the prefix `entries`."""
    leaves, treedef = tree.flatten(x, is_vmappable)
    if not any(map(is_vmappable, leaves)):
        return x
    kept = [
        Aside(leaf, entry) if is_vmappable(leaf) else leaf
        for leaf, entry in zip(leaves, _over(entries, treedef, "in_axes"), strict=True)
    ]
    return tree.unflatten(treedef, kept)


def _over(entries: Any, treedef: tree.TreeDef, what: str) -> list[Any]:
    """One of the entries for each leaf."""
    return tree.broadcast_prefix(entries, tree.unflatten(treedef, range(treedef.num_leaves)), what)


def _is_aside(x: Any) -> bool:
    return type(x) is Aside


def _entered(trace: Any, leaf: Any) -> Any:
    """An element of an object that was put aside."""

    @cache
    def position() -> Any:
        return trace.enter(as_array(prims.Iota((trace.size,), named_dtype("int32"), 0)()), 0)

    def element(value: Any, entry: Any) -> Any:
        if is_vmappable(value):
            return VMAPPABLES[type(value)].to_elt(element, position, value, entry)
        if entry is None:
            return value
        value = as_array(value)
        return trace.enter(value, entry % value.ndim)

    return element(leaf.value, leaf.entry) if _is_aside(leaf) else leaf


def _left(trace: Any, place: Place, leaf: Any, entry: Any) -> Any:
    """An object that was put aside in the batch, for all of it."""

    def whole(size: Any, value: Any, entry: Any) -> Any:
        if is_vmappable(value):
            return VMAPPABLES[type(value)].from_elt(whole, size, value, entry)
        held, axis = trace.leave(value)
        return place(size, held, axis, entry)

    return whole(trace.size, leaf.value, entry) if _is_aside(leaf) else leaf
