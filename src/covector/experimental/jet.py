"""Taylor mode: names and meanings are those of `jax.experimental.jet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from covector._engine.api.taylor import jet as jet
from covector._engine.base.public import publish

__all__ = ["jet", "jet2"]


def jet2(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    *,
    factorial_scaled: bool = False,
    **_: Any,
) -> tuple[Any, Any]:
    """`jet` with Taylor coefficients in the place of derivatives, unless they are `factorial_scaled`.

    >>> import covector.numpy as np
    >>> from covector.experimental.jet import jet2
    >>> y, coefficients = jet2(np.exp, (0.0,), ([1.0, 0.0, 0.0],))
    >>> [round(float(c), 4) for c in coefficients]
    [1.0, 0.5, 0.1667]
    """
    return jet(fun, primals, series, factorial_scaled=factorial_scaled)


publish(__name__)
