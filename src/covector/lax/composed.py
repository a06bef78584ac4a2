"""Primitives of JAX's that are several operations here, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from covector._engine.base.single import single
from covector.lax import collectives, elementwise, indexing, markers, rng, shape, sorting
from covector.lax.bound import bound_functions
from covector.lax.operations import Composed


def _scatter(
    function: Callable[..., Any],
    operand: Any,
    indices: Any,
    updates: Any,
    *,
    update_jaxpr: Any = None,
    update_consts: Any = (),
    **options: Any,
) -> Any:
    """A scatter with its computation, which the name says already."""
    numbers = options.pop("dimension_numbers")
    return function(operand, indices, updates, numbers, **options)


def _sort(*operands: Any, dimension: int, is_stable: bool, num_keys: int) -> Any:
    return sorting.sort(operands, dimension, is_stable, num_keys)


def _top_k(operand: Any, *, k: int, axis: int, is_stable: bool = True) -> Any:
    return sorting.top_k(operand, k, axis=axis, is_stable=is_stable)


def _approx_top_k(operand: Any, *, k: int, is_max_k: bool, **options: Any) -> Any:
    function = sorting.approx_max_k if is_max_k else sorting.approx_min_k
    return function(operand, k, **options)


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """A collective of arrays over the names of axes, with the options that JAX's primitive has by default."""

    def call(*args: Any, axes: Any, axis_index_groups: Any = None) -> Any:
        return [function(x, axes, axis_index_groups=axis_index_groups) for x in args]

    return call


# By the name of the primitive: the operations, and whether there are several results.
_TABLE: dict[str, tuple[Callable[..., Any], bool]] = {
    "after_all": (markers.after_all, False),
    "approx_top_k": (_approx_top_k, True),
    "axis_index": (lambda *, axis_name: collectives.axis_index(axis_name), False),
    "create_token": (markers.create_token, False),
    "log2": (elementwise.log2, False),
    "pmax": (_named(collectives.pmax), True),
    "pmin": (_named(collectives.pmin), True),
    "polynomial": (lambda x, *coeffs: elementwise.polynomial(x, coeffs), False),
    "psum": (_named(collectives.psum), True),
    "regularized_incomplete_beta": (elementwise.betainc, False),
    "rng_bit_generator": (rng.rng_bit_generator, True),
    "rng_uniform": (rng.rng_uniform, False),
    "sort": (_sort, True),
    "split": (shape.split, True),
    "squeeze": (shape.squeeze, False),
    "stack": (lambda *operands, axis: shape.stack(operands, axis), False),
    "stage": (markers.stage, False),
    "tile": (shape.tile, False),
    "top_k": (_top_k, True),
    "unstack": (lambda x, *, axis: shape.unstack(x, axis), True),
    **bound_functions,
    **{
        f"scatter{suffix}": (partial(_scatter, getattr(indexing, f"scatter{suffix}")), False)
        for suffix in ("", "_add", "_sub", "_mul", "_min", "_max")
    },
}


@single
def composed() -> dict[str, Composed]:
    """All of them, by name."""
    return {
        f"{name}_p": Composed(name.replace("_", "-") if name.startswith("scatter_") else name, *row)
        for name, row in _TABLE.items()
    }
