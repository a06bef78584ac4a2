"""What the transformations share about a user's arguments: which are differentiated, what they may be, their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors, tree
from covector._engine.core.numbers import SCALARS, entered, number
from covector._engine.core.trace import Array, Tracer, typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.nothing import leaf_paths, marked


def is_value(x: Any) -> bool:
    """Whether it is an array, a tracer, or a number."""
    if type(x) is Array or isinstance(x, Tracer) or type(x) in SCALARS:
        return True
    return (
        dtypes.native(x.dtype) is not None
        if isinstance(x, np.ndarray | np.generic)
        else isinstance(x, SCALARS)
    )


def flatten(x: Any) -> tuple[list[Any], tree.TreeDef]:
    """The leaves of what a user gives, as operations take them (`entered`), and the structure."""
    leaves, treedef = tree.flatten(x)
    return [entered(leaf) for leaf in leaves], treedef


def flatten_marked(x: Any) -> tuple[list[Any], tree.TreeDef]:
    """The same, where arrays of float0 are structure: of what a function that is staged takes and gives."""
    leaves, treedef = marked(x)
    return [entered(leaf) for leaf in leaves], treedef


def as_array(x: Any) -> Any:
    """A value as an array of ours (or a tracer): users get nothing else back, and rules ask for shapes and dtypes."""
    if type(x) is Array or isinstance(x, Tracer):
        return x
    x = entered(x)
    aval = typeof(x)
    return _native.array_from(np.asarray(x, aval.dtype), weak_type=aval.weak_type)


def operand(x: Any) -> Any:
    """A value as an operand of a primitive: an array, a tracer, or a Python number, which has more bits than arrays."""
    return x if type(x) in SCALARS else as_array(x)


def primal(x: Any) -> Any:
    """A value to differentiate at: as an array, but Python's floating numbers keep their bits until they meet one."""
    return number(x, typeof(x)) if type(x) in (float, complex) else as_array(x)


def ones(aval: ShapedArray) -> Any:
    """The number 1 of a type without dimensions: a literal."""
    return number(1, aval)


def zero_tangent(aval: ShapedArray) -> Any:
    """The zero tangent that users get for a value of this type: float0 for integers."""
    if aval.differentiable():
        return as_array(prims.zeros(aval.tangent()))
    return np.zeros(aval.shape, dtypes.float0)


def function_name(fun: Callable[..., Any]) -> str:
    """The name a function is called by in messages and Programs."""
    return getattr(fun, "__name__", None) or getattr(fun, "name", None) or type(fun).__name__


def function_place(fun: Callable[..., Any]) -> str:
    """For messages: the function and the line it is defined on."""
    code = getattr(inspect.unwrap(fun), "__code__", None)
    name = function_name(fun)
    return name if code is None else f"{name} ({errors.Source(code, code.co_firstlineno)})"


def result_names(fun: Callable[..., Any], out: Any) -> list[str]:
    """For messages: the expression that reaches each leaf of a function's result."""
    return [f"the result{path} of {function_place(fun)}" for path in leaf_paths(out)]


def check_callable(fun: Any, api: str) -> None:
    """TypeError unless it can be called."""
    if not callable(fun):
        raise TypeError(
            f"{api} takes a function, got {fun!r} of type {type(fun).__name__}{errors.at_user_line()}"
        )


def argument_names(fun: Callable[..., Any], n: int) -> list[str]:
    """The names of the first n positional parameters, as far as the signature tells."""
    names: list[str] = []
    try:
        for p in inspect.signature(fun).parameters.values():
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
                names.append(p.name)
            elif p.kind is p.VAR_POSITIONAL:
                names += [f"{p.name}[{i}]" for i in range(n - len(names))]
    except (TypeError, ValueError):
        pass
    return (names + [f"args[{i}]" for i in range(len(names), n)])[:n]


def leaf_names(
    fun: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int] | None = None
) -> list[str]:
    """For messages: for each leaf of the arguments, the expression that reaches it: params['w'][0]."""
    argnums = range(len(args)) if argnums is None else argnums
    names = argument_names(fun, max(argnums, default=-1) + 1)
    return [
        names[i] + tree.keystr(path)
        for i, arg in zip(argnums, args, strict=True)
        for path, _ in tree.leaves_with_path(arg)
    ]


def check_values(leaves: Sequence[Any], names: Callable[[], list[str]], api: str) -> None:
    """TypeError for the first leaf that is no array, tracer or number."""
    for i, x in enumerate(leaves):
        if not is_value(x):
            raise TypeError(errors.not_a_value(api, names()[i], x))


def normalize_argnums(argnums: Any, n: int, api: str) -> tuple[int, ...]:
    """Non-negative argument numbers; TypeError if there are fewer arguments, or if they are no ints."""
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    for i in numbers:
        if not hasattr(i, "__index__"):
            raise TypeError(
                f"{api}: argnums must be an int or a sequence of ints, got {argnums!r}{errors.at_user_line()}"
            )
    least = max([i + 1 if i >= 0 else -i for i in numbers], default=0)
    if least > n:
        raise TypeError(
            f"{api} with argnums={argnums} needs at least {least} positional arguments, got {n}"
            f"{errors.at_user_line()}; arguments given by keyword are not differentiated"
        )
    return tuple([i % n for i in numbers])


def check_differentiable(
    leaves: Sequence[Any],
    names: Callable[[], list[str]],
    api: str,
    holomorphic: bool,
    allow_int: bool,
    real: bool,
) -> tuple[bool, ...]:
    """Which leaves have tangents; TypeError for dtypes that the transformation does not take.

    With `real`, complex leaves are only taken when `holomorphic`, as forward mode does.
    """
    check_values(leaves, names, api)
    mask: list[bool] = []
    for i, x in enumerate(leaves):
        dtype = typeof(x).dtype
        live = dtypes.is_inexact(dtype)
        mask.append(live)
        if holomorphic and not dtypes.is_complex(dtype):
            raise TypeError(
                f"{api} with holomorphic=True needs complex arguments, but {names()[i]} is "
                f"{typeof(x).text()}{errors.at_user_line()}"
            )
        if not live and not allow_int:
            raise TypeError(errors.integer_argument(api, names()[i], typeof(x).text()))
        if real and not holomorphic and dtypes.is_complex(dtype):
            raise TypeError(
                f"{api} needs real arguments, but {names()[i]} is {typeof(x).text()}{errors.at_user_line()}; "
                "for holomorphic functions pass holomorphic=True, for others use jvp"
            )
    return tuple(mask)
