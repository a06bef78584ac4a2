"""Primitives of JAX's that are given computations as Jaxprs: what they do, for who binds them by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.implicit import custom_linear_solve
from covector._engine.api.jaxprs import ClosedJaxpr, eval_jaxpr, jaxpr_as_fun
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.primitives.slide import window_under
from covector._engine.runtime.device import device_put
from covector._engine.types import dims as sizes, dtypes
from covector.lax.operands import array
from covector.lax.windows import reduce, reduce_window

__all__ = ["bound_functions"]


def _halves(xs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Operands, and as many initial values after them."""
    half = len(xs) // 2
    return list(xs[:half]), list(xs[half:])


def _of_lists(program: Any, consts: Sequence[Any] = ()) -> Callable[..., list[Any]]:
    """The computation of two lists of scalars that a Jaxpr is; a closed one has its constants itself."""
    if isinstance(program, ClosedJaxpr):
        f = jaxpr_as_fun(program)
        return lambda a, b: f(*a, *b)
    return lambda a, b: eval_jaxpr(program, consts, *a, *b)


def _reduce(*xs: Any, jaxpr: Any, dimensions: Sequence[int], computation: Any = None) -> list[Any]:
    operands, starts = _halves(xs)
    return reduce(operands, starts, _of_lists(jaxpr), tuple(dimensions))


def _reduce_window(
    *xs: Any,
    jaxpr: Any,
    consts: Sequence[Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> list[Any]:
    operands, starts = _halves(xs)
    return reduce_window(
        operands,
        starts,
        _of_lists(jaxpr, consts),
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )


def _select_and_scatter(
    operand: Any,
    source: Any,
    init_value: Any,
    *,
    select_jaxpr: Any,
    select_consts: Sequence[Any],
    scatter_jaxpr: Any,
    scatter_consts: Sequence[Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
) -> Any:
    """The element of each window that is selected takes in the window's element of the source, by a computation.

    Each window has another element at the same place of it, so all windows are served at once, place by place.
    """
    ones = (1,) * operand.ndim
    windows = prims.WindowSum(
        tuple(window_dimensions), tuple(window_strides), tuple(padding), ones, ones
    )
    slides = windows.slides(operand.shape)
    counts = windows.type(typeof(operand)).shape
    if typeof(source).shape != counts:
        raise errors.ShapeError(
            errors.shape_mismatch(
                "select_and_scatter", [typeof(x).text() for x in (operand, source)]
            )
        )
    size, places = operand.size, int(np.prod(window_dimensions))
    windows_count = sizes.product(counts)
    init_value = array("select_and_scatter", init_value)
    flat = prims.Reshape(operand.shape)(prims.Iota((size,), dtypes.index_dtype(size), 0)())
    outside = dtypes.index_dtype(size).type(size)

    def under(x: Any, nothing: Any = 0) -> list[Any]:
        found = prims.squeeze(window_under(prims.expand_dims(x, (0,)), slides, 1, nothing), (0,))
        rows = prims.Reshape((places, windows_count))(found)
        return [rows[n] for n in range(places)]

    elements, where = under(operand), under(flat, size)
    kept, chosen = elements[0], where[0]
    select = vmap(lambda a, b: _of_lists(select_jaxpr, select_consts)([a], [b])[0])
    for x, place in zip(elements[1:], where[1:], strict=True):
        empty = prims.eq(chosen, outside)
        stays = prims.and_(select(kept, x), prims.ne(empty, True))
        stays = prims.or_(stays, prims.eq(place, outside))
        kept, chosen = prims.select(stays, kept, x), prims.select(stays, chosen, place)
    combine = vmap(lambda a, b: _of_lists(scatter_jaxpr, scatter_consts)([a], [b])[0])
    values = prims.Reshape((windows_count,))(source)
    out = prims.Broadcast((size,), (0,))(init_value)
    for place in where:
        target = prims.select(prims.eq(place, chosen), place, outside)
        now = out.at[target].get(mode="clip")
        out = out.at[target].set(combine(now, values), mode="drop", unique_indices=False)
    return prims.Reshape(operand.shape)(out)


def _device_put(
    *xs: Any, devices: Sequence[Any], srcs: Any = (), copy_semantics: Any = ()
) -> list[Any]:
    return [device_put(x, device) for x, device in zip(xs, devices, strict=True)]


def _with_consts(
    f: Callable[..., list[Any]], consts: Sequence[Any], xs: Sequence[Any]
) -> list[Any]:
    return f(*consts, *xs)


def _linear_solve(*xs: Any, const_lengths: Any, jaxprs: Any) -> list[Any]:
    """A system whose product, solver and their transposes are Jaxprs; the constants of each come first."""
    rest, parts = list(xs), []
    for count in const_lengths:
        parts.append(rest[:count])
        rest = rest[count:]
    functions = [None if jaxpr is None else jaxpr_as_fun(jaxpr) for jaxpr in jaxprs]
    matvec, _, solve, transpose_solve = (
        None if f is None else partial(_with_consts, f, consts)
        for f, consts in zip(functions, parts, strict=True)
    )
    assert matvec is not None and solve is not None
    return custom_linear_solve(
        matvec,
        rest,
        lambda _, b: solve(b),
        None if transpose_solve is None else lambda _, b: transpose_solve(b),
    )


# By the name of the primitive: what it does, and whether there are several results.
bound_functions: dict[str, tuple[Callable[..., Any], bool]] = {
    "device_put": (_device_put, True),
    "linear_solve": (_linear_solve, True),
    "reduce": (_reduce, True),
    "reduce_window": (_reduce_window, True),
    "select_and_scatter": (_select_and_scatter, False),
}
