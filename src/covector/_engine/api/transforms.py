"""`vmap` over pytrees, and functions looked at without running them: `eval_shape`, `make_jaxpr`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_values,
    flatten,
    flatten_marked,
    function_name,
    function_place,
    is_value,
    leaf_names,
    result_names,
)
from covector._engine.api.derivatives import Function, aval_of
from covector._engine.api.vmappable import VMAPPABLES, around, is_entry
from covector._engine.base import errors, tree
from covector._engine.base.locks import import_late
from covector._engine.base.public import boundary, wraps
from covector._engine.core.refs import Cell, StandIns, stage_open
from covector._engine.core.trace import naming, typeof
from covector._engine.ir.program import Program
from covector._engine.runtime.mapped import batch
from covector._engine.transforms.batch import place_axis
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct
from covector._engine.types.dims import Dim
from covector._engine.types.nothing import Nothing, array_of_nothing, is_nothing

if TYPE_CHECKING:
    from covector._engine.api.jaxprs import ClosedJaxpr

P = ParamSpec("P")
R = TypeVar("R")

# --------------------------------------------------------------------------------------------------------- vmap


def vmap(
    fun: Callable[P, R],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
    spmd_axis_name: Hashable = None,
    sum_match: bool = False,
) -> Callable[P, R]:
    """A function that applies `fun` to every element along an axis of its arguments, all at once.

    `in_axes` says which axis: an int, None (the argument is the same for all elements), or a tuple with an entry for
    each positional argument, where an entry may be a pytree of these that is a prefix of the argument.  Arguments
    given by keyword are mapped along axis 0.  `out_axes` likewise says where the new axis of the results stands;
    None is for results that are the same for all elements.  All mapped axes have one size, `axis_size` if given.
    `axis_name` names the axis for the collectives inside `fun`, as `lax.psum`.  `spmd_axis_name` says over which axis
    of a mesh the batch is spread; arrays lie on one device here, so it changes nothing.  With `sum_match` a result
    that has another value for each element may have the `out_axes` entry None: it is the sum over the elements.
    A Ref may be an argument: with an axis, each element has its part of it; with None, all write the same value.
    What is not mapped may be anything, functions too.

    >>> import covector
    >>> import covector.numpy as np
    >>> print(covector.vmap(lambda x, y: x * y, in_axes=(0, None))(np.arange(3), 2))
    [0 2 4]
    """
    check_callable(fun, "vmap")
    call: Function = fun
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    _check_axes(in_axes, out_axes)

    mapped, placed = tree.Prefix(in_axes, "in_axes"), tree.Prefix(out_axes, "out_axes")

    @boundary
    @wraps(fun)
    def vmap_f(*args: Any, **kwargs: Any) -> Any:
        _check_entries(fun, in_axes, args)
        if VMAPPABLES:
            place = partial(_result, fun, sum_match)
            return around(run, call, (args, kwargs), (in_axes, out_axes), place)
        return run(call, args, kwargs)

    def run(call: Function, args: Any, kwargs: Any) -> Any:
        leaves, in_tree = flatten((args, kwargs))
        entries = mapped.over(in_tree, lambda: args)
        entries = [*entries, *[0] * (len(leaves) - len(entries))]
        kept = _kept(leaves, entries) if None in entries else ()
        if False in kept:
            leaves, in_tree, entries = _without_others(leaves, in_tree, entries, kept)
        leaves, in_tree, entries = _without_nothing(leaves, in_tree, entries)
        names = partial(_leaf_names, fun, args, kwargs, kept)
        refs = StandIns("vmap", leaves)
        values = refs.values(leaves)
        check_values(values, names, "vmap")
        dims = [
            None if axis is None else _input_axis(axis, x, i, names)
            for i, (axis, x) in enumerate(zip(entries, values, strict=True))
        ]
        size = _axis_size(values, dims, axis_size, names)
        out_tree: Any = None

        def flat(*values: Any) -> list[Any]:
            nonlocal out_tree
            given = refs.put(leaves, values, dims)
            arguments, keywords = tree.unflatten(in_tree, given)
            out = call(*arguments, **keywords)
            results, out_tree = flatten_marked(out)
            check_values(results, lambda: result_names(fun, out), "vmap")
            return [*results, *refs.take()]

        outs, axes = batch(flat, _entering(values, dims), dims, size, axis_name)
        count = out_tree.num_leaves
        for i, x, axis in zip(refs.written(), outs[count:], axes[count:], strict=True):
            leaves[i]._write(_placed(x, axis, dims[i], size))
        how = placed, size, sum_match
        return _results(fun, out_tree, outs[:count], axes[:count], how)

    return vmap_f


def _entering(values: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """What the function is run with: an operation may hand it on, so what is mapped must be no NumPy array there."""
    return [
        as_array(x) if d is not None and isinstance(x, np.ndarray) else x
        for x, d in zip(values, dims, strict=True)
    ]


class _Whole:
    """A leaf that is handed on as it is: a node without leaves, which unflattening takes out again."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


