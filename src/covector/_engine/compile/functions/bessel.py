"""The modified Bessel functions of the first kind, scaled: e^-|x| I_n(x)."""

from __future__ import annotations

from covector._engine.compile.functions.arithmetic import (
    absolute,
    at_least,
    at_most,
    copysign,
    fitted,
    sqrt,
)
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, select


def near_and_far(a: Expr, name: str) -> tuple[Expr, Expr]:
    """e^-a I_n(a) / a^n by a polynomial in a on [0, 8], and e^-a I_n(a) by one in 1 / a beyond."""
    b = at_least(a, 8.0)
    return fitted(at_most(a, 8.0) - 4.0, name), fitted(1.0 / b, f"{name}_FAR") / sqrt(b)


def bessel_i0e(x: Expr) -> Expr:
    """e^-|x| I_0(x)."""
    a = absolute(x)
    near, far = near_and_far(a, "BESSEL_I0")
    return select(a > 8.0, far, near)


def bessel_i1e(x: Expr) -> Expr:
    """e^-|x| I_1(x)."""
    a = absolute(x)
    near, far = near_and_far(a, "BESSEL_I1")
    return copysign(select(a > 8.0, far, near * a), x)


FUNCTIONS = (
    Function("bessel_i0e", bessel_i0e, ulp=(5.0, 5.0), text="e^-|x| I_0(x)"),
    Function("bessel_i1e", bessel_i1e, ulp=(5.0, 5.0), text="e^-|x| I_1(x)"),
)
