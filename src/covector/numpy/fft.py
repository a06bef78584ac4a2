"""Fourier transforms: names and meanings are those of `jax.numpy.fft`.

Floats become complex numbers of their precision (16-bit floats of complex64), integers too.  `n` and `s` are the
lengths of the transformed axes: what is beyond them is cut off, what is missing is taken to be 0.  `norm` says what is
divided by the product of the lengths: the inverse ("backward", the usual meaning), the forward transform ("forward"),
or both by its square root ("ortho").  Each function raises ValueError for another `norm`, for an axis that is not
there or is there twice, and for a length below 1, TypeError for what is no array of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.core.trace import typeof
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.dims import Dim
from covector.numpy import elementwise as el
from covector.numpy.operands import converted, placed, together
from covector.numpy.promotion import axes_of, axis_of, cast, dim_of, from_numpy, integer_of, lift
from covector.numpy.shape import roll

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

Lengths = Sequence[int] | None
_SWAPPED = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _transform(
    name: str, kind: str, a: Any, lengths: Sequence[Any], axes: Sequence[int], norm: str | None
) -> Any:
    """The transform of one kind along these axes; a length that is None is that of the axis."""
    if norm not in _SWAPPED:
        raise ValueError(
            f'{name}: norm is {norm!r}{errors.at_user_line()}; it is "backward", "ortho" or "forward"'
        )
    (x,) = together(name, "inexact", a)
    if kind == "rfft" and dtypes.is_complex(x.dtype):
        raise ValueError(
            f"{name} takes real numbers, got {typeof(x).text()}{errors.at_user_line()}; for complex ones there is fft"
        )
    real = dtypes.real_of(x.dtype)
    real = dtypes.float32 if real in dtypes.FLOATS[:2] else real
    x = converted(x, real if kind == "rfft" else dtypes.complex_of(real))
    wanted = [
        _length(name, kind, x, a, n, a == axes[-1]) for a, n in zip(axes, lengths, strict=True)
    ]
    for axis, n in zip(axes, wanted, strict=True):
        halved = kind == "irfft" and axis == axes[-1]
        x = _resized(x, axis, n // 2 + 1 if halved else n)
    out = prims.fft_of(x, kind, wanted, axes)
    if norm in (None, "backward") or not axes:
        return out
    factor = float(sizes.product(wanted)) ** (0.5 if norm == "ortho" else 1.0)
    return el.multiply(out, factor if kind in ("ifft", "irfft") else 1.0 / factor)


def _length(name: str, kind: str, x: Any, axis: int, n: Any, last: bool) -> Dim:
    """The length of the transform along an axis."""
    if n is None:
        size = x.shape[axis]
        return 2 * (size - 1) if kind == "irfft" and last else size
    length = dim_of(n, f"the length of {name}")
    if type(length) is int and length < 1:
        raise ValueError(
            f"{name}: a length is {length}{errors.at_user_line()}; it must be positive"
        )
    return length


def _resized(x: Any, axis: int, n: Dim) -> Any:
    """The first n elements along an axis, zeros behind what is there."""
    size = x.shape[axis]
    if size == n:
        return x
    high = tuple([n - size if a == axis else 0 for a in range(x.ndim)])
    zeros = (0,) * x.ndim
    return prims.Pad(zeros, high, zeros)(x, x.dtype.type(0))


def _along_one(name: str, kind: str, a: Any, n: Any, axis: Any, norm: str | None) -> Any:
    a = lift(name, a)
    return _transform(name, kind, a, [n], [axis_of(axis, a.ndim)], norm)


def _along_several(
    name: str, kind: str, a: Any, s: Any, axes: Any, norm: str | None, count: int | None = None
) -> Any:
    """Along all axes, or as many of the last ones as there are lengths, or those that are named."""
    a = lift(name, a)
    if axes is None:
        chosen = tuple(range(a.ndim if s is None else len(s)))
        chosen = tuple([i + a.ndim - len(chosen) for i in chosen])
    else:
        chosen = axes_of(axes, a.ndim, "axes")
    lengths = [None] * len(chosen) if s is None else list(s)
    if len(lengths) != len(chosen) or (count is not None and len(chosen) != count):
        raise ValueError(
            f"{name}: {len(lengths)} lengths for {len(chosen)} axes{errors.at_user_line()}"
            + (f"; it takes {count} axes" if count is not None else "")
        )
    return _transform(name, kind, a, lengths, axes_of(chosen, a.ndim, "axes"), norm)


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete Fourier transform along an axis: Σ_j a_j e^(-2πi jk/n).

    >>> from covector import numpy as cnp
    >>> cnp.fft.fft(cnp.array([1.0, 2.0, 3.0, 4.0]))
    Array([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j], dtype=complex64)
    """
    return _along_one("fft", "fft", a, n, axis, norm)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`: Σ_k a_k e^(2πi jk/n) / n.

    >>> from covector import numpy as cnp
    >>> cnp.fft.ifft(cnp.array([4.0, 0.0, 0.0, 0.0]))
    Array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64)
    """
    return _along_one("ifft", "ifft", a, n, axis, norm)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The first n // 2 + 1 results of `fft` for real numbers, of which the others are conjugates.

    ValueError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.fft.rfft(cnp.array([1.0, 2.0, 3.0, 4.0]))
    Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    return _along_one("rfft", "rfft", a, n, axis, norm)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: n real numbers, by default 2 (m - 1) of m.

    >>> from covector import numpy as cnp
    >>> cnp.fft.irfft(cnp.array([10 + 0j, -2 + 2j, -2 + 0j]))
    Array([1., 2., 3., 4.], dtype=float32)
    """
    return _along_one("irfft", "irfft", a, n, axis, norm)


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of numbers whose second half, which is not given, are conjugates: n real numbers.

    >>> from covector import numpy as cnp
    >>> cnp.fft.hfft(cnp.array([1.0, 2.0, 3.0]))
    Array([ 8., -2.,  0., -2.], dtype=float32)
    """
    a = lift("hfft", a)
    axis = axis_of(axis, a.ndim)
    return _transform("hfft", "irfft", el.conj(a), [n], [axis], _swapped("hfft", norm))


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`: the first n // 2 + 1 numbers.  ValueError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.fft.ihfft(cnp.array([8.0, -2.0, 0.0, -2.0])).real
    Array([1., 2., 3.], dtype=float32)
    """
    return el.conj(_along_one("ihfft", "rfft", a, n, axis, _swapped("ihfft", norm)))


def _swapped(name: str, norm: str | None) -> str:
    """What `norm` means for the transform in the other direction; what is no norm stays, for the error."""
    return _SWAPPED.get(norm, norm) or "backward"


def fft2(a: Any, s: Lengths = None, axes: Sequence[int] = (-2, -1), norm: str | None = None) -> Any:
    """`fft` along two axes.

    >>> from covector import numpy as cnp
    >>> cnp.fft.fft2(cnp.ones((2, 2)))
    Array([[4.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _along_several("fft2", "fft", a, s, axes, norm, 2)


def ifft2(
    a: Any, s: Lengths = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`ifft` along two axes.

    >>> from covector import numpy as cnp
    >>> cnp.fft.ifft2(cnp.array([[4.0, 0.0], [0.0, 0.0]]))
    Array([[1.+0.j, 1.+0.j],
           [1.+0.j, 1.+0.j]], dtype=complex64)
    """
    return _along_several("ifft2", "ifft", a, s, axes, norm, 2)


def rfft2(
    a: Any, s: Lengths = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`fft2` of real numbers, half of the results along the second axis.  ValueError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.fft.rfft2(cnp.ones((2, 4)))
    Array([[8.+0.j, 0.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _along_several("rfft2", "rfft", a, s, axes, norm, 2)


def irfft2(
    a: Any, s: Lengths = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """The inverse of `rfft2`.

    >>> from covector import numpy as cnp
    >>> cnp.fft.irfft2(cnp.array([[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    Array([[1., 1., 1., 1.],
           [1., 1., 1., 1.]], dtype=float32)
    """
    return _along_several("irfft2", "irfft", a, s, axes, norm, 2)


def fftn(
    a: Any, s: Lengths = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """`fft` along several axes: all of them, or as many of the last ones as there are lengths.

    >>> from covector import numpy as cnp
    >>> cnp.fft.fftn(cnp.ones((2, 2)))
    Array([[4.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _along_several("fftn", "fft", a, s, axes, norm)


def ifftn(
    a: Any, s: Lengths = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """`ifft` along several axes: all of them, or as many of the last ones as there are lengths.

    >>> from covector import numpy as cnp
    >>> cnp.fft.ifftn(cnp.array([[4.0, 0.0], [0.0, 0.0]]))
    Array([[1.+0.j, 1.+0.j],
           [1.+0.j, 1.+0.j]], dtype=complex64)
    """
    return _along_several("ifftn", "ifft", a, s, axes, norm)


def rfftn(
    a: Any, s: Lengths = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """`fftn` of real numbers, half of the results along the last axis.  ValueError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.fft.rfftn(cnp.ones((2, 2, 2))).shape
    (2, 2, 2)
    """
    return _along_several("rfftn", "rfft", a, s, axes, norm)


def irfftn(
    a: Any, s: Lengths = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of `rfftn`.

    >>> from covector import numpy as cnp
    >>> cnp.fft.irfftn(cnp.array([[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    Array([[1., 1., 1., 1.],
           [1., 1., 1., 1.]], dtype=float32)
    """
    return _along_several("irfftn", "irfft", a, s, axes, norm)


# -------------------------------------------------------------------------------------- frequencies


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies that the results of `fft` belong to, of n samples that are `d` apart.

    As floats: float32, or `dtype`.  TypeError for an n that is no integer.

    >>> from covector import numpy as cnp
    >>> cnp.fft.fftfreq(4)
    Array([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32)
    """
    n = integer_of(n, "n of fftfreq")
    numbers = np.arange(n)
    turns = np.where(2 * numbers < n, numbers, numbers - n)
    return placed("fftfreq", _frequencies("fftfreq", turns, n, d, dtype), device)


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies that the results of `rfft` belong to, of n samples that are `d` apart.

    As floats: float32, or `dtype` if that is one.  TypeError for an n that is no integer.

    >>> from covector import numpy as cnp
    >>> cnp.fft.rfftfreq(4)
    Array([0.  , 0.25, 0.5 ], dtype=float32)
    """
    n = integer_of(n, "n of rfftfreq")
    wanted = dtypes.inexact_of(dtypes.or_default(dtype))
    made = _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, wanted)
    return placed("rfftfreq", made, device)


def _frequencies(name: str, numbers: np.ndarray, n: int, d: Any, dtype: Any) -> Any:
    """These numbers of turns in n samples, for each unit of `d`."""
    if n < 0:
        raise ValueError(f"{name}: n is {n}{errors.at_user_line()}; it must not be negative")
    wanted = dtypes.or_default(dtype)
    with np.errstate(all="ignore"):
        turns = numbers / np.float64(n)
    if isinstance(d, int | float):
        with np.errstate(all="ignore"):
            return from_numpy(name, turns / np.float64(d), wanted)
    return cast(el.divide(from_numpy(name, turns, wanted), d), wanted)


def fftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The frequency 0 moved to the middle, along some axes or all.

    >>> from covector import numpy as cnp
    >>> cnp.fft.fftshift(cnp.fft.fftfreq(4))
    Array([-0.5 , -0.25,  0.  ,  0.25], dtype=float32)
    """
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The inverse of `fftshift`: the middle moved to the front.

    >>> from covector import numpy as cnp
    >>> cnp.fft.ifftshift(cnp.array([-0.5, -0.25, 0.0, 0.25]))
    Array([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32)
    """
    return _shifted("ifftshift", x, axes, -1)


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Any:
    x = lift(name, x)
    chosen = axes_of(axes, x.ndim, "axes")
    return roll(x, [sign * (x.shape[a] // 2) for a in chosen], chosen)


publish(__name__, arrays=(__name__,))