tree.register_node(_Whole, lambda w: ((), w.value), lambda value, _: value)


def _kept(leaves: list[Any], entries: list[Any]) -> list[bool]:
    """Which leaves are arrays, or have to be, as they are mapped."""
    return [
        axis is not None or is_value(x) or isinstance(x, Cell)
        for x, axis in zip(leaves, entries, strict=True)
    ]


def _without_others(
    leaves: list[Any], in_tree: tree.TreeDef, entries: list[Any], kept: Sequence[bool]
) -> tuple[list[Any], tree.TreeDef, list[Any]]:
    """Leaves, structure and axes without those that are not kept: they are structure."""
    marked = [x if mine else _Whole(x) for x, mine in zip(leaves, kept, strict=True)]
    found, treedef = tree.flatten(tree.unflatten(in_tree, marked))
    return found, treedef, list(compress(entries, kept))


def _without_nothing(
    leaves: list[Any], in_tree: tree.TreeDef, entries: list[Any]
) -> tuple[list[Any], tree.TreeDef, list[Any]]:
    """Leaves, structure and axes without arrays of float0: those of an element are structure."""
    hollow = list(map(is_nothing, leaves))
    if True not in hollow:
        return leaves, in_tree, entries
    elements = [
        Nothing(_element_shape(x.shape, axis)) if mine else x
        for x, axis, mine in zip(leaves, entries, hollow, strict=True)
    ]
    found, treedef = tree.flatten(tree.unflatten(in_tree, elements))
    return found, treedef, list(compress(entries, [not mine for mine in hollow]))


def _element_shape(shape: tuple[Any, ...], axis: int | None) -> tuple[Any, ...]:
    """The shape without the mapped axis."""
    return shape if axis is None else (*shape[: axis % len(shape)], *shape[axis % len(shape) + 1 :])


def _check_entries(fun: Function, in_axes: Any, args: Sequence[Any]) -> None:
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ValueError(
            f"vmap: in_axes has {len(in_axes)} entries, but {function_name(fun)} was called with {len(args)} "
            f"positional arguments{errors.at_user_line()}"
        )


def _placed(x: Any, axis: int | None, target: int | None, size: Dim) -> Any:
    """The new value of a reference that was mapped along an axis, or is one for all."""
    return x if target is None else place_axis(x, axis, target, size)


def _results(
    fun: Function,
    out_tree: tree.TreeDef,
    outs: Sequence[Any],
    axes: Sequence[int | None],
    how: tuple[tree.Prefix, Dim, bool],
) -> Any:
    """The results as a tree, with their batch axes where `out_axes` wants them."""
    placed, size, sum_match = how
    targets = placed.over(out_tree, lambda: tree.unflatten(out_tree, outs))
    if len(targets) != len(outs):  # there are arrays of float0, which are structure
        return _with_nothing(fun, out_tree, outs, axes, (targets, size, sum_match))
    results = [
        _result(fun, sum_match, size, x, axis, target)
        for x, axis, target in zip(outs, axes, targets, strict=True)
    ]
    return tree.unflatten(out_tree, results)


def _with_nothing(
    fun: Function,
    out_tree: tree.TreeDef,
    outs: Sequence[Any],
    axes: Sequence[int | None],
    how: tuple[Sequence[int | None], Dim, bool],
) -> Any:
    """The same where some results are arrays of float0."""
    targets, size, sum_match = how
    whole, treedef = tree.flatten(tree.unflatten(out_tree, outs))
    mapped = iter(axes)
    results = [
        array_of_nothing(_with_size(x.shape, target, size))
        if is_nothing(x)
        else _result(fun, sum_match, size, x, next(mapped), target)
        for x, target in zip(whole, targets, strict=True)
    ]
    return tree.unflatten(treedef, results)


