"""What a conversion of real numbers from one dtype to another is, in NumPy."""

from __future__ import annotations

import numpy as np

from covector._engine.types import dtypes, narrow


def convert(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The value in another dtype: floats round to nearest even, float to int saturates, NaN gives 0.

    Real numbers are the real parts of complex ones, truth values tell whether either part is not 0.
    """
    if x.dtype == dtype:
        return x
    with np.errstate(all="ignore"):
        return _converted(x, dtype)


def _converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtypes.is_complex(dtype) or (dtypes.is_complex(x.dtype) and dtype == np.bool_):
        return x.astype(dtype)
    if dtypes.is_complex(x.dtype):
        return convert(np.real(x), dtype)
    if dtypes.is_narrow(x.dtype):  # they know few others
        return convert(x.astype(dtypes.computed_in(x.dtype)), dtype)
    if dtype in narrow.INTS and dtypes.is_float(x.dtype):
        info, whole = dtypes.iinfo(dtype), convert(x, dtypes.computed_in(dtype))
        return np.clip(whole, int(info.min), int(info.max)).astype(dtype)
    if dtypes.is_float(x.dtype) and dtype.kind in "iu":
        wide, info = x.astype(np.float64), np.iinfo(dtype)
        inside = (wide > float(info.min) - 1.0) & (wide < float(info.max) + 1.0)
        inside |= (wide == float(info.min)) & (wide < 0)
        cut = np.where(
            inside & (wide < 2.0 ** (8 * dtype.itemsize - (dtype.kind == "i"))), np.trunc(wide), 0
        )
        result = np.where(wide < 0, np.asarray(info.min, dtype), np.asarray(info.max, dtype))
        exact = np.where(cut >= 2.0**63, (cut - 2.0**63), cut).astype(np.int64).astype(np.uint64)
        exact = np.where(cut >= 2.0**63, exact + np.uint64(2**63), exact).astype(dtype)
        fits = inside & (wide < 2.0 ** (8 * dtype.itemsize - (dtype.kind == "i")))
        return np.where(np.isnan(wide), dtype.type(0), np.where(fits, exact, result))
    if dtype in dtypes.SMALL_FLOATS and x.dtype == np.float64:
        return _narrow_to_odd(x).astype(dtype)
    if dtype in dtypes.SMALL_FLOATS and dtypes.is_integer(x.dtype):
        return x.astype(np.float32).astype(dtype)
    if dtype == np.bool_:
        return x != np.zeros((), x.dtype)
    return x.astype(dtype)


def _narrow_to_odd(x: np.ndarray) -> np.ndarray:
    """float64 to float32, rounded to odd: rounding again to fewer bits then is right."""
    near = x.astype(np.float32)
    bits = near.view(np.int32)
    inexact = (near.astype(np.float64) != x) & ~np.isnan(x) & (bits & 1 == 0)
    towards = np.where(np.abs(near.astype(np.float64)) < np.abs(x), 1, -1)
    return np.where(inexact, bits + towards, bits).astype(np.int32).view(np.float32)
