"""The formats of fewer bits than 16: what each is, a row a format.

They are types of storage.  NumPy (`ml_dtypes`) keeps an element of any of them in one byte, and so do arrays.
Arithmetic is that of a wider type: float32 for floats, bytes for integers, and its results are rounded (floats) or
wrapped (integers) to the format after each operation.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from covector._engine.base.record import record


@record
class NarrowFloat:
    """A binary format: its fields, and the codes (without sign) of what is beside the finite numbers.

    `top` is the largest finite number; `over` what a number beyond it becomes (infinity, NaN, or `top` itself);
    `nan` what NaN becomes: a format without one takes a zero of the other sign, as `ml_dtypes` does.
    """

    dtype: np.dtype
    bits: int
    mantissa: int  # explicit bits
    bias: int
    top: int
    over: int
    nan: int
    signed_zero: bool = True  # else the code of -0 is the NaN

    @property
    def has_infinity(self) -> bool:
        """Whether one of its codes is infinity."""
        return self.over not in (self.top, self.nan)


@record
class NarrowInt:
    """An integer type of so many bits, in two's complement if it has a sign."""

    dtype: np.dtype
    bits: int
    signed: bool


def _float(name: str, *fields: int, signed_zero: bool = True) -> NarrowFloat:
    return NarrowFloat(np.dtype(getattr(ml_dtypes, name)), *fields, signed_zero=signed_zero)


_INTS = [
    NarrowInt(np.dtype(getattr(ml_dtypes, f"{kind}int{bits}")), bits, not kind)
    for kind in ("", "u")
    for bits in (1, 2, 4)
]
_FLOATS = [
    _float("float4_e2m1fn", 4, 1, 1, 0x07, 0x07, 0x08),
    _float("float6_e2m3fn", 6, 3, 1, 0x1F, 0x1F, 0x20),
    _float("float6_e3m2fn", 6, 2, 3, 0x1F, 0x1F, 0x20),
    _float("float8_e3m4", 8, 4, 3, 0x6F, 0x70, 0x78),
    _float("float8_e4m3", 8, 3, 7, 0x77, 0x78, 0x7C),
    _float("float8_e4m3b11fnuz", 8, 3, 11, 0x7F, 0x80, 0x80, signed_zero=False),
    _float("float8_e4m3fn", 8, 3, 7, 0x7E, 0x7F, 0x7F),
    _float("float8_e4m3fnuz", 8, 3, 8, 0x7F, 0x80, 0x80, signed_zero=False),
    _float("float8_e5m2", 8, 2, 15, 0x7B, 0x7C, 0x7E),
    _float("float8_e5m2fnuz", 8, 2, 16, 0x7F, 0x80, 0x80, signed_zero=False),
    # Powers of two alone: no sign, no zero.
    _float("float8_e8m0fnu", 8, 0, 127, 0xFE, 0xFF, 0xFF, signed_zero=False),
]

INTS: dict[np.dtype, NarrowInt] = {row.dtype: row for row in _INTS}
FLOATS: dict[np.dtype, NarrowFloat] = {row.dtype: row for row in _FLOATS}