def _with_size(shape: tuple[Any, ...], axis: int | None, size: Dim) -> tuple[Any, ...]:
    """The shape with the batch axis where `out_axes` wants it."""
    if axis is None:
        return shape
    axis %= len(shape) + 1
    return (*shape[:axis], size, *shape[axis:])


def _check_axes(in_axes: Any, out_axes: Any) -> None:
    if not (in_axes is None or isinstance(in_axes, int | tuple)):
        raise TypeError(
            f"vmap: in_axes must be an int, None, or a tuple of entries for the arguments, got {in_axes!r}"
            f"{errors.at_user_line()}"
        )
    for what, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        for axis in tree.leaves(axes):
            if type(axis) is not int and not is_entry(axis):
                raise TypeError(
                    f"vmap: {what} must be made of ints and None, got {axis!r} of type {type(axis).__name__}"
                    f"{errors.at_user_line()}"
                )


def _leaf_names(
    fun: Function, args: tuple[Any, ...], kwargs: dict[str, Any], kept: Sequence[bool] = ()
) -> list[str]:
    keywords = [
        f"{key}{tree.keystr(path)}"
        for key in sorted(kwargs)
        for path, _ in tree.leaves_with_path(kwargs[key])
    ]
    names = leaf_names(fun, args) + keywords
    return list(compress(names, kept)) if kept else names


def _input_axis(axis: int, x: Any, i: int, names: Callable[[], list[str]]) -> int:
    """The axis as a non-negative number; ValueError if the argument has no such axis."""
    ndim = len(_shape(x))
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"vmap over axis {axis} of {names()[i]}, which is {typeof(x).text()} and has {ndim} "
            f"dimensions{errors.at_user_line()}; give it the in_axes entry None if it is the same for all elements"
        )
    return axis % ndim


def _shape(x: Any) -> tuple[Any, ...]:
    """The shape of a value: of a number, none."""
    return getattr(x, "shape", ())  # type: ignore[no-any-return]


def _axis_size(
    leaves: Sequence[Any],
    dims: Sequence[int | None],
    given: int | None,
    names: Callable[[], list[str]],
) -> Dim:
    """The one size of the mapped axes; ValueError if there are several, or none."""
    sizes = [
        (_shape(x)[d], i)
        for i, (x, d) in enumerate(zip(leaves, dims, strict=True))
        if d is not None
    ]
    if not sizes and given is None:
        raise ValueError(
            f"vmap has nothing to map over{errors.at_user_line()}: every in_axes entry is None, or there are no "
            "arguments; give one entry that is not None, or axis_size"
        )
    size = sizes[0][0] if given is None else given
    if any(s != size for s, _ in sizes):
        found = "".join(
            f"\n    {names()[i]}, {typeof(leaves[i]).text()}: axis {dims[i]} has size {s}"
            for s, i in sizes
        )
        wanted = "" if given is None else f" and be axis_size={given}"
        raise ValueError(
            f"vmap: the mapped axes must have one size{wanted}{errors.at_user_line()}, but{found}"
        )
    return size


def _result(
    fun: Function, sum_match: bool, size: Dim, x: Any, axis: int | None, target: int | None
) -> Any:
    """A result with its batch axis where out_axes wants it."""
    if target is None:
        if axis is not None and sum_match:
            return as_array(prims.Sum((axis,))(x))
        if axis is not None:
            raise ValueError(
                f"vmap of {function_place(fun)} has a result with another value for each element, but its out_axes "
                f"entry is None{errors.at_user_line()}; give it an axis, or sum the elements with sum_match=True"
            )
        return as_array(x)
    ndim = len(_shape(x)) + (axis is None)
    if not -ndim <= target < ndim:
        raise ValueError(
            f"vmap of {function_place(fun)}: out_axes entry {target} for a result that with the new axis has "
            f"{ndim} dimensions{errors.at_user_line()}"
        )
    return as_array(place_axis(x, axis, target % ndim, size))


# ---------------------------------------------------------------------------------- looking at without running


