"""The Fourier transform, of the four kinds."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.operands import array
from covector.numpy.operands import converted
from covector.numpy.promotion import dim_of

__all__ = ["FftType", "fft"]


class FftType(enum.IntEnum):
    """The kinds of Fourier transform: forwards, its inverse, and both for real numbers.

    >>> from covector import lax, numpy as cnp
    >>> lax.fft(cnp.array([1 + 0j, 1 + 0j]), lax.FftType.IFFT, (2,))
    Array([1.+0.j, 0.+0.j], dtype=complex64)
    """

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


def fft(x: Any, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Any:
    """The Fourier transform along the last axes, of which `fft_lengths` has the lengths.

    FFT and IFFT take complex numbers, or make them of reals; RFFT takes reals and gives n // 2 + 1 complex numbers
    along the last axis, IRFFT the other way round.  The inverses divide by the product of the lengths.
    ValueError for another type, and for lengths that are not those of the axes.

    >>> from covector import lax, numpy as cnp
    >>> lax.fft(cnp.array([1.0, 2.0, 3.0, 4.0]), "RFFT", (4,))
    Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    kind = _kind(fft_type)
    x = array("fft", x)
    lengths = tuple([dim_of(n, "a length of fft") for n in fft_lengths])
    if len(lengths) > x.ndim:
        raise ValueError(
            f"fft has {len(lengths)} lengths for {typeof(x).text()}{errors.at_user_line()}"
        )
    if kind == "rfft":
        x = x if dtypes.is_inexact(x.dtype) else converted(x, _real_of(x.dtype))
    elif not dtypes.is_complex(x.dtype):
        wide = _real_of(x.dtype) == dtypes.float64
        x = converted(x, dtypes.complex128 if wide else dtypes.complex64)
    return prims.fft_of(x, kind, lengths, range(x.ndim - len(lengths), x.ndim))


def _real_of(dtype: np.dtype) -> np.dtype:
    """The floats that a transform of reals is computed in: as wide as what has 64 bits."""
    return dtypes.float64 if dtypes.bits(dtype) == 64 else dtypes.float32


def _kind(fft_type: Any) -> str:
    """The name of a type that is given as one, as its number, or by name."""
    if isinstance(fft_type, str) and fft_type.upper() in FftType.__members__:
        return fft_type.lower()
    if isinstance(fft_type, int) and fft_type in list(FftType):
        return FftType(fft_type).name.lower()
    names = ", ".join(FftType.__members__)
    raise ValueError(
        f"fft: {fft_type!r} is no type of transform{errors.at_user_line()}; use {names}"
    )
