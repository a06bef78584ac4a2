"""Convolution and correlation of vectors."""

from __future__ import annotations

from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy.comparison import conj
from covector.numpy.operands import together
from covector.numpy.precision import check_precision

__all__ = ["convolve", "correlate"]

_NUMBERS = prims.ConvDimensionNumbers(*[(0, 1, 2)] * 3)


def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The sums of products of `a` with `v` backwards, for each place of the one beside the other.

    'full' has all places at which they meet, 'valid' those at which one lies in the other, 'same' as many as the longer
    one has.  The dtype is the one that both promote to, or `preferred_element_type`.  ValueError unless both have one
    axis, of at least one element.

    >>> import covector.numpy as np
    >>> np.convolve(np.array([1, 2, 3]), np.array([0, 1, 2]), mode="same")
    Array([1, 4, 7], dtype=int32)
    """
    check_precision("convolve", precision)
    x, y = _operands("convolve", a, v)
    if x.shape[0] < y.shape[0]:
        x, y = y, x
    return _slid("convolve", x, prims.Reverse((0,))(y), mode, preferred_element_type)


def correlate(
    a: Any,
    v: Any,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The sums of products of `a` with the conjugate of `v`, for each place of the one beside the other.

    Modes, dtype and errors are those of `convolve`.

    >>> import covector.numpy as np
    >>> np.correlate(np.array([1, 2, 3]), np.array([0, 1, 2]), mode="full")
    Array([2, 5, 8, 3, 0], dtype=int32)
    """
    check_precision("correlate", precision)
    x, y = _operands("correlate", a, v)
    y = conj(y) if dtypes.is_complex(typeof(y).dtype) else y
    if x.shape[0] >= y.shape[0]:
        return _slid("correlate", x, y, mode, preferred_element_type)
    return prims.Reverse((0,))(_slid("correlate", y, x, mode, preferred_element_type))


def _operands(name: str, a: Any, v: Any) -> list[Any]:
    xs = together(name, "any", a, v)
    if any(x.ndim != 1 or x.shape[0] == 0 for x in xs):
        raise ValueError(
            f"{name} needs two arrays of one axis that are not empty, got "
            f"{' and '.join(typeof(x).text() for x in xs)}{errors.at_user_line()}"
        )
    return xs


def _slid(name: str, x: Any, y: Any, mode: str, preferred: Any) -> Any:
    """The products of y as it slides along x, which is not shorter."""
    m = y.shape[0]
    around = {"full": (m - 1, m - 1), "same": (m // 2, m - m // 2 - 1), "valid": (0, 0)}
    if mode not in around:
        raise ValueError(
            f"{name}: mode is 'full', 'same' or 'valid', got {mode!r}{errors.at_user_line()}"
        )
    dtype = None if preferred is None else dtypes.as_dtype(preferred)
    conv = prims.Conv((1,), (around[mode],), (1,), (1,), _NUMBERS, 1, 1, dtype)
    return prims.squeeze(conv(*[prims.expand_dims(v, (0, 1)) for v in (x, y)]), (0, 1))
