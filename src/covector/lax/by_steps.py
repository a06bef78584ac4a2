"""Loops and choices under `disable_jit`: one step after the other, in Python, which a debugger can follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.arguments import as_array
from covector._engine.base import tree
from covector._engine.base.config import config
from covector._engine.core.trace import Tracer
from covector.numpy.join import stack

Function = Callable[..., Any]


def known(x: Any) -> Any:
    """The value of what a loop or a choice goes by, where it is to run in Python; None where it cannot."""
    if not config.disable_jit:
        return None
    return x.concrete() if isinstance(x, Tracer) else x


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, count: int, reverse: bool
) -> tuple[Any, Any]:
    """The last carry and the stacked ys of at least one step."""
    xs, ys = tree.map(as_array, xs), []
    for i in reversed(range(count)) if reverse else range(count):
        carry, y = step(carry, tree.map(lambda x, i=i: x[i], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, tree.map(lambda *leaves: stack(leaves), *ys)


def while_loop(holds: Function, step: Function, val: Any) -> tuple[Any, bool]:
    """The value where the condition holds no longer, and True; or where it is not known whether it does, and False."""
    while held := known(holds(val)):
        val = step(val)
    return val, held is not None


def choose(index: Any, functions: Sequence[Function], operands: Sequence[Any]) -> Any:
    """What the chosen function gives."""
    return functions[int(index)](*operands)
