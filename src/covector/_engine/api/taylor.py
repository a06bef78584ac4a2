"""`jet`: derivatives of all orders along a path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_values,
    flatten,
    function_place,
    zero_tangent,
)
from covector._engine.api.pullback import as_weak_as
from covector._engine.base import errors, tree
from covector._engine.core.numbers import number
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import typeof
from covector._engine.transforms.jet import jet_flat
from covector._engine.types.avals import ShapedArray


def jet(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    factorial_scaled: bool = True,
) -> tuple[Any, Any]:
    """(results of `fun` at `primals`, their derivatives of all orders) along a path.

    `series` has a list for each argument: the derivatives of the path, of order 1, 2, ...  In the place of each result
    is such a list.  With `factorial_scaled=False` they are Taylor coefficients, derivatives divided by the factorial.

    >>> import covector
    >>> import covector.numpy as np
    >>> from covector.experimental.jet import jet
    >>> y, derivatives = jet(np.exp, (0.0,), ([1.0, 0.0, 0.0],))
    >>> [float(d) for d in derivatives]
    [1.0, 1.0, 1.0]
    """
    check_callable(fun, "jet")
    if len(primals) != len(series):
        raise ValueError(
            f"jet: {len(primals)} primals and {len(series)} series{errors.at_user_line()}: there must be one for each"
        )
    orders = {len(terms) for terms in series}
    if len(orders) != 1:
        raise ValueError(
            f"jet: the series must have one length{errors.at_user_line()}, got {sorted(orders)}"
        )
    (order,) = orders
    for i, (x, terms) in enumerate(zip(primals, series, strict=True)):
        names = [f"primal {i}", *[f"term {j} of argument {i}" for j in range(order)]]
        check_values([x, *terms], lambda names=names: names, "jet")
    values = [as_array(x) for x in primals]
    scales = [1 if factorial_scaled else math.factorial(k + 1) for k in range(order)]
    given = [
        [_term(i, j, t, typeof(x), scales[j]) for j, t in enumerate(terms)]
        if typeof(x).differentiable()
        else []
        for i, (x, terms) in enumerate(zip(values, series, strict=True))
    ]
    out_tree: Any = None

    def flat(*args: Any) -> list[Any]:
        nonlocal out_tree
        results, out_tree = flatten(fun(*args))
        check_values(
            results, lambda: [f"the result of {function_place(fun)}"] * len(results), "jet"
        )
        return results

    outs, found = jet_flat(flat, values, given, order)
    results = [as_array(x) for x in outs]
    terms = [
        [_scaled(t, typeof(x), 1 / s) for t, s in zip(column, scales, strict=True)]
        for x, column in zip(results, found, strict=True)
    ]
    return tree.unflatten(out_tree, results), tree.unflatten(out_tree, terms)


def _term(i: int, j: int, t: Any, aval: ShapedArray, scale: float) -> Any:
    """A given term as a derivative; ValueError if it does not fit its argument."""
    found = typeof(t)
    if found.shape != aval.shape:
        raise ValueError(
            f"jet: term {j} of argument {i} is {found.text()}{errors.at_user_line()}, but the argument is {aval.text()}"
        )
    return _scaled(prims.convert(as_array(t), aval.dtype), aval, scale)


def _scaled(t: Any, aval: ShapedArray, scale: float) -> Any:
    if type(t) is Zero:
        return zero_tangent(aval)
    t = as_weak_as(t, aval)
    return t if scale == 1 else prims.mul(t, number(scale, t))
