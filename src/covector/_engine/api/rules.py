"""What rules of the user's take and give: symbolic zeros, arguments by position, tangents that are checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import as_array, function_place
from covector._engine.base import errors, tree
from covector._engine.core.numbers import entered
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

Function = Callable[..., Any]


class SymbolicZero:
    """A tangent or cotangent that is known to be zero: what rules defined with `symbolic_zeros=True` get for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the zeros."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the zeros; float0 where the value is no floating one."""
        return self.aval.dtype if self.aval.differentiable() else dtypes.float0

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.aval.ndim

    def __repr__(self) -> str:
        return f"SymbolicZero({self.dtype.name}[{','.join(map(str, self.shape))}])"


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The zero tangents of a pytree's values: arrays of the tangents' dtypes, or `SymbolicZero`s.

    >>> import covector.numpy as np
    >>> from covector.custom_derivatives import zero_from_primal
    >>> print(zero_from_primal(np.ones(2)), zero_from_primal(np.ones(2), symbolic_zeros=True))
    [0. 0.] SymbolicZero(float32[2])
    """

    def zero(x: Any) -> Any:
        aval = typeof(x)
        if symbolic_zeros:
            return SymbolicZero(aval)
        if not aval.differentiable():
            return np.zeros(aval.shape, dtypes.float0)
        return prims.zeros(aval)

    return tree.map(zero, val)


class CustomVJPPrimal:
    """An argument of a `fwd` rule defined with `symbolic_zeros=True`: its value, and whether it is differentiated."""

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool):
        self.value, self.perturbed = value, perturbed

    def __repr__(self) -> str:
        return f"CustomVJPPrimal({self.value!r}, perturbed={self.perturbed})"


def custom_vjp_primal_tree_values(arguments: Any) -> Any:
    """The values of a tree of `CustomVJPPrimal`s."""

    def value(x: Any) -> Any:
        if not isinstance(x, CustomVJPPrimal):
            raise TypeError(f"expected CustomVJPPrimal, got {x!r}{errors.at_user_line()}")
        return x.value

    return tree.map(value, arguments)


def resolved(
    fun: Function, args: tuple[Any, ...], kwargs: dict[str, Any], api: str
) -> tuple[Any, ...]:
    """All arguments by position, defaults included; TypeError for those that cannot be."""
    if isinstance(fun, functools.partial):
        if kwargs:
            raise TypeError(
                f"{api}: arguments of a functools.partial must be given by position{errors.at_user_line()}, got "
                f"{', '.join(kwargs)}"
            )
        return args
    try:
        signature = inspect.signature(fun)
    except (TypeError, ValueError):
        if kwargs:
            raise
        return args
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if wrong := [k for k in bound.kwargs if k in kwargs]:
        raise TypeError(
            f"{api}: the keyword arguments {', '.join(wrong)} of {function_place(fun)} could not be resolved to "
            f"positions{errors.at_user_line()}"
        )
    return bound.args


def fitted(t: Any, aval: ShapedArray) -> Any:
    """A tangent, or cotangent, as a rule returned it, for a value of this type; a text, what it is, if it does not fit.

    Symbolic zeros, and what there is for values without tangents, become Zero.
    """
    if isinstance(t, SymbolicZero):
        return Zero(aval) if t.shape == aval.shape else f"SymbolicZero of shape {t.shape}"
    if getattr(t, "dtype", None) == dtypes.float0:
        fits = not aval.differentiable() and np.shape(t) == aval.shape
        return Zero(aval) if fits else f"float0{list(np.shape(t))}"
    t = entered(t)
    try:
        found = typeof(t)
    except TypeError:
        return f"{t!r} of type {type(t).__name__}"
    if not aval.differentiable():
        return f"{found.text()} (it has the tangents float0{list(aval.shape)})"
    if found.shape != aval.shape:
        return found.text()
    if found.dtype != aval.dtype:
        number = found.weak_type and not found.shape
        if not number or dtypes.is_complex(found.dtype) > dtypes.is_complex(aval.dtype):
            return found.text()
        return prims.Convert(aval.dtype)(as_array(t))
    return as_array(t)
