"""How primitives are compiled: what libraries use of `jax.interpreters.mlir`.

A lowering is a function of array operations here, never of MLIR, which Covector does not have: `lower_fun` makes one.

>>> import covector
>>> from covector.extend.core import Primitive
>>> from covector.interpreters import mlir
>>> plus_p = Primitive("plus")
>>> _ = plus_p.def_abstract_eval(lambda x, *, by: x)
>>> mlir.register_lowering(plus_p, mlir.lower_fun(lambda x, *, by: x + by, multiple_results=False))
>>> print(covector.jit(lambda x: plus_p.bind(x, by=2))(1.0))
3.0
"""

import typing as _typing
from collections.abc import Callable as _Callable, Sequence as _Sequence

from covector._engine.api.callbacks import (
    io_callback as _io_callback,
    pure_callback as _pure_callback,
)
from covector._engine.base.public import publish as _publish
from covector._engine.control.open import OpenPrimitive as _OpenPrimitive
from covector._engine.types.avals import ShapedArray as _ShapedArray

_LoweringRule = _Callable[..., _Sequence[_typing.Any]]


def lower_fun(fun: _Callable[..., _typing.Any], multiple_results: bool = True) -> _LoweringRule:
    """The lowering that a function of array operations is, from operands and parameters to results.

    >>> from covector.interpreters import mlir
    >>> mlir.lower_fun(lambda x: x + 1, multiple_results=False)(None, 2)
    [3]
    """

    def rule(
        ctx: _typing.Any, *operands: _typing.Any, **params: _typing.Any
    ) -> _Sequence[_typing.Any]:
        out = fun(*operands, **params)
        return list(out) if multiple_results else [out]

    return rule


def register_lowering(
    prim: _OpenPrimitive,
    rule: _LoweringRule,
    platform: str | None = None,
    inline: bool = True,
    cacheable: bool = True,
) -> None:
    """Say how a primitive is compiled: `rule(ctx, *operands, **params)` gives a list of results.

    The operands are traced arrays, and `ctx` has `avals_in`, `avals_out` and `primitive`.  Rules for other platforms
    than "cpu" are for devices that are not here.

    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import mlir
    >>> mlir.register_lowering(Primitive("identity"), lambda ctx, x: [x])
    """
    if platform in (None, "cpu"):
        prim.def_lowering(rule)


def emit_python_callback(
    ctx: _typing.Any,
    callback: _Callable[..., _Sequence[_typing.Any]],
    token: _typing.Any,
    operands: _Sequence[_typing.Any],
    operand_avals: _Sequence[_ShapedArray],
    result_avals: _Sequence[_ShapedArray],
    *,
    has_side_effect: bool,
    returns_token: bool = True,
    partitioned: bool = False,
    sharding: _typing.Any = None,
) -> tuple[_Sequence[_typing.Any], _typing.Any, None]:
    """In a lowering: the results that a Python function gives, as a sequence, of the operands as arrays.

    What it returns are these results, the token that was given, and None for what has to be kept alive.  A function
    with side effects is called exactly as often as the program says.

    >>> import covector, numpy
    >>> from covector.extend.core import Primitive
    >>> from covector.interpreters import mlir
    >>> sorted_p = Primitive("sorted")
    >>> _ = sorted_p.def_abstract_eval(lambda x: x)
    >>> def rule(ctx, x):
    ...     f = lambda x: (numpy.sort(x),)
    ...     return mlir.emit_python_callback(ctx, f, None, [x], ctx.avals_in, ctx.avals_out, has_side_effect=False)[0]
    >>> mlir.register_lowering(sorted_p, rule)
    >>> print(covector.jit(sorted_p.bind)(covector.numpy.array([2, 1])))
    [1 2]
    """
    call = _io_callback if has_side_effect else _pure_callback

    def on_arrays(*arrays: _typing.Any) -> list[_typing.Any]:
        return list(callback(*arrays))

    return call(on_arrays, list(result_avals), *operands), token, None


def _absent(name: str) -> _typing.Any:
    raise AttributeError(
        f"covector.interpreters.mlir has no {name!r}: there is no MLIR in Covector. Write the lowering as a "
        "function of array operations, mlir.lower_fun(f), or as a piece of loop code (covector.extend), or call "
        "machine code (covector.ffi)"
    )


_publish(__name__, find=_absent)
