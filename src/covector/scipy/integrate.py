"""Integrals of samples: names and meanings are those of `jax.scipy.integrate`."""

from __future__ import annotations

from typing import Any

from covector._engine.base.public import publish
from covector.numpy import ordering

__all__ = ["trapezoid"]


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of y along an axis, by trapezoids: at the places x, or `dx` apart; `numpy.trapezoid`.

    >>> import covector.numpy as np
    >>> from covector.scipy.integrate import trapezoid
    >>> print(trapezoid(np.array([1.0, 2.0, 3.0])))
    4.0
    """
    return ordering.trapezoid(y, x, dx, axis)


publish(__name__)
