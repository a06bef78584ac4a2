"""What changes how derivatives are computed, and when: barriers, implicit differentiation."""

from __future__ import annotations

from typing import Any

from covector._engine import primitives as prims
from covector._engine.api.arguments import flatten
from covector._engine.api.implicit import (
    custom_linear_solve as custom_linear_solve,
    custom_root as custom_root,
)
from covector._engine.base import tree
from covector.lax.operands import array

__all__ = ["custom_linear_solve", "custom_root", "optimization_barrier"]


def optimization_barrier(operand: Any, /) -> Any:
    """The values of a pytree, across which the compiler moves and shares nothing.

    What is computed from the results is computed after all of the operands, and again if it was computed before.

    >>> import covector
    >>> x, y = covector.lax.optimization_barrier((1.0, 2.0))
    >>> print(x + y)
    3.0
    """
    leaves, treedef = flatten(operand)
    values = [array("optimization_barrier", x) for x in leaves]
    return tree.unflatten(treedef, prims.OptimizationBarrier()(*values) if values else ())
