"""A function applied along the first axis of arrays, as a loop of the compiled Program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector._engine.api.arguments import as_array
from covector._engine.control.loop import Scan
from covector._engine.core.trace import stage, typeof
from covector._engine.ir.program import Program
from covector.numpy.promotion import cast

__all__ = ["fold", "folds"]


def _loop(f: Callable[..., Any], first: Any, rows: tuple[Any, ...], every: bool) -> Any:
    avals = [typeof(x).with_shape(x.shape[1:]) for x in rows]

    def step(carry: Any, *xs: Any) -> list[Any]:
        out = cast(f(carry, *xs), carry.dtype)
        return [out, out] if every else [out]

    traced = stage(step, [typeof(first), *avals], "fold")
    body = Program(traced.constant_vars + traced.inputs, traced.eqns, traced.outputs, name="fold")
    consts = [as_array(c) for c in traced.constants]
    loop = Scan(body, length=rows[0].shape[0], reverse=False, num_consts=len(consts), num_carry=1)
    return loop(*consts, first, *rows)


def fold(f: Callable[..., Any], first: Any, *rows: Any) -> Any:
    """The last of carry = f(carry, *rows[i]), from `first` on; the dtype stays that of `first`."""
    return _loop(f, first, rows, False)[0]


def folds(f: Callable[..., Any], first: Any, *rows: Any) -> Any:
    """Each of carry = f(carry, *rows[i]), from `first` on, stacked; the dtype stays that of `first`."""
    return _loop(f, first, rows, True)[1]