def eval_shape(fun: Function, *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of what `fun` returns, as a tree of `ShapeDtypeStruct`s, without computing anything.

    Arguments are trees of arrays, numbers, or `ShapeDtypeStruct`s.

    >>> import covector
    >>> covector.eval_shape(lambda x: x + 1, covector.ShapeDtypeStruct((3,), float))
    ShapeDtypeStruct(shape=(3,), dtype=float32)
    """
    check_callable(fun, "eval_shape")
    program, out_tree = _stage("eval_shape", fun, args, kwargs, ())
    return _structs(program, out_tree)


@overload
def make_jaxpr(
    fun: Callable[P, Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Hashable, int]] | None = None,
    return_shape: Literal[False] = False,
) -> Callable[P, ClosedJaxpr]:
    """A function that returns the Program."""


@overload
def make_jaxpr(
    fun: Callable[P, Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Hashable, int]] | None = None,
    *,
    return_shape: Literal[True],
) -> Callable[P, tuple[ClosedJaxpr, Any]]:
    """A function that returns the Program and the results' shapes and dtypes."""


def make_jaxpr(
    fun: Function,
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Hashable, int]] | None = None,
    return_shape: bool = False,
) -> Function:
    """A function that returns what JAX calls the jaxpr of `fun` for given arguments: its `Program`, shown.

    It is a `ClosedJaxpr`: its `eqns` are the equations as interpreters of JAX's jaxprs expect them, its text and
    `program` are Covector's.

    A Ref that `fun` takes is an input, one that it closes over a further input, and the last values of those that
    it writes are further outputs.  Arguments in `static_argnums` are used as they are.  `axis_env` has the names and
    sizes of axes that collectives in `fun` read.  With `return_shape` it returns a pair, the Program and the
    results' shapes and dtypes.

    >>> import covector
    >>> print(covector.make_jaxpr(lambda x: x * x)(2.0).eqns[0].primitive)
    mul
    """
    check_callable(fun, "make_jaxpr")
    static = tuple(static_argnums) if isinstance(static_argnums, Sequence) else (static_argnums,)

    @boundary
    @wraps(fun)
    def make_jaxpr_f(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as scope:
            for name, size in axis_env or ():
                scope.enter_context(naming(name, size))
            program, out_tree = _stage(
                "make_jaxpr", fun, args, kwargs, tuple([i % len(args) for i in static])
            )
        closed = _closed(program)
        return (closed, _structs(program, out_tree)) if return_shape else closed

    return make_jaxpr_f


def _closed(program: Program) -> ClosedJaxpr:
    return import_late("covector._engine.api.jaxprs").ClosedJaxpr.of(program)


def _stage(
    api: str, fun: Function, args: tuple[Any, ...], kwargs: dict[str, Any], static: tuple[int, ...]
) -> tuple[Program, Any]:
    dynamic = tuple([None if i in static else x for i, x in enumerate(args)])
    leaves, in_tree = flatten((dynamic, kwargs))
    refs = StandIns(api, leaves)
    names = partial(_leaf_names, fun, dynamic, kwargs)
    avals = [
        x._inner if isinstance(x, Cell) else aval_of(x, names, i, api) for i, x in enumerate(leaves)
    ]
    out_tree: Any = None

    def flat(*values: Any) -> list[Any]:
        nonlocal out_tree
        arguments, keywords = tree.unflatten(in_tree, refs.put(leaves, values))
        full = [args[i] if i in static else x for i, x in enumerate(arguments)]
        out = fun(*full, **keywords)
        results, out_tree = flatten_marked(out)
        results = [_value_of(x) for x in results]
        check_values(results, lambda: result_names(fun, out), api)
        return [*results, *refs.take()]

    program, _ = stage_open(flat, avals, function_name(fun))
    return program, out_tree


def _value_of(x: Any) -> Any:
    """A result; for one that is only a shape and a dtype, values of these."""
    return (
        prims.zeros(aval_of(x, list, 0, "")) if isinstance(x, ShapeDtypeStruct | ShapedArray) else x
    )


def _structs(program: Program, out_tree: Any) -> Any:
    avals = program.out_avals[: out_tree.num_leaves]
    return tree.unflatten(out_tree, [_struct(a) for a in avals])


def _struct(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
