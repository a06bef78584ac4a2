"""The bits of arrays as other dtypes, of other widths too."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy.reduce import strong
from covector.numpy.shape import reshape

__all__ = ["joined", "parted", "view"]


def parted(x: Any, dtype: np.dtype) -> Any:
    """Each real element as several of a narrower dtype, on a new last axis, the lowest bits first."""
    bits, width = prims.bitcast(x, _unsigned(dtypes.bits(x.dtype))), dtypes.bits(dtype)
    shape = (*bits.shape, dtypes.bits(bits.dtype) // width)
    last = len(shape) - 1
    places = prims.mul(prims.Iota(shape, bits.dtype, last)(), bits.dtype.type(width))
    moved = prims.shift_right_logical(prims.Broadcast(shape, (last,))(bits), places)
    return prims.bitcast(prims.Convert(_unsigned(width))(moved), dtype)


def joined(x: Any, dtype: np.dtype) -> Any:
    """The real elements of the last axis, which are just enough, as one of a wider dtype."""
    own = dtypes.bits(x.dtype)
    wide = prims.Convert(_unsigned(dtypes.bits(dtype)))(prims.bitcast(x, _unsigned(own)))
    last = len(x.shape) - 1
    places = prims.mul(prims.Iota(x.shape, wide.dtype, last)(), wide.dtype.type(own))
    return prims.bitcast(prims.Any_((last,))(prims.shift_left(wide, places)), dtype)


def _unsigned(width: int) -> np.dtype:
    return dtypes.as_dtype(f"uint{width}")


def view(x: Any, dtype: Any) -> Any:
    """The same bytes as another dtype, as the method of arrays; numbers of another dtype are strong."""
    wanted = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    if wanted == x.dtype:
        return x
    old, new = dtypes.bits(x.dtype), dtypes.bits(wanted)
    if old != new and not x.ndim:
        raise ValueError(
            f"view of {typeof(x).text()} as {wanted.name}{errors.at_user_line()}: without an axis the width must stay"
        )
    if old < new and (x.shape[-1] * old) % new != 0:
        raise ValueError(
            f"view of {typeof(x).text()} as {wanted.name}{errors.at_user_line()}: the last axis has "
            f"{x.shape[-1]} times {old} bits, which are not so many times {new}"
        )
    if not x.ndim:
        return reshape(view(reshape(x, (1,)), wanted), ())
    return strong(_shown(_in_parts(x), wanted))


def _in_parts(x: Any) -> Any:
    """The array as one of real numbers with the same bytes."""
    if x.dtype == dtypes.bool_:
        return prims.Convert(dtypes.uint8)(x)
    if not dtypes.is_complex(x.dtype):
        return x
    last = len(x.shape)
    pairs = [prims.expand_dims(part, (last,)) for part in (prims.real(x), prims.imag(x))]
    return _merged(prims.Concatenate(last)(*pairs))


def _merged(x: Any) -> Any:
    """The last two axes as one."""
    return reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))


def _shown(x: Any, dtype: np.dtype) -> Any:
    """The bytes of an array of real numbers as any dtype."""
    if dtype == dtypes.bool_:
        return prims.ne(_shown(x, dtypes.uint8), np.uint8(0))
    if dtypes.is_complex(dtype):
        parts = _shown(x, dtypes.real_of(dtype))
        parts = reshape(parts, (*x.shape[:-1], parts.shape[-1] // 2, 2))
        return prims.complex_(parts[..., 0], parts[..., 1])
    old, new = dtypes.bits(x.dtype), dtypes.bits(dtype)
    if old == new:
        return prims.bitcast(x, dtype)
    if old > new:
        return _merged(parted(x, dtype))
    return joined(reshape(x, (*x.shape[:-1], x.shape[-1] * old // new, new // old)), dtype)
