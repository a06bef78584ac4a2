"""Functions with derivative rules of the user's: names and meanings are those of `jax.custom_derivatives`."""

from __future__ import annotations

from typing import Any

from covector._engine.api.closures import (
    closure_convert as closure_convert,
    custom_gradient as custom_gradient,
    custom_transpose as custom_transpose,
    linear_call as linear_call,
)
from covector._engine.api.custom import (
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
)
from covector._engine.api.rules import (
    CustomVJPPrimal as CustomVJPPrimal,
    SymbolicZero as SymbolicZero,
    custom_vjp_primal_tree_values as custom_vjp_primal_tree_values,
    zero_from_primal as zero_from_primal,
)
from covector._engine.base.locks import import_late
from covector._engine.base.public import publish

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_transpose",
    "custom_vjp",
    "custom_vjp_primal_tree_values",
    "linear_call",
    "zero_from_primal",
]


def _primitive(name: str) -> Any:
    return import_late("covector._engine.control.names").named(name)


publish(__name__, later=("custom_jvp_call_p", "custom_vjp_call_p"), load=_primitive)
