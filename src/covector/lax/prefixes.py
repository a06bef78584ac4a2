"""Running results of any associative operation, over pytrees: `associative_scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    flatten,
    function_place,
    is_value,
)
from covector._engine.base import errors, tree
from covector._engine.core.trace import typeof
from covector._engine.types.dims import Dim
from covector.lax.control_flow import leaf_path

__all__ = ["associative_scan"]


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """For each place along an axis, the elements up to it put together by an associative function.

    `fn(a, b)` takes two pytrees like `elems`, of any size along the axis, and works on each pair of elements: a is what
    comes first.  With `reverse` it is the elements from a place on, the last one first.  The number of operations
    is twice that of the elements, in steps of which there are twice the logarithm.

    >>> import covector
    >>> import covector.numpy as np
    >>> covector.lax.associative_scan(np.multiply, np.arange(1, 6)).tolist()
    [1, 2, 6, 24, 120]
    """
    check_callable(fn, "associative_scan")
    leaves, structure = flatten(elems)
    for i, x in enumerate(leaves):
        if not is_value(x):
            path = leaf_path("elems", elems, i)
            raise TypeError(errors.not_a_value("associative_scan", path, x))
    leaves = [as_array(x) for x in leaves]
    if not leaves:
        return elems
    axis, size = _axis_and_size(leaves, axis, elems)
    if reverse:
        leaves = [prims.Reverse((axis,))(x) for x in leaves]

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        out = fn(tree.unflatten(structure, a), tree.unflatten(structure, b))
        values, given = flatten(out)
        if given != structure:
            raise TypeError(
                f"associative_scan: {function_place(fn)} must return the structure that it takes"
                f"{errors.at_user_line()}:\n    takes   {structure}\n    returns {given}"
            )
        for i, (x, y) in enumerate(zip(a, values, strict=True)):
            if typeof(x).shape != typeof(y).shape or typeof(x).dtype != typeof(y).dtype:
                raise TypeError(
                    f"associative_scan: {function_place(fn)} must return the types that it takes"
                    f"{errors.at_user_line()}; {leaf_path('elems', elems, i)}: takes {typeof(x).text()}, "
                    f"returns {typeof(y).text()}"
                )
        return [as_array(y) for y in values]

    found = _running(combine, leaves, axis, size)
    if reverse:
        found = [prims.Reverse((axis,))(x) for x in found]
    return tree.unflatten(structure, found)


def _axis_and_size(leaves: Sequence[Any], axis: int, elems: Any) -> tuple[int, int]:
    """The axis from the front, and its size; ValueError if the leaves have not one of them."""
    avals = [typeof(x) for x in leaves]
    for i, aval in enumerate(avals):
        if not -aval.ndim <= axis < aval.ndim:
            raise ValueError(
                f"associative_scan: {leaf_path('elems', elems, i)} is {aval.text()}, which has no axis {axis}"
                f"{errors.at_user_line()}"
            )
    sizes = [aval.shape[axis] for aval in avals]
    if any(n != sizes[0] for n in sizes):
        found = "".join(
            f"\n    {leaf_path('elems', elems, i)}: {aval.text()}" for i, aval in enumerate(avals)
        )
        raise ValueError(
            f"associative_scan: the axes {axis} of the elements must have one size{errors.at_user_line()}:{found}"
        )
    if not isinstance(sizes[0], int):
        raise ValueError(
            f"associative_scan needs a size that is known when it is traced, got {sizes[0]}{errors.at_user_line()}"
        )
    return axis % avals[0].ndim, sizes[0]


def _running(
    combine: Callable[[Sequence[Any], Sequence[Any]], list[Any]],
    leaves: Sequence[Any],
    axis: int,
    size: int,
) -> list[Any]:
    """Running results: of pairs of neighbours first, which are every second one of all."""
    if size < 2:
        return list(leaves)
    firsts = [_every_second(x, axis, 0, size - 1) for x in leaves]
    seconds = [_every_second(x, axis, 1, size) for x in leaves]
    odd = _running(combine, combine(firsts, seconds), axis, size // 2)
    even = [_part(x, axis, 0, 1) for x in leaves]
    if size > 2:
        before = [_part(x, axis, 0, (size - 1) // 2) for x in odd]
        rest = combine(before, [_every_second(x, axis, 2, size) for x in leaves])
        even = [prims.Concatenate(axis)(a, b) for a, b in zip(even, rest, strict=True)]
    return [_interleaved(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _part(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    shape: tuple[Dim, ...] = typeof(x).shape
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return prims.Slice(tuple(starts), tuple(stops), tuple(steps))(x)


def _every_second(x: Any, axis: int, start: int, stop: int) -> Any:
    return _part(x, axis, start, max(stop, start), 2)


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """The elements of both in turn; there may be one more of the first."""
    shape = typeof(odd).shape
    more = typeof(even).shape[axis] - shape[axis]  # type: ignore[operator]
    wide = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    pairs = [prims.Reshape(wide)(x) for x in (_part(even, axis, 0, shape[axis]), odd)]  # type: ignore[arg-type]
    flat = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    together = prims.Reshape(flat)(prims.Concatenate(axis + 1)(*pairs))
    if not more:
        return together
    last = _part(even, axis, shape[axis], shape[axis] + 1)  # type: ignore[arg-type,operator]
    return prims.Concatenate(axis)(together, last)
