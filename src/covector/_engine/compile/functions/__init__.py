"""Named functions in terms of the closed set of scalar operations: written once for all backends.

`FUNCTIONS[name].builder(x, ...)` gives the expression of a function of float32 or float64 operands.
Backends write it out where it is called or compile it once (`definition`); 16-bit floats are computed in
float32 and rounded by the backend.  Everything is vector code: no branches but `iterate`.
"""

from __future__ import annotations

import difflib
import functools

import numpy as np

from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.compile.functions import (
    bessel,
    beta,
    emulated,
    error,
    exponential,
    gamma,
    hyperbolic,
    hypergeometric,
    incomplete_gamma,
    integrals,
    inverse_trigonometric,
    narrow,
    power,
    scaled_error,
    trigonometric,
    zeta,
)
from covector._engine.compile.functions.complex import COMPLEX
from covector._engine.compile.functions.table import Function
from covector._engine.ir import scalar
from covector._engine.ir.scalar import Expr, Iteration

__all__ = ["FUNCTIONS", "Definition", "Function", "definition"]

FAMILIES = (
    exponential,
    trigonometric,
    inverse_trigonometric,
    hyperbolic,
    power,
    error,
    gamma,
    bessel,
    incomplete_gamma,
    zeta,
    beta,
    integrals,
    hypergeometric,
    scaled_error,
    emulated,
    narrow,
)


class Table(dict[str, Function]):
    """Functions by name; a name that is not there is a function that nobody has written."""

    def __missing__(self, name: str) -> Function:
        near = difflib.get_close_matches(name, self, 3)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise errors.MissingRuleError(
            f"there is no function {name!r}{hint}: add it to a family in compile/functions, which has "
            f"{', '.join(sorted(self))}"
        )


FUNCTIONS = Table({f.name: f for family in FAMILIES for f in family.FUNCTIONS})
scalar.COMPLEX.update(COMPLEX)


@record
class Definition:
    """A function's expression over `parameters`, and how many operations it is."""

    parameters: tuple[Expr, ...]
    result: Expr
    size: int
    rare: bool


@functools.cache
def definition(name: str, dtypes: tuple[np.dtype, ...]) -> Definition:
    """The expression of a named function for operands of these dtypes."""
    function = FUNCTIONS[name]
    parameters = tuple(Expr("local", (), d, f"{name}.{i}") for i, d in enumerate(dtypes))
    result = function.builder(*parameters)
    return Definition(parameters, result, count(result), function.rare)


def count(root: Expr) -> int:
    """The number of operations of an expression, shared ones once, the parts of iterations too."""
    seen: set[Expr] = set()
    stack, total = [root], 0
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        total += node.op not in ("const", "local", "project", "bitcast")
        stack += node.args
        if node.op == "iterate":
            assert isinstance(node.attr, Iteration)
            stack += [node.attr.condition, *node.attr.step]
    return total
