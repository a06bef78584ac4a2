"""Convolutions and correlations of arrays: names and meanings are those of `jax.scipy.signal`."""

from __future__ import annotations

from typing import Any

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy.comparison import conj
from covector.numpy.operands import together
from covector.scipy.spectral import csd, detrend, fftconvolve, istft, stft, welch

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "csd",
    "detrend",
    "fftconvolve",
    "istft",
    "stft",
    "welch",
]


def convolve(
    in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """The sums of products of `in1` with `in2` backwards, for each place of the one beside the other.

    'full' has all places at which they meet, 'valid' those at which one lies in the other, 'same' as many as `in1` has
    elements, from the middle of 'full'.  They are added up directly, or with the method 'fft' as `fftconvolve` does it.
    The dtype is a float one.
    ValueError unless both have one number of axes, and one is at least as long along each as the other.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> print(signal.convolve(np.array([1, 2, 3]), np.array([0, 1, 2]), mode="same"))
    [1. 4. 7.]
    """
    if method not in ("auto", "direct", "fft"):
        raise ValueError(
            f"convolve: method is 'auto', 'direct' or 'fft', got {method!r}{errors.at_user_line()}"
        )
    return _slid("convolve", in1, in2, mode, False, by_fft=method == "fft")


def correlate(
    in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """The sums of products of `in1` with the conjugate of `in2`, for each place of the one beside the other.

    Modes, methods, dtype and errors are those of `convolve`.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> print(signal.correlate(np.array([1, 2, 3]), np.array([0, 1, 2])))
    [2. 5. 8. 3. 0.]
    """
    if method not in ("auto", "direct", "fft"):
        raise ValueError(
            f"correlate: method is 'auto', 'direct' or 'fft', got {method!r}{errors.at_user_line()}"
        )
    return _slid("correlate", in1, in2, mode, True, by_fft=method == "fft")


def convolve2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """`convolve` of matrices, with zeros around them; NotImplementedError for another boundary.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> print(signal.convolve2d(np.ones((2, 2)), np.array([[1, 2]]), "valid"))
    [[3.]
     [3.]]
    """
    return _in_the_plane("convolve2d", in1, in2, mode, boundary, fillvalue, False)


def correlate2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """`correlate` of matrices, with zeros around them; NotImplementedError for another boundary.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> print(signal.correlate2d(np.ones((2, 2)), np.array([[1, 2]]), "valid"))
    [[3.]
     [3.]]
    """
    return _in_the_plane("correlate2d", in1, in2, mode, boundary, fillvalue, True)


def _in_the_plane(
    name: str, in1: Any, in2: Any, mode: str, boundary: str, fillvalue: float, correlated: bool
) -> Any:
    if boundary != "fill" or fillvalue != 0:
        raise NotImplementedError(
            f"{name} has zeros around the matrices, got boundary={boundary!r} and fillvalue={fillvalue!r}"
            f"{errors.at_user_line()}; pad in1 first"
        )
    return _slid(name, in1, in2, mode, correlated, 2)


def _slid(
    name: str,
    in1: Any,
    in2: Any,
    mode: str,
    correlated: bool,
    ndim: int | None = None,
    by_fft: bool = False,
) -> Any:
    x, y = together(name, "inexact", in1, in2)
    avals = typeof(x), typeof(y)
    pairs = list(zip(x.shape, y.shape, strict=False))
    fits = all(n >= m for n, m in pairs) or all(n <= m for n, m in pairs)
    if x.ndim != y.ndim or ndim not in (None, x.ndim) or not fits or 0 in (*x.shape, *y.shape):
        raise ValueError(
            f"{name} needs arrays of one number of axes, not empty, of which one is at least as long along "
            f"each as the other{'' if ndim is None else ', and matrices'}, got {' and '.join(a.text() for a in avals)}"
            f"{errors.at_user_line()}"
        )
    if mode not in ("full", "same", "valid"):
        raise ValueError(
            f"{name}: mode is 'full', 'same' or 'valid', got {mode!r}{errors.at_user_line()}"
        )
    axes = tuple(range(x.ndim))
    if correlated:
        y = prims.Reverse(axes)(conj(y) if dtypes.is_complex(typeof(y).dtype) else y)
    if by_fft:
        return fftconvolve(x, y, mode)
    shape, kernel = x.shape, y.shape
    if any(n < m for n, m in pairs):
        x, y = y, x
    around: list[tuple[int, int]] = []
    for n, m, k in zip(shape, kernel, y.shape, strict=True):
        # Where the middle of an even length is, `correlate2d` says otherwise than the others.
        skipped = (m - 1 + (correlated and ndim == 2)) // 2
        same = k - 1 - skipped, n - max(n, m) + skipped
        around.append({"full": (k - 1, k - 1), "valid": (0, 0), "same": same}[mode])
    ones = (1,) * len(axes)
    numbers = prims.ConvDimensionNumbers(*[tuple(range(len(axes) + 2))] * 3)
    conv = prims.Conv(ones, tuple(around), ones, ones, numbers)
    out = conv(prims.expand_dims(x, (0, 1)), prims.expand_dims(prims.Reverse(axes)(y), (0, 1)))
    return prims.squeeze(out, (0, 1))


publish(__name__)
