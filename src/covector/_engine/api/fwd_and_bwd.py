"""`fwd_and_bwd`: the two passes of reverse mode as functions of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.arguments import check_callable, function_name, normalize_argnums
from covector._engine.api.derivatives import on_arguments, vjp
from covector._engine.api.jit import jit


def fwd_and_bwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool = False,
    jitted: bool = True,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(forward, backward): `forward(*args)` returns (results, residuals), `backward(residuals, cotangent)` cotangents.

    The cotangents are those of the arguments in `argnums`, a tuple if that is a sequence.  With `has_aux` the function
    returns (results, auxiliary data), and forward has the data as its third result.  Both are compiled, unless `jitted`
    is false: once for all calls with the same types.

    >>> import covector
    >>> forward, backward = covector.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
    >>> z, residuals = forward(2.0, 3.0)
    >>> [float(ct) for ct in backward(residuals, 1.0)]
    [3.0, 2.0]
    """
    check_callable(fun, "fwd_and_bwd")

    def forward(*args: Any, **kwargs: Any) -> Any:
        numbers = normalize_argnums(argnums, len(args), "fwd_and_bwd")
        chosen = on_arguments(fun, args, kwargs, numbers)
        chosen.__name__ = function_name(fun)
        values = [args[i] for i in numbers]
        return vjp(chosen, *values, has_aux=True) if has_aux else vjp(chosen, *values)

    def backward(residuals: Any, cotangent: Any) -> Any:
        found = residuals(cotangent)
        return found if isinstance(argnums, Sequence) else found[0]

    return (jit(forward), jit(backward)) if jitted else (forward, backward)
