"""Functions of trees as functions of their leaves: what libraries use of `jax.api_util`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from covector._engine.api.arguments import function_place
from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray
from covector.extend.linear_util import WrappedFun, transformation_with_aux
from covector.tree_util import tree_flatten, tree_unflatten

__all__ = [
    "DebugInfo",
    "debug_info",
    "flatten_axes",
    "flatten_fun",
    "flatten_fun_nokwargs",
    "safe_map",
    "shaped_abstractify",
]


@record
class DebugInfo:
    """What a function is traced for, and where it is, for messages.

    >>> from covector import api_util
    >>> api_util.debug_info("mine", len, ([],), {}).traced_for
    'mine'
    """

    traced_for: str
    func_src_info: str
    arg_names: tuple[str, ...] | None = None
    result_paths: tuple[str, ...] | None = None


def debug_info(
    traced_for: str,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    static_argnums: Sequence[int] = (),
    static_argnames: Sequence[str] = (),
    result_paths_thunk: Any = None,
    sourceinfo: str | None = None,
    signature: Any = None,
) -> DebugInfo:
    """What a function is traced for, and where it is.

    >>> from covector import api_util
    >>> api_util.debug_info("mine", lambda x: x, (1,), {}).traced_for
    'mine'
    """
    return DebugInfo(traced_for, sourceinfo or function_place(fun))


@transformation_with_aux
def _flat(in_tree: Any, named: bool, *leaves: Any) -> Generator[Any, Any, None]:
    args = tree_unflatten(in_tree, leaves)
    out = yield args if named else (args, {})
    yield tree_flatten(out)


def flatten_fun(fun: WrappedFun, in_tree: Any) -> tuple[WrappedFun, Callable[[], Any]]:
    """A function of the leaves of (args, kwargs), to those of the result; and, after its call, the result's structure.

    >>> from covector import api_util, tree
    >>> from covector.extend import linear_util
    >>> leaves, structure = tree.flatten(((1,), {"y": 2}))
    >>> f, out_tree = api_util.flatten_fun(linear_util.wrap_init(lambda x, y: {"sum": x + y}), structure)
    >>> f.call_wrapped(*leaves), out_tree() == tree.structure({"sum": 0})
    ([3], True)
    """
    return _flat(fun, in_tree, True)


def flatten_fun_nokwargs(fun: WrappedFun, in_tree: Any) -> tuple[WrappedFun, Callable[[], Any]]:
    """The same, of the leaves of args alone.

    >>> from covector import api_util, tree
    >>> from covector.extend import linear_util
    >>> f, _ = api_util.flatten_fun_nokwargs(linear_util.wrap_init(max), tree.structure((1, 2)))
    >>> f.call_wrapped(1, 2)
    [2]
    """
    return _flat(fun, in_tree, False)


def flatten_axes(
    name: str, treedef: Any, axis_tree: Any, *, kws: bool = False, tupled_args: bool = False
) -> list[Any]:
    """An entry of a tree of axes, a prefix of the structure, for each leaf; ValueError names it if it is none.

    Of arguments that are a tuple (`tupled_args`) it says where one is missing; with `kws` both trees are pairs of
    arguments by position and by name.

    >>> from covector import api_util, tree
    >>> api_util.flatten_axes("in_axes", tree.structure([1, (2, 3)]), [None, 0])
    [None, 0, 0]
    """
    whole = tree_unflatten(treedef, range(treedef.num_leaves))
    try:
        return tree.broadcast_prefix(axis_tree, whole, name, space=tree.PUBLIC)
    except ValueError as e:
        positional, axes = (whole[0], axis_tree[0]) if kws else (whole, axis_tree)
        if not tupled_args or isinstance(axes, tuple) or len(positional) != 1:
            raise
        raise ValueError(f"{e}; {name} of one argument is a tuple of one: ({axes!r},)") from None


def safe_map(f: Callable[..., Any], *sequences: Iterable[Any]) -> list[Any]:
    """What a function gives for each element of sequences of one length; ValueError if they differ.

    >>> from covector import api_util
    >>> api_util.safe_map(max, [1, 5], [2, 4])
    [2, 5]
    """
    lists = [list(s) for s in sequences]
    if len({len(s) for s in lists}) > 1:
        raise ValueError(
            f"safe_map: lengths differ{errors.at_user_line()}: {[len(s) for s in lists]}"
        )
    return [f(*xs) for xs in zip(*lists, strict=True)]


def shaped_abstractify(x: Any) -> ShapedArray:
    """The type of a value.

    >>> from covector import api_util
    >>> api_util.shaped_abstractify(1.0)
    ShapedArray(float32*[])
    """
    return typeof(x)


publish(__name__)
