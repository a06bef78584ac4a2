"""What has no value of its own, or is the value that it is given: tokens, marks, names for functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.callbacks import debug_callback
from covector._engine.api.meshes import check_spread
from covector._engine.base import errors, tree
from covector._engine.core.numbers import NUMBERS
from covector._engine.runtime.device import committed
from covector._engine.types import dtypes
from covector._engine.types.mesh import AxisType
from covector.lax.operands import array
from covector.numpy.index_plan import as_number
from covector.numpy.promotion import lift, shape_of
from covector.numpy.shape import broadcast_to

__all__ = [
    "after_all",
    "broadcast_like",
    "composite",
    "create_token",
    "dce_sink",
    "shape_as_value",
    "stage",
    "with_sharding_constraint",
]


def create_token(_: Any = None) -> Any:
    """A token: an array of nothing, which says by its operands what comes before what.

    >>> from covector import lax
    >>> lax.create_token().shape
    (0,)
    """
    return prims.full((0,), False, dtypes.bool_)


def after_all(*operands: Any) -> Any:
    """A token that comes after all of these tokens.

    >>> from covector import lax
    >>> lax.after_all(lax.create_token(), lax.create_token()).shape
    (0,)
    """
    tokens = [array("after_all", x) for x in operands]
    return prims.OptimizationBarrier()(*tokens)[0] if tokens else create_token()


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Say that a pytree of values is needed, so that what computes it is not left out although nobody reads it.

    >>> import covector
    >>> covector.jit(lambda x: (covector.lax.dce_sink(x * 2), x)[1])(3)
    Array(3, dtype=int32, weak_type=True)
    """
    debug_callback(_nothing, *tree.leaves(val))


def _nothing(*values: Any) -> None:
    """Take values and do nothing."""


def stage(x: Any, /) -> Any:
    """The value as an array or as part of what is traced: a number becomes an array.

    >>> from covector import lax
    >>> lax.stage(1.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return lift("stage", x)


def shape_as_value(shape: Any) -> Any:
    """The dimensions of a shape as an array of int32; symbolic ones are computed from the operands.

    >>> from covector import lax
    >>> lax.shape_as_value((2, 3)).tolist()
    [2, 3]
    """
    dims = shape_of(shape)
    if not dims:
        return prims.full((0,), 0, dtypes.int32)
    if all(isinstance(n, int) for n in dims):
        return np.array(dims, np.int32)
    parts = [prims.expand_dims(as_number(n, dtypes.int32), (0,)) for n in dims]
    return prims.Concatenate(0)(*parts)


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """The array repeated to the shape of another one, aligned at the last axes.

    ValueError if it does not fit.

    >>> from covector import lax, numpy as cnp
    >>> lax.broadcast_like(cnp.arange(2), cnp.ones((2, 2))).tolist()
    [[0, 1], [0, 1]]
    """
    return broadcast_to(array("broadcast_like", arr), array("broadcast_like", like_arr).shape)


def composite(decomposition: Callable[..., Any], name: Any, version: Any = 0) -> Callable[..., Any]:
    """A function under a name by which a compiler could know it; ours knows none and compiles what it does.

    Keyword arguments are attributes: values that are known when it is traced.  TypeError unless the name is a str
    and the version an int.

    >>> from covector import lax
    >>> print(lax.composite(lambda x, *, k: x * k, "my.scaled")(2.0, k=3.0))
    6.0
    """
    if not isinstance(name, str) or not isinstance(version, int):
        raise TypeError(
            f"composite takes a name and a number, got {name!r} and {version!r}{errors.at_user_line()}"
        )

    @wraps(decomposition)
    def call(*args: Any, **attributes: Any) -> Any:
        arrays = tree.map(_array_of_number, args)
        return tree.map(_array_of_number, decomposition(*arrays, **attributes))

    return call


def _array_of_number(x: Any) -> Any:
    return lift("composite", x) if type(x) in NUMBERS else x


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """The values of a pytree, which are to be sharded so: with one device they are.

    `shardings` are shardings of `covector.sharding`, `PartitionSpec`s over the mesh of the context, or None: a prefix
    of the tree.  They name axes that are left to the compiler, of type `Auto`; for `Explicit` ones there is `reshard`.

    Raises:
        TypeError: something else than a sharding.
        ValueError: a spec without a mesh, with more entries than the value has axes, or over other axes.

    >>> from covector import lax, numpy as cnp
    >>> x = cnp.ones(2)
    >>> lax.with_sharding_constraint(x, x.sharding)
    Array([1., 1.], dtype=float32)
    """
    check_spread("with_sharding_constraint", x, shardings, (AxisType.Auto,))
    return tree.map(lambda leaf: committed(lift("with_sharding_constraint", leaf)), x)
