"""Jacobians of functions over pytrees: derivatives along the whole standard basis at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import Any, ParamSpec

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_differentiable,
    flatten,
    function_place,
    leaf_names,
    normalize_argnums,
)
from covector._engine.api.derivatives import (
    Flattened,
    Function,
    on_arguments,
)
from covector._engine.api.pullback import as_weak_as, cotangent_value
from covector._engine.base import errors, tree
from covector._engine.base.public import boundary, wraps
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import typeof
from covector._engine.runtime import mapped
from covector._engine.runtime.pushed import push as pushed_along
from covector._engine.runtime.tape import Recording, serves
from covector._engine.transforms.batch import batch_flat, place_axis
from covector._engine.transforms.forward import linearize_flat
from covector._engine.transforms.transpose import pull
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import product

P = ParamSpec("P")


def jacfwd(
    fun: Callable[P, Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """A function that computes the Jacobian of `fun` column by column, in forward mode: for few inputs.

    Each result of shape R and argument of shape A give a block of shape R + A, in a tree with the structure of the
    results whose leaves are trees with the structure of the argument (a tuple of them for a sequence of `argnums`).
    Of results that are integers the block is zeros of their dtype.

    >>> import covector
    >>> import covector.numpy as np
    >>> print(covector.jacfwd(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacfwd")

    @boundary
    @wraps(fun)
    def jacobian_f(*args: Any, **kwargs: Any) -> Any:
        numbers = normalize_argnums(argnums, len(args), "jacfwd")
        dynamic = tuple([args[i] for i in numbers])
        leaves, in_tree = flatten(dynamic)
        names = partial(leaf_names, fun, dynamic, numbers)
        check_differentiable(leaves, names, "jacfwd", holomorphic, False, real=True)
        flat = Flattened("jacfwd", fun, in_tree, has_aux, on_arguments(fun, args, kwargs, numbers))
        avals = [typeof(x) for x in leaves]
        total: Any = sum(product(a.shape) for a in avals)
        outs: list[Any] = []
        values = [as_array(x) for x in leaves]

        def push(*tangents: Any) -> list[Any]:
            outs[:], pushed = pushed_along(flat, values, tangents)
            return [prims.materialize(t) for t in pushed[: flat.n]]

        pushed, axes = mapped.batch(push, _basis(avals), [0] * len(leaves), total)
        types = [typeof(x) for x in outs[: flat.n]]
        _check_jacobian_results("jacfwd", fun, types, holomorphic)
        blocks: list[Any] = []
        for t, axis, out in zip(pushed, axes, types, strict=True):
            columns = place_axis(t, axis, len(out.shape), total)
            blocks.append(
                _unflatten_argument(
                    in_tree, _cut(columns, len(out.shape), avals, out.shape, after=True), argnums
                )
            )
        jacobian = tree.unflatten(flat.out_tree, blocks)
        return (jacobian, flat.unflatten_aux(outs)) if has_aux else jacobian

    return jacobian_f


def jacrev(
    fun: Callable[P, Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[P, Any]:
    """As `jacfwd`, but row by row, in reverse mode: for few results.

    With `allow_int` the blocks of integers and truth values are zeros of their dtype.

    >>> import covector
    >>> import covector.numpy as np
    >>> print(covector.jacrev(lambda x: x * x)(np.array([1.0, 2.0])))
    [[2. 0.]
     [0. 4.]]
    """
    check_callable(fun, "jacrev")

    @boundary
    @wraps(fun)
    def jacobian_f(*args: Any, **kwargs: Any) -> Any:
        numbers = normalize_argnums(argnums, len(args), "jacrev")
        dynamic = tuple([args[i] for i in numbers])
        leaves, in_tree = flatten(dynamic)
        names = partial(leaf_names, fun, dynamic, numbers)
        mask = check_differentiable(leaves, names, "jacrev", holomorphic, allow_int, real=False)
        flat = Flattened("jacrev", fun, in_tree, has_aux, on_arguments(fun, args, kwargs, numbers))
        values = [as_array(x) for x in leaves]
        back: Callable[[Sequence[Any]], Sequence[Any]]
        if serves(values, mask):
            recording = Recording(flat, values, mask)
            outs, back = recording.outs, recording.pull_traced
        else:
            outs, tape = linearize_flat(flat, values, mask)
            back = partial(pull, tape)
            del tape.outputs[flat.n :]
        types = [typeof(x) for x in outs[: flat.n]]
        _check_jacobian_results("jacrev", fun, types, holomorphic)
        avals = [typeof(x) for x in leaves]
        blocks = [
            _unflatten_argument(in_tree, _rows(back, types, i, avals, mask), argnums)
            for i in range(len(types))
        ]
        jacobian = tree.unflatten(flat.out_tree, blocks)
        return (jacobian, flat.unflatten_aux(outs)) if has_aux else jacobian

    return jacobian_f


def hessian(
    fun: Callable[P, Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """A function that computes the second derivatives of `fun`: the Jacobian (forward) of the Jacobian (reverse).

    >>> import covector
    >>> import covector.numpy as np
    >>> print(covector.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0])))
    [[ 6.  0.]
     [ 0. 12.]]
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def _basis(avals: Sequence[ShapedArray]) -> list[Any]:
    """For each type the part of the standard basis of them all together, along a leading axis."""
    sizes = [int(product(a.shape)) for a in avals]
    total = sum(sizes)
    result: list[Any] = []
    start = 0
    for aval, size in zip(avals, sizes, strict=True):
        part = np.eye(total, size, -start, dtype=aval.dtype)
        result.append(as_array(part.reshape(total, *aval.shape)))  # type: ignore[arg-type]
        start += size
    return result


def _cut(
    columns: Any, axis: int, avals: Sequence[ShapedArray], shape: Any, after: bool
) -> list[Any]:
    """The blocks of an axis that runs over the elements of these types, each in its shape."""
    result: list[Any] = []
    start = 0
    whole = typeof(columns).shape
    for aval in avals:
        stop = start + product(aval.shape)
        part = columns
        if len(avals) > 1:
            starts = tuple([start if i == axis else 0 for i in range(len(whole))])
            stops = tuple([stop if i == axis else n for i, n in enumerate(whole)])
            part = prims.Slice(starts, stops, (1,) * len(whole))(part)
        block = prims.Reshape((*shape, *aval.shape) if after else (*aval.shape, *shape))(part)
        result.append(as_weak_as(block, aval))
        start = stop
    return result


def _rows(
    back: Callable[[Sequence[Any]], Sequence[Any]],
    types: list[ShapedArray],
    i: int,
    avals: list[ShapedArray],
    mask: Sequence[bool],
) -> list[Any]:
    """The blocks of the Jacobian for result i, one for each argument."""
    out = types[i]
    size = product(out.shape)

    def run(ct: Any) -> list[Any]:
        return [
            cotangent_value(b, a)
            for b, a in zip(
                back([ct if j == i else Zero(t) for j, t in enumerate(types)]),
                compress(avals, mask),
                strict=True,
            )
        ]

    backs, axes = batch_flat(run, _basis([out]), [0], size)
    found = iter(zip(backs, axes, strict=True))
    blocks: list[Any] = []
    for aval, live in zip(avals, mask, strict=True):
        shape = (*out.shape, *aval.shape)
        if live:
            row, axis = next(found)
            blocks.append(prims.Reshape(shape)(place_axis(row, axis, 0, size)))
        else:
            blocks.append(prims.zeros(aval.with_shape(shape)))
    return blocks


def _unflatten_argument(in_tree: tree.TreeDef, blocks: list[Any], argnums: Any) -> Any:
    found = tree.unflatten(in_tree, blocks)
    return found if isinstance(argnums, Sequence) else found[0]


def _check_jacobian_results(
    api: str, fun: Function, types: Sequence[ShapedArray], holomorphic: bool
) -> None:
    for aval in types:
        if holomorphic and not dtypes.is_complex(aval.dtype):
            raise TypeError(
                f"{api} with holomorphic=True needs complex results, but {function_place(fun)} returned "
                f"{aval.text()}{errors.at_user_line()}"
            )
        takes, wanted = dtypes.is_float, "real floating-point"
        if api == "jacfwd":  # real arguments may lead to complex results; integers do not change
            continue
        if not holomorphic and not takes(aval.dtype):
            raise TypeError(
                f"{api} needs {wanted} results, but {function_place(fun)} returned {aval.text()}"
                f"{errors.at_user_line()}"
            )
