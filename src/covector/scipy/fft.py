"""Cosine transforms: names and meanings are those of `jax.scipy.fft`.

They are of type 2 and its inverse, by the Fourier transform of half as many numbers as there would be with the mirrored
ones: x in another order, the even places and then the odd ones backwards (J. Makhoul, "A fast cosine transform in one
and two dimensions", 1980).  `n` and `s` are lengths, to which axes are cut or filled with zeros.  Each function raises
NotImplementedError for another type, ValueError for a `norm` other than None, "backward" and "ortho".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector import lax
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, fft as transforms
from covector.numpy.creation import zeros_like
from covector.numpy.join import concatenate
from covector.numpy.operands import converted, together
from covector.numpy.promotion import axes_of, axis_of, from_numpy, integer_of
from covector.numpy.shape import flip, moveaxis

__all__ = ["dct", "dctn", "idct", "idctn"]


def _checked(name: str, x: Any, type: int, norm: str | None) -> Any:
    """The operand as an array of floats, or of complex numbers."""
    if type != 2:
        raise NotImplementedError(
            f"{name} of type {type!r}{errors.at_user_line()}: there is type 2, and its inverse"
        )
    if norm not in (None, "backward", "ortho"):
        raise ValueError(f'{name}: norm is {norm!r}{errors.at_user_line()}; it is None or "ortho"')
    (x,) = together(name, "inexact", x)
    return x


def _factors(n: int, norm: str | None) -> np.ndarray:
    """What result k is multiplied by."""
    if norm != "ortho":
        return np.ones(n)
    return np.where(np.arange(n) == 0, math.sqrt(0.25 / n), math.sqrt(0.5 / n))


def _turns(n: int, dtype: np.dtype) -> Any:
    """e^(-πi k / 2n) for k up to n / 2."""
    return from_numpy(
        "dct", np.exp(-0.5j * np.pi * np.arange(n // 2 + 1) / n), dtypes.complex_of(dtype)
    )


def _mixed(n: int) -> np.ndarray:
    """The order of the elements in the transform: even places, then odd ones backwards."""
    places = np.arange(n)
    return np.concatenate([places[::2], places[1::2][::-1]])


def _forwards(x: Any, n: int, norm: str | None) -> Any:
    """2 Σ_j x_j cos(π k (2 j + 1) / 2n): of z_k = V_k e^(-πi k / 2n), 2 Re z_k, and -2 Im z_k as number n - k."""
    z = el.multiply(transforms.rfft(x[..., _mixed(n)]), _turns(n, x.dtype))
    high = flip(el.imag(z[..., 1 : (n + 1) // 2]), -1)
    out = concatenate([el.real(z), el.negative(high)], -1)
    return el.multiply(out, from_numpy("dct", 2 * _factors(n, norm), x.dtype))


def _backwards(x: Any, n: int, norm: str | None) -> Any:
    """The numbers of which these are the transform."""
    x = el.multiply(x, from_numpy("idct", 0.5 / _factors(n, norm), x.dtype))
    half = n // 2 + 1
    back = flip(x[..., n - half + 1 :], -1)
    z = lax.complex(x[..., :half], el.negative(concatenate([zeros_like(x[..., :1]), back], -1)))
    mixed = transforms.irfft(el.multiply(z, el.conj(_turns(n, x.dtype))), n)
    return mixed[..., np.argsort(_mixed(n))]


def _along(name: str, x: Any, n: Any, axis: int, norm: str | None) -> Any:
    """The transform along an axis, cut or filled to n numbers; of complex numbers of both parts."""
    if dtypes.is_complex(x.dtype):
        return lax.complex(*[_along(name, part(x), n, axis, norm) for part in (el.real, el.imag)])
    length = x.shape[axis] if n is None else transforms._length(name, "fft", x, axis, n, True)
    length = integer_of(length, f"the length of {name}")
    wide = converted(x, dtypes.float32) if x.dtype in dtypes.FLOATS[:2] else x
    wide = moveaxis(transforms._resized(wide, axis, length), axis, -1)
    if length > 0:
        wide = (_forwards if name.startswith("dct") else _backwards)(wide, length, norm)
    return moveaxis(wide, -1, axis)


def _one(name: str, x: Any, type: int, n: Any, axis: Any, norm: str | None) -> Any:
    x = _checked(name, x, type, norm)
    return _along(name, x, n, axis_of(axis, x.ndim), norm)


def _several(name: str, x: Any, type: int, s: Any, axes: Any, norm: str | None) -> Any:
    x = _checked(name, x, type, norm)
    if axes is None and s is not None:
        axes = range(x.ndim - len(s), x.ndim)
    chosen = axes_of(axes, x.ndim, "axes")
    lengths = [None] * len(chosen) if s is None else list(s)
    if len(lengths) != len(chosen):
        raise ValueError(
            f"{name}: {len(lengths)} lengths for {len(chosen)} axes{errors.at_user_line()}"
        )
    for axis, n in zip(chosen, lengths, strict=True):
        x = _along(name, x, n, axis, norm)
    return x


def dct(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None
) -> Any:
    """The cosine transform along an axis: 2 Σ_j x_j cos(π k (2 j + 1) / 2n); orthogonal with "ortho".

    In the dtype of x; integers and 16-bit floats become float32.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.fft.dct(cnp.array([1.0, 1.0]))
    Array([4., 0.], dtype=float32)
    """
    return _one("dct", x, type, n, axis, norm)


def idct(
    x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None
) -> Any:
    """The inverse of `dct`.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.fft.idct(cnp.array([4.0, 0.0]))
    Array([1., 1.], dtype=float32)
    """
    return _one("idct", x, type, n, axis, norm)


def dctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """`dct` along several axes, or all.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.fft.dctn(cnp.ones((2, 2)))
    Array([[16.,  0.],
           [ 0.,  0.]], dtype=float32)
    """
    return _several("dctn", x, type, s, axes, norm)


def idctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The inverse of `dctn`.

    >>> from covector import numpy as cnp, scipy
    >>> scipy.fft.idctn(cnp.array([[16.0, 0.0], [0.0, 0.0]]))
    Array([[1., 1.],
           [1., 1.]], dtype=float32)
    """
    return _several("idctn", x, type, s, axes, norm)


publish(__name__, arrays=(__name__,))
