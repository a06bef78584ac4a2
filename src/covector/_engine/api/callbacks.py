"""What users call to run Python from inside compiled code: `pure_callback`, `io_callback`, the debugging ones."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from covector._engine import _native
from covector._engine.api.arguments import check_callable, operand
from covector._engine.base import errors, tree
from covector._engine.base.public import boundary
from covector._engine.control.callback import (
    DEBUG,
    DEBUG_ORDERED,
    IO,
    IO_ORDERED,
    VMAP_METHODS,
    Action,
    Arguments,
    DebugCallback,
    Function,
    IOCallback,
    Print,
    PureCallback,
    keyed,
)
from covector._engine.runtime.device import check_places
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = ["effects_barrier", "io_callback", "pure_callback"]


def _split(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Arguments, list[Any]]:
    """The arguments as arrays, and how they are put together again."""
    arguments, arrays = Arguments.of(args, kwargs)
    return arguments, [operand(x) for x in arrays]


def _types(api: str, declared: Any) -> tuple[tuple[ShapedArray, ...], tree.TreeDef]:
    """The types that result_shape_dtypes says."""
    leaves, treedef = tree.flatten(declared)
    found: list[ShapedArray] = []
    for x in leaves:
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
        if shape is None or dtype is None:
            if not isinstance(x, bool | int | float | complex):
                raise ValueError(
                    f"{api}: result_shape_dtypes must be a pytree of objects with a shape and a dtype, such as "
                    f"covector.ShapeDtypeStruct; it has {x!r}{errors.at_user_line()}"
                )
            found.append(ShapedArray((), dtypes.of_number(type(x))))
            continue
        known = dtypes.native(np.dtype(dtype))
        if known is None:
            raise TypeError(f"{api}: there are no arrays of dtype {dtype}{errors.at_user_line()}")
        found.append(ShapedArray(tuple(shape), dtypes.canonical(known)))
    return tuple(found), treedef


@boundary
def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: object = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """What a Python function returns, also inside compiled code: `callback(*args, **kwargs)` on concrete arrays.

    The function must be pure: it may be called any number of times, or not at all if its results are not used.
    `result_shape_dtypes` is a pytree of objects with `shape` and `dtype`, as its results have them.  `vmap_method` says
    what `vmap` does: "sequential" calls it for each element; "expand_dims", "broadcast_all" and "legacy_vectorized"
    call it once, with a leading axis on the mapped arguments, where the others get one of size 1, of the batch's size,
    or none.  It has no derivative: define one with `custom_jvp`.

    >>> import covector, numpy
    >>> import covector.numpy as np
    >>> f = covector.jit(lambda x: covector.pure_callback(numpy.sort, x, x))
    >>> f(np.array([3.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    check_callable(callback, "pure_callback")
    check_places("pure_callback", "sharding", sharding)
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"pure_callback: vmap_method must be None or one of {', '.join(VMAP_METHODS)}, got {vmap_method!r}"
            f"{errors.at_user_line()}"
        )
    arguments, arrays = _split(args, kwargs)
    results, out_tree = _types("pure_callback", result_shape_dtypes)
    function = Function(keyed(callback), arguments, out_tree, results, "pure_callback")
    return tree.unflatten(out_tree, PureCallback(function, results, vmap_method)(*arrays))


@boundary
def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: object = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """As `pure_callback`, for a function that does something: it is called exactly as often as the program says.

    With `ordered` it is called in the order of the program among all ordered callbacks.

    >>> import covector
    >>> import covector.numpy as np
    >>> from covector.experimental import io_callback
    >>> seen = []
    >>> f = covector.jit(lambda x: io_callback(lambda v: seen.append(float(v)), None, x, ordered=True))
    >>> f(1.5)
    >>> seen
    [1.5]
    """
    check_callable(callback, "io_callback")
    check_places("io_callback", "sharding", sharding)
    arguments, arrays = _split(args, kwargs)
    results, out_tree = _types("io_callback", result_shape_dtypes)
    function = Function(keyed(callback), arguments, out_tree, results, "io_callback")
    primitive = IOCallback(function, results, IO_ORDERED if ordered else IO)
    return tree.unflatten(out_tree, primitive(*arrays))


@boundary
def effects_barrier() -> None:
    """Wait until everything that was called so far is done, its effects too.

    >>> import covector
    >>> covector.jit(lambda x: covector.debug.print("{}", x))(1)
    1
    >>> covector.effects_barrier()
    """
    _native.synchronize()


def debug_callback(
    callback: Callable[..., Any] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function on concrete values for what it does, also inside compiled code; its result is dropped.

    With `ordered` it is called in the order of the program among all ordered callbacks.  Under `vmap` it is called for
    each element; under derivatives with the primal values.  Without a function, options are given first:
    `callback(ordered=True)(f, x)`.  (`partitioned` is for arrays on several devices.)

    >>> import covector
    >>> seen = []
    >>> covector.jit(lambda x: covector.debug.callback(lambda v: seen.append(int(v)), x))(3)
    >>> seen
    [3]
    """
    if callback is None:
        _check_options_alone("debug.callback", args, kwargs)

        def later(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            _debug(callback, args, kwargs, ordered)

        return later
    _debug(callback, args, kwargs, ordered)
    return None


def _check_options_alone(api: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if args or kwargs:
        raise TypeError(
            f"{api}: got the options alone, and {args}, {dict(kwargs)}{errors.at_user_line()}; give those to the "
            "function that it returns"
        )


def _debug(
    callback: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], ordered: bool
) -> None:
    if not callable(callback):
        raise TypeError(
            f"debug.callback takes a function first, got {callback!r}{errors.at_user_line()}"
        )
    arguments, arrays = _split(args, kwargs)
    effects = DEBUG_ORDERED if ordered else DEBUG
    DebugCallback(Action(keyed(callback), arguments), effects)(*arrays)


class _Check(string.Formatter):
    """Goes through a format and its values without making the text."""

    unused: tuple[str, ...] = ()

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return value

    def check_unused_args(self, used_args: Any, args: Any, kwargs: Any) -> None:
        unused = [repr(x) for i, x in enumerate(args) if i not in used_args]
        self.unused = (*unused, *[f"{k}=" for k in kwargs if k not in used_args])


def _check_format(fmt: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    check = _Check()
    check.vformat(fmt, tuple(args), dict(kwargs))
    if check.unused:
        raise ValueError(
            f"debug.print: the format has no place for {', '.join(check.unused)}{errors.at_user_line()}.\n"
            '    wrong:  debug.print(f"{x}", x=x)\n'
            '    right:  debug.print("{x}", x=x)'
        )


def debug_print(
    fmt: object = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    **kwargs: Any,
) -> Any:
    """Print values, also inside compiled code: `print(fmt.format(*args, **kwargs))` when it runs.

    With `ordered` it is printed in the order of the program among all ordered callbacks.  Under `vmap` each element is
    printed; under derivatives the primal values are.  Without a format, options are given first:
    `print(ordered=True)("x = {}", x)`.  (`partitioned` is for arrays on several devices.)

    >>> import covector
    >>> covector.jit(lambda x: covector.debug.print("x = {x:.2f}", x=x))(1.5)
    x = 1.50
    """
    if fmt is None:
        _check_options_alone("debug.print", args, kwargs)

        def later(fmt: str, *args: Any, **kwargs: Any) -> None:
            _print(fmt, args, kwargs, ordered, skip_format_check)

        return later
    _print(fmt, args, kwargs, ordered, skip_format_check)
    return None


def _print(
    fmt: object, args: Sequence[Any], kwargs: Mapping[str, Any], ordered: bool, unchecked: bool
) -> None:
    if not isinstance(fmt, str):
        raise TypeError(
            f"debug.print takes a format first, a string, got {fmt!r}{errors.at_user_line()}"
        )
    if not unchecked:
        _check_format(fmt, args, kwargs)
    formatted = not unchecked or any(f is not None for _, f, _, _ in string.Formatter().parse(fmt))
    arguments, arrays = _split(args, kwargs)
    options = tuple([(name, keyed(value)) for name, value in np.get_printoptions().items()])
    effects = DEBUG_ORDERED if ordered else DEBUG
    DebugCallback(Print(fmt, formatted, arguments, options), effects)(*arrays)
